/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the metadata says: the disks and, for each extent, its owner and written bits. This is the *durable*
 * state: it changes only by pool_ledger_apply(), with changes that are in the log; the same function replays
 * the log when a pool is opened, so that the running pool and a recovered one cannot differ. What workers
 * look at, and mark ahead of the log, is in pool_map.c.
 *
 * The caller serialises.
 */
#ifndef VIADUCT_ARBITER_POOL_POOL_LEDGER_H
#define VIADUCT_ARBITER_POOL_POOL_LEDGER_H

#include <stdint.h>

#include "arbiter/pool/pool_format.h"
#include "arbiter/pool/pool_record.h"

struct pool_extent {
	uint32_t disk_id;	/* 0 = free */
	uint32_t index;		/* in the disk */
	uint16_t written;	/* bit n: grain n holds the disk's data; clear: it reads as zeroes */
};

struct pool_entry {
	uint32_t id;
	uint32_t extent_count;
	uint64_t size_bytes;
	char name[POOL_NAME_BYTES];	/* zero-padded */
};

struct pool_ledger {
	uint32_t capacity_extents, disks_max;
	uint32_t extent_count, free_count;
	uint32_t next_disk_id;	/* ids are never used twice */
	uint32_t disk_count;
	struct pool_entry *disks;	/* in ascending order of id, that is of creation */
	struct pool_extent *extents;	/* room for the capacity; memory is used as it is touched */
};

/* An empty state. Returns 0 or -ENOMEM. */
int pool_ledger_init(struct pool_ledger *ledger, const struct pool_layout *layout, uint32_t extent_count);
/* A zeroed or finished state is allowed. */
void pool_ledger_finish(struct pool_ledger *ledger);

/*
 * Applies a change, which may be any bytes. Returns NULL, or what is wrong with it; the state is then
 * undefined (a replay ends there; for a change of our own it cannot happen).
 */
const char *pool_ledger_apply(struct pool_ledger *ledger, const struct pool_change *change);

/*
 * Does a state that was read from a snapshot hold together: names, sizes, each disk's extents present
 * exactly once? Also counts what is free. Returns NULL or what is wrong; *ret_name names the disk
 * concerned, if one is.
 */
const char *pool_ledger_verify(struct pool_ledger *ledger, const char **ret_name);

/* NULL when there is none. */
struct pool_entry *pool_ledger_find_id(const struct pool_ledger *ledger, uint32_t id);
struct pool_entry *pool_ledger_find_name(const struct pool_ledger *ledger, const char *name);

/* The extents that `size_bytes` need. */
static inline uint64_t pool_extents_for(uint64_t size_bytes)
{
	return size_bytes / POOL_EXTENT_BYTES + (size_bytes % POOL_EXTENT_BYTES != 0);
}

/*
 * Chooses `wanted` free extents: those that follow extent `after` (UINT32_MAX: none), then the smallest free
 * run that holds the rest, else the largest runs there are. Returns 0 and the runs in ascending order
 * (malloc'ed, the caller's; NULL for none), -ENOSPC or -ENOMEM. Changes nothing.
 */
int pool_ledger_choose(const struct pool_ledger *ledger, uint32_t wanted, uint32_t after,
		      struct pool_run_wire **ret_runs, uint32_t *ret_run_count);

#endif
