/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A heap of things that know their place in it: the smallest key is on top, and any entry can be moved or
 * removed. Keys lie beside the references, so that finding the way down touches no entry's own memory; with
 * eight children a node, 512 entries are four levels (against four children: 50 ns instead of 61 for a
 * decision). The same calls always give the same order, also among equal keys.
 *
 * A thing that is in a heap embeds a heap_place for that heap. Memory is taken by heap_reserve() only.
 */
#ifndef VIADUCT_ARBITER_SHARE_SCHEDULER_HEAP_H
#define VIADUCT_ARBITER_SHARE_SCHEDULER_HEAP_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define HEAP_CHILDREN 8u	/* see heap_least_child() */

/* Position + 1; 0: not in the heap. */
struct heap_place {
	uint32_t at;
};

struct heap_entry {
	uint64_t key;
	struct heap_place *place;
};

struct scheduler_heap {
	struct heap_entry *entries;
	uint32_t count, capacity;
};

#define HEAP_KEY_NONE UINT64_MAX

/* Room for `capacity` entries. Returns 0 or -ENOMEM: nothing has changed. */
static inline int heap_reserve(struct scheduler_heap *heap, uint32_t capacity)
{
	uint32_t grown = capacity < 4 ? 4 : capacity + capacity / 2;
	struct heap_entry *entries;

	assert(heap->count <= heap->capacity);
	if (capacity <= heap->capacity)
		return 0;
	entries = reallocarray(heap->entries, grown, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	heap->entries = entries;
	heap->capacity = grown;
	return 0;
}

static inline void heap_finish(struct scheduler_heap *heap)
{
	assert(heap->count == 0);
	free(heap->entries);
	*heap = (struct scheduler_heap){ 0 };
}

static inline bool heap_holds(const struct heap_place *place)
{
	return place->at != 0;
}

/* The smallest key; HEAP_KEY_NONE when the heap is empty. */
static inline uint64_t heap_least(const struct scheduler_heap *heap)
{
	return heap->count > 0 ? heap->entries[0].key : HEAP_KEY_NONE;
}

static inline void heap_put(struct scheduler_heap *heap, uint32_t index, struct heap_entry entry)
{
	heap->entries[index] = entry;
	entry.place->at = index + 1;
}

/* Puts `entry` where it belongs, from the free position `index` upwards. */
static inline void heap_rise(struct scheduler_heap *heap, uint32_t index, struct heap_entry entry)
{
	while (index > 0) {
		uint32_t parent = (index - 1) / HEAP_CHILDREN;

		if (heap->entries[parent].key <= entry.key)
			break;
		heap_put(heap, index, heap->entries[parent]);
		index = parent;
	}
	heap_put(heap, index, entry);
}

/* The one of two entries with the lesser key. Their order is random: no branch would guess it. */
static inline uint32_t heap_lesser(const struct heap_entry *entries, uint32_t a, uint32_t b)
{
	return a ^ ((a ^ b) & -(uint32_t)(entries[b].key < entries[a].key));
}

/* Which of the children from `first` on has the least key. */
static inline uint32_t heap_least_child(const struct scheduler_heap *heap, uint32_t first)
{
	const struct heap_entry *child = &heap->entries[first];
	uint32_t count = heap->count - first, least = 0;

	if (count >= HEAP_CHILDREN)
		return first +
		       heap_lesser(child,
				   heap_lesser(child, heap_lesser(child, 0, 1), heap_lesser(child, 2, 3)),
				   heap_lesser(child, heap_lesser(child, 4, 5), heap_lesser(child, 6, 7)));
	for (uint32_t i = 1; i < count; i++)
		least = heap_lesser(child, least, i);
	return first + least;
}

/* Puts `entry` where it belongs, from the free position `index` downwards. */
static inline void heap_sink(struct scheduler_heap *heap, uint32_t index, struct heap_entry entry)
{
	uint32_t first;

	while ((first = index * HEAP_CHILDREN + 1) < heap->count) {
		uint32_t least = heap_least_child(heap, first);

		if (heap->entries[least].key >= entry.key)
			break;
		heap_put(heap, index, heap->entries[least]);
		index = least;
	}
	heap_put(heap, index, entry);
}

/* There is room, and it is not in the heap yet. */
static inline void heap_insert(struct scheduler_heap *heap, struct heap_place *place, uint64_t key)
{
	assert(heap->count < heap->capacity && place->at == 0);
	heap_rise(heap, heap->count++, (struct heap_entry){ key, place });
}

/* It is in this heap: heap_remove() asserts that. Here it would cost 2 % of the scheduler's time. */
static inline void heap_move(struct scheduler_heap *heap, struct heap_place *place, uint64_t key)
{
	struct heap_entry entry = { key, place };
	uint32_t index = place->at - 1;
	uint64_t old;

	old = heap->entries[index].key;
	if (key > old)
		heap_sink(heap, index, entry);
	else if (key < old)
		heap_rise(heap, index, entry);
}

/* It is in this heap. */
static inline void heap_remove(struct scheduler_heap *heap, struct heap_place *place)
{
	uint32_t index = place->at - 1;
	struct heap_entry last;
	uint64_t old;

	assert(index < heap->count && heap->entries[index].place == place);
	old = heap->entries[index].key;
	place->at = 0;
	last = heap->entries[--heap->count];
	if (index == heap->count)
		return;
	if (last.key > old)
		heap_sink(heap, index, last);
	else
		heap_rise(heap, index, last);
}

#endif
