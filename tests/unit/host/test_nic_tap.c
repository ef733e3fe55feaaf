/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames through a tap. */
#include "nic_tap_fixture.h"

#include <linux/if_tun.h>
#include <sys/ioctl.h>

static void test_frames_go_both_ways(void **state)
{
	static const size_t sizes[] = { 14, 60, 61, 1514 };
	struct fixture fixture;
	struct ifreq ifreq = { 0 };
	uint64_t bytes = 0;

	start(&fixture, &plain);
	assert_string_equal(fixture.nic->ops->name, "tap");
	assert_int_equal(fixture.nic->channels, 1);
	assert_int_equal(fixture.nic->sends.mtu, 1500);
	assert_true(fixture.nic->sends.csum && fixture.nic->sends.tso4 && fixture.nic->sends.tso6);
	assert_true(nic_is_up(fixture.nic));
	memcpy(ifreq.ifr_name, fixture.name, sizeof(fixture.name));
	assert_int_equal(ioctl(fixture.peer, SIOCGIFHWADDR, &ifreq), 0);
	assert_memory_equal(fixture.nic->address, ifreq.ifr_hwaddr.sa_data, 6);
	for (unsigned i = 0; i < 4; i++) {
		peer_to_nic(&fixture, sizes[i], i);
		nic_to_peer(&fixture, sizes[i], i + 10);
		bytes += sizes[i];
	}
	assert_int_equal(counter_read(&fixture.nic->counters.sent), 4);
	assert_int_equal(counter_read(&fixture.nic->counters.sent_bytes), bytes);
	assert_int_equal(counter_read(&fixture.nic->counters.received), 4);
	assert_int_equal(counter_read(&fixture.nic->counters.received_bytes), bytes);
	finish(&fixture);
	/* It was made for the NIC, and is gone with it. */
	AWAIT(if_nametoindex(fixture.name) == 0, sched_yield());
}

static void test_large_frames_pass_whole(void **state)
{
	static uint8_t frame[60000 + TCP_HEADERS], seen[FRAME_BYTES_MAX];
	struct frame_offload offload, other;
	struct received *received;
	struct fixture fixture;

	start(&fixture, &plain);
	tcp_fill(frame, sizeof(frame), 1000, &offload);
	assert_true(port_send(&fixture.port, frame, sizeof(frame), &offload));
	assert_int_equal(peer_take(fixture.peer, fixture.loop, seen, &other), sizeof(frame));
	assert_memory_equal(seen, frame, sizeof(frame));
	assert_int_equal(other.gso_type, FRAME_GSO_TCP4);
	assert_int_equal(other.gso_bytes, 1000);
	assert_int_equal(other.flags, FRAME_CSUM_NEEDED);
	assert_int_equal(other.csum_start, 34);

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

	start(&fixture, &plain);
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

/* The kernel does it all before. */
static void test_without_offload(void **state)
{
	struct nic_tap_options options = { .fd = -1 };
	static uint8_t frame[10 * 1000 + TCP_HEADERS];
	struct frame_offload offload;
	struct fixture fixture;

	start(&fixture, &options);
	assert_int_equal(fixture.nic->sends.csum + fixture.nic->sends.tso4 + fixture.nic->sends.tso6 +
				 fixture.nic->sends.ecn + fixture.nic->sends.uso,
			 0);
	tcp_fill(frame, sizeof(frame), 1000, &offload);
	peer_send(fixture.peer, frame, sizeof(frame), &offload);
	for (unsigned i = 0; i < 10; i++) {
		struct received *received = port_take(&fixture.port);

		assert_int_equal(received->bytes, 1000 + TCP_HEADERS);
		assert_int_equal(received->offload.gso_type, FRAME_GSO_NONE);
		assert_false(received->offload.flags & FRAME_CSUM_NEEDED);
		assert_int_equal(tcp_sum(received->data, received->bytes), 0xffff);
		assert_memory_equal(received->data + TCP_HEADERS, frame + TCP_HEADERS + i * 1000, 1000);
		received_free(received);
	}
	finish(&fixture);
}

static void test_batches(void **state)
{
	static uint8_t frames[200][100], seen[FRAME_BYTES_MAX];
	struct iovec iov[200][2];
	struct frame list[200];
	struct frame_offload offload;
	struct fixture fixture;

	start(&fixture, &plain);
	for (unsigned i = 0; i < 200; i++) {
		frame_fill(frames[i], sizeof(frames[i]), i);
		iov[i][0] = (struct iovec){ frames[i], i % 100 };
		iov[i][1] = (struct iovec){ frames[i] + i % 100, 100 - i % 100 };
		list[i] = (struct frame){ .iov = iov[i], .iov_count = 2, .bytes = 100 };
	}
	assert_int_equal(fixture.nic->ops->send(fixture.port.channel, list, 200), 200);
	for (unsigned i = 0; i < 200; i++) {
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

static void test_frames_that_the_kernel_refuses(void **state)
{
	struct frame_offload offload = { .gso_type = FRAME_GSO_TCP4, .gso_bytes = 0 };
	struct fixture fixture;
	uint8_t frame[60];

	start(&fixture, &plain);
	frame_fill(frame, sizeof(frame), 1);
	assert_true(port_send(&fixture.port, frame, sizeof(frame), &offload));
	assert_int_equal(counter_read(&fixture.nic->counters.refused), 1);
	nic_to_peer(&fixture, 60, 2);
	finish(&fixture);
}

/* The frames lie in a slow queue behind a bridge, and the tap may have so many under way only. */
static void test_no_room_then_writable(void **state)
{
	static uint8_t frame[1000], seen[FRAME_BYTES_MAX];
	struct frame_offload offload;
	struct fixture fixture;
	int room = 30000;
	unsigned sent = 0;
	uint64_t before;

	start(&fixture, &plain);
	command("ip link add bridge0 type bridge && ip link add slow0 type veth peer name far0");
	command("ip link set %s master bridge0 && ip link set slow0 master bridge0", fixture.name);
	command("ip link set bridge0 up && ip link set slow0 up && ip link set far0 up");
	close(fixture.peer);
	fixture.peer = peer_open("far0");
	AWAIT(reaches_peer(&fixture), (void)0);
	command("tc qdisc add dev slow0 root tbf rate 8bit burst 2000 limit 100000000");
	assert_int_equal(ioctl(fixture.nic->ops->channel_fd(fixture.nic, 0), TUNSETSNDBUF, &room), 0);
	frame_fill(frame, sizeof(frame), 1);
	/* A broadcast would be copied, and the copy be the bridge's. */
	frame[0] = 2;
	before = counter_read(&fixture.nic->counters.sent);
	while (port_send(&fixture.port, frame, sizeof(frame), NULL))
		assert_true(++sent < 10000);
	assert_int_equal(fixture.port.writables, 0);
	/* The queue is given up, and what is in it. */
	command("tc qdisc del dev slow0 root");
	AWAIT(fixture.port.writables == 1, loop_turn(fixture.loop, TURN_NS));
	frame_fill(frame, sizeof(frame), 2);
	assert_true(port_send(&fixture.port, frame, sizeof(frame), NULL));
	/* Behind what is left of the others, and of what the host sends of itself. */
	while (peer_take(fixture.peer, fixture.loop, seen, &offload) != sizeof(frame) ||
	       memcmp(seen, frame, sizeof(frame)) != 0)
		;
	assert_int_equal(counter_read(&fixture.nic->counters.sent), before + sent + 1);
	finish(&fixture);
	command("ip link del bridge0 && ip link del slow0");
}

/* Deletes the interface, and waits for the NIC's next one. */
static void await_another(struct fixture *fixture)
{
	unsigned before = if_nametoindex(fixture->name);

	command("ip link del %s", fixture->name);
	AWAIT(if_nametoindex(fixture->name) > before && nic_is_up(fixture->nic),
	      loop_turn(fixture->loop, TURN_NS));
	close(fixture->peer);
	fixture->peer = peer_open(fixture->name);
}

static void test_channels(void **state)
{
	uint64_t sent;
	struct nic_tap_options options = { .fd = -1, .channels = 2, .offload = true };
	struct port second, third;
	struct fixture fixture;
	uint8_t frame[TCP_HEADERS + 6];
	struct frame_offload offload;

	start(&fixture, &options);
	assert_int_equal(fixture.nic->channels, 2);
	/* One channel alone gets all frames. */
	for (unsigned i = 0; i < 32; i++) {
		tcp_fill(frame, sizeof(frame), 0, &offload);
		frame[35] = (uint8_t)i;
		peer_send(fixture.peer, frame, sizeof(frame), &offload);
	}
	AWAIT(fixture.port.frames == 32, loop_turn(fixture.loop, TURN_NS));
	port_open(&second, fixture.loop, fixture.nic);
	assert_int_equal(port_try_open(&third, fixture.loop, fixture.nic), -EMFILE);
	for (unsigned i = 0; i < 32; i++) {
		frame[35] = (uint8_t)i;
		peer_send(fixture.peer, frame, sizeof(frame), &offload);
	}
	AWAIT(fixture.port.frames + second.frames == 64, loop_turn(fixture.loop, TURN_NS));
	assert_true(second.frames > 0);
	nic_to_peer(&fixture, 60, 1);
	assert_true(port_send(&second, frame, sizeof(frame), NULL));
	assert_int_equal(counter_read(&fixture.nic->counters.sent), 2);
	/* Both come back after their interface was deleted. */
	await_another(&fixture);
	AWAIT(reaches_peer(&fixture), (void)0);
	port_finish(&second);
	port_drop(&fixture.port);
	meet(&fixture);
	/* The second makes it, too, when the first is not open. */
	port_open(&second, fixture.loop, fixture.nic);
	port_finish(&fixture.port);
	await_another(&fixture);
	sent = counter_read(&fixture.nic->counters.sent);
	assert_true(port_send(&second, frame, sizeof(frame), NULL));
	assert_int_equal(counter_read(&fixture.nic->counters.sent), sent + 1);
	port_finish(&second);
	finish(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_go_both_ways),
		cmocka_unit_test(test_large_frames_pass_whole),
		cmocka_unit_test(test_checksums_left_to_the_receiver),
		cmocka_unit_test(test_without_offload),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_frames_that_the_kernel_refuses),
		cmocka_unit_test(test_no_room_then_writable),
		cmocka_unit_test(test_channels),
	};

	return cmocka_run_group_tests(tests, namespace_setup, NULL);
}
