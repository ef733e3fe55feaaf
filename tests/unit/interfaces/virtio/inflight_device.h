/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A naive device on a packed ring with an INFLIGHT region, to be included by one program: it carries the
 * protocol's procedure out, one counted store after the other, and dies when its budget is used up.
 */
#ifndef VIADUCT_TESTS_UNIT_INFLIGHT_DEVICE_H
#define VIADUCT_TESTS_UNIT_INFLIGHT_DEVICE_H

#include <stdlib.h>

#include "queue_bench.h"

#define SIZE	   8u
#define CHAINS_MAX 8u

/* The layout as the protocol gives it, on purpose not taken from the code under test. */
struct entry {
	uint8_t inflight, padding;
	uint16_t next, last, num;
	uint64_t counter;
	uint16_t id, flags;
	uint32_t length;
	uint64_t address;
};

struct region {
	uint64_t features;
	uint16_t version, desc_num, free_head, old_free_head, used_idx, old_used_idx;
	uint8_t used_wrap, old_used_wrap;
	uint8_t padding[10];
	struct entry entry[SIZE];
};

/* A chain that the driver made available. */
struct chain {
	unsigned id, count, place;	/* place: which data, see bench_held() */
	unsigned at;			/* first descriptor */
	unsigned first_entry, last_entry;
	bool visible;
};

static struct queue_bench bench;
static struct region *region;
static struct chain chains[CHAINS_MAX];
static unsigned chain_count, places;
static unsigned budget, stores;		/* the device dies when stores == budget */
static unsigned next, used;
static bool wrap;

/* False: the device died before this store. */
static inline bool alive(void)
{
	return stores < budget && ++stores;
}

#define STORE(assignment)                                                                                    \
	do {                                                                                                 \
		if (!alive())                                                                                \
			return;                                                                              \
		assignment;                                                                                  \
	} while (0)

static inline struct packed_descriptor *ring(unsigned index)
{
	return &ring_driver_packed_descriptors(&bench.driver)[index % SIZE];
}

static inline void begin(unsigned start, unsigned stores_allowed)
{
	bench_begin(&bench, true, SIZE, 0);
	region = aligned_alloc(64, inflight_region_bytes(true, SIZE));
	assert_non_null(region);
	memset(region, 0, inflight_region_bytes(true, SIZE));
	region->version = 1;
	region->desc_num = SIZE;
	region->used_idx = region->old_used_idx = (uint16_t)start;
	region->used_wrap = region->old_used_wrap = 1;
	for (unsigned i = 0; i < SIZE; i++)
		region->entry[i].next = (uint16_t)(i + 1);
	bench.driver.next_available = (uint16_t)start;
	bench.setup.inflight = region;
	chain_count = places = stores = 0;
	budget = stores_allowed;
	next = used = start;
	wrap = true;
}

static inline void end(void)
{
	bench_end(&bench);
	free(region);
}

/* The driver: a readable byte that tells the chain, and count - 1 more of them. */
static inline void add(unsigned id, unsigned count)
{
	struct chain chain = { .id = id, .count = count, .place = places, .at = bench.driver.next_available };

	*ring_driver_at(&bench.driver, DATA + 256 * places) = (uint8_t)(places + 1);
	for (unsigned i = 0; i < count; i++)
		bench_packed(&bench, DATA + 256 * places, 1, id, i + 1 < count ? DESCRIPTOR_NEXT : 0);
	places++;
	assert_true(chain_count < CHAINS_MAX);
	chains[chain_count++] = chain;
}

/* Without sleeping: the queue stays awake and looks at the ring each turn. */
static inline void turn(void)
{
	for (int i = 0; i < 3; i++)
		assert_int_equal(loop_turn(bench.loop, 0), 0);
}

static inline void start_queue(void)
{
	assert_int_equal(virtqueue_start(&bench.setup, &bench.queue), 0);
	turn();
}

/* ---- the naive device ---- */

static inline void take(unsigned index)
{
	struct chain *chain = &chains[index];
	unsigned at = region->free_head, first = region->old_free_head, after;

	for (unsigned i = 0; i < chain->count; i++) {
		struct packed_descriptor d = *ring(next + i);

		after = region->entry[at].next;
		if (i == 0) {
			STORE(region->entry[first].num = 0);
			STORE(region->entry[first].counter = 100 + chain->place);
			STORE(region->entry[first].inflight = 1);
		}
		if (i + 1 == chain->count)
			STORE(region->entry[first].last = (uint16_t)at);
		STORE(region->entry[first].num = (uint16_t)(i + 1));
		STORE(region->entry[at].address = d.address);
		STORE(region->entry[at].length = d.length);
		STORE(region->entry[at].flags = d.flags);
		STORE(region->entry[at].id = d.id);
		STORE(region->free_head = (uint16_t)after);
		chain->last_entry = at;
		at = after;
	}
	STORE(region->old_free_head = (uint16_t)at);
	chain->first_entry = first;
	next = (next + chain->count) % SIZE;
}

static inline void publish(struct chain *const *batch, unsigned count)
{
	unsigned at = used;
	bool at_wrap = wrap;
	uint16_t first_flags = wrap ? DESCRIPTOR_AVAILABLE | DESCRIPTOR_USED : 0;

	for (unsigned i = 0; i < count; i++) {
		STORE(ring(at)->id = (uint16_t)batch[i]->id);
		STORE(ring(at)->length = 0);
		if (i > 0)
			STORE(ring(at)->flags = at_wrap ? DESCRIPTOR_AVAILABLE | DESCRIPTOR_USED : 0);
		at += batch[i]->count;
		if (at >= SIZE) {
			at -= SIZE;
			at_wrap = !at_wrap;
		}
	}
	for (unsigned i = 0; i < count; i++) {
		STORE(region->entry[batch[i]->last_entry].next = region->free_head);
		STORE(region->free_head = (uint16_t)batch[i]->first_entry);
	}
	STORE(region->used_idx = (uint16_t)at);
	STORE(region->used_wrap = at_wrap);
	STORE(ring(used)->flags = first_flags);
	for (unsigned i = 0; i < count; i++)
		batch[i]->visible = true;
	for (unsigned i = 0; i < count; i++)
		STORE(region->entry[batch[i]->first_entry].inflight = 0);
	STORE(region->old_free_head = region->free_head);
	/* Index and wrap counter share a word, and are stored as one. */
	STORE((region->old_used_idx = (uint16_t)at, region->old_used_wrap = at_wrap));
	used = at;
	wrap = at_wrap;
}

/* Every store of taking three chains, one of them long. */
static inline void take_three(void)
{
	add(3, 1);
	add(5, 3);
	add(0, 2);
	for (unsigned i = 0; i < 3; i++)
		take(i);
}

#endif
