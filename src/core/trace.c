/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/trace.h"

#include <assert.h>
#include <x86intrin.h>

#include "core/clock.h"
#include "core/stats.h"

bool trace_on;

/* One traced worker at a time: the totals have one writer. */
static struct counter trace_ticks[TRACE_STAGES], trace_marks[TRACE_STAGES];
static _Thread_local uint64_t trace_last;

void trace_record(enum trace_stage stage)
{
	uint64_t now = __rdtsc();

	assert((unsigned)stage < TRACE_STAGES);
	if (trace_last) {
		counter_add(&trace_ticks[stage], now - trace_last);
		counter_add(&trace_marks[stage], 1);
	}
	/* Read again: what the record itself cost belongs to no stage. */
	trace_last = __rdtsc();
}

const char *trace_stage_text(enum trace_stage stage)
{
	static const char *const texts[TRACE_STAGES] = { "kick",      "taken",	   "mapped",   "admitted",
							 "submitted", "completed", "signalled" };

	assert((unsigned)stage < TRACE_STAGES);
	return texts[stage];
}

struct moment {
	uint64_t ns, ticks;
};

/*
 * Both clocks at one moment: the best of some attempts, because a thread that is interrupted between the two
 * reads pairs moments that have nothing to do with each other.
 */
static struct moment read_both(void)
{
	uint64_t least = UINT64_MAX;
	struct moment best = { 0, 0 };

	for (unsigned i = 0; i < 32; i++) {
		uint64_t before = __rdtsc(), ns = clock_now_ns(), after = __rdtsc();

		if (after - before >= least)
			continue;
		least = after - before;
		best = (struct moment){ ns, before + least / 2 };
	}
	return best;
}

/* The counter's rate, measured over 10 ms. */
static double ticks_per_ns(void)
{
	struct moment start = read_both(), end;

	do
		end = read_both();
	while (end.ns - start.ns < 10 * NS_PER_MS);
	assert(end.ticks > start.ticks);
	return (double)(end.ticks - start.ticks) / (double)(end.ns - start.ns);
}

void trace_read(enum trace_stage stage, uint64_t *ret_ns, uint64_t *ret_marks)
{
	static double rate;

	assert((unsigned)stage < TRACE_STAGES);
	if (rate == 0)
		rate = ticks_per_ns();
	*ret_ns = (uint64_t)((double)counter_read(&trace_ticks[stage]) / rate);
	*ret_marks = counter_read(&trace_marks[stage]);
}
