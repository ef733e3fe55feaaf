/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pool: a physical disk and the map that cuts it into virtual disks. The format is in
 * docs/pool-format.md; this is what the rest of Viaduct uses.
 *
 * Space is given out in extents of POOL_EXTENT_BYTES. So that no guest ever reads a former owner's bytes,
 * each extent has POOL_GRAINS "written" bits, one a grain: a grain whose bit is clear reads as zeroes
 * without a look at the disk. Where the disk can punch holes, space is punched when it is given out and
 * all bits are set from the start; elsewhere the first write to a grain zeroes what it does not cover.
 *
 * Changes are records in a journal; see pool_journal.h for the order of writes that makes them atomic.
 *
 * Control functions that fail fill in *error, which may be NULL.
 *
 * Threads: "control" functions are serialised by the caller (the control thread). Lookups and marks run
 * on workers, without locks, at the same time as everything else.
 */
#ifndef VIADUCT_ARBITER_POOL_POOL_H
#define VIADUCT_ARBITER_POOL_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

#define POOL_EXTENT_BYTES 1048576u
#define POOL_GRAINS	  16u
#define POOL_GRAIN_BYTES  (POOL_EXTENT_BYTES / POOL_GRAINS)	/* 64 KiB */
#define POOL_NAME_MAX	  127	/* "guest/disk" without the final NUL */
#define POOL_FINDING_MAX  256

struct host_disk;
struct loop;
struct pool;
struct pool_disk;

/* ---- control: the pool as a whole ---- */

/*
 * Writes an empty pool on a disk. Unless `force`, refuses with -EEXIST a disk that is not blank; the error
 * names what the disk holds (see pool_contents.h). -ENOSPC: too small, or the file system has no room for
 * the metadata.
 */
int pool_format(struct host_disk *host, bool force, struct error *error);

/* Is there a pool (also a damaged one) on this disk? */
bool pool_probe(struct host_disk *host);

/*
 * How many bytes for virtual disks a pool has on a disk of size_bytes: the pool that is on `host` and grows
 * to that size, or a new one (also with host NULL: there is no disk yet). Reads only the superblock. 0: the
 * disk is too small.
 */
uint64_t pool_capacity_bytes(struct host_disk *host, uint64_t size_bytes);

/*
 * Opens: reads, verifies, replays, repairs what was damaged in one of two copies (a checkpoint). Starts the
 * journal's thread. The host disk outlives the pool. On a read-only disk nothing is repaired.
 * -ENOENT: no pool here (blank disk); -EBADMSG: damaged, the error says what and where; -EPROTONOSUPPORT:
 * a newer format. Nothing is written when it fails, unless it is the repair that fails.
 */
int pool_open(struct host_disk *host, struct pool **ret_pool, struct error *error);

/* Commits what is pending and stops the journal's thread. No commit is in flight. NULL is allowed. */
void pool_close(struct pool *pool);

/* The physical disk of a pool. */
struct host_disk *pool_host(struct pool *pool);

struct pool_space {
	uint64_t total_bytes;	/* of the physical disk */
	uint64_t metadata_bytes;
	uint64_t used_bytes;	/* given to virtual disks */
	uint64_t free_bytes;
};
void pool_space(struct pool *pool, struct pool_space *ret_space);

/*
 * For how long the disk has not answered, to what is committed or to the question before a change; 0: it
 * does, or nothing is asked. Any thread.
 */
uint64_t pool_silent_ns(const struct pool *pool);

/* How long a change waits for a disk that does not answer; 0, as at first: as long as it takes. */
void pool_set_patience(struct pool *pool, uint64_t patience_ns);

/* Before another change of the disk below the pool: 0, or -ETIMEDOUT as for virtual disks (below). */
int pool_await(struct pool *pool, struct error *error);
/*
 * The same without waiting, for who asks again later and only then begins a change: 0: it does not wait,
 * -EINPROGRESS: the answer may still come in time.
 */
int pool_ask(struct pool *pool, struct error *error);

/* The physical disk grew: use the new space as far as the format's tables reach. */
int pool_grow(struct pool *pool, struct error *error);

/*
 * Verifies everything and calls report() for each finding; works on a damaged, closed pool. Returns the
 * number of problems (findings of severity > 0), or -errno when the disk cannot be read.
 */
struct pool_finding {
	int severity;		/* 0 = information, 1 = repaired when opened, 2 = damage */
	uint64_t offset_bytes;	/* on the physical disk */
	char text[POOL_FINDING_MAX];
};
int pool_check(struct host_disk *host, void (*report)(void *context, const struct pool_finding *finding),
	       void *context);

/* ---- control: virtual disks. Durable when they return 0. ---- */

/*
 * size_bytes is rounded up to whole 4 KiB blocks for the guest and to whole extents on the disk.
 * -EEXIST, -ENOSPC (the error says how much is free), -EINVAL (name: "guest/disk", [A-Za-z0-9._-], neither
 * part beginning with . or -; size 0). All of these functions: -ENOMEM; -EROFS on a read-only host disk;
 * -ENOSPC when the file system below the pool is full or its quota used up: nothing was changed, and the
 * change may be tried again; -EIO when the pool's disk failed, now or before: then only the next pool_open()
 * tells whether the change was made; -ETIMEDOUT when the pool's disk does not answer within the patience, or
 * did not the last time and still does not: nothing was changed.
 */
int pool_disk_create(struct pool *pool, const char *name, uint64_t size_bytes, struct pool_disk **ret_disk,
		     struct error *error);
/* -EINVAL: smaller than now (shrinking is refused); -ENOSPC. */
int pool_disk_grow(struct pool *pool, struct pool_disk *disk, uint64_t size_bytes, struct error *error);
int pool_disk_rename(struct pool *pool, struct pool_disk *disk, const char *name, struct error *error);
/* The disk is not in use any more; the object is gone afterwards (also its pointer). */
int pool_disk_delete(struct pool *pool, struct pool_disk *disk, struct error *error);

struct pool_disk *pool_disk_find(struct pool *pool, const char *name);
/* Iterates in order of creation: NULL gives the first; NULL at the end. */
struct pool_disk *pool_disk_next(struct pool *pool, const struct pool_disk *disk);
const char *pool_disk_name(const struct pool_disk *disk);
uint64_t pool_disk_size_bytes(const struct pool_disk *disk);	/* any thread */

/* The map, in order of the physical disk. owner NULL = free; returns false after the last run. */
struct pool_run {
	uint64_t offset_bytes;		/* on the physical disk */
	uint64_t length_bytes;
	const struct pool_disk *owner;
	uint64_t disk_offset_bytes;	/* on the owner's virtual disk */
	uint64_t written_bytes;		/* grains whose bit is set */
};
bool pool_run_next(struct pool *pool, uint64_t offset_bytes, struct pool_run *ret_run);

/* ---- data path ---- */

enum pool_state { POOL_WRITTEN, POOL_BLANK };

struct pool_span {
	uint64_t offset_bytes;	/* on the physical disk */
	uint64_t length_bytes;	/* contiguous and of one state; at most what was asked, at least 1 */
	enum pool_state state;
};

/*
 * Where the first bytes of [offset, offset + length) of the virtual disk lie: the longest piece, from
 * `offset` on, that is contiguous on the physical disk and wholly written or wholly blank. Returns false
 * when the range is empty or not wholly inside the disk. Lock-free; any worker.
 */
bool pool_lookup(const struct pool_disk *disk, uint64_t offset_bytes, uint64_t length_bytes,
		 struct pool_span *ret_span);

/*
 * Sets or clears the bits of whole grains and remembers that they must be committed. The offset is a multiple
 * of POOL_GRAIN_BYTES inside the disk; the length is rounded up to whole grains, as the disk's end may cut
 * its last one (what lies behind the end there is cleared before the disk grows over it). To be called after
 * the grains' data (or zeroes) was written. Atomic per grain; any worker.
 */
void pool_mark(struct pool_disk *disk, uint64_t offset_bytes, uint64_t length_bytes, enum pool_state state);

/* Are there marks of this disk that no finished commit covers? One relaxed load; any worker. */
bool pool_disk_dirty(const struct pool_disk *disk);

#define POOL_COMMIT_PRIVATE_WORDS 8

/*
 * Makes everything durable that was written and marked on the disk before the call: flushes the data, then
 * journals the marks, then flushes again. Commits that arrive together share the work. done() runs on
 * `loop` with 0 or -errno. -ENOSPC, -EDQUOT: the file system has no room for the marks, which a later commit
 * covers. After any other failure every later commit of the pool fails with -EIO.
 * The loop outlives the pool: the journal's thread may still be leaving loop_post() when done() runs.
 */
struct pool_commit {
	struct loop *loop;
	void (*done)(struct pool_commit *commit, int error);
	/* private */
	uint64_t private_words[POOL_COMMIT_PRIVATE_WORDS];
};
void pool_commit(struct pool_disk *disk, struct pool_commit *commit);

#endif
