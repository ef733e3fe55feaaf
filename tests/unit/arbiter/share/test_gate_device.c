/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the gate tells the owner of a device that is no disk, and what it asks. */
#include "gate_bench.h"

static void pass_time(struct fixture *fixture, uint64_t ns)
{
	stopped_clock_ns += ns;
	turn(fixture);
}

static void begin(struct fixture *fixture)
{
	start(fixture, &slow);
	turn(fixture);
}

static void empty(struct fixture *fixture, struct guest *guest, unsigned from)
{
	for (unsigned i = from; guest->inside > 0; i++)
		leave(guest, i);
	part(guest);
	finish(fixture);
}

/* A window is a time in which the device was full, with each request that left in it, and nothing else. */
static void test_windows(void **state)
{
	struct fixture fixture;
	static struct guest guest;

	begin(&fixture);
	join(&fixture, &guest, 0, NULL);
	ask(&guest, 0);
	pass_time(&fixture, MS);
	leave(&guest, 0);
	assert_int_equal(fixture.device.begun, 0);	/* it never was full */
	for (unsigned i = 0; i < 40; i++)
		ask(&guest, i);
	assert_int_equal(fixture.device.begun, 1);
	for (unsigned i = 0; i < 9; i++) {
		pass_time(&fixture, MS);
		leave(&guest, i);
	}
	assert_int_equal(fixture.device.added, 9);
	assert_int_equal(fixture.device.ended, 0);
	pass_time(&fixture, 3 * MS);
	leave(&guest, 9);
	assert_int_equal(fixture.device.ended, 1);
	assert_int_equal(fixture.device.wall_ns, 12 * MS);
	assert_int_equal(fixture.device.begun, 2);
	pass_time(&fixture, MS);
	leave(&guest, 10);
	assert_int_equal(fixture.device.added, 1);
	empty(&fixture, &guest, 11);
	assert_int_equal(fixture.device.ended, 1);
}

/* Each port is told of other costs once, when it takes the lock next; what asks then has the new cost. */
static void test_costs_change(void **state)
{
	static const struct gate_bound changed = {
		.parallel = 4, .window_ns = 1400000, .request_ns = 300000,
	};
	struct fixture fixture;
	static struct guest guest, other;

	begin(&fixture);
	join(&fixture, &guest, 0, NULL);
	join(&fixture, &other, 1, NULL);
	assert_int_equal(fixture.device.told, 2);
	assert_true(ask(&guest, 0));
	assert_int_equal(counter_read(&guest.counters.device_ns), 500000);
	fixture.device.request_ns = 300000;
	gate_costs_changed(fixture.gate, &changed);
	assert_int_equal(fixture.device.told, 2);
	assert_true(ask(&guest, 1));
	assert_int_equal(fixture.device.told, 3);
	assert_int_equal(counter_read(&guest.counters.device_ns), 800000);
	assert_int_equal(guest.request_ns, 300000);
	assert_int_equal(other.request_ns, 500000);
	leave(&guest, 0);
	leave(&guest, 1);
	assert_int_equal(fixture.device.told, 3);
	assert_int_equal(fixture.gate->depth.inside, 0);
	assert_int_equal(fixture.gate->depth.inside_ns, 0);
	assert_int_equal(fixture.gate->depth.parallel_max, 4);
	assert_true(ask(&other, 0));
	assert_int_equal(counter_read(&other.counters.device_ns), 300000);
	leave(&other, 0);
	part(&other);
	empty(&fixture, &guest, 0);
}

/* What is reserved, and what is left, is said in the device's own words. */
static void test_reservation(void **state)
{
	struct share_settings settings = SHARE_SETTINGS_DEFAULT;
	struct gate_node *node = NULL;
	struct error error;
	struct fixture fixture;

	begin(&fixture);
	settings.min_iops = 1801;
	assert_int_equal(gate_node_create(fixture.gate, NULL, &settings, &node, &error), -ENOSPC);
	assert_string_equal(error.text,
			    "the reservation is 90.0 % of the radio's time, and 90.0 % is left of what may "
			    "be reserved: min_iops up to 1800");
	settings.min_iops = 1000;
	assert_int_equal(gate_node_create(fixture.gate, NULL, &settings, &node, &error), 0);
	assert_int_equal(gate_reserved_ppb(fixture.gate), 500000000);
	assert_ptr_equal(gate_node_device(node), &fixture.device.base);
	gate_node_destroy(node);
	finish(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_costs_change),
		cmocka_unit_test(test_reservation),
	};

	return cmocka_run_group_tests_name("gate_device", tests, NULL, NULL);
}
