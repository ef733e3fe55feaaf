/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A physical disk, or what stands in for one: the interface its drivers implement (disk_uring.c: files
 * and block devices; disk_memory.c: the twin for tests and benchmarks) and the arbiter calls.
 *
 * A host_disk is shared by all threads; each worker opens a channel of its own, and an I/O completes
 * on the worker that submitted it. Short transfers are finished by the driver: done() reports all or error.
 */
#ifndef VIADUCT_HOST_HOST_DISK_H
#define VIADUCT_HOST_HOST_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "host/placed_range.h"

struct loop;

enum host_io_op {
	HOST_IO_READ,
	HOST_IO_WRITE,
	HOST_IO_FLUSH,		/* everything completed before is durable when this completes */
	HOST_IO_DISCARD,	/* give the space back; contents undefined afterwards unless can_punch */
	HOST_IO_ZERO,		/* reads as zeroes afterwards; by punching, zero-range, or writing zeroes */
};

/*
 * READ, WRITE and ZERO may be of parts of blocks. The driver then reads and writes the rest of the block,
 * too; the caller sees to it that nothing else is written to that block meanwhile.
 */

#define HOST_IO_PRIVATE_WORDS 7

/* Embedded in the caller's request; alive until done() was called, exactly once. */
struct host_io {
	enum host_io_op op;
	struct placed_range range;
	/*
	 * READ and WRITE: covers exactly range.length_bytes. May change meanwhile; done() finds it restored.
	 */
	struct iovec *iov;
	unsigned iov_count;
	/* 0, or -errno: -EIO, -ENOSPC, -ENODEV (the device is gone), -EFAULT (guest memory is gone), … */
	void (*done)(struct host_io *io, int error);

	/* driver's own, meaningless to others */
	uint64_t driver_private[HOST_IO_PRIVATE_WORDS];
};

/* What the physical disk is like; constant once opened, except size_bytes which may grow. */
struct host_disk_geometry {
	uint64_t size_bytes;
	uint32_t block_bytes;		/* smallest addressable unit, power of two: 512 or 4096 */
	/* Preferred unit, power of two from block_bytes to 4096 */
	uint32_t physical_block_bytes;
	uint32_t optimal_io_bytes;	/* 0 = unknown */
	bool read_only;
	bool rotational;
	/* DISCARD leaves zeroes behind, quickly (holes, write-zeroes offload) */
	bool can_punch;
	/* READ and WRITE are copied by the worker, in part or whole, and take its time by their size */
	bool copies;
};

struct host_disk;
struct host_channel;

struct host_disk_ops {
	const char *name;
	/* Worker thread, may allocate. Returns 0 or -errno. */
	int (*channel_open)(struct host_disk *disk, struct loop *loop, struct host_channel **ret_channel);
	/* Worker thread; no I/O of the channel is in flight. */
	void (*channel_close)(struct host_channel *channel);
	/*
	 * Worker thread; never blocks, never fails: errors go to io->done(), which may be called before the
	 * return.
	 */
	void (*submit)(struct host_channel *channel, struct host_io *io);

	/*
	 * Synchronous access for metadata. Any thread but workers; may block. Return 0 or -errno: -ERANGE
	 * outside the disk; -EROFS; -EINVAL when a write is not of whole blocks (block_bytes; O_DIRECT).
	 */
	int (*read_sync)(struct host_disk *disk, uint64_t offset, void *buffer, size_t bytes);
	int (*write_sync)(struct host_disk *disk, uint64_t offset, const void *buffer, size_t bytes);
	int (*flush_sync)(struct host_disk *disk);
	/* Makes a range read as zeroes quickly; -EOPNOTSUPP when only writing zeroes would do it. */
	int (*punch_sync)(struct host_disk *disk, uint64_t offset, uint64_t bytes);
	/*
	 * Makes sure that writes to a range of whole 4 KiB need no new space of a file system, and changes
	 * no byte of it that was written; `blank`: none was, and zeroes may be written over the range. Also
	 * -ENOSPC, -EDQUOT. NULL: writes never need any.
	 */
	int (*reserve_sync)(struct host_disk *disk, uint64_t offset, uint64_t bytes, bool blank);
	/*
	 * Re-reads the size (a file or device that grew). Control thread. 0, or -errno: -EIO when it shrank.
	 */
	int (*refresh)(struct host_disk *disk);
	void (*close)(struct host_disk *disk);
};

/* First member of every driver's disk and channel. */
struct host_disk {
	const struct host_disk_ops *ops;
	const char *name;	/* for messages: the path; NULL: it has none */
	struct host_disk_geometry geometry;
	/*
	 * Set for good by the first flush that failed: what was written since the flush before it may be
	 * lost, and a later fsync that succeeds would lie. Every later FLUSH fails with -EIO.
	 */
	bool flush_failed;	/* atomic */
};

struct host_channel {
	const struct host_disk_ops *ops;
	struct host_disk *disk;
};

/* ---- disk_uring.c: a file or block device through io_uring ---- */

enum host_disk_cache {
	HOST_DISK_CACHE_AUTO,		/* O_DIRECT on block devices, the page cache on files */
	HOST_DISK_CACHE_DIRECT,		/* O_DIRECT */
	HOST_DISK_CACHE_BUFFERED,	/* the host's page cache; flushed by FLUSH */
};

struct disk_uring_options {
	const char *path;
	enum host_disk_cache cache;
	bool read_only;
	uint64_t create_bytes;	/* > 0: make the file with this size when it is missing */
	bool lock;		/* take an exclusive lock: -EBUSY when another process has it */
	/*
	 * How long to wait for the lock (blocks). The kernel ends the I/O of a killed process, and so its
	 * hold on the disk, some time after the process is gone.
	 */
	unsigned lock_wait_ms;
};

/*
 * Opens a disk. Returns 0 and *ret_disk (closed with ops->close), or -errno: -EBUSY (locked, or mounted by
 * the host), -ENOTBLK (neither a regular file nor a block device), -EINVAL (O_DIRECT asked for where the file
 * system has none; smaller than a block; blocks larger than 4096 bytes), -ELOOP (as root: a link on the way
 * is not root's), as open(2) otherwise. An existing file is never resized, whatever create_bytes says; the
 * size is rounded down to blocks.
 */
int disk_uring_open(const struct disk_uring_options *options, struct host_disk **ret_disk);
/* The same from an fd that a predecessor handed over; takes the fd on success. */
int disk_uring_open_fd(int fd, const struct disk_uring_options *options, struct host_disk **ret_disk);

/* The open file of a disk of this driver, to hand over to a successor; it stays the disk's. */
int disk_uring_fd(const struct host_disk *host);

/* ---- disk_memory.c: the in-memory twin ---- */

struct disk_memory_options {
	uint64_t size_bytes;
	uint32_t block_bytes;		/* 0 = 512 */
	/* No memory: reads and writes complete at once, data is not touched */
	bool null;
	bool can_punch;
	/*
	 * Service time of one request: base_ns + bytes * ns_per_kib / 1024; both 0 = complete inside
	 * submit().
	 */
	uint64_t read_base_ns, write_base_ns, flush_ns;
	uint64_t read_ns_per_kib, write_ns_per_kib;
	unsigned depth;			/* requests served at the same time; 0 = unlimited */
};

int disk_memory_open(const struct disk_memory_options *options, struct host_disk **ret_disk);

/*
 * The next `count` I/Os of `op` that touch a byte in [offset_from, offset_to) fail with `error` (a negative
 * errno) and move nothing; any FLUSH matches, and fails for good (flush_failed). The synchronous calls are
 * met by them too (punch_sync as ZERO). Any thread.
 */
void disk_memory_fail(struct host_disk *disk, enum host_io_op op, uint64_t offset_from, uint64_t offset_to,
		      unsigned count, int error);
/* Holds back all completions while true: a disk that hangs. Not the synchronous calls. Any thread. */
void disk_memory_hang(struct host_disk *disk, bool hang);
/*
 * From now on every request takes `factor` times its service time (1: as opened): a write cliff. Any thread.
 */
void disk_memory_slow(struct host_disk *disk, unsigned factor);
/* The bytes of the disk, for a test to look at; NULL in null mode. */
uint8_t *disk_memory_bytes(struct host_disk *disk);

#endif
