/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Experiments on the real file. What such a disk does is known to nobody, and is another thing a minute
 * later; so each is a comparison of sharing on with sharing off, in turn in the same run.
 */
#include <math.h>
#include <stdio.h>

#include "fair_figures.h"

#define LARGE_BYTES  (256 * KIB)
#define LARGE_DEPTH  32u
#define SETTLE_MS    500u
#define HALF_MS	     2000u
#define PROBE_MS     2000u
#define RESERVED     0.3
#define WINDOW_MS    100u
/* A reservation holds when it is met but for this part … */
#define MET	     0.99
/* … or when its guest got all that there was, but for what is always left to weights. */
#define ALL_OF_IT    0.95

/* Rounds of two halves. */
static void plan_halves(struct fair_plan *plan)
{
	plan->rounds = FAIR_ROUNDS;
	plan->rounds_from_ms = FAIR_RAMP_MS;
	plan->round_ms = (plan->total_ms - FAIR_RAMP_MS) / FAIR_ROUNDS;
	plan->half_ms = (plan->round_ms - SETTLE_MS) / 2;
	plan->settle_ms = plan->round_ms - 2 * plan->half_ms;
}

/* The first half without sharing, the second with it. */
static void plan_off_on(struct fair_plan *plan)
{
	plan_halves(plan);
	for (unsigned round = 0; round < plan->rounds; round++) {
		unsigned from_ms = plan->rounds_from_ms + round * plan->round_ms;

		fair_plan_at(plan, from_ms, fair_gate_on, false);
		fair_plan_at(plan, from_ms + plan->settle_ms + plan->half_ms, fair_gate_on, true);
	}
}

/*
 * MiB that all guests moved in the rounds' halves with sharing off [0] and on [1]; the first guest's are
 * small.
 */
static void moved(const struct fair_run *run, const struct fair_plan *plan, double mib[2])
{
	for (unsigned half = 0; half < 2 * plan->rounds; half++) {
		unsigned from_ms = plan->rounds_from_ms + half / 2 * plan->round_ms + plan->settle_ms +
				   half % 2 * plan->half_ms;
		struct fair_span span = {from_ms, from_ms + plan->half_ms};

		mib[half % 2] +=
		    fair_total(run, 0, 1, FAIR_REQUESTS, span) * 4 * KIB / MIB +
		    fair_total(run, 1, run->guests - 1, FAIR_REQUESTS, span) * LARGE_BYTES / MIB;
	}
}

/*
 * What any bound on what is inside could do: without sharing, and with so many writes at a time in all, in
 * the second half of each round. Of what there is in the first half.
 */
static void fixed_bound(const struct fair_bench *bench, unsigned guests, unsigned depth, double *ret_p99,
			double *ret_mib)
{
	struct fair_plan plan = fair_plan_make(bench, true, FAIR_ROUNDS * (SETTLE_MS + HALF_MS));
	struct fair_load flood = fair_load_of(FAIR_WRITE, LARGE_BYTES, LARGE_DEPTH),
			 bounded = fair_load_of(FAIR_WRITE, LARGE_BYTES, depth);
	struct fair_report disturbed = {0};
	struct fair_bench off = *bench;
	double mib[2] = {0}, p99_us[2];
	struct fair_run run;

	off.off = true;
	plan_halves(&plan);
	flood.start_ms = plan.rounds_from_ms;
	flood.on_ms = plan.settle_ms + plan.half_ms;
	flood.off_ms = plan.half_ms;
	bounded.start_ms = plan.rounds_from_ms + plan.settle_ms + plan.half_ms;
	bounded.on_ms = plan.half_ms;
	bounded.off_ms = plan.settle_ms + plan.half_ms;
	fair_plan_add(&plan, 1, fair_load_of(FAIR_READ, 4 * KIB, 1), fair_weight(100));
	fair_plan_add(&plan, guests - 1, flood, fair_weight(100));
	fair_plan_add(&plan, 1, bounded, fair_weight(100));
	fair_run_make(&off, &plan, &run);
	for (unsigned half = 0; half < 2; half++)
		p99_us[half] = fair_p99_us(&run, &plan, 0, half, &disturbed);
	moved(&run, &plan, mib);
	*ret_p99 = p99_us[1] / p99_us[0];
	*ret_mib = mib[1] / mib[0];
	fair_run_free(&run);
}

/* A search can find no better bound than the best of these: what is out of reach is the disk's doing. */
void fair_file_bounds(const struct fair_bench *bench, unsigned guests, struct fair_report *report)
{
	for (unsigned depth = 1; depth < LARGE_DEPTH; depth *= 2) {
		double p99, mib;
		char what[64];

		fixed_bound(bench, guests, depth, &p99, &mib);
		snprintf(what, sizeof(what), "%u at a time: victim's p99, of that beside all", depth);
		fair_report_add(report, what, "x", FAIR_INFORMS, p99, 0);
		snprintf(what, sizeof(what), "%u at a time: bytes moved, of those by all", depth);
		fair_report_add(report, what, "%", FAIR_INFORMS, mib * 100, 0);
	}
}

void fair_file_victim(const struct fair_bench *bench, unsigned guests, struct fair_report *report)
{
	struct fair_plan plan = fair_plan_make(bench, true, FAIR_ROUNDS * (SETTLE_MS + 2 * HALF_MS));
	double mib[2] = {0}, p99_us[2];
	struct fair_run run;

	fair_plan_add(&plan, 1, fair_load_of(FAIR_READ, 4 * KIB, 1), fair_weight(100));
	fair_plan_add(&plan, guests - 1, fair_load_of(FAIR_WRITE, LARGE_BYTES, LARGE_DEPTH),
		      fair_weight(100));
	plan_off_on(&plan);
	fair_run_make(bench, &plan, &run);
	for (unsigned on = 0; on < 2; on++)
		p99_us[on] = fair_p99_us(&run, &plan, 0, on, report);
	moved(&run, &plan, mib);
	fair_report_add(report, "victim's p99 without sharing", "us", FAIR_INFORMS, p99_us[0], 0);
	fair_report_add(report, "victim's p99, of that without sharing", "x", FAIR_AT_MOST,
			p99_us[1] / p99_us[0], 0.25);
	fair_report_add(report, "bytes moved by all, of those without sharing", "%", FAIR_AT_LEAST,
			mib[1] / mib[0] * 100, 95);
	fair_run_free(&run);
}

/* What all guests get without sharing, a second. */
static double delivered(const struct fair_bench *bench, unsigned guests)
{
	struct fair_plan plan = fair_plan_make(bench, true, PROBE_MS);
	struct fair_bench off = *bench;
	struct fair_run run;
	double per_s;

	off.off = true;
	fair_plan_add(&plan, guests, fair_flood(true), fair_weight(100));
	fair_run_make(&off, &plan, &run);
	per_s = fair_total(&run, 0, guests, FAIR_REQUESTS, fair_plan_span(&plan)) * 1000 /
		(plan.total_ms - FAIR_RAMP_MS);
	fair_run_free(&run);
	return per_s;
}

void fair_file_reservation(const struct fair_bench *bench, unsigned guests, struct fair_report *report)
{
	struct fair_plan plan = fair_plan_make(bench, true, 4000);
	double reserved = floor(delivered(bench, guests) * RESERVED);
	struct fair_guest *guest = fair_plan_add(&plan, 1, fair_flood(true), fair_weight(1));
	unsigned windows = 0, held = 0;
	struct fair_run run;

	guest->share.min_iops = reserved < 1 ? 1 : (uint64_t)reserved;
	fair_plan_add(&plan, guests - 1, fair_flood(true), fair_weight(1000));
	fair_run_make(bench, &plan, &run);
	for (unsigned from = FAIR_RAMP_MS; from + WINDOW_MS <= plan.total_ms; from += WINDOW_MS, windows++) {
		struct fair_span span = {from, from + WINDOW_MS};
		double got = fair_total(&run, 0, 1, FAIR_REQUESTS, span);

		held += got >= reserved * WINDOW_MS / 1000 * MET ||
			got >= fair_total(&run, 0, guests, FAIR_REQUESTS, span) * ALL_OF_IT;
	}
	fair_report_add(report, "reserved: 30 % of what all get without sharing", "IOPS", FAIR_INFORMS,
			reserved, 0);
	fair_report_add(report, "windows of 100 ms in which that holds", "%", FAIR_AT_LEAST,
			100.0 * held / windows, 99);
	fair_run_free(&run);
}
