/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Split virtqueues (virtio 1.2, 2.7): the device's side. */
#include <errno.h>

#include "core/checked.h"
#include "core/shared.h"
#include "core/trace.h"
#include "interfaces/virtio/dirty_log.h"
#include "interfaces/virtio/virtqueue_chain.h"

/* The driver's used_event and our available_event sit behind the last element of the other side's ring. */
static uint16_t *used_event(struct virtqueue *queue)
{
	return &queue->split.available->ring[queue->size];
}

static uint16_t *available_event(struct virtqueue *queue)
{
	return (uint16_t *)&queue->split.used->ring[queue->size];
}

struct ring_bytes split_bytes(unsigned size)
{
	return (struct ring_bytes){ 16ull * size, 6 + 2ull * size, 6 + 8ull * size };
}

int split_map(struct virtqueue *queue)
{
	const struct virtqueue_setup *setup = &queue->setup;
	struct guest_memory *memory = queue->view->memory;
	struct ring_bytes bytes = split_bytes(queue->size);
	void *descriptors = guest_memory_at_user(memory, setup->descriptor_user, bytes.descriptors);
	void *available = guest_memory_at_user(memory, setup->driver_user, bytes.driver);
	void *used = guest_memory_at_user(memory, setup->device_user, bytes.device);

	if (!descriptors || !available || !used)
		return -EFAULT;
	if (!is_aligned((uintptr_t)descriptors, 16) || !is_aligned((uintptr_t)available, 2) ||
	    !is_aligned((uintptr_t)used, 4))
		return -EINVAL;
	queue->split.descriptors = descriptors;
	queue->split.available = available;
	queue->split.used = used;
	return 0;
}

bool split_is_untouched(const struct virtqueue *queue)
{
	const struct split_used *used = queue->split.used;
	const struct split_used_element *last = &used->ring[queue->size - 1];

	return shared_read(&used->idx) == 0 && shared_read(&last->id) == 0 && shared_read(&last->length) == 0;
}

bool split_pending(struct virtqueue *queue)
{
	struct split_ring *ring = &queue->split;

	if (ring->seen == ring->next) {
		/*
		 * Acquire: pairs with the driver's release of available->idx after it wrote the ring and
		 * chain.
		 */
		ring->seen = shared_read_acquire(&ring->available->idx);
		if ((uint16_t)(ring->seen - ring->next) > queue->size) {
			queue_break(queue, VIOLATION_AVAILABLE_JUMP, ring->seen);
			return false;
		}
	}
	return ring->seen != ring->next;
}

static struct descriptor descriptor_read(const struct split_descriptor *from)
{
	return (struct descriptor){
		.address = shared_read(&from->address),
		.length = shared_read(&from->length),
		.flags = shared_read(&from->flags),
		.next = shared_read(&from->next),
	};
}

static struct queue_slot *broken(struct virtqueue *queue, enum virtqueue_violation violation, uint64_t value)
{
	queue_break(queue, violation, value);
	return NULL;
}

/* The slot of the chain that begins at `head`. NULL: the ring just broke. */
static struct queue_slot *split_claim(struct virtqueue *queue, unsigned head)
{
	struct queue_slot *slot = head < queue->size ? queue_claim(queue, head) : NULL;

	return slot ? slot : broken(queue, VIOLATION_HEAD, head);
}

/* Follows the chain whose first descriptor is `d`. NULL: the ring just broke. */
static inline struct queue_slot *split_gather(struct virtqueue *queue, struct queue_slot *slot,
					      struct descriptor d)
{
	struct chain_walk walk = chain_begin(queue, slot);

	for (unsigned walked = 1;; walked++) {
		bool table = d.flags & DESCRIPTOR_INDIRECT, last = table || !(d.flags & DESCRIPTOR_NEXT);
		enum virtqueue_violation violation;

		if (!table)
			violation = chain_append(queue, slot, &walk, d);
		else if (d.flags & DESCRIPTOR_NEXT)
			violation = VIOLATION_INDIRECT;
		else
			violation = chain_end_in_table(queue, slot, walk, d.address, d.length);
		if (!violation && last && !table)
			violation = chain_end(slot, walk);
		if (violation)
			return broken(queue, violation, d.address);
		if (last)
			return slot;
		if (d.next >= queue->size)
			return broken(queue, VIOLATION_NEXT, d.next);
		if (walked == queue->descriptors_max || walked == queue->size)
			return broken(queue, VIOLATION_LOOP, d.next);
		d = descriptor_read(&queue->split.descriptors[d.next]);
	}
}

struct queue_slot *split_take(struct virtqueue *queue)
{
	struct split_ring *ring = &queue->split;
	struct queue_slot *slot;
	struct descriptor d;
	unsigned head;

	if (!split_pending(queue))
		return NULL;
	head = shared_read(&ring->available->ring[ring->next & (queue->size - 1)]);
	trace_mark(TRACE_TAKEN);
	slot = split_claim(queue, head);
	if (!slot)
		return NULL;
	d = descriptor_read(&ring->descriptors[head]);
	if (!chain_single(queue, slot, d) && !split_gather(queue, slot, d))
		return NULL;
	if (queue->inflight)
		inflight_split_take(queue, head);
	ring->next++;
	return slot;
}

/* `seen` goes back too: how far ahead the driver is gets checked again, as for a chain never taken. */
void split_give_back(struct virtqueue *queue, const struct queue_slot *slot)
{
	struct split_ring *ring = &queue->split;

	ring->seen = --ring->next;
	if (queue->inflight)
		inflight_split_give_back(queue, slot->chain.slot);
}

struct queue_slot *split_retake(struct virtqueue *queue, unsigned head)
{
	struct queue_slot *slot = split_claim(queue, head);

	return slot ? split_gather(queue, slot, descriptor_read(&queue->split.descriptors[head])) : NULL;
}

static void log_used(struct virtqueue *queue, uint64_t offset, uint64_t length)
{
	if (queue->log && queue->setup.log_used_guest != UINT64_MAX)
		dirty_log_mark(queue->log, queue->setup.log_used_guest + offset, length);
}

/* Does the driver want a call for (old, new]? (2.7.10: event index or flag.) */
static bool call_wanted(struct virtqueue *queue, uint16_t new_idx)
{
	uint16_t old = queue->split.signalled_idx;

	queue->split.signalled_idx = new_idx;
	/* Full barrier: used->idx is visible before we look whether the driver sleeps; pairs with its own. */
	shared_fence();
	if (!queue->event_idx)
		return !(shared_read(&queue->split.available->flags) & SPLIT_NO_INTERRUPT);
	return (uint16_t)(new_idx - shared_read(used_event(queue)) - 1) < (uint16_t)(new_idx - old);
}

bool split_publish(struct virtqueue *queue)
{
	struct split_ring *ring = &queue->split;
	unsigned mask = queue->size - 1;
	uint16_t idx = ring->used_idx;

	for (unsigned i = 0; i < queue->done_count; i++, idx++) {
		struct split_used_element *element = &ring->used->ring[idx & mask];

		shared_write(&element->id, (uint32_t)queue->done[i]);
		shared_write(&element->length, queue_slot(queue, queue->done[i])->chain.written_bytes);
		log_used(queue, offsetof(struct split_used, ring) + (idx & mask) * sizeof(*element),
			 sizeof(*element));
	}
	if (queue->inflight)
		inflight_split_before(queue);
	/* Release: pairs with the driver's acquire of used->idx before it reads the elements and data. */
	shared_write_release(&ring->used->idx, idx);
	log_used(queue, 0, offsetof(struct split_used, ring));
	if (queue->inflight)
		inflight_split_after(queue, idx);
	ring->used_idx = idx;
	return call_wanted(queue, idx);
}

/*
 * With the event index an old available_event is "not wanted": the driver notifies only when it passes it.
 * Otherwise the flag says it. The model may have left chains in the ring: the driver is asked to kick for
 * those that come after them.
 */
void split_notify(struct virtqueue *queue, bool wanted)
{
	struct split_ring *ring = &queue->split;

	if (!queue->event_idx) {
		shared_write(&ring->used->flags, wanted ? 0 : (uint16_t)SPLIT_NO_NOTIFY);
		log_used(queue, 0, 2);
	} else if (wanted) {
		ring->asked_idx = shared_read(&ring->available->idx);
		shared_write(available_event(queue), ring->asked_idx);
		log_used(queue, 4 + 8ull * queue->size, 2);
	}
	/* Full barrier: the wish is visible before the caller looks at the ring once more. */
	if (wanted)
		shared_fence();
}

bool split_posted(const struct virtqueue *queue)
{
	return queue->event_idx && shared_read(&queue->split.available->idx) != queue->split.asked_idx;
}
