/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The metrics of the sharing benchmark. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fair_series.h"

static void near(double value, double wanted)
{
	assert_true(value > wanted - 1e-9 && value < wanted + 1e-9);
}

static void fill(struct fair_series *series, unsigned from_ms, unsigned to_ms, unsigned each)
{
	for (unsigned ms = from_ms; ms < to_ms; ms++)
		for (unsigned i = 0; i < each; i++)
			fair_series_add(series, ms, 4096, 50000);
}

static void test_jain(void **state)
{
	const double equal[] = {5, 5, 5, 5}, one[] = {7, 0, 0, 0}, half[] = {1, 3}, nothing[] = {0, 0};

	near(fair_jain(equal, 4), 1);
	near(fair_jain(one, 4), 0.25);
	near(fair_jain(half, 2), 0.8);
	near(fair_jain(nothing, 2), 0);
}

static void test_median(void **state)
{
	double odd[] = {9, 1, 5}, even[] = {4, 1, 3, 2}, single[] = {6};

	near(fair_median(odd, 3), 5);
	near(fair_median(even, 4), 2.5);
	near(fair_median(single, 1), 6);
}

static void test_sums(void **state)
{
	struct fair_series series;

	assert_int_equal(fair_series_init(&series, 10), 0);
	fair_series_add(&series, 0, 512, 7);
	fair_series_add(&series, 9, 1024, 8);
	fair_series_add(&series, 10, 4096, 9); /* too late */
	assert_int_equal(fair_series_sum(&series, FAIR_REQUESTS, 0, 10), 2);
	assert_int_equal(fair_series_sum(&series, FAIR_BYTES, 0, 10), 1536);
	assert_int_equal(fair_series_sum(&series, FAIR_DEVICE_NS, 1, 100), 8);
	assert_int_equal(fair_series_sum(&series, FAIR_REQUESTS, 1, 9), 0);
	fair_series_finish(&series);
}

/*
 * One a millisecond is the rate; five more at once after a pause that saved none of them up are five too
 * many.
 */
static void test_excess(void **state)
{
	struct fair_series series;

	assert_int_equal(fair_series_init(&series, 100), 0);
	fill(&series, 0, 20, 1);
	near(fair_excess(&series, FAIR_REQUESTS, 1000, 0, 100), 0);
	fill(&series, 60, 61, 6);
	near(fair_excess(&series, FAIR_REQUESTS, 1000, 0, 100), 5);
	/* Two bursts with less than their worth between them add up. */
	fill(&series, 64, 65, 6);
	near(fair_excess(&series, FAIR_REQUESTS, 1000, 0, 100), 5 - 3 + 5);
	near(fair_excess(&series, FAIR_REQUESTS, 1000, 0, 60), 0);
	fair_series_finish(&series);
}

static void test_reached(void **state)
{
	struct fair_series series;

	assert_int_equal(fair_series_init(&series, 100), 0);
	fill(&series, 0, 50, 1);
	fill(&series, 50, 100, 10);
	assert_int_equal(fair_reached_ms(&series, FAIR_REQUESTS, 50, 5, 40, 100), 15);
	assert_int_equal(fair_reached_ms(&series, FAIR_REQUESTS, 5, 5, 40, 100), 5);
	assert_int_equal(fair_reached_ms(&series, FAIR_REQUESTS, 51, 5, 40, 100), 60);
	fair_series_finish(&series);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_jain),   cmocka_unit_test(test_median),  cmocka_unit_test(test_sums),
	    cmocka_unit_test(test_excess), cmocka_unit_test(test_reached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
