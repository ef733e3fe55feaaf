/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A queue of frames between two threads: one puts frames in, the other takes them out, and neither waits for
 * the other. Frames lie one after the other in one buffer that is allocated before, so a queue is bounded by
 * bytes, and both sides work on the frame where it lies.
 */
#ifndef VIADUCT_HOST_FRAME_RING_H
#define VIADUCT_HOST_FRAME_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "core/frame.h"

#define FRAME_RING_BYTES_MIN (256u << 10)

/* Each thread writes to cache lines of its own. */
struct frame_ring {
	uint8_t *buffer;
	uint64_t size_bytes;
	uint8_t apart_from_head[48];
	uint64_t head;	   /* bytes ever put in; the producer's */
	uint64_t reserved; /* where the frame begins that the producer is about to put in */
	uint8_t apart_from_tail[48];
	uint64_t tail; /* bytes ever taken out; the consumer's */
};

/* A power of two, at least FRAME_RING_BYTES_MIN. Returns 0 or -ENOMEM. */
int frame_ring_init(struct frame_ring *ring, uint64_t size_bytes);
/* A zeroed ring is allowed. */
void frame_ring_finish(struct frame_ring *ring);

/* Producer: room for a frame of at most FRAME_BYTES_MAX, or NULL. The call below puts it into the ring. */
uint8_t *frame_ring_reserve(struct frame_ring *ring, uint32_t bytes);
/* Producer: puts in the frame that was reserved last; `tag` is for the consumer. */
void frame_ring_put(struct frame_ring *ring, uint32_t bytes, uint32_t tag);

/* Consumer: the frames from *cursor on, one a call; NULL: there is none. Starts at ring->tail. */
uint8_t *frame_ring_next(const struct frame_ring *ring, uint64_t *cursor, uint32_t *ret_bytes,
			 uint32_t *ret_tag);
/* Consumer: gives the room of all frames before `cursor` back. */
void frame_ring_release(struct frame_ring *ring, uint64_t cursor);

/* Either; the other thread may change it at once. */
uint64_t frame_ring_used_bytes(const struct frame_ring *ring);

#endif
