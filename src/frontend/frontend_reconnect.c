/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Continuity, as the side that stays: the back end died, another listens at the same path. Memory, rings
 * and event descriptors are as they were; the new back end is told where the rings stand and, by the
 * INFLIGHT buffer, what its predecessor had taken and not answered.
 */
#include <errno.h>
#include <time.h>

#include "core/clock.h"
#include "frontend/frontend_private.h"

#define RETRY_NS (5 * NS_PER_MS)

/* Errors that a back end which is about to come up, or dies once more, can cause. */
static bool worth_another_try(int error)
{
	return error == -ECONNREFUSED || error == -ENOENT || error == -EPIPE || error == -ECONNRESET ||
	       error == -EAGAIN || error == -ETIMEDOUT;
}

int frontend_reconnect(struct frontend *frontend, unsigned timeout_ms)
{
	uint64_t deadline_ns = clock_now_ns() + timeout_ms * NS_PER_MS;
	const struct timespec pause = {.tv_nsec = RETRY_NS};
	int error;

	for (;;) {
		frontend_disconnect(frontend);
		error = frontend_start(frontend, true);
		if (!error)
			break;
		frontend_disconnect(frontend);
		if (!worth_another_try(error) || clock_now_ns() >= deadline_ns)
			return error;
		nanosleep(&pause, NULL);
	}
	/* A kick that the predecessor swallowed is not in the eventfd any more. */
	for (unsigned i = 0; i < frontend->options.queues; i++)
		frontend_kick_always(&frontend->queue[i]);
	return 0;
}
