/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames through a packet socket. */
#include "nic_packet_fixture.h"

#include <sys/ioctl.h>

#include "stopped_clock.h"

static void test_frames_go_both_ways(void **state)
{
	static const size_t sizes[] = { 14, 60, 61, 1514 };
	struct fixture fixture;
	struct ifreq ifreq = { .ifr_name = "near0" };
	uint64_t bytes = 0;

	start(&fixture);
	assert_string_equal(fixture.nic->ops->name, "packet");
	assert_int_equal(fixture.nic->channels, 1);
	assert_int_equal(fixture.nic->sends.mtu, 1500);
	assert_int_equal(fixture.nic->ops->channel_fd(fixture.nic, 0), -1);
	assert_int_equal(ioctl(fixture.peer, SIOCGIFHWADDR, &ifreq), 0);
	assert_memory_equal(fixture.nic->address, ifreq.ifr_hwaddr.sa_data, 6);
	for (unsigned i = 0; i < 4; i++) {
		peer_to_nic(&fixture, sizes[i], i);
		nic_to_peer(&fixture, sizes[i], i + 10);
		bytes += sizes[i];
	}
	/* What was sent does not come back. */
	assert_int_equal(counter_read(&fixture.nic->counters.sent), 4);
	assert_int_equal(counter_read(&fixture.nic->counters.sent_bytes), bytes);
	assert_int_equal(counter_read(&fixture.nic->counters.received), 4);
	assert_int_equal(counter_read(&fixture.nic->counters.received_bytes), bytes);
	finish(&fixture);
}

static void test_frames_for_any_address(void **state)
{
	struct fixture fixture;
	uint8_t frame[60];
	struct received *received;

	start(&fixture);
	frame_fill(frame, sizeof(frame), 1);
	memcpy(frame, (const uint8_t[]){ 2, 9, 9, 9, 9, 9 }, 6);
	peer_send(fixture.peer, frame, sizeof(frame), NULL);
	received = port_take(&fixture.port);
	assert_memory_equal(received->data, frame, sizeof(frame));
	received_free(received);
	finish(&fixture);
}

static void test_large_frames_pass_whole(void **state)
{
	static uint8_t frame[60000 + TCP_HEADERS], seen[FRAME_BYTES_MAX];
	struct frame_offload offload, other;
	struct received *received;
	struct fixture fixture;

	start(&fixture);
	tcp_fill(frame, sizeof(frame), 1000, &offload);
	assert_true(port_send(&fixture.port, frame, sizeof(frame), &offload));
	assert_int_equal(peer_take(fixture.peer, fixture.loop, seen, &other), sizeof(frame));
	assert_memory_equal(seen, frame, sizeof(frame));
	assert_int_equal(other.gso_type, FRAME_GSO_TCP4);
	assert_int_equal(other.gso_bytes, 1000);

	peer_send(fixture.peer, frame, sizeof(frame), &offload);
	received = port_take(&fixture.port);
	assert_int_equal(received->bytes, sizeof(frame));
	assert_memory_equal(received->data, frame, sizeof(frame));
	assert_int_equal(received->offload.gso_type, FRAME_GSO_TCP4);
	assert_int_equal(received->offload.gso_bytes, 1000);
	assert_int_equal(received->offload.flags, FRAME_CSUM_NEEDED);
	assert_int_equal(received->offload.csum_start, 34);
	assert_int_equal(received->offload.csum_offset, 16);
	received_free(received);
	finish(&fixture);
}

static void test_checksums_left_to_the_receiver(void **state)
{
	static uint8_t frame[500], seen[FRAME_BYTES_MAX];
	struct frame_offload offload, other;
	struct received *received;
	struct fixture fixture;

	start(&fixture);
	tcp_fill(frame, sizeof(frame), 0, &offload);
	assert_true(port_send(&fixture.port, frame, sizeof(frame), &offload));
	assert_int_equal(peer_take(fixture.peer, fixture.loop, seen, &other), sizeof(frame));
	assert_memory_equal(seen, frame, sizeof(frame));
	assert_memory_equal(&other, &offload, sizeof(other));
	peer_send(fixture.peer, frame, sizeof(frame), &offload);
	received = port_take(&fixture.port);
	assert_memory_equal(received->data, frame, sizeof(frame));
	assert_memory_equal(&received->offload, &offload, sizeof(offload));
	received_free(received);
	finish(&fixture);
}

/* The kernel takes the tag out of a frame that comes in. */
static void test_vlan_tag_is_put_back(void **state)
{
	static const uint16_t types[] = { 0x8100, 0x88a8 };
	static uint8_t plain[500], frame[504], seen[FRAME_BYTES_MAX];
	struct frame_offload offload;
	struct fixture fixture;

	start(&fixture);
	tcp_fill(plain, sizeof(plain), 0, &offload);
	memcpy(frame, plain, 12);
	memcpy(frame + 16, plain + 12, sizeof(plain) - 12);
	offload.csum_start = 38;
	for (unsigned i = 0; i < 2; i++) {
		struct received *received;

		frame[12] = (uint8_t)(types[i] >> 8);
		frame[13] = (uint8_t)types[i];
		frame[14] = 0x61;
		frame[15] = 0x23;
		peer_send(fixture.peer, frame, sizeof(frame), &offload);
		received = port_take(&fixture.port);
		assert_int_equal(received->bytes, sizeof(frame));
		assert_memory_equal(received->data, frame, sizeof(frame));
		assert_int_equal(received->offload.flags, FRAME_CSUM_NEEDED);
		assert_int_equal(received->offload.csum_start, 38);
		received_free(received);
	}
	assert_true(port_send(&fixture.port, frame, sizeof(frame), &offload));
	/* The socket's reader sees it without. */
	assert_int_equal(peer_take(fixture.peer, fixture.loop, seen, &offload), sizeof(plain));
	finish(&fixture);
}

static void test_batches(void **state)
{
	static uint8_t frames[200][100], seen[FRAME_BYTES_MAX];
	struct iovec iov[200][2];
	struct frame list[200];
	struct frame_offload offload;
	struct fixture fixture;

	start(&fixture);
	for (unsigned i = 0; i < 200; i++) {
		frame_fill(frames[i], sizeof(frames[i]), i);
		iov[i][0] = (struct iovec){ frames[i], i % 100 };
		iov[i][1] = (struct iovec){ frames[i] + i % 100, 100 - i % 100 };
		list[i] = (struct frame){ .iov = iov[i], .iov_count = 2, .bytes = 100 };
	}
	/* One that the kernel refuses is taken, too, and those behind it are sent. */
	list[70].offload = (struct frame_offload){ .gso_type = FRAME_GSO_TCP4, .gso_bytes = 0 };
	assert_int_equal(fixture.nic->ops->send(fixture.port.channel, list, 200), 200);
	assert_int_equal(counter_read(&fixture.nic->counters.refused), 1);
	assert_int_equal(counter_read(&fixture.nic->counters.sent), 199);
	for (unsigned i = 0; i < 200; i++) {
		if (i == 70)
			continue;
		assert_int_equal(peer_take(fixture.peer, fixture.loop, seen, &offload), 100);
		assert_memory_equal(seen, frames[i], 100);
	}
	for (unsigned i = 0; i < 200; i++)
		peer_send(fixture.peer, frames[i], 100, NULL);
	for (unsigned i = 0; i < 200; i++) {
		struct received *received = port_take(&fixture.port);

		assert_memory_equal(received->data, frames[i], 100);
		received_free(received);
	}
	assert_true(fixture.port.inputs >= 4);
	assert_int_equal(fixture.port.most, 64);
	finish(&fixture);
}

static void test_frames_that_are_too_large(void **state)
{
	static uint8_t frame[1519];
	struct fixture fixture;

	start(&fixture);
	frame_fill(frame, sizeof(frame), 1);
	assert_true(port_send(&fixture.port, frame, sizeof(frame), NULL));
	assert_int_equal(counter_read(&fixture.nic->counters.refused), 1);
	nic_to_peer(&fixture, 1514, 2);
	finish(&fixture);
}

/* The queue gives hardly a frame away. */
static void test_no_room_then_writable(void **state)
{
	static uint8_t frame[1000], seen[FRAME_BYTES_MAX];
	struct frame_offload offload;
	struct fixture fixture;
	unsigned sent = 0;

	start(&fixture);
	command("tc qdisc add dev near0 root tbf rate 8bit burst 2000 limit 100000000");
	frame_fill(frame, sizeof(frame), 1);
	while (port_send(&fixture.port, frame, sizeof(frame), NULL))
		assert_true(++sent < 10000);
	assert_true(sent > 100);
	assert_int_equal(fixture.port.writables, 0);
	command("tc qdisc del dev near0 root");
	AWAIT(fixture.port.writables == 1, loop_turn(fixture.loop, TURN_NS));
	frame_fill(frame, sizeof(frame), 2);
	assert_true(port_send(&fixture.port, frame, sizeof(frame), NULL));
	/* Behind what is left of the others, and of what the host sends of itself. */
	while (peer_take(fixture.peer, fixture.loop, seen, &offload) != sizeof(frame) ||
	       memcmp(seen, frame, sizeof(frame)) != 0)
		;
	assert_int_equal(counter_read(&fixture.nic->counters.refused), 0);
	finish(&fixture);
}

/*
 * The queue drops what it has no room for: one frame is waited for, in case that helps, and the others are
 * given up for a second. When the queue is gone they pass.
 */
static void test_full_queue(void **state)
{
	static uint8_t frame[1000];
	struct fixture fixture;
	unsigned sent = 0;

	start_by(&fixture, 1, &stopped_clocks);
	command("tc qdisc add dev near0 root tbf rate 8bit burst 2000 limit 20000");
	frame_fill(frame, sizeof(frame), 1);
	while (port_send(&fixture.port, frame, sizeof(frame), NULL))
		assert_true(++sent < 100);
	assert_true(sent > 5);
	stopped_clock_ns += NS_PER_MS;
	AWAIT(fixture.port.writables == 1, loop_turn(fixture.loop, NS_PER_MS));
	assert_int_equal(counter_read(&fixture.nic->counters.refused), 0);
	for (unsigned i = 1; i <= 3; i++) {
		assert_true(port_send(&fixture.port, frame, sizeof(frame), NULL));
		assert_int_equal(counter_read(&fixture.nic->counters.refused), i);
	}
	stopped_clock_ns += NS_PER_S + NS_PER_MS;
	assert_int_equal(loop_turn(fixture.loop, 0), 0);
	assert_false(port_send(&fixture.port, frame, sizeof(frame), NULL));
	command("tc qdisc del dev near0 root");
	stopped_clock_ns += NS_PER_MS;
	AWAIT(fixture.port.writables == 2, loop_turn(fixture.loop, NS_PER_MS));
	assert_true(port_send(&fixture.port, frame, sizeof(frame), NULL));
	assert_int_equal(counter_read(&fixture.nic->counters.refused), 3);
	assert_int_equal(counter_read(&fixture.nic->counters.sent), sent + 1);
	finish(&fixture);
}

static void send_small(struct fixture *fixture, unsigned *count)
{
	uint8_t frame[60];

	frame_fill(frame, sizeof(frame), ++*count);
	peer_send(fixture->peer, frame, sizeof(frame), NULL);
	assert_int_equal(loop_turn(fixture->loop, TURN_NS), 0);
}

/* More frames than the socket has room for: this is said beside the next frame that it has room for. */
static void test_lost_frames_are_counted(void **state)
{
	enum { FRAMES = 10000 };
	static uint8_t frame[1000];
	struct host_nic_counters *counters;
	struct fixture fixture;
	unsigned small = 0;

	start(&fixture);
	counters = &fixture.nic->counters;
	frame_fill(frame, sizeof(frame), 1);
	for (unsigned i = 0; i < FRAMES; i++)
		peer_send(fixture.peer, frame, sizeof(frame), NULL);
	AWAIT(counter_read(&counters->overrun) > 0, send_small(&fixture, &small));
	assert_true(fixture.port.frames < FRAMES);
	assert_true(counter_read(&counters->received) + counter_read(&counters->overrun) <= FRAMES + small);
	finish(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_go_both_ways),
		cmocka_unit_test(test_frames_for_any_address),
		cmocka_unit_test(test_large_frames_pass_whole),
		cmocka_unit_test(test_checksums_left_to_the_receiver),
		cmocka_unit_test(test_vlan_tag_is_put_back),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_frames_that_are_too_large),
		cmocka_unit_test(test_no_room_then_writable),
		cmocka_unit_test(test_full_queue),
		cmocka_unit_test(test_lost_frames_are_counted),
	};

	return cmocka_run_group_tests(tests, namespace_setup, NULL);
}
