/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest that makes a loop's thread stand still hears of it; one that only works, or is there, does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glob.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/loop.h"
#include "core/loop_account.h"
#include "core/loop_blame.h"
#include "core/loop_rescue.h"
#include "patience.h"

/* vfork() is fork() with TSAN, for which nobody waits. */
#ifdef __SANITIZE_THREAD__
#define WAYS_TO_WAIT 1u
#else
#define WAYS_TO_WAIT 2u
#endif

/* Long enough for the other thread to see it, also when that one is late. */
#define STILL_NS (200 * NS_PER_MS)

enum doing { SLEEP, WORK, WORK_BESIDE_WRITE, WAIT_FOR_LOCK, WAIT_FOR_CHILD };

struct guest {
	struct loop *loop;
	struct loop_guest *guest;
	struct loop_account *account;
	struct loop_poller poller;
	struct loop_task task;
	struct loop_blame blame;
	bool in_task;
	enum doing doing;
	unsigned wanted; /* atomic: how often it is to do it */
	unsigned blamed; /* atomic: LOOP_BLAME_… */
	uint64_t waited_ns;
};

struct bench {
	struct loop_rescue *rescue;
	struct loop *loop;
	pthread_t thread;
	struct guest alice, mallory;
	struct loop_message message;
	bool told; /* atomic */
};

static void work(uint64_t ns)
{
	uint64_t begin_ns = clock_thread_ns();

	while (clock_thread_ns() - begin_ns < ns)
		;
}

/* Interruptible, in futex_…(). */
static void wait_for_lock(void)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_nsec += STILL_NS % NS_PER_S;
	end.tv_sec += end.tv_nsec / NS_PER_S;
	end.tv_nsec %= NS_PER_S;
	pthread_mutex_lock(&mutex);
	pthread_mutex_timedlock(&mutex, &end);
	pthread_mutex_unlock(&mutex);
}

/* Not interruptible, as who waits for the lock of the process's memory; and for no page of a file. */
static __attribute__((noinline)) void wait_for_child(void)
{
	pid_t child = vfork();

	if (child == 0) {
		usleep(STILL_NS / NS_PER_US);
		_exit(0);
	}
	assert_true(child > 0);
	/* Its end may take long on a busy machine; a sleep until then would be of another kind. */
	while (waitpid(child, NULL, WNOHANG) == 0)
		sched_yield();
}

static void stand_still(struct guest *guest)
{
	switch (guest->doing) {
	case SLEEP:
		usleep(STILL_NS / NS_PER_US);
		break;
	case WORK:
		work(STILL_NS);
		break;
	case WORK_BESIDE_WRITE:
		loop_peer_write_begin(guest->loop);
		work(STILL_NS);
		loop_peer_write_end(guest->loop);
		break;
	case WAIT_FOR_LOCK:
		wait_for_lock();
		break;
	case WAIT_FOR_CHILD:
		wait_for_child();
		break;
	}
	__atomic_sub_fetch(&guest->wanted, 1, __ATOMIC_RELEASE);
}

static unsigned wanted(const struct guest *guest)
{
	return __atomic_load_n(&guest->wanted, __ATOMIC_ACQUIRE);
}

static void on_task(struct loop_task *task)
{
	stand_still(container_of(task, struct guest, task));
}

static bool on_poll(struct loop_poller *poller)
{
	struct guest *guest = container_of(poller, struct guest, poller);

	if (wanted(guest) == 0)
		return false;
	if (guest->in_task)
		loop_defer(guest->loop, &guest->task);
	else
		stand_still(guest);
	return true;
}

static bool never_parks(struct loop_poller *poller)
{
	return false;
}

static void on_blamed(struct loop_blame *blame, unsigned what, uint64_t waited_ns)
{
	struct guest *guest = container_of(blame, struct guest, blame);

	guest->waited_ns = waited_ns;
	__atomic_or_fetch(&guest->blamed, what, __ATOMIC_RELEASE);
}

static void add(struct loop *loop, struct guest *guest)
{
	*guest = (struct guest){ .loop = loop, .guest = loop_guest_create() };
	guest->account = loop_account_create(guest->guest, loop);
	guest->poller = (struct loop_poller){ on_poll, never_parks, .account = guest->account };
	guest->task.run = on_task;
	guest->blame = (struct loop_blame){ .blamed = on_blamed, .account = guest->account };
	loop_blame_start(loop, &guest->blame);
	loop_poller_wake(loop, &guest->poller);
}

static void end(struct guest *guest)
{
	loop_poller_remove(guest->loop, &guest->poller);
	loop_blame_stop(guest->loop, &guest->blame);
	loop_account_close(guest->account);
	loop_guest_put(guest->guest);
}

static void *run(void *loop)
{
	assert_int_equal(loop_run(loop), 0);
	return NULL;
}

static int setup(void **state)
{
	static struct bench bench;
	const struct loop_options options = { .name = "test" };

	memset(&bench, 0, sizeof(bench));
	assert_int_equal(loop_rescue_start(&bench.rescue), 0);
	assert_int_equal(loop_create(&options, &bench.loop), 0);
	assert_int_equal(loop_rescue_add(bench.rescue, bench.loop), 0);
	add(bench.loop, &bench.alice);
	add(bench.loop, &bench.mallory);
	assert_int_equal(pthread_create(&bench.thread, NULL, run, bench.loop), 0);
	*state = &bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	loop_stop(bench->loop);
	pthread_join(bench->thread, NULL);
	end(&bench->alice);
	end(&bench->mallory);
	loop_destroy(bench->loop);
	loop_rescue_stop(bench->rescue);
	return 0;
}

static void tell(struct loop_message *message)
{
	__atomic_store_n(&container_of(message, struct bench, message)->told, true, __ATOMIC_RELEASE);
}

/* Mallory does it once; returns when that is over and whoever is to blame has heard of it. */
static void once(struct bench *bench, enum doing doing, bool in_task)
{
	bench->mallory.doing = doing;
	bench->mallory.in_task = in_task;
	__atomic_store_n(&bench->mallory.wanted, 1, __ATOMIC_RELEASE);
	AWAIT(wanted(&bench->mallory) == 0, usleep(1000));
	for (unsigned turn = 0; turn < 2; turn++) {
		bench->told = false;
		bench->message.run = tell;
		loop_post(bench->loop, &bench->message);
		AWAIT(__atomic_load_n(&bench->told, __ATOMIC_ACQUIRE), usleep(1000));
	}
}

static unsigned blamed(const struct guest *guest)
{
	return __atomic_load_n(&guest->blamed, __ATOMIC_ACQUIRE);
}

/* On a machine so busy that the other thread does not come, it takes another time. */
static void until_blamed(struct bench *bench, enum doing doing, bool in_task, unsigned what)
{
	AWAIT(blamed(&bench->mallory) == what, once(bench, doing, in_task));
	assert_true(bench->mallory.waited_ns >= STILL_NS);
	assert_int_equal(blamed(&bench->alice), 0);
}

static void blames_who_sleeps_in_its_turn(void **state)
{
	until_blamed(*state, SLEEP, false, LOOP_BLAME_WAITED);
}

static void blames_who_sleeps_in_a_task(void **state)
{
	until_blamed(*state, SLEEP, true, LOOP_BLAME_WAITED);
}

/*
 * That takes time from others, too, and is paid for; also while a write to a peer's descriptor is under way
 * that does not take it.
 */
static void blames_nobody_for_work(void **state)
{
	struct bench *bench = *state;

	for (unsigned round = 0; round < 4; round++)
		once(bench, round < 2 ? WORK : WORK_BESIDE_WRITE, round % 2);
	assert_int_equal(blamed(&bench->mallory) | blamed(&bench->alice), 0);
}

/* wchan of proc(5), of one of the threads that sleep. */
static bool kernel_tells_of_waits(void)
{
	bool tells = false;
	glob_t found;

	assert_int_equal(glob("/proc/self/task/*/wchan", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		FILE *file = fopen(found.gl_pathv[i], "re");
		int first = file ? fgetc(file) : '0';

		tells = tells || (first != '0' && first != EOF);
		if (file)
			fclose(file);
	}
	globfree(&found);
	return tells;
}

static void blames_nobody_for_what_all_wait_for(void **state)
{
	struct bench *bench = *state;
	unsigned tries = 0;

	/* All may be awake at one moment, and not for a second. */
	while (!kernel_tells_of_waits() && tries++ < 1000)
		usleep(1000);
	if (tries > 1000) {
		print_error("the kernel does not tell what a thread waits for\n");
		skip();
	}
	for (unsigned round = 0; round < 2 * WAYS_TO_WAIT; round++)
		once(bench, round < 2 ? WAIT_FOR_LOCK : WAIT_FOR_CHILD, round % 2);
	assert_int_equal(blamed(&bench->mallory) | blamed(&bench->alice), 0);
}

static void forgets_what_is_over(void **state)
{
	struct bench *bench = *state;

	AWAIT(blamed(&bench->mallory), once(bench, SLEEP, false));
	assert_int_equal(blamed(&bench->alice), 0);
	__atomic_store_n(&bench->mallory.blamed, 0, __ATOMIC_RELEASE);
	once(bench, WORK, false);
	assert_int_equal(blamed(&bench->mallory) | blamed(&bench->alice), 0);
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(blames_who_sleeps_in_its_turn), BENCH_TEST(blames_who_sleeps_in_a_task),
		BENCH_TEST(blames_nobody_for_work),	   BENCH_TEST(blames_nobody_for_what_all_wait_for),
		BENCH_TEST(forgets_what_is_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
