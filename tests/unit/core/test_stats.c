/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/stats.h"

#define SAMPLES 5000u

/* Every value lies below its bucket's limit and not below the limit of the bucket before. */
static void assert_in_bucket(uint64_t ns)
{
	unsigned bucket = histogram_bucket(ns);

	assert_true(bucket < HISTOGRAM_BUCKETS);
	assert_true(ns < histogram_bucket_limit_ns(bucket));
	if (bucket > 0)
		assert_true(ns >= histogram_bucket_limit_ns(bucket - 1));
}

static void bucket_limits(void **state)
{
	for (uint64_t ns = 0; ns < 5000; ns++)
		assert_in_bucket(ns);
	for (unsigned power = 3; power <= 40; power++) {
		assert_in_bucket((1ull << power) - 1);
		assert_in_bucket(1ull << power);
		assert_in_bucket((1ull << power) + 1);
		assert_in_bucket((1ull << power) + (1ull << (power - 1)));
	}
}

/* A bucket is never wider than a quarter of its lower bound: the promised 25 %. */
static void bucket_widths(void **state)
{
	for (unsigned bucket = 1; bucket < HISTOGRAM_BUCKETS; bucket++) {
		uint64_t from = histogram_bucket_limit_ns(bucket - 1), to = histogram_bucket_limit_ns(bucket);

		assert_true(to > from);
		if (from >= 4)
			assert_true((to - from) * 4 <= from);
	}
}

static void huge_values_count_in_the_last_bucket(void **state)
{
	static struct histogram histogram;

	histogram_add(&histogram, UINT64_MAX / 2);
	histogram_add(&histogram, 1ull << 45);
	assert_int_equal(counter_read(&histogram.bucket[HISTOGRAM_BUCKETS - 1]), 2);
	assert_int_equal(histogram_quantile_ns(&histogram, 0.5),
			 histogram_bucket_limit_ns(HISTOGRAM_BUCKETS - 1));
}

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

static void assert_quantiles(const struct histogram *histogram, uint64_t *values, size_t count)
{
	static const double fractions[] = { 0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1 };

	qsort(values, count, sizeof(*values), compare);
	for (size_t i = 0; i < sizeof(fractions) / sizeof(fractions[0]); i++) {
		size_t rank = (size_t)((double)count * fractions[i]);
		uint64_t exact = values[rank < count ? rank : count - 1];
		uint64_t found = histogram_quantile_ns(histogram, fractions[i]);

		assert_true(found > exact);
		assert_true(found <= exact + exact / 4 + 1);
	}
}

static void quantiles(void **state)
{
	static struct histogram histogram;
	static uint64_t values[SAMPLES];
	uint64_t random = 1, sum = 0;

	assert_int_equal(histogram_quantile_ns(&histogram, 0.5), 0);
	for (unsigned i = 0; i < SAMPLES; i++) {
		random = random * 6364136223846793005ull + 1442695040888963407ull;
		values[i] = (random >> 33) >> (random >> 59);
		sum += values[i];
		histogram_add(&histogram, values[i]);
	}
	assert_quantiles(&histogram, values, SAMPLES);
	assert_int_equal(counter_read(&histogram.count), SAMPLES);
	assert_int_equal(counter_read(&histogram.sum_ns), sum);
}

static void one_value_is_every_quantile(void **state)
{
	static struct histogram histogram;
	uint64_t value = 1000;

	histogram_add(&histogram, value);
	assert_quantiles(&histogram, &value, 1);
}

static void merge_adds_up(void **state)
{
	static struct histogram left, right, both;
	static uint64_t values[2 * 300];

	for (unsigned i = 0; i < 300; i++) {
		values[2 * i] = i * 7;
		values[2 * i + 1] = 100000 + i;
		histogram_add(&left, values[2 * i]);
		histogram_add(&right, values[2 * i + 1]);
	}
	histogram_merge(&both, &left);
	histogram_merge(&both, &right);
	assert_int_equal(counter_read(&both.count), 600);
	assert_int_equal(counter_read(&both.sum_ns),
			 counter_read(&left.sum_ns) + counter_read(&right.sum_ns));
	assert_quantiles(&both, values, 600);
}

static void *count_up(void *argument)
{
	struct counter *counters = argument;

	for (unsigned i = 0; i < 200000; i++) {
		counter_add(&counters[0], 0x100000001ull);
		counter_add(&counters[1], 1);
	}
	return NULL;
}

/* One writer, one reader: values only grow and their halves belong together. */
static void a_reader_sees_no_torn_value(void **state)
{
	static struct counter counters[2];
	uint64_t seen = 0, value;
	pthread_t writer;

	assert_int_equal(pthread_create(&writer, NULL, count_up, counters), 0);
	do {
		value = counter_read(&counters[0]);
		assert_true(value >= seen);
		assert_int_equal(value >> 32, value & UINT32_MAX);
		seen = value;
	} while (counter_read(&counters[1]) < 200000);
	pthread_join(writer, NULL);
	assert_int_equal(counter_read(&counters[0]), 200000 * 0x100000001ull);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bucket_limits),
		cmocka_unit_test(bucket_widths),
		cmocka_unit_test(huge_values_count_in_the_last_bucket),
		cmocka_unit_test(quantiles),
		cmocka_unit_test(one_value_is_every_quantile),
		cmocka_unit_test(merge_adds_up),
		cmocka_unit_test(a_reader_sees_no_torn_value),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
