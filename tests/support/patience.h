/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long a test waits for what must come: no verdict depends on how fast the machine is. */
#ifndef VIADUCT_TESTS_PATIENCE_H
#define VIADUCT_TESTS_PATIENCE_H

#include "core/clock.h"

/* Only a hang lasts so long. */
#define HANG_NS (120 * NS_PER_S)

/* Takes `step` again and again until the condition holds; fails the test when that hangs. */
#define AWAIT(condition, step)                                                                               \
	do {                                                                                                 \
		uint64_t await_deadline_ns = clock_now_ns() + HANG_NS;                                       \
		bool await_done;                                                                             \
		while (!(await_done = (condition)) && clock_now_ns() < await_deadline_ns)                    \
			step;                                                                                \
		assert_true(await_done);                                                                     \
	} while (0)

#endif
