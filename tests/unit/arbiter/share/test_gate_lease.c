/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leases: who may enter the device without asking, until when, and that nothing is lost when they end. */
#include "gate_bench.h"

/*
 * While nobody waits: no lock. Whoever finds its part used up ends that, and nothing is lost that was inside
 * uncounted.
 */
static void test_lease(void **state)
{
	struct fixture fixture;
	static struct guest owner, other;
	unsigned left = 0;

	start(&fixture, &slow);
	join(&fixture, &owner, 0, NULL);
	join(&fixture, &other, 1, NULL);
	assert_true(ask(&owner, 0));
	assert_true(owner.port->lease.held);
	assert_true(ask(&owner, 1));
	assert_int_equal(fixture.gate->depth.inside, 0);
	/* From the third or fifth on it has to ask, and waits. */
	for (unsigned i = 2; owner.port->lease.held; i++) {
		assert_in_range(i, 2, 4);
		ask(&owner, i);
	}
	assert_int_equal(fixture.gate->depth.inside, owner.inside);
	assert_int_equal(owner.port->lease.inside, 0);
	/* The lease comes back a while after somebody waited. */
	turn_for(&fixture, 2 * MS);
	while (owner.inside > 1)
		leave(&owner, left++);
	turn_for(&fixture, 2 * MS);
	leave(&owner, left);
	assert_true(owner.port->lease.held);
	/* And now taken away from outside while something is inside. */
	for (unsigned i = 0; owner.inside < 2; i++)
		assert_true(ask(&owner, i));
	for (unsigned i = 0; i < 10; i++)
		ask(&other, i);
	assert_false(owner.port->lease.held);
	assert_ptr_equal(fixture.gate->settling, owner.port);
	assert_in_range(owner.inside + other.inside, 2, 4);
	leave(&owner, 0);
	assert_null(fixture.gate->settling);
	turn(&fixture);
	assert_in_range(owner.inside + other.inside, 2, 4);
	assert_int_equal(fixture.gate->depth.inside, owner.inside + other.inside);
	leave(&owner, 1);
	for (unsigned i = 0; i < 10; i++) {
		turn(&fixture);
		leave(&other, i);
	}
	assert_int_equal(fixture.gate->depth.inside, 0);
	assert_int_equal(fixture.gate->depth.inside_ns, 0);
	part(&owner);
	part(&other);
	finish(&fixture);
}

/* Several hold leases, each for its part of the bound; one that is limited does not, and ends all. */
static void test_leases_divide_the_bound(void **state)
{
	struct share_settings limit = SHARE_SETTINGS_DEFAULT;
	struct speed wide = slow;
	struct fixture fixture;
	static struct guest guest[3], limited;

	wide.parallel = 12;
	limit.max_iops = 100;
	start(&fixture, &wide);
	for (unsigned i = 0; i < 3; i++) {
		join(&fixture, &guest[i], i % 2, NULL);
		assert_true(ask(&guest[i], 0));
		assert_true(guest[i].port->lease.held);
		assert_int_equal(guest[0].port->lease.parallel, 12 / (i + 1));
	}
	assert_int_equal(fixture.gate->holder_count, 3);
	assert_int_equal(fixture.gate->depth.inside, 0);
	for (unsigned i = 1; i < 4; i++)
		assert_true(ask(&guest[1], i));
	assert_int_equal(guest[1].port->lease.inside, 4);
	assert_int_equal(fixture.gate->depth.inside, 0);
	leave(&guest[2], 0);
	part(&guest[2]);
	assert_int_equal(guest[0].port->lease.parallel, 6);
	join(&fixture, &limited, 1, &limit);
	assert_true(ask(&limited, 0));
	assert_false(limited.port->lease.held);
	assert_int_equal(fixture.gate->holder_count, 0);
	assert_int_equal(fixture.gate->depth.inside, 1);
	leave(&guest[0], 0);
	for (unsigned i = 0; i < 4; i++)
		leave(&guest[1], i);
	leave(&limited, 0);
	assert_null(fixture.gate->settling);
	assert_int_equal(fixture.gate->depth.inside, 0);
	assert_int_equal(fixture.gate->depth.inside_ns, 0);
	part(&guest[0]);
	part(&guest[1]);
	part(&limited);
	finish(&fixture);
}

/*
 * A latency target that comes while a leased request is inside does not judge it: nobody noted when it
 * entered.
 */
static void test_target_meets_a_lease(void **state)
{
	struct share_settings settings = SHARE_SETTINGS_DEFAULT;
	struct fixture fixture;
	static struct guest owner;

	start(&fixture, &slow);
	join(&fixture, &owner, 0, NULL);
	assert_true(ask(&owner, 0));
	turn_for(&fixture, 5 * MS);
	leave(&owner, 0);
	assert_true(owner.port->lease.held);
	assert_true(ask(&owner, 0));
	settings.latency_target_us = 4000;
	assert_int_equal(gate_node_set(owner.node, &settings, NULL), 0);
	leave(&owner, 0);
	assert_int_equal(fixture.gate->depth.opening, DEPTH_OPEN);
	assert_int_equal(fixture.gate->depth.missed, 0);
	part(&owner);
	finish(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lease),
		cmocka_unit_test(test_leases_divide_the_bound),
		cmocka_unit_test(test_target_meets_a_lease),
	};

	return cmocka_run_group_tests_name("gate_lease", tests, NULL, NULL);
}
