/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records of the pool's log: one change each, atomic. A record is a header, a payload and padding up to
 * whole blocks, sealed as one piece and bound to the pool, the checkpoint's generation, its sequence number
 * and its place, so that no other bytes can be taken for it. Pure functions; see pool_format.h.
 */
#ifndef VIADUCT_ARBITER_POOL_POOL_RECORD_H
#define VIADUCT_ARBITER_POOL_POOL_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "arbiter/pool/pool_format.h"

#define POOL_RECORD_MAGIC 0x44434552u	/* "RECD" */

enum pool_change_kind {
	POOL_CHANGE_CREATE = 1,		/* a disk, its name, size and extents */
	POOL_CHANGE_GROW = 2,		/* its new size and the extents added at its end */
	POOL_CHANGE_RENAME = 3,
	POOL_CHANGE_DELETE = 4,
	POOL_CHANGE_WRITTEN = 5,	/* new written bits of some extents */
	POOL_CHANGE_RESIZE = 6,		/* the physical disk grew */
};

struct pool_record_header_wire {
	uint32_t magic;
	uint32_t kind;
	uint64_t generation;
	uint8_t uuid[POOL_UUID_BYTES];
	uint64_t sequence;
	uint32_t position_blocks;	/* in the log */
	uint32_t length_blocks;		/* of the whole record */
	uint32_t payload_bytes;
	uint32_t reserved[3];
};
static_assert(sizeof(struct pool_record_header_wire) == 64, "byte table");

/*
 * Payload of CREATE, GROW, RENAME and DELETE, followed by run_count runs. What a kind does not use is zero.
 */
struct pool_change_disk_wire {
	uint32_t disk_id;
	uint32_t written;	/* 1: the extents of the runs are zeroes on the disk, all bits start set */
	uint64_t size_bytes;
	char name[POOL_NAME_BYTES];
	uint32_t run_count;
	uint32_t reserved;
};
static_assert(sizeof(struct pool_change_disk_wire) == 152, "byte table");

struct pool_run_wire {
	uint32_t first;		/* extent */
	uint32_t count;		/* > 0 */
};
static_assert(sizeof(struct pool_run_wire) == 8, "byte table");

/* Payload of WRITTEN (count entries follow, ascending) and of RESIZE (count = extents, none follow). */
struct pool_change_count_wire {
	uint32_t count;
	uint32_t reserved;
};
static_assert(sizeof(struct pool_change_count_wire) == 8, "byte table");

struct pool_written_wire {
	uint32_t extent;
	uint16_t written;
	uint16_t reserved;
};
static_assert(sizeof(struct pool_written_wire) == 8, "byte table");

/* A change in memory. The lists are the caller's (or point into the record it was parsed from). */
struct pool_change {
	enum pool_change_kind kind;
	uint32_t disk_id;
	bool written;
	uint64_t size_bytes;
	char name[POOL_NAME_BYTES];	/* zero-padded */
	const struct pool_run_wire *runs;
	uint32_t run_count;
	const struct pool_written_wire *list;
	uint32_t list_count;
	uint32_t extent_count;
};

/* What a record must be to count. */
struct pool_record_place {
	uint64_t generation;
	uint64_t sequence;
	uint32_t position_blocks;
	uint8_t uuid[POOL_UUID_BYTES];
};

/* Blocks that the record of a change takes. */
uint32_t pool_record_blocks(const struct pool_change *change);

/* Writes the record: pool_record_blocks() blocks at `record`. */
void pool_record_build(const struct pool_change *change, const struct pool_record_place *place, void *record);

/*
 * Looks at the first block only: is this the head of a record of this pool at this position, of this
 * generation or a later one and any sequence number, of at most blocks_max blocks? Returns its blocks and its
 * place, or 0.
 */
uint32_t pool_record_peek(const void *block, const struct pool_record_place *place, uint32_t blocks_max,
			  struct pool_record_place *ret_place);

/* Is the whole record, `blocks` blocks as pool_record_peek() says, sound and in its place? */
bool pool_record_sound(const void *record, uint32_t blocks);

/*
 * The change in a sound record (8-byte aligned). The change's lists point into it. Counts are in bounds of
 * the payload, names are valid; whether the change fits the pool is for pool_ledger_apply() to say.
 */
const char *pool_record_parse(const void *record, struct pool_change *ret_change);

#endif
