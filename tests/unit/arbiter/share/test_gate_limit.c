/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gate of a device that says itself when it is full, or takes so many bytes a second; and what asks no
 * more. */
#include "gate_bench.h"

/* Quick, and with room for all. */
static const struct speed quick = { 1000, PASSES }, millisecond = { NS_PER_MS, PASSES };

static void test_closed(void **state)
{
	struct fixture fixture;
	static struct guest guest;

	start(&fixture, &quick);
	join(&fixture, &guest, 0, NULL);
	turn_for(&fixture, 2 * GATE_CALM_NS);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(ask(&guest, 0));
		leave(&guest, 0);
	}
	/* Also for a port with a lease. */
	assert_true(guest.port->lease.held);
	gate_set_room(fixture.gate, GATE_ROOM_NONE);
	assert_false(ask(&guest, 0));
	turn_for(&fixture, 10 * MS);
	assert_int_equal(guest.inside, 0);
	gate_set_room(fixture.gate, GATE_ROOM_ENOUGH);
	turn(&fixture);
	assert_int_equal(guest.inside, 1);
	leave(&guest, 0);
	part(&guest);
	finish(&fixture);
}

/*
 * One at a time, by weight: a port that asks for one request after the other has its part when it is beside
 * the others at each decision.
 */
static void test_one_at_a_time(void **state)
{
	struct share_settings heavy = SHARE_SETTINGS_DEFAULT;
	static struct guest guests[2];
	unsigned next[2] = { 0, 0 };
	struct fixture fixture;

	start(&fixture, &quick);
	heavy.weight = 300;
	join(&fixture, &guests[0], 0, NULL);
	join(&fixture, &guests[1], 0, &heavy);
	gate_set_room(fixture.gate, GATE_ROOM_ONE);
	assert_true(ask(&guests[0], 0));
	assert_false(ask(&guests[1], 0));
	for (unsigned i = 0; i < 400; i++) {
		unsigned who = guests[1].inside;

		assert_int_equal(guests[0].inside + guests[1].inside, 1);
		guests[who].inside--;
		gate_leave_to_ask(&guests[who].pass[next[who]]);
		assert_int_equal(guests[0].inside + guests[1].inside, 0);
		next[who] = !next[who];
		ask(&guests[who], next[who]);
	}
	assert_in_range(guests[1].entered, 298, 302);
	for (unsigned g = 0; g < 2; g++)
		if (!guests[g].inside)
			gate_cancel(&guests[g].pass[next[g]]);
	for (unsigned g = 0; g < 2; g++)
		if (guests[g].inside)
			leave(&guests[g], next[g]);
	for (unsigned g = 0; g < 2; g++)
		part(&guests[g]);
	finish(&fixture);
}

/* All guests of all workers together, each by its weight. */
static void test_paced(void **state)
{
	struct share_settings heavy = SHARE_SETTINGS_DEFAULT;
	static struct guest guests[2];
	struct fixture fixture;

	start(&fixture, &millisecond);
	heavy.weight = 300;
	join(&fixture, &guests[0], 0, NULL);
	join(&fixture, &guests[1], 1, &heavy);
	gate_set_paced(fixture.gate, true);
	for (unsigned g = 0; g < 2; g++) {
		guests[g].at_once = true;
		for (unsigned i = 0; i < PASSES; i++)
			if (ask(&guests[g], i))
				assert_int_equal(guests[g].inside, 0);
	}
	/* Until then some entered at once. */
	guests[0].entered = guests[1].entered = 0;
	for (unsigned ms = 0; ms < 60; ms++) {
		stopped_clock_ns += MS;
		turn(&fixture);
	}
	assert_in_range(guests[0].entered, 14, 16);
	assert_in_range(guests[1].entered, 44, 46);
	gate_set_paced(fixture.gate, false);
	turn(&fixture);
	for (unsigned g = 0; g < 2; g++) {
		assert_int_equal(counter_read(&guests[g].counters.waiting), 0);
		part(&guests[g]);
	}
	finish(&fixture);
}

/* What does not use the device waits for limits only: not for room, nor for what waits there. */
static void test_light(void **state)
{
	struct share_settings limited = SHARE_SETTINGS_DEFAULT;
	static struct guest guest, free_guest;
	struct fixture fixture;

	start(&fixture, &quick);
	limited.max_iops = 1000;
	limited.burst_ms = 1;
	join(&fixture, &guest, 0, &limited);
	join(&fixture, &free_guest, 0, NULL);
	gate_set_room(fixture.gate, GATE_ROOM_NONE);
	assert_false(ask(&free_guest, 0));
	for (unsigned i = 1; i < 10; i++) {
		free_guest.pass[i].waiting.light = guest.pass[i].waiting.light = true;
		free_guest.pass[i].waiting.more = 1000;
		assert_true(ask(&free_guest, i));
		assert_int_equal(ask(&guest, i), i == 1);
	}
	turn_for(&fixture, 5 * MS);
	assert_in_range(guest.entered, 5, 7);
	for (unsigned i = 1; i < 10; i++) {
		leave(&free_guest, i);
		if (guest.pass[i].inside)
			leave(&guest, i);
		else
			gate_cancel(&guest.pass[i]);
	}
	assert_int_equal(free_guest.entered, 9);
	assert_int_equal(counter_read(&guest.counters.device_ns), 0);
	assert_true(counter_read(&guest.counters.throttled_ns) > 0);
	assert_int_equal(fixture.gate->depth.inside, 0);
	gate_cancel(&free_guest.pass[0]);
	part(&guest);
	part(&free_guest);
	finish(&fixture);
}

/* One that is given up, whether it waits or may enter already, leaves its room to others. */
static void test_cancelled(void **state)
{
	static struct guest first, second;
	struct fixture fixture;

	start(&fixture, &slow);
	join(&fixture, &first, 0, NULL);
	join(&fixture, &second, 1, NULL);
	for (unsigned i = 0; i < 10; i++)
		ask(&first, i);
	for (unsigned i = 0; i < 10; i++)
		ask(&second, i);
	for (unsigned i = 5; i < 10; i++)
		gate_cancel(&first.pass[i]);
	/* The room is granted to the other worker's requests, which do not know yet. */
	for (unsigned i = 0; first.inside > 0; i++)
		leave(&first, i);
	assert_int_equal(second.inside, 0);
	assert_non_null(second.port->lane->granted);
	gate_cancel(&second.pass[0]);
	assert_false(second.pass[0].inside);
	assert_true(second.pass[1].inside);
	for (unsigned i = 1; i < 10; i++) {
		if (second.pass[i].inside)
			leave(&second, i);
		else
			gate_cancel(&second.pass[i]);
	}
	turn(&fixture);
	assert_int_equal(second.inside, 0);
	assert_int_equal(counter_read(&second.counters.waiting), 0);
	assert_int_equal(first.entered, 5);
	part(&first);
	part(&second);
	finish(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_closed),	  cmocka_unit_test(test_one_at_a_time),
		cmocka_unit_test(test_paced),	  cmocka_unit_test(test_light),
		cmocka_unit_test(test_cancelled),
	};

	return cmocka_run_group_tests_name("gate limit", tests, NULL, NULL);
}
