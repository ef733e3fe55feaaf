/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What most chains do not need: ranges outside guest memory or across regions, indirect tables. Every number
 * here was chosen by the guest, and copied once before.
 */
#include <errno.h>

#include "core/checked.h"
#include "core/shared.h"
#include "interfaces/virtio/virtqueue_chain.h"

/* A range outside guest memory, or across two regions, or in another region than the last one. */
enum virtqueue_violation chain_append_slowly(struct virtqueue *queue, struct queue_slot *slot,
					     struct descriptor d, unsigned used)
{
	struct guest_memory *memory = queue->view->memory;
	uint64_t end;
	int elements;

	if (!checked_add(d.address, d.length, &end))
		return VIOLATION_ADDRESS;
	elements = guest_memory_iov(memory, d.address, d.length, slot->chain.iov + used,
				    CHAIN_ELEMENTS_MAX - used);
	if (elements == -E2BIG)
		return VIOLATION_LOOP;
	if (elements < 0) {
		slot->chain.iov[used].iov_base = NULL;
		slot->chain.iov[used].iov_len = d.length;
		slot->chain.unmapped = true;
		elements = 1;
	} else {
		queue->last_region = guest_memory_find(memory, d.address);
	}
	chain_count(&slot->chain, d, (unsigned)elements);
	return VIOLATION_NONE;
}

/* Copies entry `index` of an indirect table; the table may lie across regions. */
static bool table_read(struct virtqueue *queue, struct descriptor table, const uint8_t *host,
		       unsigned index, struct descriptor *ret_entry)
{
	uint8_t bytes[16];

	if (host)
		shared_copy_in(bytes, host + 16ul * index, sizeof(bytes));
	else if (guest_memory_read(queue->view->memory, table.address + 16ull * index, bytes, sizeof(bytes)))
		return false;
	if (queue->packed) {
		struct packed_descriptor entry;

		memcpy(&entry, bytes, sizeof(entry));
		*ret_entry = (struct descriptor){ entry.address, entry.length, entry.flags, 0 };
	} else {
		struct split_descriptor entry;

		memcpy(&entry, bytes, sizeof(entry));
		*ret_entry = (struct descriptor){ entry.address, entry.length, entry.flags, entry.next };
	}
	return true;
}

/*
 * Split: entries are linked by NEXT (2.7.5.3). Packed: all entries in order, only WRITE is looked at
 * (2.8.7, 2.8.8); the table's length tells how many.
 */
enum virtqueue_violation chain_append_table(struct virtqueue *queue, struct queue_slot *slot,
					    struct descriptor table)
{
	unsigned entries = table.length / 16, index = 0;
	const uint8_t *host;
	uint64_t end;

	if (!queue->indirect || table.length == 0 || table.length % 16 != 0 || entries > 32768)
		return VIOLATION_INDIRECT;
	if (!queue->packed && table.flags & DESCRIPTOR_NEXT)
		return VIOLATION_INDIRECT;
	if (!checked_add(table.address, table.length, &end))
		return VIOLATION_ADDRESS;
	host = guest_memory_at(queue->view->memory, table.address, table.length);

	for (unsigned walked = 0; walked < CHAIN_DESCRIPTORS_MAX; walked++) {
		enum virtqueue_violation violation;
		struct descriptor entry;

		if (!table_read(queue, table, host, index, &entry))
			return VIOLATION_ADDRESS;
		if (entry.flags & DESCRIPTOR_INDIRECT)
			return VIOLATION_INDIRECT;
		violation = chain_append(queue, slot, entry);
		if (violation)
			return violation;
		if (queue->packed ? index + 1 == entries : !(entry.flags & DESCRIPTOR_NEXT))
			return VIOLATION_NONE;
		index = queue->packed ? index + 1 : entry.next;
		if (index >= entries)
			return VIOLATION_NEXT;
	}
	return VIOLATION_LOOP;
}
