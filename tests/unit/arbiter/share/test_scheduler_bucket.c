/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The token bucket of the disk scheduler: to the nanosecond. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "arbiter/share/scheduler_bucket.h"
#include "core/clock.h"

static struct scheduler_bucket bucket;

static int setup(void **state)
{
	memset(&bucket, 0, sizeof(bucket));
	return 0;
}

static void take_at(uint64_t tokens, uint64_t now_ns)
{
	assert_int_equal(bucket_wait_ns(&bucket, tokens, now_ns), 0);
	bucket_take(&bucket, tokens);
}

static void no_rate_is_no_limit(void **state)
{
	bucket_set(&bucket, 0, NS_PER_S, 1, 5);
	for (unsigned i = 0; i < 1000; i++)
		take_at(1u << 30, 5);
}

static void burst_passes_and_no_more(void **state)
{
	bucket_set(&bucket, 1000, 10 * NS_PER_MS, 1, 0);
	for (unsigned i = 0; i < 10; i++)
		take_at(1, 0);
	assert_int_equal(bucket_wait_ns(&bucket, 1, 0), NS_PER_MS);
	assert_int_equal(bucket_wait_ns(&bucket, 1, NS_PER_MS - 1), 1);
	take_at(1, NS_PER_MS);
	/* A long pause saves up no more than the burst. */
	for (unsigned i = 0; i < 10; i++)
		take_at(1, 3600 * NS_PER_S);
	assert_int_equal(bucket_wait_ns(&bucket, 1, 3600 * NS_PER_S), NS_PER_MS);
}

/* 3 tokens a second: no whole number of nanoseconds each, and yet not one too few or too many in a day. */
static void nothing_is_lost_to_rounding(void **state)
{
	uint64_t now_ns = 0, taken = 0;

	bucket_set(&bucket, 3, 0, 1, 0);
	while (now_ns < 86400 * NS_PER_S) {
		take_at(1, now_ns);
		taken++;
		now_ns += bucket_wait_ns(&bucket, 1, now_ns);
	}
	/* What a wait is rounded up by is lost to a bucket that holds one: here 6e-10 of it. */
	assert_in_range(taken, 3 * 86400, 3 * 86400 + 1);
}

static void large_one_waits_for_full_and_leaves_debt(void **state)
{
	bucket_set(&bucket, 1000000, NS_PER_MS, 0, 0);	/* holds 1000 */
	take_at(1000, 0);
	assert_int_equal(bucket_wait_ns(&bucket, 5000, 0), NS_PER_MS);
	take_at(5000, NS_PER_MS);
	assert_int_equal(bucket_wait_ns(&bucket, 1, NS_PER_MS), 4 * NS_PER_MS + NS_PER_US);
	assert_int_equal(bucket_wait_ns(&bucket, 1000, NS_PER_MS), 5 * NS_PER_MS);
}

static void new_rate_keeps_level_and_forgives_debt(void **state)
{
	bucket_set(&bucket, 1000, 10 * NS_PER_MS, 1, 0);
	for (unsigned i = 0; i < 8; i++)
		take_at(1, 0);
	/* Set over and over again, it does not fill up. */
	for (unsigned i = 0; i < 50; i++)
		bucket_set(&bucket, 1000 + i, 10 * NS_PER_MS, 1, 0);
	take_at(1, 0);
	take_at(1, 0);
	assert_true(bucket_wait_ns(&bucket, 1, 0) > 0);
	/* A smaller one holds less. */
	bucket_set(&bucket, 1000, 10 * NS_PER_MS, 1, NS_PER_S);
	bucket_set(&bucket, 100, 10 * NS_PER_MS, 1, NS_PER_S);
	take_at(1, NS_PER_S);
	assert_int_equal(bucket_wait_ns(&bucket, 1, NS_PER_S), 10 * NS_PER_MS);
	bucket_take(&bucket, 1000);
	bucket_set(&bucket, 200, 10 * NS_PER_MS, 1, NS_PER_S);
	assert_int_equal(bucket_wait_ns(&bucket, 1, NS_PER_S), 5 * NS_PER_MS);
}

static void extremes_do_not_overflow(void **state)
{
	bucket_set(&bucket, UINT64_MAX, UINT64_MAX, 1, 0);
	take_at(UINT64_MAX, UINT64_MAX);
	assert_true(bucket_wait_ns(&bucket, UINT64_MAX, UINT64_MAX) > 0);
	setup(state);
	bucket_set(&bucket, 1, 0, 1, 0);
	take_at(UINT64_MAX, 0);
	assert_int_equal(bucket_wait_ns(&bucket, 1, 0), INT64_MAX);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_rate_is_no_limit),
		TEST(burst_passes_and_no_more),
		TEST(nothing_is_lost_to_rounding),
		TEST(large_one_waits_for_full_and_leaves_debt),
		TEST(new_rate_keeps_level_and_forgives_debt),
		TEST(extremes_do_not_overflow),
	};

	return cmocka_run_group_tests_name("scheduler_bucket", tests, NULL, NULL);
}
