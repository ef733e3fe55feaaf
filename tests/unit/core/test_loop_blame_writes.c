/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes to a peer's descriptors that take long: what is held against a guest, and what the machine does. */
#include "core/container.h"
#include "core/loop_blame.h"
#include "core/loop_internal.h"
#include "loop_guests.h"

struct bench {
	struct loop *loop;
	struct fake_guest guest;
	struct loop_blame blame;
	unsigned blamed;
};

static void on_blamed(struct loop_blame *blame, unsigned what, uint64_t waited_ns)
{
	struct bench *bench = container_of(blame, struct bench, blame);

	assert_int_equal(what, LOOP_BLAME_WROTE);
	bench->blamed++;
}

static void start(struct bench *bench)
{
	*bench = (struct bench){ .loop = make_loop() };
	begin(bench->loop, &bench->guest, 1, 0);
	bench->blame = (struct loop_blame){ .blamed = on_blamed, .account = bench->guest.account };
	loop_blame_start(bench->loop, &bench->blame);
	loop_pay(bench->loop, bench->guest.account);
	loop_charge_payer(bench->loop, now_ns);
	bench->loop->peer_writes = 1;
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
	stolen_ns = NS_PER_S / 2;
	loop_thread_clock_begin(bench.loop);
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
	stolen_ns = NS_PER_S / 2;
	loop_thread_clock_begin(bench.loop);
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
	stolen_ns = NS_PER_S / 2;
	loop_thread_clock_begin(bench.loop);
	sleep_and_work(&bench, 5 * NS_PER_MS);
	gap(&bench, 5 * NS_PER_MS, 0);
	sleep_and_work(&bench, 3 * NS_PER_MS);
	assert_false(loop_is_suspicious(bench.loop));
	sleep_and_work(&bench, 5 * NS_PER_MS);
	assert_true(loop_is_suspicious(bench.loop));
	assert_int_equal(bench.blamed, 0);
	finish(&bench);
}

static void test_slow_writes_add_up(void **state)
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_work_in_sleep_is_no_write),
		cmocka_unit_test(test_a_long_write_after_sleep_is_noticed),
		cmocka_unit_test(test_a_long_write_in_sleep_is_noticed),
		cmocka_unit_test(test_slow_writes_add_up),
		cmocka_unit_test(test_seldom_slow_is_forgiven),
	};

	return cmocka_run_group_tests_name("loop_blame_writes", tests, NULL, NULL);
}
