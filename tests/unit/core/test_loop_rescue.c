/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A loop whose thread waits because of a peer is freed; one that waits for other reasons is let alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/loop.h"
#include "core/loop_rescue.h"
#include "patience.h"

/* What a loop's thread is made to do: a read that waits until something is written, or a signal comes. */
struct wait {
	struct loop_message message;
	struct loop *loop;
	bool for_peer;
	int pipe[2];
	int error; /* of the read; 0: it got a byte */
	bool done; /* atomic */
};

struct bench {
	struct loop_rescue *rescue;
	struct loop *loop;
	pthread_t thread;
};

static void *run(void *loop)
{
	assert_int_equal(loop_run(loop), 0);
	return NULL;
}

static void start_thread(struct bench *bench)
{
	assert_int_equal(pthread_create(&bench->thread, NULL, run, bench->loop), 0);
}

static int setup_without_thread(void **state)
{
	static struct bench bench;
	const struct loop_options options = { .name = "test" };

	assert_int_equal(loop_rescue_start(&bench.rescue), 0);
	assert_int_equal(loop_create(&options, &bench.loop), 0);
	assert_int_equal(loop_rescue_add(bench.rescue, bench.loop), 0);
	*state = &bench;
	return 0;
}

static int setup(void **state)
{
	setup_without_thread(state);
	start_thread(*state);
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	loop_stop(bench->loop);
	pthread_join(bench->thread, NULL);
	loop_destroy(bench->loop);
	loop_rescue_stop(bench->rescue);
	return 0;
}

static void wait_in_loop(struct loop_message *message)
{
	struct wait *wait = container_of(message, struct wait, message);
	char byte;

	if (wait->for_peer)
		loop_peer_write_begin(wait->loop);
	wait->error = read(wait->pipe[0], &byte, 1) == 1 ? 0 : errno;
	if (wait->for_peer)
		loop_peer_write_end(wait->loop);
	__atomic_store_n(&wait->done, true, __ATOMIC_RELEASE);
}

static void begin(struct bench *bench, struct wait *wait, bool for_peer)
{
	*wait = (struct wait){ .message.run = wait_in_loop, .loop = bench->loop, .for_peer = for_peer };
	assert_int_equal(pipe(wait->pipe), 0);
	loop_post(bench->loop, &wait->message);
}

static bool is_done(const struct wait *wait)
{
	return __atomic_load_n(&wait->done, __ATOMIC_ACQUIRE);
}

static void end(struct wait *wait)
{
	close(wait->pipe[0]);
	close(wait->pipe[1]);
}

static void frees_who_waits_for_a_peer(void **state)
{
	struct wait wait;

	for (unsigned round = 0; round < 5; round++) {
		begin(*state, &wait, true);
		AWAIT(is_done(&wait), usleep(1000));
		assert_int_equal(wait.error, EINTR);
		end(&wait);
	}
}

/* Nobody looks while all sleep for a while; the first that wakes is looked after again. */
static void looks_again_after_a_rest(void **state)
{
	usleep(400000);
	frees_who_waits_for_a_peer(state);
}

/* A thread that begins meanwhile is looked after before it has slept for the first time. */
static void looks_after_who_begins_late(void **state)
{
	struct wait wait;

	usleep(400000);
	begin(*state, &wait, true);
	start_thread(*state);
	AWAIT(is_done(&wait), usleep(1000));
	assert_int_equal(wait.error, EINTR);
	end(&wait);
}

static void lets_others_wait(void **state)
{
	struct wait wait;

	begin(*state, &wait, false);
	usleep(50000);
	assert_false(is_done(&wait));
	assert_int_equal(write(wait.pipe[1], "x", 1), 1);
	AWAIT(is_done(&wait), usleep(1000));
	assert_int_equal(wait.error, 0);
	end(&wait);
}

/* A loop may end at any time, and be the only one. */
static void forgets_loops(void **state)
{
	const struct loop_options options = { .name = "other" };
	struct bench *bench = *state;
	struct loop *other;
	pthread_t thread;

	for (unsigned round = 0; round < 20; round++) {
		assert_int_equal(loop_create(&options, &other), 0);
		assert_int_equal(loop_rescue_add(bench->rescue, other), 0);
		assert_int_equal(pthread_create(&thread, NULL, run, other), 0);
		loop_stop(other);
		pthread_join(thread, NULL);
		loop_destroy(other);
	}
	frees_who_waits_for_a_peer(state);
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(frees_who_waits_for_a_peer),
		BENCH_TEST(looks_again_after_a_rest),
		cmocka_unit_test_setup_teardown(looks_after_who_begins_late, setup_without_thread, teardown),
		BENCH_TEST(lets_others_wait),
		BENCH_TEST(forgets_loops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
