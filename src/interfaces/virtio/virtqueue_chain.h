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
	uint16_t next;		/* split rings and indirect tables of split rings */
};

/* Reserves the slot for a chain just read from the ring; NULL when it is in flight already (a violation). */
static inline struct queue_slot *queue_claim(struct virtqueue *queue, unsigned index)
{
	struct queue_slot *slot = queue_slot(queue, index);
	struct virtio_chain *chain = &slot->chain;

	if (chain->busy)
		return NULL;
	chain->busy = true;
	chain->unmapped = false;
	return slot;
}

/* The chain has no descriptors yet. */
static inline void chain_begin(const struct virtqueue *queue, struct virtio_chain *chain)
{
	chain->iov = queue->elements + (size_t)chain->slot * CHAIN_ELEMENTS_MAX;
	chain->readable_count = chain->writable_count = chain->descriptors = 0;
	chain->readable_bytes = chain->writable_bytes = 0;
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

	if (d.flags & (DESCRIPTOR_NEXT | DESCRIPTOR_INDIRECT) || d.length == 0 || !region)
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

/* Adds `elements` elements of the descriptor to the chain's counts. */
static inline void chain_count(struct virtio_chain *chain, struct descriptor d, unsigned elements)
{
	chain->descriptors++;
	if (d.flags & DESCRIPTOR_WRITE) {
		chain->writable_count = (uint16_t)(chain->writable_count + elements);
		chain->writable_bytes += d.length;
	} else {
		chain->readable_count = (uint16_t)(chain->readable_count + elements);
		chain->readable_bytes += d.length;
	}
}

/*
 * A range that does not lie in the region of the last one: it may lie in another one, in two, or nowhere.
 * `used` elements are taken. VIOLATION_NONE or the rule it breaks.
 */
enum virtqueue_violation chain_append_slowly(struct virtqueue *queue, struct queue_slot *slot,
					     struct descriptor d, unsigned used);

/* Adds one descriptor's range to the chain. VIOLATION_NONE or the rule it breaks. */
static inline enum virtqueue_violation chain_append(struct virtqueue *queue, struct queue_slot *slot,
						    struct descriptor d)
{
	struct virtio_chain *chain = &slot->chain;
	const struct guest_region *region = queue->last_region;
	unsigned used = (unsigned)chain->readable_count + chain->writable_count;
	uint64_t offset;

	if (d.length == 0)
		return VIOLATION_NONE;
	if (!(d.flags & DESCRIPTOR_WRITE) && chain->writable_count > 0)
		return VIOLATION_ORDER;
	if ((uint64_t)chain->readable_bytes + chain->writable_bytes + d.length > UINT32_MAX)
		return VIOLATION_LENGTH;
	if (used >= CHAIN_ELEMENTS_MAX)
		return VIOLATION_LOOP;
	offset = region ? d.address - region->guest_address : 0;
	if (!region || !checked_range(offset, d.length, region->size))
		return chain_append_slowly(queue, slot, d, used);
	chain->iov[used].iov_base = region->host + offset;
	chain->iov[used].iov_len = d.length;
	chain_count(chain, d, 1);
	return VIOLATION_NONE;
}

/* Adds the contents of an indirect table (2.7.5.3, 2.8.7); nested tables are a violation. */
enum virtqueue_violation chain_append_table(struct virtqueue *queue, struct queue_slot *slot,
					    struct descriptor table);

#endif
