/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A device whose bound is sought: who wants it alone has all of it, and reservations follow what it does. */
#include "gate_bench.h"

static const struct speed sought = { 500000, 2, true };

/*
 * Who wants the device alone has all of it, however much that is; from the moment on at which another asks,
 * no more enters than keeps it busy.
 */
static void test_one_alone_is_not_held_back(void **state)
{
	struct fixture fixture;
	static struct guest alone, other;
	unsigned left = 0;

	start(&fixture, &sought);
	join(&fixture, &alone, 0, NULL);
	join(&fixture, &other, 1, NULL);
	turn_for(&fixture, 300 * MS);
	for (unsigned i = 0; i < 40; i++)
		ask(&alone, i);
	assert_int_equal(alone.inside, 40);
	assert_false(ask(&other, 0));
	assert_false(ask(&alone, 40));
	/* Both wait for what is inside to become what keeps the device busy. */
	while (other.inside == 0) {
		turn(&fixture);
		leave(&alone, left++);
		turn(&fixture);
		assert_true(left < 40);
	}
	assert_in_range(alone.inside, 1, 3);
	leave(&other, 0);
	/* It asks more often than every 250 ms: the bound stays. */
	for (unsigned i = 41; i < 60; i++)
		ask(&alone, i);
	for (unsigned i = 0; i < 5; i++) {
		assert_in_range(alone.inside, 1, 4);
		turn_for(&fixture, 100 * MS);
		ask(&other, 0);
		while (other.inside == 0) {
			leave(&alone, left++);
			turn(&fixture);
		}
		leave(&other, 0);
		turn(&fixture);
	}
	/* It asks no more. */
	turn_for(&fixture, 300 * MS);
	leave(&alone, left++);
	assert_int_equal(alone.inside, 60 - left);
	while (alone.inside > 0)
		leave(&alone, left++);
	part(&alone);
	part(&other);
	finish(&fixture);
}

/* A guest whose request waits or is inside wants the device, however long that takes. */
static void test_who_waits_long_is_not_forgotten(void **state)
{
	struct fixture fixture;
	static struct guest flood, victim;
	unsigned left = 0;

	start(&fixture, &sought);
	join(&fixture, &flood, 0, NULL);
	join(&fixture, &victim, 1, NULL);
	turn_for(&fixture, 300 * MS);
	for (unsigned i = 0; i < 20; i++)
		ask(&flood, i);
	assert_int_equal(flood.inside, 20);
	assert_false(ask(&victim, 0));
	for (unsigned i = 20; i < 40; i++)
		assert_false(ask(&flood, i));
	/* What is inside takes long to leave. */
	for (unsigned i = 0; i < 4; i++) {
		turn_for(&fixture, 300 * MS);
		leave(&flood, left++);
		turn(&fixture);
		assert_int_equal(victim.inside, 0);
		assert_int_equal(flood.inside, 20 - left);
	}
	while (victim.inside == 0) {
		leave(&flood, left++);
		turn(&fixture);
		assert_true(left < 20);
	}
	/* So does the victim's request. */
	turn_for(&fixture, 300 * MS);
	leave(&flood, left++);
	turn(&fixture);
	assert_in_range(flood.inside, 1, 4);
	leave(&victim, 0);
	turn_for(&fixture, 100 * MS);
	ask(&flood, 40);
	assert_in_range(flood.inside, 1, 4);
	/* Until it wants nothing for a while. */
	turn_for(&fixture, 300 * MS);
	leave(&flood, left++);
	assert_int_equal(flood.inside, 41 - left);
	while (flood.inside > 0)
		leave(&flood, left++);
	part(&flood);
	part(&victim);
	finish(&fixture);
}

/* The oldest of the guest's requests leaves, if it is inside. */
static void leave_oldest(struct guest *guest, unsigned *left)
{
	if (guest->inside > 0)
		leave(guest, (*left)++);
}

/* All costs become four times as much: what is reserved stays so many requests a second. */
static void test_reservations_follow_the_level(void **state)
{
	struct share_settings reserved = SHARE_SETTINGS_DEFAULT;
	struct fixture fixture;
	static struct guest guest, other;
	struct error error;
	unsigned left = 0, other_left = 0;

	reserved.min_iops = 400;
	start(&fixture, &sought);
	join(&fixture, &guest, 0, &reserved);
	join(&fixture, &other, 1, NULL);
	assert_int_equal(gate_reserved_ppb(fixture.gate), 200000000);
	fixture.device.request_ns *= 4;
	fixture.device.level = 4;
	turn_for(&fixture, 300 * MS);
	for (unsigned i = 0; i < 30; i++) {
		ask(&guest, i);
		ask(&other, i);
	}
	while (fixture.device.ended == 0) {
		stopped_clock_ns += MS;
		turn(&fixture);
		leave_oldest(&guest, &left);
		turn(&fixture);
		leave_oldest(&other, &other_left);
	}
	assert_in_range(gate_reserved_ppb(fixture.gate), 799999999, 800000001);
	assert_int_equal(gate_node_set(guest.node, &reserved, &error), 0);
	assert_in_range(gate_reserved_ppb(fixture.gate), 799999999, 800000001);
	reserved.min_iops = 451;
	assert_int_equal(gate_node_set(guest.node, &reserved, &error), -ENOSPC);
	assert_non_null(
		strstr(error.text, "the reservation is 90.2 % of the radio's time, and 90.0 % is left"));
	while (left + other_left < 60) {
		turn(&fixture);
		leave_oldest(&guest, &left);
		turn(&fixture);
		leave_oldest(&other, &other_left);
	}
	part(&guest);
	part(&other);
	finish(&fixture);
}

/* All ports of the guest that is alone hold leases without a bound; another guest's request ends them. */
static void test_leases_of_one_alone(void **state)
{
	struct fixture fixture;
	static struct guest alone, other;
	struct gate_counters counters = { 0 };
	struct gate_pass pass = { .enter = on_enter };
	struct gate_port *second;
	uint64_t request_ns;

	start(&fixture, &sought);
	join(&fixture, &alone, 0, NULL);
	join(&fixture, &other, 1, NULL);
	assert_int_equal(
		gate_port_open(alone.node, fixture.loop[1], &counters, &request_ns, &second), 0);
	turn_for(&fixture, 300 * MS);
	assert_true(ask(&alone, 0));
	assert_true(alone.port->lease.held);
	assert_int_equal(alone.port->lease.parallel, UINT32_MAX);
	pass.waiting.cost_ns = request_ns;
	assert_true(gate_enter(second, &pass));
	assert_true(second->lease.held);
	assert_int_equal(second->lease.parallel, UINT32_MAX);
	for (unsigned i = 1; i < 40; i++)
		assert_true(ask(&alone, i));
	assert_int_equal(fixture.gate->depth.inside, 0);
	assert_false(ask(&other, 0));
	assert_false(alone.port->lease.held);
	assert_false(second->lease.held);
	gate_leave(&pass);
	for (unsigned i = 0; i < 40; i++) {
		leave(&alone, i);
		turn(&fixture);
	}
	assert_int_equal(other.inside, 1);
	leave(&other, 0);
	assert_int_equal(fixture.gate->depth.inside, 0);
	assert_int_equal(fixture.gate->depth.inside_ns, 0);
	gate_port_close(second);
	part(&alone);
	part(&other);
	finish(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_alone_is_not_held_back),
		cmocka_unit_test(test_who_waits_long_is_not_forgotten),
		cmocka_unit_test(test_leases_of_one_alone),
		cmocka_unit_test(test_reservations_follow_the_level),
	};

	return cmocka_run_group_tests_name("gate_alone", tests, NULL, NULL);
}
