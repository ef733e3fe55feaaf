/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A kick wakes the queue's poller; from then on the loop polls the ring each turn, with notifications from
 * the driver switched off, until the queue stays empty and the loop wants to sleep: then queue_park() asks
 * for notifications again and looks once more. Completions of one turn are collected in done[] and
 * published together by publish_task, which also decides whether the driver wants to be called.
 *
 * A slot is indexed by what the driver may not reuse while the chain is in flight: the head descriptor
 * (split) or the buffer id (packed). A driver that reuses it all the same breaks its own ring only.
 */
#include "interfaces/virtio/virtqueue.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/clock.h"
#include "core/memory_guard.h"
#include "interfaces/virtio/dirty_log.h"
#include "interfaces/virtio/virtqueue_internal.h"

/* How often a ring without a kick descriptor is looked at while the loop sleeps. */
#define KICKLESS_POLL_NS (200 * NS_PER_US)
/* How long a stop waits for its last call; an eventfd that takes longer has a full counter. */
#define CALL_TIMEOUT_NS NS_PER_S

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
};

const char *virtqueue_violation_text(enum virtqueue_violation violation)
{
	assert(violation < VIOLATIONS);
	return violation_texts[violation];
}

/* ---- calls: the eventfd is written through io_uring, so a peer that fills its counter blocks nobody ---- */

static void queue_call(struct virtqueue *queue);
static void try_finish_stop(struct virtqueue *queue);

static void call_done(struct loop_op *op, int result, unsigned cqe_flags)
{
	struct virtqueue *queue = (struct virtqueue *)((char *)op - offsetof(struct virtqueue, call_op));

	/* -EAGAIN: the counter is full, so the driver has been told already. Other errors are its own. */
	queue->call_pending = false;
	if (queue->call_again && result != -ECANCELED) {
		queue->call_again = false;
		queue_call(queue);
	}
	try_finish_stop(queue);
}

static void queue_call(struct virtqueue *queue)
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
	loop_sqe_finish(sqe, &queue->call_op);
}

static void call_expired(struct loop_timer *timer)
{
	struct virtqueue *queue = (struct virtqueue *)((char *)timer - offsetof(struct virtqueue, call_timer));
	struct io_uring_sqe *sqe = loop_sqe(queue->loop);

	io_uring_prep_cancel(sqe, &queue->call_op, 0);
	io_uring_sqe_set_data(sqe, NULL);
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

static void queue_wake(struct virtqueue *queue)
{
	if (!queue_takes(queue) || queue->poller.awake)
		return;
	notify(queue, false);
	loop_poller_wake(queue->loop, &queue->poller);
}

static void kick_ready(struct loop_watch *watch, unsigned events)
{
	struct virtqueue *queue = (struct virtqueue *)((char *)watch - offsetof(struct virtqueue, kick_watch));

	counter_add(&queue->counters.kicks, 1);
	queue_wake(queue);
}

static void kickless_expired(struct loop_timer *timer)
{
	struct virtqueue *queue = (struct virtqueue *)((char *)timer - offsetof(struct virtqueue, poll_timer));

	queue_wake(queue);
}

static bool queue_park(struct loop_poller *poller)
{
	struct virtqueue *queue = (struct virtqueue *)poller;

	if (!queue_takes(queue))
		return true;
	notify(queue, true);
	if (pending(queue)) {
		notify(queue, false);
		return false;
	}
	if (queue->setup.kick_fd < 0)
		loop_timer_start(queue->loop, &queue->poll_timer, clock_now_ns() + KICKLESS_POLL_NS);
	return true;
}

/* ---- violations ---- */

void queue_break(struct virtqueue *queue, enum virtqueue_violation violation, uint64_t offending_value)
{
	if (queue->broken)
		return;
	queue->broken = true;
	loop_watch_stop(queue->loop, &queue->kick_watch);
	loop_timer_stop(queue->loop, &queue->poll_timer);
	queue->setup.broken(queue->setup.context, violation, offending_value);
}

/* Did the VMM truncate a file under the ring, its chains or its INFLIGHT region? */
static void check_memory(struct virtqueue *queue)
{
	unsigned faults = memory_guard_faults();

	if (faults == queue->faults_seen)
		return;
	if (guest_memory_lost(queue->view->memory) ||
	    (queue->setup.inflight_lost && __atomic_load_n(queue->setup.inflight_lost, __ATOMIC_ACQUIRE)))
		queue_break(queue, VIOLATION_MEMORY_LOST, 0);
	else
		queue->faults_seen = faults;
}

/* ---- taking ---- */

struct queue_slot *queue_claim(struct virtqueue *queue, unsigned index)
{
	struct queue_slot *slot = queue_slot(queue, index);

	if (slot->chain.busy)
		return NULL;
	slot->chain.busy = true;
	return slot;
}

/* What the chain's writable elements were before the model and the drivers below it cut them. */
static struct iovec *written_elements(const struct queue_slot *slot)
{
	return slot->chain.iov + CHAIN_ELEMENTS_MAX;
}

static void handle_slot(struct virtqueue *queue, struct queue_slot *slot)
{
	/* Always, because a migration may begin while the chain is in flight; two elements as a rule. */
	memcpy(written_elements(slot), slot->chain.iov + slot->chain.readable_count,
	       slot->chain.writable_count * sizeof(struct iovec));
	slot->view = queue->view;
	slot->view->users++;
	slot->answered = false;
	queue->in_flight++;
	if (queue->in_order)
		queue->order[queue->order_tail++ % queue->size] = slot->chain.slot;
	queue->model->handle(queue->model_queue, &slot->chain);
}

/* After a restart: what INFLIGHT recorded comes first, in the order in which it was taken. */
static bool take_again(struct virtqueue *queue)
{
	while (queue->resubmit_next < queue->resubmit_count && !queue->broken) {
		unsigned entry = queue->resubmit[queue->resubmit_next++];
		struct queue_slot *slot = queue->packed ? packed_retake(queue, entry) : split_retake(queue, entry);

		if (slot)
			handle_slot(queue, slot);
	}
	return true;
}

static bool queue_poll(struct loop_poller *poller)
{
	struct virtqueue *queue = (struct virtqueue *)poller;
	unsigned taken = 0;

	if (queue->resubmit_next < queue->resubmit_count && queue_takes(queue))
		return take_again(queue);
	while (taken < TAKE_BATCH && queue_takes(queue)) {
		struct queue_slot *slot = queue->packed ? packed_take(queue) : split_take(queue);

		if (!slot)
			break;
		handle_slot(queue, slot);
		taken++;
	}
	if (taken > 0) {
		counter_add(&queue->counters.chains, taken);
		check_memory(queue);
	}
	return taken > 0;
}

/* ---- answering ---- */

static void view_leave(struct virtqueue *queue, struct memory_view *view)
{
	void (*released)(void *context) = queue->released;

	assert(view->users > 0);
	if (--view->users > 0 || view == queue->view)
		return;
	guest_memory_put(view->memory);
	view->memory = NULL;
	queue->released = NULL;
	released(queue->released_context);
}

static void log_written(struct virtqueue *queue, const struct queue_slot *slot)
{
	const struct iovec *written = written_elements(slot);
	uint64_t left = slot->written_bytes;

	for (unsigned i = 0; i < slot->chain.writable_count && left > 0; i++) {
		uint64_t part = written[i].iov_len < left ? written[i].iov_len : left, guest;

		if (guest_memory_host_to_guest(slot->view->memory, written[i].iov_base, &guest))
			dirty_log_mark(queue->log, guest, part);
		left -= part;
	}
}

/*
 * A stop is over when nothing is in flight, everything answered is published, and the last call reached
 * the driver (or its eventfd blocks, which is its own doing).
 */
static void try_finish_stop(struct virtqueue *queue)
{
	void (*stopped)(void *context, const struct virtqueue_position *position) = queue->stopped;
	struct virtqueue_position position = { .available_idx = queue->split.next };

	if (!stopped || queue->in_flight > 0 || queue->done_count > 0)
		return;
	if (queue->call_pending) {
		loop_timer_start(queue->loop, &queue->call_timer, clock_now_ns() + CALL_TIMEOUT_NS);
		return;
	}
	loop_timer_stop(queue->loop, &queue->call_timer);
	if (queue->packed)
		position = (struct virtqueue_position){ queue->pack.next, queue->pack.used, queue->pack.next_wrap,
							queue->pack.used_wrap };
	queue->stopped = NULL;
	stopped(queue->stopped_context, &position);
}

/* End of the turn: everything answered in it becomes visible at once. */
static void queue_publish(struct loop_task *task)
{
	struct virtqueue *queue = (struct virtqueue *)((char *)task - offsetof(struct virtqueue, publish_task));

	if (queue->done_count > 0 && !queue->broken) {
		bool wanted = queue->packed ? packed_publish(queue) : split_publish(queue);

		if (wanted)
			queue_call(queue);
		else
			counter_add(&queue->counters.suppressed, 1);
		check_memory(queue);
	}
	for (unsigned i = 0; i < queue->done_count; i++)
		queue_slot(queue, queue->done[i])->chain.busy = false;
	queue->done_count = 0;
	try_finish_stop(queue);
}

static void add_done(struct virtqueue *queue, struct queue_slot *slot)
{
	assert(queue->done_count < queue->size);
	queue->done[queue->done_count++] = slot->chain.slot;
}

/* IN_ORDER: an answer waits until all chains taken before it are answered (virtio 1.2, 2.7.9). */
static void add_done_in_order(struct virtqueue *queue)
{
	while (queue->order_head != queue->order_tail) {
		struct queue_slot *first = queue_slot(queue, queue->order[queue->order_head % queue->size]);

		if (!first->answered)
			return;
		queue->order_head++;
		add_done(queue, first);
	}
}

static void chain_complete(struct virtio_chain *chain, uint32_t written_bytes)
{
	struct queue_slot *slot = (struct queue_slot *)chain;
	struct virtqueue *queue = slot->queue;

	assert(chain->busy && !slot->answered);
	slot->answered = true;
	slot->written_bytes = written_bytes;
	queue->in_flight--;
	if (queue->log)
		log_written(queue, slot);
	if (queue->in_order)
		add_done_in_order(queue);
	else
		add_done(queue, slot);
	view_leave(queue, slot->view);
	loop_defer(queue->loop, &queue->publish_task);
}

static void chain_reject(struct virtio_chain *chain)
{
	struct virtqueue *queue = ((struct queue_slot *)chain)->queue;

	queue_break(queue, VIOLATION_REQUEST, chain->slot);
	chain_complete(chain, 0);
}

static const struct virtio_chain_ops chain_ops = { .complete = chain_complete, .reject = chain_reject };

/* ---- start ---- */

static int map_ring(struct virtqueue *queue)
{
	return queue->packed ? packed_map(queue) : split_map(queue);
}

/* Where the ring stands: what the front end says, corrected by what INFLIGHT recorded. */
static int set_position(struct virtqueue *queue)
{
	const struct virtqueue_position *position = &queue->setup.position;
	enum virtqueue_violation violation = VIOLATION_NONE;

	if (queue->packed) {
		if (position->available_idx >= queue->size || position->used_idx >= queue->size)
			return -EINVAL;
		queue->pack.next = position->available_idx;
		queue->pack.next_wrap = position->available_wrap;
		queue->pack.used = position->used_idx;
		queue->pack.used_wrap = position->used_wrap;
	} else {
		queue->split.next = queue->split.seen = position->available_idx;
		queue->split.used_idx = __atomic_load_n(&queue->split.used->idx, __ATOMIC_ACQUIRE);
		queue->split.signalled_idx = queue->split.used_idx;
	}
	queue->inflight = queue->setup.inflight;
	if (queue->inflight)
		violation = inflight_recover(queue, queue->resubmit, &queue->resubmit_count);
	if (violation) {
		queue->resubmit_count = 0;
		queue_break(queue, violation, 0);
	}
	return 0;
}

static int allocate(struct virtqueue *queue)
{
	queue->slot_bytes = align_up(sizeof(struct queue_slot), 64) + align_up(queue->model->request_bytes, 64);
	queue->slots = aligned_alloc(64, queue->size * queue->slot_bytes);
	/* Untouched pages cost nothing: most chains have three elements. */
	queue->elements = malloc((size_t)queue->size * 2 * CHAIN_ELEMENTS_MAX * sizeof(struct iovec));
	queue->done = calloc(queue->size, sizeof(*queue->done));
	queue->order = calloc(queue->size, sizeof(*queue->order));
	queue->resubmit = calloc(queue->size, sizeof(*queue->resubmit));
	if (!queue->slots || !queue->elements || !queue->done || !queue->order || !queue->resubmit)
		return -ENOMEM;
	memset(queue->slots, 0, queue->size * queue->slot_bytes);
	for (unsigned i = 0; i < queue->size; i++) {
		struct queue_slot *slot = queue_slot(queue, i);

		slot->queue = queue;
		slot->chain.slot = (uint16_t)i;
		slot->chain.ops = &chain_ops;
		slot->chain.iov = queue->elements + (size_t)i * 2 * CHAIN_ELEMENTS_MAX;
		slot->chain.request = (uint8_t *)slot + align_up(sizeof(*slot), 64);
	}
	return 0;
}

static void release(struct virtqueue *queue)
{
	for (unsigned i = 0; i < 2; i++)
		guest_memory_put(queue->views[i].memory);
	dirty_log_put(queue->log);
	free(queue->resubmit);
	free(queue->order);
	free(queue->done);
	free(queue->elements);
	free(queue->slots);
	free(queue);
}

static bool has(const struct virtqueue_setup *setup, unsigned feature)
{
	return setup->features >> feature & 1;
}

static struct virtqueue *create(const struct virtqueue_setup *setup)
{
	struct virtqueue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return NULL;
	queue->setup = *setup;
	queue->loop = setup->loop;
	queue->size = setup->size;
	queue->model = setup->model;
	queue->enabled = setup->enabled;
	queue->packed = has(setup, VIRTIO_F_RING_PACKED);
	queue->event_idx = has(setup, VIRTIO_RING_F_EVENT_IDX);
	queue->in_order = has(setup, VIRTIO_F_IN_ORDER);
	queue->indirect = has(setup, VIRTIO_RING_F_INDIRECT);
	queue->poller = (struct loop_poller){ .poll = queue_poll, .park = queue_park };
	queue->publish_task.run = queue_publish;
	queue->kick_watch.ready = kick_ready;
	queue->poll_timer.expired = kickless_expired;
	queue->call_op.done = call_done;
	queue->call_timer.expired = call_expired;
	queue->call_fd = setup->call_fd;
	queue->faults_seen = memory_guard_faults() - 1;
	queue->view = &queue->views[0];
	queue->view->memory = guest_memory_get(setup->memory);
	queue->log = setup->log ? dirty_log_get(setup->log) : NULL;
	return queue;
}

int virtqueue_start(const struct virtqueue_setup *setup, struct virtqueue **ret_queue)
{
	struct virtio_queue_setup model_setup = { setup->loop, setup->index, setup->features, setup->size };
	struct virtqueue *queue;
	int error;

	assert(setup->size >= 1 && setup->size <= VIRTQUEUE_SIZE_MAX);
	queue = create(setup);
	if (!queue)
		return -ENOMEM;
	assert(queue->packed || is_power_of_two(setup->size));
	error = map_ring(queue);
	if (error)
		goto fail;
	error = allocate(queue);
	if (error)
		goto fail;
	error = queue->model->queue_start(setup->device, &model_setup, &queue->model_queue);
	if (error)
		goto fail;
	error = set_position(queue);
	if (error)
		goto fail_model;
	virtqueue_set_kick_fd(queue, setup->kick_fd);
	/* Whatever a predecessor published without a call is announced now; a call too many is harmless. */
	queue_call(queue);
	queue_wake(queue);
	*ret_queue = queue;
	return 0;

fail_model:
	queue->model->queue_stop(queue->model_queue);
fail:
	release(queue);
	return error;
}

/* ---- while running ---- */

void virtqueue_set_enabled(struct virtqueue *queue, bool enabled)
{
	queue->enabled = enabled;
	if (enabled)
		queue_wake(queue);
	else
		loop_poller_remove(queue->loop, &queue->poller);
}

void virtqueue_set_kick_fd(struct virtqueue *queue, int kick_fd)
{
	loop_watch_stop(queue->loop, &queue->kick_watch);
	loop_timer_stop(queue->loop, &queue->poll_timer);
	queue->setup.kick_fd = kick_fd;
	/* Out of memory leaves the queue without notifications: treat it as one that has none. */
	if (kick_fd >= 0 && !queue->broken &&
	    loop_watch_start(queue->loop, &queue->kick_watch, kick_fd, POLLIN) != 0)
		queue->setup.kick_fd = -1;
	loop_submit(queue->loop);
	queue_wake(queue);
}

void virtqueue_set_call_fd(struct virtqueue *queue, int call_fd)
{
	loop_submit(queue->loop);
	queue->call_fd = call_fd;
	queue_call(queue);
}

void virtqueue_set_log(struct virtqueue *queue, struct dirty_log *log, uint64_t log_used_guest)
{
	struct dirty_log *old = queue->log;

	queue->log = log ? dirty_log_get(log) : NULL;
	queue->setup.log_used_guest = log_used_guest;
	dirty_log_put(old);
}

void virtqueue_set_memory(struct virtqueue *queue, struct guest_memory *memory, void (*released)(void *context),
			  void *context)
{
	struct memory_view *old = queue->view, *new = old == &queue->views[0] ? &queue->views[1] : &queue->views[0];

	assert(!new->memory && !queue->released);
	new->memory = guest_memory_get(memory);
	new->users = 0;
	queue->view = new;
	queue->last_region = NULL;
	queue->faults_seen = memory_guard_faults() - 1;
	if (map_ring(queue) != 0)
		queue_break(queue, VIOLATION_RING_ADDRESS, queue->setup.descriptor_user);
	queue->released = released;
	queue->released_context = context;
	/* An artificial user, so that "no chain in flight" takes the same way as "the last one completed". */
	old->users++;
	view_leave(queue, old);
}

const struct virtqueue_counters *virtqueue_get_counters(const struct virtqueue *queue)
{
	return &queue->counters;
}

/* ---- stop ---- */

void virtqueue_stop(struct virtqueue *queue,
		    void (*stopped)(void *context, const struct virtqueue_position *position), void *context)
{
	assert(!queue->stopping);
	queue->stopping = true;
	queue->stopped = stopped;
	queue->stopped_context = context;
	loop_poller_remove(queue->loop, &queue->poller);
	loop_watch_stop(queue->loop, &queue->kick_watch);
	loop_timer_stop(queue->loop, &queue->poll_timer);
	try_finish_stop(queue);
}

void virtqueue_destroy(struct virtqueue *queue)
{
	if (!queue)
		return;
	assert(queue->stopping && queue->in_flight == 0 && !queue->stopped && !queue->call_pending);
	loop_defer_cancel(queue->loop, &queue->publish_task);
	queue->model->queue_stop(queue->model_queue);
	release(queue);
}
