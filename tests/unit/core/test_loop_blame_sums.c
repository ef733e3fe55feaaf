/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Slow writes to a guest's descriptors and brief waits for its memory: what is held against it, and when. */
#include "core/container.h"
#include "core/loop_blame.h"
#include "core/loop_internal.h"
#include "loop_guests.h"

struct bench {
	struct loop *loop;
	struct fake_guest guest;
	struct loop_blame blame;
	unsigned what; /* is expected */
	unsigned blamed;
};

static void on_blamed(struct loop_blame *blame, unsigned what, uint64_t waited_ns)
{
	struct bench *bench = container_of(blame, struct bench, blame);

	assert_int_equal(what, bench->what);
	bench->blamed++;
}

static void start(struct bench *bench)
{
	*bench = (struct bench){ .loop = make_loop(), .what = LOOP_BLAME_WROTE };
	begin(bench->loop, &bench->guest, 1, 0);
	bench->blame = (struct loop_blame){ .blamed = on_blamed, .account = bench->guest.account };
	loop_blame_start(bench->loop, &bench->blame);
	loop_pay(bench->loop, bench->guest.account);
	loop_charge_payer(bench->loop, now_ns);
	bench->loop->peer_writes = 1;
	stolen_ns = NS_PER_S / 2;
	loop_thread_clock_begin(bench->loop);
}

static void finish(struct bench *bench)
{
	bench->loop->peer_writes = 0;
	loop_blame_stop(bench->loop, &bench->blame);
	end(bench->loop, &bench->guest);
	loop_turn(bench->loop, 0);
	loop_destroy(bench->loop);
}

/* A gap in the clock, of which the thread ran for so long. */
static void gap(struct bench *bench, uint64_t wall_ns, uint64_t ran_ns)
{
	now_ns += wall_ns;
	stolen_ns += wall_ns - ran_ns;
	loop_charge_payer(bench->loop, now_ns);
	loop_settle_blame(bench->loop);
}

/* One after the other, each submitted by itself. */
static void write_slowly(struct bench *bench, uint64_t ns)
{
	loop_thread_clock_begin(bench->loop);
	bench->loop->writing = true;
	gap(bench, ns, ns);
	bench->loop->writing = false;
}

/* The kernel did in the sleeping thread what it had put off. */
static void sleep_and_work(struct bench *bench, uint64_t ns)
{
	bench->loop->now_ns = now_ns;
	loop_falls_asleep(bench->loop);
	stolen_ns -= ns;
	loop_woke(bench->loop);
}

/* What the thread did in its sleep is not taken for what it did in a gap, in which it was not running. */
static void test_work_in_sleep_is_no_write(void **state)
{
	struct bench bench;

	start(&bench);
	for (unsigned i = 0; i < 10; i++) {
		for (unsigned sleep = 0; sleep < 10; sleep++)
			sleep_and_work(&bench, 2 * NS_PER_MS);
		gap(&bench, 23 * NS_PER_MS, 0);
		assert_false(loop_is_suspicious(bench.loop));
	}
	assert_int_equal(bench.blamed, 0);
	finish(&bench);
}

/* But when the thread really runs for so long, the loop finds that out at the second time. */
static void test_a_long_write_after_sleep_is_noticed(void **state)
{
	struct bench bench;

	start(&bench);
	sleep_and_work(&bench, 0);
	gap(&bench, 5 * NS_PER_MS, 5 * NS_PER_MS);
	assert_false(loop_is_suspicious(bench.loop));
	sleep_and_work(&bench, 2 * NS_PER_MS);
	gap(&bench, 5 * NS_PER_MS, 5 * NS_PER_MS);
	assert_true(loop_is_suspicious(bench.loop));
	assert_int_equal(bench.blamed, 0);
	finish(&bench);
}

/* Nor is it missed when the call that sleeps submits it. */
static void test_a_long_write_in_sleep_is_noticed(void **state)
{
	struct bench bench;

	start(&bench);
	sleep_and_work(&bench, 5 * NS_PER_MS);
	gap(&bench, 5 * NS_PER_MS, 0);
	sleep_and_work(&bench, 3 * NS_PER_MS);
	assert_false(loop_is_suspicious(bench.loop));
	sleep_and_work(&bench, 5 * NS_PER_MS);
	assert_true(loop_is_suspicious(bench.loop));
	assert_int_equal(bench.blamed, 0);
	finish(&bench);
}

static void test_slowness_add_up(void **state)
{
	struct bench bench;

	start(&bench);
	for (unsigned i = 0; i < 20; i++) {
		write_slowly(&bench, 5 * NS_PER_MS);
		assert_int_equal(bench.blamed, 0);
	}
	write_slowly(&bench, 5 * NS_PER_MS);
	assert_int_equal(bench.blamed, 1);
	finish(&bench);
}

/* A host that takes the CPU away now and then, and sometimes in such a write. */
static void test_seldom_slow_is_forgiven(void **state)
{
	struct bench bench;

	start(&bench);
	for (unsigned i = 0; i < 100; i++) {
		write_slowly(&bench, 20 * NS_PER_MS);
		gap(&bench, NS_PER_S, 0);
	}
	assert_int_equal(bench.blamed, 0);
	finish(&bench);
}

/* The other thread saw the loop's wait, which was too short to be held against anybody by itself. */
static void wait_briefly(struct bench *bench, uint64_t ns, unsigned how)
{
	bench->loop->held = how;
	gap(bench, ns, 0);
}

static void test_brief_waits_add_up(void **state)
{
	struct bench bench;

	start(&bench);
	bench.what = LOOP_BLAME_WAITED;
	for (unsigned i = 0; i < 10; i++) {
		wait_briefly(&bench, 10 * NS_PER_MS, LOOP_HELD_BRIEFLY);
		assert_int_equal(bench.blamed, 0);
	}
	wait_briefly(&bench, 10 * NS_PER_MS, LOOP_HELD_BRIEFLY);
	assert_int_equal(bench.blamed, 1);
	finish(&bench);
}

static void test_seldom_waits_are_forgiven(void **state)
{
	struct bench bench;

	start(&bench);
	for (unsigned i = 0; i < 100; i++) {
		wait_briefly(&bench, 15 * NS_PER_MS, LOOP_HELD_BRIEFLY);
		/* The machine is busy: nobody saw it wait. */
		gap(&bench, NS_PER_S, 0);
	}
	assert_int_equal(bench.blamed, 0);
	finish(&bench);
}

static void test_a_long_wait_needs_no_sum(void **state)
{
	struct bench bench;

	start(&bench);
	bench.what = LOOP_BLAME_WAITED;
	wait_briefly(&bench, 20 * NS_PER_MS, LOOP_HELD_BRIEFLY | LOOP_HELD_LONG);
	assert_int_equal(bench.blamed, 1);
	finish(&bench);
}

/* Brief waits in calls for several guests: the loop becomes suspicious, and finds out whose they are. */
static void test_brief_waits_for_several(void **state)
{
	struct bench bench;

	start(&bench);
	bench.loop->for_several = true;
	for (unsigned i = 0; i < 10; i++) {
		wait_briefly(&bench, 10 * NS_PER_MS, LOOP_HELD_BRIEFLY);
		assert_false(loop_is_suspicious(bench.loop));
	}
	wait_briefly(&bench, 10 * NS_PER_MS, LOOP_HELD_BRIEFLY);
	assert_true(loop_is_suspicious(bench.loop));
	assert_int_equal(bench.blamed, 0);
	finish(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_work_in_sleep_is_no_write),
		cmocka_unit_test(test_a_long_write_after_sleep_is_noticed),
		cmocka_unit_test(test_a_long_write_in_sleep_is_noticed),
		cmocka_unit_test(test_slowness_add_up),
		cmocka_unit_test(test_seldom_slow_is_forgiven),
		cmocka_unit_test(test_brief_waits_add_up),
		cmocka_unit_test(test_seldom_waits_are_forgiven),
		cmocka_unit_test(test_a_long_wait_needs_no_sum),
		cmocka_unit_test(test_brief_waits_for_several),
	};

	return cmocka_run_group_tests_name("loop_blame_sums", tests, NULL, NULL);
}
