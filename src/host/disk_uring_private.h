/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the io_uring disk driver share. No other file includes this; the contract is host_disk.h.
 *
 *   disk_uring.c        channels, reads and writes: the data path
 *   disk_uring_space.c  DISCARD and ZERO
 *   disk_uring_flush.c  FLUSH: one fsync at a time for each disk
 *   disk_bounce.c       O_DIRECT with buffers the kernel does not take
 *   disk_uring_open.c   opening, creating, locking
 *   disk_uring_probe.c  what the disk is like
 *   disk_uring_sync.c   blocking access for metadata
 *   disk_uring_reserve.c  space for metadata
 */
#ifndef VIADUCT_HOST_DISK_URING_PRIVATE_H
#define VIADUCT_HOST_DISK_URING_PRIVATE_H

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/container.h"
#include "core/log.h"
#include "core/loop.h"
#include "host/host_disk.h"

/* A request that the kernel interrupted (EINTR, EAGAIN) is submitted again this many times in a row. */
#define DISK_URING_ATTEMPTS_MAX 1000

/* How ZERO is done, best first; a disk only ever moves to a later one (EOPNOTSUPP at run time). */
enum zero_method { ZERO_PUNCH, ZERO_RANGE, ZERO_WRITE };

/* ---- the flush gate ---- */

/*
 * A failed write-back is reported by exactly one fsync on an open file; another one that runs at the
 * same time may succeed, and a request that relied on that one would be told a lie. So one fsync runs at a
 * time for each disk. It serves all flushes that waited when it started: the flush that runs it leads, the
 * others follow.
 */
struct flush_entry {
	/* Another thread hands over the lead: run an fsync, then flush_gate_leave(). Must not block. */
	void (*lead)(struct flush_entry *entry);
	/*
	 * Another thread's fsync, started after flush_gate_enter(), ended with 0 or -errno. Must not block.
	 */
	void (*finished)(struct flush_entry *entry, int error);
	struct flush_entry *next;
};

struct flush_gate {
	pthread_mutex_t lock;
	bool running;
	struct flush_entry *followers;		/* served by the fsync that runs */
	struct flush_entry *waiting, **waiting_end;
};

void flush_gate_init(struct flush_gate *gate);
void flush_gate_finish(struct flush_gate *gate);
/* True: the caller leads now. False: entry->lead() or entry->finished() is called later. Any thread. */
bool flush_gate_enter(struct flush_gate *gate, struct flush_entry *entry);
/* The leader's fsync ended: tells its followers and hands the lead to the flush that has waited longest. */
void flush_gate_leave(struct flush_gate *gate, int error);

/* ---- bounce buffers ---- */

#define BOUNCE_BUFFERS	    8
#define BOUNCE_BUFFER_BYTES (128ul * 1024)

/* Buffers of one channel; pages are used from the first misaligned request on. */
struct bounce_pool {
	uint8_t *memory;		/* BOUNCE_BUFFERS * BOUNCE_BUFFER_BYTES, NULL when not needed */
	unsigned free_mask;
	struct host_io *waiting, **waiting_end;
};

/* Returns 0 or -ENOMEM. */
int bounce_pool_init(struct bounce_pool *pool);
void bounce_pool_finish(struct bounce_pool *pool);

/* ---- disk, channel, request ---- */

struct disk_uring {
	struct host_disk base;
	int fd;				/* owned */
	bool block_device, direct;
	bool on_fuse;			/* the kernel waits for the file system's server */
	/* O_DIRECT: bits that must be 0 in a buffer's address; 0 = any address */
	uint32_t address_mask;
	uint32_t length_mask;		/* … in a buffer's length and in an offset */
	unsigned zero_method;		/* enum zero_method, atomic */
	struct flush_gate flushes;
	struct log_subject subject;	/* named at opening, only read afterwards */
};

struct uring_channel {
	struct host_channel base;
	struct loop *loop;
	int sqe_fd;			/* registered slot, or the plain fd */
	uint8_t sqe_flags;		/* of every entry */
	bool check_alignment;		/* O_DIRECT */
	bool copies;			/* … or the page cache, and the worker copies */
	struct bounce_pool bounce;

	unsigned space_running;		/* large DISCARDs and ZEROs in the kernel */
	struct host_io *space_waiting, **space_waiting_end;

	bool flushing;			/* flush_now is in the gate */
	struct host_io *flush_now;
	struct host_io *flush_waiting, **flush_waiting_end;
	struct flush_entry flush_entry;
	struct loop_op fsync_op;
	unsigned fsync_attempts;
	struct loop_message flush_message;	/* from another worker's fsync */
	bool flush_lead;
	int flush_error;
};

/* In host_io.driver_private. */
struct __attribute__((may_alias)) uring_io {
	struct loop_op op;		/* first */
	struct uring_channel *channel;
	union {
		struct host_io *next;	/* while it waits for a bounce buffer, a flush or other large ones */
		uint8_t *bounce;	/* while it has one */
	};
	uint64_t done_bytes;
	size_t shifted_bytes;		/* cut off the front of iov[iov_index]; put back before done() */
	union {
		uint32_t iov_index;	/* the iovec that the rest starts in */
		uint32_t bounce_step;	/* disk_bounce.c */
	};
	uint16_t attempts;		/* without progress */
	uint16_t zero_method;		/* the one tried */
};

static_assert(sizeof(struct uring_io) <= sizeof(((struct host_io *)0)->driver_private),
	      "driver_private is too small");

static inline struct uring_io *uring_io(struct host_io *io)
{
	return (struct uring_io *)io->driver_private;
}

static inline struct host_io *uring_io_of(struct loop_op *op)
{
	return container_of((uint64_t (*)[HOST_IO_PRIVATE_WORDS])op, struct host_io, driver_private);
}

static inline struct disk_uring *uring_disk(struct host_disk *disk)
{
	return container_of(disk, struct disk_uring, base);
}

/* True when `result` means "try again" and the patience is not used up. */
static inline bool uring_io_again(struct uring_io *own, int result)
{
	return (result == -EINTR || result == -EAGAIN) && own->attempts++ < DISK_URING_ATTEMPTS_MAX;
}

static inline void uring_channel_send(struct uring_channel *channel, struct io_uring_sqe *sqe,
				      struct loop_op *op)
{
	sqe->flags |= channel->sqe_flags;
	loop_sqe_finish_device(channel->loop, sqe, op);
}

/* disk_bounce.c: a READ or WRITE whose buffers or range are not aligned, or a ZERO whose range is not. */
void bounce_submit(struct uring_channel *channel, struct host_io *io);

/* disk_uring_space.c */
void space_submit(struct uring_channel *channel, struct host_io *io);

/* disk_uring_flush.c */
void uring_flush_channel_init(struct uring_channel *channel);
void uring_flush_submit(struct uring_channel *channel, struct host_io *io);
int uring_flush_sync(struct host_disk *disk);

/* disk_uring.c, the ops table */
extern const struct host_disk_ops disk_uring_ops;

/* disk_uring_sync.c */
int uring_read_sync(struct host_disk *disk, uint64_t offset, void *buffer, size_t bytes);
int uring_write_sync(struct host_disk *disk, uint64_t offset, const void *buffer, size_t bytes);
int uring_punch_sync(struct host_disk *disk, uint64_t offset, uint64_t bytes);

/* disk_uring_reserve.c */
int uring_reserve_sync(struct host_disk *disk, uint64_t offset, uint64_t bytes, bool blank);

/* disk_uring_probe.c: fills in geometry, block_device, masks and zero_method from disk->fd. 0 or -errno. */
int disk_uring_probe(struct disk_uring *disk, enum host_disk_cache cache, bool read_only);
int disk_uring_refresh(struct host_disk *disk);

/* disk_uring_open.c */
void disk_uring_close(struct host_disk *disk);

#endif
