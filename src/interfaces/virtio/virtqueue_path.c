/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data path of a virtqueue: kick, take, answer, publish, call. docs/tour.md follows a request through it.
 *
 * A kick wakes the queue's poller; from then on the loop polls the ring each turn, with notifications from
 * the driver switched off, until the queue stays empty and the loop wants to sleep: then queue_park() asks
 * for notifications again and looks once more. Completions of one turn are collected in done[] and
 * published together by queue_publish(), which also decides whether the driver wants to be called.
 *
 * A slot is indexed by what the driver may not reuse while the chain is in flight: the head descriptor
 * (split) or the buffer id (packed). A driver that reuses it all the same breaks its own ring only.
 */
#include <assert.h>

#include "core/checked.h"
#include "core/clock.h"
#include "core/container.h"
#include "core/iov.h"
#include "core/loop_account.h"
#include "core/memory_guard.h"
#include "core/trace.h"
#include "interfaces/virtio/dirty_log.h"
#include "interfaces/virtio/virtqueue_internal.h"

/* How often a ring without a kick descriptor is looked at while the loop sleeps. */
#define KICKLESS_POLL_NS (200 * NS_PER_US)

/* ---- calls: the eventfd is written through io_uring, so a peer that fills its counter blocks nobody ---- */

void queue_call_done(struct loop_op *op, int result, unsigned cqe_flags)
{
	struct virtqueue *queue = container_of(op, struct virtqueue, call_op);

	/* -EAGAIN: the counter is full, so the driver has been told already. Other errors are its own. */
	queue->call_pending = false;
	if (queue->call_again && !queue->call_given_up) {
		queue->call_again = false;
		queue_call(queue);
	}
	queue_try_finish_stop(queue);
}

void queue_call(struct virtqueue *queue)
{
	static const uint64_t one = 1;
	struct io_uring_sqe *sqe;

	if (queue->call_fd < 0)
		return;
	if (queue->call_pending) {
		queue->call_again = true;
		return;
	}
	counter_add(&queue->counters.calls, 1);
	queue->call_pending = true;
	sqe = loop_sqe(queue->loop);
	io_uring_prep_write(sqe, queue->call_fd, &one, sizeof(one), 0);
	loop_sqe_finish(queue->loop, sqe, &queue->call_op);
}

/* ---- notifications from the driver ---- */

static void notify(struct virtqueue *queue, bool wanted)
{
	if (queue->packed)
		packed_notify(queue, wanted);
	else
		split_notify(queue, wanted);
}

static bool pending(struct virtqueue *queue)
{
	return queue->packed ? packed_pending(queue) : split_pending(queue);
}

static bool queue_takes(const struct virtqueue *queue)
{
	return queue->enabled && !queue->stopping && !queue->broken;
}

void queue_wake(struct virtqueue *queue)
{
	if (!queue_takes(queue) || queue->poller.awake)
		return;
	notify(queue, false);
	queue->needless_kicks = 0;
	loop_poller_wake(queue->loop, &queue->poller);
}

void queue_kick_ready(struct loop_watch *watch, unsigned events)
{
	struct virtqueue *queue = container_of(watch, struct virtqueue, kick_watch);

	counter_add(&queue->counters.kicks, 1);
	if (!queue->poller.awake)
		queue_wake(queue);
	else if (++queue->needless_kicks > NEEDLESS_KICKS_MAX)
		loop_watch_pause(queue->loop, watch);
}

void queue_poll_expired(struct loop_timer *timer)
{
	struct virtqueue *queue = container_of(timer, struct virtqueue, poll_timer);

	queue_wake(queue);
}

bool queue_park(struct loop_poller *poller)
{
	struct virtqueue *queue = container_of(poller, struct virtqueue, poller);

	if (!queue_takes(queue))
		return true;
	notify(queue, true);
	if (pending(queue)) {
		notify(queue, false);
		return false;
	}
	loop_watch_resume(queue->loop, &queue->kick_watch);
	if (queue->setup.kick_fd < 0)
		loop_timer_start(queue->loop, &queue->poll_timer, clock_now_ns() + KICKLESS_POLL_NS);
	return true;
}

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

static void handle_slot(struct virtqueue *queue, struct queue_slot *slot)
{
	slot->view = queue->view;
	slot->view->users++;
	slot->answered = false;
	queue->in_flight++;
	if (queue->in_order)
		queue->order[(queue->order_first + queue->order_count++) % queue->size] = slot->chain.slot;
	trace_mark(TRACE_MAPPED);
	queue->model->handle(queue->model_queue, &slot->chain);
}

void queue_take_again(struct virtqueue *queue)
{
	while (queue->resubmit_next < queue->resubmit_count && !queue->broken) {
		unsigned entry = queue->resubmit[queue->resubmit_next++];
		struct queue_slot *slot =
			queue->packed ? packed_retake(queue, entry) : split_retake(queue, entry);

		queue_check_memory(queue);
		if (slot && !queue->broken)
			handle_slot(queue, slot);
	}
}

static bool batch_over(struct virtqueue *queue, const struct virtio_chain *chain, unsigned taken)
{
	if (taken % TAKE_TIMED == 0 ||
	    (uint64_t)chain->readable_bytes + chain->writable_bytes >= TAKE_TIMED_BYTES)
		return taken >= TAKE_BATCH || loop_slice_over(queue->loop);
	return false;
}

bool queue_poll(struct loop_poller *poller)
{
	struct virtqueue *queue = container_of(poller, struct virtqueue, poller);
	unsigned taken = 0;
	bool over = false;

	if (queue->resubmit_next < queue->resubmit_count && queue_takes(queue)) {
		queue_take_again(queue);
		return true;
	}
	trace_mark(TRACE_KICK);
	while (!over && queue_takes(queue)) {
		struct queue_slot *slot = queue->packed ? packed_take(queue) : split_take(queue);

		if (!slot)
			break;
		/* Before the chain is handled: what we have just read may be the guard's zeroes. */
		queue_check_memory(queue);
		if (queue->broken)
			break;
		handle_slot(queue, slot);
		over = batch_over(queue, &slot->chain, ++taken);
	}
	if (taken > 0)
		counter_add(&queue->counters.chains, taken);
	/*
	 * Also when nothing was taken: the pages that the guard put under a lost ring look like an empty one.
	 */
	queue_check_memory(queue);
	return taken > 0;
}

/* ---- answering ---- */

static void log_written(struct virtqueue *queue, const struct queue_slot *slot)
{
	const struct iovec *written = slot->chain.iov + slot->chain.readable_count;
	uint64_t left = slot->written_bytes;

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

static void add_done(struct virtqueue *queue, struct queue_slot *slot)
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

static void chain_complete(struct virtio_chain *chain, uint32_t written_bytes)
{
	struct queue_slot *slot = container_of(chain, struct queue_slot, chain);
	struct virtqueue *queue = slot->queue;

	assert(chain->busy && !slot->answered && written_bytes <= chain->writable_bytes);
	/* A migration may begin while the chain is in flight: the elements are restored in any case. */
	assert(iov_bytes(chain->iov + chain->readable_count, chain->writable_count) ==
	       chain->writable_bytes);
	slot->answered = true;
	slot->written_bytes = written_bytes;
	queue->in_flight--;
	if (queue->log)
		log_written(queue, slot);
	if (queue->in_order)
		add_done_in_order(queue);
	else
		add_done(queue, slot);
	if (--slot->view->users == 0 && slot->view != queue->view)
		queue_release_view(queue, slot->view);
	loop_defer_for(queue->loop, &queue->publish_task, queue->setup.account);
	trace_mark(TRACE_COMPLETED);
}

static void chain_reject(struct virtio_chain *chain)
{
	struct virtqueue *queue = container_of(chain, struct queue_slot, chain)->queue;

	queue_break(queue, VIOLATION_REQUEST, chain->slot);
	chain_complete(chain, 0);
}

const struct virtio_chain_ops queue_chain_ops = { .complete = chain_complete, .reject = chain_reject };

