/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of a ring that broke a rule, whose memory the VMM took away, or that made its worker wait. */
#include <assert.h>

#include "core/container.h"
#include "core/memory_guard.h"
#include "interfaces/virtio/virtqueue_internal.h"

static const char *const violation_texts[VIOLATIONS] = {
	[VIOLATION_NONE] = "none",
	[VIOLATION_AVAILABLE_JUMP] = "available-index-jump",
	[VIOLATION_HEAD] = "bad-head",
	[VIOLATION_NEXT] = "bad-next",
	[VIOLATION_LOOP] = "chain-too-long",
	[VIOLATION_INDIRECT] = "bad-indirect-table",
	[VIOLATION_ORDER] = "readable-after-writable",
	[VIOLATION_ADDRESS] = "address-outside-memory",
	[VIOLATION_LENGTH] = "length-overflow",
	[VIOLATION_RING_ADDRESS] = "ring-outside-memory",
	[VIOLATION_MEMORY_LOST] = "memory-file-truncated",
	[VIOLATION_INFLIGHT] = "bad-inflight-region",
	[VIOLATION_REQUEST] = "no-header-or-status",
	[VIOLATION_CALL] = "call-descriptor-waits",
	[VIOLATION_WAIT] = "memory-waits",
};

const char *virtqueue_violation_text(enum virtqueue_violation violation)
{
	assert(violation < VIOLATIONS);
	return violation_texts[violation];
}

bool queue_memory_lost(const struct virtqueue *queue)
{
	return guest_memory_lost(queue->view->memory) ||
	       (queue->setup.inflight_lost && __atomic_load_n(queue->setup.inflight_lost, __ATOMIC_ACQUIRE));
}

void queue_break(struct virtqueue *queue, enum virtqueue_violation violation, uint64_t offending_value)
{
	if (queue->broken)
		return;
	/*
	 * The zeroes that the guard put in place of lost pages break other rules too; they are not the
	 * reason.
	 */
	if (queue_memory_lost(queue)) {
		violation = VIOLATION_MEMORY_LOST;
		offending_value = 0;
	}
	queue->broken = true;
	loop_watch_stop(queue->loop, &queue->kick_watch);
	loop_timer_stop(queue->loop, &queue->poll_timer);
	queue->setup.broken(queue->setup.context, violation, offending_value);
}

void queue_check_memory(struct virtqueue *queue)
{
	unsigned faults = memory_guard_faults();

	if (faults == queue->faults_seen)
		return;
	if (queue_memory_lost(queue))
		queue_break(queue, VIOLATION_MEMORY_LOST, 0);
	else
		queue->faults_seen = faults;
}

/* ---- waits ---- */

/* Is it recorded what has to be done again? Of a packed ring, only a record from the start tells. */
static bool keep_record(struct virtqueue *queue)
{
	if (queue->inflight || !queue->model->repeatable)
		return true;
	if (queue->packed || !queue->setup.record)
		return queue->in_flight == 0 && queue->done_count == 0;
	inflight_split_record(queue, queue->setup.record);
	return true;
}

/*
 * Nothing of the guest's memory is touched from now on. What was answered and is not published yet is done
 * again, like what is in flight.
 */
static void abandon(struct virtqueue *queue, uint64_t waited_ns)
{
	bool kept = keep_record(queue);

	if (!kept)
		queue_break(queue, VIOLATION_WAIT, waited_ns);
	queue->broken = queue->abandoned = true;
	loop_poller_remove(queue->loop, &queue->poller);
	loop_watch_stop(queue->loop, &queue->kick_watch);
	loop_timer_stop(queue->loop, &queue->poll_timer);
	if (queue->model->queue_abandon)
		queue->model->queue_abandon(queue->model_queue);
	/* There may be nothing left to wait for. */
	if (queue->stopping)
		loop_defer_for(queue->loop, &queue->publish_task, queue->setup.account);
}

void virtqueue_abandon(struct virtqueue *queue, uint64_t waited_ns)
{
	if (!queue->broken)
		abandon(queue, waited_ns);
}

static void tell_of_wait(struct virtqueue *queue, uint64_t waited_ns)
{
	if (!queue->told_of_wait)
		queue->setup.made_wait(queue->setup.context, waited_ns);
	queue->told_of_wait = true;
}

/*
 * A queue that stops is waited for by a front end that wants to know where it stands, and what it has in
 * flight is to be answered: that is abandoned at the second wait only, and then lost.
 */
static void waited(struct virtqueue *queue, uint64_t waited_ns)
{
	bool first = !queue->told_of_wait;

	tell_of_wait(queue, waited_ns);
	/* The lost page may have been the ring's. */
	if (queue->broken)
		return;
	if (!queue->stopping) {
		abandon(queue, waited_ns);
	} else if (!first) {
		queue_break(queue, VIOLATION_WAIT, waited_ns);
		abandon(queue, waited_ns);
	}
}

void queue_blamed(struct loop_blame *blame, unsigned what, uint64_t waited_ns)
{
	struct virtqueue *queue = container_of(blame, struct virtqueue, blame);

	if (what & LOOP_BLAME_WROTE && queue->call_pending && !queue->broken) {
		queue->call_given_up = true;
		queue_break(queue, VIOLATION_CALL, waited_ns);
	} else if (what & LOOP_BLAME_WAITED && queue->setup.made_wait) {
		waited(queue, waited_ns);
	}
}
