/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data path of a virtqueue: kick, take, give back, complete, publish, call. docs/tour.md follows a
 * request through it.
 *
 * While the queue is awake queue_poll() asks the model each turn, and the model takes. Completions of one
 * turn are collected in done[] and published together by queue_publish(), which also decides whether the
 * driver wants to be called.
 *
 * A slot is indexed by what the driver may not reuse while the chain is in flight: the head descriptor
 * (split) or the buffer id (packed). A driver that reuses it all the same breaks its own ring only.
 */
#include <assert.h>
#include <sys/mman.h>

#include "core/checked.h"
#include "core/container.h"
#include "core/iov.h"
#include "core/loop_account.h"
#include "core/loop_rescue.h"
#include "core/trace.h"
#include "interfaces/virtio/dirty_log.h"
#include "interfaces/virtio/virtqueue_internal.h"

/* ---- a kick ---- */

void queue_kick_ready(struct loop_watch *watch, unsigned events)
{
	struct virtqueue *queue = container_of(watch, struct virtqueue, kick_watch);

	counter_add(&queue->counters.kicks, 1);
	if (queue_listens(queue) && !queue->poller.awake) {
		/* Now, because other guests may have their turn before the queue is polled. */
		queue_silence(queue);
		loop_poller_wake(queue->loop, &queue->poller);
	} else if (++queue->needless_kicks > NEEDLESS_KICKS_MAX) {
		loop_watch_pause(queue->loop, watch);
	}
}

/* ---- taking ---- */

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

/* The long chain needs its elements no more: all but the page that chains of the usual size need, too. */
static void give_back_pages(struct virtqueue *queue, const struct queue_slot *slot)
{
	uintptr_t first = (uintptr_t)(queue->elements + (size_t)slot->chain.slot * queue->elements_max),
		  begin = align_up(first, 4096) + 4096,
		  end = align_down(first + queue->elements_max * sizeof(struct iovec), 4096);

	if (begin < end)
		madvise((void *)begin, end - begin, MADV_DONTNEED);
	/* New chains waited for it. */
	if (queue->long_chains-- == LONG_CHAINS_MAX)
		queue_wake(queue);
}

static void hold(struct virtqueue *queue, struct queue_slot *slot)
{
	slot->view = queue->view;
	slot->view->users++;
	slot->number = queue->taken++;
	slot->answered = false;
	queue->in_flight++;
	queue->long_chains += chain_is_long(&slot->chain);
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

	/* The worker has stood still: who is to blame comes first. */
	if (!offers(queue) || __atomic_load_n(queue->held, __ATOMIC_RELAXED))
		return 0;
	if (queue_recovers(queue))
		count = at_most(count, queue->resubmit_count - queue->resubmit_next);
	if (!turn->on)
		return count;
	if (turn->timed) {
		turn->over = turn->over || turn->taken >= turn->limit || loop_slice_over(queue->loop);
		turn->timed = false;
		turn->room = at_most(queue->take_timed, turn->limit - turn->taken);
	}
	return turn->over ? 0 : at_most(count, turn->room);
}

/* `empty`: there was no more to take; `large`: the last chain was, or all together. */
static void turn_took(struct virtqueue *queue, unsigned taken, bool empty, bool large)
{
	struct queue_turn *turn = &queue->turn;

	turn->taken += taken;
	turn->room -= taken;
	turn->timed = large || turn->room == 0;
	if (empty)
		turn->over = turn->empty = true;
}

static void leave_view(struct virtqueue *queue, struct memory_view *view)
{
	if (--view->users == 0 && view != queue->view)
		queue_release_view(queue, view);
}

/* The chain was never taken. */
static void put_back(struct virtqueue *queue, struct queue_slot *slot)
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
	if (chain_is_long(&slot->chain))
		give_back_pages(queue, slot);
	leave_view(queue, slot->view);
}

/* What was just read may be the guard's zeroes: then the model does not see it. Returns what is left. */
static unsigned drop_lost(struct virtqueue *queue, struct virtio_chain **chains, unsigned taken)
{
	queue_check_memory(queue);
	if (!queue->broken || !queue_memory_lost(queue))
		return taken;
	while (taken > 0)
		put_back(queue, container_of(chains[--taken], struct queue_slot, chain));
	return 0;
}

static unsigned queue_take(struct virtio_queue *offered, struct virtio_chain **ret_chains, unsigned count)
{
	struct virtqueue *queue = container_of(offered, struct virtqueue, offered);
	unsigned limit = turn_allows(queue, count), taken = 0;
	bool again = queue_recovers(queue), large = false;
	unsigned elements = 0;
	uint64_t bytes = 0;

	while (taken < limit && !large) {
		struct queue_slot *slot;

		if (again)
			slot = retake(queue);
		else
			slot = queue->packed ? packed_take(queue) : split_take(queue);
		if (!slot)
			break;
		hold(queue, slot);
		ret_chains[taken++] = &slot->chain;
		bytes += chain_bytes(&slot->chain);
		elements += slot->chain.readable_count + slot->chain.writable_count;
		large = queue->turn.on && (chain_bytes(&slot->chain) >= TAKE_TIMED_BYTES ||
					   bytes >= TAKE_TIMED_TOGETHER || elements >= TAKE_TIMED_ELEMENTS);
	}
	turn_took(queue, taken, taken < limit && !large, large);
	/* Inside ready() an empty ring is looked at behind it. */
	if (taken > 0 || !queue->turn.on)
		taken = drop_lost(queue, ret_chains, taken);
	counter_add(&queue->counters.chains, taken);
	return taken;
}

void queue_begin_turn(struct virtqueue *queue, unsigned limit)
{
	queue->turn = (struct queue_turn){
		.on = !queue->offered.own_bounds,
		.limit = limit,
		.room = at_most(queue->take_timed, limit),
	};
}

bool queue_poll(struct loop_poller *poller)
{
	struct virtqueue *queue = container_of(poller, struct virtqueue, poller);
	bool brief = queue->take_brief < queue->take_batch && loop_wants_brief_turns(queue->loop);
	unsigned limit = brief ? queue->take_brief : queue->take_batch;
	uint64_t before = queue->taken;
	bool little;

	if (queue->attention == QUEUE_PARKED)
		queue_silence(queue);
	trace_mark(TRACE_KICK);
	queue_begin_turn(queue, limit);
	queue->model->ready(queue->model_queue);
	little = queue->turn.on && queue->turn.empty && queue->turn.taken <= queue->take_brief;
	queue->turn.on = false;
	if (queue->taken <= before && !queue->turn.busy) {
		/* The pages that the guard puts under a lost ring look like an empty one. */
		queue_check_memory(queue);
		return false;
	}
	loop_worked(queue->loop, little);
	if (queue->attention == QUEUE_LAST_LOOK && !queue->broken)
		queue_silence(queue);
	return true;
}

static void queue_give_back(struct virtio_queue *offered, struct virtio_chain *const *chains, unsigned count)
{
	struct virtqueue *queue = container_of(offered, struct virtqueue, offered);

	counter_add(&queue->counters.chains, -(uint64_t)count);
	for (unsigned i = count; i-- > 0;)
		put_back(queue, container_of(chains[i], struct queue_slot, chain));
	/* A stop may have waited for them. */
	if (queue->stopping)
		loop_defer_for(queue->loop, &queue->publish_task, queue->setup.account);
}

/* ---- completing ---- */

/* Logs bytes [from, from + bytes) of the chain's writable ones. */
static void log_range(struct virtqueue *queue, const struct queue_slot *slot, uint64_t from, uint64_t bytes)
{
	const struct iovec *written = slot->chain.iov + slot->chain.readable_count;

	for (unsigned i = 0; i < slot->chain.writable_count && bytes > 0; i++) {
		uint64_t part, guest;

		if (from >= written[i].iov_len) {
			from -= written[i].iov_len;
			continue;
		}
		part = written[i].iov_len - from < bytes ? written[i].iov_len - from : bytes;
		if (guest_memory_host_to_guest(slot->view->memory, (uint8_t *)written[i].iov_base + from,
					       &guest))
			dirty_log_mark(queue->log, guest, part);
		bytes -= part;
		from = 0;
	}
}

/* What was written, and not what might have been: a guest may offer 4 GiB with each request. */
static void log_written(struct virtqueue *queue, const struct queue_slot *slot)
{
	const struct virtio_chain *chain = &slot->chain;
	uint32_t first = chain->written_bytes, last = 0;

	if (first > 0 && queue->model->written)
		queue->model->written(chain, &first, &last);
	assert((uint64_t)first + last <= chain->writable_bytes);
	log_range(queue, slot, 0, first);
	log_range(queue, slot, chain->writable_bytes - last, last);
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
		if (queue->log && !queue->abandoned)
			log_written(queue, slot);
		if (chain_is_long(&slot->chain))
			give_back_pages(queue, slot);
		if (!queue->in_order)
			add_done(queue, slot);
		leave_view(queue, slot->view);
	}
	if (queue->in_order)
		add_done_in_order(queue);
	loop_defer_for(queue->loop, &queue->publish_task, queue->setup.account);
	trace_mark(TRACE_COMPLETED);
}

static void queue_busy(struct virtio_queue *offered)
{
	container_of(offered, struct virtqueue, offered)->turn.busy = true;
}

static void queue_reject(struct virtio_queue *offered, struct virtio_chain *chain)
{
	queue_break(container_of(offered, struct virtqueue, offered), VIOLATION_REQUEST, chain->slot);
	chain->written_bytes = 0;
	queue_complete(offered, &chain, 1);
}

/* ---- calls: the eventfd is written through io_uring; a peer that fills its counter blocks nothing ---- */

void queue_call_done(struct loop_op *op, int result, unsigned cqe_flags)
{
	struct virtqueue *queue = container_of(op, struct virtqueue, call_op);

	/* -EAGAIN: the counter is full, so the driver has been told already. Other errors are its own. */
	loop_peer_write_end(queue->loop);
	queue->call_pending = false;
	if (result == -EINTR) {
		queue->call_given_up = true;
		queue_break(queue, VIOLATION_CALL, 0);
	}
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

	if (queue->setup.call) {
		counter_add(&queue->counters.calls, 1);
		queue->setup.call(queue->setup.context);
		return;
	}
	if (queue->call_fd < 0 || queue->call_given_up)
		return;
	if (queue->call_pending) {
		queue->call_again = true;
		return;
	}
	counter_add(&queue->counters.calls, 1);
	queue->call_pending = true;
	loop_peer_write_begin(queue->loop);
	sqe = loop_sqe(queue->loop);
	io_uring_prep_write(sqe, queue->call_fd, &one, sizeof(one), 0);
	loop_sqe_finish(queue->loop, sqe, &queue->call_op);
	loop_peer_write_prepared(queue->loop);
}

/* ---- publishing ---- */

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

/* ---- what the model sees ---- */

static bool queue_offers(struct virtio_queue *offered)
{
	struct virtqueue *queue = container_of(offered, struct virtqueue, offered);

	return offers(queue) && queue_pending(queue);
}

static size_t queue_reach(struct virtio_queue *offered, uint64_t gpa, size_t bytes, const void **ret_host)
{
	struct virtqueue *queue = container_of(offered, struct virtqueue, offered);
	const struct guest_region *region = queue->last_region;
	uint64_t offset, room;

	if (queue->broken)
		return 0;
	if (!checked_range(gpa - region->guest_address, 1, region->size))
		region = guest_memory_find(queue->view->memory, gpa);
	if (!region)
		return 0;
	queue->last_region = region;
	offset = gpa - region->guest_address;
	room = region->size - offset;
	*ret_host = region->host + offset;
	return room < bytes ? (size_t)room : bytes;
}

const struct virtio_queue_ops queue_ops = {
	.take = queue_take,
	.give_back = queue_give_back,
	.complete = queue_complete,
	.reject = queue_reject,
	.busy = queue_busy,
	.pending = queue_offers,
	.listen = queue_listen,
	.reach = queue_reach,
};
