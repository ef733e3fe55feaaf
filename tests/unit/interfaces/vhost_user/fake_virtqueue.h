/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtqueue without rings, to be included by one program: it remembers what it was told, and holds back
 * stopped() and released() while fake_hold is set, as a queue with requests in flight does.
 * Defines every function of virtqueue.h, so that the linker takes none of the real one.
 */
#ifndef VIADUCT_TESTS_FAKE_VIRTQUEUE_H
#define VIADUCT_TESTS_FAKE_VIRTQUEUE_H

#include <stdlib.h>

#include "core/guest_memory.h"
#include "interfaces/virtio/dirty_log.h"
#include "interfaces/virtio/inflight.h"
#include "interfaces/virtio/virtqueue.h"

#define FAKE_RINGS 4

struct virtqueue {
	struct virtqueue_setup setup;
	struct virtqueue_counters counters;
	struct guest_memory *memory, *memory_old;
	struct dirty_log *log;
	void (*stopped)(void *context, const struct virtqueue_position *position);
	void *stopped_context;
	void (*released)(void *context);
	void *released_context;
};

static struct virtqueue *fake_ring[FAKE_RINGS];	/* the running ones */
static bool fake_hold;
static int fake_start_error;
static unsigned fake_starts, fake_stops;

size_t inflight_region_bytes(bool packed, unsigned queue_size)
{
	return packed ? 64 + 32 * (size_t)queue_size : 64 + 16 * (size_t)queue_size;
}

const char *virtqueue_violation_text(enum virtqueue_violation violation)
{
	return "violation";
}

int virtqueue_start(const struct virtqueue_setup *setup, struct virtqueue **ret_queue)
{
	struct virtqueue *queue;

	if (fake_start_error)
		return fake_start_error;
	if (!guest_memory_at_user(setup->memory, setup->descriptor_user, 16 * setup->size))
		return -EFAULT;
	queue = calloc(1, sizeof(*queue));
	assert(queue && setup->index < FAKE_RINGS && !fake_ring[setup->index]);
	queue->setup = *setup;
	queue->memory = guest_memory_get(setup->memory);
	queue->log = setup->log ? dirty_log_get(setup->log) : NULL;
	counter_add(&queue->counters.kicks, 3);
	fake_ring[setup->index] = queue;
	fake_starts++;
	*ret_queue = queue;
	return 0;
}

/* Requests in flight complete: what was held back is reported now. */
static inline void fake_let_go(void)
{
	fake_hold = false;
	for (unsigned i = 0; i < FAKE_RINGS; i++) {
		struct virtqueue *queue = fake_ring[i];

		if (!queue)
			continue;
		if (queue->released) {
			void (*released)(void *context) = queue->released;

			queue->released = NULL;
			guest_memory_put(queue->memory_old);
			queue->memory_old = NULL;
			released(queue->released_context);
		}
		if (queue->stopped) {
			void (*stopped)(void *context, const struct virtqueue_position *position) =
				queue->stopped;

			queue->stopped = NULL;
			stopped(queue->stopped_context, &queue->setup.position);
		}
	}
}

void virtqueue_stop(struct virtqueue *queue,
		    void (*stopped)(void *context, const struct virtqueue_position *position), void *context)
{
	assert(!queue->stopped);
	queue->stopped = stopped;
	queue->stopped_context = context;
	if (!fake_hold)
		fake_let_go();
}

void virtqueue_destroy(struct virtqueue *queue)
{
	if (!queue)
		return;
	assert(!queue->stopped && !queue->released && fake_ring[queue->setup.index] == queue);
	fake_ring[queue->setup.index] = NULL;
	fake_stops++;
	guest_memory_put(queue->memory);
	dirty_log_put(queue->log);
	free(queue);
}

void virtqueue_set_enabled(struct virtqueue *queue, bool enabled)
{
	queue->setup.enabled = enabled;
}

void virtqueue_set_kick_fd(struct virtqueue *queue, int kick_fd)
{
	queue->setup.kick_fd = kick_fd;
}

void virtqueue_set_call_fd(struct virtqueue *queue, int call_fd)
{
	queue->setup.call_fd = call_fd;
}

void virtqueue_set_log(struct virtqueue *queue, struct dirty_log *log, uint64_t log_used_guest)
{
	struct dirty_log *old = queue->log;

	queue->log = log ? dirty_log_get(log) : NULL;
	queue->setup.log_used_guest = log_used_guest;
	dirty_log_put(old);
}

void virtqueue_set_memory(struct virtqueue *queue, struct guest_memory *memory,
			  void (*released)(void *context), void *context)
{
	assert(!queue->released);
	queue->memory_old = queue->memory;
	queue->memory = guest_memory_get(memory);
	queue->released = released;
	queue->released_context = context;
	if (!fake_hold)
		fake_let_go();
}

const struct virtqueue_counters *virtqueue_get_counters(const struct virtqueue *queue)
{
	return &queue->counters;
}

#endif
