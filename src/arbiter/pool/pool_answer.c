/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does the pool's disk answer? A change of virtual disks writes to it on the control thread, and a disk that
 * hangs (a frozen file system, storage whose network is gone) would hold all that this thread does, for every
 * guest. So the journal's thread first tries what a change does, and the control thread waits for it only so
 * long. While no answer has come, changes are refused at once.
 *
 * A disk that begins to hang between the answer and the change is not covered.
 */
#include <errno.h>
#include <stdlib.h>

#include "arbiter/pool/pool_private.h"
#include "core/clock.h"
#include "core/log.h"
#include "host/host_disk.h"

/* Whoever asks has gone: the next change within this time is the one that the answer is for. */
#define LATE_NS (30 * NS_PER_S)
/* Slower than this is worth telling. */
#define SILENT_NS NS_PER_S

int pool_answer_init(struct pool_answer *answer)
{
	pthread_condattr_t attributes;
	int error = pthread_condattr_init(&attributes);

	if (error)
		return -error;
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	error = pthread_cond_init(&answer->came, &attributes);
	pthread_condattr_destroy(&attributes);
	if (error)
		return -error;
	error = pthread_mutex_init(&answer->lock, NULL);
	if (error)
		pthread_cond_destroy(&answer->came);
	return -error;
}

void pool_answer_finish(struct pool_answer *answer)
{
	pthread_cond_destroy(&answer->came);
	pthread_mutex_destroy(&answer->lock);
}

/* ---- the journal's thread ---- */

/* Reads, changes the file as far as its file system knows, and flushes; nothing is different after it. */
static void try_disk(struct pool *pool)
{
	struct host_disk *host = pool->journal.host;
	void *block = pool_buffer(POOL_BLOCK_BYTES);

	if (block)
		host->ops->read_sync(host, 0, block, POOL_BLOCK_BYTES);
	free(block);
	pthread_mutex_lock(&pool->journal.lock);
	if (!pool->journal.failure) {
		if (host->ops->reserve_sync)
			host->ops->reserve_sync(host, 0, POOL_BLOCK_BYTES, false);
		pool_journal_flush(&pool->journal);
	}
	pthread_mutex_unlock(&pool->journal.lock);
}

void pool_answer_give(struct pool *pool)
{
	struct pool_answer *answer = &pool->answer;

	if (__atomic_load_n(&answer->asked_ns, __ATOMIC_RELAXED) == 0)
		return;
	/* Also an error is an answer: the change that follows finds out. */
	try_disk(pool);
	pthread_mutex_lock(&answer->lock);
	if (answer->told) {
		answer->late_ns = clock_now_ns();
		log_info(&pool->journal.subject, "answers again, after %.1f s",
			 (double)(answer->late_ns - answer->asked_ns) / NS_PER_S);
	}
	answer->told = false;
	__atomic_store_n(&answer->asked_ns, 0, __ATOMIC_RELAXED);
	pthread_cond_signal(&answer->came);
	pthread_mutex_unlock(&answer->lock);
}

/* ---- the control thread ---- */

/* Under the lock. How long it has been asked for in vain; 0: the answer came. */
static uint64_t wait_for_answer(struct pool_answer *answer)
{
	uint64_t until_ns = answer->asked_ns + answer->patience_ns;
	struct timespec until = { .tv_sec = (time_t)(until_ns / NS_PER_S),
				  .tv_nsec = (long)(until_ns % NS_PER_S) };

	while (answer->asked_ns > 0 &&
	       pthread_cond_timedwait(&answer->came, &answer->lock, &until) != ETIMEDOUT)
		;
	return answer->asked_ns > 0 ? clock_now_ns() - answer->asked_ns : 0;
}

/* Under the lock: did an answer come for the change that was refused meanwhile? It counts once. */
static bool take_late_answer(struct pool_answer *answer)
{
	uint64_t late_ns = answer->late_ns;

	answer->late_ns = 0;
	return late_ns > 0 && clock_now_ns() - late_ns < LATE_NS;
}

/* Under the lock. */
static uint64_t ask(struct pool *pool)
{
	struct pool_answer *answer = &pool->answer;

	if (answer->asked_ns == 0) {
		if (take_late_answer(answer))
			return 0;
		__atomic_store_n(&answer->asked_ns, clock_now_ns(), __ATOMIC_RELAXED);
		sem_post(&pool->wake);
	}
	return wait_for_answer(answer);
}

void pool_set_patience(struct pool *pool, uint64_t patience_ns)
{
	pool->answer.patience_ns = patience_ns;
}

int pool_await(struct pool *pool, struct error *error)
{
	struct pool_answer *answer = &pool->answer;
	uint64_t silent_ns;

	if (!pool->thread_running || answer->patience_ns == 0)
		return 0;
	pthread_mutex_lock(&answer->lock);
	silent_ns = ask(pool);
	if (silent_ns > 0 && !answer->told) {
		log_warning(&pool->journal.subject,
			    "has not answered for %.1f s: until it does, disks there cannot be made, grown, "
			    "renamed or deleted",
			    (double)silent_ns / NS_PER_S);
		answer->told = true;
	}
	pthread_mutex_unlock(&answer->lock);
	if (silent_ns == 0)
		return 0;
	return error_set(error, -ETIMEDOUT,
			 "the pool's disk has not answered for %.1f s; nothing was changed; try again when "
			 "it answers",
			 (double)silent_ns / NS_PER_S);
}

uint64_t pool_silent_ns(const struct pool *pool)
{
	uint64_t asked_ns = __atomic_load_n(&pool->answer.asked_ns, __ATOMIC_RELAXED),
		 working_ns = __atomic_load_n(&pool->working_since_ns, __ATOMIC_RELAXED),
		 now_ns = clock_now_ns();
	uint64_t since_ns =
		working_ns > 0 && (asked_ns == 0 || working_ns < asked_ns) ? working_ns : asked_ns;

	return since_ns > 0 && now_ns > since_ns + SILENT_NS ? now_ns - since_ns : 0;
}
