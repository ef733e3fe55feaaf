/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the front end: the connection (frontend_vhost_user.c), its messages (frontend_message.c), the
 * memory it shares (frontend_memory.c) and the driver's rings (frontend_ring.c, _split.c, _packed.c).
 */
#ifndef VIADUCT_FRONTEND_FRONTEND_PRIVATE_H
#define VIADUCT_FRONTEND_FRONTEND_PRIVATE_H

#include <assert.h>
#include <sys/types.h>

#include "frontend/frontend.h"

#define FRONTEND_QUEUES_MAX	256u
#define FRONTEND_QUEUE_SIZE_MAX 32768u
/* Two cache lines: the adjacent-line prefetcher must not drag the other side's line along. */
#define FRONTEND_ALIGN 128u

/* ---- formats (virtio 1.2, 2.7 and 2.8), all little-endian ---- */

#define DESC_F_NEXT	(1u << 0)
#define DESC_F_WRITE	(1u << 1)
#define DESC_F_INDIRECT (1u << 2)
#define PACKED_F_AVAIL	(1u << 7)
#define PACKED_F_USED	(1u << 15)

struct split_desc {
	uint64_t address;
	uint32_t length;
	uint16_t flags;
	uint16_t next;
};

struct split_available {
	uint16_t flags;		/* 1: no interrupts, please */
	uint16_t idx;
	uint16_t ring[];	/* size heads, then used_event */
};

struct split_used_element {
	uint32_t id;
	uint32_t length;
};

struct split_used {
	uint16_t flags;		/* 1: no kicks, please */
	uint16_t idx;
	struct split_used_element ring[];	/* size elements, then avail_event */
};

struct packed_desc {
	uint64_t address;
	uint32_t length;
	uint16_t id;
	uint16_t flags;
};

#define PACKED_EVENT_ENABLE  0u
#define PACKED_EVENT_DISABLE 1u
#define PACKED_EVENT_DESC    2u

struct packed_event {
	uint16_t position;	/* descriptor, bit 15: wrap counter */
	uint16_t flags;
};

/* virtio 1.2, 5.2.6 */
struct block_header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};

static_assert(sizeof(struct split_desc) == 16 && sizeof(struct packed_desc) == 16,
	      "descriptors have 16 bytes");
static_assert(sizeof(struct split_used_element) == 8, "used elements have 8 bytes");
static_assert(sizeof(struct block_header) == 16, "the request header has 16 bytes");

/* Either layout of a descriptor, where only the place matters. */
union any_desc {
	struct split_desc split;
	struct packed_desc packed;
};

#define SLOT_TABLE 3u

/*
 * Shared memory of the chain with one id: what the back end reads of a block request lies in one cache
 * line. The table also serves other chains of up to SLOT_TABLE elements.
 */
struct frontend_slot {
	union any_desc table[SLOT_TABLE];
	struct block_header header;
};
static_assert(sizeof(struct frontend_slot) == 64, "a slot is a cache line");

/* ---- a queue ---- */

/* Our own record of the chain with one id; nothing in it is shared. */
struct frontend_chain {
	void *token;
	/* What a device in order is taken to have written, if it does not say */
	uint32_t writable_bytes;
	uint16_t descriptors;		/* of the ring; 0: not in flight */
};

struct frontend_queue {
	unsigned index, size;
	uint16_t mask;
	bool packed, indirect, event_idx, in_order;
	bool broken;			/* the back end broke the rules */
	bool armed;			/* asked for a notification */
	uint64_t guest_delta;		/* guest address = pointer + guest_delta */

	/* shared memory */
	union {
		struct {
			struct split_desc *desc;
			struct split_available *available;
			struct split_used *used;
		} split_ring;
		struct {
			struct packed_desc *desc;
			struct packed_event *driver, *device;
		} packed_ring;
	};
	struct frontend_slot *slot;	/* by id */
	uint8_t *status;		/* by id: many answers in one cache line */
	union any_desc *tables;		/* FRONTEND_INDIRECT_MAX by id */

	/* positions; split counts modulo 2^16, packed is a descriptor and a wrap counter */
	uint16_t available_idx;		/* next to fill */
	uint16_t published_idx;		/* split: what the back end was told */
	uint16_t used_idx;		/* next to look at */
	uint16_t used_seen;		/* split: the back end's index when last read */
	bool available_wrap, used_wrap;
	/* packed: the first descriptor added since the last publication gets its flags last */
	uint16_t held_position, held_flags, held_count;

	/* in order: ids as they were made available, and the batch that one used entry ends */
	uint16_t *order;
	uint16_t order_head, order_tail;
	bool batch;
	uint16_t batch_last;
	uint32_t batch_written;

	/* free ids (split: free descriptors), a ring of `size` */
	uint16_t *free;
	uint16_t free_head, free_tail;
	unsigned free_count;		/* descriptors */
	uint16_t *next;			/* split: our record of the links in use */
	struct frontend_chain *chain;	/* by id */
	unsigned in_flight;

	/*
	 * A polling driver gives a call eventfd too, asks for no notification, and leaves it alone: back ends
	 * in the field fail on a queue without one.
	 */
	int kick_fd, call_fd;
	bool poll;
	int socket;			/* lent by the connection */
	int epoll_fd;			/* call_fd, edge-triggered, and the socket's end */
	struct frontend_queue_counters counters;
};

/* Bytes of shared memory that one queue takes, a multiple of FRONTEND_ALIGN. */
size_t frontend_queue_bytes(unsigned size);
/*
 * Lays a queue out in zeroed shared memory at `memory`; `features` as negotiated. No fds yet (-1).
 * Returns 0 or -ENOMEM. frontend_queue_finish() accepts a zeroed queue.
 */
int frontend_queue_init(struct frontend_queue *queue, unsigned index, unsigned size, uint64_t features,
			void *memory, uint64_t guest_delta);
void frontend_queue_finish(struct frontend_queue *queue);

static inline uint64_t queue_guest_address(const struct frontend_queue *queue, const void *pointer)
{
	return (uint64_t)(uintptr_t)pointer + queue->guest_delta;
}

/* The id that the next chain will get; the caller knows that free_count > 0. */
static inline uint16_t queue_next_id(const struct frontend_queue *queue)
{
	return queue->free[queue->free_head & queue->mask];
}

/* ---- the two ring formats; see frontend_split.c and frontend_packed.c ---- */

/* Puts buffers[count] on the ring as descriptors; there is room. */
void frontend_split_add(struct frontend_queue *queue, const struct frontend_buffer *buffers, unsigned count,
			void *token);
void frontend_packed_add(struct frontend_queue *queue, const struct frontend_buffer *buffers, unsigned count,
			 void *token);
/* Puts one descriptor for an indirect table on the ring; there is room. */
void frontend_split_add_table(struct frontend_queue *queue, const void *table, unsigned count,
			      uint32_t writable_bytes, void *token);
void frontend_packed_add_table(struct frontend_queue *queue, const void *table, unsigned count,
			       uint32_t writable_bytes, void *token);
/* Publishes; true when the back end wants a kick. */
bool frontend_split_publish(struct frontend_queue *queue);
bool frontend_packed_publish(struct frontend_queue *queue);
/* Is there a used entry? */
bool frontend_split_ready(struct frontend_queue *queue);
bool frontend_packed_ready(struct frontend_queue *queue);
/* Takes one completion's id and length, and frees the id; false: none, or the ring is broken. */
bool frontend_split_take(struct frontend_queue *queue, uint16_t *ret_id, uint32_t *ret_written);
bool frontend_packed_take(struct frontend_queue *queue, uint16_t *ret_id, uint32_t *ret_written);
/* Asks for a notification at the next used entry, or for none. */
void frontend_split_arm(struct frontend_queue *queue, bool armed);
void frontend_packed_arm(struct frontend_queue *queue, bool armed);

/*
 * After a back end died: the ring's position for SET_VRING_BASE, from what it left in the used ring, so
 * that a new back end sees everything not completed. `replay`: there is no INFLIGHT buffer; requests in
 * flight are to be offered again. Returns 0, -EOPNOTSUPP (cannot replay) or -EPROTO (broken).
 */
int frontend_split_recover(struct frontend_queue *queue, bool replay, uint32_t *ret_base);
int frontend_packed_recover(struct frontend_queue *queue, bool replay, uint32_t *ret_base);

/* ---- in-order bookkeeping, shared by both formats ---- */

static inline void order_push(struct frontend_queue *queue, uint16_t id)
{
	if (queue->in_order)
		queue->order[queue->order_tail++ & queue->mask] = id;
}

/* Reads the used entry at used_idx; false and queue->broken when its id is not in flight. */
typedef bool frontend_read_entry(struct frontend_queue *queue, uint16_t *ret_id, uint32_t *ret_written);

/*
 * The oldest chain, when the device may answer a whole batch by the entry of its last one (virtio 1.2,
 * 2.7.9 and 2.8.9). Chains that got no entry of their own count as written completely.
 */
static inline bool order_take(struct frontend_queue *queue, frontend_read_entry *read_entry, uint16_t *ret_id,
			      uint32_t *ret_written)
{
	uint16_t id;

	if (!queue->batch && !read_entry(queue, &queue->batch_last, &queue->batch_written))
		return false;
	assert(queue->order_head != queue->order_tail);
	id = queue->order[queue->order_head++ & queue->mask];
	queue->batch = id != queue->batch_last;
	*ret_written = queue->batch ? queue->chain[id].writable_bytes : queue->batch_written;
	*ret_id = id;
	return true;
}

/* Where a descriptor of an indirect table is filled; the two layouts differ in their last four bytes. */
static inline void table_set(union any_desc *desc, bool packed, uint64_t address, uint32_t length,
			     bool device_writes, unsigned index, unsigned count)
{
	unsigned write = device_writes ? DESC_F_WRITE : 0;

	if (packed) {
		desc->packed = (struct packed_desc){ address, length, 0, (uint16_t)write };
		return;
	}
	if (index + 1 < count)
		desc->split = (struct split_desc){ address, length, (uint16_t)(write | DESC_F_NEXT),
						   (uint16_t)(index + 1) };
	else
		desc->split = (struct split_desc){ address, length, (uint16_t)write, 0 };
}

/* ---- memory ---- */

struct frontend_memory_area {
	int fd;
	uint8_t *base;
	size_t bytes;
};

/* Makes and maps memory to share, of at least `bytes`. Returns 0 or -errno. */
int frontend_memory_create(struct frontend_memory_area *area, size_t bytes, bool huge_pages);
void frontend_memory_destroy(struct frontend_memory_area *area);

/* ---- messages (vhost-user) ---- */

#define VHOST_PAYLOAD_MAX 512u
#define VHOST_FDS_MAX	  8u

struct vhost_message {
	uint32_t request;
	bool reply;			/* received: bit 2 of the flags */
	bool need_reply;		/* bit 3 */
	uint32_t bytes;			/* of payload */
	uint8_t payload[VHOST_PAYLOAD_MAX];
	int fds[VHOST_FDS_MAX];		/* received: owned; sent: lent */
	unsigned fd_count;
};

/* Sends all of a message. Returns 0 or -errno (-EPIPE: the connection is gone). */
int vhost_message_send(int socket, const struct vhost_message *message);
/* Receives one message, waiting timeout_ms for each piece. Returns 0, -ETIMEDOUT, -EPIPE, -EPROTO. */
int vhost_message_receive(int socket, struct vhost_message *message, int timeout_ms);
void vhost_message_close_fds(struct vhost_message *message);

/* ---- the connection ---- */

struct frontend_inflight {
	int fd;				/* -1: none yet */
	uint64_t mmap_bytes, mmap_offset;
	uint16_t queues, queue_size;
};

struct frontend {
	struct frontend_options options;
	char *path;
	int socket;
	int backend_channel;		/* the back end's own requests; -1: not negotiated */
	uint64_t features, protocol_features;
	bool has_protocol;		/* protocol features were negotiated: queues must be enabled */
	bool negotiated;		/* once: a reconnect must offer the same */
	struct frontend_memory_area memory;
	size_t rings_bytes;		/* of memory, in front of the caller's part */
	struct frontend_inflight inflight;
	struct frontend_queue *queue;	/* options.queues, made when the features are known */
	const char *error;		/* static text of what failed */
};

/* One attempt: everything from connect(2) to running queues. Returns 0 or -errno and frontend->error. */
int frontend_start(struct frontend *frontend, bool again);
/* Closes the socket and the back end's channel. */
void frontend_disconnect(struct frontend *frontend);

#endif
