/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's side of a split ring (virtio 1.2, 2.7).
 *
 * Free descriptors are taken and given back first in, first out: a device in order then finds them in ring
 * order, as 2.7.9 demands, without any further care. What the back end could overwrite (the table, its own
 * used ring) is never read back as a record of ours: links and lengths live in private memory.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/shared.h"
#include "frontend/frontend_private.h"

static uint16_t *used_event(struct frontend_queue *queue)
{
	return &queue->split_ring.available->ring[queue->size];
}

static uint16_t *avail_event(struct frontend_queue *queue)
{
	return (uint16_t *)&queue->split_ring.used->ring[queue->size];
}

/* Makes the chain that starts at `head` available; the back end sees it at the next publication. */
static void offer(struct frontend_queue *queue, uint16_t head, unsigned count, uint32_t writable_bytes,
		  void *token)
{
	assert(queue->chain[head].descriptors == 0);
	queue->chain[head] = (struct frontend_chain){token, writable_bytes, (uint16_t)count};
	queue->free_count -= count;
	queue->in_flight++;
	order_push(queue, head);
	queue->split_ring.available->ring[queue->available_idx++ & queue->mask] = head;
}

void frontend_split_add(struct frontend_queue *queue, const struct frontend_buffer *buffers, unsigned count,
			void *token)
{
	uint16_t head = queue_next_id(queue);
	uint32_t writable_bytes = 0;

	assert(count > 0 && count <= queue->free_count);
	for (unsigned i = 0; i < count; i++) {
		const struct frontend_buffer *buffer = &buffers[i];
		uint16_t id = queue->free[queue->free_head++ & queue->mask];
		unsigned flags = buffer->device_writes ? DESC_F_WRITE : 0;

		if (buffer->device_writes)
			writable_bytes += buffer->length;
		if (i + 1 < count) {
			flags |= DESC_F_NEXT;
			queue->next[id] = queue_next_id(queue);
		}
		queue->split_ring.desc[id] =
		    (struct split_desc){buffer->guest_address, buffer->length, (uint16_t)flags,
					i + 1 < count ? queue->next[id] : (uint16_t)0};
	}
	offer(queue, head, count, writable_bytes, token);
}

void frontend_split_add_table(struct frontend_queue *queue, const void *table, unsigned count,
			      uint32_t writable_bytes, void *token)
{
	uint16_t head = queue->free[queue->free_head++ & queue->mask];

	assert(queue->free_count > 0);
	queue->split_ring.desc[head] =
	    (struct split_desc){queue_guest_address(queue, table), (uint32_t)(count * sizeof(union any_desc)),
				DESC_F_INDIRECT, 0};
	offer(queue, head, 1, writable_bytes, token);
}

bool frontend_split_publish(struct frontend_queue *queue)
{
	uint16_t before = queue->published_idx, after = queue->available_idx;

	if (before == after)
		return false;
	/* Pairs with the back end's load-acquire of the available index. */
	shared_write_release(&queue->split_ring.available->idx, after);
	queue->published_idx = after;
	shared_fence(); /* the back end: writes what it wants, fence, looks at the index again */
	if (queue->event_idx) {
		uint16_t wanted = shared_read(avail_event(queue));

		return (uint16_t)(after - wanted - 1) < (uint16_t)(after - before);
	}
	return !(shared_read(&queue->split_ring.used->flags) & 1);
}

/* Looks at the back end's index; false when it is as before or cannot be. */
static bool see_used(struct frontend_queue *queue)
{
	/* Pairs with the back end's store-release of the used index. */
	uint16_t seen = shared_read_acquire(&queue->split_ring.used->idx);

	if (seen == queue->used_idx)
		return false;
	if ((uint16_t)(seen - queue->used_idx) > (uint16_t)(queue->published_idx - queue->used_idx)) {
		queue->broken = true;
		return false;
	}
	queue->used_seen = seen;
	return true;
}

bool frontend_split_ready(struct frontend_queue *queue)
{
	return !queue->broken && (queue->used_idx != queue->used_seen || see_used(queue));
}

static void release(struct frontend_queue *queue, uint16_t id)
{
	unsigned count = queue->chain[id].descriptors;

	queue->chain[id].descriptors = 0;
	queue->free_count += count;
	queue->in_flight--;
	for (uint16_t i = id; count > 0; count--, i = queue->next[i])
		queue->free[queue->free_tail++ & queue->mask] = i;
}

/* The used entry at used_idx; in order, it may speak for a batch (2.7.9) and is then read only once. */
static bool read_entry(struct frontend_queue *queue, uint16_t *ret_id, uint32_t *ret_written)
{
	const struct split_used_element *element =
	    &queue->split_ring.used->ring[queue->used_idx & queue->mask];
	uint32_t id = shared_read(&element->id);

	if (id >= queue->size || queue->chain[id].descriptors == 0) {
		queue->broken = true;
		return false;
	}
	*ret_id = (uint16_t)id;
	*ret_written = shared_read(&element->length);
	return true;
}

bool frontend_split_take(struct frontend_queue *queue, uint16_t *ret_id, uint32_t *ret_written)
{
	uint16_t id;

	if (!frontend_split_ready(queue))
		return false;
	if (!queue->in_order) {
		if (!read_entry(queue, &id, ret_written))
			return false;
	} else if (!order_take(queue, read_entry, &id, ret_written)) {
		return false;
	}
	queue->used_idx++;
	*ret_id = id;
	release(queue, id);
	return true;
}

void frontend_split_arm(struct frontend_queue *queue, bool armed)
{
	if (queue->event_idx) {
		/* Standing still is enough to be left alone: the back end passes the event once. */
		if (armed)
			shared_write(used_event(queue), queue->used_idx);
	} else if (queue->armed != armed) {
		shared_write(&queue->split_ring.available->flags, (uint16_t)!armed);
	}
	queue->armed = armed;
	if (armed)
		shared_fence(); /* then look at the used index again; pairs with the back end's fence */
}

/* Writes the heads that the dead back end had not completed into the available ring again, after `used`. */
static int offer_again(struct frontend_queue *queue, uint16_t used)
{
	bool *done = calloc(queue->size, sizeof(*done));
	uint16_t at = used;

	if (!done)
		return -ENOMEM;
	for (uint16_t i = queue->used_idx; i != used; i++) {
		uint32_t id = shared_read(&queue->split_ring.used->ring[i & queue->mask].id);

		if (id < queue->size)
			done[id] = true;
	}
	for (unsigned id = 0; id < queue->size; id++)
		if (queue->chain[id].descriptors > 0 && !done[id])
			shared_write(&queue->split_ring.available->ring[at++ & queue->mask], (uint16_t)id);
	free(done);
	return at == queue->available_idx ? 0 : -EPROTO;
}

int frontend_split_recover(struct frontend_queue *queue, bool replay, uint32_t *ret_base)
{
	uint16_t used;
	int error;

	see_used(queue);
	if (queue->broken)
		return -EPROTO;
	used = shared_read_acquire(&queue->split_ring.used->idx);
	/* Out of order, what is in flight is not what stands between the two indices. */
	if (replay && !queue->in_order) {
		error = offer_again(queue, used);
		if (error)
			return error;
	}
	*ret_base = used;
	return 0;
}
