/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A queue of the driver: lays its ring out in shared memory, puts chains on it, takes completions, kicks
 * and waits. The two ring formats are in frontend_split.c and frontend_packed.c.
 *
 * Shared memory of one queue: ring | slots (64 bytes by id) | status bytes (by id) | long tables (by id).
 * Nothing here allocates after frontend_queue_init().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/checked.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/shared.h"
#include "frontend/frontend_private.h"

/* Sizes of the three parts of a ring; the larger format counts, so that the layout needs no features. */
static size_t descriptor_bytes(unsigned size)
{
	return align_up(size * sizeof(union any_desc), FRONTEND_ALIGN);
}

static size_t driver_bytes(unsigned size)
{
	return align_up(sizeof(struct split_available) + (size + 1) * sizeof(uint16_t), FRONTEND_ALIGN);
}

static size_t device_bytes(unsigned size)
{
	return align_up(sizeof(struct split_used) + size * sizeof(struct split_used_element) +
			    sizeof(uint16_t),
			FRONTEND_ALIGN);
}

static size_t status_bytes(unsigned size)
{
	return align_up(size, FRONTEND_ALIGN);
}

static size_t table_bytes(unsigned size)
{
	return (size_t)size * FRONTEND_INDIRECT_MAX * sizeof(union any_desc);
}

size_t frontend_queue_bytes(unsigned size)
{
	return descriptor_bytes(size) + driver_bytes(size) + device_bytes(size) +
	       align_up(size * sizeof(struct frontend_slot), FRONTEND_ALIGN) + status_bytes(size) +
	       table_bytes(size);
}

static void lay_out(struct frontend_queue *queue, uint8_t *memory)
{
	uint8_t *driver = memory + descriptor_bytes(queue->size);
	uint8_t *device = driver + driver_bytes(queue->size);
	uint8_t *slots = device + device_bytes(queue->size);

	if (queue->packed) {
		queue->packed_ring.desc = (void *)memory;
		queue->packed_ring.driver = (void *)driver;
		queue->packed_ring.device = (void *)device;
		queue->packed_ring.driver->flags = PACKED_EVENT_DISABLE;
	} else {
		queue->split_ring.desc = (void *)memory;
		queue->split_ring.available = (void *)driver;
		queue->split_ring.used = (void *)device;
		queue->split_ring.available->flags = queue->event_idx ? 0 : 1;
	}
	queue->slot = (void *)slots;
	queue->status = slots + align_up(queue->size * sizeof(struct frontend_slot), FRONTEND_ALIGN);
	queue->tables = (void *)(queue->status + status_bytes(queue->size));
	memset(queue->status, FRONTEND_BLOCK_NO_STATUS, queue->size);
}

int frontend_queue_init(struct frontend_queue *queue, unsigned index, unsigned size, uint64_t features,
			void *memory, uint64_t guest_delta)
{
	assert(is_power_of_two(size) && size <= FRONTEND_QUEUE_SIZE_MAX);
	*queue = (struct frontend_queue){
	    .index = index,
	    .size = size,
	    .mask = (uint16_t)(size - 1),
	    .packed = features & FRONTEND_F_PACKED,
	    .indirect = features & FRONTEND_F_INDIRECT,
	    .event_idx = features & FRONTEND_F_EVENT_IDX,
	    .in_order = features & FRONTEND_F_IN_ORDER,
	    .guest_delta = guest_delta,
	    .available_wrap = true,
	    .used_wrap = true,
	    .free_count = size,
	    .kick_fd = -1,
	    .call_fd = -1,
	    .socket = -1,
	    .epoll_fd = -1,
	};
	queue->free = calloc(size, sizeof(*queue->free));
	queue->next = calloc(size, sizeof(*queue->next));
	queue->order = calloc(size, sizeof(*queue->order));
	queue->chain = calloc(size, sizeof(*queue->chain));
	if (!queue->free || !queue->next || !queue->order || !queue->chain) {
		frontend_queue_finish(queue);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < size; i++)
		queue->free[i] = (uint16_t)i;
	lay_out(queue, memory);
	return 0;
}

void frontend_queue_finish(struct frontend_queue *queue)
{
	if (queue->size == 0)
		return;
	free(queue->free);
	free(queue->next);
	free(queue->order);
	free(queue->chain);
	fd_close(&queue->kick_fd);
	fd_close(&queue->call_fd);
	fd_close(&queue->epoll_fd);
	memset(queue, 0, sizeof(*queue));
}

static int add_indirect(struct frontend_queue *queue, const struct frontend_buffer *buffers, unsigned count,
			void *token)
{
	uint16_t id = queue_next_id(queue);
	union any_desc *table =
	    count <= SLOT_TABLE ? queue->slot[id].table : queue->tables + (size_t)id * FRONTEND_INDIRECT_MAX;
	uint32_t writable_bytes = 0;

	for (unsigned i = 0; i < count; i++) {
		if (buffers[i].device_writes)
			writable_bytes += buffers[i].length;
		table_set(&table[i], queue->packed, buffers[i].guest_address, buffers[i].length,
			  buffers[i].device_writes, i, count);
	}
	if (queue->packed)
		frontend_packed_add_table(queue, table, count, writable_bytes, token);
	else
		frontend_split_add_table(queue, table, count, writable_bytes, token);
	return 0;
}

int frontend_add(struct frontend_queue *queue, const struct frontend_buffer *buffers, unsigned count,
		 void *token)
{
	bool indirect = queue->indirect && count > 1 && count <= FRONTEND_INDIRECT_MAX;

	if (count == 0 || (!indirect && count > queue->size))
		return -EINVAL;
	if (queue->free_count < (indirect ? 1 : count))
		return -EAGAIN;
	if (indirect)
		return add_indirect(queue, buffers, count, token);
	if (queue->packed)
		frontend_packed_add(queue, buffers, count, token);
	else
		frontend_split_add(queue, buffers, count, token);
	return 0;
}

static void signal_kick(struct frontend_queue *queue)
{
	const uint64_t one = 1;

	if (queue->kick_fd < 0)
		return;
	queue->counters.kicks++;
	/* EAGAIN: 2^64 - 1 kicks were not read; the one that is pending is enough. */
	if (write(queue->kick_fd, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN || errno == EINTR);
}

void frontend_kick(struct frontend_queue *queue)
{
	if (queue->packed ? frontend_packed_publish(queue) : frontend_split_publish(queue))
		signal_kick(queue);
}

void frontend_kick_always(struct frontend_queue *queue)
{
	frontend_kick(queue);
	signal_kick(queue);
}

bool frontend_take(struct frontend_queue *queue, void **ret_token, uint32_t *ret_written)
{
	uint16_t id;

	if (!(queue->packed ? frontend_packed_take(queue, &id, ret_written)
			    : frontend_split_take(queue, &id, ret_written)))
		return false;
	*ret_token = queue->chain[id].token;
	return true;
}

static bool ready(struct frontend_queue *queue)
{
	return queue->packed ? frontend_packed_ready(queue) : frontend_split_ready(queue);
}

static void arm(struct frontend_queue *queue, bool armed)
{
	if (queue->packed)
		frontend_packed_arm(queue, armed);
	else
		frontend_split_arm(queue, armed);
}

/*
 * Sleeps on the epoll descriptor. The call eventfd is edge-triggered there: it never needs to be read.
 * Returns 0 (woken or timed out) or -EPIPE when the socket has an end.
 */
static int sleep_for_event(struct frontend_queue *queue, int timeout_ms)
{
	struct epoll_event events[2];
	int count = epoll_wait(queue->epoll_fd, events, 2, timeout_ms);

	for (int i = 0; i < count; i++)
		if (events[i].data.u32 == 1)
			return -EPIPE;
	return 0;
}

/* Looks for completions, spinning; asks the kernel about the socket every few ten microseconds. */
static int spin(struct frontend_queue *queue)
{
	const unsigned looks = 20000;

	for (unsigned i = 0; i < looks; i++)
		if (ready(queue) || queue->broken)
			return 0;
	return sleep_for_event(queue, 0);
}

static int milliseconds_left(uint64_t deadline_ns)
{
	uint64_t now = clock_now_ns();

	return now >= deadline_ns ? 0 : (int)((deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS);
}

int frontend_wait(struct frontend_queue *queue, int timeout_ms)
{
	uint64_t deadline_ns = 0;
	int left_ms = timeout_ms, error = 0;

	if (ready(queue))
		return 1;
	if (timeout_ms > 0)
		deadline_ns = clock_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	for (;;) {
		if (queue->poll) {
			error = spin(queue);
		} else {
			arm(queue, true);
			if (!ready(queue) && !queue->broken) {
				queue->counters.waits++;
				error = sleep_for_event(queue, left_ms);
			}
			arm(queue, false);
		}
		if (ready(queue))
			return 1;
		if (queue->broken || error)
			return queue->broken ? -EPROTO : error;
		if (timeout_ms >= 0 && (left_ms = deadline_ns ? milliseconds_left(deadline_ns) : 0) == 0)
			return 0;
	}
}

int frontend_notifier(const struct frontend_queue *queue)
{
	return queue->call_fd;
}

bool frontend_listen(struct frontend_queue *queue)
{
	arm(queue, true);
	return ready(queue) || queue->broken;
}

unsigned frontend_in_flight(const struct frontend_queue *queue)
{
	return queue->in_flight;
}

struct frontend_queue_counters frontend_queue_counters(const struct frontend_queue *queue)
{
	return queue->counters;
}
