/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Experiments: what the sharing itself costs, and the daemon's CPU time as the thing that is shared. */
#include <stdio.h>

#include "core/clock.h"
#include "fair_figures.h"
#include "scheduler_cost.h"

#define ACTIVE 12u /* beside 500 idle */

/* ---- Q9: a disk that does nothing, so that only the path is measured ---- */

static const struct disk_memory_options null_disk = {.size_bytes = 1ull << 40, .null = true};

static void overhead(const struct fair_bench *bench, unsigned guests, bool file, struct fair_report *report)
{
	const unsigned slice_ms = 10;
	struct fair_plan plan = fair_plan_make(bench, file, 8000);
	struct fair_off_on off_on;
	struct fair_run run;

	plan.disk = &null_disk;
	plan.poll = plan.watched = true;
	plan.workers = 1;
	fair_plan_add(&plan, guests, fair_flood(false), fair_weight(100));
	fair_plan_toggle(&plan, slice_ms);
	fair_run_make(bench, &plan, &run);
	off_on = fair_off_and_on(&run, &plan, FAIR_REQUESTS, slice_ms);
	fair_report_add(report, "throughput without sharing", "kIOPS", FAIR_INFORMS, off_on.per_s[0] / 1000,
			0);
	fair_report_add(report, "throughput with sharing, of that without", "%", FAIR_AT_LEAST,
			off_on.ratio * 100, 98);
	fair_report_add(report, "sharing adds to a request", "ns", FAIR_AT_MOST,
			1e9 / off_on.per_s[0] * (1 / off_on.ratio - 1), 100);
	fair_run_free(&run);
}

/* ---- Q9 and Q10: the scheduler alone ---- */

static void decisions(const struct fair_bench *bench, unsigned guests, bool file, struct fair_report *report)
{
	const struct scheduler_case two = { .guests = 2, .active = 2 },
				    all = { .guests = guests, .active = guests },
				    idle = { .guests = guests, .active = ACTIVE };
	double two_ns = scheduler_cost_ns(&two), all_ns = scheduler_cost_ns(&all),
	       idle_ns = scheduler_cost_ns(&idle);

	fair_report_add(report, "a decision among 2", "ns", FAIR_AT_MOST, two_ns, 100);
	fair_report_add(report, "a decision among all", "ns", FAIR_AT_MOST, all_ns, 100);
	fair_report_add(report, "a decision among 12, the others idle", "ns", FAIR_AT_MOST, idle_ns, 100);
	fair_report_add(report, "all, of 2", "x", FAIR_AT_MOST, all_ns / two_ns, 2);
}

/* ---- Q10: 500 more guests that do nothing ---- */

struct crowd {
	double jain, cpu_ns; /* of the workers, for each request */
	size_t resident_bytes;
};

static struct crowd crowd_measure(const struct fair_bench *bench, unsigned guests)
{
	struct fair_plan plan = fair_plan_make(bench, false, 2000);
	struct crowd crowd;
	struct fair_run run;

	fair_plan_add(&plan, ACTIVE, fair_flood(false), fair_weight(100));
	fair_plan_add(&plan, guests - ACTIVE, fair_load_of(FAIR_READ, 4 * KIB, 0), fair_weight(100));
	fair_run_make(bench, &plan, &run);
	crowd.jain = fair_worst_jain(&run, 0, ACTIVE, FAIR_REQUESTS, 1000, fair_plan_span(&plan));
	crowd.cpu_ns = (double)run.worker_cpu_ns /
		       fair_total(&run, 0, ACTIVE, FAIR_REQUESTS, (struct fair_span){0, plan.total_ms});
	crowd.resident_bytes = run.resident_bytes;
	fair_run_free(&run);
	return crowd;
}

static void crowded(const struct fair_bench *bench, unsigned guests, bool file, struct fair_report *report)
{
	struct crowd few = crowd_measure(bench, ACTIVE), many = crowd_measure(bench, guests);

	fair_report_add(report, "Jain index of 12 active, worst 1 s", "", FAIR_AT_LEAST, many.jain, 0.99);
	fair_report_add(report, "workers' CPU time a request, of that with 12 guests", "x", FAIR_AT_MOST,
			many.cpu_ns / few.cpu_ns, 2);
	fair_report_add(report, "memory of an idle guest, both sides", "KiB", FAIR_INFORMS,
			((double)many.resident_bytes - (double)few.resident_bytes) / (guests - ACTIVE) / 1024,
			0);
}

/* ---- Q12: guests that cost the daemon time and the disk little ---- */

/* Fast, so that the daemon's own time is a large part of a request's. A flush costs it nothing. */
static const struct disk_memory_options fast_disk = {
    .size_bytes = 1ull << 40,
    .null = true,
    .read_base_ns = 20 * NS_PER_US,
    .write_base_ns = 20 * NS_PER_US,
    .depth = 4,
};

/* 8064 small reads that wait when the storm stops take the disk 40 ms. */
#define SETTLE_MS 100u

/* What a request that wakes its guest costs the worker, until it was measured. */
#define WAKING_NS 20000.0

/* CPU time of the worker for each of the victim's requests without [0] and with [1] the storm. */
static double victim_cpu_ns(const struct fair_run *run, const struct fair_plan *plan, unsigned hostile)
{
	return (double)run->outcome[0].cpu_ns[hostile] / (double)fair_rounds_requests(run, plan, 0, hostile);
}

/*
 * A victim whose requests are thought to cost the worker so much, and who wants half of its share of that
 * time.
 */
static void storm_run(const struct fair_bench *bench, unsigned guests, struct fair_load load,
		      double request_ns, struct fair_plan *plan, struct fair_run *ret_run)
{
	plan->disk = &fast_disk;
	plan->workers = 1;
	fair_plan_add(plan, 1, fair_victim((uint64_t)(1e9 / request_ns), guests), fair_weight(100));
	fair_plan_rounds(plan, guests - 1, load, SETTLE_MS);
	fair_run_make(bench, plan, ret_run);
}

static void storm(const struct fair_bench *bench, unsigned guests, struct fair_load load,
		  struct fair_report *report)
{
	struct fair_plan trial = fair_plan_make(bench, false, FAIR_ROUNDS * (SETTLE_MS + 200)),
			 plan = fair_plan_make(bench, false, FAIR_ROUNDS * (SETTLE_MS + 1800));
	double storm_ns = 0, request_ns, alone_us;
	struct fair_run run;

	storm_run(bench, guests, load, WAKING_NS, &trial, &run);
	request_ns = victim_cpu_ns(&run, &trial, 1);
	fair_run_free(&run);
	storm_run(bench, guests, load, request_ns, &plan, &run);
	for (unsigned i = 1; i < run.guests; i++)
		storm_ns += (double)run.outcome[i].cpu_ns[1];
	alone_us = fair_p99_us(&run, &plan, 0, 0, report);
	fair_report_add(report, "victim's p99 alone", "us", FAIR_INFORMS, alone_us, 0);
	fair_report_add(report, "victim's p99, of alone", "x", FAIR_AT_MOST,
			fair_p99_us(&run, &plan, 0, 1, report) / alone_us, 1.5);
	fair_report_add(report, "victim's CPU a request, alone", "us", FAIR_INFORMS,
			victim_cpu_ns(&run, &plan, 0) / 1000, 0);
	fair_report_add(report, "victim's CPU a request", "us", FAIR_INFORMS,
			victim_cpu_ns(&run, &plan, 1) / 1000, 0);
	fair_report_add(report, "of a worker's time used in the storm", "%", FAIR_INFORMS,
			(storm_ns + (double)run.outcome[0].cpu_ns[1]) / NS_PER_MS /
				(FAIR_ROUNDS * plan.half_ms) * 100,
			0);
	fair_report_add(report, "charged to who storms, of all", "%", FAIR_INFORMS,
			storm_ns / (storm_ns + (double)run.outcome[0].cpu_ns[1]) * 100, 0);
	fair_report_add(report, "of the rounds the machine did not stand still", "%", FAIR_INFORMS,
			fair_rounds_counted(&run, &plan) * 100, 0);
	fair_run_free(&run);
}

static void storm_of_kicks(const struct fair_bench *bench, unsigned guests, bool file,
			   struct fair_report *report)
{
	storm(bench, guests, fair_load_of(FAIR_STORM, 0, 0), report);
}

static void storm_of_flushes(const struct fair_bench *bench, unsigned guests, bool file,
			     struct fair_report *report)
{
	storm(bench, guests, fair_load_of(FAIR_FLUSH, 0, 128), report);
}

static void storm_without_io(const struct fair_bench *bench, unsigned guests, bool file,
			     struct fair_report *report)
{
	storm(bench, guests, fair_load_of(FAIR_IDENTIFY, 0, 128), report);
}

static void storm_of_reads(const struct fair_bench *bench, unsigned guests, bool file,
			   struct fair_report *report)
{
	storm(bench, guests, fair_load_of(FAIR_READ, 512, 128), report);
}

const struct fair_experiment fair_cost_experiments[] = {
    {"Q9", "cost of sharing", {1, 2}, false, overhead},
    {"Q9", "a scheduling decision", {512}, false, decisions},
    {"Q10", "500 idle guests", {512}, false, crowded},
    {"Q12", "storm of kicks", {2, 8, 64}, false, storm_of_kicks},
    {"Q12", "storm of flushes", {2, 8, 64}, false, storm_of_flushes},
    {"Q12", "storm without I/O", {2, 8, 64}, false, storm_without_io},
    {"Q12", "storm of 512-byte reads", {2, 8, 64}, false, storm_of_reads},
};
const unsigned fair_cost_count = sizeof(fair_cost_experiments) / sizeof(fair_cost_experiments[0]);
