/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A front end of our own: a vhost-user master with a virtio driver, for programs that use a virtual disk as
 * a guest would — `viaduct disk import`/`export`, the load generator, the demo's hostile guest, tests. It
 * shares no code with the back end, so that each checks the other.
 *
 * One frontend is one connection; one thread uses it at a time (queues may be used by a thread each;
 * connect, reconnect, close and the configuration space are for one thread while no other is inside).
 *
 * The back end is not trusted with our memory safety: a ring that it breaks is marked as broken, nothing
 * more is taken from it, and frontend_wait() says -EPROTO.
 */
#ifndef VIADUCT_FRONTEND_FRONTEND_H
#define VIADUCT_FRONTEND_FRONTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frontend;
struct frontend_queue;

/* Feature bits (virtio 1.2, 6 and 5.2.3) that a caller may want. */
#define FRONTEND_F_INDIRECT	    (1ull << 28)
#define FRONTEND_F_EVENT_IDX	    (1ull << 29)
#define FRONTEND_F_VERSION_1	    (1ull << 32)
#define FRONTEND_F_PACKED	    (1ull << 34)
#define FRONTEND_F_IN_ORDER	    (1ull << 35)
#define FRONTEND_F_BLK_FLUSH	    (1ull << 9)
#define FRONTEND_F_BLK_CONFIG_WCE   (1ull << 11)
#define FRONTEND_F_BLK_MQ	    (1ull << 12)
#define FRONTEND_F_BLK_DISCARD	    (1ull << 13)
#define FRONTEND_F_BLK_WRITE_ZEROES (1ull << 14)

struct frontend_options {
	const char *path;	/* the back end's socket; copied */
	unsigned queues;	/* 1 … 256 */
	unsigned queue_size;	/* power of two, 2 … 32768 */
	uint64_t features;	/* wanted, besides VERSION_1; the back end may offer fewer */
	size_t memory_bytes;	/* guest memory to share: rings first, the rest is for the caller's buffers */
	/* Back the memory with 2 MiB pages when there are any (MFD_HUGETLB, else THP) */
	bool huge_pages;
	bool inflight;		/* fetch and give back an INFLIGHT buffer */
	bool poll;		/* the driver polls its used rings and asks for no notifications */
};

/*
 * Connects, negotiates, shares memory, starts the queues. Returns 0, or -errno and *ret_error text (static):
 * -EINVAL (options), -ENOMEM (memory_bytes too small for the rings, or out of memory), -ETIMEDOUT (a reply
 * did not come), -EPIPE (the back end closed the connection), -EPROTO (nonsense or a refusal),
 * -EOPNOTSUPP (VERSION_1, the queues or the INFLIGHT buffer are not offered), else as connect(2).
 */
int frontend_connect(const struct frontend_options *options, struct frontend **ret_frontend,
		     const char **ret_error);

/*
 * Stops the queues (requests in flight are waited for, at most a second), disconnects, frees. NULL is
 * allowed.
 */
void frontend_close(struct frontend *frontend);

/*
 * The connection broke (the daemon was killed): connects again and gives memory, INFLIGHT buffer and ring
 * positions back, so that requests in flight are completed by the new back end. Waits up to timeout_ms.
 * Without an INFLIGHT buffer the requests in flight of a split ring, and of any ring in order, are offered
 * again; -EOPNOTSUPP when a packed ring has some. Otherwise errors as frontend_connect(); after an error
 * it may be called again.
 */
int frontend_reconnect(struct frontend *frontend, unsigned timeout_ms);

uint64_t frontend_features(const struct frontend *frontend);	/* negotiated */
/* Reads the device's configuration space: offset + bytes <= 256. Returns 0 or -errno (-EOPNOTSUPP: none). */
int frontend_config(struct frontend *frontend, size_t offset, void *buffer, size_t bytes);
/* Writes it. Returns 0 or -errno; only a back end with REPLY_ACK says that it refused (-EPROTO). */
int frontend_config_write(struct frontend *frontend, size_t offset, const void *buffer, size_t bytes);
/* Takes the notifications "the configuration changed" that arrived; returns their number. Never blocks. */
unsigned frontend_config_changes(struct frontend *frontend);
/* Caller's part of the shared memory, page-aligned (2 MiB with huge_pages when memory_bytes allows it). */
void *frontend_memory(struct frontend *frontend, size_t *ret_bytes);
/* Guest physical address of a pointer into the shared memory. */
uint64_t frontend_guest_address(const struct frontend *frontend, const void *pointer);
struct frontend_queue *frontend_queue(struct frontend *frontend, unsigned index);

/* One element of a request; addresses may lie (that is what hostile front ends are for). */
struct frontend_buffer {
	uint64_t guest_address;
	uint32_t length;
	bool device_writes;
};

/* Elements of one chain that go into an indirect table; a longer chain takes ring descriptors. */
#define FRONTEND_INDIRECT_MAX 32u

/*
 * Puts a chain on the ring (indirect when negotiated and count > 1). Returns 0, -EAGAIN (ring full) or
 * -EINVAL (no element, or more than the ring will ever hold). Device-writable elements come last.
 */
int frontend_add(struct frontend_queue *queue, const struct frontend_buffer *buffers, unsigned count,
		 void *token);
/* Publishes what was added and kicks when the back end wants it. */
void frontend_kick(struct frontend_queue *queue);
/* Takes one completion: true and its token and written length. */
bool frontend_take(struct frontend_queue *queue, void **ret_token, uint32_t *ret_written);
/*
 * Sleeps until the back end notifies or timeout_ms passed (-1: no limit); spins when the driver polls.
 * Returns 1 (there is a completion), 0 on time-out, -EPIPE when the back end is gone, -EPROTO when it broke
 * the ring.
 */
int frontend_wait(struct frontend_queue *queue, int timeout_ms);
/*
 * For a thread that waits for many queues: the descriptor of the back end's notifications, to be watched
 * edge-triggered and never read. frontend_listen() asks for one at the next completion; true: there is one
 * already, and no notification will come for it. The descriptor stays the queue's, and changes when it
 * reconnects.
 */
int frontend_notifier(const struct frontend_queue *queue);
bool frontend_listen(struct frontend_queue *queue);
/* Kicks whether or not there is something new and the back end wants it: a storm is made of these. */
void frontend_kick_always(struct frontend_queue *queue);
/* Chains added and not yet taken. */
unsigned frontend_in_flight(const struct frontend_queue *queue);
/* Kicks sent and notifications slept for, since the start. */
struct frontend_queue_counters {
	uint64_t kicks, waits;
};
struct frontend_queue_counters frontend_queue_counters(const struct frontend_queue *queue);

/* ---- virtio-blk on top ---- */

enum frontend_block_type {
	FRONTEND_BLOCK_IN = 0,
	FRONTEND_BLOCK_OUT = 1,
	FRONTEND_BLOCK_FLUSH = 4,
	FRONTEND_BLOCK_GET_ID = 8,		/* 20 bytes */
	/* Data: frontend_block_range, any number the back end allows */
	FRONTEND_BLOCK_DISCARD = 11,
	FRONTEND_BLOCK_WRITE_ZEROES = 13,
};

/* virtio 1.2, 5.2.6: the segment of a discard or write-zeroes request. */
struct frontend_block_range {
	uint64_t sector;
	uint32_t sectors;
	uint32_t flags;			/* bit 0: may unmap (write zeroes only) */
};

/* The chain came back, but its status byte was not written. */
#define FRONTEND_BLOCK_NO_STATUS 0xff

struct frontend_block_request {
	/* Virtio 1.2, 5.2.6; anything: the back end is to refuse what it does not know */
	uint32_t type;
	uint64_t sector;		/* 512 bytes */
	void *data;			/* in shared memory, or NULL */
	uint32_t data_bytes;		/* at most the device's size_max when it offers SIZE_MAX */
	void *token;
};
/*
 * Uses a header slot of its own for each request in flight. Returns 0 or -EAGAIN. A queue carries either
 * block requests or chains of frontend_add(), not both at a time.
 */
int frontend_block_add(struct frontend_queue *queue, const struct frontend_block_request *request);
/* Takes one completion: true, its token and its status byte (0 ok, 1 error, 2 unsupported). */
bool frontend_block_take(struct frontend_queue *queue, void **ret_token, uint8_t *ret_status);
/*
 * One request, waited for (30 s at most), on a queue with nothing else in flight: returns the status byte
 * or -errno (-EBUSY, -ETIMEDOUT, as frontend_wait()).
 */
int frontend_block_do(struct frontend_queue *queue, const struct frontend_block_request *request);
/* Capacity from the configuration space. Returns 0 or -errno. */
int frontend_block_size(struct frontend *frontend, uint64_t *ret_bytes);

#endif
