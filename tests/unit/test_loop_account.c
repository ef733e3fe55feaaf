/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shares of a loop's time, in time that passes only while a poller or task says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/loop.h"
#include "core/loop_account.h"

#define POLLERS_MAX 64u
#define GUESTS_MAX  6u
/* A slice begins after the first poll, and the last one may begin just before it ends. */
#define TURN_NS(poll_ns)  (LOOP_SLICE_NS + 2 * (uint64_t)(poll_ns))
/* Who is a slice ahead of the others may have another turn. */
#define AHEAD_NS(poll_ns) (LOOP_SLICE_NS + TURN_NS(poll_ns))

static uint64_t now_ns, tick_ns, stolen_ns;

static uint64_t fake_clock(void)
{
	now_ns += tick_ns;
	return now_ns;
}

static uint64_t fake_thread_clock(void)
{
	return now_ns - stolen_ns;
}

static const struct loop_clocks clocks = { fake_clock, fake_thread_clock };

struct fake_guest;

struct fake_poller {
	struct loop_poller poller;
	struct fake_guest *guest;
};

/* A guest with one account, and pollers that all do the same. */
struct fake_guest {
	struct loop_guest *guest;
	struct loop_account account;
	struct fake_poller poller[POLLERS_MAX];
	unsigned pollers;
	uint64_t poll_ns;
	bool wants;		/* polls find work */
	unsigned polls;
};

static struct loop *make_loop(void)
{
	struct loop_options options = { .name = "test", .clocks = &clocks };
	struct loop *loop = NULL;

	now_ns = NS_PER_S;
	tick_ns = stolen_ns = 0;
	assert_int_equal(loop_create(&options, &loop), 0);
	return loop;
}

static bool fake_poll(struct loop_poller *poller)
{
	struct fake_guest *guest = ((struct fake_poller *)poller)->guest;

	guest->polls++;
	now_ns += guest->poll_ns;
	return guest->wants;
}

static bool fake_park(struct loop_poller *poller)
{
	return true;
}

static void wake(struct loop *loop, struct fake_guest *guest)
{
	for (unsigned i = 0; i < guest->pollers; i++)
		loop_poller_wake(loop, &guest->poller[i].poller);
}

static void sleep_all(struct loop *loop, struct fake_guest *guest)
{
	for (unsigned i = 0; i < guest->pollers; i++)
		loop_poller_remove(loop, &guest->poller[i].poller);
}

static void begin(struct loop *loop, struct fake_guest *guest, unsigned pollers, uint64_t poll_ns)
{
	memset(guest, 0, sizeof(*guest));
	guest->guest = loop_guest_create();
	assert_non_null(guest->guest);
	guest->account.share = loop_guest_share(guest->guest, loop);
	guest->pollers = pollers;
	guest->poll_ns = poll_ns;
	guest->wants = true;
	for (unsigned i = 0; i < pollers; i++)
		guest->poller[i] = (struct fake_poller){
			.poller = { .poll = fake_poll, .park = fake_park, .account = &guest->account },
			.guest = guest,
		};
	wake(loop, guest);
}

static void end(struct loop *loop, struct fake_guest *guest)
{
	sleep_all(loop, guest);
	loop_account_forget(loop, &guest->account);
	loop_guest_put(guest->guest);
}

static void turn_until(struct loop *loop, uint64_t end_ns)
{
	while (now_ns < end_ns) {
		uint64_t before = now_ns;

		assert_int_equal(loop_turn(loop, 0), 0);
		/* Work-conserving: no turn passes in which nobody was served. */
		assert_true(now_ns > before);
	}
	/* What the last turn took. */
	loop_pay(loop, NULL);
}

static uint64_t used(const struct fake_guest *guest)
{
	return counter_read(&guest->account.used_ns);
}

static void assert_near(uint64_t a, uint64_t b, uint64_t tolerance)
{
	if ((a > b ? a - b : b - a) > tolerance)
		fail_msg("%llu and %llu differ by more than %llu", (unsigned long long)a, (unsigned long long)b,
			 (unsigned long long)tolerance);
}

static void test_guests_share_equally_whatever_their_queues_and_polls(void **state)
{
	struct loop *loop = make_loop();
	struct fake_guest many, one;

	begin(loop, &many, 32, 10000);
	begin(loop, &one, 1, 700);
	turn_until(loop, NS_PER_S + 200 * NS_PER_MS);
	assert_near(used(&many), used(&one), AHEAD_NS(10000));
	assert_near(used(&many) + used(&one), 200 * NS_PER_MS, AHEAD_NS(10000) * 2);
	end(loop, &many);
	end(loop, &one);
	loop_destroy(loop);
}

static void test_devices_of_a_guest_share_its_share(void **state)
{
	struct loop *loop = make_loop();
	struct fake_guest first, second, other;

	begin(loop, &first, 2, 5000);
	begin(loop, &second, 2, 5000);
	begin(loop, &other, 1, 5000);
	sleep_all(loop, &second);
	second.account.share = first.account.share;
	wake(loop, &second);
	turn_until(loop, NS_PER_S + 200 * NS_PER_MS);
	assert_near(used(&first) + used(&second), used(&other), AHEAD_NS(5000));
	assert_true(used(&first) > 0 && used(&second) > 0);
	end(loop, &second);
	end(loop, &first);
	end(loop, &other);
	loop_destroy(loop);
}

static void test_a_turn_holds_one_slice_of_each(void **state)
{
	struct loop *loop = make_loop();
	struct fake_guest greedy, small;

	begin(loop, &greedy, 64, 4000);
	begin(loop, &small, 1, 100);
	for (unsigned i = 0; i < 500; i++) {
		uint64_t before = now_ns;

		assert_int_equal(loop_turn(loop, 0), 0);
		assert_true(now_ns - before <= TURN_NS(4000) + small.poll_ns);
		assert_int_equal(small.polls, i + 1);
	}
	end(loop, &greedy);
	end(loop, &small);
	loop_destroy(loop);
}

/* Every queue of a guest has its turn, although a slice ends before the last of them. */
static void test_a_slice_goes_round_the_queues(void **state)
{
	struct loop *loop = make_loop();
	struct fake_guest guest[2], other;

	begin(loop, &guest[0], 8, 20000);
	begin(loop, &guest[1], 1, 20000);
	begin(loop, &other, 1, 20000);
	/* A queue of the first guest that tells when it was polled. */
	sleep_all(loop, &guest[1]);
	guest[1].poller[0].poller.account = &guest[0].account;
	wake(loop, &guest[1]);
	turn_until(loop, NS_PER_S + 100 * NS_PER_MS);
	assert_near(guest[1].polls, guest[0].polls / 8, 2);
	sleep_all(loop, &guest[1]);
	for (unsigned i = 0; i < 2; i++)
		end(loop, &guest[i]);
	end(loop, &other);
	loop_destroy(loop);
}

static void test_who_is_far_ahead_waits(void **state)
{
	struct loop *loop = make_loop();
	struct fake_guest slow, quick;

	begin(loop, &slow, 1, 200000);
	begin(loop, &quick, 1, 5000);
	assert_int_equal(loop_turn(loop, 0), 0);
	assert_int_equal(slow.polls, 1);
	/* 200 us less the slice, in turns of 5 us. */
	while (slow.polls == 1)
		assert_int_equal(loop_turn(loop, 0), 0);
	assert_near(quick.polls * quick.poll_ns, slow.poll_ns - LOOP_SLICE_NS, 3 * quick.poll_ns);
	end(loop, &slow);
	end(loop, &quick);
	loop_destroy(loop);
}

static void test_idle_time_saves_no_credit(void **state)
{
	for (unsigned way = 0; way < 2; way++) {
		struct loop *loop = make_loop();
		struct fake_guest busy, sleeper;
		uint64_t busy_before, sleeper_before;

		begin(loop, &busy, 1, 5000);
		begin(loop, &sleeper, 1, 10);
		sleeper.wants = false;
		/* Awake with nothing to do, or asleep. */
		if (way == 1)
			sleep_all(loop, &sleeper);
		turn_until(loop, now_ns + 50 * NS_PER_MS);
		sleeper.wants = true;
		sleeper.poll_ns = 5000;
		wake(loop, &sleeper);
		busy_before = used(&busy);
		sleeper_before = used(&sleeper);
		turn_until(loop, now_ns + NS_PER_MS);
		assert_near(used(&sleeper) - sleeper_before, used(&busy) - busy_before, AHEAD_NS(5000));
		end(loop, &busy);
		end(loop, &sleeper);
		loop_destroy(loop);
	}
}

/* Whoever had all the time while alone owes nothing, and is served each turn again when the others stop. */
static void test_alone_one_has_it_all(void **state)
{
	struct loop *loop = make_loop();
	struct fake_guest guest, other;
	unsigned before;

	begin(loop, &guest, 1, 5000);
	turn_until(loop, now_ns + 50 * NS_PER_MS);
	begin(loop, &other, 1, 5000);
	turn_until(loop, now_ns + 20 * NS_PER_MS);
	assert_near(used(&other), 10 * NS_PER_MS, AHEAD_NS(5000));
	other.wants = false;
	other.poll_ns = 10;
	before = guest.polls;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(loop_turn(loop, 0), 0);
	assert_int_equal(guest.polls - before, 100);
	end(loop, &guest);
	end(loop, &other);
	loop_destroy(loop);
}

/* Many awake queues with nothing on them cost their guest, not the one that works. */
static void test_empty_polls_are_charged(void **state)
{
	struct loop *loop = make_loop();
	struct fake_guest storm, honest;

	begin(loop, &storm, 64, 1000);
	begin(loop, &honest, 1, 1000);
	storm.wants = false;
	turn_until(loop, now_ns + 100 * NS_PER_MS);
	assert_true(used(&honest) + AHEAD_NS(64 * 1000) >= used(&storm));
	assert_true(used(&honest) >= 45 * NS_PER_MS);
	end(loop, &storm);
	end(loop, &honest);
	loop_destroy(loop);
}

struct costly_task {
	struct loop_task task;
	struct loop *loop;
	uint64_t cost_ns;
	unsigned runs, again;
	bool bounded;
};

static void run_costly(struct loop_task *task)
{
	struct costly_task *costly = (struct costly_task *)task;

	if (costly->bounded && loop_slice_over(costly->loop)) {
		loop_defer(costly->loop, task);
		return;
	}
	costly->runs++;
	now_ns += costly->cost_ns;
	if (costly->again-- > 0)
		loop_defer(costly->loop, task);
}

static void test_tasks_are_charged_to_who_deferred_them(void **state)
{
	struct loop *loop = make_loop();
	struct fake_guest guest, other;
	struct costly_task task = { .task.run = run_costly, .loop = loop, .cost_ns = 7000, .again = 1 };
	struct costly_task for_other = { .task.run = run_costly, .loop = loop, .cost_ns = 300 };

	begin(loop, &guest, 1, 0);
	begin(loop, &other, 1, 0);
	loop_pay(loop, &guest.account);
	loop_defer(loop, &task.task);
	loop_defer_for(loop, &for_other.task, &other.account);
	loop_pay(loop, NULL);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(loop_turn(loop, 0), 0);
	assert_int_equal(task.runs, 2);
	assert_int_equal(used(&guest), 2 * task.cost_ns);
	assert_int_equal(used(&other), for_other.cost_ns);
	end(loop, &guest);
	end(loop, &other);
	loop_destroy(loop);
}

/* Tasks that ask share one slice of each turn among all of their guest. */
static void test_pieces_are_bounded_by_the_slice(void **state)
{
	struct loop *loop = make_loop();
	struct fake_guest guest;
	struct costly_task task[10];
	unsigned runs = 0;

	begin(loop, &guest, 0, 0);
	for (unsigned i = 0; i < 10; i++) {
		task[i] = (struct costly_task){ .task.run = run_costly, .loop = loop, .cost_ns = 10000, .bounded = true };
		loop_defer_for(loop, &task[i].task, &guest.account);
	}
	assert_int_equal(loop_turn(loop, 0), 0);
	for (unsigned i = 0; i < 10; i++)
		runs += task[i].runs;
	assert_int_equal(runs, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(loop_turn(loop, 0), 0);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(task[i].runs, 1);
	assert_int_equal(loop_turn(loop, 0), 0);
	assert_int_equal(used(&guest), 100000);
	end(loop, &guest);
	loop_destroy(loop);
}

struct costly_op {
	struct loop_op op;
	unsigned done;
};

static void costly_done(struct loop_op *op, int result, unsigned cqe_flags)
{
	((struct costly_op *)op)->done++;
	now_ns += 9000;
}

static void prepare(struct loop *loop, struct fake_guest *guest, struct costly_op *op)
{
	struct io_uring_sqe *sqe;

	op->op.done = costly_done;
	loop_pay(loop, &guest->account);
	sqe = loop_sqe(loop);
	io_uring_prep_nop(sqe);
	loop_sqe_finish(loop, sqe, &op->op);
	loop_pay(loop, NULL);
}

static void test_completions_are_charged_to_who_submitted(void **state)
{
	struct loop *loop = make_loop();
	struct fake_guest guest;
	struct costly_op op = { .done = 0 };

	begin(loop, &guest, 0, 0);
	prepare(loop, &guest, &op);
	for (unsigned i = 0; i < 10 && op.done == 0; i++)
		assert_int_equal(loop_turn(loop, 0), 0);
	assert_int_equal(loop_turn(loop, 0), 0);
	assert_int_equal(op.done, 1);
	assert_int_equal(used(&guest), 9000);
	end(loop, &guest);
	loop_destroy(loop);
}

/* The clock goes on by a tick with each reading: the submission takes one. */
static void test_a_submission_is_shared_by_entries(void **state)
{
	struct loop *loop = make_loop();
	struct fake_guest guest[2];
	struct costly_op op[4] = { { .done = 0 } };

	/* What the loop itself prepared goes first. */
	assert_int_equal(loop_turn(loop, 0), 0);
	for (unsigned i = 0; i < 2; i++)
		begin(loop, &guest[i], 0, 0);
	prepare(loop, &guest[0], &op[0]);
	for (unsigned i = 1; i < 4; i++)
		prepare(loop, &guest[1], &op[i]);
	tick_ns = 8000;
	loop_submit(loop);
	assert_int_equal(used(&guest[0]), 2000);
	assert_int_equal(used(&guest[1]), 6000);
	tick_ns = 0;
	for (unsigned i = 0; i < 10 && op[3].done == 0; i++)
		assert_int_equal(loop_turn(loop, 0), 0);
	for (unsigned i = 0; i < 2; i++)
		end(loop, &guest[i]);
	loop_destroy(loop);
}

/* While the machine has other things to do than the thread, nobody pays. */
static void test_time_that_others_took_is_charged_to_nobody(void **state)
{
	struct loop *loop = make_loop();
	struct fake_guest guest;

	begin(loop, &guest, 1, 0);
	for (unsigned i = 0; i < 10; i++) {
		guest.poll_ns = 3 * NS_PER_MS;
		stolen_ns += 2900 * NS_PER_US;
		assert_int_equal(loop_turn(loop, 0), 0);
		guest.poll_ns = 20 * NS_PER_US;
		assert_int_equal(loop_turn(loop, 0), 0);
	}
	loop_pay(loop, NULL);
	/* The loop did not know the thread before the first gap, and takes that for its own. */
	assert_int_equal(used(&guest), 3 * NS_PER_MS + 9 * 100 * NS_PER_US + 10 * 20 * NS_PER_US);
	end(loop, &guest);
	loop_destroy(loop);
}

static void test_guests_are_counted(void **state)
{
	struct loop *loop = make_loop(), *second = make_loop();
	struct loop_guest *guest = loop_guest_create();
	struct loop_share *share = loop_guest_share(guest, loop);

	assert_ptr_equal(loop_guest_get(guest), guest);
	assert_ptr_equal(loop_guest_share(guest, loop), share);
	assert_ptr_not_equal(loop_guest_share(guest, second), share);
	loop_guest_put(guest);
	assert_ptr_equal(loop_guest_share(guest, loop), share);
	loop_guest_put(guest);
	loop_guest_put(NULL);
	loop_destroy(loop);
	loop_destroy(second);
}

/* Guests that want time now and then, in periods in which each wants it all the time or not at all. */
static void test_random_guests_share_equally(void **state)
{
	const char *given = getenv("SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : (unsigned)clock_now_ns();
	struct loop *loop = make_loop();
	struct fake_guest guest[GUESTS_MAX];

	print_message("SEED=%u\n", seed);
	srandom(seed);
	for (unsigned i = 0; i < GUESTS_MAX; i++)
		begin(loop, &guest[i], 1 + (unsigned)random() % 16, 0);
	for (unsigned period = 0; period < 200; period++) {
		uint64_t before[GUESTS_MAX], least = UINT64_MAX, most = 0;

		guest[random() % GUESTS_MAX].wants = true;
		for (unsigned i = 0; i < GUESTS_MAX; i++) {
			if (random() % 2)
				guest[i].wants = !guest[i].wants;
			guest[i].poll_ns = guest[i].wants ? 200 + (uint64_t)random() % 20000 : 20;
			if (random() % 4 == 0 && !guest[i].wants)
				sleep_all(loop, &guest[i]);
			else
				wake(loop, &guest[i]);
		}
		guest[period % GUESTS_MAX].wants = true;
		guest[period % GUESTS_MAX].poll_ns = 5000;
		wake(loop, &guest[period % GUESTS_MAX]);
		for (unsigned i = 0; i < GUESTS_MAX; i++)
			before[i] = used(&guest[i]);
		turn_until(loop, now_ns + 5 * NS_PER_MS);
		for (unsigned i = 0; i < GUESTS_MAX; i++) {
			uint64_t got = used(&guest[i]) - before[i];

			if (!guest[i].wants)
				continue;
			least = got < least ? got : least;
			most = got > most ? got : most;
		}
		/* At the beginning and at the end of the period somebody may be ahead. */
		assert_near(least, most, 2 * AHEAD_NS(20200));
	}
	for (unsigned i = 0; i < GUESTS_MAX; i++)
		end(loop, &guest[i]);
	loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guests_share_equally_whatever_their_queues_and_polls),
		cmocka_unit_test(test_devices_of_a_guest_share_its_share),
		cmocka_unit_test(test_a_turn_holds_one_slice_of_each),
		cmocka_unit_test(test_a_slice_goes_round_the_queues),
		cmocka_unit_test(test_who_is_far_ahead_waits),
		cmocka_unit_test(test_idle_time_saves_no_credit),
		cmocka_unit_test(test_alone_one_has_it_all),
		cmocka_unit_test(test_empty_polls_are_charged),
		cmocka_unit_test(test_tasks_are_charged_to_who_deferred_them),
		cmocka_unit_test(test_pieces_are_bounded_by_the_slice),
		cmocka_unit_test(test_completions_are_charged_to_who_submitted),
		cmocka_unit_test(test_a_submission_is_shared_by_entries),
		cmocka_unit_test(test_time_that_others_took_is_charged_to_nobody),
		cmocka_unit_test(test_guests_are_counted),
		cmocka_unit_test(test_random_guests_share_equally),
	};

	return cmocka_run_group_tests_name("loop_account", tests, NULL, NULL);
}
