/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does the pool's disk answer? A change of virtual disks writes to it on the control thread, and a disk that
 * hangs (a frozen file system, storage whose network is gone) would hold all that this thread does, for every
 * guest. So the journal's thread first tries what a change does. A request that changes disks is put aside
 * meanwhile (pool_ask()); the control thread itself waits only for what a reload changes, and so long
 * (pool_await()). Later, while no answer has come, changes are refused at once.
 *
 * A disk that begins to hang between the answer and the change is not covered.
 */
#include <errno.h>
#include <stdlib.h>

#include "arbiter/pool/pool_private.h"
#include "core/clock.h"
#include "core/log.h"
#include "host/host_disk.h"

/* An answer is good for a change that begins so soon after it. */
#define GOOD_NS NS_PER_S
/* Whoever asked was refused: the next change within this time is the one that the answer is for. */
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
	uint64_t now_ns;

	if (__atomic_load_n(&answer->asked_ns, __ATOMIC_RELAXED) == 0)
		return;
	/* Also an error is an answer: the change that follows finds out. */
	try_disk(pool);
	pthread_mutex_lock(&answer->lock);
	now_ns = clock_now_ns();
	answer->good_until_ns = now_ns + (answer->told ? LATE_NS : GOOD_NS);
	if (answer->told)
		log_info(&pool->journal.subject, "answers again, after %.1f s",
			 (double)(now_ns - answer->asked_ns) / NS_PER_S);
	answer->told = false;
	__atomic_store_n(&answer->asked_ns, 0, __ATOMIC_RELAXED);
	pthread_cond_signal(&answer->came);
	pthread_mutex_unlock(&answer->lock);
}

/* ---- the control thread ---- */

/* All under the lock. */
static bool is_answered(const struct pool_answer *answer)
{
	return answer->asked_ns == 0 && clock_now_ns() < answer->good_until_ns;
}

static void ask(struct pool *pool)
{
	struct pool_answer *answer = &pool->answer;

	if (answer->asked_ns > 0 || is_answered(answer))
		return;
	answer->good_until_ns = 0;
	__atomic_store_n(&answer->asked_ns, clock_now_ns(), __ATOMIC_RELAXED);
	sem_post(&pool->wake);
}

static void wait_for_answer(struct pool_answer *answer)
{
	uint64_t until_ns = answer->asked_ns + answer->patience_ns;
	struct timespec until = { .tv_sec = (time_t)(until_ns / NS_PER_S),
				  .tv_nsec = (long)(until_ns % NS_PER_S) };

	while (answer->asked_ns > 0 &&
	       pthread_cond_timedwait(&answer->came, &answer->lock, &until) != ETIMEDOUT)
		;
}

static int refuse(struct pool *pool, uint64_t silent_ns, struct error *error)
{
	double silent_s = (double)silent_ns / NS_PER_S;

	if (!pool->answer.told)
		log_warning(&pool->journal.subject,
			    "has not answered for %.1f s: until it does, disks there cannot be made, grown, "
			    "renamed or deleted",
			    silent_s);
	pool->answer.told = true;
	return error_set(error, -ETIMEDOUT,
			 "the pool's disk has not answered for %.1f s; nothing was changed; try again when "
			 "it answers",
			 silent_s);
}

/* What there is to say now: 0, -EINPROGRESS or -ETIMEDOUT. */
static int outcome(struct pool *pool, struct error *error)
{
	const struct pool_answer *answer = &pool->answer;
	uint64_t silent_ns;

	if (answer->asked_ns == 0)
		return 0;
	silent_ns = clock_now_ns() - answer->asked_ns;
	if (silent_ns >= answer->patience_ns)
		return refuse(pool, silent_ns, error);
	return error_set(error, -EINPROGRESS, "the pool's disk has not answered yet");
}

void pool_set_patience(struct pool *pool, uint64_t patience_ns)
{
	pool->answer.patience_ns = patience_ns;
}

int pool_ask(struct pool *pool, struct error *error)
{
	struct pool_answer *answer = &pool->answer;
	int code;

	if (!pool->thread_running || answer->patience_ns == 0)
		return 0;
	pthread_mutex_lock(&answer->lock);
	ask(pool);
	code = outcome(pool, error);
	pthread_mutex_unlock(&answer->lock);
	return code;
}

int pool_await(struct pool *pool, struct error *error)
{
	struct pool_answer *answer = &pool->answer;
	int code;

	if (!pool->thread_running || answer->patience_ns == 0)
		return 0;
	pthread_mutex_lock(&answer->lock);
	ask(pool);
	wait_for_answer(answer);
	code = outcome(pool, error);
	/* The next change asks anew. */
	if (!code)
		answer->good_until_ns = 0;
	pthread_mutex_unlock(&answer->lock);
	return code;
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
