/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a loop waits for or runs: watches, timers, tasks, pollers. The turn itself is in loop.c. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "core/loop_internal.h"

/* ---- watches ---- */

static void watch_arm(struct loop_watch_slot *slot)
{
	struct io_uring_sqe *sqe = loop_sqe(slot->loop);

	io_uring_prep_poll_multishot(sqe, slot->fd, slot->events);
	loop_sqe_finish(sqe, &slot->op);
}

static void watch_free(struct loop_watch_slot *slot)
{
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
	struct loop_watch_slot *slot = (struct loop_watch_slot *)op;
	bool more = cqe_flags & IORING_CQE_F_MORE;

	if (slot->watch && result > 0)
		slot->watch->ready(slot->watch, (unsigned)result);
	else if (slot->watch && result < 0 && result != -ECANCELED)
		slot->watch->ready(slot->watch, POLLERR);
	if (more)
		return;
	if (slot->watch && result >= 0)
		watch_arm(slot);
	else if (!slot->watch)
		watch_free(slot);
}

int loop_watch_start(struct loop *loop, struct loop_watch *watch, int fd, unsigned poll_events)
{
	struct loop_watch_slot *slot = calloc(1, sizeof(*slot));

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
	struct io_uring_sqe *sqe;

	if (!slot)
		return;
	watch->slot = NULL;
	slot->watch = NULL;
	sqe = loop_sqe(loop);
	io_uring_prep_poll_remove(sqe, (uint64_t)(uintptr_t)&slot->op);
	io_uring_sqe_set_data(sqe, NULL);
}

/* ---- timers ---- */

void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns)
{
	struct loop_timer **link = &loop->timers, *previous = NULL;

	loop_timer_stop(loop, timer);
	timer->deadline_ns = deadline_ns ? deadline_ns : 1;
	while (*link && (*link)->deadline_ns <= timer->deadline_ns) {
		previous = *link;
		link = &previous->next;
	}
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
		timer->expired(timer);
		worked = true;
	}
	return worked;
}

/* ---- tasks ---- */

void loop_defer(struct loop *loop, struct loop_task *task)
{
	if (task->queued)
		return;
	task->queued = true;
	task->next = NULL;
	*loop->tasks_end = task;
	loop->tasks_end = &task->next;
}

void loop_defer_cancel(struct loop *loop, struct loop_task *task)
{
	struct loop_task **link = &loop->tasks;

	if (!task->queued)
		return;
	while (*link != task)
		link = &(*link)->next;
	*link = task->next;
	if (!*link)
		loop->tasks_end = link;
	task->queued = false;
}

/* As many as were queued at the start: a task that defers itself while it runs has its turn next time. */
void loop_run_tasks(struct loop *loop)
{
	unsigned count = 0;

	for (struct loop_task *task = loop->tasks; task; task = task->next)
		count++;
	while (count-- > 0 && loop->tasks) {
		struct loop_task *task = loop->tasks;

		loop->tasks = task->next;
		if (!loop->tasks)
			loop->tasks_end = &loop->tasks;
		task->queued = false;
		task->run(task);
	}
}

/* ---- pollers ---- */

void loop_poller_wake(struct loop *loop, struct loop_poller *poller)
{
	if (poller->awake)
		return;
	poller->awake = true;
	poller->previous = NULL;
	poller->next = loop->pollers;
	if (poller->next)
		poller->next->previous = poller;
	loop->pollers = poller;
}

void loop_poller_remove(struct loop *loop, struct loop_poller *poller)
{
	if (!poller->awake)
		return;
	if (loop->next_poller == poller)
		loop->next_poller = poller->next;
	if (poller->previous)
		poller->previous->next = poller->next;
	else
		loop->pollers = poller->next;
	if (poller->next)
		poller->next->previous = poller->previous;
	poller->next = poller->previous = NULL;
	poller->awake = false;
}

bool loop_run_pollers(struct loop *loop)
{
	bool worked = false;

	for (struct loop_poller *poller = loop->pollers; poller; poller = loop->next_poller) {
		loop->next_poller = poller->next;
		worked |= poller->poll(poller);
	}
	return worked;
}

bool loop_park_pollers(struct loop *loop)
{
	bool all = true;

	for (struct loop_poller *poller = loop->pollers; poller; poller = loop->next_poller) {
		loop->next_poller = poller->next;
		if (poller->park(poller))
			loop_poller_remove(loop, poller);
		else
			all = false;
	}
	return all;
}

