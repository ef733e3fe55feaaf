/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's side of a packed ring (virtio 1.2, 2.8).
 *
 * A publication is one store: the flags of the first descriptor added since the one before. All that
 * follows it is complete in memory by then, and a device never looks past a descriptor that is not
 * available yet.
 */
#include <errno.h>

#include "core/shared.h"
#include "frontend/frontend_private.h"

static uint16_t available_flags(bool wrap)
{
	return wrap ? PACKED_F_AVAIL : PACKED_F_USED;
}

/* Writes one descriptor at available_idx and moves on; the first of a publication is held back. */
static void put(struct frontend_queue *queue, struct packed_desc desc)
{
	struct packed_desc *place = &queue->packed_ring.desc[queue->available_idx];

	desc.flags |= available_flags(queue->available_wrap);
	place->address = desc.address;
	place->length = desc.length;
	place->id = desc.id;
	if (queue->held_count == 0) {
		queue->held_position = queue->available_idx;
		queue->held_flags = desc.flags;
	} else {
		shared_write(&place->flags, desc.flags);
	}
	queue->held_count++;
	if (++queue->available_idx == queue->size) {
		queue->available_idx = 0;
		queue->available_wrap = !queue->available_wrap;
	}
}

static uint16_t take_id(struct frontend_queue *queue, unsigned count, void *token)
{
	uint16_t id = queue->free[queue->free_head++ & queue->mask];

	assert(count > 0 && count <= queue->free_count && queue->chain[id].descriptors == 0);
	queue->chain[id] = (struct frontend_chain){token, 0, (uint16_t)count};
	queue->free_count -= count;
	queue->in_flight++;
	order_push(queue, id);
	return id;
}

void frontend_packed_add(struct frontend_queue *queue, const struct frontend_buffer *buffers, unsigned count,
			 void *token)
{
	uint16_t id = take_id(queue, count, token);

	for (unsigned i = 0; i < count; i++) {
		unsigned flags = i + 1 < count ? DESC_F_NEXT : 0;

		if (buffers[i].device_writes) {
			flags |= DESC_F_WRITE;
			queue->chain[id].writable_bytes += buffers[i].length;
		}
		put(queue,
		    (struct packed_desc){buffers[i].guest_address, buffers[i].length, id, (uint16_t)flags});
	}
}

void frontend_packed_add_table(struct frontend_queue *queue, const void *table, unsigned count,
			       uint32_t writable_bytes, void *token)
{
	uint16_t id = take_id(queue, 1, token);

	queue->chain[id].writable_bytes = writable_bytes;
	put(queue, (struct packed_desc){queue_guest_address(queue, table),
					(uint32_t)(count * sizeof(union any_desc)), id, DESC_F_INDIRECT});
}

bool frontend_packed_publish(struct frontend_queue *queue)
{
	uint16_t count = queue->held_count, event, after, flags;
	uint32_t both;

	if (count == 0)
		return false;
	/* Pairs with the back end's load-acquire of a descriptor's flags. */
	shared_write_release(&queue->packed_ring.desc[queue->held_position].flags, queue->held_flags);
	queue->held_count = 0;
	shared_fence(); /* the back end: writes what it wants, fence, looks at the ring again */
	/* One load: position and flags belong together. */
	both = shared_read((const uint32_t *)queue->packed_ring.device);
	flags = (uint16_t)(both >> 16) & 3;
	if (flags != PACKED_EVENT_DESC || !queue->event_idx)
		return flags != PACKED_EVENT_DISABLE;
	event = (uint16_t)(both & 0x7fff);
	after = queue->available_idx;
	if ((both >> 15 & 1) != queue->available_wrap)
		event = (uint16_t)(event - queue->size);
	return (uint16_t)(after - event - 1) < count;
}

bool frontend_packed_ready(struct frontend_queue *queue)
{
	/* Pairs with the back end's store-release of the flags. */
	uint16_t flags = shared_read_acquire(&queue->packed_ring.desc[queue->used_idx].flags);
	bool available = flags & PACKED_F_AVAIL, used = flags & PACKED_F_USED;

	return queue->batch || (!queue->broken && available == used && used == queue->used_wrap);
}

/* Moves a position and wrap counter over `count` descriptors. */
static void advance(const struct frontend_queue *queue, uint16_t *position, bool *wrap, unsigned count)
{
	unsigned next = *position + count;

	if (next >= queue->size) {
		next -= queue->size;
		*wrap = !*wrap;
	}
	*position = (uint16_t)next;
}

static bool read_entry(struct frontend_queue *queue, uint16_t *ret_id, uint32_t *ret_written)
{
	const struct packed_desc *desc = &queue->packed_ring.desc[queue->used_idx];
	uint16_t id = shared_read(&desc->id);

	if (id >= queue->size || queue->chain[id].descriptors == 0) {
		queue->broken = true;
		return false;
	}
	*ret_id = id;
	*ret_written = shared_read(&desc->length);
	return true;
}

bool frontend_packed_take(struct frontend_queue *queue, uint16_t *ret_id, uint32_t *ret_written)
{
	unsigned count;
	uint16_t id;

	if (!frontend_packed_ready(queue))
		return false;
	if (!queue->in_order) {
		if (!read_entry(queue, &id, ret_written))
			return false;
	} else if (!order_take(queue, read_entry, &id, ret_written)) {
		return false;
	}
	count = queue->chain[id].descriptors;
	queue->chain[id].descriptors = 0;
	queue->free_count += count;
	queue->in_flight--;
	queue->free[queue->free_tail++ & queue->mask] = id;
	advance(queue, &queue->used_idx, &queue->used_wrap, count);
	*ret_id = id;
	return true;
}

void frontend_packed_arm(struct frontend_queue *queue, bool armed)
{
	struct packed_event *event = queue->packed_ring.driver;

	if (armed && queue->event_idx) {
		shared_write(&event->position, (uint16_t)(queue->used_idx | queue->used_wrap << 15));
		shared_write_release(&event->flags, PACKED_EVENT_DESC);
	} else if (queue->armed != armed) {
		shared_write(&event->flags, (uint16_t)(armed ? PACKED_EVENT_ENABLE : PACKED_EVENT_DISABLE));
	}
	queue->armed = armed;
	if (armed)
		shared_fence(); /* then look at the ring again; pairs with the back end's fence */
}

/* Descriptors that the used entry at `position` covers: one chain, or in order all up to its id. */
static unsigned covered(struct frontend_queue *queue, uint16_t position, uint16_t *order)
{
	uint16_t id = shared_read(&queue->packed_ring.desc[position].id);
	unsigned count = 0;

	if (id >= queue->size)
		return 0;
	if (!queue->in_order)
		return queue->chain[id].descriptors;
	while (*order != queue->order_tail) {
		uint16_t next = queue->order[(*order)++ & queue->mask];

		count += queue->chain[next].descriptors;
		if (next == id)
			return count;
	}
	return 0;
}

int frontend_packed_recover(struct frontend_queue *queue, bool replay, uint32_t *ret_base)
{
	uint16_t position = queue->used_idx, order = queue->order_head;
	unsigned left = queue->size - queue->free_count;
	bool wrap = queue->used_wrap;

	/* Chains of a batch that was half taken: the back end passed them too. */
	while (queue->batch && order != queue->order_tail) {
		uint16_t id = queue->order[order++ & queue->mask];

		advance(queue, &position, &wrap, queue->chain[id].descriptors);
		left -= queue->chain[id].descriptors;
		if (id == queue->batch_last)
			break;
	}
	while (left > 0) {
		uint16_t flags = shared_read_acquire(&queue->packed_ring.desc[position].flags);
		bool available = flags & PACKED_F_AVAIL, used = flags & PACKED_F_USED;
		unsigned count;

		if (available != used || used != wrap)
			break;
		count = covered(queue, position, &order);
		if (count == 0 || count > left)
			return -EPROTO;
		left -= count;
		advance(queue, &position, &wrap, count);
	}
	/* Out of order, used entries overwrite descriptors of chains that are still in flight. */
	if (replay && left > 0 && !queue->in_order)
		return -EOPNOTSUPP;
	*ret_base = (uint32_t)(position | wrap << 15) | (uint32_t)(position | wrap << 15) << 16;
	return 0;
}
