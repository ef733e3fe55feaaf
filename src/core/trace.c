/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/trace.h"

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

	return texts[stage];
}

/* The counter's rate, measured over 10 ms. */
static double ticks_per_ns(void)
{
	uint64_t start_ns = clock_now_ns(), start = __rdtsc(), now_ns;

	do
		now_ns = clock_now_ns();
	while (now_ns - start_ns < 10 * NS_PER_MS);
	return (double)(__rdtsc() - start) / (double)(now_ns - start_ns);
}

void trace_read(enum trace_stage stage, uint64_t *ret_ns, uint64_t *ret_marks)
{
	static double rate;

	if (rate == 0)
		rate = ticks_per_ns();
	*ret_ns = (uint64_t)((double)counter_read(&trace_ticks[stage]) / rate);
	*ret_marks = counter_read(&trace_marks[stage]);
}
