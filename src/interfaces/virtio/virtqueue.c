/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a virtqueue: start, changes while it runs, stop. What happens to requests is in
 * virtqueue_path.c and virtqueue_notify.c.
 */
#include "interfaces/virtio/virtqueue.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/clock.h"
#include "core/container.h"
#include "core/loop_account.h"
#include "core/memory_guard.h"
#include "core/shared.h"
#include "interfaces/virtio/dirty_log.h"
#include "interfaces/virtio/virtqueue_internal.h"

/* How long a stop waits for its last call; an eventfd that takes longer has a full counter. */
#define CALL_TIMEOUT_NS NS_PER_S

/* Before the first descriptor: nothing lies in it. */
static const struct guest_region no_region;

/* ---- start ---- */

static int map_ring(struct virtqueue *queue)
{
	return queue->packed ? packed_map(queue) : split_map(queue);
}

/*
 * Nothing of a ring that starts is in flight: a predecessor completed all that it took, or was killed. So the
 * next chain to take is the first that is not used, whatever the front end says of it: DPDK's virtio-user
 * says 0 after a reconnect, when the indices of a split ring have long gone on. inflight_recover() corrects
 * this by what a predecessor recorded.
 */
static int set_position(struct virtqueue *queue)
{
	const struct virtqueue_position *position = &queue->setup.position;
	enum virtqueue_violation violation = VIOLATION_NONE;

	if (queue->packed) {
		if (position->available_idx >= queue->size || position->used_idx >= queue->size)
			return -EINVAL;
		queue->pack.next = queue->pack.used = position->used_idx;
		queue->pack.next_wrap = queue->pack.used_wrap = position->used_wrap;
	} else {
		queue->split.used_idx = shared_read_acquire(&queue->split.used->idx);
		queue->split.next = queue->split.seen = queue->split.used_idx;
		queue->split.signalled_idx = queue->split.used_idx;
	}
	queue->inflight = queue->setup.inflight;
	if (!queue->inflight && queue->setup.record && inflight_is_used(queue->setup.record, queue->packed))
		queue->inflight = queue->setup.record;
	if (queue->inflight)
		violation = inflight_recover(queue, queue->resubmit, &queue->resubmit_count);
	if (violation) {
		queue->resubmit_count = 0;
		queue_break(queue, violation, 0);
	}
	return 0;
}

void queue_prepare_slot(struct virtqueue *queue, struct queue_slot *slot, unsigned index)
{
	slot->chain.slot = (uint16_t)index;
	slot->chain.request = (uint8_t *)slot + align_up(sizeof(*slot), 64);
}

/*
 * Megabytes, of which nothing is touched here: rings may be started and stopped as often as a front end
 * likes, and untouched pages cost nothing (main.c has the allocator map what is large). Most chains have one
 * element, which is in their slot, or three.
 */
static int allocate(struct virtqueue *queue)
{
	queue->slot_bytes =
		align_up(sizeof(struct queue_slot), 64) + align_up(queue->model->request_bytes, 64);
	queue->slots_memory = calloc(1, 64 + queue->size * queue->slot_bytes);
	queue->slots = (uint8_t *)align_up((uintptr_t)queue->slots_memory, 64);
	queue->elements = calloc((size_t)queue->size * queue->elements_max, sizeof(struct iovec));
	queue->done = calloc(queue->size, sizeof(*queue->done));
	queue->order = calloc(queue->size, sizeof(*queue->order));
	queue->resubmit = calloc(queue->size, sizeof(*queue->resubmit));
	if (!queue->slots_memory || !queue->elements || !queue->done || !queue->order || !queue->resubmit)
		return -ENOMEM;
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
	free(queue->slots_memory);
	free(queue);
}

static bool has(const struct virtqueue_setup *setup, unsigned feature)
{
	return setup->features >> feature & 1;
}

bool virtqueue_lies_in(const struct virtqueue_setup *setup, const struct guest_memory *memory)
{
	struct ring_bytes bytes =
		has(setup, VIRTIO_F_RING_PACKED) ? packed_bytes(setup->size) : split_bytes(setup->size);

	return guest_memory_holds_user(memory, setup->descriptor_user, bytes.descriptors) &&
	       guest_memory_holds_user(memory, setup->driver_user, bytes.driver) &&
	       guest_memory_holds_user(memory, setup->device_user, bytes.device);
}

static void call_expired(struct loop_timer *timer);

static struct virtqueue *create(const struct virtqueue_setup *setup)
{
	struct virtqueue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return NULL;
	queue->setup = *setup;
	queue->offered.ops = &queue_ops;
	queue->listening = true;
	queue->loop = setup->loop;
	queue->size = setup->size;
	queue->descriptors_max =
		setup->model->chain_descriptors ? setup->model->chain_descriptors : CHAIN_DESCRIPTORS;
	assert(queue->descriptors_max <= CHAIN_DESCRIPTORS_MAX);
	queue->elements_max = queue->descriptors_max + CHAIN_ELEMENTS_MORE;
	queue->take_batch = setup->model->turn_chains ? setup->model->turn_chains : TAKE_BATCH;
	queue->take_timed = setup->model->turn_chains ? setup->model->turn_chains : TAKE_TIMED;
	queue->take_brief = setup->model->turn_chains
				    ? (setup->model->turn_chains + TAKE_BRIEF_PART - 1) / TAKE_BRIEF_PART
				    : TAKE_BATCH;
	queue->model = setup->model;
	queue->enabled = setup->enabled;
	queue->packed = has(setup, VIRTIO_F_RING_PACKED);
	queue->event_idx = has(setup, VIRTIO_RING_F_EVENT_IDX);
	queue->in_order = has(setup, VIRTIO_F_IN_ORDER);
	queue->indirect = has(setup, VIRTIO_RING_F_INDIRECT);
	queue->poller =
		(struct loop_poller){ .poll = queue_poll, .park = queue_park, .account = setup->account };
	queue->publish_task.run = queue_publish;
	queue->kick_watch = (struct loop_watch){ .ready = queue_kick_ready, .account = setup->account };
	queue->poll_timer.expired = queue_poll_expired;
	queue->call_op.done = queue_call_done;
	queue->call_timer.expired = call_expired;
	queue->held = loop_blame_flag(setup->loop);
	queue->blame = (struct loop_blame){ .blamed = queue_blamed, .account = setup->account };
	queue->call_fd = setup->call_fd;
	queue->faults_seen = memory_guard_faults() - 1;
	queue->view = &queue->views[0];
	queue->view->memory = guest_memory_get(setup->memory);
	queue->last_region = &no_region;
	queue->log = setup->log ? dirty_log_get(setup->log) : NULL;
	return queue;
}

/*
 * A ring ends where a new one begins after 65536 chains of a split one, or two rounds of a packed one: only
 * what lies in it tells then whether a driver was paused there or another has set up its own. Drivers zero a
 * ring; a device has written into each element of one that has gone around.
 */
static bool began_where_it_ended(const struct virtqueue *queue)
{
	return queue->setup.has_served &&
	       (queue->packed ? packed_is_untouched(queue) : split_is_untouched(queue));
}

int virtqueue_start(const struct virtqueue_setup *setup, struct virtqueue **ret_queue)
{
	struct virtio_queue_setup model_setup = {
		.loop = setup->loop,
		.index = setup->index,
		.features = setup->features,
		.size = setup->size,
	};
	struct virtqueue *queue;
	int error;

	assert(setup->size >= 1 && setup->size <= VIRTQUEUE_SIZE_MAX);
	assert(!setup->call || (setup->kick_fd < 0 && setup->call_fd < 0));
	queue = create(setup);
	if (!queue)
		return -ENOMEM;
	assert(queue->packed || is_power_of_two(setup->size));
	assert(setup->model->repeatable || !setup->inflight);
	error = map_ring(queue);
	if (error)
		goto fail;
	error = allocate(queue);
	if (error)
		goto fail;
	model_setup.anew = setup->anew || began_where_it_ended(queue);
	model_setup.queue = &queue->offered;
	error = queue->model->queue_start(setup->device, &model_setup, &queue->model_queue);
	if (error)
		goto fail;
	error = set_position(queue);
	if (error)
		goto fail_model;
	queue_check_memory(queue);
	if (setup->account)
		loop_blame_start(queue->loop, &queue->blame);
	virtqueue_set_kick_fd(queue, setup->kick_fd);
	/*
	 * Whatever a predecessor published without a call is announced now; a call too many is harmless, but
	 * for drivers that have asked for no interrupts, where each is one.
	 */
	if (!setup->call || setup->has_served)
		queue_call(queue);
	if (queue_takes(queue))
		queue_silence(queue);
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

static void cancel_call(struct virtqueue *queue)
{
	struct io_uring_sqe *sqe = loop_sqe(queue->loop);

	io_uring_prep_cancel(sqe, &queue->call_op, 0);
	io_uring_sqe_set_data(sqe, NULL);
}

void virtqueue_set_call_fd(struct virtqueue *queue, int call_fd)
{
	loop_submit(queue->loop);
	queue->call_fd = call_fd;
	/* A write that waits for the old descriptor's full counter must not hold up the new one's. */
	if (queue->call_pending)
		cancel_call(queue);
	queue_call(queue);
}

void virtqueue_set_log(struct virtqueue *queue, struct dirty_log *log, uint64_t log_used_guest)
{
	struct dirty_log *old = queue->log;

	queue->log = log ? dirty_log_get(log) : NULL;
	queue->setup.log_used_guest = log_used_guest;
	dirty_log_put(old);
}

static void drain(struct virtqueue *queue, bool on)
{
	if (queue->model->queue_drain)
		queue->model->queue_drain(queue->model_queue, on);
}

void queue_release_view(struct virtqueue *queue, struct memory_view *view)
{
	void (*released)(void *context) = queue->released;

	assert(view->users == 0 && view != queue->view);
	guest_memory_put(view->memory);
	view->memory = NULL;
	queue->released = NULL;
	drain(queue, queue->stopping);
	released(queue->released_context);
}

void virtqueue_set_memory(struct virtqueue *queue, struct guest_memory *memory,
			  void (*released)(void *context), void *context)
{
	struct memory_view *old = queue->view,
			   *new = old == &queue->views[0] ? &queue->views[1] : &queue->views[0];

	assert(!new->memory && !queue->released);
	new->memory = guest_memory_get(memory);
	new->users = 0;
	queue->view = new;
	queue->last_region = &no_region;
	queue->faults_seen = memory_guard_faults() - 1;
	if (map_ring(queue) != 0)
		queue_break(queue, VIOLATION_RING_ADDRESS, queue->setup.descriptor_user);
	queue->released = released;
	queue->released_context = context;
	if (old->users == 0)
		queue_release_view(queue, old);
	else
		drain(queue, true);
}

const struct virtqueue_counters *virtqueue_get_counters(const struct virtqueue *queue)
{
	return &queue->counters;
}

/* ---- stop ---- */

static void call_expired(struct loop_timer *timer)
{
	struct virtqueue *queue = container_of(timer, struct virtqueue, call_timer);

	queue->call_given_up = true;
	cancel_call(queue);
}

/* What a predecessor had in flight is answered before the ring stops, also when it never was enabled. */
static bool has_to_recover(const struct virtqueue *queue)
{
	return queue_recovers(queue) && !queue->broken;
}

/*
 * A stop is over when nothing is in flight, everything answered is published, and the last call reached
 * the driver (or its eventfd blocks, which is its own doing).
 */
void queue_try_finish_stop(struct virtqueue *queue)
{
	void (*stopped)(void *context, const struct virtqueue_position *position) = queue->stopped;
	struct virtqueue_position position = {
		.available_idx = queue->abandoned ? queue->split.used_idx : queue->split.next,
	};

	if (!stopped || queue->in_flight > 0 || queue->done_count > 0 || has_to_recover(queue))
		return;
	if (queue->call_pending) {
		loop_timer_start(queue->loop, &queue->call_timer, clock_now_ns() + CALL_TIMEOUT_NS);
		return;
	}
	loop_timer_stop(queue->loop, &queue->call_timer);
	if (queue->packed)
		position = (struct virtqueue_position){ queue->pack.next, queue->pack.used,
							queue->pack.next_wrap, queue->pack.used_wrap };
	queue->stopped = NULL;
	stopped(queue->stopped_context, &position);
}

static bool poll_recovery(struct loop_poller *poller)
{
	struct virtqueue *queue = container_of(poller, struct virtqueue, poller);

	/* Many queues of a guest may do this at once: together they get a slice. */
	if (loop_slice_over(queue->loop) && queue->resubmit_turns++ < RECOVERY_TURNS_MAX)
		return true;
	queue->resubmit_turns = 0;
	queue_begin_turn(queue, queue->take_batch);
	queue->model->ready(queue->model_queue);
	queue->turn.on = false;
	if (has_to_recover(queue))
		return true;
	loop_poller_remove(queue->loop, poller);
	queue_try_finish_stop(queue);
	return true;
}

static bool park_recovery(struct loop_poller *poller)
{
	return false;
}

/* As much of it in a turn as of new chains. */
static void recover(struct virtqueue *queue)
{
	queue->poller.poll = poll_recovery;
	queue->poller.park = park_recovery;
	loop_poller_wake(queue->loop, &queue->poller);
}

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
	if (queue->in_flight > 0 || has_to_recover(queue))
		drain(queue, true);
	if (has_to_recover(queue))
		recover(queue);
	queue_try_finish_stop(queue);
}

void virtqueue_destroy(struct virtqueue *queue)
{
	if (!queue)
		return;
	assert(queue->stopping && queue->in_flight == 0 && !queue->stopped && !queue->call_pending);
	loop_defer_cancel(queue->loop, &queue->publish_task);
	loop_blame_stop(queue->loop, &queue->blame);
	queue->model->queue_stop(queue->model_queue);
	release(queue);
}
