/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Experiments: who gets how much. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "fair_figures.h"

#define GUESTS_MAX 64u

static double percent(double part)
{
	return part * 100;
}

/* ---- Q1 ---- */

static void equal_floods(const struct fair_bench *bench, unsigned guests, bool file,
			 struct fair_report *report)
{
	struct fair_plan plan = fair_plan_make(bench, file, 2000);
	struct fair_run run;

	fair_plan_add(&plan, guests, fair_flood(file), fair_weight(100));
	fair_run_make(bench, &plan, &run);
	fair_report_add(report, "Jain index, worst 1 s", "", FAIR_AT_LEAST,
			fair_worst_jain(&run, 0, guests, FAIR_REQUESTS, 1000, fair_plan_span(&plan)), 0.99);
	fair_run_free(&run);
}

/* ---- Q2 ---- */

static void weights(const struct fair_bench *bench, unsigned guests, bool file, struct fair_report *report)
{
	struct fair_plan plan = fair_plan_make(bench, file, 2000);
	unsigned classes = guests < 4 ? guests : 4, each = guests / classes;
	double weight[GUESTS_MAX];
	struct fair_run run;

	for (unsigned i = 0; i < classes; i++) {
		fair_plan_add(&plan, each, fair_flood(file), fair_weight(100u << i));
		for (unsigned k = 0; k < each; k++)
			weight[i * each + k] = 1u << i;
	}
	fair_run_make(bench, &plan, &run);
	fair_report_add(report, "largest error of a share", "%", FAIR_AT_MOST,
			percent(fair_share_error(&run, weight, fair_plan_span(&plan))), 3);
	fair_run_free(&run);
}

/* ---- Q3 ---- */

static void sizes(const struct fair_bench *bench, unsigned guests, bool file, struct fair_report *report)
{
	struct fair_plan plan = fair_plan_make(bench, file, 2000);
	struct fair_run run;

	fair_plan_add(&plan, guests / 2, fair_flood(file), fair_weight(100));
	fair_plan_add(&plan, guests / 2, fair_load_of(FAIR_READ, 256 * KIB, 32), fair_weight(100));
	fair_run_make(bench, &plan, &run);
	fair_report_add(report, "Jain index of device time, worst 1 s", "", FAIR_AT_LEAST,
			fair_worst_jain(&run, 0, guests, FAIR_DEVICE_NS, 1000, fair_plan_span(&plan)), 0.98);
	fair_run_free(&run);
}

/* ---- Q5: the reserving guest's weight would give it next to nothing ---- */

static void simulated_reservation(const struct fair_bench *bench, unsigned guests,
				  struct fair_report *report)
{
	struct fair_plan plan = fair_plan_make(bench, false, 2000);
	const struct disk_cost cost = fair_cost_of(&fair_disk);
	uint64_t reserved = disk_cost_iops(&cost) / 2;
	struct fair_guest *guest = fair_plan_add(&plan, 1, fair_flood(false), fair_weight(1));
	struct fair_range range;
	struct fair_run run;

	plan.watched = true;
	guest->share.min_iops = reserved;
	fair_plan_add(&plan, guests - 1, fair_flood(false), fair_weight(1000));
	fair_run_make(bench, &plan, &run);
	range = fair_windows(&run, 0, FAIR_REQUESTS, 100, fair_plan_span(&plan));
	fair_report_add(report, "of a reservation of half the disk, worst 100 ms", "%", FAIR_AT_LEAST,
			percent(range.least / (double)reserved * 10), 99);
	fair_report_add(report, "windows of 100 ms in which the machine did not stand still", "%",
			FAIR_INFORMS, percent(range.counted), 0);
	fair_run_free(&run);
}

static void reservation(const struct fair_bench *bench, unsigned guests, bool file,
			struct fair_report *report)
{
	if (file)
		fair_file_reservation(bench, guests, report);
	else
		simulated_reservation(bench, guests, report);
}

/* ---- the worked example of SIOC: four guests of two hosts (our groups) on a disk of 8000 IOPS ---- */

static const struct disk_memory_options sioc_disk = {
    .size_bytes = 1ull << 40,
    .null = true,
    .read_base_ns = 500 * NS_PER_US,
    .write_base_ns = 500 * NS_PER_US,
    .depth = 4,
};

#define SIOC_GUESTS 4u

struct sioc_case {
	const char *text;
	bool nested, less; /* less: the third wants 10 IOPS, the fourth may have 2000 */
	double iops[SIOC_GUESTS];
};

static const struct sioc_case sioc_cases[] = {
    {"nested, all busy: largest error", true, false, {1600, 4000, 800, 1600}},
    {"nested, one wants 10, one limited: largest error", true, true, {1711, 4279, 10, 2000}},
    {"flat, all busy: largest error", false, false, {1600, 4000, 800, 1600}},
    {"flat, one wants 10, one limited: largest error", false, true, {1775.6, 4438.9, 10, 1775.6}},
};

static void sioc_plan(struct fair_plan *plan, const struct sioc_case *sioc)
{
	static const uint32_t shares[SIOC_GUESTS] = {1000, 2500, 500, 1000};

	plan->disk = &sioc_disk;
	for (unsigned i = 0; i < SIOC_GUESTS; i++) {
		struct fair_guest *guest = fair_plan_add(plan, 1, fair_flood(false), fair_weight(shares[i]));

		guest->group = sioc->nested ? 1 + i / 2 : 0;
	}
	if (sioc->nested) {
		plan->group[0] = fair_weight(3500);
		plan->group[1] = fair_weight(1500);
	}
	if (sioc->less) {
		plan->guest[2].load.iops = 10;
		plan->guest[3].share.max_iops = 2000;
	}
}

static void sioc(const struct fair_bench *bench, unsigned guests, bool file, struct fair_report *report)
{
	for (unsigned i = 0; i < sizeof(sioc_cases) / sizeof(sioc_cases[0]); i++) {
		const struct sioc_case *sioc = &sioc_cases[i];
		struct fair_plan plan = fair_plan_make(bench, file, 2000);
		struct fair_span span = fair_plan_span(&plan);
		struct fair_run run;
		double worst = 0;

		sioc_plan(&plan, sioc);
		fair_run_make(bench, &plan, &run);
		for (unsigned k = 0; k < SIOC_GUESTS; k++) {
			double iops =
			    fair_total(&run, k, 1, FAIR_REQUESTS, span) * 1000 / (span.to_ms - span.from_ms);

			worst = fmax(worst, fabs(iops / sioc->iops[k] - 1));
		}
		fair_report_add(report, sioc->text, "%", FAIR_AT_MOST, percent(worst), 3);
		fair_run_free(&run);
	}
}

const struct fair_experiment fair_share_experiments[] = {
    {"Q1", "equal floods", {2, 8, 64}, true, equal_floods},
    {"Q2", "weights 1:2:4:8", {2, 8, 64}, true, weights},
    {"Q3", "4 KiB against 256 KiB", {2, 8, 64}, false, sizes},
    {"Q5", "reservation under flood", {2, 8, 64}, true, reservation},
    {"SIOC", "the worked example", {4}, false, sioc},
};
const unsigned fair_share_count = sizeof(fair_share_experiments) / sizeof(fair_share_experiments[0]);
