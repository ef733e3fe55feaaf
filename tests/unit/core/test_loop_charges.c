/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who pays for what a loop does: tasks, completions, submissions, and what the machine takes away. */
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop_guests.h"

#define ENTRIES 16

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
	loop_pay(loop, guest.account);
	loop_defer(loop, &task.task);
	loop_defer_for(loop, &for_other.task, other.account);
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
		task[i] = (struct costly_task){
			.task.run = run_costly, .loop = loop, .cost_ns = 10000, .bounded = true
		};
		loop_defer_for(loop, &task[i].task, guest.account);
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
	loop_pay(loop, guest->account);
	sqe = loop_sqe(loop);
	/* Cancels nothing, and completes at once. */
	io_uring_prep_cancel(sqe, op, 0);
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

static void never_ready(struct loop_watch *watch, unsigned events)
{
	fail_msg("nothing was written to it");
}

/* Whatever ends last: the operation, the task or the turn in which the account pays. */
static void test_an_account_outlives_what_names_it(void **state)
{
	struct loop *loop = make_loop();
	struct costly_task task = { .task.run = run_costly, .loop = loop, .again = 3 };
	struct costly_op op[2] = { { .done = 0 } };
	struct loop_watch watch = { .ready = never_ready };
	struct fake_guest guest, other;
	int fd = eventfd(0, EFD_CLOEXEC);

	begin(loop, &guest, 1, 100);
	begin(loop, &other, 1, 100);
	prepare(loop, &guest, &op[0]);
	watch.account = guest.account;
	assert_int_equal(loop_watch_start(loop, &watch, fd, POLLIN), 0);
	assert_int_equal(loop_turn(loop, 0), 0);
	loop_watch_stop(loop, &watch);
	prepare(loop, &guest, &op[1]);
	loop_defer_for(loop, &task.task, guest.account);
	end(loop, &guest);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(loop_turn(loop, 0), 0);
	assert_int_equal(op[0].done, 1);
	assert_int_equal(op[1].done, 1);
	assert_int_equal(task.runs, 4);
	close(fd);
	end(loop, &other);
	loop_destroy(loop);
}

/* A loop that goes takes along what was closed but never told, or is still named. */
static void test_a_loop_frees_the_accounts_it_has(void **state)
{
	struct loop *loop = make_loop();
	struct costly_task task = { .task.run = run_costly, .loop = loop };
	struct loop_watch watch = { .ready = never_ready };
	struct fake_guest guest;

	begin(loop, &guest, 1, 100);
	watch.account = guest.account;
	assert_int_equal(loop_watch_start(loop, &watch, 0, POLLIN), 0);
	loop_defer_for(loop, &task.task, guest.account);
	end(loop, &guest);
	loop_destroy(loop);
	assert_int_equal(task.runs, 0);
}

/* The queue of submissions is full: somebody else's are submitted, and the operation still is its owner's. */
static void test_a_full_queue_changes_no_payer(void **state)
{
	struct loop *loop = make_loop_of(ENTRIES);
	struct fake_guest guest[2];
	struct costly_op op[2 * ENTRIES] = { { .done = 0 } };
	unsigned done = 0;

	for (unsigned i = 0; i < 2; i++)
		begin(loop, &guest[i], 0, 0);
	for (unsigned i = 0; i < ENTRIES - 1; i++)
		prepare(loop, &guest[0], &op[i]);
	for (unsigned i = ENTRIES - 1; i < 2 * ENTRIES; i++)
		prepare(loop, &guest[1], &op[i]);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(loop_turn(loop, 0), 0);
	for (unsigned i = 0; i < 2 * ENTRIES; i++)
		done += op[i].done;
	assert_int_equal(done, 2 * ENTRIES);
	assert_int_equal(used(&guest[0]), (ENTRIES - 1) * 9000);
	assert_int_equal(used(&guest[1]), (ENTRIES + 1) * 9000);
	for (unsigned i = 0; i < 2; i++)
		end(loop, &guest[i]);
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

/* Payers change in a turn that finds no work: the idleness that follows begins where they ended. */
static void test_idleness_begins_after_the_last_payer(void **state)
{
	struct loop *loop = make_loop();
	struct fake_guest guest[2];

	for (unsigned i = 0; i < 2; i++) {
		begin(loop, &guest[i], 1, 3000);
		guest[i].wants = false;
	}
	thread_clock_readings = 0;
	assert_int_equal(loop_turn(loop, 1), 0);
	loop_pay(loop, NULL);
	assert_int_equal(used(&guest[0]), 3000);
	assert_int_equal(used(&guest[1]), 3000);
	/* Nothing took so long that the thread may have been away. */
	assert_int_equal(thread_clock_readings, 0);
	for (unsigned i = 0; i < 2; i++)
		end(loop, &guest[i]);
	loop_destroy(loop);
}

/* A guest that has had more than its budget waits, the longer the more it was; then it is within it again. */
static void test_a_budget_is_paid_back(void **state)
{
	struct loop *loop = make_loop();
	struct fake_guest guest, other;

	begin(loop, &guest, 0, 0);
	begin(loop, &other, 0, 0);
	assert_int_equal(loop_budget_wait_ns(loop, guest.account), 0);
	loop_budget_spend(loop, guest.account, LOOP_BUDGET_NS);
	assert_int_equal(loop_budget_wait_ns(loop, guest.account), 0);
	loop_budget_spend(loop, guest.account, NS_PER_MS);
	assert_int_equal(loop_budget_wait_ns(loop, guest.account), LOOP_BUDGET_PART * NS_PER_MS);
	assert_int_equal(loop_budget_wait_ns(loop, other.account), 0);
	now_ns += LOOP_BUDGET_PART * NS_PER_MS;
	assert_int_equal(loop_budget_wait_ns(loop, guest.account), 0);
	loop_budget_spend(loop, guest.account, NS_PER_MS);
	assert_int_equal(loop_budget_wait_ns(loop, guest.account), LOOP_BUDGET_PART * NS_PER_MS);
	/* What was not used in the past is not saved up. */
	now_ns += 3600 * NS_PER_S;
	loop_budget_spend(loop, guest.account, LOOP_BUDGET_NS + NS_PER_MS);
	assert_int_equal(loop_budget_wait_ns(loop, guest.account), LOOP_BUDGET_PART * NS_PER_MS);
	end(loop, &guest);
	end(loop, &other);
	loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tasks_are_charged_to_who_deferred_them),
		cmocka_unit_test(test_pieces_are_bounded_by_the_slice),
		cmocka_unit_test(test_completions_are_charged_to_who_submitted),
		cmocka_unit_test(test_an_account_outlives_what_names_it),
		cmocka_unit_test(test_a_loop_frees_the_accounts_it_has),
		cmocka_unit_test(test_a_full_queue_changes_no_payer),
		cmocka_unit_test(test_a_submission_is_shared_by_entries),
		cmocka_unit_test(test_time_that_others_took_is_charged_to_nobody),
		cmocka_unit_test(test_idleness_begins_after_the_last_payer),
		cmocka_unit_test(test_a_budget_is_paid_back),
	};

	return cmocka_run_group_tests_name("loop_charges", tests, NULL, NULL);
}
