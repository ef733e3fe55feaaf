/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data path of a virtqueue: take, give back, complete, publish. docs/tour.md follows a request through
 * it.
 *
 * While the queue is awake queue_poll() asks the model each turn, and the model takes. Completions of one
 * turn are collected in done[] and published together by queue_publish(), which also decides whether the
 * driver wants to be called.
 *
 * A slot is indexed by what the driver may not reuse while the chain is in flight: the head descriptor
 * (split) or the buffer id (packed). A driver that reuses it all the same breaks its own ring only.
 */
#include <assert.h>

#include "core/checked.h"
#include "core/container.h"
#include "core/iov.h"
#include "core/loop_account.h"
#include "core/memory_guard.h"
#include "core/trace.h"
#include "interfaces/virtio/dirty_log.h"
#include "interfaces/virtio/virtqueue_internal.h"

/* ---- violations ---- */

static bool memory_lost(const struct virtqueue *queue)
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
	if (memory_lost(queue)) {
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
	if (memory_lost(queue))
		queue_break(queue, VIOLATION_MEMORY_LOST, 0);
	else
		queue->faults_seen = faults;
}

/* ---- taking ---- */

void chain_begin(struct virtqueue *queue, struct queue_slot *slot)
{
	struct virtio_chain *chain = &slot->chain;

	chain->readable_count = chain->writable_count = chain->descriptors = 0;
	chain->readable_bytes = chain->writable_bytes = 0;
	chain->unmapped = false;
}

void chain_count(struct virtio_chain *chain, const struct descriptor *d, unsigned elements)
{
	chain->descriptors++;
	if (d->flags & DESCRIPTOR_WRITE) {
		chain->writable_count = (uint16_t)(chain->writable_count + elements);
		chain->writable_bytes += d->length;
	} else {
		chain->readable_count = (uint16_t)(chain->readable_count + elements);
		chain->readable_bytes += d->length;
	}
}

enum virtqueue_violation chain_append(struct virtqueue *queue, struct queue_slot *slot,
				      const struct descriptor *d)
{
	struct virtio_chain *chain = &slot->chain;
	const struct guest_region *region = queue->last_region;
	unsigned used = (unsigned)chain->readable_count + chain->writable_count;
	uint64_t end, offset;

	if (d->length == 0)
		return VIOLATION_NONE;
	if (!checked_add(d->address, d->length, &end))
		return VIOLATION_ADDRESS;
	if (!(d->flags & DESCRIPTOR_WRITE) && chain->writable_count > 0)
		return VIOLATION_ORDER;
	if ((uint64_t)chain->readable_bytes + chain->writable_bytes + d->length > UINT32_MAX)
		return VIOLATION_LENGTH;
	if (used >= CHAIN_ELEMENTS_MAX)
		return VIOLATION_LOOP;

	offset = region ? d->address - region->guest_address : 0;
	if (!region || !checked_range(offset, d->length, region->size))
		return chain_append_slowly(queue, slot, d, used);
	chain->iov[used].iov_base = region->host + offset;
	chain->iov[used].iov_len = d->length;
	chain_count(chain, d, 1);
	return VIOLATION_NONE;
}

struct queue_slot *queue_claim(struct virtqueue *queue, unsigned index)
{
	struct queue_slot *slot = queue_slot(queue, index);

	if (slot->chain.busy)
		return NULL;
	slot->chain.busy = true;
	return slot;
}

bool queue_pending(struct virtqueue *queue)
{
	if (queue_recovers(queue))
		return true;
	return queue->packed ? packed_pending(queue) : split_pending(queue);
}

/* A chain that a predecessor had in flight, in the order in which those were taken. NULL: the ring broke. */
static struct queue_slot *retake(struct virtqueue *queue)
{
	unsigned entry = queue->resubmit[queue->resubmit_next++];

	return queue->packed ? packed_retake(queue, entry) : split_retake(queue, entry);
}

static void hold(struct virtqueue *queue, struct queue_slot *slot)
{
	slot->view = queue->view;
	slot->view->users++;
	slot->number = queue->taken++;
	slot->answered = false;
	queue->in_flight++;
	if (queue->in_order)
		queue->order[(queue->order_first + queue->order_count++) % queue->size] = slot->chain.slot;
	trace_mark(TRACE_MAPPED);
}

/* A queue that stops still offers what a predecessor had in flight. */
static bool offers(const struct virtqueue *queue)
{
	return queue_recovers(queue) ? !queue->broken && (queue->enabled || queue->stopping)
				     : queue_takes(queue);
}

static uint64_t chain_bytes(const struct virtio_chain *chain)
{
	return (uint64_t)chain->readable_bytes + chain->writable_bytes;
}

static unsigned at_most(unsigned count, unsigned limit)
{
	return count < limit ? count : limit;
}

/* How many chains the model may take before the time is asked, at most `count`; all new or none. */
static unsigned turn_allows(struct virtqueue *queue, unsigned count)
{
	struct queue_turn *turn = &queue->turn;

	if (!offers(queue))
		return 0;
	if (queue_recovers(queue))
		count = at_most(count, queue->resubmit_count - queue->resubmit_next);
	if (!turn->on)
		return count;
	if (turn->taken >= TAKE_BATCH || (turn->timed && loop_slice_over(queue->loop)))
		return 0;
	turn->timed = false;
	return at_most(count, TAKE_TIMED - turn->taken % TAKE_TIMED);
}

static void turn_took(struct queue_turn *turn, unsigned taken, bool large)
{
	turn->taken += taken;
	turn->timed = large || turn->taken % TAKE_TIMED == 0;
}

static unsigned queue_take(struct virtio_queue *offered, struct virtio_chain **ret_chains, unsigned count)
{
	struct virtqueue *queue = container_of(offered, struct virtqueue, offered);
	unsigned limit = turn_allows(queue, count), taken = 0;
	bool large = false;

	while (taken < limit && !large) {
		struct queue_slot *slot = queue_recovers(queue) ? retake(queue)
					  : queue->packed       ? packed_take(queue)
								: split_take(queue);

		if (!slot)
			break;
		/* Before the model sees the chain: what we have just read may be the guard's zeroes. */
		queue_check_memory(queue);
		if (queue->broken)
			break;
		hold(queue, slot);
		ret_chains[taken++] = &slot->chain;
		large = queue->turn.on && chain_bytes(&slot->chain) >= TAKE_TIMED_BYTES;
	}
	if (taken == 0)
		return 0;
	counter_add(&queue->counters.chains, taken);
	turn_took(&queue->turn, taken, large);
	return taken;
}

bool queue_poll(struct loop_poller *poller)
{
	struct virtqueue *queue = container_of(poller, struct virtqueue, poller);
	uint64_t before = queue->taken;

	if (queue->attention == QUEUE_PARKED)
		queue_silence(queue);
	trace_mark(TRACE_KICK);
	queue->turn = (struct queue_turn){ .on = true };
	queue->model->ready(queue->model_queue);
	queue->turn.on = false;
	/*
	 * Also when nothing was taken: the pages that the guard put under a lost ring look like an empty one.
	 */
	queue_check_memory(queue);
	if (queue->taken <= before)
		return false;
	if (queue->attention == QUEUE_LAST_LOOK && !queue->broken)
		queue_silence(queue);
	return true;
}

/* ---- giving back ---- */

static void leave_view(struct virtqueue *queue, struct memory_view *view)
{
	if (--view->users == 0 && view != queue->view)
		queue_release_view(queue, view);
}

static void give_back(struct virtqueue *queue, struct queue_slot *slot)
{
	assert(slot->chain.busy && !slot->answered && slot->number == queue->taken - 1);
	queue->taken--;
	if (queue->in_order)
		queue->order_count--;
	if (slot->number < queue->resubmit_count)
		queue->resubmit_next--;
	else if (queue->packed)
		packed_give_back(queue, slot);
	else
		split_give_back(queue, slot);
	slot->chain.busy = false;
	queue->in_flight--;
	leave_view(queue, slot->view);
}

static void queue_give_back(struct virtio_queue *offered, struct virtio_chain *const *chains, unsigned count)
{
	struct virtqueue *queue = container_of(offered, struct virtqueue, offered);

	counter_add(&queue->counters.chains, -(uint64_t)count);
	for (unsigned i = count; i-- > 0;)
		give_back(queue, container_of(chains[i], struct queue_slot, chain));
	/* A stop may have waited for them. */
	if (queue->stopping)
		loop_defer_for(queue->loop, &queue->publish_task, queue->setup.account);
}

/* ---- completing ---- */

static void log_written(struct virtqueue *queue, const struct queue_slot *slot)
{
	const struct iovec *written = slot->chain.iov + slot->chain.readable_count;
	uint64_t left = slot->chain.written_bytes;

	for (unsigned i = 0; i < slot->chain.writable_count && left > 0; i++) {
		uint64_t part = written[i].iov_len < left ? written[i].iov_len : left, guest;

		if (guest_memory_host_to_guest(slot->view->memory, written[i].iov_base, &guest))
			dirty_log_mark(queue->log, guest, part);
		left -= part;
	}
}

/* End of the turn: everything answered in it becomes visible at once. */
void queue_publish(struct loop_task *task)
{
	struct virtqueue *queue = container_of(task, struct virtqueue, publish_task);

	if (queue->done_count > 0 && !queue->broken) {
		bool wanted = queue->packed ? packed_publish(queue) : split_publish(queue);

		if (wanted)
			queue_call(queue);
		else
			counter_add(&queue->counters.suppressed, 1);
		queue_check_memory(queue);
		trace_mark(TRACE_SIGNALLED);
	}
	for (unsigned i = 0; i < queue->done_count; i++)
		queue_slot(queue, queue->done[i])->chain.busy = false;
	queue->done_count = 0;
	queue_try_finish_stop(queue);
}

static void add_done(struct virtqueue *queue, const struct queue_slot *slot)
{
	assert(queue->done_count < queue->size);
	queue->done[queue->done_count++] = slot->chain.slot;
}

/* IN_ORDER: an answer waits until all chains taken before it are answered (virtio 1.2, 2.7.9). */
static void add_done_in_order(struct virtqueue *queue)
{
	while (queue->order_count > 0) {
		struct queue_slot *first = queue_slot(queue, queue->order[queue->order_first]);

		if (!first->answered)
			return;
		queue->order_first = (queue->order_first + 1) % queue->size;
		queue->order_count--;
		add_done(queue, first);
	}
}

static void check_answer(const struct queue_slot *slot)
{
	const struct virtio_chain *chain = &slot->chain;

	assert(chain->busy && !slot->answered && chain->written_bytes <= chain->writable_bytes);
	/* A migration may begin while the chain is in flight: the elements are restored in any case. */
	assert(iov_bytes(chain->iov + chain->readable_count, chain->writable_count) == chain->writable_bytes);
}

static void queue_complete(struct virtio_queue *offered, struct virtio_chain *const *chains, unsigned count)
{
	struct virtqueue *queue = container_of(offered, struct virtqueue, offered);

	assert(queue->in_flight >= count);
	for (unsigned i = 0; i < count; i++) {
		struct queue_slot *slot = container_of(chains[i], struct queue_slot, chain);

		check_answer(slot);
		slot->answered = true;
		queue->in_flight--;
		if (queue->log)
			log_written(queue, slot);
		if (!queue->in_order)
			add_done(queue, slot);
		leave_view(queue, slot->view);
	}
	if (queue->in_order)
		add_done_in_order(queue);
	loop_defer_for(queue->loop, &queue->publish_task, queue->setup.account);
	trace_mark(TRACE_COMPLETED);
}

static void queue_reject(struct virtio_queue *offered, struct virtio_chain *chain)
{
	queue_break(container_of(offered, struct virtqueue, offered), VIOLATION_REQUEST, chain->slot);
	chain->written_bytes = 0;
	queue_complete(offered, &chain, 1);
}

static bool queue_offers(struct virtio_queue *offered)
{
	struct virtqueue *queue = container_of(offered, struct virtqueue, offered);

	return offers(queue) && queue_pending(queue);
}

const struct virtio_queue_ops queue_ops = {
	.take = queue_take,
	.give_back = queue_give_back,
	.complete = queue_complete,
	.reject = queue_reject,
	.pending = queue_offers,
	.listen = queue_listen,
};
