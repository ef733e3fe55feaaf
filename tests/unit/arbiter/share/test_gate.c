/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gate: who may enter the device when, over several workers, and what it costs to be alone. */
#include "gate_bench.h"

/* As many enter as keep the device busy; each that leaves lets one in. */
static void test_bounded(void **state)
{
	struct fixture fixture;
	static struct guest guest;
	unsigned inside;

	start(&fixture, &slow);
	join(&fixture, &guest, 0, NULL);
	for (unsigned i = 0; i < 20; i++) {
		bool at_once = ask(&guest, i);

		assert_int_equal(at_once, guest.inside == i + 1);
	}
	inside = guest.inside;
	assert_in_range(inside, 2, 4);
	assert_int_equal(counter_read(&guest.counters.waiting), 20 - inside);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(guest.inside, 20 - i < inside ? 20 - i : inside);
		leave(&guest, i);
	}
	assert_int_equal(guest.entered, 20);
	assert_int_equal(counter_read(&guest.counters.waiting), 0);
	assert_int_equal(counter_read(&guest.counters.device_ns), 20 * 500000);
	part(&guest);
	finish(&fixture);
}

/* A request of another worker is let in there, by a message. */
static void test_other_worker(void **state)
{
	struct fixture fixture;
	static struct guest first, second;
	unsigned inside;

	start(&fixture, &slow);
	join(&fixture, &first, 0, NULL);
	join(&fixture, &second, 1, NULL);
	for (unsigned i = 0; i < 10; i++)
		ask(&first, i);
	inside = first.inside;
	assert_false(ask(&second, 0));
	assert_int_equal(second.entered, 0);
	for (unsigned i = 0; i < inside; i++)
		leave(&first, i);
	assert_int_equal(second.entered, 0);	/* not on this worker */
	turn(&fixture);
	assert_int_equal(second.entered, 1);
	leave(&second, 0);
	for (unsigned i = inside; first.inside > 0; i++)
		leave(&first, i);
	part(&first);
	part(&second);
	finish(&fixture);
}

/*
 * What the device needs longer for than the target, even alone, is no reason to let in less of everybody's.
 */
static void test_target_is_not_for_large_requests(void **state)
{
	struct share_settings settings = SHARE_SETTINGS_DEFAULT;
	struct fixture fixture;
	static struct guest guest;

	start(&fixture, &slow);
	settings.latency_target_us = 900;	/* alone in the device: 1000 */
	join(&fixture, &guest, 0, &settings);
	for (unsigned target_us = 900; target_us <= 4000; target_us += 3100) {
		settings.latency_target_us = target_us;
		assert_int_equal(gate_node_set(guest.node, &settings, NULL), 0);
		assert_true(ask(&guest, 0));
		turn_for(&fixture, 11 * MS);
		leave(&guest, 0);
		assert_int_equal(fixture.gate->depth.opening == DEPTH_OPEN, target_us == 900);
	}
	part(&guest);
	finish(&fixture);
}

/*
 * Requests that are done as soon as they enter, with a thousand behind them: the stack does not grow with
 * them.
 */
static void test_done_at_once(void **state)
{
	struct fixture fixture;
	static struct guest guest, blocker;

	start(&fixture, &slow);
	join(&fixture, &blocker, 0, NULL);
	join(&fixture, &guest, 0, NULL);
	guest.at_once = true;
	for (unsigned i = 0; i < 5; i++)
		ask(&blocker, i);
	for (unsigned i = 0; i < PASSES; i++)
		ask(&guest, i);
	assert_int_equal(guest.entered, 0);
	for (unsigned i = 0; blocker.inside > 0; i++)
		leave(&blocker, i);
	assert_int_equal(guest.entered, PASSES);
	assert_int_equal(guest.inside, 0);
	part(&guest);
	part(&blocker);
	finish(&fixture);
}

static void turn_until(struct fixture *fixture, const struct guest *guest, unsigned entered)
{
	for (unsigned i = 0; i < 5000 && guest->entered < entered; i++) {
		stopped_clock_ns += MS / 2;
		turn(fixture);
	}
	assert_true(guest->entered >= entered);
}

/* What a limit holds back comes later by itself, also when the worker with the timer has gone. */
static void test_limit(void **state)
{
	struct share_settings limit = SHARE_SETTINGS_DEFAULT;
	struct fixture fixture;
	static struct guest guest, leaver;

	limit.max_iops = 200;
	limit.burst_ms = 0;
	start(&fixture, &slow);
	join(&fixture, &guest, 0, &limit);
	join(&fixture, &leaver, 1, NULL);
	guest.at_once = true;
	for (unsigned i = 0; i < 4; i++)
		ask(&guest, i);
	assert_int_equal(guest.entered, 1);
	assert_null(fixture.gate->holders);
	/* Now the other worker has looked last. */
	ask(&leaver, 0);
	leave(&leaver, 0);
	part(&leaver);
	turn_until(&fixture, &guest, 4);
	assert_true(counter_read(&guest.counters.throttled_ns) > 10 * MS);
	assert_true(counter_read(&guest.counters.contended_ns) < counter_read(&guest.counters.throttled_ns));
	/* A higher limit is noticed by what waits already. */
	limit.max_iops = 1;
	assert_int_equal(gate_node_set(guest.node, &limit, NULL), 0);
	ask(&guest, 0);
	ask(&guest, 1);
	ask(&guest, 2);
	limit.max_iops = 0;
	assert_int_equal(gate_node_set(guest.node, &limit, NULL), 0);
	turn_until(&fixture, &guest, 7);
	part(&guest);
	finish(&fixture);
}

/*
 * A queue that stops is not held back by its own limit; what passed is owed, and the second time it has to
 * wait.
 */
static void test_drain(void **state)
{
	struct share_settings limit = SHARE_SETTINGS_DEFAULT;
	struct fixture fixture;
	static struct guest guest, sibling;

	limit.max_iops = 10;
	start(&fixture, &slow);
	join(&fixture, &guest, 0, &limit);
	sibling = (struct guest){ .node = guest.node, .at_once = true };
	assert_int_equal(gate_port_open(guest.node, fixture.loop[1], &sibling.counters, &sibling.request_ns,
					&sibling.port),
			 0);
	guest.at_once = true;
	for (unsigned i = 0; i < 40; i++)
		ask(&guest, i);
	for (unsigned i = 0; i < 2; i++)
		ask(&sibling, i);
	assert_int_equal(guest.entered, 1);
	gate_port_drain(guest.port, true);
	turn(&fixture);
	assert_int_equal(guest.entered, 40);
	gate_port_close(guest.port);
	/* Four seconds' worth is owed. */
	assert_int_equal(gate_port_open(guest.node, fixture.loop[0], &guest.counters, &guest.request_ns,
					&guest.port),
			 0);
	guest.entered = 0;
	for (unsigned i = 0; i < 3; i++)
		ask(&guest, i);
	gate_port_drain(guest.port, true);
	turn(&fixture);
	assert_int_equal(guest.entered, 0);
	/* But not when everybody is waited for. */
	gate_drain(fixture.gate, true);
	turn(&fixture);
	assert_int_equal(guest.entered, 3);
	assert_int_equal(sibling.entered, 2);
	gate_drain(fixture.gate, false);
	assert_false(ask(&guest, 0));
	turn(&fixture);
	assert_int_equal(guest.entered, 3);
	gate_drain(fixture.gate, true);
	turn(&fixture);
	assert_int_equal(guest.entered, 4);
	gate_port_close(sibling.port);
	part(&guest);
	finish(&fixture);
}

/* A worker reads its clock once a turn: one that read it long ago must not turn a moment into an age. */
static void test_clocks_disagree(void **state)
{
	struct fixture fixture;
	static struct guest early, late;

	start(&fixture, &slow);
	join(&fixture, &early, 0, NULL);
	join(&fixture, &late, 1, NULL);
	ask(&early, 0);
	stopped_clock_ns += NS_PER_US;
	for (unsigned i = 0; i < 10; i++)
		ask(&late, i);
	assert_true(fixture.gate->busy);
	assert_true(fixture.gate->busy_since_ns > loop_now_ns(fixture.loop[0]));
	leave(&early, 0);
	assert_int_equal(fixture.device.ended, 0);
	assert_int_equal(fixture.device.added, 1);
	assert_true(fixture.gate->now_ns - fixture.gate->busy_since_ns < MS);
	turn(&fixture);
	for (unsigned i = 0; late.inside > 0; i++)
		leave(&late, i);
	part(&early);
	part(&late);
	finish(&fixture);
}

static void test_off(void **state)
{
	struct fixture fixture;
	static struct guest guest;

	start(&fixture, &slow);
	join(&fixture, &guest, 0, NULL);
	gate_set_on(fixture.gate, false);
	for (unsigned i = 0; i < 20; i++)
		assert_true(ask(&guest, i));
	gate_set_on(fixture.gate, true);
	for (unsigned i = 0; i < 20; i++)
		leave(&guest, i);
	assert_int_equal(fixture.gate->depth.inside, 0);
	part(&guest);
	finish(&fixture);
}

/* ---- admission ---- */

static struct gate_node *node(struct fixture *fixture, struct gate_node *parent, uint64_t min_iops)
{
	struct share_settings settings = SHARE_SETTINGS_DEFAULT;
	struct gate_node *node;

	settings.min_iops = min_iops;
	assert_int_equal(gate_node_create(fixture->gate, parent, &settings, &node, NULL), 0);
	return node;
}

static int set(struct gate_node *node, uint64_t min_iops, struct error *error)
{
	struct share_settings settings = *gate_node_settings(node);

	settings.min_iops = min_iops;
	return gate_node_set(node, &settings, error);
}

/* The disk does 2000 requests a second; 1800 of them may be promised. */
static void test_admission(void **state)
{
	struct gate_node *alice, *bob, *root, *data;
	struct share_settings settings = SHARE_SETTINGS_DEFAULT;
	struct error error;
	struct fixture fixture;

	start(&fixture, &slow);
	alice = node(&fixture, NULL, 0);
	root = node(&fixture, alice, 1000);
	bob = node(&fixture, NULL, 500);
	assert_int_equal(gate_reserved_ppb(fixture.gate), 750000000);
	/* Its disks make alice's reservation, and 300 are left. */
	settings.min_iops = 301;
	data = NULL;
	assert_int_equal(gate_node_create(fixture.gate, alice, &settings, &data, &error), -ENOSPC);
	assert_null(data);
	assert_non_null(strstr(error.text, "15.0 % is left of what may be reserved: min_iops up to 300"));
	data = node(&fixture, alice, 300);
	assert_int_equal(set(bob, 501, &error), -ENOSPC);
	assert_int_equal(gate_node_settings(bob)->min_iops, 500);
	assert_int_equal(set(data, 100, &error), 0);
	assert_int_equal(set(bob, 700, &error), 0);
	/* A reservation of alice's own bounds her disks, and covers them. */
	assert_int_equal(set(alice, 1000, &error), -ENOSPC);
	assert_non_null(strstr(error.text, "55.0 %"));
	assert_int_equal(set(alice, 1100, &error), 0);
	assert_int_equal(set(data, 101, &error), -ENOSPC);
	assert_int_equal(set(root, 900, &error), 0);
	assert_int_equal(set(data, 200, &error), 0);
	assert_int_equal(gate_reserved_ppb(fixture.gate), 900000000);
	gate_node_destroy(bob);
	assert_int_equal(set(alice, 1800, &error), 0);
	assert_int_equal(set(alice, 1801, &error), -ENOSPC);
	gate_node_destroy(data);
	gate_node_destroy(root);
	gate_node_destroy(alice);
	finish(&fixture);
}

/* A reservation that no device has: the sum with its siblings' does not wrap. */
static void test_reservation_beyond_counting(void **state)
{
	struct share_settings settings = SHARE_SETTINGS_DEFAULT;
	struct fixture fixture;
	struct gate_node *first, *made;
	struct error error;

	start(&fixture, &slow);
	first = node(&fixture, NULL, 1000);
	settings.min_iops = (UINT64_MAX - 400000000) / 500000;	/* a request takes 500 us */
	assert_int_equal(gate_node_create(fixture.gate, NULL, &settings, &made, &error), -ENOSPC);
	assert_int_equal(gate_reserved_ppb(fixture.gate), 500000000);
	assert_int_equal(set(first, settings.min_iops, &error), -ENOSPC);
	gate_node_destroy(first);
	finish(&fixture);
}

static uint32_t weight(const struct gate_node *node)
{
	assert_int_equal(scheduler_node_settings(node->node)->weight, gate_node_weight(node));
	return gate_node_weight(node);
}

/* A guest without a weight of its own stands for its disks, a group for its guests. */
static void test_weights_of_what_is_below(void **state)
{
	struct share_settings sum = SHARE_SETTINGS_DEFAULT, own = SHARE_SETTINGS_DEFAULT;
	struct gate_node *group, *alice, *bob, *root, *data;
	struct fixture fixture;

	start(&fixture, &slow);
	sum.weight = 0;
	assert_int_equal(gate_node_create(fixture.gate, NULL, &sum, &group, NULL), 0);
	assert_int_equal(gate_node_create(fixture.gate, group, &sum, &alice, NULL), 0);
	assert_int_equal(weight(alice), SCHEDULER_WEIGHT_DEFAULT);
	own.weight = 300;
	assert_int_equal(gate_node_create(fixture.gate, alice, &own, &root, NULL), 0);
	assert_int_equal(gate_node_create(fixture.gate, alice, &own, &data, NULL), 0);
	assert_int_equal(weight(group), 600);
	own.weight = 50;
	assert_int_equal(gate_node_set(data, &own, NULL), 0);
	assert_int_equal(weight(alice), 350);
	assert_int_equal(gate_node_create(fixture.gate, NULL, &own, &bob, NULL), 0);
	assert_int_equal(gate_node_move(bob, group, NULL), 0);
	assert_int_equal(weight(group), 400);
	/* Its own weight stands for it, whatever is below. */
	assert_int_equal(gate_node_set(alice, &own, NULL), 0);
	assert_int_equal(weight(group), 100);
	gate_node_destroy(data);
	assert_int_equal(weight(group), 100);
	assert_int_equal(gate_node_set(alice, &sum, NULL), 0);
	assert_int_equal(weight(group), 350);
	assert_int_equal(gate_node_move(bob, NULL, NULL), 0);
	assert_int_equal(weight(group), 300);
	gate_node_destroy(root);
	gate_node_destroy(alice);
	gate_node_destroy(bob);
	gate_node_destroy(group);
	finish(&fixture);
}

/* To another group: its reservation must have room there; nothing changes when it has not. */
static void test_move(void **state)
{
	struct gate_node *gold, *silver, *guest;
	struct error error;
	struct fixture fixture;

	start(&fixture, &slow);
	gold = node(&fixture, NULL, 1000);
	silver = node(&fixture, NULL, 400);
	guest = node(&fixture, gold, 500);
	assert_int_equal(gate_node_move(guest, silver, &error), -ENOSPC);
	assert_ptr_equal(guest->parent, gold);
	assert_int_equal(set(guest, 400, &error), 0);
	assert_int_equal(gate_node_move(guest, silver, &error), 0);
	assert_ptr_equal(guest->parent, silver);
	assert_int_equal(gate_node_move(guest, NULL, &error), 0);
	assert_int_equal(gate_reserved_ppb(fixture.gate), 900000000);
	gate_node_destroy(guest);
	gate_node_destroy(silver);
	gate_node_destroy(gold);
	finish(&fixture);
}

static void test_contradictions(void **state)
{
	struct share_settings settings = SHARE_SETTINGS_DEFAULT;
	struct gate_node *made;
	struct error error;
	struct fixture fixture;

	start(&fixture, &slow);
	settings.weight = SCHEDULER_WEIGHT_MAX + 1;
	assert_int_equal(gate_node_create(fixture.gate, NULL, &settings, &made, &error), -EINVAL);
	settings.weight = 1;
	settings.min_iops = 11;
	settings.max_iops = 10;
	assert_int_equal(gate_node_create(fixture.gate, NULL, &settings, &made, &error), -EINVAL);
	assert_non_null(strstr(error.text, "min_iops 11 is above max_iops 10"));
	settings.max_iops = 11;
	settings.burst_ms = SHARE_BURST_MS_MAX + 1;
	assert_int_equal(gate_node_create(fixture.gate, NULL, &settings, &made, &error), -EINVAL);
	settings.burst_ms = SHARE_BURST_MS_MAX;
	settings.latency_target_us = SHARE_LATENCY_US_MAX + 1;
	assert_int_equal(gate_node_create(fixture.gate, NULL, &settings, &made, &error), -EINVAL);
	assert_non_null(strstr(error.text, "latency_target is at most"));
	finish(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounded),	     cmocka_unit_test(test_other_worker),
		cmocka_unit_test(test_done_at_once),
		cmocka_unit_test(test_target_is_not_for_large_requests),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_drain),	     cmocka_unit_test(test_off),
		cmocka_unit_test(test_admission),    cmocka_unit_test(test_reservation_beyond_counting),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_weights_of_what_is_below),
		cmocka_unit_test(test_contradictions), cmocka_unit_test(test_clocks_disagree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
