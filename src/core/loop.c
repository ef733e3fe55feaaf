/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Everything a thread waits for is a completion on its one io_uring: descriptors are watched by multishot
 * polls, disk I/O completes there, messages from other threads arrive as an eventfd's readiness. Time-outs
 * are a sorted list whose head bounds the wait.
 *
 * A turn never waits while there is work. When there was none, the loop spins before it sleeps, as far as
 * that pays (loop_spin.c). That is judged by what is awaited: with one request in flight a short wait for the
 * driver and a long one for the disk alternate, and the first must not cost the second its sleep, nor the
 * second the first its spin. An idle loop spins ever less, four times spin_max_ns in all.
 *
 * The ring is created disabled and enabled by the thread that turns the loop first, because
 * IORING_SETUP_SINGLE_ISSUER binds it to that thread. With IORING_SETUP_DEFER_TASKRUN completions are
 * posted only when we enter the kernel; IORING_SQ_TASKRUN tells a spinning loop that it should.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/container.h"
#include "core/fd.h"
#include "core/loop_internal.h"
#include "core/loop_ring.h"

#define LOOP_ENTRIES_DEFAULT 1024
/* Completions handled before the pollers get their turn: bounds the latency of either. */
#define LOOP_REAP_BATCH 64
/* Looks for more work before what was found is submitted; bounds how long the first request waits for it. */
#define LOOP_LOOKS_MAX 4

/* In the user data of an entry, beside the address of its operation. */
#define DEVICE_TAG 1ull
static_assert(_Alignof(struct loop_op) > DEVICE_TAG, "an address has room for the tag");

/* ---- creation ---- */

static void wake_ready(struct loop_watch *watch, unsigned events)
{
	/* The eventfd is never read: each write wakes the poll again, and its counter cannot fill up. */
	struct loop *loop = container_of(watch, struct loop, wake_watch);

	loop_run_messages(loop);
}

int loop_create(const struct loop_options *options, struct loop **ret_loop)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	int error;

	if (!loop)
		return -ENOMEM;
	loop->tasks_end = &loop->tasks;
	loop->spin_max_ns = options->spin_max_ns;
	loop->clocks = options->clocks;
	loop->own.share = &loop->own_share;
	loop->own.users = 1;
	loop->own.price = LOOP_PRICE_ONE;
	loop->payer = &loop->own;
	loop->mark_ns = loop_clock_ns(loop);
	loop->state_fd = loop->wchan_fd = -1;
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0) {
		error = -errno;
		goto fail_alloc;
	}
	error = loop_ring_create(&loop->ring, options->entries ? options->entries : LOOP_ENTRIES_DEFAULT);
	if (error)
		goto fail_fd;
	loop->wake_watch.ready = wake_ready;
	error = loop_watch_start(loop, &loop->wake_watch, loop->wake_fd, POLLIN);
	if (error)
		goto fail_ring;
	*ret_loop = loop;
	return 0;

fail_ring:
	io_uring_queue_exit(&loop->ring);
fail_fd:
	fd_close(&loop->wake_fd);
fail_alloc:
	free(loop);
	return error;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	loop_rescue_forget(loop);
	io_uring_queue_exit(&loop->ring);
	loop_put_accounts(loop);
	while (loop->watches) {
		struct loop_watch_slot *slot = loop->watches;

		loop->watches = slot->next;
		free(slot);
	}
	fd_close(&loop->wake_fd);
	free(loop);
}

static int loop_enable(struct loop *loop)
{
	int error;

	assert(!loop->enabled);
	error = loop_ring_enable(&loop->ring);
	if (error)
		return error;
	loop->enabled = true;
	loop->files_registered = io_uring_register_files_sparse(&loop->ring, LOOP_FILES_MAX) == 0;
	return 0;
}

/* ---- operations ---- */

/* What is prepared is one account's; another's entry comes behind it. */
static void submit_for_one(struct loop *loop)
{
	struct loop_account *payer = loop->payer;

	if (!loop->enabled)
		loop_enable(loop);
	loop_submit_entries(loop, false);
	loop_pay_on(loop, payer);
}

struct io_uring_sqe *loop_sqe(struct loop *loop)
{
	struct io_uring_sqe *sqe;
	struct loop_account *payer = loop->payer;

	if (loop->suspicious_until_ns > 0 && loop->submitters && loop->submitters != payer &&
	    loop_is_suspicious(loop))
		submit_for_one(loop);
	sqe = io_uring_get_sqe(&loop->ring);
	while (!sqe) {
		if (!loop->enabled)
			loop_enable(loop);
		loop_submit_entries(loop, false);
		loop_pay_on(loop, payer);
		sqe = io_uring_get_sqe(&loop->ring);
	}
	loop_count_entry(loop);
	return sqe;
}

void loop_sqe_finish(struct loop *loop, struct io_uring_sqe *sqe, struct loop_op *op)
{
	assert(op->done);
	loop_op_account(op, loop->payer);
	io_uring_sqe_set_data(sqe, op);
}

void loop_sqe_finish_device(struct loop *loop, struct io_uring_sqe *sqe, struct loop_op *op)
{
	loop_sqe_finish(loop, sqe, op);
	sqe->user_data |= DEVICE_TAG;
	loop->devices++;
}

void loop_submit(struct loop *loop)
{
	if (!loop->enabled)
		loop_enable(loop);
	while (io_uring_sq_ready(&loop->ring) > 0 && loop_submit_entries(loop, false) > 0)
		;
}

int loop_file_register(struct loop *loop, int fd)
{
	assert(fd >= 0);
	if (!loop->enabled && loop_enable(loop))
		return -ENOTSUP;
	if (!loop->files_registered)
		return -ENOTSUP;
	for (int slot = 0; slot < LOOP_FILES_MAX; slot++) {
		uint64_t bit = 1ull << (slot % 64);
		int result;

		if (loop->file_slots[slot / 64] & bit)
			continue;
		result = io_uring_register_files_update(&loop->ring, (unsigned)slot, &fd, 1);
		if (result < 0)
			return result;
		loop->file_slots[slot / 64] |= bit;
		return slot;
	}
	return -ENOSPC;
}

void loop_file_unregister(struct loop *loop, int slot)
{
	int none = -1;

	assert(slot >= 0 && slot < LOOP_FILES_MAX);
	assert(loop->file_slots[slot / 64] & 1ull << (slot % 64));
	io_uring_register_files_update(&loop->ring, (unsigned)slot, &none, 1);
	loop->file_slots[slot / 64] &= ~(1ull << (slot % 64));
}

/* ---- the turn ---- */

uint64_t loop_now_ns(struct loop *loop)
{
	if (loop->now_ns == 0)
		loop->now_ns = loop_clock_ns(loop);
	return loop->now_ns;
}

const struct loop_counters *loop_get_counters(const struct loop *loop)
{
	return &loop->counters;
}

void loop_set_spin(struct loop *loop, uint64_t spin_max_ns)
{
	loop->spin_max_ns = spin_max_ns;
	for (unsigned wait = 0; wait < LOOP_WAITS; wait++)
		loop_spin_bound(&loop->spin[wait], spin_max_ns);
}

static void complete(struct loop *loop, struct loop_op *op, int result, unsigned cqe_flags)
{
	struct loop_account *account = op->account;

	assert(op->done && (!account || account->users > 0));
	loop_pay_on(loop, account);
	if (cqe_flags & IORING_CQE_F_MORE) {
		op->done(op, result, cqe_flags);
		return;
	}
	op->account = NULL;
	op->done(op, result, cqe_flags);
	if (account)
		loop_account_put(loop, account);
}

/* What the kernel has put off is anybody's: it is held against nobody. */
static void get_events(struct loop *loop)
{
	io_uring_get_events(&loop->ring);
	loop_held_for_several(loop);
}

static struct loop_op *take_operation(struct loop *loop, const struct io_uring_cqe *cqe)
{
	if (cqe->user_data & DEVICE_TAG) {
		assert(loop->devices > 0);
		loop->devices--;
		loop->completions++;
	}
	return (struct loop_op *)(uintptr_t)(cqe->user_data & ~DEVICE_TAG);
}

static unsigned reap(struct loop *loop)
{
	struct io_uring_cqe *cqe;
	unsigned head, handled = 0;

	/* Completions that wait for us to enter the kernel, or that did not fit the ring. */
	if (io_uring_cq_ready(&loop->ring) == 0 && __atomic_load_n(loop->ring.sq.kflags, __ATOMIC_RELAXED) &
							   (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))
		get_events(loop);

	while (handled < LOOP_REAP_BATCH && io_uring_cq_ready(&loop->ring) > 0) {
		struct loop_op *op;
		unsigned flags;
		int result;

		head = *loop->ring.cq.khead;
		cqe = &loop->ring.cq.cqes[head & *loop->ring.cq.kring_mask];
		op = take_operation(loop, cqe);
		result = cqe->res;
		flags = cqe->flags;
		io_uring_cq_advance(&loop->ring, 1);
		if (op)
			complete(loop, op, result, flags);
		loop_settle_blame(loop);
		handled++;
	}
	return handled;
}

/* One pass over everything that may have work; true when there was some. */
static bool work(struct loop *loop)
{
	bool worked = reap(loop) > 0;

	if (__atomic_load_n(&loop->messages, __ATOMIC_RELAXED)) {
		loop_run_messages(loop);
		worked = true;
	}
	worked |= loop_run_pollers(loop);
	worked |= loop_run_timers(loop);
	loop_run_tasks(loop);
	return worked;
}

static enum loop_wait awaited(const struct loop *loop)
{
	return loop->devices > 0 ? LOOP_WAIT_DEVICE : LOOP_WAIT_PROGRAM;
}

static void wait_ends(struct loop *loop, uint64_t now_ns)
{
	const struct loop_progress progress = { now_ns, loop->completions };

	assert(loop->idle_since_ns > 0 && now_ns >= loop->idle_since_ns);
	loop_spin_note(&loop->spin[loop->idle_for], now_ns - loop->idle_since_ns, loop->spin_max_ns,
		       progress);
	loop->idle_since_ns = 0;
}

static int submit_and_sleep(struct loop *loop, uint64_t timeout_ns)
{
	struct __kernel_timespec timeout = { .tv_sec = (long long)(timeout_ns / NS_PER_S),
					     .tv_nsec = (long long)(timeout_ns % NS_PER_S) };
	struct io_uring_cqe *cqe;
	int result;

	loop_rescue_sleeps(loop, true);
	result = io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1, &timeout, NULL);
	loop_rescue_sleeps(loop, false);
	counter_add(&loop->counters.sleeps, 1);
	loop->now_ns = 0;
	return result == -ETIME || result == -EINTR || result == -EAGAIN || result == -EBUSY || result >= 0
		       ? 0
		       : result;
}

static uint64_t sleep_limit(struct loop *loop, uint64_t timeout_ns)
{
	if (loop->timers) {
		uint64_t deadline = loop->timers->deadline_ns, now = loop_now_ns(loop);

		if (deadline <= now)
			return 0;
		if (deadline - now < timeout_ns)
			return deadline - now;
	}
	return timeout_ns;
}

/* Nothing to do: spin a little, then park the pollers and sleep. */
static int idle(struct loop *loop, uint64_t timeout_ns)
{
	uint64_t now = loop_now_ns(loop);
	int error;

	if (loop->idle_since_ns == 0) {
		loop->idle_since_ns = now;
		loop->idle_for = awaited(loop);
		loop->idle_spin_ns = loop_spin_limit(&loop->spin[loop->idle_for]);
		loop_charge_payer(loop, now);
		loop_forgive(loop);
	}
	assert(now >= loop->idle_since_ns);
	if (now - loop->idle_since_ns < loop->idle_spin_ns) {
		__builtin_ia32_pause();
		return 0;
	}
	if (!loop_park_pollers(loop))
		return 0;
	loop_run_tasks(loop);
	if (loop->tasks)
		return 0;
	timeout_ns = sleep_limit(loop, timeout_ns);
	/* Relaxed is enough: a thread that posts or stops after these loads also writes the eventfd. */
	if (timeout_ns == 0 || __atomic_load_n(&loop->messages, __ATOMIC_RELAXED) ||
	    __atomic_load_n(&loop->stopping, __ATOMIC_RELAXED))
		return 0;
	counter_add(&loop->counters.spin_ns, now - loop->idle_since_ns);
	loop_charge_entries(loop);
	loop_settle_blame(loop);
	loop_falls_asleep(loop);
	error = submit_and_sleep(loop, timeout_ns);
	wait_ends(loop, loop_now_ns(loop));
	loop_woke(loop);
	loop->mark_ns = loop->now_ns;
	return error;
}

/* Idle turns are charged to no account. */
static void begin_turn(struct loop *loop)
{
	counter_add(&loop->counters.turns, 1);
	loop->now_ns = loop_clock_ns(loop);
	if (loop->idle_since_ns == 0)
		loop_charge_payer(loop, loop->now_ns);
	else
		loop_take_time(loop, loop->now_ns);
}

/* `sleep_after_work`: the caller has nothing else to do between two turns. */
static int turn(struct loop *loop, uint64_t timeout_ns, bool sleep_after_work)
{
	int error = 0;
	bool worked;

	if (!loop->enabled) {
		error = loop_enable(loop);
		if (error)
			return error;
	}
	begin_turn(loop);
	worked = work(loop);
	/* A busy wait that ended with work, not with sleep. */
	if (worked && loop->idle_since_ns > 0)
		wait_ends(loop, loop_now_ns(loop));
	/* A loop that will not spin looks once more and then submits and sleeps with one system call. */
	for (unsigned looks = 1; worked && sleep_after_work && looks < LOOP_LOOKS_MAX &&
				 loop_spin_limit(&loop->spin[awaited(loop)]) == 0;
	     looks++) {
		loop->now_ns = 0;
		worked = work(loop);
	}
	if (!worked && timeout_ns > 0)
		error = idle(loop, timeout_ns);
	if (io_uring_sq_ready(&loop->ring) > 0) {
		int submitted = loop_submit_entries(loop, true);

		if (submitted < 0 && submitted != -EAGAIN && submitted != -EBUSY && submitted != -EINTR)
			error = submitted;
	}
	loop_settle_blame(loop);
	return error;
}

int loop_turn(struct loop *loop, uint64_t timeout_ns)
{
	return turn(loop, timeout_ns, false);
}

int loop_run(struct loop *loop)
{
	int error = 0;

	loop_rescue_enter(loop);
	loop_thread_clock_begin(loop);
	while (!error && !__atomic_load_n(&loop->stopping, __ATOMIC_ACQUIRE))
		error = turn(loop, 3600 * NS_PER_S, true);
	loop_rescue_leave(loop);
	if (error)
		return error;
	/* What was posted before the stop: no message is lost. */
	loop_run_messages(loop);
	__atomic_store_n(&loop->stopping, false, __ATOMIC_RELAXED);
	return 0;
}

void loop_stop(struct loop *loop)
{
	__atomic_store_n(&loop->stopping, true, __ATOMIC_RELEASE);
	loop_wake(loop);
}
