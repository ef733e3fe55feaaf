/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packet sockets whose interface goes and comes back, and several of them on one interface. */
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/syscall.h>

#include "nic_packet_fixture.h"

/* The thread's right to make packet sockets; returns whether it had it. */
static bool right_to_sockets(bool have)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	const uint32_t right = 1u << CAP_NET_RAW;
	bool had;

	assert_int_equal(syscall(SYS_capget, &header, data), 0);
	had = data[0].effective & right;
	data[0].effective = have ? data[0].effective | right : data[0].effective & ~right;
	assert_int_equal(syscall(SYS_capset, &header, data), 0);
	return had;
}

static void peer_again(struct fixture *fixture)
{
	close(fixture->peer);
	fixture->peer = peer_open("far0");
}

static void test_open_refuses_wrong_options(void **state)
{
	static const struct {
		struct nic_packet_options options;
		int error;
	} wrong[] = {
		{ { .name = "a-name-that-is-too-long", .fd = -1 }, -EINVAL },
		{ { .name = "lo", .channels = 65, .fd = -1 }, -EINVAL },
		{ { .name = "lo", .fd = -1 }, -EINVAL },
		{ { .name = "", .fd = -1 }, -ENODEV },
		{ { .name = "none0", .fd = -1 }, -ENODEV },
	};
	struct host_nic *nic = NULL;

	need_namespace();
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(nic_packet_open(&wrong[i].options, &nic), wrong[i].error);
	assert_null(nic);
}

static void test_mtu(void **state)
{
	struct nic_packet_options options = { .name = "near0", .fd = -1 };
	struct host_nic *nic = NULL;

	need_namespace();
	pair_make();
	command("ip link set near0 mtu 9000");
	assert_int_equal(nic_packet_open(&options, &nic), 0);
	assert_int_equal(nic->sends.mtu, 9000);
	nic->ops->close(nic);
	command("ip link del near0");
}

static void test_link_goes_and_comes(void **state)
{
	struct fixture fixture;
	uint8_t frame[60];

	start(&fixture);
	command("ip link set near0 down");
	await_link(&fixture, 1, false);
	frame_fill(frame, sizeof(frame), 1);
	assert_true(port_send(&fixture.port, frame, sizeof(frame), NULL));
	assert_int_equal(counter_read(&fixture.nic->counters.no_link), 1);
	command("ip link set near0 up");
	await_link(&fixture, 2, true);
	meet(&fixture);
	/* The other end is pulled. */
	command("ip link set far0 down");
	await_link(&fixture, 3, false);
	command("ip link set far0 up");
	await_link(&fixture, 4, true);
	meet(&fixture);
	assert_int_equal(counter_read(&fixture.nic->counters.no_link), 1);
	finish(&fixture);
}

/* Before the loop has heard of it. */
static void test_frames_for_an_interface_that_is_down(void **state)
{
	struct fixture fixture;
	uint8_t frame[60];

	start(&fixture);
	frame_fill(frame, sizeof(frame), 1);
	command("ip link set near0 down");
	assert_true(port_send(&fixture.port, frame, sizeof(frame), NULL));
	assert_true(port_send(&fixture.port, frame, sizeof(frame), NULL));
	assert_int_equal(counter_read(&fixture.nic->counters.no_link), 2);
	command("ip link del near0");
	assert_true(port_send(&fixture.port, frame, sizeof(frame), NULL));
	assert_true(port_send(&fixture.port, frame, sizeof(frame), NULL));
	assert_int_equal(counter_read(&fixture.nic->counters.no_link), 4);
	pair_make();
	finish(&fixture);
}

static void test_deleted_interface_is_waited_for(void **state)
{
	struct fixture fixture;
	uint8_t frame[60] = { 0 };

	start(&fixture);
	for (unsigned round = 0; round < 3; round++) {
		command("ip link del near0");
		await_link(&fixture, 2 * round + 1, false);
		assert_true(port_send(&fixture.port, frame, sizeof(frame), NULL));
		assert_int_equal(counter_read(&fixture.nic->counters.no_link), round + 1);
		pair_make();
		peer_again(&fixture);
		await_link(&fixture, 2 * round + 2, true);
		meet(&fixture);
	}
	/* A channel that opens while there is none waits as well. */
	command("ip link del near0");
	await_link(&fixture, 7, false);
	port_finish(&fixture.port);
	port_open(&fixture.port, fixture.loop, fixture.nic);
	assert_false(nic_is_up(fixture.nic));
	pair_make();
	peer_again(&fixture);
	await_link(&fixture, 1, true);
	meet(&fixture);
	finish(&fixture);
}

/* Sockets of one type of frame get those after all sockets that get every type. */
#define WITNESS_TYPE 0x88b5

static int witness_open(void)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(WITNESS_TYPE),
		.sll_ifindex = (int)if_nametoindex("near0"),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* A takeover that fails closes and opens the channel of a daemon that has given up its rights. */
static void test_reopening_needs_no_rights(void **state)
{
	struct fixture fixture;
	uint8_t frame[60], seen[60];
	int witness;

	start(&fixture);
	witness = witness_open();
	assert_true(right_to_sockets(false));
	for (unsigned round = 0; round < 3; round++) {
		port_finish(&fixture.port);
		/* Nobody is there to take it, and it does not wait for the next channel. */
		frame_fill(frame, sizeof(frame), 99);
		memcpy(frame + 12, (const uint8_t[]){ WITNESS_TYPE >> 8, WITNESS_TYPE & 0xff }, 2);
		peer_send(fixture.peer, frame, sizeof(frame), NULL);
		assert_int_equal(recv(witness, seen, sizeof(seen), 0), sizeof(frame));
		port_open(&fixture.port, fixture.loop, fixture.nic);
		assert_true(nic_is_up(fixture.nic));
		peer_to_nic(&fixture, 60, round);
		nic_to_peer(&fixture, 60, round);
	}
	right_to_sockets(true);
	close(witness);
	finish(&fixture);
}

static void test_socket_that_was_made_before(void **state)
{
	struct nic_packet_options options = { .name = "near0" };
	struct fixture fixture;
	struct host_nic *nic = NULL;

	start(&fixture);
	port_finish(&fixture.port);
	fixture.nic->ops->close(fixture.nic);
	options.fd = nic_packet_socket();
	assert_true(options.fd >= 0);
	right_to_sockets(false);
	assert_int_equal(nic_packet_socket(), -EPERM);
	command("ip link set near0 name away0");
	assert_int_equal(nic_packet_open(&options, &nic), -ENODEV);
	command("ip link set away0 name near0");
	assert_int_equal(nic_packet_open(&options, &fixture.nic), 0);
	port_open(&fixture.port, fixture.loop, fixture.nic);
	AWAIT(nic_is_up(fixture.nic), loop_turn(fixture.loop, TURN_NS));
	meet(&fixture);
	right_to_sockets(true);
	finish(&fixture);
}

/* Another interface has the name before the loop hears of it. */
static void test_interface_is_replaced(void **state)
{
	struct fixture fixture;

	start(&fixture);
	command("ip link del near0");
	pair_make();
	peer_again(&fixture);
	meet(&fixture);
	finish(&fixture);
}

#define FLOWS 64u

static void send_flows(struct fixture *fixture)
{
	uint8_t frame[TCP_HEADERS + 6];
	struct frame_offload offload;

	tcp_fill(frame, sizeof(frame), 0, &offload);
	for (unsigned i = 0; i < FLOWS; i++) {
		frame[35] = (uint8_t)i;
		peer_send(fixture->peer, frame, sizeof(frame), &offload);
	}
}

/* Sends the flows, and waits a little for all to come; returns how many did. They came once each. */
static unsigned flows_that_come(struct fixture *fixture, const unsigned *second)
{
	const unsigned none = 0, *frames[2] = { &fixture->port.frames, second ? second : &none };
	unsigned before = *frames[0] + *frames[1];

	send_flows(fixture);
	for (unsigned i = 0; i < 10 && *frames[0] + *frames[1] - before < FLOWS; i++)
		assert_int_equal(loop_turn(fixture->loop, TURN_NS), 0);
	/* One that comes twice is there by now. */
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(loop_turn(fixture->loop, NS_PER_MS), 0);
	assert_in_range(*frames[0] + *frames[1] - before, 0, FLOWS);
	return *frames[0] + *frames[1] - before;
}

/* After a change of the link: frames pass again, as in meet(). */
static void settle(struct fixture *fixture, const struct port *second)
{
	AWAIT(flows_that_come(fixture, &second->frames) == FLOWS, (void)0);
}

/* All flows come to one channel or the other, and to both some. */
static void check_flows(struct fixture *fixture, struct port *second)
{
	unsigned before[2] = { fixture->port.frames, second->frames };

	assert_int_equal(flows_that_come(fixture, &second->frames), FLOWS);
	assert_true(fixture->port.frames > before[0] && second->frames > before[1]);
	port_drop(&fixture->port);
	port_drop(second);
}

static void await_links(struct fixture *fixture, const struct port *second, unsigned links, bool up)
{
	await_link(fixture, links, up);
	AWAIT(second->links >= links, loop_turn(fixture->loop, TURN_NS));
}

static void test_channels(void **state)
{
	struct port second, third;
	struct fixture fixture;
	uint8_t frame[60];

	start_by(&fixture, 2, NULL);
	assert_int_equal(fixture.nic->channels, 2);
	/* One channel alone gets all frames. */
	assert_int_equal(flows_that_come(&fixture, NULL), FLOWS);
	port_open(&second, fixture.loop, fixture.nic);
	assert_int_equal(port_try_open(&third, fixture.loop, fixture.nic), -EMFILE);
	check_flows(&fixture, &second);
	nic_to_peer(&fixture, 60, 1);
	frame_fill(frame, sizeof(frame), 2);
	assert_true(port_send(&second, frame, sizeof(frame), NULL));
	assert_int_equal(counter_read(&fixture.nic->counters.sent), 2);

	command("ip link set near0 down");
	await_links(&fixture, &second, 1, false);
	command("ip link set near0 up");
	await_links(&fixture, &second, 2, true);
	settle(&fixture, &second);
	check_flows(&fixture, &second);

	command("ip link del near0");
	await_links(&fixture, &second, 3, false);
	pair_make();
	peer_again(&fixture);
	await_links(&fixture, &second, 4, true);
	settle(&fixture, &second);
	check_flows(&fixture, &second);

	/* A channel that is closed gets no share, from when the ring has let go of the socket. */
	port_finish(&second);
	AWAIT(flows_that_come(&fixture, NULL) == FLOWS, (void)0);
	port_open(&second, fixture.loop, fixture.nic);
	check_flows(&fixture, &second);
	port_finish(&second);
	finish(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_refuses_wrong_options),
		cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_link_goes_and_comes),
		cmocka_unit_test(test_frames_for_an_interface_that_is_down),
		cmocka_unit_test(test_deleted_interface_is_waited_for),
		cmocka_unit_test(test_reopening_needs_no_rights),
		cmocka_unit_test(test_socket_that_was_made_before),
		cmocka_unit_test(test_interface_is_replaced),
		cmocka_unit_test(test_channels),
	};

	return cmocka_run_group_tests(tests, namespace_setup, NULL);
}
