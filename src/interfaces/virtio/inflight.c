/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The INFLIGHT region of one queue (vhost-user protocol, "Inflight I/O tracking").
 *
 * The order of stores is the whole guarantee: a process killed between any two of them leaves a region from
 * which the next one finds every chain that was taken and not answered. Each store is a release, so program
 * order is memory order. Chains may be carried out twice, so only a model whose requests may be repeated has
 * a region.
 *
 * split region                                packed region
 *  0 u64 features (0)                          0 u64 features (0)
 *  8 u16 version (1; 0: never used)            8 u16 version
 * 10 u16 desc_num = queue size                10 u16 desc_num
 * 12 u16 last_batch_head                      12 u16 free_head      14 u16 old_free_head
 * 14 u16 used_idx                             16 u16 used_idx       18 u16 old_used_idx
 * 16 entries of 16 bytes                      20 u8 used_wrap       21 u8 old_used_wrap
 *                                             32 entries of 32 bytes
 *
 * Everything read back is checked: the front end keeps the file and may have written anything to it.
 */
#include "interfaces/virtio/inflight.h"

#include <assert.h>
#include <stdlib.h>

#include "core/checked.h"
#include "core/shared.h"
#include "interfaces/virtio/virtqueue_internal.h"

#define INFLIGHT_VERSION 1

struct inflight_split_entry {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};

struct inflight_split {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct inflight_split_entry entry[];
};

struct inflight_packed_entry {
	uint8_t inflight;
	uint8_t padding;
	uint16_t next;		/* free list; the end is desc_num */
	uint16_t last;
	uint16_t num;
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t length;
	uint64_t address;
};

struct inflight_packed {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t free_head, old_free_head;
	union inflight_place {
		struct {
			uint16_t used_idx, old_used_idx;
			uint8_t used_wrap, old_used_wrap;
		};
		uint64_t word;
	} place;
	uint8_t padding[8];
	struct inflight_packed_entry entry[];
};

static_assert(sizeof(struct inflight_split_entry) == 16 && offsetof(struct inflight_split, entry) == 16,
	      "vhost-user");
static_assert(offsetof(struct inflight_packed, place) == 16 && sizeof(union inflight_place) == 8,
	      "vhost-user");
static_assert(sizeof(struct inflight_packed_entry) == 32 && offsetof(struct inflight_packed, entry) == 32,
	      "vhost-user");

size_t inflight_region_bytes(bool packed, unsigned queue_size)
{
	size_t bytes =
		packed ? sizeof(struct inflight_packed) + queue_size * sizeof(struct inflight_packed_entry)
		       : sizeof(struct inflight_split) + queue_size * sizeof(struct inflight_split_entry);

	return align_up(bytes, 64);
}

bool inflight_is_used(const void *region, bool packed)
{
	const struct inflight_packed *as_packed = region;
	const struct inflight_split *as_split = region;

	return shared_read(packed ? &as_packed->version : &as_split->version) != 0;
}

/* ---- resubmission order ---- */

struct recorded {
	uint64_t counter;
	uint16_t entry;
};

static int compare_recorded(const void *left, const void *right)
{
	uint64_t a = ((const struct recorded *)left)->counter, b = ((const struct recorded *)right)->counter;

	return a < b ? -1 : a > b;
}

static void sort_recorded(struct virtqueue *queue, struct recorded *recorded, unsigned count,
			  uint16_t *entries)
{
	qsort(recorded, count, sizeof(*recorded), compare_recorded);
	for (unsigned i = 0; i < count; i++)
		entries[i] = recorded[i].entry;
	queue->inflight_counter = count > 0 ? recorded[count - 1].counter + 1 : 0;
}

/* ---- split ---- */

void inflight_split_take(struct virtqueue *queue, unsigned head)
{
	struct inflight_split *region = queue->inflight;

	shared_write(&region->entry[head].counter, queue->inflight_counter++);
	shared_write_release(&region->entry[head].inflight, 1);
}

void inflight_split_give_back(struct virtqueue *queue, unsigned head)
{
	struct inflight_split *region = queue->inflight;

	queue->inflight_counter--;
	shared_write_release(&region->entry[head].inflight, 0);
}

void inflight_split_before(struct virtqueue *queue)
{
	struct inflight_split *region = queue->inflight;

	for (unsigned i = 0; i < queue->done_count; i++) {
		uint16_t previous = shared_read(&region->last_batch_head);

		shared_write(&region->entry[queue->done[i]].next, previous);
		shared_write_release(&region->last_batch_head, queue->done[i]);
	}
}

void inflight_split_after(struct virtqueue *queue, uint16_t used_idx)
{
	struct inflight_split *region = queue->inflight;

	for (unsigned i = 0; i < queue->done_count; i++)
		shared_write_release(&region->entry[queue->done[i]].inflight, 0);
	shared_write_release(&region->used_idx, used_idx);
}

static void split_initialise(struct virtqueue *queue, struct inflight_split *region)
{
	for (unsigned i = 0; i < queue->size; i++)
		shared_write(&region->entry[i].inflight, 0);
	shared_write(&region->features, 0);
	shared_write(&region->desc_num, (uint16_t)queue->size);
	shared_write(&region->last_batch_head, 0);
	shared_write(&region->used_idx, queue->split.used_idx);
	shared_write_release(&region->version, INFLIGHT_VERSION);
}

void inflight_split_record(struct virtqueue *queue, void *record)
{
	struct inflight_split *region = record;

	split_initialise(queue, region);
	for (unsigned i = 0; i < queue->size; i++) {
		const struct queue_slot *slot = queue_slot(queue, i);

		region->entry[i].inflight = slot->chain.busy;
		region->entry[i].counter = slot->number;
	}
}

/* A batch reached the ring (used->idx) but its entries were not all cleared: clear them now. */
static bool split_finish_batch(struct virtqueue *queue, struct inflight_split *region)
{
	uint16_t batch = (uint16_t)(queue->split.used_idx - shared_read(&region->used_idx));
	unsigned head = shared_read(&region->last_batch_head);

	if (batch > queue->size)
		return false;
	for (; batch > 0; batch--) {
		if (head >= queue->size)
			return false;
		shared_write_release(&region->entry[head].inflight, 0);
		head = shared_read(&region->entry[head].next);
	}
	shared_write_release(&region->used_idx, queue->split.used_idx);
	return true;
}

static enum virtqueue_violation split_recover(struct virtqueue *queue, struct recorded *recorded,
					      uint16_t *entries, unsigned *ret_count)
{
	struct inflight_split *region = queue->inflight;
	unsigned count = 0;

	if (shared_read(&region->version) == 0) {
		split_initialise(queue, region);
		*ret_count = 0;
		return VIOLATION_NONE;
	}
	if (shared_read(&region->version) != INFLIGHT_VERSION ||
	    shared_read(&region->desc_num) != queue->size || !split_finish_batch(queue, region))
		return VIOLATION_INFLIGHT;
	for (unsigned i = 0; i < queue->size; i++)
		if (shared_read(&region->entry[i].inflight) == 1)
			recorded[count++] =
				(struct recorded){ shared_read(&region->entry[i].counter), (uint16_t)i };
	sort_recorded(queue, recorded, count, entries);
	/* What was taken and not answered lies between used->idx and the next index to take. */
	queue->split.next = queue->split.seen = (uint16_t)(queue->split.used_idx + count);
	*ret_count = count;
	return VIOLATION_NONE;
}

/* ---- packed ---- */

bool inflight_packed_take(struct virtqueue *queue, struct queue_slot *slot,
			  const struct packed_descriptor *chain, unsigned count)
{
	struct inflight_packed *region = queue->inflight;
	unsigned first = queue->inflight_free, at = first;

	for (unsigned i = 0; i < count; i++) {
		struct inflight_packed_entry *entry = &region->entry[at];
		unsigned next;

		if (at >= queue->size)
			return false;
		next = shared_read(&entry->next);
		if (i == 0) {
			shared_write(&entry->num, 0);
			shared_write(&entry->counter, queue->inflight_counter++);
			shared_write_release(&entry->inflight, 1);
		}
		if (i == count - 1)
			shared_write_release(&region->entry[first].last, (uint16_t)at);
		shared_write_release(&region->entry[first].num, (uint16_t)(i + 1));
		shared_write(&entry->address, chain[i].address);
		shared_write(&entry->length, chain[i].length);
		shared_write(&entry->flags, chain[i].flags);
		shared_write(&entry->id, chain[i].id);
		shared_write_release(&region->free_head, (uint16_t)next);
		slot->inflight_last = (uint16_t)at;
		at = next;
	}
	shared_write_release(&region->old_free_head, (uint16_t)at);
	queue->inflight_free = (uint16_t)at;
	slot->inflight_first = (uint16_t)first;
	return true;
}

/*
 * The entries go back to the free list before the chain stops being in flight: a process killed between the
 * two leaves entries that are both, and they are free then.
 */
void inflight_packed_give_back(struct virtqueue *queue, const struct queue_slot *slot)
{
	struct inflight_packed *region = queue->inflight;

	shared_write_release(&region->entry[slot->inflight_last].next, queue->inflight_free);
	queue->inflight_free = slot->inflight_first;
	queue->inflight_counter--;
	shared_write_release(&region->free_head, queue->inflight_free);
	shared_write_release(&region->old_free_head, queue->inflight_free);
	shared_write_release(&region->entry[slot->inflight_first].inflight, 0);
}

void inflight_packed_before(struct virtqueue *queue, uint16_t used, bool used_wrap)
{
	struct inflight_packed *region = queue->inflight;

	for (unsigned i = 0; i < queue->done_count; i++) {
		const struct queue_slot *slot = queue_slot(queue, queue->done[i]);

		shared_write(&region->entry[slot->inflight_last].next, queue->inflight_free);
		queue->inflight_free = slot->inflight_first;
		shared_write_release(&region->free_head, queue->inflight_free);
	}
	shared_write_release(&region->place.used_idx, used);
	shared_write_release(&region->place.used_wrap, (uint8_t)used_wrap);
}

/*
 * The batch is settled: new and old place are the same. In one store, because between a new index and its
 * wrap counter the descriptor there can look like one that waits to be published: the rest of a chain of the
 * last round, of which only the first descriptor was ever marked as used.
 */
static void packed_settle(struct inflight_packed *region, uint16_t used, bool used_wrap)
{
	union inflight_place place = { .word = 0 };

	place.used_idx = place.old_used_idx = used;
	place.used_wrap = place.old_used_wrap = used_wrap;
	shared_write_release(&region->place.word, place.word);
}

void inflight_packed_after(struct virtqueue *queue, uint16_t used, bool used_wrap)
{
	struct inflight_packed *region = queue->inflight;

	for (unsigned i = 0; i < queue->done_count; i++) {
		const struct queue_slot *slot = queue_slot(queue, queue->done[i]);

		shared_write_release(&region->entry[slot->inflight_first].inflight, 0);
	}
	shared_write_release(&region->old_free_head, queue->inflight_free);
	packed_settle(region, used, used_wrap);
}

bool inflight_packed_read(struct virtqueue *queue, unsigned first, struct packed_descriptor *descriptors,
			  unsigned *ret_count, unsigned *ret_last)
{
	struct inflight_packed *region = queue->inflight;
	unsigned count = shared_read(&region->entry[first].num), at = first;

	if (count == 0 || count > queue->size || count > queue->descriptors_max)
		return false;
	for (unsigned i = 0; i < count; i++) {
		const struct inflight_packed_entry *entry = &region->entry[at];

		descriptors[i] = (struct packed_descriptor){
			.address = shared_read(&entry->address),
			.length = shared_read(&entry->length),
			.id = shared_read(&entry->id),
			.flags = shared_read(&entry->flags),
		};
		*ret_last = at;
		at = shared_read(&entry->next);
		if (at >= queue->size && i + 1 < count)
			return false;
	}
	*ret_count = count;
	return true;
}

static void packed_initialise(struct virtqueue *queue, struct inflight_packed *region)
{
	for (unsigned i = 0; i < queue->size; i++) {
		shared_write(&region->entry[i].inflight, 0);
		shared_write(&region->entry[i].next, (uint16_t)(i + 1));
	}
	shared_write(&region->features, 0);
	shared_write(&region->desc_num, (uint16_t)queue->size);
	shared_write(&region->free_head, 0);
	shared_write(&region->old_free_head, 0);
	packed_settle(region, queue->pack.used, queue->pack.used_wrap);
	shared_write_release(&region->version, INFLIGHT_VERSION);
}

/*
 * Was the batch that was being published when the process died visible to the driver? Its first descriptor
 * tells: while it still has the flags of an available one, it was not.
 */
static bool packed_settle_batch(struct virtqueue *queue, struct inflight_packed *region)
{
	unsigned old_used = shared_read(&region->place.old_used_idx),
		 used = shared_read(&region->place.used_idx);
	bool old_wrap = shared_read(&region->place.old_used_wrap),
	     wrap = shared_read(&region->place.used_wrap);
	unsigned free_head = shared_read(&region->old_free_head);

	if (old_used >= queue->size || used >= queue->size)
		return false;
	if (used != old_used || wrap != old_wrap) {
		uint16_t flags = shared_read(&queue->pack.descriptors[old_used].flags);
		bool available = !!(flags & DESCRIPTOR_AVAILABLE) == old_wrap &&
				 !!(flags & DESCRIPTOR_USED) != old_wrap;

		if (!available) {
			free_head = shared_read(&region->free_head);
			old_used = used;
			old_wrap = wrap;
		}
	}
	shared_write_release(&region->free_head, (uint16_t)free_head);
	shared_write_release(&region->old_free_head, (uint16_t)free_head);
	packed_settle(region, (uint16_t)old_used, old_wrap);
	queue->pack.used = queue->pack.next = (uint16_t)old_used;
	queue->pack.used_wrap = queue->pack.next_wrap = old_wrap;
	queue->inflight_free = (uint16_t)free_head;
	return true;
}

/* Entries on the free list are not in flight, whatever they say. */
static bool packed_clear_free(struct virtqueue *queue, struct inflight_packed *region)
{
	unsigned at = queue->inflight_free;

	for (unsigned walked = 0; at != queue->size; walked++) {
		if (at > queue->size || walked > queue->size)
			return false;
		shared_write(&region->entry[at].inflight, 0);
		at = shared_read(&region->entry[at].next);
	}
	return true;
}

static enum virtqueue_violation packed_recover(struct virtqueue *queue, struct recorded *recorded,
					       uint16_t *entries, unsigned *ret_count)
{
	struct inflight_packed *region = queue->inflight;
	unsigned count = 0, taken = 0;

	if (shared_read(&region->version) == 0) {
		packed_initialise(queue, region);
		queue->inflight_free = 0;
		*ret_count = 0;
		return VIOLATION_NONE;
	}
	if (shared_read(&region->version) != INFLIGHT_VERSION ||
	    shared_read(&region->desc_num) != queue->size || !packed_settle_batch(queue, region) ||
	    !packed_clear_free(queue, region))
		return VIOLATION_INFLIGHT;
	for (unsigned i = 0; i < queue->size; i++) {
		if (shared_read(&region->entry[i].inflight) != 1)
			continue;
		recorded[count++] = (struct recorded){ shared_read(&region->entry[i].counter), (uint16_t)i };
		taken += shared_read(&region->entry[i].num);
	}
	if (taken > queue->size)
		return VIOLATION_INFLIGHT;
	sort_recorded(queue, recorded, count, entries);
	/* What was taken and not answered lies between the used position and the next one to take. */
	queue->pack.next = (uint16_t)(queue->pack.next + taken);
	if (queue->pack.next >= queue->size) {
		queue->pack.next = (uint16_t)(queue->pack.next - queue->size);
		queue->pack.next_wrap = !queue->pack.next_wrap;
	}
	*ret_count = count;
	return VIOLATION_NONE;
}

enum virtqueue_violation inflight_recover(struct virtqueue *queue, uint16_t *entries, unsigned *ret_count)
{
	struct recorded *recorded = calloc(queue->size, sizeof(*recorded));
	enum virtqueue_violation violation;

	if (!recorded)
		return VIOLATION_INFLIGHT;
	violation = queue->packed ? packed_recover(queue, recorded, entries, ret_count)
				  : split_recover(queue, recorded, entries, ret_count);
	free(recorded);
	return violation;
}
