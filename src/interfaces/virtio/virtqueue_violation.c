/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of a ring that broke a rule, or whose memory the VMM took away. */
#include <assert.h>

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
