/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests that want more of the uplink than is theirs: by what they mix into a batch, by what they put into
 * the place of a frame that waits, by frames that are cut into thousands, and by their number.
 */
#include "source_share_bench.h"

#define TCP_HEAD 54u

static uint8_t peer[6];

/* What guests 0 and 1 send to guest 2 is forgotten. */
static void empty_peer(void)
{
	guests[2].card->count = 0;
	guests[2].card->room = CARD_FRAMES_MAX;
}

static void begin_three(const struct share_settings *first, uint64_t bandwidth)
{
	begin(0);
	join(&guests[0], 0, first);
	join(&guests[1], 1, NULL);
	join(&guests[2], 2, NULL);
	card_address(peer, 2);
	if (bandwidth > 0)
		uplink_meter_set_bandwidth(vswitch_meter(vswitch), bandwidth, true);
	guests[0].wanted = guests[1].wanted = 100000000;
}

static void step(void)
{
	drain_nic();
	if (guests[2].card)
		empty_peer();
	assert_int_equal(loop_turn(loop, 0), 0);
	stopped_clock_ns += 50 * NS_PER_US;
}

/* Frames to a guest that ask together with one to the uplink take none of what the uplink carries. */
static void test_mixed_batch(void **state)
{
	static uint8_t small[60], large[1514];
	struct iovec iov[2] = { { small, sizeof(small) }, { large, sizeof(large) } };
	const struct frame frames[2] = { { .iov = &iov[0], .iov_count = 1, .bytes = sizeof(small) },
					 { .iov = &iov[1], .iov_count = 1, .bytes = sizeof(large) } };
	unsigned at = 0;

	begin_three(NULL, 12500000);
	frame_bytes(small, sizeof(small), world, port_address(guests[0].card->port), 1);
	frame_bytes(large, sizeof(large), peer, port_address(guests[0].card->port), 1);
	guests[1].bytes = 1514;
	for (unsigned t = 0; t < 20000; t++, step()) {
		for (unsigned i = 0; i < 100 && !guests[0].held; i++) {
			unsigned taken = port_send(guests[0].card->source, frames + at, 2 - at);

			guests[0].held = taken < 2 - at;
			at = (at + taken) % 2;
		}
		while (!guests[1].held)
			send_some(&guests[1], PORT_BATCH);
	}
	/* The other half is the small frames'. */
	assert_true((double)guests[1].sent * 1514 > 0.48 * 12.5e6);
	end();
}

/* A frame that waited for a limit on its way to a guest, and then goes to the uplink, has not paid for that.
 */
static void test_other_destination(void **state)
{
	struct share_settings limited = SHARE_SETTINGS_DEFAULT;
	struct gate_counters time;
	uint64_t swapped = 0;

	limited.max_bandwidth = 10000000;
	limited.burst_ms = 1;
	begin_three(&limited, 1000000);
	for (unsigned t = 0; t < 40000; t++, step()) {
		if (!guests[0].held && guests[0].resumed > 0) {
			guests[0].resumed = 0;
			guests[0].to = world;
			swapped += send_some(&guests[0], 1);
		}
		guests[0].to = peer;
		while (!guests[0].held)
			send_some(&guests[0], PORT_BATCH);
		while (!guests[1].held)
			send_some(&guests[1], PORT_BATCH);
	}
	port_time(guests[0].card->port, &time);
	assert_true(swapped <= 1050);
	assert_true(counter_read(&time.device_ns) >= swapped * NS_PER_MS);
	assert_true(guests[1].sent >= 950);
	end();
}

static void put_tcp(uint8_t *bytes, size_t count, const uint8_t to[6], const struct card *from)
{
	memset(bytes, 0, TCP_HEAD);
	memcpy(bytes, to, 6);
	memcpy(bytes + 6, port_address(from->port), 6);
	bytes[12] = 8;
	bytes[14] = 0x45;
	bytes[16] = (uint8_t)((count - 14) >> 8);
	bytes[17] = (uint8_t)(count - 14);
	bytes[23] = 6;
	bytes[14 + 20 + 12] = 0x50;
}

static struct frame tcp_frame(const struct iovec *iov, uint16_t gso_bytes)
{
	return (struct frame){ .iov = iov,
			       .iov_count = 1,
			       .bytes = (uint32_t)iov->iov_len,
			       .offload = { .flags = FRAME_CSUM_NEEDED,
					    .gso_type = FRAME_GSO_TCP4,
					    .gso_bytes = gso_bytes,
					    .csum_start = 34,
					    .csum_offset = 16 } };
}

/* Nor has one that is cut into more segments now, although it has no more bytes. */
static void test_more_segments(void **state)
{
	static uint8_t large[TCP_HEAD + 60000], many[TCP_HEAD + 10000];
	struct share_settings limited = SHARE_SETTINGS_DEFAULT;
	struct iovec large_iov = { large, sizeof(large) }, many_iov = { many, sizeof(many) };
	struct frame one = tcp_frame(&large_iov, 60000), cut = tcp_frame(&many_iov, 20);
	uint64_t segments = 0;

	limited.max_iops = 1000;
	begin_three(&limited, 0);
	put_tcp(large, sizeof(large), peer, guests[0].card);
	put_tcp(many, sizeof(many), peer, guests[0].card);
	for (unsigned t = 0; t < 80000; t++, step()) {
		if (!guests[0].held && guests[0].resumed > 0) {
			guests[0].resumed = 0;
			guests[0].held = port_send(guests[0].card->source, &cut, 1) == 0;
			segments += guests[0].held ? 0 : 500;
		}
		for (unsigned i = 0; i < 100 && !guests[0].held; i++) {
			guests[0].held = port_send(guests[0].card->source, &one, 1) == 0;
			segments += !guests[0].held;
		}
	}
	assert_in_range(segments, 3000, 5000);
	end();
}

/* ---- limits that guests share ---- */

/* Bytes of a second that two guests of a limited group get, with frames of these sizes. */
static void share_group(bool to_world, double *ret_small, double *ret_large)
{
	struct share_settings group_settings = SHARE_SETTINGS_DEFAULT;
	struct gate_node *group;

	begin_three(NULL, 0);
	group_settings.max_bandwidth = 1000000;
	assert_int_equal(gate_node_create(uplink_meter_gate(vswitch_meter(vswitch)), NULL, &group_settings,
					  &group, NULL),
			 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(gate_node_move(guests[i].node, group, NULL), 0);
	guests[0].to = peer;
	guests[0].bytes = 60;
	guests[1].to = to_world ? world : peer;
	guests[1].bytes = 1514;
	for (unsigned t = 0; t < 200000; t++, step())
		for (unsigned i = 0; i < 2; i++)
			while (!guests[i].held)
				send_some(&guests[i], PORT_BATCH);
	*ret_small = (double)guests[0].sent * 60 / 10;
	*ret_large = (double)guests[1].sent * 1514 / 10;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(gate_node_move(guests[i].node, NULL, NULL), 0);
	gate_node_destroy(group);
	end();
}

/* One that asks for little and often takes no more of a group's limit than one that asks for much. */
static void test_group_limit(void **state)
{
	double small, large;

	share_group(false, &small, &large);
	assert_part(small + large, 1e6);
	assert_part(small / large, 1);
	share_group(true, &small, &large);
	assert_part(small + large, 1e6);
	assert_part(small / large, 1);
}

/* ---- many at once ---- */

/* Many that wait with large frames when the card has room again do not overfill what waits for it. */
static void test_many_large(void **state)
{
	static uint8_t large[TCP_HEAD + 60000], buffer[FRAME_BYTES_MAX];
	struct iovec iov = { large, sizeof(large) };
	const struct frame frame = tcp_frame(&iov, 1446);
	struct port_totals totals;

	begin_with(&(struct nic_memory_options){ .room = 4, .sends = { .csum = 1, .tso4 = 1 } });
	for (unsigned i = 0; i < GUESTS; i++)
		join(&guests[i], i, NULL);
	for (unsigned t = 0; t < 10000; t++) {
		for (unsigned i = 0; i < GUESTS; i++) {
			put_tcp(large, sizeof(large), world, guests[i].card);
			while (!guests[i].held) {
				guests[i].held = port_send(guests[i].card->source, &frame, 1) == 0;
				guests[i].sent += !guests[i].held;
			}
		}
		nic_memory_take(nic, buffer, sizeof(buffer), NULL);
		nic_memory_room(nic, 4);
		assert_int_equal(loop_turn(loop, 0), 0);
		stopped_clock_ns += 50 * NS_PER_US;
	}
	port_totals(uplink, &totals);
	assert_int_equal(totals.dropped[PORT_DROP_FULL], 0);
	assert_true(totals.received_frames > 9000);
	for (unsigned i = 1; i < GUESTS; i++)
		assert_in_range(guests[i].sent, guests[0].sent - 12, guests[0].sent + 12);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mixed_batch),   cmocka_unit_test(test_other_destination),
		cmocka_unit_test(test_more_segments), cmocka_unit_test(test_group_limit),
		cmocka_unit_test(test_many_large),
	};

	return cmocka_run_group_tests_name("source share, hostile", tests, NULL, NULL);
}
