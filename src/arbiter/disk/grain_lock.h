/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Order among requests that must not run at the same time. The first write to a blank grain zeroes the rest
 * of the grain, and another request's write to that rest must not be zeroed away. Where the guest's blocks
 * are smaller than the physical disk's, two requests may meet in one block that each reads and writes back.
 * So writes to blank space lock what they write, in whole grains; with such blocks, each write, discard and
 * write of zeroes locks its piece, too. Locks that overlap are granted in order of arrival. The list is as
 * long as there are such requests under way, so it and a mutex are good enough.
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
	uint64_t first, count;		/* of the virtual disk, in units of 4096 bytes */
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
