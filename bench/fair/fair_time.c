/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Experiments: how soon, how steadily, and how well the disk is used. */
#include <math.h>
#include <stdio.h>

#include "core/clock.h"
#include "fair_figures.h"

/*
 * ---- Q4: a victim alone, then beside floods of large writes ----
 *
 * The victim wants no more than half of its share: beyond it, waiting is what its weight asks for. Between
 * two guests that is no restriction for a closed loop of depth 1.
 */

#define LARGE_BYTES (256 * KIB)
/* 2016 large writes that wait when the floods stop take the simulated disk 0.43 s. */
#define SETTLE_MS   500u
/* Long enough for a p99 of 156 requests a second. */
#define HALF_MS	    2000u

static double longest_service_us(void)
{
	const struct disk_cost cost = fair_cost_of(&fair_disk);

	return (double)disk_cost_ns(&cost, COST_WRITE_RANDOM, LARGE_BYTES) * fair_disk.depth / 1000;
}

static void simulated_victim(const struct fair_bench *bench, unsigned guests, struct fair_report *report)
{
	struct fair_plan plan = fair_plan_make(bench, false, FAIR_ROUNDS * (SETTLE_MS + 2 * HALF_MS));
	const struct disk_cost cost = fair_cost_of(&fair_disk);
	struct fair_run run;
	double alone_us;

	fair_plan_add(&plan, 1, fair_victim(disk_cost_iops(&cost), guests), fair_weight(100));
	fair_plan_rounds(&plan, guests - 1, fair_load_of(FAIR_WRITE, LARGE_BYTES, guests > 8 ? 32 : 256),
			 SETTLE_MS);
	fair_run_make(bench, &plan, &run);
	alone_us = fair_p99_us(&run, &plan, 0, 0, report);
	fair_report_add(report, "victim's p99 alone", "us", FAIR_INFORMS, alone_us, 0);
	fair_report_add(report, "victim's p99; target: 2 x alone + a service", "us", FAIR_AT_MOST,
			fair_p99_us(&run, &plan, 0, 1, report), 2 * alone_us + longest_service_us());
	fair_report_add(report, "of the rounds the machine did not stand still", "%", FAIR_INFORMS,
			fair_rounds_counted(&run, &plan) * 100, 0);
	fair_run_free(&run);
}

static void victim(const struct fair_bench *bench, unsigned guests, bool file, struct fair_report *report)
{
	if (file)
		fair_file_victim(bench, guests, report);
	else
		simulated_victim(bench, guests, report);
}

static void bounds(const struct fair_bench *bench, unsigned guests, bool file, struct fair_report *report)
{
	if (file)
		fair_file_bounds(bench, guests, report);
}

/*
 * ---- Q6: a limited guest that always wants more, and one that saves up its burst ----
 *
 * What is counted is completions, and they jitter by what the device and the notification take: of the
 * overshoot, a millisecond's worth of the rate is not the limiter's.
 */

#define LIMIT_IOPS      2000u
#define JITTER_REQUESTS (LIMIT_IOPS / 1000.0)

static void limit(const struct fair_bench *bench, unsigned guests, bool file, struct fair_report *report)
{
	struct fair_plan plan = fair_plan_make(bench, file, 3000);
	struct fair_span span = fair_plan_span(&plan);
	const double burst = LIMIT_IOPS * SHARE_BURST_MS_DEFAULT / 1000.0;
	struct fair_guest *steady, *saving;
	struct fair_range range;
	struct fair_run run;
	double excess;

	steady = fair_plan_add(&plan, 1, fair_flood(file), fair_weight(100));
	saving = fair_plan_add(&plan, 1, fair_flood(file), fair_weight(100));
	steady->share.max_iops = saving->share.max_iops = LIMIT_IOPS;
	saving->load.on_ms = saving->load.off_ms = 100;
	if (guests > 2)
		fair_plan_add(&plan, guests - 2, fair_flood(file), fair_weight(100));
	/* 64 equals would get less than the limit. */
	steady->share.weight = saving->share.weight = guests * 100;
	fair_run_make(bench, &plan, &run);
	range = fair_windows(&run, 0, FAIR_REQUESTS, 1000, span);
	fair_report_add(report, "error of the rate, worst 1 s", "%", FAIR_AT_MOST,
			fmax(1 - range.least / LIMIT_IOPS, range.greatest / LIMIT_IOPS - 1) * 100, 1);
	excess = fmax(
		fair_excess(&run.outcome[0].series, FAIR_REQUESTS, LIMIT_IOPS, span.from_ms, span.to_ms),
		fair_excess(&run.outcome[1].series, FAIR_REQUESTS, LIMIT_IOPS, span.from_ms, span.to_ms));
	fair_report_add(report, "overshoot; target: the burst and 1 ms of jitter", "requests", FAIR_AT_MOST,
			excess, burst + JITTER_REQUESTS);
	fair_run_free(&run);
}

/* ---- Q7: one active of n ---- */

static void one_active(const struct fair_bench *bench, unsigned guests, bool file, struct fair_report *report)
{
	const unsigned slice_ms = 250;
	struct fair_plan plan = fair_plan_make(bench, file, 4000);
	struct fair_off_on off_on;
	struct fair_run run;

	fair_plan_add(&plan, 1, fair_flood(file), fair_weight(100));
	fair_plan_add(&plan, guests - 1, fair_load_of(FAIR_READ, 4 * KIB, 0), fair_weight(100));
	fair_plan_toggle(&plan, slice_ms);
	fair_run_make(bench, &plan, &run);
	off_on = fair_off_and_on(&run, &plan, FAIR_REQUESTS, slice_ms);
	fair_report_add(report, "throughput of one active, of that without sharing", "%", FAIR_AT_LEAST,
			off_on.ratio * 100, 98);
	fair_run_free(&run);
}

/* ---- Q8: weights 9:1, the heavy half idle ---- */

static void half_idle(const struct fair_bench *bench, unsigned guests, bool file, struct fair_report *report)
{
	struct fair_plan plan = fair_plan_make(bench, file, 2000);
	struct fair_span span = fair_plan_span(&plan);
	struct fair_guest *heavy = fair_plan_add(&plan, guests / 2, fair_flood(file), fair_weight(900));
	struct fair_run run;

	heavy->load.on_ms = heavy->load.off_ms = 100;
	fair_plan_add(&plan, guests / 2, fair_flood(file), fair_weight(100));
	fair_run_make(bench, &plan, &run);
	fair_report_add(report, "of the disk's time used", "%", FAIR_AT_LEAST,
			fair_total(&run, 0, guests, FAIR_DEVICE_NS, span) / (span.to_ms - span.from_ms) /
			    (double)NS_PER_MS * 100,
			97);
	fair_run_free(&run);
}

/* ---- Q13: the disk is ten times slower for a while ---- */

#define SLOW_FACTOR  10u
#define SLOW_FROM_MS 1000u
/* Of the slow time, for what is inside the device when it begins. */
#define SLOW_SETTLE_MS 200u
/* What counts as "the reservation again": 95 % of it over 20 ms. */
#define RECOVERED      0.95
#define RECOVERED_MS   20u

struct reserver {
	unsigned guest;
	double iops;
};

static void capacity_fall_rows(const struct fair_run *run, const struct reserver *reserver,
			       unsigned reservers, struct fair_span slow, unsigned end_ms,
			       struct fair_report *report)
{
	struct fair_span settled = {slow.from_ms + SLOW_SETTLE_MS, slow.to_ms};
	double least = INFINITY, greatest = 0, held = INFINITY, starved = INFINITY;
	unsigned recovery_ms = 0;

	for (unsigned i = 0; i < reservers; i++) {
		const struct reserver *one = &reserver[i];
		double part = fair_total(run, one->guest, 1, FAIR_REQUESTS, settled) / one->iops;
		unsigned ms = fair_reached_ms(&run->outcome[one->guest].series, FAIR_REQUESTS,
					      one->iops * RECOVERED_MS / 1000 * RECOVERED, RECOVERED_MS,
					      slow.to_ms, end_ms);

		least = fmin(least, part);
		greatest = fmax(greatest, part);
		held = fmin(held, fair_windows(run, one->guest, FAIR_REQUESTS, 1000, settled).least /
					  one->iops * SLOW_FACTOR);
		recovery_ms = ms > recovery_ms ? ms : recovery_ms;
	}
	for (unsigned i = 0; i < run->guests; i++)
		starved = fmin(starved, fair_total(run, i, 1, FAIR_REQUESTS, settled));
	fair_report_add(report, "slow: of a tenth of the reservation, worst 1 s", "%", FAIR_AT_LEAST,
			held * 100, 99);
	if (reservers > 1)
		fair_report_add(report, "slow: unevenness between reservations", "%", FAIR_AT_MOST,
				(greatest / least - 1) * 100, 5);
	fair_report_add(report, "slow: requests of who got least", "", FAIR_AT_LEAST, starved, 2);
	fair_report_add(report, "back to the reservation after", "ms", FAIR_AT_MOST, recovery_ms, 100);
}

static void capacity_fall(const struct fair_bench *bench, unsigned guests, bool file,
			  struct fair_report *report)
{
	static const double part[] = {0.30, 0.15};
	struct fair_plan plan = fair_plan_make(bench, file, 0);
	struct fair_span slow = {SLOW_FROM_MS, SLOW_FROM_MS + (bench->quick ? 2000 : 5000)};
	const struct disk_cost cost = fair_cost_of(&fair_disk);
	struct reserver reserver[2];
	unsigned reservers = guests > 2 ? 2 : 1;
	struct fair_run run;

	plan.total_ms = slow.to_ms + 1000;
	for (unsigned i = 0; i < reservers; i++) {
		struct fair_guest *guest = fair_plan_add(&plan, 1, fair_flood(file), fair_weight(1));

		guest->share.min_iops = (uint64_t)((double)disk_cost_iops(&cost) * part[i]);
		reserver[i] = (struct reserver){i, (double)guest->share.min_iops};
	}
	fair_plan_add(&plan, guests - reservers, fair_flood(file), fair_weight(1000));
	fair_plan_at(&plan, slow.from_ms, fair_disk_slow, SLOW_FACTOR);
	fair_plan_at(&plan, slow.to_ms, fair_disk_slow, 1);
	fair_run_make(bench, &plan, &run);
	capacity_fall_rows(&run, reserver, reservers, slow, plan.total_ms, report);
	fair_run_free(&run);
}

/* ---- Q14: an idle guest of high weight wakes ---- */

#define WAKE_MS	     100u
#define WAKE_PART    0.9
#define WAKE_SEEN_MS 5u

/*
 * The end of the first 5 ms after from_ms in which the first guest got nine tenths of its share, in ms after
 * it.
 */
static unsigned share_reached_ms(const struct fair_run *run, double share, unsigned from_ms, unsigned to_ms)
{
	for (unsigned end = from_ms + WAKE_SEEN_MS; end <= to_ms; end++) {
		const struct fair_span span = {end - WAKE_SEEN_MS, end};
		double all = fair_total(run, 0, run->guests, FAIR_REQUESTS, span);

		if (all > 0 && fair_total(run, 0, 1, FAIR_REQUESTS, span) >= all * share * WAKE_PART)
			return end - from_ms;
	}
	return to_ms - from_ms;
}

/* The median and the worst of all wakes. */
static void waking(const struct fair_bench *bench, unsigned guests, bool file, struct fair_report *report)
{
	struct fair_plan plan = fair_plan_make(bench, file, 3000);
	double share = 9.0 / (9.0 + guests - 1), took[FAIR_EVENTS];
	struct fair_guest *heavy = fair_plan_add(&plan, 1, fair_flood(file), fair_weight(900));
	unsigned wakes = 0;
	struct fair_run run;

	heavy->load.start_ms = FAIR_RAMP_MS;
	heavy->load.on_ms = heavy->load.off_ms = WAKE_MS;
	fair_plan_add(&plan, guests - 1, fair_flood(file), fair_weight(100));
	fair_run_make(bench, &plan, &run);
	for (unsigned at = FAIR_RAMP_MS; at + WAKE_MS <= plan.total_ms; at += 2 * WAKE_MS)
		took[wakes++] = share_reached_ms(&run, share, at, at + WAKE_MS);
	fair_report_add(report, "share reached after, median wake", "ms", FAIR_AT_MOST,
			fair_median(took, wakes), 10);
	fair_report_add(report, "share reached after, worst wake", "ms", FAIR_AT_MOST, took[wakes - 1], 10);
	fair_run_free(&run);
}

const struct fair_experiment fair_time_experiments[] = {
    {"Q4", "victim beside 256 KiB writes", {2, 8, 64}, true, victim},
    {"Q4-bounds", "what any bound could do", {2}, true, bounds},
    {"Q6", "limit of 2000 IOPS", {2, 8, 64}, true, limit},
    {"Q7", "one active of n", {2, 8, 64}, true, one_active},
    {"Q8", "weights 9:1, heavy half idle", {2, 8, 64}, false, half_idle},
    {"Q13", "capacity falls tenfold", {2, 8, 64}, false, capacity_fall},
    {"Q14", "heavy guest wakes", {2, 8, 64}, false, waking},
};
const unsigned fair_time_count = sizeof(fair_time_experiments) / sizeof(fair_time_experiments[0]);
