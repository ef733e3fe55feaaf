/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the experiments calculate from runs, over guests [first, first + count) and milliseconds [from, to).
 */
#ifndef VIADUCT_BENCH_FAIR_FIGURES_H
#define VIADUCT_BENCH_FAIR_FIGURES_H

#include "fair.h"

struct fair_span {
	unsigned from_ms, to_ms;
};

/* Before the measured time: connections warm up and queues fill. */
#define FAIR_RAMP_MS 500u

/* A plan of so many measured milliseconds (half of them when quick) on the usual disk. */
struct fair_plan fair_plan_make(const struct fair_bench *bench, bool file, unsigned measured_ms);
/* Its measured time. */
struct fair_span fair_plan_span(const struct fair_plan *plan);

/*
 * A closed loop of random 4 KiB reads, depth 32, or 128 on the real file: as much as two of them ask for at a
 * time must be more than the device serves, or there is nothing to share. Of another operation, size and
 * depth.
 */
struct fair_load fair_flood(bool file);
struct fair_load fair_load_of(enum fair_op op, uint32_t block_bytes, unsigned depth);
/* A closed loop of random 4 KiB reads, depth 1, that wants at most half of an equal share of so many IOPS. */
struct fair_load fair_victim(uint64_t iops, unsigned guests);
struct share_settings fair_weight(uint32_t weight);

double fair_total(const struct fair_run *run, unsigned first, unsigned count, enum fair_measure measure,
		  struct fair_span span);
/*
 * The least and the greatest sum of one guest over windows of window_ms that begin a quarter of it apart. In
 * a watched run only windows count in which no CPU stood still; when there are none, all do.
 */
struct fair_range {
	double least, greatest;
	double counted; /* the part of the windows that did */
};
struct fair_range fair_windows(const struct fair_run *run, unsigned guest, enum fair_measure measure,
			       unsigned window_ms, struct fair_span span);
/* The least Jain index of any such window. */
double fair_worst_jain(const struct fair_run *run, unsigned first, unsigned count, enum fair_measure measure,
		       unsigned window_ms, struct fair_span span);
/*
 * The largest relative error of a guest's share in requests of all of them against its part of the weights.
 */
double fair_share_error(const struct fair_run *run, const double *weight, struct fair_span span);
/*
 * Rounds, from the ramp's end to the plan's: first without, then with guests that want `load` and give way to
 * everybody. Where they leave a worker no idle moment, a half is to be shorter than 0.95 s: that is how long
 * Linux lets threads of real-time priority keep a CPU.
 */
void fair_plan_rounds(struct fair_plan *plan, unsigned count, struct fair_load load, unsigned settle_ms);
/*
 * The 99th percentile of an honest guest's latencies without (0) and with (1) them, in us: the median of the
 * rounds. Of a round only windows of 50 ms count in which no CPU stood still, and it counts when these are
 * half of it. With less than three such rounds the report is marked, and everything counts.
 */
double fair_p99_us(const struct fair_run *run, const struct fair_plan *plan, unsigned guest, unsigned hostile,
		   struct fair_report *report);

/* The part of the rounds that counts, of the halves of which less does. */
double fair_rounds_counted(const struct fair_run *run, const struct fair_plan *plan);
/* How many requests an honest guest sent in all rounds without (0) and with (1) them. */
uint64_t fair_rounds_requests(const struct fair_run *run, const struct fair_plan *plan, unsigned guest,
			      unsigned hostile);

/* The gate is off and on in turn from the ramp's end to the plan's, starting with off, slice_ms each. */
void fair_plan_toggle(struct fair_plan *plan, unsigned slice_ms);
/*
 * Over pairs of a slice with it off [0] and the next with it on [1], without the first fifth of each: medians
 * of what all got a second, and of the pairs' ratios on : off. In a watched run only pairs count in which no
 * CPU stood still, if these are five at least.
 */
struct fair_off_on {
	double per_s[2], ratio;
};
struct fair_off_on fair_off_and_on(const struct fair_run *run, const struct fair_plan *plan,
				   enum fair_measure measure, unsigned slice_ms);

/* ---- fair_file.c: on the real file ---- */

/* Q4: a victim that reads 4 KiB one at a time beside floods of 256 KiB writes. */
void fair_file_victim(const struct fair_bench *bench, unsigned guests, struct fair_report *report);
/* The same without sharing, with fixed numbers of writes at a time in all: what a bound could reach. */
void fair_file_bounds(const struct fair_bench *bench, unsigned guests, struct fair_report *report);
/* Q5: a reservation of 30 % of what the file delivers. */
void fair_file_reservation(const struct fair_bench *bench, unsigned guests, struct fair_report *report);

#endif
