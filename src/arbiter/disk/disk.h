/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual disk: the part of a physical disk that one guest owns, and the border between disk models
 * (devices/disk) and the arbiter: a model includes no other header of the arbiter. A model opens a channel on
 * each worker that serves one of its queues and submits plain requests; the arbiter proves the range, finds
 * where the bytes lie, drives the host disk and accounts for the request. Each request taken completes
 * exactly once, on the same worker. What a disk counts is in disk_stats.h.
 */
#ifndef VIADUCT_ARBITER_DISK_DISK_H
#define VIADUCT_ARBITER_DISK_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct gate_node;
struct host_disk;
struct loop;
struct pool;
struct pool_disk;
struct disk;
struct disk_channel;

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD, DISK_WRITE_ZEROES, DISK_OPS };
/* "read", "write", "flush", "discard", "write-zeroes": for logs, JSON keys and metric labels. */
const char *disk_op_text(enum disk_op op);

/*
 * More is refused with -EINVAL. Linux and Windows keep to what the model says of segments. UEFI's driver
 * sends up to 1 GiB whatever is said, for instance when a boot loader reads an initrd; no known driver sends
 * more.
 */
#define DISK_REQUEST_BYTES_MAX (1u << 30)

#define DISK_REQUEST_PRIVATE_WORDS 59

/* Embedded in the model's request; alive until done() was called. */
struct disk_request {
	enum disk_op op;
	/* WRITE, DISCARD, WRITE_ZEROES: durable before done() (write-through) */
	bool through;
	/* Set with an error: the request was refused, and no byte of the disk or of the iovecs was touched */
	bool refused;
	uint64_t offset_bytes;		/* on the virtual disk, straight from the guest: not yet proven */
	uint64_t length_bytes;		/* READ and WRITE: what the iovecs hold */
	struct iovec *iov;		/* READ and WRITE */
	unsigned iov_count;
	/* 0, or -errno; -ERANGE: not inside the disk; -EROFS: read-only disk. */
	void (*done)(struct disk_request *request, int error);

	/* the arbiter's own, meaningless to others; zeroed before the request is used first */
	uint64_t private_words[DISK_REQUEST_PRIVATE_WORDS];
};

/* What the disk prefers; does not change. */
struct disk_geometry {
	uint32_t block_bytes;		/* smallest addressable unit (logical block), 512 or 4096 */
	uint32_t physical_block_bytes;	/* preferred unit, power of two >= block_bytes */
	uint32_t optimal_io_bytes;	/* 0 = unknown */
};

struct disk_options {
	const char *guest;		/* copied */
	const char *name;		/* copied */
	bool read_only;
	/*
	 * Logical block, 512 or 4096. Smaller than the physical disk's: what is written is then read first as
	 * far as blocks are not whole (512e). 0: the physical disk's
	 */
	uint32_t block_bytes;
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
const struct disk_geometry *disk_geometry(const struct disk *disk);
/* DISCARD granularity and alignment in bytes; 0: the disk cannot discard. */
uint32_t disk_discard_bytes(const struct disk *disk);
bool disk_read_only(const struct disk *disk);

/* Called on the control thread after the disk grew; the model tells its driver. */
void disk_on_resize(struct disk *disk, void (*resized)(void *context), void *context);
/* Tells the disk that its part of the pool or its host disk grew. Control thread. */
void disk_resized(struct disk *disk);

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

/*
 * Its requests end as soon as what is in the device is done, with -ECANCELED where something is left to do:
 * their iovecs are not touched any more. None follow. Worker thread.
 */
void disk_channel_abandon(struct disk_channel *channel);

/* Takes a request. Worker thread; never blocks; done() may be called before the return. */
void disk_submit(struct disk_channel *channel, struct disk_request *request);

#endif
