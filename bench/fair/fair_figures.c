/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fair_figures.h"

#include <math.h>
#include <stdlib.h>

#include "core/clock.h"

const struct disk_memory_options fair_disk = {
    .size_bytes = 1ull << 40,
    .null = true,
    .read_base_ns = 190 * NS_PER_US,
    .write_base_ns = 190 * NS_PER_US,
    .read_ns_per_kib = 2500,
    .write_ns_per_kib = 2500,
    .flush_ns = 200 * NS_PER_US,
    .depth = 4,
};

/* ---- plans ---- */

struct fair_plan fair_plan_make(const struct fair_bench *bench, bool file, unsigned measured_ms)
{
	return (struct fair_plan){
	    .disk = file ? NULL : &fair_disk,
	    .total_ms = FAIR_RAMP_MS + (bench->quick ? measured_ms / 2 : measured_ms),
	};
}

struct fair_span fair_plan_span(const struct fair_plan *plan)
{
	return (struct fair_span){FAIR_RAMP_MS, plan->total_ms};
}

struct fair_load fair_load_of(enum fair_op op, uint32_t block_bytes, unsigned depth)
{
	return (struct fair_load){.op = op, .block_bytes = block_bytes, .depth = depth};
}

struct fair_load fair_flood(bool file)
{
	return fair_load_of(FAIR_READ, 4 * KIB, file ? 128 : 32);
}

struct fair_load fair_victim(uint64_t iops, unsigned guests)
{
	struct fair_load load = fair_load_of(FAIR_READ, 4 * KIB, 1);

	load.iops = (unsigned)(iops / guests / 2);
	return load;
}

struct share_settings fair_weight(uint32_t weight)
{
	return (struct share_settings){.weight = weight, .burst_ms = SHARE_BURST_MS_DEFAULT};
}

/* ---- sums ---- */

double fair_total(const struct fair_run *run, unsigned first, unsigned count, enum fair_measure measure,
		  struct fair_span span)
{
	double sum = 0;

	for (unsigned i = first; i < first + count; i++)
		sum += (double)fair_series_sum(&run->outcome[i].series, measure, span.from_ms, span.to_ms);
	return sum;
}

/* A part of the time in which a CPU did not run that moves no window by one per cent. */
#define STOOD_STILL 0.005

static struct fair_range windows(const struct fair_run *run, unsigned guest, enum fair_measure measure,
				 unsigned window_ms, struct fair_span span, const struct fair_watch *watch)
{
	struct fair_range range = {.least = INFINITY};
	unsigned all = 0, counted = 0;

	for (unsigned from = span.from_ms; from + window_ms <= span.to_ms; from += window_ms / 4, all++) {
		double sum =
			(double)fair_series_sum(&run->outcome[guest].series, measure, from, from + window_ms);

		if (watch && fair_watch_lost(watch, from, from + window_ms) > STOOD_STILL)
			continue;
		counted++;
		range.least = fmin(range.least, sum);
		range.greatest = fmax(range.greatest, sum);
	}
	range.counted = all > 0 ? (double)counted / all : 0;
	return range;
}

struct fair_range fair_windows(const struct fair_run *run, unsigned guest, enum fair_measure measure,
			       unsigned window_ms, struct fair_span span)
{
	struct fair_range range = windows(run, guest, measure, window_ms, span, run->watch);

	return range.counted > 0 ? range : windows(run, guest, measure, window_ms, span, NULL);
}

double fair_worst_jain(const struct fair_run *run, unsigned first, unsigned count, enum fair_measure measure,
		       unsigned window_ms, struct fair_span span)
{
	double *sum = fair_allocate(count, sizeof(*sum)), worst = 1;

	for (unsigned from = span.from_ms; from + window_ms <= span.to_ms; from += window_ms / 4) {
		for (unsigned i = 0; i < count; i++)
			sum[i] = fair_total(run, first + i, 1, measure,
					    (struct fair_span){from, from + window_ms});
		worst = fmin(worst, fair_jain(sum, count));
	}
	free(sum);
	return worst;
}

double fair_share_error(const struct fair_run *run, const double *weight, struct fair_span span)
{
	double all = fair_total(run, 0, run->guests, FAIR_REQUESTS, span), weights = 0, worst = 0;

	for (unsigned i = 0; i < run->guests; i++)
		weights += weight[i];
	for (unsigned i = 0; i < run->guests; i++) {
		double share = fair_total(run, i, 1, FAIR_REQUESTS, span) / all;

		worst = fmax(worst, fabs(share / (weight[i] / weights) - 1));
	}
	return worst;
}

/* ---- on against off ---- */

#define PAIRS_LEAST 5u

void fair_plan_toggle(struct fair_plan *plan, unsigned slice_ms)
{
	for (unsigned at = FAIR_RAMP_MS, on = 0; at < plan->total_ms; at += slice_ms, on = !on)
		fair_plan_at(plan, at, fair_gate_on, on);
}

/*
 * Adds up pairs of slices, one off and one on; `watch`: only those in which no CPU stood still. Returns how
 * many.
 */
static unsigned pairs(const struct fair_run *run, const struct fair_plan *plan, enum fair_measure measure,
		      unsigned slice_ms, const struct fair_watch *watch, double per_s[2][FAIR_EVENTS],
		      double *ratio)
{
	unsigned count = 0;

	for (unsigned at = FAIR_RAMP_MS; at + 2 * slice_ms <= plan->total_ms; at += 2 * slice_ms) {
		if (watch && fair_watch_lost(watch, at, at + 2 * slice_ms) > STOOD_STILL)
			continue;
		for (unsigned on = 0; on < 2; on++) {
			const unsigned end_ms = at + (on + 1) * slice_ms;
			const struct fair_span slice = {end_ms - slice_ms + slice_ms / 5, end_ms};

			per_s[on][count] = fair_total(run, 0, run->guests, measure, slice) * 1000 /
					   (slice.to_ms - slice.from_ms);
		}
		ratio[count] = per_s[0][count] > 0 ? per_s[1][count] / per_s[0][count] : 0;
		count++;
	}
	return count;
}

struct fair_off_on fair_off_and_on(const struct fair_run *run, const struct fair_plan *plan,
				   enum fair_measure measure, unsigned slice_ms)
{
	double per_s[2][FAIR_EVENTS], ratio[FAIR_EVENTS];
	unsigned count = pairs(run, plan, measure, slice_ms, run->watch, per_s, ratio);

	if (count < PAIRS_LEAST)
		count = pairs(run, plan, measure, slice_ms, NULL, per_s, ratio);
	return (struct fair_off_on){.per_s = {fair_median(per_s[0], count), fair_median(per_s[1], count)},
				    .ratio = fair_median(ratio, count)};
}
