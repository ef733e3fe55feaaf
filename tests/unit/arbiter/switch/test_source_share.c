/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cards that share an uplink in time: weights, limits, and an uplink that says itself when it is full. */
#include "source_share_bench.h"

/* ---- weights ---- */

static void test_weights(void **state)
{
	struct share_settings heavy = SHARE_SETTINGS_DEFAULT;

	begin(0);
	heavy.weight = 300;
	join(&guests[0], 0, NULL);
	join(&guests[1], 1, &heavy);
	uplink_meter_set_bandwidth(vswitch_meter(vswitch), 12500000, true);
	guests[0].wanted = guests[1].wanted = 1000000;
	run(1000 * MS);
	assert_part((double)(guests[0].sent + guests[1].sent) * 1000, 12.5e6);
	assert_part((double)guests[1].sent / (double)guests[0].sent, 3);
	assert_int_equal(dropped(guests[0].card, PORT_DROP_FULL), 0);
	end();
}

/* Bytes are what is shared, not frames: a flood of small ones gets no more than its part. */
static void test_small_against_large(void **state)
{
	begin(0);
	join(&guests[0], 0, NULL);
	join(&guests[1], 1, NULL);
	uplink_meter_set_bandwidth(vswitch_meter(vswitch), 12500000, true);
	guests[0].bytes = 64;
	guests[1].bytes = 1514;
	guests[0].wanted = guests[1].wanted = 1000000;
	run(1000 * MS);
	assert_part((double)(guests[0].sent * 64) / (double)(guests[1].sent * 1514), 1);
	end();
}

/* A guest that wants little does not wait for those that want all. */
static void test_modest(void **state)
{
	struct gate_counters time;

	begin(0);
	for (unsigned i = 0; i < 3; i++)
		join(&guests[i], i, NULL);
	uplink_meter_set_bandwidth(vswitch_meter(vswitch), 12500000, true);
	guests[0].wanted = guests[1].wanted = 10000000;
	for (unsigned i = 0; i < 100; i++) {
		guests[2].wanted = 1;
		run(MS);
	}
	assert_in_range(guests[2].sent, 95, 100);
	port_time(guests[2].card->port, &time);
	assert_in_range(histogram_quantile_ns(&time.wait, 0.9), 0, 2 * MS);
	port_time(guests[0].card->port, &time);
	assert_true(counter_read(&time.contended_ns) > 40 * MS);
	end();
}

static void test_reservation(void **state)
{
	struct share_settings reserved = SHARE_SETTINGS_DEFAULT, too_much = SHARE_SETTINGS_DEFAULT;
	struct gate *gate;
	struct error error;
	struct gate_node *node;

	begin(0);
	gate = uplink_meter_gate(vswitch_meter(vswitch));
	uplink_meter_set_bandwidth(vswitch_meter(vswitch), 12500000, true);
	reserved.weight = 1;
	reserved.min_bandwidth = 5000000;
	join(&guests[0], 0, &reserved);
	join(&guests[1], 1, NULL);
	guests[0].wanted = guests[1].wanted = 1000000;
	run(1000 * MS);
	assert_part((double)guests[0].sent * 1000, 5e6);
	too_much.min_bandwidth = 7000000;
	assert_int_equal(gate_node_create(gate, NULL, &too_much, &node, &error), -ENOSPC);
	assert_non_null(strstr(error.text, "of the uplink's time"));
	assert_non_null(strstr(error.text, "min_bandwidth up to"));
	end();
}

/* ---- a card that is full ---- */

/* Two guests with frames of these sizes, the second one with three times the weight of the first. */
static void fill_card(uint32_t small, uint32_t large)
{
	struct share_settings heavy = SHARE_SETTINGS_DEFAULT;
	uint64_t before[2] = { 0, 0 };
	uint8_t buffer[2000];

	begin(4);
	heavy.weight = 300;
	join(&guests[0], 0, NULL);
	join(&guests[1], 1, &heavy);
	guests[0].bytes = small;
	guests[1].bytes = large;
	guests[0].wanted = guests[1].wanted = 1000000;
	for (unsigned t = 0; t < 30000; t++) {
		for (unsigned i = 0; t == 5000 && i < 2; i++)
			before[i] = guests[i].sent;
		for (unsigned i = 0; i < 2; i++)
			while (!guests[i].held)
				send_some(&guests[i], PORT_BATCH);
		for (unsigned i = 0; i < 2; i++)
			assert_true(nic_memory_take(nic, buffer, sizeof(buffer), NULL) > 0);
		nic_memory_room(nic, 4);
		assert_int_equal(loop_turn(loop, 0), 0);
		stopped_clock_ns += 50 * NS_PER_US;
	}
	assert_int_equal(dropped(guests[0].card, PORT_DROP_FULL), 0);
	assert_true(guests[0].held && guests[1].held);
	assert_part((double)((guests[1].sent - before[1]) * large) /
			    (double)((guests[0].sent - before[0]) * small),
		    3);
	end();
}

/* Nothing is lost, and weights decide which guest goes next. */
static void test_full_card(void **state)
{
	fill_card(1000, 1000);
	fill_card(64, 64);
	fill_card(64, 1514);
	fill_card(1514, 64);
}

/* Other guests can be reached all the time, and an uplink that goes lets go of all. */
static void test_others_do_not_wait(void **state)
{
	uint8_t address[6];

	begin(1);
	join(&guests[0], 0, NULL);
	join(&guests[1], 1, NULL);
	guests[0].wanted = 1000000;
	run(10 * MS);
	nic_memory_room(nic, 0);
	while (!guests[0].held)
		send_some(&guests[0], PORT_BATCH);
	card_address(address, 0);
	guests[1].to = address;
	guests[1].wanted = 100;
	run(MS);
	assert_int_equal(guests[1].sent, 100);
	assert_int_equal(guests[0].card->count, 100);
	end();
}

/* ---- limits ---- */

static void test_limits(void **state)
{
	struct share_settings limited = SHARE_SETTINGS_DEFAULT;
	struct gate_counters time;
	uint8_t address[6];

	begin(0);
	limited.max_iops = 1000;
	join(&guests[0], 0, &limited);
	limited.max_iops = 0;
	limited.max_bandwidth = 1000000;
	join(&guests[1], 1, &limited);
	join(&guests[2], 2, NULL);
	card_address(address, 2);
	guests[0].to = guests[1].to = address;
	guests[0].wanted = guests[1].wanted = 100000;
	/* Long enough for one batch more or less not to matter. */
	run(4000 * MS);
	assert_part((double)guests[0].sent, 4000);
	assert_part((double)guests[1].sent, 4000);
	/* To the uplink they hold alike. */
	guests[0].to = guests[1].to = world;
	guests[0].sent = guests[1].sent = 0;
	run(4000 * MS);
	assert_part((double)guests[0].sent, 4000);
	assert_part((double)guests[1].sent, 4000);
	port_time(guests[0].card->port, &time);
	assert_true(counter_read(&time.throttled_ns) > 1500 * MS);
	/* A limit that is lifted holds nothing back any more. */
	limited.max_bandwidth = 0;
	assert_int_equal(gate_node_set(guests[1].node, &limited, NULL), 0);
	guests[1].wanted = 5000;
	run(20 * MS);
	assert_int_equal(guests[1].wanted, 0);
	end();
}

/* What the card, or we, cut into segments counts as those. */
static void test_segments_count(void **state)
{
	struct share_settings limited = SHARE_SETTINGS_DEFAULT;
	uint8_t bytes[14 + 40 + 10000] = { 0 };
	struct iovec iov = { bytes, sizeof(bytes) };
	struct frame frame = { .iov = &iov,
			       .iov_count = 1,
			       .bytes = sizeof(bytes),
			       .offload = { .flags = FRAME_CSUM_NEEDED,
					    .gso_type = FRAME_GSO_TCP4,
					    .gso_bytes = 1000,
					    .csum_start = 34,
					    .csum_offset = 16 } };
	unsigned sent = 0;

	begin(0);
	limited.max_iops = 1000;
	limited.burst_ms = 10;
	join(&guests[0], 0, &limited);
	memcpy(bytes, world, 6);
	memcpy(bytes + 6, port_address(guests[0].card->port), 6);
	bytes[12] = 8;
	bytes[14] = 0x45;
	bytes[16] = (uint8_t)((sizeof(bytes) - 14) >> 8);
	bytes[17] = (uint8_t)(sizeof(bytes) - 14);
	bytes[23] = 6;
	bytes[14 + 20 + 12] = 0x50;
	for (unsigned ms = 0; ms < 1000; ms++) {
		if (!guests[0].held) {
			unsigned taken = port_send(guests[0].card->source, &frame, 1);

			guests[0].held = taken == 0;
			sent += taken;
		}
		drain_nic();
		assert_int_equal(loop_turn(loop, 0), 0);
		stopped_clock_ns += MS;
	}
	assert_in_range(sent, 99, 102);
	end();
}

/* ---- a guest that plays with its turn ---- */

/* While it waits it may put other frames there: it pays for these, too. */
static void test_other_frames_than_asked_for(void **state)
{
	begin(0);
	join(&guests[0], 0, NULL);
	join(&guests[1], 1, NULL);
	uplink_meter_set_bandwidth(vswitch_meter(vswitch), 12500000, true);
	guests[0].wanted = guests[1].wanted = 1000000;
	for (unsigned t = 0; t < 20000; t++) {
		/* Asks with a small frame, and sends a large one. */
		if (!guests[0].held) {
			guests[0].bytes = 1514;
			send_some(&guests[0], 1);
		}
		guests[0].bytes = 60;
		if (!guests[0].held)
			send_some(&guests[0], 1);
		if (!guests[1].held)
			send_some(&guests[1], PORT_BATCH);
		drain_nic();
		assert_int_equal(loop_turn(loop, 0), 0);
		stopped_clock_ns += 50 * NS_PER_US;
	}
	/* It has at most half of the second's bytes, whatever its frames were. */
	assert_true((double)guests[1].sent * 1000 >= 0.49 * 12.5e6);
	end();
}

/* A worker with many guests comes to each of them late: their turns are over then, and yet all is carried. */
static void test_late_worker(void **state)
{
	uint64_t sent = 0;

	begin(0);
	for (unsigned i = 0; i < GUESTS; i++) {
		join(&guests[i], i, NULL);
		guests[i].wanted = 1000000;
	}
	uplink_meter_set_bandwidth(vswitch_meter(vswitch), 12500000, true);
	for (unsigned t = 0; t < 20000; t++) {
		struct guest *guest = &guests[t % GUESTS];

		while (!guest->held)
			send_some(guest, PORT_BATCH);
		drain_nic();
		assert_int_equal(loop_turn(loop, 0), 0);
		stopped_clock_ns += 50 * NS_PER_US;
	}
	for (unsigned i = 0; i < GUESTS; i++)
		sent += guests[i].sent;
	assert_part((double)sent * 1000, 12.5e6);
	for (unsigned i = 0; i < GUESTS; i++)
		assert_part((double)guests[i].sent * GUESTS / (double)sent, 1);
	end();
}

/* While the switch stands still nothing is sent and nothing is lost; then all goes on. */
static void test_standing_still(void **state)
{
	uint8_t address[6];

	begin(0);
	for (unsigned i = 0; i < 3; i++)
		join(&guests[i], i, NULL);
	card_address(address, 2);
	guests[0].to = address;
	guests[0].wanted = guests[1].wanted = 1000;
	vswitch_stand_still(vswitch, true);
	run(10 * MS);
	assert_int_equal(guests[0].sent + guests[1].sent, 0);
	assert_true(guests[0].held && guests[1].held);
	/* A queue may end meanwhile. */
	port_source_close(guests[1].card->source);
	open_source(&guests[1]);
	guests[1].held = false;
	run(MS);
	vswitch_stand_still(vswitch, false);
	run(10 * MS);
	assert_int_equal(guests[0].sent + guests[1].sent, 2000);
	assert_int_equal(guests[2].card->count, 1000);
	end();
}

/* A queue stops while it waits, when its turn has come, and in between. */
static void test_stop_at_any_moment(void **state)
{
	begin(0);
	join(&guests[0], 0, NULL);
	join(&guests[1], 1, NULL);
	uplink_meter_set_bandwidth(vswitch_meter(vswitch), 1250000, true);
	guests[1].wanted = 10000000;
	for (unsigned t = 0; t < 2000; t++) {
		guests[0].wanted = 1000;
		while (guests[0].wanted > 0 && !guests[0].held)
			send_some(&guests[0], PORT_BATCH);
		run(t % 7 * 50 * NS_PER_US);
		port_source_close(guests[0].card->source);
		guests[0].held = false;
		open_source(&guests[0]);
		run(50 * NS_PER_US);
	}
	guests[0].sent = guests[1].sent = 0;
	guests[0].wanted = 10000000;
	run(1000 * MS);
	assert_part((double)guests[0].sent / (double)guests[1].sent, 1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_small_against_large),
		cmocka_unit_test(test_modest),
		cmocka_unit_test(test_reservation),
		cmocka_unit_test(test_full_card),
		cmocka_unit_test(test_others_do_not_wait),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_segments_count),
		cmocka_unit_test(test_other_frames_than_asked_for),
		cmocka_unit_test(test_late_worker),
		cmocka_unit_test(test_standing_still),
		cmocka_unit_test(test_stop_at_any_moment),
	};

	return cmocka_run_group_tests_name("source share", tests, NULL, NULL);
}
