/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/disk/grain_lock.h"
#include "core/container.h"

#include <assert.h>
#include <stddef.h>

void grain_locks_init(struct grain_locks *locks)
{
	pthread_mutex_init(&locks->mutex, NULL);
	locks->first = NULL;
}

void grain_locks_finish(struct grain_locks *locks)
{
	assert(!locks->first);
	pthread_mutex_destroy(&locks->mutex);
}

static bool overlap(const struct grain_lock *a, const struct grain_lock *b)
{
	return a->first < b->first + b->count &&
	       b->first < a->first + a->count;
}

/* No lock that came before wants a part of its range. */
static bool grantable(const struct grain_locks *locks, const struct grain_lock *lock)
{
	for (const struct grain_lock *other = locks->first; other != lock; other = other->next)
		if (overlap(other, lock))
			return false;
	return true;
}

bool grain_lock_acquire(struct grain_locks *locks, struct grain_lock *lock)
{
	struct grain_lock **link = &locks->first;
	bool held;

	assert(lock->count > 0);
	assert(!lock->held);
	assert(lock->granted && lock->loop);
	lock->next = NULL;
	pthread_mutex_lock(&locks->mutex);
	while (*link)
		link = &(*link)->next;
	*link = lock;
	held = lock->held = grantable(locks, lock);
	pthread_mutex_unlock(&locks->mutex);
	return held;
}

static void run_granted(struct loop_message *message)
{
	struct grain_lock *lock = container_of(message, struct grain_lock, message);

	assert(lock->held);
	lock->granted(lock);
}

void grain_lock_release(struct grain_locks *locks, struct grain_lock *lock)
{
	struct grain_lock **link = &locks->first;

	pthread_mutex_lock(&locks->mutex);
	assert(lock->held);
	while (*link && *link != lock)
		link = &(*link)->next;
	assert(*link);
	*link = lock->next;
	lock->held = false;
	for (struct grain_lock *waiting = locks->first; waiting; waiting = waiting->next) {
		if (waiting->held || !overlap(waiting, lock) || !grantable(locks, waiting))
			continue;
		waiting->held = true;
		waiting->message.run = run_granted;
		loop_post(waiting->loop, &waiting->message);
	}
	pthread_mutex_unlock(&locks->mutex);
}
