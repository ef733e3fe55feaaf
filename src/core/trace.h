/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the time of a request goes: marks along the path, each charged with the time since the mark before
 * it on the same thread. Off (one load and one branch a mark) unless a benchmark switches it on.
 *
 * Meaningful while requests complete inside their submission (a null disk), one worker: then the marks of
 * one request follow each other, and the sum of all stages is the whole cost of a request.
 */
#ifndef VIADUCT_CORE_TRACE_H
#define VIADUCT_CORE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

enum trace_stage {
	/* The worker looks at the ring; charged with everything since the last batch: waiting */
	TRACE_KICK,
	TRACE_TAKEN,	 /* a head was read from the ring */
	TRACE_MAPPED,	 /* its descriptors are iovecs */
	TRACE_ADMITTED,	 /* the request was understood and its range proven */
	TRACE_SUBMITTED, /* the host disk has it */
	TRACE_COMPLETED, /* the answer is in the guest's memory and in the batch */
	TRACE_SIGNALLED, /* the batch is published, the driver called if it wants to */
	TRACE_STAGES
};

extern bool trace_on;	/* set before the workers start */

/* Adds the time since the last mark of this thread to `stage`. */
void trace_record(enum trace_stage stage);

static inline void trace_mark(enum trace_stage stage)
{
	if (__builtin_expect(trace_on, false))
		trace_record(stage);
}

const char *trace_stage_text(enum trace_stage stage);

/* Totals of all threads so far: nanoseconds and marks of a stage. */
void trace_read(enum trace_stage stage, uint64_t *ret_ns, uint64_t *ret_marks);

#endif
