/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device's side of a virtqueue as slow and plain as the specification reads (virtio 1.2, 2.7 and 2.8),
 * for tests of the driver's side: one thread, no barriers, a whole chain at a time.
 */
#ifndef VIADUCT_TESTS_NAIVE_DEVICE_H
#define VIADUCT_TESTS_NAIVE_DEVICE_H

#include <string.h>

#include "frontend/frontend_private.h"

#define NAIVE_ELEMENTS_MAX 64

struct naive_chain {
	unsigned id, count, descriptors;
	struct frontend_buffer buffer[NAIVE_ELEMENTS_MAX];
};

struct naive_device {
	struct frontend_queue *queue; /* only for where the ring lies */
	uint16_t taken, used;	      /* split: indices; packed: positions */
	bool taken_wrap, used_wrap;
};

static inline void naive_init(struct naive_device *device, struct frontend_queue *queue)
{
	*device = (struct naive_device){.queue = queue, .taken_wrap = true, .used_wrap = true};
}

static inline void *naive_pointer(const struct naive_device *device, uint64_t guest_address)
{
	return (void *)(uintptr_t)(guest_address - device->queue->guest_delta);
}

/* Returns false when the chain has no further descriptor. */
static inline bool naive_element(struct naive_chain *chain, uint64_t address, uint32_t length, uint16_t flags)
{
	assert(chain->count < NAIVE_ELEMENTS_MAX);
	chain->buffer[chain->count++] = (struct frontend_buffer){address, length, flags & DESC_F_WRITE};
	return flags & DESC_F_NEXT;
}

static inline bool naive_pop_split(struct naive_device *device, struct naive_chain *chain)
{
	struct frontend_queue *queue = device->queue;
	const struct split_desc *table = queue->split_ring.desc, *desc;

	if (device->taken == queue->split_ring.available->idx)
		return false;
	chain->id = queue->split_ring.available->ring[device->taken % queue->size];
	device->taken++;
	desc = &table[chain->id];
	chain->descriptors = 1;
	if (desc->flags & DESC_F_INDIRECT) {
		assert(!(desc->flags & DESC_F_NEXT) && desc->length % sizeof(*desc) == 0);
		table = naive_pointer(device, desc->address);
		desc = table;
	}
	while (naive_element(chain, desc->address, desc->length, desc->flags)) {
		desc = &table[desc->next];
		chain->descriptors++;
	}
	return true;
}

static inline void naive_step(uint16_t *position, bool *wrap, unsigned size)
{
	if (++*position == size) {
		*position = 0;
		*wrap = !*wrap;
	}
}

static inline bool naive_pop_packed(struct naive_device *device, struct naive_chain *chain)
{
	struct frontend_queue *queue = device->queue;
	const struct packed_desc *desc = &queue->packed_ring.desc[device->taken];
	bool available = desc->flags & PACKED_F_AVAIL, used = desc->flags & PACKED_F_USED, more;

	if (available != device->taken_wrap || used == device->taken_wrap)
		return false;
	do {
		desc = &queue->packed_ring.desc[device->taken];
		more = false;
		chain->id = desc->id;
		chain->descriptors++;
		if (desc->flags & DESC_F_INDIRECT) {
			const struct packed_desc *table = naive_pointer(device, desc->address);

			for (unsigned i = 0; i < desc->length / sizeof(*desc); i++)
				naive_element(chain, table[i].address, table[i].length, table[i].flags);
		} else {
			more = naive_element(chain, desc->address, desc->length, desc->flags);
		}
		naive_step(&device->taken, &device->taken_wrap, queue->size);
	} while (more);
	return true;
}

static inline bool naive_pop(struct naive_device *device, struct naive_chain *chain)
{
	*chain = (struct naive_chain){0};
	return device->queue->packed ? naive_pop_packed(device, chain) : naive_pop_split(device, chain);
}

/*
 * Completes `skipped` chains before this one in order, and this one, by a single used entry.
 * `descriptors`: of all of them.
 */
static inline void naive_push(struct naive_device *device, unsigned id, uint32_t written, unsigned chains,
			      unsigned descriptors)
{
	struct frontend_queue *queue = device->queue;

	if (!queue->packed) {
		queue->split_ring.used->ring[device->used % queue->size] =
		    (struct split_used_element){id, written};
		device->used = (uint16_t)(device->used + chains);
		queue->split_ring.used->idx = device->used;
		return;
	}
	queue->packed_ring.desc[device->used].id = (uint16_t)id;
	queue->packed_ring.desc[device->used].length = written;
	queue->packed_ring.desc[device->used].flags =
	    device->used_wrap ? (uint16_t)(PACKED_F_AVAIL | PACKED_F_USED) : (uint16_t)0;
	while (descriptors-- > 0)
		naive_step(&device->used, &device->used_wrap, queue->size);
}

/* Wants a kick for the next chain, or for none until further notice. */
static inline void naive_want_kick(struct naive_device *device, bool wanted)
{
	struct frontend_queue *queue = device->queue;
	uint16_t *event = (uint16_t *)&queue->split_ring.used->ring[queue->size];

	if (queue->packed) {
		queue->packed_ring.device->position = (uint16_t)(device->taken | device->taken_wrap << 15);
		queue->packed_ring.device->flags = !wanted	      ? PACKED_EVENT_DISABLE
						   : queue->event_idx ? PACKED_EVENT_DESC
								      : PACKED_EVENT_ENABLE;
	} else if (queue->event_idx) {
		/* One that the driver has passed already: it will not come by for 65536 chains. */
		*event = wanted ? device->taken : (uint16_t)(device->taken - 1);
	} else {
		queue->split_ring.used->flags = !wanted;
	}
}

#endif
