/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disk scheduler keeps its promises on a simulated disk, and each promise is really put to the test: a
 * scheduler that ignores weights, forgets reservations or limits, or counts requests instead of their time
 * breaks those named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "scheduler_properties.h"
#include "scheduler_rivals.h"

static uint64_t seed;

static void property_test(void **state)
{
	const struct property *property = *state;
	bool holds = true;

	for (unsigned i = 0; i < 3 && property->guests[i] > 0; i++) {
		struct property_run run = { .seed = seed, .guests = property->guests[i] };
		double measured = property->measure(&run);
		bool good = property_holds(property, measured);

		print_message("%s, %u guests: %.4f, must be %s %g%s\n", property->name, run.guests, measured,
			      property->at_most ? "at most" : "at least", property->bound,
			      good ? "" : ": SHORT");
		holds = holds && good;
	}
	assert_true(holds);
}

static const struct mutant {
	enum sim_mutation mutation;
	const char *name, *breaks[4];
} mutants[] = {
	{ SIM_WEIGHTS_IGNORED,
	  "weights are ignored",
	  { "weights_1248", "heavy_wakes", "heavy_half_idle_share" } },
	{ SIM_RESERVATIONS_FORGOTTEN,
	  "reservations are forgotten",
	  { "reservation_under_flood", "slow_disk_proportion" } },
	{ SIM_REQUESTS_COUNTED, "requests are counted", { "small_against_large" } },
	{ SIM_LIMITS_FORGOTTEN, "limits are forgotten", { "limit_error", "limit_overshoot" } },
};
#define MUTANTS (sizeof(mutants) / sizeof(mutants[0]))

static void mutant_test(void **state)
{
	const struct mutant *mutant = *state;

	for (unsigned i = 0; mutant->breaks[i]; i++) {
		const struct property *property = property_find(mutant->breaks[i]);
		struct property_run run = { .seed = seed, .guests = 8, .mutation = mutant->mutation };
		double measured = property->measure(&run);

		print_message("%s: %s is %.4f\n", mutant->name, property->name, measured);
		assert_false(property_holds(property, measured));
	}
}

/* A seed that fails can be run again; and it does make a difference. */
static void seed_decides_everything(void **state)
{
	const struct property *property = property_find("victim_tail");
	struct property_run run = { .seed = seed, .guests = 8 }, other = { .seed = seed + 1, .guests = 8 };
	double first = property->measure(&run);

	assert_true(first == property->measure(&run));
	assert_true(first != property->measure(&other));
}

/* The figures of docs/decisions/0008: every other way falls short of something. */
static void rivals_fall_short(void **state)
{
	static const char *const names[] = { "equal_floods",	    "weights_1248",
					     "small_against_large", "reservation_under_flood",
					     "victim_tail",	    "one_active",
					     "slow_disk_others" };
	const unsigned count = sizeof(names) / sizeof(names[0]);

	for (unsigned i = 0; i <= rival_count; i++) {
		const struct sim_rival *rival = i < rival_count ? &rivals[i] : NULL;
		unsigned holds = 0;

		print_message("%s:", rival ? rival->name : "ours");
		for (unsigned j = 0; j < count; j++) {
			const struct property *property = property_find(names[j]);
			struct property_run run = { .seed = seed, .guests = 8, .rival = rival };
			double measured = property->measure(&run);

			print_message(" %s %.3f%s", names[j], measured,
				      property_holds(property, measured) ? "" : "!");
			holds += property_holds(property, measured);
		}
		print_message("\n");
		assert_true(rival ? holds < count : holds == count);
	}
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[64] = { 0 };
	size_t count = 0;

	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 20;
	print_message("seed %" PRIu64 "\n", seed);
	for (unsigned i = 0; i < property_count; i++)
		tests[count++] = (struct CMUnitTest){ properties[i].name, property_test, NULL, NULL,
						      (void *)&properties[i] };
	for (unsigned i = 0; i < MUTANTS; i++)
		tests[count++] =
			(struct CMUnitTest){ mutants[i].name, mutant_test, NULL, NULL, (void *)&mutants[i] };
	tests[count++] = (struct CMUnitTest)cmocka_unit_test(seed_decides_everything);
	tests[count++] = (struct CMUnitTest)cmocka_unit_test(rivals_fall_short);
	return _cmocka_run_group_tests("scheduler", tests, count, NULL, NULL);
}
