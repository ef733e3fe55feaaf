/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rounds: what a victim waits without and with hostile guests, in turn. Both halves are cut into windows, and
 * those do not count in which, or shortly before which, the machine stood still.
 */
#include <stdlib.h>

#include "fair_figures.h"

#define WINDOW_MS	 50u
/* What has piled up while the machine stood still takes a while. */
#define BEFORE_MS	 20u
/* Of both: 0.42 ms. */
#define STOOD_STILL_MOST 0.006
#define ROUNDS_LEAST	 3u
/* … of each half's windows, or the round does not count. */
#define WINDOWS_LEAST	 0.5

void fair_plan_rounds(struct fair_plan *plan, unsigned count, struct fair_load load, unsigned settle_ms)
{
	struct fair_guest *hostile = fair_plan_add(plan, count, load, fair_weight(100));

	plan->rounds = FAIR_ROUNDS;
	plan->rounds_from_ms = FAIR_RAMP_MS;
	plan->round_ms = (plan->total_ms - FAIR_RAMP_MS) / FAIR_ROUNDS;
	plan->half_ms = (plan->round_ms - settle_ms) / 2;
	plan->settle_ms = plan->round_ms - 2 * plan->half_ms;
	hostile->hostile = true;
	hostile->load.start_ms = plan->rounds_from_ms + plan->settle_ms + plan->half_ms;
	hostile->load.on_ms = plan->half_ms;
	hostile->load.off_ms = plan->round_ms - plan->half_ms;
}

/* ---- while it runs ---- */

void fair_samples_add(struct fair_samples *samples, const struct fair_plan *plan, uint64_t sent_ms,
		      uint64_t took_ns)
{
	const uint64_t end_ms = plan->rounds_from_ms + plan->rounds * plan->round_ms;

	if (sent_ms < plan->rounds_from_ms || sent_ms >= end_ms ||
	    (sent_ms - plan->rounds_from_ms) % plan->round_ms < plan->settle_ms)
		return;
	if (samples->count == samples->room) {
		samples->room = 2 * samples->room + 4096;
		samples->sample = realloc(samples->sample, samples->room * sizeof(*samples->sample));
		if (!samples->sample)
			abort(); /* as fair_allocate() */
	}
	samples->sample[samples->count++] = (struct fair_sample){
	    .sent_ms = (uint32_t)sent_ms, .took_ns = took_ns < UINT32_MAX ? (uint32_t)took_ns : UINT32_MAX};
}

/* ---- afterwards ---- */

static unsigned half_from_ms(const struct fair_plan *plan, unsigned round, unsigned hostile)
{
	return plan->rounds_from_ms + round * plan->round_ms + plan->settle_ms + hostile * plan->half_ms;
}

static bool window_counts(const struct fair_run *run, const struct fair_plan *plan, unsigned from_ms,
			  unsigned in_ms)
{
	unsigned window_ms = from_ms + in_ms - in_ms % WINDOW_MS, end_ms = window_ms + WINDOW_MS;

	if (end_ms > from_ms + plan->half_ms)
		end_ms = from_ms + plan->half_ms;
	return fair_watch_lost(run->watch, window_ms - BEFORE_MS, end_ms) <= STOOD_STILL_MOST;
}

uint64_t fair_rounds_requests(const struct fair_run *run, const struct fair_plan *plan, unsigned guest,
			      unsigned hostile)
{
	const struct fair_samples *samples = &run->outcome[guest].samples;
	uint64_t count = 0;

	for (size_t i = 0; i < samples->count; i++) {
		unsigned in_ms = (samples->sample[i].sent_ms - plan->rounds_from_ms) % plan->round_ms -
				 plan->settle_ms;

		count += in_ms / plan->half_ms == hostile;
	}
	return count;
}

/* The part of a half's windows that counts. */
static double half_counted(const struct fair_run *run, const struct fair_plan *plan, unsigned from_ms)
{
	unsigned windows = 0, count = 0;

	for (unsigned in_ms = 0; in_ms < plan->half_ms; in_ms += WINDOW_MS, windows++)
		count += window_counts(run, plan, from_ms, in_ms);
	return (double)count / windows;
}

static bool round_counts(const struct fair_run *run, const struct fair_plan *plan, unsigned round)
{
	return half_counted(run, plan, half_from_ms(plan, round, 0)) >= WINDOWS_LEAST &&
	       half_counted(run, plan, half_from_ms(plan, round, 1)) >= WINDOWS_LEAST;
}

double fair_rounds_counted(const struct fair_run *run, const struct fair_plan *plan)
{
	double sum[2] = {0};

	for (unsigned i = 0; i < 2 * plan->rounds; i++)
		if (round_counts(run, plan, i / 2))
			sum[i % 2] += half_counted(run, plan, half_from_ms(plan, i / 2, i % 2));
	return (sum[0] < sum[1] ? sum[0] : sum[1]) / plan->rounds;
}

/*
 * Of a half's requests; `all`: also of windows that do not count. Whoever sent nothing waited all the time.
 */
static double half_p99_us(const struct fair_run *run, const struct fair_plan *plan, unsigned guest,
			  unsigned from_ms, bool all)
{
	const struct fair_samples *samples = &run->outcome[guest].samples;
	struct load_histogram *latency = fair_allocate(1, sizeof(*latency));
	double p99_us;

	for (size_t i = 0; i < samples->count; i++) {
		const struct fair_sample *sample = &samples->sample[i];

		if (sample->sent_ms < from_ms || sample->sent_ms >= from_ms + plan->half_ms)
			continue;
		if (all || window_counts(run, plan, from_ms, sample->sent_ms - from_ms))
			load_histogram_add(latency, sample->took_ns);
	}
	p99_us = latency->count > 0 ? load_histogram_ns(latency, 0.99) / 1000 : plan->half_ms * 1000.0;
	free(latency);
	return p99_us;
}

double fair_p99_us(const struct fair_run *run, const struct fair_plan *plan, unsigned guest, unsigned hostile,
		   struct fair_report *report)
{
	double p99_us[FAIR_ROUNDS];
	unsigned count = 0, counts = 0;

	for (unsigned round = 0; round < plan->rounds; round++)
		counts += round_counts(run, plan, round);
	report->disturbed = counts < ROUNDS_LEAST;
	for (unsigned round = 0; round < plan->rounds; round++)
		if (report->disturbed || round_counts(run, plan, round))
			p99_us[count++] = half_p99_us(run, plan, guest, half_from_ms(plan, round, hostile),
						      report->disturbed);
	return fair_median(p99_us, count);
}
