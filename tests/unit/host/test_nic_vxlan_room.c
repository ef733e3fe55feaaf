/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Peers whose sockets are full. A queue of the host's gives hardly a datagram away. */
#include "nic_vxlan_fixture.h"

#include "stopped_clock.h"

static uint8_t large[1000];

static void queue_stop(void)
{
	command("tc qdisc add dev lo root tbf rate 8bit burst 2000 limit 100000000");
}

static void queue_go(void)
{
	command("tc qdisc del dev lo root");
}

/* Peers 1 and 2 have the addresses 7 and 8; the socket of peer 1 is full. Returns what it took. */
static unsigned start_full(struct fixture *fixture)
{
	unsigned sent = 0;

	start_by(fixture, PEERS, &stopped_clocks);
	teach(fixture, 1, 7);
	teach(fixture, 2, 8);
	queue_stop();
	frame_between(large, sizeof(large), 1, 7, 1);
	while (port_send(&fixture->port, large, sizeof(large), NULL))
		assert_true(++sent < 10000);
	assert_true(sent > 100);
	assert_int_equal(fixture->port.writables, 0);
	return sent;
}

static void turns(struct fixture *fixture)
{
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(loop_turn(fixture->loop, NS_PER_MS), 0);
}

static void pass_ms(struct fixture *fixture, uint64_t ms)
{
	stopped_clock_ns += ms * NS_PER_MS;
	turns(fixture);
}

static void test_no_room_then_writable(void **state)
{
	struct fixture fixture;
	unsigned sent = start_full(&fixture);

	turns(&fixture);
	assert_int_equal(fixture.port.writables, 0);
	/* What waits holds up all the others, in order. */
	frame_between(large, sizeof(large), 2, 8, 1);
	assert_false(port_send(&fixture.port, large, sizeof(large), NULL));
	queue_go();
	AWAIT(fixture.port.writables == 1, loop_turn(fixture.loop, TURN_NS));
	assert_true(port_send(&fixture.port, large, sizeof(large), NULL));
	peer_expect(&fixture, 2, large, sizeof(large));
	turns(&fixture);
	assert_int_equal(fixture.port.writables, 1);
	assert_int_equal(counter_read(&fixture.nic->counters.refused), 0);
	assert_int_equal(counter_read(&fixture.nic->counters.sent), sent + 1);
	finish(&fixture);
}

static void test_some_of_a_batch_are_taken(void **state)
{
	struct iovec iov = { large, sizeof(large) };
	struct frame list[64];
	struct fixture fixture;
	unsigned sent = 0, taken = 64;

	start_by(&fixture, 1, &stopped_clocks);
	queue_stop();
	frame_between(large, sizeof(large), 1, 7, 1);
	for (unsigned i = 0; i < 64; i++)
		list[i] = (struct frame){ .iov = &iov, .iov_count = 1, .bytes = sizeof(large) };
	for (; taken == 64; sent += taken)
		taken = fixture.nic->ops->send(fixture.port.channel, list, 64);
	assert_in_range(sent, 100, 10000);
	assert_int_equal(counter_read(&fixture.nic->counters.sent), sent);
	assert_int_equal(counter_read(&fixture.nic->counters.sent_bytes), (uint64_t)sent * sizeof(large));
	assert_int_equal(counter_read(&fixture.nic->counters.refused), 0);
	queue_go();
	AWAIT(fixture.port.writables == 1, loop_turn(fixture.loop, TURN_NS));
	finish(&fixture);
}

/* A peer on a slow path is waited for once, and then its frames are given up for a second. */
static void test_others_do_not_wait_for_a_slow_peer(void **state)
{
	struct fixture fixture;
	unsigned sent = start_full(&fixture);

	pass_ms(&fixture, 21);
	assert_int_equal(fixture.port.writables, 1);
	for (unsigned i = 1; i <= 3; i++) {
		assert_true(port_send(&fixture.port, large, sizeof(large), NULL));
		assert_int_equal(counter_read(&fixture.counters->no_room), i);
		assert_int_equal(counter_read(&fixture.nic->counters.refused), i);
	}
	/* Others' frames pass: to a peer that has room, and to all but this one. */
	frame_between(large, sizeof(large), 2, 8, 1);
	assert_true(port_send(&fixture.port, large, sizeof(large), NULL));
	frame_between(large, sizeof(large), 2, 0, 1);
	assert_true(port_send(&fixture.port, large, sizeof(large), NULL));
	assert_int_equal(counter_read(&fixture.counters->no_room), 4);
	assert_int_equal(counter_read(&fixture.nic->counters.refused), 4);
	assert_int_equal(counter_read(&fixture.nic->counters.sent), sent + 2);
	/* Then the peer is waited for again, in case its path has become better. */
	pass_ms(&fixture, 1001);
	frame_between(large, sizeof(large), 3, 7, 1);
	assert_false(port_send(&fixture.port, large, sizeof(large), NULL));
	queue_go();
	AWAIT(fixture.port.writables == 2, loop_turn(fixture.loop, TURN_NS));
	assert_true(port_send(&fixture.port, large, sizeof(large), NULL));
	assert_int_equal(counter_read(&fixture.counters->no_room), 4);
	finish(&fixture);
}

/* A frame to all does not wait, whichever socket has no room. */
static void test_frames_to_many_do_not_wait(void **state)
{
	struct fixture fixture;
	uint64_t sent;

	start_full(&fixture);
	queue_go();
	AWAIT(fixture.port.writables == 1, loop_turn(fixture.loop, TURN_NS));
	queue_stop();
	frame_between(large, sizeof(large), 2, 0, 1);
	while (counter_read(&fixture.counters->no_room) == 0)
		assert_true(port_send(&fixture.port, large, sizeof(large), NULL));
	sent = counter_read(&fixture.nic->counters.sent);
	/* Until no socket has room, and nothing is sent any more. */
	for (unsigned i = 0; i < 10; i++)
		assert_true(port_send(&fixture.port, large, sizeof(large), NULL));
	assert_in_range(counter_read(&fixture.nic->counters.sent), sent, sent + 9);
	assert_int_equal(counter_read(&fixture.counters->no_room),
			 counter_read(&fixture.nic->counters.refused));
	assert_int_equal(fixture.port.writables, 1);
	queue_go();
	finish(&fixture);
}

/* A queue that drops what it has no room for: there is no point in a wait. */
static void test_full_queue(void **state)
{
	struct fixture fixture;

	start_by(&fixture, 1, &stopped_clocks);
	command("tc qdisc add dev lo root tbf rate 8bit burst 2000 limit 20000");
	frame_between(large, sizeof(large), 1, 7, 1);
	for (unsigned i = 0; i < 100; i++)
		assert_true(port_send(&fixture.port, large, sizeof(large), NULL));
	assert_in_range(counter_read(&fixture.nic->counters.sent), 5, 50);
	assert_int_equal(counter_read(&fixture.nic->counters.sent) +
				 counter_read(&fixture.nic->counters.refused),
			 100);
	assert_int_equal(counter_read(&fixture.counters->no_room), 0);
	queue_go();
	finish(&fixture);
}

static void test_channel_closes_while_it_waits(void **state)
{
	struct fixture fixture;

	start_full(&fixture);
	port_finish(&fixture.port);
	pass_ms(&fixture, 21);
	assert_int_equal(fixture.port.writables, 0);
	port_open(&fixture.port, fixture.loop, fixture.nic);
	/* From within writable(). */
	assert_false(port_send(&fixture.port, large, sizeof(large), NULL));
	fixture.port.close = true;
	pass_ms(&fixture, 21);
	assert_int_equal(fixture.port.writables, 1);
	assert_null(fixture.port.channel);
	port_open(&fixture.port, fixture.loop, fixture.nic);
	pass_ms(&fixture, 1001);
	assert_false(port_send(&fixture.port, large, sizeof(large), NULL));
	fixture.port.close = true;
	queue_go();
	AWAIT(fixture.port.writables == 1, loop_turn(fixture.loop, TURN_NS));
	assert_null(fixture.port.channel);
	finish(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_room_then_writable),
		cmocka_unit_test(test_some_of_a_batch_are_taken),
		cmocka_unit_test(test_others_do_not_wait_for_a_slow_peer),
		cmocka_unit_test(test_frames_to_many_do_not_wait),
		cmocka_unit_test(test_full_queue),
		cmocka_unit_test(test_channel_closes_while_it_waits),
	};

	return cmocka_run_group_tests(tests, namespace_setup, NULL);
}
