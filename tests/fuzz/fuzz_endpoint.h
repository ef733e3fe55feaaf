/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the targets of the vhost-user server share: a loop that lives as long as one input and goes by a clock
 * that stands still, and an end at which nothing of the input is left.
 */
#ifndef VIADUCT_TESTS_FUZZ_ENDPOINT_H
#define VIADUCT_TESTS_FUZZ_ENDPOINT_H

#include <assert.h>
#include <dirent.h>
#include <stdbool.h>

#include "core/clock.h"
#include "core/loop.h"
#include "core/memory_guard.h"
#include "input_trace.h"
#include "interfaces/vhost_user/vhost_user.h"
#include "stopped_clock.h"

static struct loop *loop;
static unsigned fds_before;

static inline unsigned fuzz_count_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	assert(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static inline void fuzz_loop_begin(unsigned entries)
{
	struct loop_options options = { .name = "fuzz", .entries = entries, .clocks = &stopped_clocks };
	int error;

	stopped_clock_ns = NS_PER_S;
	fds_before = fuzz_count_fds();
	error = loop_create(&options, &loop);
	assert(error == 0 && memory_guard_install() == 0);
}

static void fuzz_on_gone(void *context)
{
	*(bool *)context = true;
}

/*
 * Waits for what ends by itself: no verdict depends on how soon, because the fuzzer's own time-out finds what
 * never ends.
 */
static inline void fuzz_endpoint_destroy(struct endpoint *endpoint)
{
	bool gone = false;

	endpoint_destroy(endpoint, fuzz_on_gone, &gone);
	while (!gone)
		loop_turn(loop, NS_PER_MS);
}

/*
 * Foreign descriptors are closed by threads of the loop's ring: the loop ends when those have done so.
 * `extra`: descriptors besides the loop's own two.
 */
static inline void fuzz_loop_end(unsigned extra)
{
	while (fuzz_count_fds() != fds_before + 2 + extra)
		loop_turn(loop, NS_PER_MS);
	loop_turn(loop, 0);
	loop_destroy(loop);
}

#endif
