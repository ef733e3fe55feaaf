/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a loop waits for or runs: messages, watches, timers, tasks; pollers are in loop_pollers.c. The turn
 * itself is in loop.c.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/container.h"
#include "core/loop_internal.h"

/* ---- messages ---- */

void loop_wake(struct loop *loop)
{
	uint64_t one = 1;
	ssize_t ignored = write(loop->wake_fd, &one, sizeof(one));

	(void)ignored;
}

void loop_post(struct loop *loop, struct loop_message *message)
{
	struct loop_message *head = __atomic_load_n(&loop->messages, __ATOMIC_RELAXED);

	assert(message->run && message != head);
	do
		message->next = head;
	while (!__atomic_compare_exchange_n(&loop->messages, &head, message, true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED));
	if (!head)
		loop_wake(loop);
}

void loop_run_messages(struct loop *loop)
{
	struct loop_message *newest, *oldest = NULL;

	/* Acquire: pairs with the release in loop_post(). */
	newest = __atomic_exchange_n(&loop->messages, NULL, __ATOMIC_ACQUIRE);
	loop_pay(loop, NULL);
	while (newest) {
		struct loop_message *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest) {
		struct loop_message *message = oldest;

		oldest = oldest->next;
		assert(message->run);
		message->run(message);
	}
}

/* ---- watches ---- */

static void watch_arm(struct loop_watch_slot *slot)
{
	struct io_uring_sqe *sqe = loop_sqe(slot->loop);

	assert(!slot->armed && slot->watch);
	assert(!slot->paused);
	assert(!slot->op.account);
	io_uring_prep_poll_multishot(sqe, slot->fd, slot->events);
	io_uring_sqe_set_data(sqe, &slot->op);
	loop_op_account(&slot->op, slot->watch->account);
	slot->armed = true;
}

/*
 * Not IORING_OP_POLL_REMOVE: it leaves a poll armed that has an event under way (EALREADY), and the other end
 * of a descriptor may see to it that there always is one.
 */
static void watch_disarm(struct loop_watch_slot *slot)
{
	struct io_uring_sqe *sqe = loop_sqe(slot->loop);

	assert(slot->armed);
	io_uring_prep_cancel(sqe, &slot->op, 0);
	io_uring_sqe_set_data(sqe, NULL);
}

static void watch_free(struct loop_watch_slot *slot)
{
	assert(!slot->armed && !slot->watch && !slot->op.account);
	assert(slot->previous ? slot->previous->next == slot : slot->loop->watches == slot);
	if (slot->next)
		slot->next->previous = slot->previous;
	if (slot->previous)
		slot->previous->next = slot->next;
	else
		slot->loop->watches = slot->next;
	free(slot);
}

static void watch_done(struct loop_op *op, int result, unsigned cqe_flags)
{
	struct loop_watch_slot *slot = container_of(op, struct loop_watch_slot, op);

	assert(slot->armed);
	if (slot->watch && !slot->paused && result > 0)
		slot->watch->ready(slot->watch, (unsigned)result);
	else if (slot->watch && !slot->paused && result < 0 && result != -ECANCELED)
		slot->watch->ready(slot->watch, POLLERR);
	/* Only now: a watch that is stopped by its own callback is freed here. */
	slot->armed = cqe_flags & IORING_CQE_F_MORE;
	if (slot->armed)
		return;
	if (!slot->watch)
		watch_free(slot);
	else if (!slot->paused && (result >= 0 || result == -ECANCELED))
		watch_arm(slot);
}

int loop_watch_start(struct loop *loop, struct loop_watch *watch, int fd, unsigned poll_events)
{
	struct loop_watch_slot *slot = calloc(1, sizeof(*slot));

	assert(watch->ready);
	assert(!watch->slot);
	assert(fd >= 0);
	if (!slot)
		return -ENOMEM;
	slot->op.done = watch_done;
	slot->loop = loop;
	slot->watch = watch;
	slot->fd = fd;
	slot->events = poll_events;
	slot->next = loop->watches;
	if (slot->next)
		slot->next->previous = slot;
	loop->watches = slot;
	watch->slot = slot;
	watch_arm(slot);
	return 0;
}

void loop_watch_stop(struct loop *loop, struct loop_watch *watch)
{
	struct loop_watch_slot *slot = watch->slot;

	if (!slot)
		return;
	assert(slot->watch == watch);
	assert(slot->loop == loop);
	watch->slot = NULL;
	slot->watch = NULL;
	loop_op_release(loop, &slot->op);
	if (slot->armed)
		watch_disarm(slot);
	else
		watch_free(slot);
}

void loop_watch_pause(struct loop *loop, struct loop_watch *watch)
{
	struct loop_watch_slot *slot = watch->slot;

	if (!slot || slot->paused)
		return;
	assert(slot->loop == loop);
	slot->paused = true;
	if (slot->armed)
		watch_disarm(slot);
}

void loop_watch_resume(struct loop *loop, struct loop_watch *watch)
{
	struct loop_watch_slot *slot = watch->slot;

	if (!slot || !slot->paused)
		return;
	assert(slot->loop == loop);
	slot->paused = false;
	if (!slot->armed)
		watch_arm(slot);
}

/* ---- timers ---- */

void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns)
{
	struct loop_timer **link = &loop->timers, *previous = NULL;

	assert(timer->expired);
	if (timer->deadline_ns > 0 && timer->deadline_ns == deadline_ns)
		return;
	loop_timer_stop(loop, timer);
	timer->deadline_ns = deadline_ns ? deadline_ns : 1;
	while (*link && (*link)->deadline_ns <= timer->deadline_ns) {
		previous = *link;
		link = &previous->next;
	}
	assert(!previous || previous->deadline_ns <= timer->deadline_ns);
	assert(!*link || timer->deadline_ns < (*link)->deadline_ns);
	timer->previous = previous;
	timer->next = *link;
	if (timer->next)
		timer->next->previous = timer;
	*link = timer;
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
	if (timer->deadline_ns == 0)
		return;
	assert(timer->previous ? timer->previous->next == timer : loop->timers == timer);
	assert(!timer->next || timer->next->previous == timer);
	if (timer->previous)
		timer->previous->next = timer->next;
	else
		loop->timers = timer->next;
	if (timer->next)
		timer->next->previous = timer->previous;
	timer->next = timer->previous = NULL;
	timer->deadline_ns = 0;
}

bool loop_run_timers(struct loop *loop)
{
	bool worked = false;
	uint64_t now;

	if (!loop->timers)
		return false;
	now = loop_now_ns(loop);
	while (loop->timers && loop->timers->deadline_ns <= now) {
		struct loop_timer *timer = loop->timers;

		loop_timer_stop(loop, timer);
		loop_pay(loop, NULL);
		timer->expired(timer);
		worked = true;
	}
	return worked;
}

/* ---- tasks ---- */

void loop_defer(struct loop *loop, struct loop_task *task)
{
	loop_defer_for(loop, task, loop->payer);
}

void loop_defer_for(struct loop *loop, struct loop_task *task, struct loop_account *account)
{
	if (task->queued)
		return;
	assert(task->run);
	assert(!*loop->tasks_end);
	task->queued = true;
	task->account = loop_account_get(account ? account : &loop->own);
	task->next = NULL;
	*loop->tasks_end = task;
	loop->tasks_end = &task->next;
}

void loop_defer_cancel(struct loop *loop, struct loop_task *task)
{
	struct loop_task **link = &loop->tasks;

	if (!task->queued)
		return;
	while (*link && *link != task)
		link = &(*link)->next;
	assert(*link);
	assert(task->account->users > 0);
	*link = task->next;
	if (!*link)
		loop->tasks_end = link;
	task->queued = false;
	loop_account_put(loop, task->account);
}

/* As many as were queued at the start: a task that defers itself while it runs has its turn next time. */
void loop_run_tasks(struct loop *loop)
{
	unsigned count = 0;

	for (struct loop_task *task = loop->tasks; task; task = task->next)
		count++;
	while (count-- > 0 && loop->tasks) {
		struct loop_task *task = loop->tasks;
		struct loop_account *account = task->account;

		assert(task->queued && account->users > 0);
		loop->tasks = task->next;
		if (!loop->tasks)
			loop->tasks_end = &loop->tasks;
		task->queued = false;
		loop_pay_on(loop, account);
		task->run(task);
		loop_account_put(loop, account);
		loop_settle_blame(loop);
	}
}

/* ---- messages ---- */

void loop_unpost(struct loop *loop, struct loop_message *message)
{
	/* Acquire: pairs with the release in loop_post(). */
	struct loop_message *newest = __atomic_exchange_n(&loop->messages, NULL, __ATOMIC_ACQUIRE),
			    *kept = NULL;

	while (newest) {
		struct loop_message *next = newest->next;

		if (newest != message) {
			newest->next = kept;
			kept = newest;
		}
		newest = next;
	}
	while (kept) {
		struct loop_message *next = kept->next;

		loop_post(loop, kept);
		kept = next;
	}
}
