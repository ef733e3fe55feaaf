/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Group commit. Workers push commits on a stack; the journal's thread takes all that wait and carries them
 * out together:
 *
 *   1. take the dirty extents and the bits they have now     (their data was written before they were marked)
 *   2. flush                                                 (their data is durable)
 *   3. append one WRITTEN record, which flushes again        (the bits are durable)
 *   4. post done() to each commit's loop
 *
 * A bit that is set after step 1 waits for the next group: its data may not be covered by the flush.
 * Without dirty extents a commit is one flush. The lock is held from 1 to 3, so that no extent changes its
 * owner between the look at its bits and the record of them.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "arbiter/pool/pool_private.h"
#include "core/clock.h"
#include "core/container.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/shared.h"
#include "host/host_disk.h"

/* What pool_commit.private_words holds. */
struct pool_commit_private {
	struct loop_message message;	/* first: its address is that of private_words */
	struct pool_commit_private *next;
	int error;
};
static_assert(sizeof(struct pool_commit_private) <= sizeof(((struct pool_commit *)0)->private_words),
	      "a commit's private words hold its private struct");
static_assert(_Alignof(struct pool_commit_private) <= _Alignof(uint64_t), "and its alignment");

static struct pool_commit *commit_of(struct pool_commit_private *private)
{
	uint64_t(*words)[POOL_COMMIT_PRIVATE_WORDS] = (void *)private;

	return container_of(words, struct pool_commit, private_words);
}

static int note_mark(struct pool *pool, uint32_t extent, uint16_t bits)
{
	const struct pool_extent *durable = &pool->journal.ledger.extents[extent];

	/* The mark of a disk that is gone; or bits that went there and back. */
	if (durable->disk_id == 0 || durable->written == bits)
		return 0;
	/* A record lists them so. */
	assert(pool->mark_count == 0 || pool->marks[pool->mark_count - 1].extent < extent);
	if (pool->mark_count == pool->mark_room) {
		uint32_t room = pool->mark_room ? pool->mark_room * 2 : 256;
		void *larger = realloc(pool->marks, room * sizeof(*pool->marks));

		if (!larger)
			return -ENOMEM;
		pool->marks = larger;
		pool->mark_room = room;
	}
	assert(pool->mark_count < pool->mark_room);
	pool->marks[pool->mark_count++] = (struct pool_written_wire){.extent = extent, .written = bits};
	return 0;
}

/* Step 1. */
static int take_marks(struct pool *pool)
{
	pool->mark_count = 0;
	for (struct pool_disk *disk = pool->first_disk; disk; disk = disk->next)
		disk->covering = __atomic_load_n(&disk->uncovered, __ATOMIC_SEQ_CST);
	/* Whatever is counted in `covering` is in the dirty bitmap afterwards. */
	pool_marks_wait(pool);
	return pool_dirty_take(pool, note_mark);
}

static void put_marks_back(struct pool *pool)
{
	for (uint32_t i = 0; i < pool->mark_count; i++)
		pool_dirty_put_back(pool, pool->marks[i].extent);
}

static void cover_marks(struct pool *pool)
{
	for (struct pool_disk *disk = pool->first_disk; disk; disk = disk->next) {
		uint64_t before = __atomic_fetch_sub(&disk->uncovered, disk->covering, __ATOMIC_SEQ_CST);

		assert(before >= disk->covering);
	}
}

int pool_commit_marks(struct pool *pool)
{
	struct pool_journal *journal = &pool->journal;
	struct pool_change change = {.kind = POOL_CHANGE_WRITTEN};
	int error;

	if (journal->failure)
		/* read-only: nothing to flush */
		return journal->failure == -EROFS ? 0 : journal->failure;
	error = take_marks(pool);
	if (error)	/* The dirty bits taken so far are lost. */
		return pool_journal_fail(journal, "taking the written bits", error);
	assert(pool->mark_count <= journal->ledger.extent_count);
	error = pool_journal_flush(journal);
	if (!error && pool->mark_count > 0) {
		change.list = pool->marks;
		change.list_count = pool->mark_count;
		error = pool_journal_append(journal, &change);
	}
	if (!error)
		cover_marks(pool);
	else if (!journal->failure)
		/* For a later commit: the marks stay uncovered. */
		put_marks_back(pool);
	return error;
}

/* On the commit's own loop. */
static void commit_done(struct loop_message *message)
{
	struct pool_commit_private *private = (void *)message;

	commit_of(private)->done(commit_of(private), private->error);
}

static void post_group(struct pool_commit_private *group, int error)
{
	struct pool_commit_private *ordered = NULL;

	assert(error <= 0);
	while (group) {
		struct pool_commit_private *next = group->next;

		group->next = ordered;
		ordered = group;
		group = next;
	}
	while (ordered) {
		/* The commit may be gone as soon as it is posted. */
		struct pool_commit_private *next = ordered->next;

		ordered->error = error;
		loop_post(commit_of(ordered)->loop, &ordered->message);
		ordered = next;
	}
}

bool pool_commit_group(struct pool *pool)
{
	struct pool_commit_private *group = __atomic_exchange_n(&pool->queue, NULL, __ATOMIC_ACQ_REL);
	int error;

	if (!group)
		return false;
	__atomic_store_n(&pool->working_since_ns, clock_now_ns(), __ATOMIC_RELAXED);
	pthread_mutex_lock(&pool->journal.lock);
	error = pool_commit_marks(pool);
	pthread_mutex_unlock(&pool->journal.lock);
	__atomic_store_n(&pool->working_since_ns, 0, __ATOMIC_RELAXED);
	post_group(group, error);
	return true;
}

static void *journal_thread(void *argument)
{
	struct pool *pool = argument;
	bool worked;

	pthread_setname_np(pthread_self(), "pool-journal");
	for (;;) {
		while (sem_wait(&pool->wake) != 0)
			assert(errno == EINTR);
		worked = pool_commit_group(pool);
		pool_answer_give(pool);
		if (!worked && __atomic_load_n(&pool->stop, __ATOMIC_ACQUIRE))
			return NULL;
	}
}

void pool_commit(struct pool_disk *disk, struct pool_commit *commit)
{
	struct pool_commit_private *private = (void *)commit->private_words;
	struct pool *pool = disk->pool;
	struct pool_commit_private *head = __atomic_load_n(&pool->queue, __ATOMIC_RELAXED);

	assert(commit->loop && commit->done);
	*private = (struct pool_commit_private){.message.run = commit_done};
	do {
		private->next = head;
	} while (!__atomic_compare_exchange_n(&pool->queue, &head, private, true, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	/* The commit that finds the stack empty wakes the thread, which takes the whole stack at once. */
	if (!head)
		sem_post(&pool->wake);
}

int pool_commit_start(struct pool *pool)
{
	sigset_t all, old;
	int error;

	assert(!pool->thread_running && !pool->stop);
	error = pool_answer_init(&pool->answer);
	if (error)
		return error;
	if (sem_init(&pool->wake, 0, 0) != 0) {
		error = -errno;
		pool_answer_finish(&pool->answer);
		return error;
	}
	/* Signals are the control thread's business. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&pool->thread, NULL, journal_thread, pool);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error) {
		sem_destroy(&pool->wake);
		pool_answer_finish(&pool->answer);
		return -error;
	}
	pool->thread_running = true;
	return 0;
}

void pool_commit_stop(struct pool *pool)
{
	if (pool->thread_running) {
		__atomic_store_n(&pool->stop, true, __ATOMIC_RELEASE);
		sem_post(&pool->wake);
		pthread_join(pool->thread, NULL);
		sem_destroy(&pool->wake);
		pool_answer_finish(&pool->answer);
		pool->thread_running = false;
		assert(!pool->queue);
	}
	free(pool->marks);
	pool->marks = NULL;
}
