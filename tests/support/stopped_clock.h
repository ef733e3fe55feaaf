/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A clock that stands still until the test moves it, for struct loop_options.clocks. A loop with this clock
 * still sleeps in real time, as long as loop_turn() was told or until the next timer, whichever is shorter;
 * but its timers expire only when the test has moved the clock.
 */
#ifndef VIADUCT_TESTS_STOPPED_CLOCK_H
#define VIADUCT_TESTS_STOPPED_CLOCK_H

#include "core/clock.h"
#include "core/loop.h"

static uint64_t stopped_clock_ns = NS_PER_S;

static inline uint64_t stopped_clock_now(void)
{
	return stopped_clock_ns;
}

static const struct loop_clocks stopped_clocks = {
	.now_ns = stopped_clock_now, .thread_ns = stopped_clock_now,
};

#endif
