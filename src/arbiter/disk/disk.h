/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual disk: the part of a physical disk that one guest owns, and the border between disk models
 * (devices/disk) and the arbiter. A model opens a channel on each worker that serves one of its queues
 * and submits plain requests; the arbiter proves the range, finds where the bytes lie, drives the
 * host disk and accounts for it. Each request taken completes exactly once, on the same worker.
 */
#ifndef VIADUCT_ARBITER_DISK_DISK_H
#define VIADUCT_ARBITER_DISK_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "arbiter/share/gate.h"
#include "arbiter/disk/grain_lock.h"
#include "arbiter/pool/pool.h"
#include "core/iov.h"
#include "core/log.h"
#include "core/stats.h"
#include "host/host_disk.h"

struct loop;
struct disk;
struct disk_channel;

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD, DISK_WRITE_ZEROES, DISK_OPS };
/* "read", "write", "flush", "discard", "write-zeroes": for logs, JSON keys and metric labels. */
const char *disk_op_text(enum disk_op op);

/* What the arbiter keeps about a request in flight; nobody else looks inside. See disk.c. */
struct disk_request_private {
	struct disk_channel *channel;
	uint64_t start_ns;
	uint64_t done_bytes, piece_bytes;	/* finished, and the piece under way */
	unsigned step;
	bool cut;				/* `window` is open */
	bool gated;				/* is to leave the gate */
	struct gate_pass pass;
	struct iov_window window;
	struct host_io io;
	struct pool_commit commit;
	struct grain_lock lock;
	struct disk_request *next;		/* READ: waits for its turn to be zeroed on */
};

/* Embedded in the model's request; alive until done() was called. */
struct disk_request {
	enum disk_op op;
	/* WRITE, DISCARD, WRITE_ZEROES: durable before done() (write-through) */
	bool through;
	uint64_t offset_bytes;		/* on the virtual disk, straight from the guest: not yet proven */
	uint64_t length_bytes;		/* READ and WRITE: what the iovecs hold */
	struct iovec *iov;		/* READ and WRITE */
	unsigned iov_count;
	/* 0, or -errno; -ERANGE: not inside the disk, nothing was touched; -EROFS: read-only disk. */
	void (*done)(struct disk_request *request, int error);

	struct disk_request_private private;
};

/* Counters of one disk on one worker; see disk_stats_read(). */
struct disk_stats {
	struct counter operations[DISK_OPS];
	struct counter bytes[DISK_OPS];
	struct counter errors;		/* of the physical disk */
	struct counter refused;		/* outside the disk, read-only, misaligned */
	struct counter in_flight;
	struct histogram latency[DISK_OPS];	/* submit to done, ns */
	struct gate_counters gate;
};

struct disk_options {
	const char *guest;		/* copied */
	const char *name;		/* copied */
	bool read_only;
	/* Its place in the tree of shares; NULL: requests pass as they come */
	struct gate_node *share;
};

/*
 * A virtual disk on a part of a pool, or on a whole host disk of its own. The pool or host disk outlives
 * it. Control thread. Returns 0 or -errno.
 */
int disk_create_on_pool(const struct disk_options *options, struct pool *pool, struct pool_disk *part,
			struct disk **ret_disk);
int disk_create_on_host(const struct disk_options *options, struct host_disk *host, struct disk **ret_disk);
/*
 * The pool was closed and opened again, and the same part has a new place in memory. No channel is open.
 * Control thread.
 */
void disk_set_part(struct disk *disk, struct pool *pool, struct pool_disk *part);
/* No channel is open any more. NULL is allowed. */
void disk_destroy(struct disk *disk);

const char *disk_guest(const struct disk *disk);
const char *disk_name(const struct disk *disk);
uint64_t disk_size_bytes(const struct disk *disk);	/* any thread; may grow */
uint32_t disk_block_bytes(const struct disk *disk);	/* logical block */
const struct host_disk_geometry *disk_host_geometry(const struct disk *disk);
/* DISCARD granularity and alignment in bytes; 0: the disk cannot discard. */
uint32_t disk_discard_bytes(const struct disk *disk);
bool disk_read_only(const struct disk *disk);

/* Called on the control thread after the disk grew; the model tells its driver. */
void disk_on_resize(struct disk *disk, void (*resized)(void *context), void *context);
/* Tells the disk that its part of the pool or its host disk grew. Control thread. */
void disk_resized(struct disk *disk);

/* Joins the counters of all channels, also closed ones, into *ret_stats. Any thread. */
void disk_stats_read(struct disk *disk, struct disk_stats *ret_stats);
/* Channels open now: > 0 means that a guest is connected. */
unsigned disk_channel_count(const struct disk *disk);

/* Worker thread, may allocate; channels of the same disk and loop are separate. Returns 0 or -errno. */
int disk_channel_open(struct disk *disk, struct loop *loop, struct disk_channel **ret_channel);
/* Worker thread; no request of the channel is in flight. */
void disk_channel_close(struct disk_channel *channel);

/*
 * true: its requests are waited for, and its own limits must not hold them back: see gate_port_drain().
 * Worker thread.
 */
void disk_channel_drain(struct disk_channel *channel, bool drain);

/* Takes a request. Worker thread; never blocks; done() may be called before the return. */
void disk_submit(struct disk_channel *channel, struct disk_request *request);

#endif
