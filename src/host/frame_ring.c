/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One record for each frame, at a multiple of 8:
 *
 *   0  4  bytes of the frame, or RECORD_SKIP: nothing more before the buffer's end
 *   4  4  tag
 *   8     the frame, in one piece
 *
 * head and tail never wrap in practice: 64 bits of bytes are centuries.
 */
#include "host/frame_ring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"

#define RECORD_ALIGNMENT 8u
#define RECORD_SKIP	 UINT32_MAX

struct record {
	uint32_t bytes, tag;
};

static_assert(sizeof(struct record) == RECORD_ALIGNMENT, "as above");
/* Wherever an empty ring stands, a frame fits behind what is skipped. */
static_assert(2 * (FRAME_BYTES_MAX + 2 * RECORD_ALIGNMENT) <= FRAME_RING_BYTES_MIN, "a frame always fits");

int frame_ring_init(struct frame_ring *ring, uint64_t size_bytes)
{
	assert(is_power_of_two(size_bytes) && size_bytes >= FRAME_RING_BYTES_MIN);
	*ring = (struct frame_ring){ .size_bytes = size_bytes };
	ring->buffer = calloc(1, size_bytes);
	return ring->buffer ? 0 : -ENOMEM;
}

void frame_ring_finish(struct frame_ring *ring)
{
	free(ring->buffer);
	*ring = (struct frame_ring){ .buffer = NULL };
}

static struct record *record_at(const struct frame_ring *ring, uint64_t position)
{
	return (struct record *)(void *)(ring->buffer + (position & (ring->size_bytes - 1)));
}

static uint64_t record_bytes(uint32_t frame_bytes)
{
	return align_up(sizeof(struct record) + frame_bytes, RECORD_ALIGNMENT);
}

uint8_t *frame_ring_reserve(struct frame_ring *ring, uint32_t bytes)
{
	/* Acquire: pairs with the release in frame_ring_release(); what is overwritten has been read. */
	uint64_t used = ring->head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
	uint64_t to_end = ring->size_bytes - (ring->head & (ring->size_bytes - 1));
	uint64_t wanted = record_bytes(bytes), skipped = wanted > to_end ? to_end : 0;

	assert(bytes <= FRAME_BYTES_MAX && used <= ring->size_bytes);
	if (skipped + wanted > ring->size_bytes - used)
		return NULL;
	if (skipped > 0)
		*record_at(ring, ring->head) = (struct record){ .bytes = RECORD_SKIP };
	ring->reserved = ring->head + skipped;
	return (uint8_t *)(record_at(ring, ring->reserved) + 1);
}

void frame_ring_put(struct frame_ring *ring, uint32_t bytes, uint32_t tag)
{
	assert(ring->reserved >= ring->head && bytes <= FRAME_BYTES_MAX);
	*record_at(ring, ring->reserved) = (struct record){ .bytes = bytes, .tag = tag };
	/* Release: pairs with the acquire in frame_ring_next(). */
	__atomic_store_n(&ring->head, ring->reserved + record_bytes(bytes), __ATOMIC_RELEASE);
}

uint8_t *frame_ring_next(const struct frame_ring *ring, uint64_t *cursor, uint32_t *ret_bytes,
			 uint32_t *ret_tag)
{
	/* Acquire: pairs with the release in frame_ring_put(). */
	uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
	struct record *record;

	if (*cursor == head)
		return NULL;
	record = record_at(ring, *cursor);
	if (record->bytes == RECORD_SKIP) {
		*cursor = align_up(*cursor + 1, ring->size_bytes);
		record = record_at(ring, *cursor);
	}
	*ret_bytes = record->bytes;
	*ret_tag = record->tag;
	*cursor += record_bytes(record->bytes);
	assert(head - *cursor < ring->size_bytes);
	return (uint8_t *)(record + 1);
}

void frame_ring_release(struct frame_ring *ring, uint64_t cursor)
{
	/* Release: pairs with the acquire in frame_ring_reserve(). */
	__atomic_store_n(&ring->tail, cursor, __ATOMIC_RELEASE);
}

uint64_t frame_ring_used_bytes(const struct frame_ring *ring)
{
	uint64_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);

	return __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) - tail;
}
