/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A front end of our own: a vhost-user master with a virtio driver, for programs that use a virtual disk as
 * a guest would — `viaduct disk import`/`export`, the load generator, the demo's hostile guest, tests. It
 * shares no code with the back end, so that each checks the other.
 *
 * One frontend is one connection; one thread uses it at a time (queues may be used by a thread each).
 */
#ifndef VIADUCT_FRONTEND_FRONTEND_H
#define VIADUCT_FRONTEND_FRONTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frontend;
struct frontend_queue;

struct frontend_options {
	const char *path;	/* the back end's socket */
	unsigned queues;	/* 1 … */
	unsigned queue_size;	/* power of two */
	uint64_t features;	/* wanted, besides VERSION_1; the back end may offer fewer */
	size_t memory_bytes;	/* guest memory to share: rings first, the rest is for the caller's buffers */
	bool huge_pages;	/* back the memory with 2 MiB pages when there are any (MFD_HUGETLB, else THP) */
	bool inflight;		/* fetch and give back an INFLIGHT buffer */
	bool poll;		/* the driver polls its used rings: no call eventfd */
};

/* Connects, negotiates, shares memory, starts the queues. Returns 0 or -errno and *ret_error text (static). */
int frontend_connect(const struct frontend_options *options, struct frontend **ret_frontend, const char **ret_error);
void frontend_close(struct frontend *frontend);

/*
 * The connection broke (the daemon was killed): connects again and gives memory, INFLIGHT buffer and ring
 * positions back, so that requests in flight are completed by the new back end. Waits up to timeout_ms.
 */
int frontend_reconnect(struct frontend *frontend, unsigned timeout_ms);

uint64_t frontend_features(const struct frontend *frontend);	/* negotiated */
/* Reads the device's configuration space. */
int frontend_config(struct frontend *frontend, size_t offset, void *buffer, size_t bytes);
/* Caller's part of the shared memory. */
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

/* Puts a chain on the ring (indirect when negotiated and count > 1). Returns 0 or -EAGAIN (ring full). */
int frontend_add(struct frontend_queue *queue, const struct frontend_buffer *buffers, unsigned count, void *token);
/* Publishes what was added and kicks when the back end wants it. */
void frontend_kick(struct frontend_queue *queue);
/* Takes one completion: true and its token and written length. */
bool frontend_take(struct frontend_queue *queue, void **ret_token, uint32_t *ret_written);
/* Sleeps until the back end notifies or timeout_ms passed (-1: no limit). Returns 1, 0 on time-out, -EPIPE when gone. */
int frontend_wait(struct frontend_queue *queue, int timeout_ms);

/* ---- virtio-blk on top ---- */

/* `status` points into shared memory and holds the device's answer afterwards (0 ok, 1 error, 2 unsupported). */
struct frontend_block_request {
	uint32_t type;			/* virtio 1.2, 5.2.6: 0 in, 1 out, 4 flush, 8 get id, 11 discard, 13 write zeroes */
	uint64_t sector;		/* 512 bytes */
	void *data;			/* in shared memory, or NULL */
	uint32_t data_bytes;
	void *token;
};
/* Uses a header slot of its own for each request in flight. Returns 0 or -EAGAIN. */
int frontend_block_add(struct frontend_queue *queue, const struct frontend_block_request *request);
/* Takes one completion: true, its token and its status byte. */
bool frontend_block_take(struct frontend_queue *queue, void **ret_token, uint8_t *ret_status);
/* One request, waited for: returns the status byte or -errno. */
int frontend_block_do(struct frontend_queue *queue, const struct frontend_block_request *request);

#endif
