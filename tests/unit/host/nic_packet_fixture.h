/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pair of interfaces, a NIC on the near one with a channel open, and a socket on the far one. */
#ifndef VIADUCT_TESTS_NIC_PACKET_FIXTURE_H
#define VIADUCT_TESTS_NIC_PACKET_FIXTURE_H

#include "nic_wire.h"

static inline void pair_make(void)
{
	command("ip link add near0 type veth peer name far0");
	command("ip link set far0 up && ip link set near0 up");
}

static inline void start_by(struct fixture *fixture, unsigned channels, const struct loop_clocks *clocks)
{
	struct nic_packet_options options = { .name = "near0", .channels = channels, .fd = -1 };

	need_namespace();
	pair_make();
	fixture->loop = nic_loop_by(clocks);
	assert_int_equal(nic_packet_open(&options, &fixture->nic), 0);
	port_open(&fixture->port, fixture->loop, fixture->nic);
	fixture->peer = peer_open("far0");
	AWAIT(nic_is_up(fixture->nic), loop_turn(fixture->loop, TURN_NS));
	meet(fixture);
	fixture->port.links = fixture->port.frames = fixture->port.inputs = fixture->port.most = 0;
	memset(&fixture->nic->counters, 0, sizeof(fixture->nic->counters));
}

static inline void start(struct fixture *fixture)
{
	start_by(fixture, 1, NULL);
}

static inline void finish(struct fixture *fixture)
{
	port_finish(&fixture->port);
	fixture->nic->ops->close(fixture->nic);
	close(fixture->peer);
	loop_destroy(fixture->loop);
	command("ip link del near0");
}

#endif
