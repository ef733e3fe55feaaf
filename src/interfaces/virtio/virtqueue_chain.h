/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A descriptor becomes an element of its chain: what split_ring.c, packed_ring.c and descriptor_chain.c do
 * for each descriptor of each request, and therefore inline. Every number here was chosen by the guest, and
 * copied once before.
 */
#ifndef VIADUCT_INTERFACES_VIRTIO_VIRTQUEUE_CHAIN_H
#define VIADUCT_INTERFACES_VIRTIO_VIRTQUEUE_CHAIN_H

#include "core/checked.h"
#include "interfaces/virtio/virtqueue_internal.h"

/* A descriptor in either format, copied once. */
struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags;
	uint16_t next; /* split rings and indirect tables of split rings */
};

/* Reserves the slot for a chain just read from the ring; NULL when it is in flight already (a violation). */
static inline struct queue_slot *queue_claim(struct virtqueue *queue, unsigned index)
{
	struct queue_slot *slot = queue_slot(queue, index);
	struct virtio_chain *chain = &slot->chain;

	if (chain->busy)
		return NULL;
	if (__builtin_expect(!chain->request, false))
		queue_prepare_slot(queue, slot, index);
	chain->busy = true;
	chain->unmapped = false;
	return slot;
}

/*
 * What of a chain was followed so far, apart from its slot: while nothing takes its address, the compiler has
 * it in registers.
 */
struct chain_walk {
	struct iovec *iov;
	unsigned elements, readable_count, descriptors;
	uint64_t bytes, readable_bytes;
};

/* The chain has no descriptors yet. */
static inline struct chain_walk chain_begin(const struct virtqueue *queue, const struct queue_slot *slot)
{
	return (struct chain_walk){ .iov = queue->elements + (size_t)slot->chain.slot * queue->elements_max };
}

/* The chain ends here. VIOLATION_NONE or the rule it breaks. */
static inline enum virtqueue_violation chain_end(struct queue_slot *slot, struct chain_walk walk)
{
	struct virtio_chain *chain = &slot->chain;

	if (walk.bytes > UINT32_MAX)
		return VIOLATION_LENGTH;
	chain->iov = walk.iov;
	chain->readable_count = (uint16_t)walk.readable_count;
	chain->writable_count = (uint16_t)(walk.elements - walk.readable_count);
	chain->descriptors = (uint16_t)walk.descriptors;
	chain->readable_bytes = (uint32_t)walk.readable_bytes;
	chain->writable_bytes = (uint32_t)(walk.bytes - walk.readable_bytes);
	return VIOLATION_NONE;
}

/*
 * The whole chain when it is one descriptor, in the region of the last one: most frames, and most buffers for
 * them. False: it is not that, and nothing was done.
 */
static inline bool chain_single(const struct virtqueue *queue, struct queue_slot *slot, struct descriptor d)
{
	const struct guest_region *region = queue->last_region;
	struct virtio_chain *chain = &slot->chain;
	bool written = d.flags & DESCRIPTOR_WRITE;
	uint64_t offset;

	if (d.flags & (DESCRIPTOR_NEXT | DESCRIPTOR_INDIRECT) || d.length == 0)
		return false;
	offset = d.address - region->guest_address;
	if (!checked_range(offset, d.length, region->size))
		return false;
	slot->single = (struct iovec){ region->host + offset, d.length };
	chain->iov = &slot->single;
	chain->readable_count = !written;
	chain->writable_count = written;
	chain->descriptors = 1;
	chain->readable_bytes = written ? 0 : d.length;
	chain->writable_bytes = written ? d.length : 0;
	return true;
}

/*
 * A range that does not lie in the region of the last one: it may lie in another one, in two, or nowhere.
 * `used` elements of the chain are taken, which are at `iov`. Returns how many more are now, or the rule that
 * the range breaks with a minus.
 */
int chain_map_slowly(struct virtqueue *queue, struct queue_slot *slot, struct iovec *iov, unsigned used,
		     uint64_t address, uint32_t length);

/* Adds one descriptor's range to the chain. VIOLATION_NONE or the rule it breaks. */
static inline enum virtqueue_violation chain_append(struct virtqueue *queue, struct queue_slot *slot,
						    struct chain_walk *walk, struct descriptor d)
{
	const struct guest_region *region = queue->last_region;
	uint64_t offset = d.address - region->guest_address;
	bool readable = !(d.flags & DESCRIPTOR_WRITE);
	int elements = 1;

	if (d.length == 0)
		return VIOLATION_NONE;
	if (readable && walk->elements > walk->readable_count)
		return VIOLATION_ORDER;
	if (walk->elements >= queue->elements_max)
		return VIOLATION_LOOP;
	if (checked_range(offset, d.length, region->size)) {
		walk->iov[walk->elements] = (struct iovec){ region->host + offset, d.length };
	} else {
		elements = chain_map_slowly(queue, slot, walk->iov, walk->elements, d.address, d.length);
		if (elements < 0)
			return (enum virtqueue_violation)(-elements);
	}
	walk->descriptors++;
	walk->elements += (unsigned)elements;
	walk->bytes += d.length;
	if (readable) {
		walk->readable_count = walk->elements;
		walk->readable_bytes = walk->bytes;
	}
	return VIOLATION_NONE;
}

/*
 * The rest of the chain is the contents of an indirect table (2.7.5.3, 2.8.7); nested tables are a violation.
 * It is `length` bytes at guest `address`. Ends the chain.
 */
enum virtqueue_violation chain_end_in_table(struct virtqueue *queue, struct queue_slot *slot,
					    struct chain_walk walk, uint64_t address, uint32_t length);

#endif
