/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The scheduler: limits, and requests that are counted against them without waiting for a turn. */
#include "scheduler_bench.h"

/* ---- limits ---- */

static void limit_says_when(void **state)
{
	struct scheduler_node *leaf = NODE(NULL, .max_iops = 1000);
	struct scheduler_request *second;

	assert_true(scheduler_node_limited(leaf));
	put(leaf, 1, 0);
	second = put(leaf, 1, 0);
	assert_ptr_equal(next(), &requests[0]);
	assert_ready_at(NS_PER_S + NS_PER_MS);
	now_ns += NS_PER_MS - 1;
	assert_ready_at(NS_PER_S + NS_PER_MS);
	now_ns++;
	assert_ptr_equal(next(), second);
	assert_int_equal(second->waited_ns, NS_PER_MS);
	assert_int_equal(second->throttled_ns, NS_PER_MS);
}

/* A request that stands for several counts as so many. */
static void several_in_one_count_each(void **state)
{
	struct scheduler_node *leaf = NODE(NULL, .max_iops = 1000, .burst_ns = 10 * NS_PER_MS);

	put(leaf, 1, 0)->more = 9;
	put(leaf, 1, 0);
	assert_ptr_equal(next(), &requests[0]);
	assert_ready_at(NS_PER_S + NS_PER_MS);
	now_ns += NS_PER_MS;
	assert_ptr_equal(next(), &requests[1]);
}

/* What needs no turn is counted at each level, or not at all. */
static void limits_alone_are_taken(void **state)
{
	struct scheduler_node *guest = NODE(NULL, .max_iops = 1000, .burst_ns = 10 * NS_PER_MS);
	struct scheduler_node *leaf = NODE(guest, .max_bandwidth = 1000000, .burst_ns = NS_PER_MS);

	assert_int_equal(scheduler_take_limits(leaf, 5, 600, now_ns), 0);
	assert_int_equal(scheduler_take_limits(leaf, 5, 600, now_ns), 200 * NS_PER_US);
	assert_int_equal(scheduler_take_limits(leaf, 6, 400, now_ns), NS_PER_MS);
	assert_int_equal(scheduler_take_limits(leaf, 5, 400, now_ns), 0);
	put(leaf, 1, 0);
	assert_ready_at(now_ns + NS_PER_MS);
	scheduler_ignore_limits(scheduler, true, now_ns);
	assert_int_equal(scheduler_take_limits(leaf, 100, 100000, now_ns), 0);
	assert_ptr_equal(next(), &requests[0]);
}

static void cancelled_was_never_here(void **state)
{
	struct scheduler_node *leaf = NODE(NULL), *other = NODE(NULL);

	for (unsigned i = 0; i < 4; i++)
		put(leaf, COST_NS, 0);
	scheduler_cancel(&requests[1]);
	scheduler_cancel(&requests[3]);
	put(leaf, COST_NS, 0);
	scheduler_cancel(&requests[0]);
	assert_int_equal(scheduler_waiting(scheduler), 2);
	assert_ptr_equal(next(), &requests[2]);
	put(other, COST_NS, 0);
	scheduler_cancel(&requests[4]);
	assert_ptr_equal(next(), &requests[5]);
	assert_int_equal(scheduler_waiting(scheduler), 0);
	/* Also one that a limit holds back. */
	SET(leaf, .max_iops = 10);
	fill(leaf, 2);
	assert_non_null(next());
	assert_null(next());
	scheduler_cancel(&requests[7]);
	assert_ready_at(now_ns + 100 * NS_PER_MS);
	now_ns += 100 * NS_PER_MS;
	assert_ready_at(UINT64_MAX);
}

static void bytes_are_limited(void **state)
{
	struct scheduler_node *leaf = NODE(NULL, .max_bandwidth = 1000000, .burst_ns = NS_PER_MS);

	put(leaf, 1, 600);
	put(leaf, 1, 600);
	put(leaf, 1, 50000);
	put(leaf, 1, 1);
	assert_non_null(next());
	assert_ready_at(now_ns + 200 * NS_PER_US);
	now_ns += 200 * NS_PER_US;
	assert_non_null(next());
	/* Larger than all that may be saved up: passes from a full bucket, and the next one pays. */
	assert_ready_at(now_ns + NS_PER_MS);
	now_ns += NS_PER_MS;
	assert_non_null(next());
	assert_ready_at(now_ns + 49 * NS_PER_MS + NS_PER_US);
}

static void limit_of_a_group_holds_back_its_members_only(void **state)
{
	struct scheduler_node *group = NODE(NULL, .max_iops = 10), *other = NODE(NULL);
	struct scheduler_node *member = NODE(group, .reserved_ppb = PPB / 2);

	assert_true(scheduler_node_limited(member));
	assert_false(scheduler_node_limited(other));
	fill(member, 20);
	fill(other, 100);
	/* 10 a second, and one at the start: no reservation gets beyond it, and the others have the rest. */
	assert_int_equal(serve(91, member), 1);
	now_ns = 2 * NS_PER_S;
	assert_int_equal(serve(1, member), 1);
}

static void lifted_limit_holds_no_longer(void **state)
{
	struct scheduler_node *leaf = NODE(NULL, .max_iops = 1);

	fill(leaf, 5);
	assert_non_null(next());
	assert_ready_at(2 * NS_PER_S);
	now_ns += 5000;
	SET(leaf, .max_iops = 0);
	assert_false(scheduler_node_limited(leaf));
	assert_int_equal(serve(4, leaf), 4);
	assert_int_equal(requests[1].throttled_ns, 5000);
}

static void new_limit_holds_what_waits(void **state)
{
	struct scheduler_node *leaf = NODE(NULL);

	fill(leaf, 5);
	SET(leaf, .max_iops = 1000);
	assert_non_null(next());
	assert_ready_at(now_ns + NS_PER_MS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(limit_says_when),
		TEST(several_in_one_count_each),
		TEST(limits_alone_are_taken),
		TEST(cancelled_was_never_here),
		TEST(bytes_are_limited),
		TEST(limit_of_a_group_holds_back_its_members_only),
		TEST(lifted_limit_holds_no_longer),
		TEST(new_limit_holds_what_waits),
	};

	return cmocka_run_group_tests_name("scheduler's limits", tests, NULL, NULL);
}
