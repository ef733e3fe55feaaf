/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Workers that look up, mark and commit while the control thread makes, grows and deletes disks. The rule
 * under test: a bit that a worker saw (whoever set it) is durable when a commit that the worker asked for
 * afterwards is done. Run it under the thread sanitizer too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "arbiter/pool/pool_private.h"
#include "pool_help.h"
#include "test_disk.h"

#define MIB	 1048576ull
#define WORKERS	 3u
#define ROUNDS	 400u
#define GROWTH	 40u

struct worker {
	pthread_t thread;
	struct pool *pool;
	struct pool_disk *shared, *own;
	struct loop *loop;	/* outlives the pool, see pool.h */
	uint64_t seed;
	unsigned lost;		/* bits that were seen, committed and not durable */
	unsigned foreign;	/* bits that others set */
};

static bool durable(struct pool *pool, uint64_t physical)
{
	uint64_t offset = physical - pool->journal.layout.data_offset;
	uint16_t bits;

	pthread_mutex_lock(&pool->journal.lock);
	bits = pool->journal.ledger.extents[offset / POOL_EXTENT_BYTES].written;
	pthread_mutex_unlock(&pool->journal.lock);
	return (bits >> (offset / POOL_GRAIN_BYTES % POOL_GRAINS)) & 1;
}

/* Grains are taken in order, so that the workers meet at the same ones. */
static void meet(struct worker *worker, struct loop *loop, unsigned round)
{
	uint64_t offset = (uint64_t)(round / 2) * POOL_GRAIN_BYTES;
	struct pool_span span;

	if (!pool_lookup(worker->shared, offset, 1, &span))
		abort();
	if (span.state == POOL_BLANK)
		pool_mark(worker->shared, offset, POOL_GRAIN_BYTES, POOL_WRITTEN);
	else
		worker->foreign++;
	/* What disk.c does: nothing to commit, nothing to wait for. */
	if (!pool_disk_dirty(worker->shared)) {
		worker->lost += !durable(worker->pool, span.offset_bytes);
		return;
	}
	if (pool_commit_wait(loop, worker->shared) != 0)
		abort();
	worker->lost += !durable(worker->pool, span.offset_bytes);
}

/* Marks back and forth on a disk of its own; the last word counts. */
static void wander(struct worker *worker)
{
	for (unsigned i = test_below(&worker->seed, 8); i > 0; i--) {
		uint64_t grain = test_below(&worker->seed, 2 * POOL_GRAINS);

		pool_mark(worker->own, grain * POOL_GRAIN_BYTES, POOL_GRAIN_BYTES,
			  test_below(&worker->seed, 2) ? POOL_WRITTEN : POOL_BLANK);
	}
}

/* The size only grows, and all of it can be looked up. */
static void look(struct worker *worker)
{
	uint64_t size = pool_disk_size_bytes(worker->shared), offset = 0;
	struct pool_span span;

	while (offset < size) {
		if (!pool_lookup(worker->shared, offset, size - offset, &span))
			abort();
		offset += span.length_bytes;
	}
}

static void *work(void *argument)
{
	struct loop_options options = {.name = "worker"};
	struct worker *worker = argument;

	if (loop_create(&options, &worker->loop) != 0)
		abort();
	for (unsigned round = 0; round < ROUNDS; round++) {
		wander(worker);
		meet(worker, worker->loop, round);
		look(worker);
	}
	if (pool_commit_wait(worker->loop, worker->own) != 0)
		abort();
	return NULL;
}

/* Other guests' disks come and go, and the shared one grows. */
static void control(struct pool *pool, struct pool_disk *shared, uint64_t *seed)
{
	for (unsigned i = 0; i < GROWTH; i++) {
		struct pool_disk *other;

		assert_int_equal(
			pool_disk_create(pool, "other/disk", (1 + test_below(seed, 4)) * MIB, &other, NULL),
			0);
		assert_int_equal(
			pool_disk_grow(pool, shared, pool_disk_size_bytes(shared) + MIB + 4096, NULL), 0);
		assert_int_equal(pool_disk_rename(pool, other, "other/name", NULL), 0);
		assert_int_equal(pool_disk_delete(pool, other, NULL), 0);
	}
}

static void workers_and_control(void **state)
{
	struct test_disk *host = test_disk_create(200 * MIB, 0);
	uint64_t seed = test_seed("threads");
	struct worker workers[WORKERS] = {0};
	struct pool_disk *shared;
	struct pool *pool;
	uint32_t digest;

	assert_int_equal(pool_format(&host->host, false, NULL), 0);
	assert_int_equal(pool_open(&host->host, &pool, NULL), 0);
	assert_int_equal(pool_disk_create(pool, "shared/disk", ROUNDS / 2 * POOL_GRAIN_BYTES, &shared, NULL),
			 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		char name[32];

		workers[i] = (struct worker){.pool = pool, .shared = shared, .seed = test_random(&seed)};
		snprintf(name, sizeof(name), "own/disk%u", i);
		assert_int_equal(pool_disk_create(pool, name, 2 * MIB, &workers[i].own, NULL), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	control(pool, shared, &seed);
	for (unsigned i = 0; i < WORKERS; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_int_equal(workers[i].lost, 0);
		assert_false(pool_disk_dirty(workers[i].own));
	}
	printf("bits set by others: %u %u %u\n", workers[0].foreign, workers[1].foreign, workers[2].foreign);
	digest = pool_digest(pool);
	pool_close(pool);
	for (unsigned i = 0; i < WORKERS; i++)
		loop_destroy(workers[i].loop);
	assert_int_equal(pool_open(&host->host, &pool, NULL), 0);
	assert_int_equal(pool_digest(pool), digest);
	pool_close(pool);
	test_disk_destroy(host);
}

/* Many commits at once: each is told once, and they share the flushes. */
#define CROWD 500u

static void crowd(void **state)
{
	struct test_disk *host = test_disk_create(20 * MIB, 0);
	struct loop_options options = {.name = "test"};
	struct pool_waiter *waiters = calloc(CROWD, sizeof(*waiters));
	struct pool_disk *disk;
	struct pool *pool;
	struct loop *loop;
	unsigned flushes, finished;

	assert_int_equal(loop_create(&options, &loop), 0);
	assert_int_equal(pool_format(&host->host, false, NULL), 0);
	assert_int_equal(pool_open(&host->host, &pool, NULL), 0);
	assert_int_equal(pool_disk_create(pool, "a/b", 2 * MIB, &disk, NULL), 0);
	flushes = host->flushes;
	/* The journal is busy while the crowd gathers. */
	pthread_mutex_lock(&pool->journal.lock);
	for (unsigned i = 0; i < CROWD; i++) {
		waiters[i].commit = (struct pool_commit){.loop = loop, .done = pool_waiter_done};
		pool_commit(disk, &waiters[i].commit);
	}
	pthread_mutex_unlock(&pool->journal.lock);
	do {
		loop_turn(loop, 1000000000);
		finished = 0;
		for (unsigned i = 0; i < CROWD; i++)
			finished += waiters[i].finished;
	} while (finished < CROWD);
	for (unsigned i = 0; i < CROWD; i++)
		assert_int_equal(waiters[i].error, 0);
	assert_in_range(host->flushes - flushes, 1, 2);
	pool_close(pool);
	loop_destroy(loop);
	test_disk_destroy(host);
	free(waiters);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(workers_and_control),
		cmocka_unit_test(crowd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
