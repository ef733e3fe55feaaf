/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The disk scheduler, decision by decision. What it promises over time is tested in tests/model. */
#include "scheduler_bench.h"

/* ---- requests ---- */

static void nothing_waits(void **state)
{
	NODE(NULL);
	assert_ready_at(UINT64_MAX);
}

static void one_leaf_is_first_come_first_served(void **state)
{
	struct scheduler_node *leaf = NODE(NULL);

	fill(leaf, 5);
	assert_int_equal(scheduler_waiting(scheduler), 5);
	assert_int_equal(scheduler_node_waiting(leaf), 5);
	for (unsigned i = 0; i < 5; i++)
		assert_ptr_equal(next(), &requests[i]);
	assert_int_equal(scheduler_node_waiting(leaf), 0);
	assert_ready_at(UINT64_MAX);
}

static void waiting_is_told(void **state)
{
	struct scheduler_request *request = put(NODE(NULL), COST_NS, 0);

	now_ns += 777;
	assert_ptr_equal(next(), request);
	assert_int_equal(request->waited_ns, 777);
	assert_int_equal(request->throttled_ns, 0);
}

/* Workers read their clocks before they come in, maybe in another order. */
static void earlier_time_counts_as_last(void **state)
{
	struct scheduler_node *leaf = NODE(NULL, .max_iops = 1000, .reserved_ppb = PPB / 2);
	struct scheduler_request *request;

	put(leaf, COST_NS, 0);
	now_ns -= 500;
	request = next();
	assert_non_null(request);
	assert_int_equal(request->waited_ns, 0);
	put(leaf, COST_NS, 0);
	assert_ready_at(NS_PER_S + NS_PER_MS);
}

/* ---- weights ---- */

static void weights_divide(void **state)
{
	struct scheduler_node *light = NODE(NULL, .weight = 100), *heavy = NODE(NULL, .weight = 300);

	fill(light, 100);
	fill(heavy, 100);
	assert_in_range(serve(100, heavy), 74, 76);
}

static void groups_divide_before_their_members(void **state)
{
	struct scheduler_node *group = NODE(NULL), *alone = NODE(NULL);

	for (unsigned i = 0; i < 3; i++)
		fill(NODE(group), 50);
	fill(alone, 100);
	assert_int_equal(scheduler_node_waiting(group), 150);
	assert_in_range(serve(100, alone), 49, 51);
}

static void idleness_saves_nothing_up(void **state)
{
	struct scheduler_node *busy = NODE(NULL), *late = NODE(NULL);

	fill(busy, 150);
	serve(100, NULL);
	fill(late, 50);
	assert_in_range(serve(40, late), 19, 21);
}

/* Whoever is a small request ahead of many that wake together does not wait for a large one of each. */
static void those_who_wake_together_spread(void **state)
{
	struct scheduler_node *steady = NODE(NULL);
	unsigned ahead = 0;

	put(steady, COST_NS / 100, 0);
	serve(1, steady);
	for (unsigned i = 1; i < NODES; i++)
		fill(NODE(NULL), 10);
	for (unsigned i = 0; i < 10; i++) {
		struct scheduler_request *request = put(steady, COST_NS / 100, 0);

		for (unsigned before = 0; next() != request; before++)
			ahead = before + 1 > ahead ? before + 1 : ahead;
	}
	assert_in_range(ahead, 1, 3);
}

/* Long enough that virtual time starts again several times. */
static void virtual_time_has_no_end(void **state)
{
	struct scheduler_node *a = NODE(NULL, .weight = 1), *b = NODE(NULL, .weight = 1),
			      *late = NODE(NULL, .weight = 1);
	const uint64_t minute_ns = 60 * NS_PER_S;

	put(late, COST_NS, 0);
	serve(1, NULL);
	for (unsigned i = 0; i < 60; i++) {
		put(a, minute_ns, 0);
		put(b, minute_ns, 0);
	}
	assert_in_range(serve(80, a), 39, 41);
	for (unsigned i = 0; i < 12; i++)
		put(late, minute_ns, 0);
	assert_in_range(serve(30, late), 9, 11);
}

static void new_weight_holds_at_once(void **state)
{
	struct scheduler_node *a = NODE(NULL), *b = NODE(NULL);

	fill(a, 150);
	fill(b, 150);
	assert_in_range(serve(40, a), 19, 21);
	SET(a, .weight = 400);
	assert_int_equal(scheduler_node_settings(a)->weight, 400);
	assert_in_range(serve(100, a), 79, 82);
	SET(a, .weight = 100);
	assert_in_range(serve(40, a), 19, 22);
}

/* ---- reservations ---- */

static void reservation_outdoes_weights(void **state)
{
	struct scheduler_node *small = NODE(NULL, .weight = 1, .reserved_ppb = PPB / 2),
			      *large = NODE(NULL, .weight = 10000);

	fill(small, 100);
	fill(large, 100);
	assert_in_range(serve(100, small), 49, 51);
}

/* What it gets by reservation counts for its weight: half, and not half of the other half, too. */
static void reservation_is_no_addition(void **state)
{
	struct scheduler_node *a = NODE(NULL, .reserved_ppb = PPB / 2), *b = NODE(NULL);

	fill(a, 100);
	fill(b, 100);
	assert_in_range(serve(100, a), 49, 51);
}

static void reservation_holds_deep_inside(void **state)
{
	struct scheduler_node *group = NODE(NULL, .weight = 1), *other = NODE(NULL, .weight = 100);
	struct scheduler_node *disk = NODE(NODE(group), .reserved_ppb = 3 * (PPB / 10));

	fill(disk, 100);
	fill(other, 100);
	assert_in_range(serve(100, disk), 29, 32);
}

static void idle_reservation_saves_nothing_up(void **state)
{
	struct scheduler_node *reserved = NODE(NULL, .weight = 1, .reserved_ppb = PPB / 2),
			      *flood = NODE(NULL, .weight = 10000);

	fill(flood, 200);
	serve(100, NULL);
	fill(reserved, 50);
	assert_in_range(serve(40, reserved), 19, 21);
}

/* Promised too much: all get a part of it, and a few percent are left. */
static void too_much_reserved_scales_down(void **state)
{
	struct scheduler_node *two = NODE(NULL, .reserved_ppb = PPB),
			      *one = NODE(NULL, .reserved_ppb = PPB / 2);
	struct scheduler_node *none = NODE(NULL);
	unsigned of[3] = { 0 };

	fill(two, 130);
	fill(one, 130);
	fill(none, 130);
	for (unsigned i = 0; i < 130; i++) {
		struct scheduler_request *request = next();

		of[request->node == two ? 0 : request->node == one ? 1 : 2]++;
		now_ns += request->cost_ns;
	}
	assert_in_range(of[2], 3, 6);
	assert_in_range(of[0], 2 * of[1] - 3, 2 * of[1] + 3);
}

static void removed_reservation_leaves_no_debt(void **state)
{
	struct scheduler_node *a = NODE(NULL, .weight = 1, .reserved_ppb = 9 * (PPB / 10)),
			      *b = NODE(NULL, .weight = 1);

	fill(a, 200);
	fill(b, 200);
	serve(100, NULL);
	SET(a, .weight = 1);
	assert_in_range(serve(40, a), 19, 22);
}

/*
 * By weight it got a tenth and had three: when another takes the place of the large one, that is soon
 * forgotten.
 */
static void lead_of_a_reservation_is_forgotten(void **state)
{
	const uint64_t cost_ns = 10 * NS_PER_MS;
	struct scheduler_node *a = NODE(NULL, .weight = 100, .reserved_ppb = 3 * (PPB / 10));
	struct scheduler_node *large = NODE(NULL, .weight = 900), *small = NODE(NULL, .weight = 100);

	for (unsigned i = 0; i < 140; i++)
		put(a, cost_ns, 0);
	for (unsigned i = 0; i < 70; i++)
		put(large, cost_ns, 0);
	assert_in_range(serve(100, a), 29, 31);
	for (unsigned i = 0; i < 90; i++)
		put(small, cost_ns, 0);
	serve(30, NULL);
	assert_in_range(serve(40, a), 19, 22);
}

/* ---- the tree ---- */

static void depth_is_bounded(void **state)
{
	struct scheduler_settings settings = SCHEDULER_SETTINGS_DEFAULT;
	struct scheduler_node *at = NULL, *none = NULL, *pair;

	for (unsigned i = 0; i < SCHEDULER_DEPTH_MAX; i++)
		at = NODE(at);
	assert_int_equal(scheduler_node_create(scheduler, at, &settings, now_ns, &none), -EINVAL);
	assert_null(none);
	pair = NODE(NULL);
	NODE(pair);
	assert_int_equal(scheduler_node_move(pair, nodes[2], now_ns), -EINVAL);
	assert_int_equal(scheduler_node_move(pair, nodes[1], now_ns), 0);
	assert_int_equal(scheduler_node_move(nodes[0], pair, now_ns), -EINVAL);
	assert_int_equal(scheduler_node_move(pair, NULL, now_ns), 0);
}

static void move_takes_along_what_waits(void **state)
{
	struct scheduler_node *group = NODE(NULL), *alone = NODE(NULL);
	struct scheduler_node *member = NODE(group), *mover = NODE(NULL);

	fill(alone, 100);
	fill(member, 100);
	fill(mover, 100);
	assert_in_range(serve(30, mover), 9, 11);
	assert_int_equal(scheduler_node_move(mover, group, now_ns), 0);
	assert_int_equal(scheduler_node_waiting(group), 180);
	assert_in_range(serve(40, mover), 9, 11);
	assert_int_equal(scheduler_node_move(mover, NULL, now_ns), 0);
	assert_in_range(serve(30, mover), 9, 12);
}

/*
 * The time that a limit held it back goes along, too, and what the new ancestors had before does not count.
 */
static void move_out_of_a_throttled_group(void **state)
{
	struct scheduler_node *slow = NODE(NULL, .max_iops = 1), *slower = NODE(NULL, .max_iops = 1);
	struct scheduler_node *mover = NODE(slow), *other = NODE(slower);

	fill(other, 2);
	assert_non_null(next());
	assert_ready_at(now_ns + NS_PER_S);
	now_ns += NS_PER_S / 2;
	fill(mover, 2);
	assert_non_null(next());
	assert_ready_at(now_ns + NS_PER_S / 2);
	now_ns += 1000;
	assert_int_equal(scheduler_node_move(mover, NULL, now_ns), 0);
	now_ns += 50;
	assert_ptr_equal(next(), &requests[3]);
	assert_int_equal(requests[3].waited_ns, 1050);
	assert_int_equal(requests[3].throttled_ns, 1000);
}

/* ---- draining ---- */

/* As many as may go now; returns how many were the leaf's. */
static unsigned serve_all(const struct scheduler_node *leaf)
{
	struct scheduler_request *request;
	unsigned of_leaf = 0;

	while ((request = next()))
		of_leaf += request->node == leaf;
	return of_leaf;
}

static void drained_leaf_passes_its_own_limits(void **state)
{
	struct scheduler_node *group = NODE(NULL), *guest = NODE(group, .max_iops = 10), *other = NODE(group);
	struct scheduler_node *leaf = NODE(guest, .max_iops = 10), *sibling = NODE(guest);

	fill(sibling, 5);
	fill(leaf, 5);
	assert_in_range(serve_all(leaf), 0, 1);
	scheduler_drain_begin(leaf, now_ns);
	assert_in_range(serve_all(leaf), 4, 5);
	assert_int_equal(scheduler_node_waiting(leaf), 0);
	assert_in_range(scheduler_node_waiting(sibling), 4, 5);
	/* Its guest owes half a second by now, less than what is forgiven; a whole one more is not. */
	fill(leaf, 11);
	assert_int_equal(serve_all(leaf), 11);
	scheduler_drain_end(leaf);
	scheduler_drain_begin(leaf, now_ns);
	fill(leaf, 1);
	assert_int_equal(serve_all(leaf), 0);
	/* It moves by itself, and along with its guest. A limit that it shares with others holds. */
	assert_int_equal(scheduler_node_move(leaf, other, now_ns), 0);
	assert_int_equal(scheduler_node_move(other, NULL, now_ns), 0);
	assert_int_equal(scheduler_node_move(other, group, now_ns), 0);
	SET(group, .max_iops = 1);
	SET(leaf);
	fill(leaf, 4);
	assert_int_equal(serve_all(leaf), 1);
	/* Unless everybody is drained. */
	scheduler_ignore_limits(scheduler, true, now_ns);
	assert_int_equal(serve_all(leaf), 4);
	assert_int_equal(scheduler_waiting(scheduler), 0);
	scheduler_drain_end(leaf);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_waits),
		TEST(one_leaf_is_first_come_first_served),
		TEST(waiting_is_told),
		TEST(earlier_time_counts_as_last),
		TEST(weights_divide),
		TEST(groups_divide_before_their_members),
		TEST(idleness_saves_nothing_up),
		TEST(those_who_wake_together_spread),
		TEST(virtual_time_has_no_end),
		TEST(new_weight_holds_at_once),
		TEST(reservation_outdoes_weights),
		TEST(reservation_is_no_addition),
		TEST(reservation_holds_deep_inside),
		TEST(idle_reservation_saves_nothing_up),
		TEST(too_much_reserved_scales_down),
		TEST(removed_reservation_leaves_no_debt),
		TEST(lead_of_a_reservation_is_forgotten),
		TEST(depth_is_bounded),
		TEST(move_takes_along_what_waits),
		TEST(move_out_of_a_throttled_group),
		TEST(drained_leaf_passes_its_own_limits),
	};

	return cmocka_run_group_tests_name("scheduler", tests, NULL, NULL);
}
