/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Workers that stand still: what they have inside the device keeps nobody out, and nothing of it is lost. */
#include "core/loop_internal.h"
#include "gate_bench.h"

/* Worker 1 waits in the kernel: it does not turn, and the thread that looks after loops has seen that. */
static void stand_still(struct fixture *fixture, bool still)
{
	__atomic_store_n(&fixture->loop[1]->held, still ? LOOP_HELD_LONG : 0, __ATOMIC_RELAXED);
}

static void turn_of_the_other(struct fixture *fixture, uint64_t ns)
{
	stopped_clock_ns += ns;
	loop_turn(fixture->loop[0], 0);
}

/* `stuck` has all of the device; as many wait. */
static void fill(struct fixture *fixture, struct guest *stuck, struct guest *other)
{
	start(fixture, &slow);
	join(fixture, stuck, 1, NULL);
	join(fixture, other, 0, NULL);
	for (unsigned i = 0; i < 8; i++)
		ask(stuck, i);
	assert_in_range(stuck->inside, 2, 4);
}

static void leave_all_of(struct guest *guest)
{
	for (unsigned i = 0; i < PASSES; i++)
		if (guest->pass[i].inside)
			leave(guest, i);
}

/* Whatever has entered leaves, until nothing waits. */
static void leave_all(struct fixture *fixture, struct guest *stuck, struct guest *other)
{
	for (unsigned round = 0; round < 20; round++) {
		turn(fixture);
		leave_all_of(stuck);
		leave_all_of(other);
	}
	assert_int_equal(stuck->inside + other->inside, 0);
	assert_int_equal(counter_read(&stuck->counters.waiting) + counter_read(&other->counters.waiting), 0);
}

static void end(struct fixture *fixture, struct guest *stuck, struct guest *other)
{
	leave_all(fixture, stuck, other);
	assert_int_equal(fixture->gate->depth.inside, 0);
	assert_int_equal(fixture->gate->depth.inside_ns, 0);
	assert_int_equal(fixture->gate->away, 0);
	part(stuck);
	part(other);
	finish(fixture);
}

static void test_others_enter(void **state)
{
	struct fixture fixture;
	static struct guest stuck, other;
	unsigned inside;

	fill(&fixture, &stuck, &other);
	inside = stuck.inside;
	for (unsigned i = 0; i < 10; i++)
		assert_false(ask(&other, i));
	/* One that only takes its time keeps its place. */
	for (unsigned i = 0; i < 5; i++)
		turn_of_the_other(&fixture, 11 * MS);
	assert_int_equal(other.entered, 0);
	stand_still(&fixture, true);
	turn_of_the_other(&fixture, 11 * MS);
	assert_int_equal(other.inside, inside);
	/* And from then on, others go on as if it was not there. */
	for (unsigned i = 0; i < 10; i++) {
		leave(&other, i);
		turn_of_the_other(&fixture, MS);
	}
	assert_int_equal(other.entered, 10);
	assert_int_equal(stuck.entered, inside);
	stand_still(&fixture, false);
	end(&fixture, &stuck, &other);
	assert_int_equal(stuck.entered, 8);
}

/* Nothing of what waits for a worker that stands still enters, or it would all be there when that is back. */
static void test_what_waits_is_set_aside(void **state)
{
	struct fixture fixture;
	static struct guest stuck, other;
	unsigned inside;

	fill(&fixture, &stuck, &other);
	inside = stuck.inside;
	stand_still(&fixture, true);
	for (unsigned round = 0; round < 20; round++) {
		assert_int_equal(ask(&other, 0), round > 0);
		turn_of_the_other(&fixture, 11 * MS);
		leave(&other, 0);
	}
	assert_int_equal(fixture.gate->depth.inside, inside);
	assert_int_equal(counter_read(&stuck.counters.waiting), 8 - inside);
	/* Back again, it is one of two, and the bound holds for both. */
	stand_still(&fixture, false);
	turn(&fixture);
	for (unsigned i = 0; i < 4; i++)
		ask(&other, i);
	assert_int_equal(stuck.inside, inside);
	assert_int_equal(other.inside, 0);
	for (unsigned i = 0; i < inside; i++)
		leave(&stuck, i);
	turn(&fixture);
	assert_in_range(stuck.inside, 1, inside - 1);
	assert_in_range(other.inside, 1, inside - 1);
	end(&fixture, &stuck, &other);
	assert_int_equal(stuck.entered, 8);
}

/* Of a disk with queues on two workers, only what belongs to the one that stands still. */
static void test_same_disk_on_two_workers(void **state)
{
	struct fixture fixture;
	static struct guest stuck, other;
	struct gate_port *ports[2];
	unsigned inside;

	fill(&fixture, &stuck, &other);
	inside = stuck.inside;
	ports[0] = stuck.port;
	assert_int_equal(
		gate_port_open(stuck.node, fixture.loop[0], &stuck.counters, &stuck.request_ns, &ports[1]),
		0);
	for (unsigned i = 8; i < 16; i++) {
		stuck.port = ports[i % 2];
		assert_false(ask(&stuck, i));
	}
	stand_still(&fixture, true);
	for (unsigned entered = 0; entered < 4; entered++) {
		turn_of_the_other(&fixture, 11 * MS);
		assert_true(stuck.pass[9 + 2 * entered].inside);
		leave(&stuck, 9 + 2 * entered);
	}
	turn_of_the_other(&fixture, 11 * MS);
	assert_int_equal(stuck.inside, inside);
	assert_int_equal(counter_read(&stuck.counters.waiting), 8 - inside + 4);
	stand_still(&fixture, false);
	leave_all(&fixture, &stuck, &other);
	assert_int_equal(stuck.entered, 16);
	gate_port_close(ports[1]);
	stuck.port = ports[0];
	end(&fixture, &stuck, &other);
}

static void test_one_that_waits_is_given_up(void **state)
{
	struct fixture fixture;
	static struct guest stuck, other;
	unsigned inside;

	fill(&fixture, &stuck, &other);
	inside = stuck.inside;
	ask(&other, 0);
	stand_still(&fixture, true);
	turn_of_the_other(&fixture, 11 * MS);
	assert_int_equal(other.inside, 1);
	/* Before the worker has read that it was away. */
	for (unsigned i = inside; i < 8; i++)
		gate_cancel(&stuck.pass[i]);
	stand_still(&fixture, false);
	end(&fixture, &stuck, &other);
	assert_int_equal(stuck.entered, inside);
}

/* What a worker with a lease has inside is not counted either. */
static void test_a_lease_of_one_that_stands_still(void **state)
{
	struct fixture fixture;
	static struct guest stuck, other;
	unsigned inside;

	start(&fixture, &slow);
	join(&fixture, &stuck, 1, NULL);
	join(&fixture, &other, 0, NULL);
	for (unsigned i = 0; i < 2; i++)
		assert_true(ask(&stuck, i));
	assert_true(stuck.port->lease.held);
	for (unsigned i = 0; i < 10; i++)
		ask(&other, i);
	assert_int_equal(stuck.port->lease.inside, 2);
	inside = other.inside;
	stand_still(&fixture, true);
	turn_of_the_other(&fixture, 11 * MS);
	assert_int_equal(other.inside, inside + 2);
	stand_still(&fixture, false);
	end(&fixture, &stuck, &other);
}

/* A request that was inside while its worker stood still has missed its target: not for the device's sake. */
static void test_no_target_is_missed(void **state)
{
	struct share_settings settings = SHARE_SETTINGS_DEFAULT;
	struct fixture fixture;
	static struct guest stuck, other;

	start(&fixture, &slow);
	settings.latency_target_us = 4000;
	join(&fixture, &stuck, 1, &settings);
	join(&fixture, &other, 0, NULL);
	for (unsigned i = 0; i < 4; i++)
		ask(&stuck, i);
	for (unsigned i = 0; i < 4; i++)
		ask(&other, i);
	stand_still(&fixture, true);
	for (unsigned i = 0; i < 4; i++) {
		turn_of_the_other(&fixture, 11 * MS);
		leave(&other, i);
	}
	stand_still(&fixture, false);
	leave_all(&fixture, &stuck, &other);
	assert_int_equal(fixture.gate->depth.opening, DEPTH_OPEN);
	end(&fixture, &stuck, &other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_others_enter),
		cmocka_unit_test(test_what_waits_is_set_aside),
		cmocka_unit_test(test_same_disk_on_two_workers),
		cmocka_unit_test(test_one_that_waits_is_given_up),
		cmocka_unit_test(test_a_lease_of_one_that_stands_still),
		cmocka_unit_test(test_no_target_is_missed),
	};

	return cmocka_run_group_tests_name("gate_away", tests, NULL, NULL);
}
