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

static struct scheduler_request *put_light(struct scheduler_node *leaf, uint64_t bytes)
{
	struct scheduler_request *request = &requests[request_count++];

	*request = (struct scheduler_request){ .cost_ns = bytes, .bytes = bytes, .light = true };
	scheduler_add(leaf, request, now_ns);
	return request;
}

static struct scheduler_request *next_light(void)
{
	uint64_t ready_ns;

	return scheduler_next_light(scheduler, now_ns, &ready_ns);
}

/* What needs none of the device's time waits for limits only, and takes no turn there. */
static void light_ones_wait_for_limits_only(void **state)
{
	struct scheduler_node *limited = NODE(NULL, .max_iops = 1000), *busy = NODE(NULL);
	struct scheduler_request *light;

	fill(busy, 3);
	light = put_light(limited, 1000000);
	assert_int_equal(scheduler_light_waiting(scheduler), 1);
	assert_ptr_equal(next_light(), light);
	assert_null(next_light());
	assert_int_equal(scheduler_light_waiting(scheduler), 0);
	light = put_light(limited, 1000000);
	assert_null(next_light());
	now_ns += NS_PER_MS;
	assert_ptr_equal(next_light(), light);
	/* However many passed: for the device, the leaf is not behind. */
	put(limited, COST_NS, 0);
	now_ns += NS_PER_MS;
	assert_int_equal(serve(2, limited), 1);
	assert_int_equal(serve(2, busy), 2);
}

/* Below a limit they share what it lets through by weight, with those that go to the device, too. */
static void light_ones_share_a_limit(void **state)
{
	struct scheduler_node *guest = NODE(NULL, .max_bandwidth = 1000000, .burst_ns = NS_PER_MS);
	struct scheduler_node *little = NODE(guest), *much = NODE(guest, .weight = 300);
	uint64_t little_bytes = 0, much_bytes = 0;
	struct scheduler_request asks[2];

	for (unsigned i = 0; i < 20000; i++) {
		struct scheduler_request *request;

		if (scheduler_node_waiting(little) == 0) {
			asks[0] = (struct scheduler_request){ .cost_ns = 60, .bytes = 60, .light = true };
			scheduler_add(little, &asks[0], now_ns);
		}
		if (scheduler_node_waiting(much) == 0) {
			asks[1] = (struct scheduler_request){ .cost_ns = 1500, .bytes = 1500 };
			scheduler_add(much, &asks[1], now_ns);
		}
		request = next();
		little_bytes += request == &asks[0] ? 60 : 0;
		much_bytes += request == &asks[1] ? 1500 : 0;
		now_ns += request ? 0 : 50 * NS_PER_US;
	}
	for (unsigned i = 0; i < 2; i++)
		if (scheduler_node_waiting(asks[i].node) > 0)
			scheduler_cancel(&asks[i]);
	assert_in_range(much_bytes, little_bytes * 29 / 10, little_bytes * 31 / 10);
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
		TEST(light_ones_wait_for_limits_only),
		TEST(light_ones_share_a_limit),
		TEST(cancelled_was_never_here),
		TEST(bytes_are_limited),
		TEST(limit_of_a_group_holds_back_its_members_only),
		TEST(lifted_limit_holds_no_longer),
		TEST(new_limit_holds_what_waits),
	};

	return cmocka_run_group_tests_name("scheduler's limits", tests, NULL, NULL);
}
