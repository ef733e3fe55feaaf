/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Order among first writes. The first write to a blank grain zeroes the rest of the grain; another request's
 * write to that rest must not be zeroed away. Such writes lock their grains; they wait in order of arrival.
 * Only writes to blank space come here, so a mutex and a list are good enough.
 */
#ifndef VIADUCT_ARBITER_DISK_GRAIN_LOCK_H
#define VIADUCT_ARBITER_DISK_GRAIN_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/loop.h"

/* Embedded in the request. granted() is called on `loop`. */
struct grain_lock {
	struct loop *loop;
	void (*granted)(struct grain_lock *lock);
	uint64_t first_grain, grain_count;	/* of the virtual disk */
	/* private */
	bool held;
	struct grain_lock *next;
	struct loop_message message;
};

/* One for each virtual disk. */
struct grain_locks {
	pthread_mutex_t mutex;
	struct grain_lock *first;	/* held and waiting, in order of arrival */
};

void grain_locks_init(struct grain_locks *locks);
void grain_locks_finish(struct grain_locks *locks);

/* Returns true when the lock was granted at once; else granted() is called later. */
bool grain_lock_acquire(struct grain_locks *locks, struct grain_lock *lock);
/* Grants those that waited for it. */
void grain_lock_release(struct grain_locks *locks, struct grain_lock *lock);

#endif
