/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What most chains do not need: ranges outside guest memory or across regions, indirect tables. Every number
 * here was chosen by the guest, and copied once before.
 */
#include <errno.h>

#include "core/checked.h"
#include "core/shared.h"
#include "interfaces/virtio/virtqueue_chain.h"

int chain_map_slowly(struct virtqueue *queue, struct queue_slot *slot, struct iovec *iov, unsigned used,
		     uint64_t address, uint32_t length)
{
	struct guest_memory *memory = queue->view->memory;
	uint64_t end;
	int elements;

	if (!checked_add(address, length, &end))
		return -VIOLATION_ADDRESS;
	elements = guest_memory_iov(memory, address, length, iov + used, queue->elements_max - used);
	if (elements == -E2BIG)
		return -VIOLATION_LOOP;
	if (elements < 0) {
		iov[used] = (struct iovec){ NULL, length };
		slot->chain.unmapped = true;
		return 1;
	}
	queue->last_region = guest_memory_find(memory, address);
	return elements;
}

/* Where the table is; NULL when it lies across regions, or nowhere. */
static const uint8_t *table_host(struct virtqueue *queue, uint64_t address, uint32_t length)
{
	const struct guest_region *region = queue->last_region;
	uint64_t offset = address - region->guest_address;

	if (checked_range(offset, length, region->size))
		return region->host + offset;
	return guest_memory_at(queue->view->memory, address, length);
}

/* Copies entry `index` of a table at `host`. The formats differ in the last four bytes. */
static inline bool table_read(struct virtqueue *queue, uint64_t table, const uint8_t *host, unsigned index,
			      struct descriptor *ret_entry)
{
	struct split_descriptor entry;

	if (host)
		shared_copy_in(&entry, host + 16ul * index, sizeof(entry));
	else if (guest_memory_read(queue->view->memory, table + 16ull * index, &entry, sizeof(entry)))
		return false;
	*ret_entry = (struct descriptor){ entry.address, entry.length, entry.flags, entry.next };
	if (queue->packed)
		ret_entry->flags = entry.next;
	return true;
}

/*
 * Split: entries are linked by NEXT (2.7.5.3). Packed: all entries in order, only WRITE is looked at
 * (2.8.7, 2.8.8); the table's length tells how many.
 */
enum virtqueue_violation chain_end_in_table(struct virtqueue *queue, struct queue_slot *slot,
					    struct chain_walk walk, uint64_t address, uint32_t length)
{
	unsigned entries = length / 16, index = 0;
	const uint8_t *host;
	uint64_t end;

	if (!queue->indirect || length == 0 || length % 16 != 0 || entries > 32768)
		return VIOLATION_INDIRECT;
	if (!checked_add(address, length, &end))
		return VIOLATION_ADDRESS;
	host = table_host(queue, address, length);

	for (unsigned walked = 0; walked < queue->descriptors_max; walked++) {
		enum virtqueue_violation violation;
		struct descriptor entry;

		if (!table_read(queue, address, host, index, &entry))
			return VIOLATION_ADDRESS;
		if (entry.flags & DESCRIPTOR_INDIRECT)
			return VIOLATION_INDIRECT;
		violation = chain_append(queue, slot, &walk, entry);
		if (violation)
			return violation;
		if (queue->packed ? index + 1 == entries : !(entry.flags & DESCRIPTOR_NEXT))
			return chain_end(slot, walk);
		index = queue->packed ? index + 1 : entry.next;
		if (index >= entries)
			return VIOLATION_NEXT;
	}
	return VIOLATION_LOOP;
}
