/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A ring in memory and the least that a driver does with it: chains of three descriptors at fixed places,
 * posted and reaped in order, without calls. For measurements of the device's side.
 */
#ifndef VIADUCT_BENCH_RING_MEMORY_H
#define VIADUCT_BENCH_RING_MEMORY_H

#include "interfaces/virtio/virtqueue.h"

struct ring_memory {
	bool packed;
	uint8_t *bytes;			/* the guest's memory */
	struct guest_memory *memory;
	uint16_t next;			/* split: available index; packed: descriptor */
	uint16_t used;			/* likewise, of what was reaped */
	bool next_wrap, used_wrap;
};

/* Ends the program when there is no memory. Lives as long as the program. */
void ring_memory_init(struct ring_memory *ring, bool packed);
/* The caller adds loop, model and broken(). */
struct virtqueue_setup ring_memory_setup(const struct ring_memory *ring);

/* `count` chains become available, at most RING_MEMORY_CHAINS of them at the same time. */
#define RING_MEMORY_CHAINS 64u
void ring_memory_post(struct ring_memory *ring, unsigned count);
/* So many must have become used. Ends the program when they have not. */
void ring_memory_reap(struct ring_memory *ring, unsigned count);

#endif
