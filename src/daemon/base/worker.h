/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Workers: the threads of the data plane, each with an event loop of its own. */
#ifndef VIADUCT_DAEMON_BASE_WORKER_H
#define VIADUCT_DAEMON_BASE_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/loop.h"
#include "core/loop_rescue.h"

struct worker {
	struct loop *loop;
	pthread_t thread;
	const char *name;
	unsigned index;
	int nice;
	bool running;
	uint64_t spin_max_ns;		/* what worker_set_spin() asked for last */
	struct loop_message spin_message;
	bool spin_posted;		/* atomic: the message is on its way */
};

/* Number of workers when the configuration names none: one for each two CPUs, at least one. */
unsigned worker_default_count(void);

struct worker_options {
	const char *name;		/* of the thread, before its index; outlives it */
	unsigned index;
	uint64_t spin_max_ns;
	unsigned entries;		/* of the loop; 0: the default */
	int nice;			/* added to the process's */
	struct loop_rescue *rescue;	/* looks after the loop */
};

/*
 * Makes the loop and starts the thread, with all signals blocked but those that are for it. Returns 0 or
 * -errno; on failure nothing is left behind.
 */
int worker_start(struct worker *worker, const struct worker_options *options);

/* Control thread: changes the bound of the busy wait. */
void worker_set_spin(struct worker *worker, uint64_t spin_max_ns);

/*
 * Runs run(context) on the worker's thread, between what else it does, and waits for its end. Control thread;
 * workers never wait for that.
 */
void worker_call(struct worker *worker, void (*run)(void *context), void *context);

/* Stops the loop, joins the thread, frees the loop. Nothing uses the loop any more. Zeroed is allowed. */
void worker_stop(struct worker *worker);

#endif
