/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packed virtqueues (virtio 1.2, 2.8): the device's side. */
#include <errno.h>

#include "core/checked.h"
#include "core/shared.h"
#include "core/trace.h"
#include "interfaces/virtio/dirty_log.h"
#include "interfaces/virtio/virtqueue_chain.h"

struct ring_bytes packed_bytes(unsigned size)
{
	return (struct ring_bytes){ 16ull * size, sizeof(struct packed_event), sizeof(struct packed_event) };
}

int packed_map(struct virtqueue *queue)
{
	const struct virtqueue_setup *setup = &queue->setup;
	struct guest_memory *memory = queue->view->memory;
	struct ring_bytes bytes = packed_bytes(queue->size);
	void *descriptors = guest_memory_at_user(memory, setup->descriptor_user, bytes.descriptors);
	void *driver = guest_memory_at_user(memory, setup->driver_user, bytes.driver);
	void *device = guest_memory_at_user(memory, setup->device_user, bytes.device);

	if (!descriptors || !driver || !device)
		return -EFAULT;
	if (!is_aligned((uintptr_t)descriptors, 16) || !is_aligned((uintptr_t)driver, 4) ||
	    !is_aligned((uintptr_t)device, 4))
		return -EINVAL;
	queue->pack.descriptors = descriptors;
	queue->pack.driver_event = driver;
	queue->pack.device_event = device;
	return 0;
}

bool packed_is_untouched(const struct virtqueue *queue)
{
	const struct virtqueue_position *position = &queue->setup.position;
	const struct packed_descriptor *last = &queue->pack.descriptors[queue->size - 1];

	return position->used_idx == 0 && position->used_wrap && shared_read(&last->address) == 0 &&
	       shared_read(&last->length) == 0 && shared_read(&last->id) == 0 &&
	       shared_read(&last->flags) == 0;
}

static bool is_available(uint16_t flags, bool wrap)
{
	return !!(flags & DESCRIPTOR_AVAILABLE) == wrap && !!(flags & DESCRIPTOR_USED) != wrap;
}

bool packed_pending(struct virtqueue *queue)
{
	/* Acquire: pairs with the driver's release of the head's flags after it wrote the chain. */
	return is_available(shared_read_acquire(&queue->pack.descriptors[queue->pack.next].flags),
			    queue->pack.next_wrap);
}

/* Copies the chain at `next`; the id of a chain is in its last descriptor (2.8.6). */
static enum virtqueue_violation copy_chain(struct virtqueue *queue, struct packed_descriptor *chain,
					   unsigned *ret_count)
{
	unsigned index = queue->pack.next;

	for (unsigned count = 0; count < queue->descriptors_max && count < queue->size;) {
		const struct packed_descriptor *from = &queue->pack.descriptors[index];
		struct packed_descriptor *to = &chain[count++];

		to->address = shared_read(&from->address);
		to->length = shared_read(&from->length);
		to->id = shared_read(&from->id);
		to->flags = shared_read(&from->flags);
		if (!(to->flags & DESCRIPTOR_NEXT)) {
			*ret_count = count;
			return VIOLATION_NONE;
		}
		if (to->flags & DESCRIPTOR_INDIRECT)
			return VIOLATION_INDIRECT;
		if (++index == queue->size)
			index = 0;
	}
	return VIOLATION_LOOP;
}

static struct descriptor descriptor_of(const struct packed_descriptor *copy)
{
	return (struct descriptor){ copy->address, copy->length, copy->flags, 0 };
}

/* Follows a private copy of a chain. VIOLATION_NONE or the rule that `*at` breaks. */
static inline enum virtqueue_violation packed_gather(struct virtqueue *queue, struct queue_slot *slot,
						     const struct packed_descriptor *chain, unsigned count,
						     uint64_t *at)
{
	struct chain_walk walk = chain_begin(queue, slot);

	for (unsigned i = 0; i < count; i++) {
		struct descriptor d = descriptor_of(&chain[i]);
		enum virtqueue_violation violation;

		*at = d.address;
		if (d.flags & DESCRIPTOR_INDIRECT)
			return i + 1 < count ? VIOLATION_INDIRECT
					     : chain_end_in_table(queue, slot, walk, d.address, d.length);
		violation = chain_append(queue, slot, &walk, d);
		if (violation)
			return violation;
	}
	return chain_end(slot, walk);
}

/* Turns a private copy of a chain into a claimed slot; NULL when the ring just broke. */
static struct queue_slot *chain_slot(struct virtqueue *queue, const struct packed_descriptor *chain,
				     unsigned count)
{
	unsigned id = chain[count - 1].id;
	struct queue_slot *slot = id < queue->size ? queue_claim(queue, id) : NULL;
	enum virtqueue_violation violation;
	uint64_t at;

	if (!slot) {
		queue_break(queue, VIOLATION_HEAD, id);
		return NULL;
	}
	slot->descriptors = (uint16_t)count;
	if (count == 1 && chain_single(queue, slot, descriptor_of(chain)))
		return slot;
	violation = packed_gather(queue, slot, chain, count, &at);
	if (violation) {
		queue_break(queue, violation, at);
		return NULL;
	}
	return slot;
}

struct queue_slot *packed_take(struct virtqueue *queue)
{
	struct packed_descriptor chain[CHAIN_DESCRIPTORS_MAX];
	struct packed_ring *ring = &queue->pack;
	enum virtqueue_violation violation;
	struct queue_slot *slot;
	unsigned count = 0;

	if (!packed_pending(queue))
		return NULL;
	violation = copy_chain(queue, chain, &count);
	if (violation) {
		queue_break(queue, violation, ring->next);
		return NULL;
	}
	trace_mark(TRACE_TAKEN);
	slot = chain_slot(queue, chain, count);
	if (!slot)
		return NULL;
	if (queue->inflight && !inflight_packed_take(queue, slot, chain, count)) {
		queue_break(queue, VIOLATION_INFLIGHT, ring->next);
		return NULL;
	}
	ring->next = (uint16_t)(ring->next + count);
	if (ring->next >= queue->size) {
		ring->next = (uint16_t)(ring->next - queue->size);
		ring->next_wrap = !ring->next_wrap;
	}
	return slot;
}

void packed_give_back(struct virtqueue *queue, const struct queue_slot *slot)
{
	struct packed_ring *ring = &queue->pack;
	unsigned next = ring->next;

	if (next < slot->descriptors) {
		next += queue->size;
		ring->next_wrap = !ring->next_wrap;
	}
	ring->next = (uint16_t)(next - slot->descriptors);
	if (queue->inflight)
		inflight_packed_give_back(queue, slot);
}

struct queue_slot *packed_retake(struct virtqueue *queue, unsigned first_entry)
{
	struct packed_descriptor chain[CHAIN_DESCRIPTORS_MAX];
	unsigned count = 0, last = 0;
	struct queue_slot *slot;

	if (!inflight_packed_read(queue, first_entry, chain, &count, &last)) {
		queue_break(queue, VIOLATION_INFLIGHT, first_entry);
		return NULL;
	}
	slot = chain_slot(queue, chain, count);
	if (!slot)
		return NULL;
	slot->inflight_first = (uint16_t)first_entry;
	slot->inflight_last = (uint16_t)last;
	return slot;
}

static void log_descriptor(struct virtqueue *queue, unsigned index)
{
	uint64_t guest;

	if (queue->log && guest_memory_user_to_guest(queue->view->memory,
						     queue->setup.descriptor_user + 16ull * index, &guest))
		dirty_log_mark(queue->log, guest, 16);
}

/* Does the driver want a call, after `published` descriptors became used? (2.8.10) */
static bool call_wanted(struct virtqueue *queue, unsigned published)
{
	const struct packed_event *event = queue->pack.driver_event;
	uint16_t flags, offset_wrap, offset, new_idx = queue->pack.used;

	/* Full barrier: the used descriptors are visible before we look whether the driver sleeps. */
	shared_fence();
	flags = shared_read(&event->flags);
	if (flags != PACKED_EVENT_DESCRIPTOR || !queue->event_idx)
		return flags != PACKED_EVENT_DISABLE;
	offset_wrap = shared_read(&event->offset_wrap);
	offset = offset_wrap & 0x7fff;
	if ((bool)(offset_wrap >> 15) != queue->pack.used_wrap)
		offset = (uint16_t)(offset - queue->size);
	return (uint16_t)(new_idx - offset - 1) < (uint16_t)published;
}

/* The batch becomes visible at once: the driver reads in order, so the first descriptor's flags are last. */
bool packed_publish(struct virtqueue *queue)
{
	struct packed_ring *ring = &queue->pack;
	unsigned at = ring->used, first = at, published = 0;
	bool wrap = ring->used_wrap;
	uint16_t first_flags = 0;

	for (unsigned i = 0; i < queue->done_count; i++) {
		const struct queue_slot *slot = queue_slot(queue, queue->done[i]);
		struct packed_descriptor *used = &ring->descriptors[at];
		uint16_t flags = wrap ? DESCRIPTOR_AVAILABLE | DESCRIPTOR_USED : 0;

		if (slot->chain.written_bytes > 0)
			flags |= DESCRIPTOR_WRITE;
		shared_write(&used->id, queue->done[i]);
		shared_write(&used->length, slot->chain.written_bytes);
		if (i == 0)
			first_flags = flags;
		else
			shared_write(&used->flags, flags);
		log_descriptor(queue, at);
		published += slot->descriptors;
		at += slot->descriptors;
		if (at >= queue->size) {
			at -= queue->size;
			wrap = !wrap;
		}
	}
	if (queue->inflight)
		inflight_packed_before(queue, (uint16_t)at, wrap);
	/* Release: pairs with the driver's acquire of the flags before it reads id, length and data. */
	shared_write_release(&ring->descriptors[first].flags, first_flags);
	if (queue->inflight)
		inflight_packed_after(queue, (uint16_t)at, wrap);
	ring->used = (uint16_t)at;
	ring->used_wrap = wrap;
	return call_wanted(queue, published);
}

void packed_notify(struct virtqueue *queue, bool wanted)
{
	shared_write(&queue->pack.device_event->flags,
		     (uint16_t)(wanted ? PACKED_EVENT_ENABLE : PACKED_EVENT_DISABLE));
	if (queue->log && queue->setup.log_used_guest != UINT64_MAX)
		dirty_log_mark(queue->log, queue->setup.log_used_guest, sizeof(struct packed_event));
	/* Full barrier: the wish is visible before the caller looks at the ring once more. */
	if (wanted)
		shared_fence();
}
