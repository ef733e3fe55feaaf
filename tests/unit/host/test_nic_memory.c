/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nic_fixture.h"

#include <pthread.h>

static const struct frame_abilities everything = { .csum = 1, .tso4 = 1, .tso6 = 1, .ecn = 1, .uso = 1 };

static struct host_nic *nic_open(const struct nic_memory_options *options)
{
	struct host_nic *nic = NULL;

	assert_int_equal(nic_memory_open(options, &nic), 0);
	return nic;
}

static void nic_close(struct host_nic *nic, struct loop *loop)
{
	nic->ops->close(nic);
	loop_destroy(loop);
}

static void inject(struct host_nic *nic, unsigned index, size_t bytes, unsigned number)
{
	uint8_t frame[2048];

	frame_fill(frame, bytes, number);
	assert_int_equal(nic_memory_inject(nic, index, frame, bytes, NULL), 0);
}

static void send_number(struct port *port, unsigned number, bool taken)
{
	uint8_t frame[64];

	frame_fill(frame, sizeof(frame), number);
	assert_int_equal(port_send(port, frame, sizeof(frame), NULL), taken);
}

static void take_number(struct host_nic *nic, unsigned number)
{
	uint8_t expected[64], frame[64];

	frame_fill(expected, sizeof(expected), number);
	assert_int_equal(nic_memory_take(nic, frame, sizeof(frame), NULL), sizeof(frame));
	assert_memory_equal(frame, expected, sizeof(frame));
}

static void test_open_refuses_wrong_options(void **state)
{
	static const struct nic_memory_options wrong[] = {
		{ .channels = 65 },
		{ .room = 4097 },
		{ .sends.mtu = 67 },
	};
	struct host_nic *nic = NULL;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(nic_memory_open(&wrong[i], &nic), -EINVAL);
	assert_null(nic);
}

static void test_what_it_says_of_itself(void **state)
{
	struct nic_memory_options options = { .address = { 2, 1, 2, 3, 4, 5 }, .channels = 3 };
	struct host_nic *nic = nic_open(&options);

	assert_string_equal(nic->ops->name, "memory");
	assert_int_equal(nic->channels, 3);
	assert_memory_equal(nic->address, options.address, 6);
	assert_int_equal(nic->sends.mtu, 1500);
	assert_int_equal(nic->sends.csum, 0);
	assert_true(nic_is_up(nic));
	assert_int_equal(nic->ops->channel_fd(nic, 0), -1);
	nic->ops->close(nic);
}

static void test_frames_go_both_ways(void **state)
{
	struct nic_memory_options options = { .sends = everything };
	struct host_nic *nic = nic_open(&options);
	struct loop *loop = nic_loop();
	struct frame_offload offload = { FRAME_CSUM_NEEDED, FRAME_GSO_TCP4, 54, 1448, 34, 16 }, seen;
	uint8_t sent[9000], taken[9000];
	struct iovec pieces[3] = { { sent, 10 }, { sent + 10, 0 }, { sent + 10, sizeof(sent) - 10 } };
	struct frame frame = { pieces, 3, sizeof(sent), offload };
	struct received *received;
	struct port port;

	port_open(&port, loop, nic);
	frame_fill(sent, sizeof(sent), 1);
	assert_int_equal(nic->ops->send(port.channel, &frame, 1), 1);
	assert_int_equal(nic_memory_take(nic, taken, sizeof(taken), &seen), sizeof(sent));
	assert_memory_equal(taken, sent, sizeof(sent));
	assert_memory_equal(&seen, &offload, sizeof(seen));
	assert_int_equal(nic_memory_take(nic, taken, sizeof(taken), &seen), 0);

	assert_int_equal(nic_memory_inject(nic, 0, sent, sizeof(sent), &offload), 0);
	received = port_take(&port);
	assert_int_equal(received->bytes, sizeof(sent));
	assert_memory_equal(received->data, sent, sizeof(sent));
	assert_memory_equal(&received->offload, &offload, sizeof(offload));
	received_free(received);

	assert_int_equal(counter_read(&nic->counters.sent), 1);
	assert_int_equal(counter_read(&nic->counters.sent_bytes), sizeof(sent));
	assert_int_equal(counter_read(&nic->counters.received), 1);
	assert_int_equal(counter_read(&nic->counters.received_bytes), sizeof(sent));
	port_finish(&port);
	nic_close(nic, loop);
}

static void test_at_most_64_frames_at_a_time(void **state)
{
	struct nic_memory_options options = { .room = 200 };
	struct host_nic *nic = nic_open(&options);
	struct loop *loop = nic_loop();
	struct port port;

	port_open(&port, loop, nic);
	for (unsigned i = 0; i < 200; i++)
		inject(nic, 0, 60 + i, i);
	assert_int_equal(nic_memory_inject(nic, 0, "fourteen bytes", 14, NULL), -ENOBUFS);
	assert_int_equal(counter_read(&nic->counters.overrun), 1);
	AWAIT(port.frames == 200, loop_turn(loop, TURN_NS));
	assert_int_equal(port.inputs, 4);
	assert_int_equal(port.most, 64);
	for (unsigned i = 0; i < 200; i++) {
		struct received *received = port_take(&port);
		uint8_t expected[260];

		frame_fill(expected, 60 + i, i);
		assert_int_equal(received->bytes, 60 + i);
		assert_memory_equal(received->data, expected, 60 + i);
		received_free(received);
	}
	/* There is room again. */
	inject(nic, 0, 60, 0);
	received_free(port_take(&port));
	port_finish(&port);
	nic_close(nic, loop);
}

static void test_no_room_then_writable(void **state)
{
	struct nic_memory_options options = { .room = 4 };
	struct host_nic *nic = nic_open(&options);
	struct loop *loop = nic_loop();
	uint8_t bytes[64] = { 0 };
	struct iovec iov = { bytes, sizeof(bytes) };
	struct frame frames[6];
	struct port port;

	port_open(&port, loop, nic);
	for (unsigned i = 0; i < 6; i++)
		frames[i] = (struct frame){ .iov = &iov, .iov_count = 1, .bytes = sizeof(bytes) };
	assert_int_equal(nic->ops->send(port.channel, frames, 6), 4);
	assert_int_equal(nic->ops->send(port.channel, frames + 4, 2), 0);
	assert_int_equal(loop_turn(loop, 0), 0);
	assert_int_equal(port.writables, 0);
	assert_int_equal(nic_memory_take(nic, bytes, sizeof(bytes), NULL), 64);
	/* Not from within: when the loop turns. */
	assert_int_equal(port.writables, 0);
	AWAIT(port.writables == 1, loop_turn(loop, TURN_NS));
	assert_int_equal(nic->ops->send(port.channel, frames + 4, 2), 1);
	nic_memory_room(nic, 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(nic_memory_take(nic, bytes, sizeof(bytes), NULL), 64);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(loop_turn(loop, 0), 0);
	assert_int_equal(port.writables, 1);
	nic_memory_room(nic, 4);
	AWAIT(port.writables == 2, loop_turn(loop, TURN_NS));
	assert_int_equal(nic->ops->send(port.channel, frames + 5, 1), 1);
	assert_int_equal(counter_read(&nic->counters.sent), 6);
	port_finish(&port);
	nic_close(nic, loop);
}

static void test_link(void **state)
{
	struct nic_memory_options options = { .room = 1 };
	struct host_nic *nic = nic_open(&options);
	struct loop *loop = nic_loop();
	struct port port;

	port_open(&port, loop, nic);
	send_number(&port, 1, true);
	send_number(&port, 2, false);
	nic_memory_link(nic, false);
	assert_false(nic_is_up(nic));
	/* The frame that waits is to be sent in vain, and not to wait for ever. */
	AWAIT(port.links == 1 && port.writables == 1, loop_turn(loop, TURN_NS));
	send_number(&port, 2, true);
	assert_int_equal(counter_read(&nic->counters.no_link), 1);
	assert_int_equal(nic_memory_inject(nic, 0, "fourteen bytes", 14, NULL), -ENODEV);
	nic_memory_link(nic, true);
	AWAIT(port.links == 2, loop_turn(loop, TURN_NS));
	assert_true(nic_is_up(nic));
	take_number(nic, 1);
	send_number(&port, 3, true);
	take_number(nic, 3);
	inject(nic, 0, 60, 0);
	received_free(port_take(&port));
	port_finish(&port);
	nic_close(nic, loop);
}

static void test_frames_that_are_none(void **state)
{
	static const struct frame_offload broken[] = {
		{ .gso_type = 2, .gso_bytes = 1000 },
		{ .gso_type = FRAME_GSO_TCP4 },
		{ .gso_type = FRAME_GSO_ECN },
		{ .gso_type = FRAME_GSO_UDP | FRAME_GSO_ECN, .gso_bytes = 1000 },
		{ .flags = FRAME_CSUM_NEEDED, .csum_start = 30, .csum_offset = 29 },
		{ .flags = FRAME_CSUM_NEEDED, .csum_start = 65535, .csum_offset = 65535 },
	};
	struct frame_offload last = { .flags = FRAME_CSUM_NEEDED, .csum_start = 30, .csum_offset = 28 };
	struct nic_memory_options options = { .sends.csum = 1 };
	struct host_nic *nic = nic_open(&options);
	struct loop *loop = nic_loop();
	static uint8_t bytes[FRAME_BYTES_MAX + 1];
	struct port port;

	port_open(&port, loop, nic);
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		assert_int_equal(nic_memory_inject(nic, 0, bytes, 60, &broken[i]), -EINVAL);
	assert_int_equal(nic_memory_inject(nic, 0, bytes, 13, NULL), -EINVAL);
	assert_int_equal(nic_memory_inject(nic, 0, bytes, sizeof(bytes), NULL), -EINVAL);
	assert_int_equal(counter_read(&nic->counters.malformed), 8);
	assert_int_equal(nic_memory_inject(nic, 0, bytes, 60, &last), 0);
	received_free(port_take(&port));

	/* The device refuses a frame that is larger than its MTU with a VLAN tag. */
	assert_true(port_send(&port, bytes, 1519, NULL));
	assert_true(port_send(&port, bytes, 60, &broken[5]));
	assert_int_equal(counter_read(&nic->counters.refused), 2);
	assert_true(port_send(&port, bytes, 1518, NULL));
	assert_int_equal(nic_memory_take(nic, bytes, sizeof(bytes), NULL), 1518);
	port_finish(&port);
	nic_close(nic, loop);
}

static void test_channels(void **state)
{
	struct nic_memory_options options = { .channels = 2 };
	struct host_nic *nic = nic_open(&options);
	struct loop *loop = nic_loop();
	struct port ports[2], more;
	struct received *received;

	assert_int_equal(nic_memory_inject(nic, 0, "fourteen bytes", 14, NULL), -ENOTCONN);
	port_open(&ports[0], loop, nic);
	assert_int_equal(nic_memory_inject(nic, 1, "fourteen bytes", 14, NULL), -ENOTCONN);
	port_open(&ports[1], loop, nic);
	assert_int_equal(port_try_open(&more, loop, nic), -EMFILE);
	inject(nic, 0, 60, 0);
	inject(nic, 1, 61, 1);
	for (unsigned i = 0; i < 2; i++) {
		received = port_take(&ports[i]);
		assert_int_equal(received->bytes, 60 + i);
		received_free(received);
	}
	/* What came for a channel that is closed is gone, and its place is taken again. */
	inject(nic, 0, 60, 0);
	port_finish(&ports[0]);
	port_open(&more, loop, nic);
	inject(nic, 0, 62, 0);
	received = port_take(&more);
	assert_int_equal(received->bytes, 62);
	received_free(received);
	port_finish(&more);
	port_finish(&ports[1]);
	nic_close(nic, loop);
}

static void test_channel_closes_itself(void **state)
{
	for (int from_link = 0; from_link < 2; from_link++) {
		struct nic_memory_options options = { .room = 1 };
		struct host_nic *nic = nic_open(&options);
		struct loop *loop = nic_loop();
		uint8_t bytes[64];
		struct port port;

		port_open(&port, loop, nic);
		port.close = true;
		send_number(&port, 1, true);
		send_number(&port, 2, false);
		if (from_link)
			nic_memory_link(nic, false);
		else
			assert_int_equal(nic_memory_take(nic, bytes, sizeof(bytes), NULL), 64);
		AWAIT(!port.channel, loop_turn(loop, TURN_NS));
		assert_int_equal(port.links, from_link);
		assert_int_equal(port.writables, !from_link);
		assert_int_equal(loop_turn(loop, 0), 0);
		port_finish(&port);
		nic_close(nic, loop);
	}
}

#define THREAD_FRAMES 20000u

static void *inject_many(void *opaque)
{
	struct host_nic *nic = opaque;
	uint8_t frame[64];

	for (unsigned i = 0; i < THREAD_FRAMES; i++) {
		frame_fill(frame, sizeof(frame), i);
		while (nic_memory_inject(nic, 0, frame, sizeof(frame), NULL) == -ENOBUFS)
			sched_yield();
	}
	return NULL;
}

/* Another thread is the wire: no frame is lost, doubled or out of order. */
static void test_wire_in_another_thread(void **state)
{
	struct nic_memory_options options = { .room = 100 };
	struct host_nic *nic = nic_open(&options);
	struct loop *loop = nic_loop();
	struct port port;
	pthread_t thread;

	port_open(&port, loop, nic);
	assert_int_equal(pthread_create(&thread, NULL, inject_many, nic), 0);
	for (unsigned i = 0; i < THREAD_FRAMES; i++) {
		struct received *received = port_take(&port);
		unsigned number;

		memcpy(&number, received->data + FRAME_HEADER_BYTES, sizeof(number));
		assert_int_equal(number, i);
		received_free(received);
	}
	pthread_join(thread, NULL);
	assert_null(port.first);
	port_finish(&port);
	nic_close(nic, loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_refuses_wrong_options),
		cmocka_unit_test(test_what_it_says_of_itself),
		cmocka_unit_test(test_frames_go_both_ways),
		cmocka_unit_test(test_at_most_64_frames_at_a_time),
		cmocka_unit_test(test_no_room_then_writable),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_frames_that_are_none),
		cmocka_unit_test(test_channels),
		cmocka_unit_test(test_channel_closes_itself),
		cmocka_unit_test(test_wire_in_another_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
