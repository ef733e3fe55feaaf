/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of a pool on its disk: wire structs, and pure functions between them and plain structs. Byte
 * tables and the argument for crash safety are in docs/pool-format.md. Records of the log: pool_record.h.
 *
 * Everything is little-endian (core/shared.h asserts that the host is), written in whole blocks of
 * POOL_BLOCK_BYTES and sealed: the last four bytes of a sealed piece are the CRC32C of all bytes before.
 *
 * Parsers trust nothing. They return NULL, or a sentence fragment that says what is wrong ("checksum").
 */
#ifndef VIADUCT_ARBITER_POOL_POOL_FORMAT_H
#define VIADUCT_ARBITER_POOL_POOL_FORMAT_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arbiter/pool/pool.h"

#define POOL_BLOCK_BYTES      4096u
#define POOL_VERSION	      1u
#define POOL_SUPERBLOCKS      2u
#define POOL_SUPERBLOCK_1     65536u	   /* bytes; copy 0 is at byte 0 */
#define POOL_AREAS_OFFSET     131072u	   /* bytes */
#define POOL_AREAS	      2u
#define POOL_MIRRORS	      2u	   /* of each area's log */
#define POOL_EXTENTS_MAX      (1u << 26)   /* 64 TiB: a checkpoint writes 12 bytes an extent in one go */
#define POOL_DISKS_MAX	      4096u	   /* fewer in a pool that can never have that many extents */
#define POOL_GROWTH	      4u	   /* tables are made for this many times the disk's first size */
#define POOL_UUID_BYTES	      16u
#define POOL_NAME_BYTES	      (POOL_NAME_MAX + 1u)

#define POOL_MAGIC	      "VIADPOOL"   /* 8 bytes, without NUL */
#define POOL_SNAPSHOT_MAGIC   0x50414e53u  /* "SNAP" */

struct pool_superblock_wire {
	char magic[8];
	uint32_t version;
	uint32_t active_area;
	uint64_t generation;
	uint8_t uuid[POOL_UUID_BYTES];
	uint32_t extent_bytes;
	uint32_t grains;
	uint32_t capacity_extents;
	uint32_t extent_count;
	uint32_t disk_count;
	uint32_t next_disk_id;
	uint64_t first_sequence;
	uint64_t data_offset;
	uint64_t area_offset[POOL_AREAS];
	uint32_t catalogue_blocks;
	uint32_t table_blocks;
	uint32_t log_blocks;
	uint32_t disks_max;
	uint8_t reserved[3980];
	uint32_t crc32c;
};
static_assert(sizeof(struct pool_superblock_wire) == POOL_BLOCK_BYTES, "one block");
static_assert(offsetof(struct pool_superblock_wire, generation) == 16, "byte table");
static_assert(offsetof(struct pool_superblock_wire, first_sequence) == 64, "byte table");
static_assert(offsetof(struct pool_superblock_wire, catalogue_blocks) == 96, "byte table");
static_assert(offsetof(struct pool_superblock_wire, reserved) == 112, "byte table");
static_assert(offsetof(struct pool_superblock_wire, crc32c) == 4092, "byte table");

struct pool_disk_wire {
	uint32_t id;
	uint32_t extent_count;
	uint64_t size_bytes;
	char name[POOL_NAME_BYTES];
	uint8_t reserved[16];
};
static_assert(sizeof(struct pool_disk_wire) == 160, "byte table");

struct pool_extent_wire {
	uint32_t disk_id;	/* 0 = free */
	uint32_t index;		/* of the extent in its disk */
	uint16_t written;
	uint16_t reserved;
};
static_assert(sizeof(struct pool_extent_wire) == 12, "byte table");

enum pool_block_kind { POOL_BLOCK_CATALOGUE = 1, POOL_BLOCK_TABLE = 2 };

struct pool_block_header_wire {
	uint32_t magic;
	uint16_t kind;
	uint16_t count;		/* entries in use */
	uint32_t index;		/* of the block among those of its kind */
	uint32_t reserved;
	uint64_t generation;
	uint64_t uuid_head;	/* first 8 bytes of the pool's uuid */
};
static_assert(sizeof(struct pool_block_header_wire) == 32, "byte table");

#define POOL_BLOCK_PAYLOAD    (POOL_BLOCK_BYTES - 32u - 4u)
#define POOL_DISKS_PER_BLOCK  25u
#define POOL_EXTENTS_PER_BLOCK 338u
static_assert(POOL_DISKS_PER_BLOCK == POOL_BLOCK_PAYLOAD / sizeof(struct pool_disk_wire), "byte table");
static_assert(POOL_EXTENTS_PER_BLOCK == POOL_BLOCK_PAYLOAD / sizeof(struct pool_extent_wire), "byte table");

struct pool_block_wire {
	struct pool_block_header_wire header;
	uint8_t payload[POOL_BLOCK_PAYLOAD];
	uint32_t crc32c;
};
static_assert(sizeof(struct pool_block_wire) == POOL_BLOCK_BYTES, "one block");

/* Where everything lies: a function of the capacity alone. */
struct pool_layout {
	uint32_t capacity_extents;	/* what the tables can hold; the disk may grow up to it */
	uint32_t disks_max;
	uint32_t catalogue_blocks, table_blocks, log_blocks;
	uint64_t area_offset[POOL_AREAS];	/* bytes, like all below */
	uint64_t table_offset;		/* in the area; the catalogue is at 0 */
	uint64_t log_offset[POOL_MIRRORS];	/* in the area */
	uint64_t data_offset;		/* on the disk, multiple of POOL_EXTENT_BYTES */
};

/* capacity_extents is in 1 .. POOL_EXTENTS_MAX. */
void pool_layout_compute(uint32_t capacity_extents, struct pool_layout *ret_layout);

/*
 * The capacity and the extents of a new pool on a disk of size_bytes. Returns 0, or -ENOSPC when not one
 * extent fits.
 */
int pool_layout_choose(uint64_t size_bytes, struct pool_layout *ret_layout, uint32_t *ret_extent_count);

/* How many extents fit on a disk of size_bytes with this layout (bounded by its capacity). */
uint32_t pool_layout_extents(const struct pool_layout *layout, uint64_t size_bytes);

/* How many blocks of the table a pool of extent_count extents uses. */
uint32_t pool_layout_table_blocks(uint32_t extent_count);

/*
 * How many blocks of each log a pool of extent_count extents uses before it makes a checkpoint: what a pool
 * of that capacity would have, at most log_blocks. A record that lists every extent fits.
 */
uint32_t pool_layout_log_limit(const struct pool_layout *layout, uint32_t extent_count);

struct pool_superblock {
	uint64_t generation;
	uint64_t first_sequence;	/* of the first record of the active area's log */
	uint32_t active_area;
	uint32_t capacity_extents, extent_count;
	uint32_t disk_count, next_disk_id;
	uint8_t uuid[POOL_UUID_BYTES];
};

/* Writes POOL_BLOCK_BYTES bytes. */
void pool_superblock_build(const struct pool_superblock *superblock, void *block);
bool pool_superblock_has_magic(const void *block);
/*
 * Returns 0 and *ret_superblock, or -ENOENT (no magic), -EPROTONOSUPPORT (sound, but of a newer version)
 * or -EBADMSG; *ret_problem then says why.
 */
int pool_superblock_parse(const void *block, struct pool_superblock *ret_superblock,
			  const char **ret_problem);

/* Does the last word of `bytes` bytes hold the checksum of the rest? And: put it there. */
bool pool_sealed(const void *piece, size_t bytes);
void pool_seal(void *piece, size_t bytes);

/* Fills the header of a snapshot block and seals it; the payload is in place, unused bytes are zero. */
void pool_block_build(struct pool_block_wire *block, const struct pool_superblock *superblock,
		      enum pool_block_kind kind, uint32_t index, uint16_t count);
/* Is this the block of that kind and index, of this snapshot, with `count` entries? */
const char *pool_block_parse(const struct pool_block_wire *block, const struct pool_superblock *superblock,
			     enum pool_block_kind kind, uint32_t index, uint16_t count);

/*
 * "guest/disk": both parts of [A-Za-z0-9._-], not empty, not starting with '.' or '-' (they become parts of
 * paths and arguments), POOL_NAME_MAX bytes at most. `name` has POOL_NAME_BYTES bytes on disk: the rest is
 * zero.
 */
bool pool_name_valid(const char *name);
bool pool_name_wire_valid(const char name[POOL_NAME_BYTES]);

#endif
