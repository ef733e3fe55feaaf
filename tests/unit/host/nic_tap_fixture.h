/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tap, a channel on it, and a socket that is its other side. */
#ifndef VIADUCT_TESTS_NIC_TAP_FIXTURE_H
#define VIADUCT_TESTS_NIC_TAP_FIXTURE_H

#include "nic_namespace.h"

struct fixture {
	struct loop *loop;
	struct host_nic *nic;
	struct port port;
	int peer;
	char name[NIC_NAME_BYTES];
};

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

static inline void await_link(struct fixture *fixture, unsigned links, bool up)
{
	AWAIT(fixture->port.links >= links && nic_is_up(fixture->nic) == up,
	      loop_turn(fixture->loop, TURN_NS));
}

static inline void peer_to_nic(struct fixture *fixture, size_t bytes, unsigned number)
{
	uint8_t frame[2048];
	struct received *received;

	frame_fill(frame, bytes, number);
	peer_send(fixture->peer, frame, bytes, NULL);
	received = port_take(&fixture->port);
	assert_int_equal(received->bytes, bytes);
	assert_memory_equal(received->data, frame, bytes);
	assert_int_equal(received->offload.gso_type, FRAME_GSO_NONE);
	received_free(received);
}

static inline void nic_to_peer(struct fixture *fixture, size_t bytes, unsigned number)
{
	static uint8_t frame[2048], seen[FRAME_BYTES_MAX];
	struct frame_offload offload;

	frame_fill(frame, bytes, number);
	assert_true(port_send(&fixture->port, frame, bytes, NULL));
	assert_int_equal(peer_take(fixture->peer, fixture->loop, seen, &offload), bytes);
	assert_memory_equal(seen, frame, bytes);
	assert_int_equal(offload.gso_type, FRAME_GSO_NONE);
}

static const struct nic_tap_options plain = { .fd = -1, .offload = true };

#endif
