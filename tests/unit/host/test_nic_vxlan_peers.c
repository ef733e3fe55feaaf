/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VXLAN NIC some of whose peers are switched off. */
#include "nic_vxlan_cable.h"
#include "nic_vxlan_fixture.h"

/* What the kernel keeps for so many is more than a socket has room for. */
#define OFF    6u
#define FRAMES 3000u

static void alive_expects(int fd, struct loop *loop, unsigned number)
{
	uint8_t frame[60];

	frame_between(frame, sizeof(frame), number, 0, 1);
	raw_expect_from(fd, loop, frame, sizeof(frame), "10.9.0.1");
}

/* The kernel looks for their Ethernet addresses, and keeps what is for them meanwhile. */
static void test_peers_that_are_switched_off(void **state)
{
	union nic_vxlan_address list[OFF + 1];
	const struct nic_vxlan_options options = {
		.vni = VNI, .local = address_of("10.9.0.1"), .peers = list, .peer_count = OFF + 1, .fd = -1
	};
	struct fixture fixture = { 0 };
	uint8_t frame[60];
	int alive;

	need_namespace();
	for (unsigned i = 0; i < OFF; i++) {
		list[i] = address_of("10.9.0.70");
		list[i].ipv4.sin_addr.s_addr += htonl(i);
	}
	list[OFF] = address_of("10.9.0.2");
	cable_make();
	fixture.loop = nic_loop();
	assert_int_equal(nic_vxlan_open(&options, &fixture.nic), 0);
	port_open(&fixture.port, fixture.loop, fixture.nic);
	go(there);
	alive = raw_open("10.9.0.2", PEER_PORT);
	go(here);
	for (unsigned i = 0; i < FRAMES; i++) {
		frame_between(frame, sizeof(frame), i, 0, 1);
		nic_send(&fixture, frame, sizeof(frame));
		alive_expects(alive, fixture.loop, i);
	}
	assert_int_equal(counter_read(&fixture.nic->counters.sent), FRAMES);
	assert_int_equal(counter_read(&nic_vxlan_get_counters(fixture.nic)->no_room), 0);
	close(alive);
	finish(&fixture);
	cable_remove();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peers_that_are_switched_off),
	};

	return cmocka_run_group_tests(tests, two_namespaces_setup, NULL);
}
