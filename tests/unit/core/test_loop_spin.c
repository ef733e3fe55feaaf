/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a busy wait pays: closed loops of one request at a time, in time that is only counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/loop_spin.h"

#define MAX_NS (32 * NS_PER_US)

struct device {
	uint64_t busy_ns, slept_ns; /* a request, when the wait for it is busy, and when it sleeps at once */
	uint64_t noise;
};

/* Carries out so many requests; returns how many of the waits for them were busy first. */
static unsigned run(struct loop_spin *spin, struct loop_progress *progress, const struct device *device,
		    unsigned requests)
{
	unsigned busy = 0;

	for (unsigned i = 0; i < requests; i++) {
		bool is_busy = loop_spin_limit(spin) > 0;
		uint64_t took_ns = is_busy ? device->busy_ns : device->slept_ns;

		took_ns += device->noise > 0 ? i * 7919u % device->noise : 0;
		progress->now_ns += took_ns;
		progress->completions++;
		busy += is_busy;
		/* The wait is a part of it that a busy wait could bridge. */
		loop_spin_note(spin, MAX_NS / 2, MAX_NS, *progress);
	}
	return busy;
}

static void test_budget_follows_the_waits(void **state)
{
	struct loop_spin spin = { 0 };
	const struct loop_progress progress = { 0 };
	uint64_t total_ns = 0;

	assert_int_equal(loop_spin_limit(&spin), 0);
	loop_spin_note(&spin, MAX_NS, MAX_NS, progress);
	assert_int_equal(loop_spin_limit(&spin), MAX_NS);
	for (unsigned i = 0; i < 20; i++) {
		total_ns += loop_spin_limit(&spin);
		loop_spin_note(&spin, 100 * MAX_NS, MAX_NS, progress);
	}
	assert_int_equal(loop_spin_limit(&spin), 0);
	assert_true(total_ns <= 4 * MAX_NS);
	loop_spin_note(&spin, 1, MAX_NS, progress);
	loop_spin_bound(&spin, MAX_NS / 4);
	assert_int_equal(loop_spin_limit(&spin), MAX_NS / 4);
}

static void test_spin_that_pays_stays(void **state)
{
	const struct device near = { .busy_ns = 20 * NS_PER_US, .slept_ns = 35 * NS_PER_US, .noise = 5000 };
	struct loop_spin spin = { 0 };
	struct loop_progress progress = { 0 };

	run(&spin, &progress, &near, 5000);
	assert_true(run(&spin, &progress, &near, 10000) > 9900);
}

static void test_spin_in_vain_ends(void **state)
{
	const struct device shared = { .busy_ns = 127 * NS_PER_US,
				       .slept_ns = 88 * NS_PER_US,
				       .noise = 20000 };
	struct loop_spin spin = { 0 };
	struct loop_progress progress = { 0 };

	assert_true(run(&spin, &progress, &shared, 1000) < 400);
	run(&spin, &progress, &shared, 5000);
	assert_true(run(&spin, &progress, &shared, 10000) < 100);
}

/* No gain is no reason to spin. */
static void test_spin_without_effect_ends(void **state)
{
	const struct device far = { .busy_ns = 90 * NS_PER_US, .slept_ns = 90 * NS_PER_US };
	struct loop_spin spin = { 0 };
	struct loop_progress progress = { 0 };

	run(&spin, &progress, &far, 6000);
	assert_true(run(&spin, &progress, &far, 10000) < 100);
}

static void test_spin_comes_back(void **state)
{
	const struct device shared = { .busy_ns = 127 * NS_PER_US, .slept_ns = 88 * NS_PER_US };
	const struct device near = { .busy_ns = 20 * NS_PER_US, .slept_ns = 35 * NS_PER_US };
	struct loop_spin spin = { 0 };
	struct loop_progress progress = { 0 };

	run(&spin, &progress, &shared, 20000);
	assert_true(run(&spin, &progress, &shared, 10000) < 100);
	/* A trial may be that far away. */
	run(&spin, &progress, &near, 5000);
	assert_true(run(&spin, &progress, &near, 10000) > 9000);
}

/* A loop without a device waits for programs alone. */
static void test_without_a_device(void **state)
{
	const struct device shared = { .busy_ns = 127 * NS_PER_US, .slept_ns = 88 * NS_PER_US };
	struct loop_spin spin = { 0 };
	struct loop_progress progress = { 0 };
	unsigned busy = 0;

	run(&spin, &progress, &shared, 20000);
	for (unsigned i = 0; i < 20000; i++) {
		progress.now_ns += MAX_NS / 2;
		busy += loop_spin_limit(&spin) > 0;
		loop_spin_note(&spin, MAX_NS / 2, MAX_NS, progress);
	}
	assert_true(busy > 15000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_budget_follows_the_waits),
		cmocka_unit_test(test_spin_that_pays_stays),
		cmocka_unit_test(test_spin_in_vain_ends),
		cmocka_unit_test(test_spin_without_effect_ends),
		cmocka_unit_test(test_spin_comes_back),
		cmocka_unit_test(test_without_a_device),
	};

	return cmocka_run_group_tests_name("loop_spin", tests, NULL, NULL);
}
