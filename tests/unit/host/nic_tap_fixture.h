/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tap, a channel on it, and a socket that is its other side. */
#ifndef VIADUCT_TESTS_NIC_TAP_FIXTURE_H
#define VIADUCT_TESTS_NIC_TAP_FIXTURE_H

#include "nic_wire.h"

static inline void need_tap(void)
{
	need_namespace();
	if (access("/dev/net/tun", R_OK | W_OK) < 0) {
		print_message("skipped: /dev/net/tun: %s\n", strerror(errno));
		skip();
	}
}

/* A NIC with one channel open, and a socket on its interface. */
static inline void start(struct fixture *fixture, const struct nic_tap_options *options)
{
	need_tap();
	fixture->loop = nic_loop();
	assert_int_equal(nic_tap_open(options, &fixture->nic), 0);
	port_open(&fixture->port, fixture->loop, fixture->nic);
	nic_tap_name(fixture->nic, fixture->name);
	fixture->peer = peer_open(fixture->name);
}

static inline void finish(struct fixture *fixture)
{
	port_finish(&fixture->port);
	fixture->nic->ops->close(fixture->nic);
	close(fixture->peer);
	loop_destroy(fixture->loop);
}

static const struct nic_tap_options plain = { .fd = -1, .offload = true };

#endif
