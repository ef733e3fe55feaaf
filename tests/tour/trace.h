/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the trace programs have in common. They are builds of the stages that call us whenever a function
 * begins or ends (-finstrument-functions, without inlining). check_tour.py reads the trace and compares it
 * with docs/tour.md.
 *
 * A line is a stack, the outermost function first, as addresses: `enter` when a function begins, `hand` when
 * the request (or the kick, or the call) is handed to the event loop, which is core's and not traced: a
 * poller to wake, an entry for the kernel, a task for the end of the turn. The linker's --wrap leads those
 * here.
 */
#ifndef VIADUCT_TESTS_TOUR_TRACE_H
#define VIADUCT_TESTS_TOUR_TRACE_H

#include <stdbool.h>

#include "core/loop.h"
#include "interfaces/virtio/virtqueue.h"

#define UNTRACED __attribute__((no_instrument_function))

/* From true to false stacks are printed. */
void trace_set(bool on) UNTRACED;
/* Ends the program with the sentence unless it holds. */
void trace_check(bool holds, const char *what) UNTRACED;
/* For struct virtqueue_setup: the rings of a trace are in order. */
void trace_broken(void *context, enum virtqueue_violation violation, uint64_t value) UNTRACED;
/* Turns of the loop until its queues sleep, so that what comes next begins with a kick. */
void trace_settle(struct loop *loop) UNTRACED;

#endif
