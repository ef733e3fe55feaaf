/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which requests the sharing benchmark counts in its rounds: a victim alone and beside hostile guests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "core/clock.h"
#include "fair_figures.h"

/* Rounds of 1.2 s: 200 ms to settle, 500 ms alone, 500 ms beside the others. */
#define ROUND_MS   1200u
#define SETTLE_MS  200u
#define HALF_MS	   500u
#define HOSTILE_MS (SETTLE_MS + HALF_MS)

/* ---- twins of what the benchmark's other files do ---- */

/* In each round the machine stood still in [still_from_ms, still_to_ms) after the round began. */
static unsigned still_from_ms, still_to_ms;

double fair_watch_lost(const struct fair_watch *watch, unsigned from_ms, unsigned to_ms)
{
	unsigned lost = 0;

	for (unsigned ms = from_ms; ms < to_ms; ms++) {
		unsigned in_ms = (ms - FAIR_RAMP_MS) % ROUND_MS;

		lost += in_ms >= still_from_ms && in_ms < still_to_ms;
	}
	return (double)lost / (to_ms - from_ms);
}

struct fair_guest *fair_plan_add(struct fair_plan *plan, unsigned count, struct fair_load load,
				 struct share_settings share)
{
	return &plan->guest[plan->guest_rows++];
}

struct share_settings fair_weight(uint32_t weight)
{
	return (struct share_settings){.weight = weight};
}

void *fair_allocate(size_t count, size_t bytes)
{
	void *memory = calloc(count, bytes);

	assert_non_null(memory);
	return memory;
}

/* ---- a run ---- */

static struct fair_plan plan;
static struct fair_outcome outcome;
static const struct fair_run run = {.guests = 1, .outcome = &outcome};
static struct fair_report report;

static int setup(void **state)
{
	plan = (struct fair_plan){.total_ms = FAIR_RAMP_MS + FAIR_ROUNDS * ROUND_MS};
	outcome = (struct fair_outcome){0};
	report = (struct fair_report){0};
	still_from_ms = still_to_ms = 0;
	fair_plan_rounds(&plan, 1, (struct fair_load){0}, SETTLE_MS);
	return 0;
}

static int teardown(void **state)
{
	free(outcome.samples.sample);
	return 0;
}

/*
 * One request a millisecond, of 100 us alone and 200 us beside the others; from..to of each round they take
 * 10 ms.
 */
static void serve(unsigned slow_from_ms, unsigned slow_to_ms)
{
	for (unsigned ms = FAIR_RAMP_MS; ms < plan.total_ms; ms++) {
		unsigned in_ms = (ms - FAIR_RAMP_MS) % ROUND_MS;
		bool slow = in_ms >= slow_from_ms && in_ms < slow_to_ms;

		fair_samples_add(&outcome.samples, &plan, ms,
				 slow ? 10 * NS_PER_MS : (in_ms < HOSTILE_MS ? 100 : 200) * NS_PER_US);
	}
}

static void expect_p99_us(unsigned hostile, double expected)
{
	double p99_us = fair_p99_us(&run, &plan, 0, hostile, &report);

	assert_true(p99_us > expected * 0.98 && p99_us < expected * 1.02);
}

/* Of the ten windows of that half of which less counts. */
static void expect_counted(unsigned windows)
{
	double counted = fair_rounds_counted(&run, &plan) * HALF_MS / 50;

	assert_true(counted > windows - 0.01 && counted < windows + 0.01);
}

/* ---- tests ---- */

static void test_halves_are_told_apart(void **state)
{
	serve(0, 0);
	assert_int_equal(fair_rounds_requests(&run, &plan, 0, 0), FAIR_ROUNDS * HALF_MS);
	assert_int_equal(fair_rounds_requests(&run, &plan, 0, 1), FAIR_ROUNDS * HALF_MS);
	expect_p99_us(0, 100);
	expect_p99_us(1, 200);
	assert_false(report.disturbed);
	expect_counted(10);
}

/* What happens while the others stop and their last requests end is no figure of anything. */
static void test_settling_does_not_count(void **state)
{
	for (unsigned ms = 0; ms < FAIR_RAMP_MS + SETTLE_MS; ms++)
		fair_samples_add(&outcome.samples, &plan, ms, NS_PER_S);
	assert_int_equal(outcome.samples.count, 0);
	fair_samples_add(&outcome.samples, &plan, FAIR_RAMP_MS + SETTLE_MS, 100 * NS_PER_S);
	assert_int_equal(outcome.samples.count, 1);
	assert_int_equal(outcome.samples.sample[0].took_ns, UINT32_MAX);
	fair_samples_add(&outcome.samples, &plan, plan.total_ms, NS_PER_S);
	assert_int_equal(outcome.samples.count, 1);
}

/*
 * Requests are slow from 110 to 120 ms after the others began; the machine stood still for a millisecond or
 * not.
 */
static void slow_and_still(unsigned still_ms, double p99_us, unsigned windows)
{
	if (still_ms > 0) {
		still_from_ms = HOSTILE_MS + still_ms;
		still_to_ms = still_from_ms + 1;
	}
	serve(HOSTILE_MS + 110, HOSTILE_MS + 120);
	expect_p99_us(0, 100);
	expect_p99_us(1, p99_us);
	assert_false(report.disturbed);
	expect_counted(windows);
}

static void test_slow_requests_count(void **state)
{
	slow_and_still(0, 10000, 10);
}

static void test_still_windows_do_not_count(void **state)
{
	slow_and_still(105, 200, 9);
}

/* It stood still in another window, but shortly before. */
static void test_what_piled_up_does_not_count(void **state)
{
	slow_and_still(98, 200, 8);
}

/* … long before. */
static void test_what_is_over_counts(void **state)
{
	slow_and_still(70, 10000, 9);
}

/* With too little left, everything counts, and it is told. */
static void test_too_little_is_told(void **state)
{
	still_from_ms = HOSTILE_MS;
	still_to_ms = HOSTILE_MS + 260;
	serve(HOSTILE_MS + 110, HOSTILE_MS + 120);
	expect_p99_us(1, 10000);
	assert_true(report.disturbed);
	expect_counted(0);
}

/* A victim that got nothing is no victim that waited for nothing. */
static void test_silence_is_no_success(void **state)
{
	expect_p99_us(1, HALF_MS * 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_halves_are_told_apart),
	    TEST(test_settling_does_not_count),
	    TEST(test_slow_requests_count),
	    TEST(test_still_windows_do_not_count),
	    TEST(test_what_piled_up_does_not_count),
	    TEST(test_what_is_over_counts),
	    TEST(test_too_little_is_told),
	    TEST(test_silence_is_no_success),
	};

	return cmocka_run_group_tests_name("fair_rounds", tests, NULL, NULL);
}
