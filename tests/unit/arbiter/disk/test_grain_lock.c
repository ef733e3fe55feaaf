/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Locks on runs of grains: who waits for whom, on one loop and on several threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "arbiter/disk/grain_lock.h"
#include "core/clock.h"

#define THREADS 3u
#define ROUNDS	300u
#define GRAINS	8u

static struct grain_locks locks;
static struct loop *loop;
static struct grain_lock lock[6];
static unsigned granted[6], order[16], grants;

static void note_granted(struct grain_lock *which)
{
	unsigned index = (unsigned)(which - lock);

	assert_true(which->held);
	granted[index]++;
	order[grants++] = index;
}

static bool acquire(unsigned index, uint64_t first, uint64_t count)
{
	lock[index] = (struct grain_lock){
		.loop = loop, .granted = note_granted, .first = first, .count = count
	};
	return grain_lock_acquire(&locks, &lock[index]);
}

static void release(unsigned index)
{
	grain_lock_release(&locks, &lock[index]);
	for (int i = 0; i < 3; i++)
		assert_int_equal(loop_turn(loop, NS_PER_MS), 0);
}

static int setup(void **state)
{
	struct loop_options options = { .name = "locks" };

	grain_locks_init(&locks);
	for (unsigned i = 0; i < 6; i++)
		granted[i] = 0;
	grants = 0;
	return loop_create(&options, &loop);
}

static int teardown(void **state)
{
	grain_locks_finish(&locks);
	loop_destroy(loop);
	return 0;
}

static void neighbours_do_not_wait(void **state)
{
	assert_true(acquire(0, 4, 2));
	assert_true(acquire(1, 3, 1));
	assert_true(acquire(2, 6, 1));
	assert_true(acquire(3, UINT64_MAX - 8, 8));
	for (unsigned i = 0; i < 4; i++)
		release(i);
	assert_int_equal(grants, 0);
}

static void every_overlap_waits(void **state)
{
	static const uint64_t runs[][2] = { { 4, 2 }, { 3, 2 }, { 5, 3 }, { 3, 9 }, { 5, 1 } };

	for (unsigned i = 0; i < 5; i++) {
		assert_true(acquire(0, 4, 2));
		assert_false(acquire(1, runs[i][0], runs[i][1]));
		assert_int_equal(granted[1], i);
		release(0);
		assert_int_equal(granted[1], i + 1);
		assert_int_equal(granted[0], 0);
		release(1);
	}
}

/* In order of arrival, also behind one that is itself waiting: nobody is overtaken for ever. */
static void nobody_is_overtaken(void **state)
{
	assert_true(acquire(0, 0, 4));
	assert_false(acquire(1, 2, 4));
	assert_false(acquire(2, 5, 2));	/* free, but promised to 1 */
	assert_false(acquire(3, 0, 1));
	assert_true(acquire(4, 7, 1));
	release(4);
	assert_int_equal(grants, 0);
	release(0);
	assert_int_equal(grants, 2);
	assert_int_equal(granted[1] + granted[3], 2);
	release(1);
	assert_int_equal(order[2], 2);
	release(2);
	release(3);
}

static void one_release_grants_several(void **state)
{
	assert_true(acquire(0, 0, 6));
	for (unsigned i = 1; i <= 4; i++)
		assert_false(acquire(i, i, 1));
	assert_false(acquire(5, 2, 1));
	release(0);
	assert_int_equal(grants, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(order[i], i + 1);
	release(2);
	assert_int_equal(order[4], 5);
	release(1);
	release(3);
	release(4);
	release(5);
}

/* ---- threads ---- */

struct worker {
	struct grain_lock lock;		/* first */
	pthread_t thread;
	struct loop *own_loop;
	bool got;
	unsigned violations, waited;
};

/* Not atomic on purpose: the locks are what keeps the threads apart, and the sanitizer looks on. */
static unsigned owner[GRAINS];

static void worker_granted(struct grain_lock *which)
{
	((struct worker *)which)->got = true;
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	uint64_t random = (uintptr_t)worker;

	for (unsigned round = 1; round <= ROUNDS; round++) {
		uint64_t first, count;

		random = random * 6364136223846793005ull + 1442695040888963407ull;
		first = (random >> 33) % GRAINS;
		count = 1 + (random >> 45) % (GRAINS - first);
		worker->lock = (struct grain_lock){ .loop = worker->own_loop, .granted = worker_granted,
						    .first = first, .count = count };
		worker->got = grain_lock_acquire(&locks, &worker->lock);
		worker->waited += !worker->got;
		while (!worker->got)
			loop_turn(worker->own_loop, NS_PER_S);
		for (uint64_t i = first; i < first + count; i++) {
			worker->violations += owner[i] != 0;
			owner[i] = round;
		}
		sched_yield();
		for (uint64_t i = first; i < first + count; i++) {
			worker->violations += owner[i] != round;
			owner[i] = 0;
		}
		grain_lock_release(&locks, &worker->lock);
	}
	return NULL;
}

static void threads_exclude_each_other(void **state)
{
	static struct worker workers[THREADS];
	struct loop_options options = { .name = "worker" };

	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(loop_create(&options, &workers[i].own_loop), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(workers[i].violations, 0);
		loop_destroy(workers[i].own_loop);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(neighbours_do_not_wait),	  TEST(every_overlap_waits),	    TEST(nobody_is_overtaken),
		TEST(one_release_grants_several), TEST(threads_exclude_each_other),
	};

	return cmocka_run_group_tests_name("grain_lock", tests, NULL, NULL);
}
