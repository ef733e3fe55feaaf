/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/pool/pool_format.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/checked.h"
#include "core/crc32c.h"
#include "core/shared.h"

/*
 * A log's spare blocks beyond the largest record. More means fewer checkpoints: one in 16 for a toy,
 * one in 16,384 changes (64 MiB of log) from 1 Mi extents of capacity on.
 */
#define LOG_SPARE_MIN 16u
#define LOG_SPARE_MAX 16384u

static uint32_t divide_up(uint64_t n, uint32_t divisor)
{
	return (uint32_t)((n + divisor - 1) / divisor);
}

/* The largest record lists every extent of the pool in 8 bytes; 4 KiB hold its headers and checksum. */
static uint32_t log_blocks(uint32_t capacity)
{
	uint32_t record = divide_up((uint64_t)capacity * 8 + POOL_BLOCK_BYTES, POOL_BLOCK_BYTES);
	uint32_t spare = capacity / 64;

	if (spare < LOG_SPARE_MIN)
		spare = LOG_SPARE_MIN;
	return record + (spare < LOG_SPARE_MAX ? spare : LOG_SPARE_MAX);
}

uint32_t pool_layout_table_blocks(uint32_t extent_count)
{
	return divide_up(extent_count, POOL_EXTENTS_PER_BLOCK);
}

uint32_t pool_layout_log_limit(const struct pool_layout *layout, uint32_t extent_count)
{
	assert(extent_count <= layout->capacity_extents);
	return log_blocks(extent_count);
}

void pool_layout_compute(uint32_t capacity, struct pool_layout *ret_layout)
{
	struct pool_layout layout = {.capacity_extents = capacity};
	uint64_t log_bytes, area_bytes;

	assert(capacity > 0 && capacity <= POOL_EXTENTS_MAX);
	layout.disks_max = capacity < POOL_DISKS_MAX ? capacity : POOL_DISKS_MAX;
	layout.catalogue_blocks = divide_up(layout.disks_max, POOL_DISKS_PER_BLOCK);
	layout.table_blocks = pool_layout_table_blocks(capacity);
	layout.log_blocks = log_blocks(capacity);

	log_bytes = (uint64_t)layout.log_blocks * POOL_BLOCK_BYTES;
	layout.table_offset = (uint64_t)layout.catalogue_blocks * POOL_BLOCK_BYTES;
	layout.log_offset[0] = layout.table_offset + (uint64_t)layout.table_blocks * POOL_BLOCK_BYTES;
	layout.log_offset[1] = layout.log_offset[0] + log_bytes;
	area_bytes = layout.log_offset[1] + log_bytes;
	layout.area_offset[0] = POOL_AREAS_OFFSET;
	layout.area_offset[1] = POOL_AREAS_OFFSET + area_bytes;
	layout.data_offset = align_up(layout.area_offset[1] + area_bytes, POOL_EXTENT_BYTES);
	*ret_layout = layout;
}

uint32_t pool_layout_extents(const struct pool_layout *layout, uint64_t size_bytes)
{
	uint64_t extents;

	if (size_bytes < layout->data_offset)
		return 0;
	extents = (size_bytes - layout->data_offset) / POOL_EXTENT_BYTES;
	return extents < layout->capacity_extents ? (uint32_t)extents : layout->capacity_extents;
}

int pool_layout_choose(uint64_t size_bytes, struct pool_layout *ret_layout, uint32_t *ret_extent_count)
{
	uint64_t whole = size_bytes / POOL_EXTENT_BYTES;
	struct pool_layout layout;
	uint32_t extents;

	if (whole == 0)
		return -ENOSPC;
	if (whole > POOL_EXTENTS_MAX / POOL_GROWTH)
		whole = POOL_EXTENTS_MAX / POOL_GROWTH;
	pool_layout_compute((uint32_t)whole * POOL_GROWTH, &layout);
	extents = pool_layout_extents(&layout, size_bytes);
	if (extents == 0)
		return -ENOSPC;
	assert(layout.data_offset + (uint64_t)extents * POOL_EXTENT_BYTES <= size_bytes);
	*ret_layout = layout;
	*ret_extent_count = extents;
	return 0;
}

bool pool_sealed(const void *piece, size_t bytes)
{
	uint32_t stored;

	assert(bytes > sizeof(stored));
	memcpy(&stored, (const uint8_t *)piece + bytes - sizeof(stored), sizeof(stored));
	return crc32c(0, piece, bytes - sizeof(stored)) == stored;
}

void pool_seal(void *piece, size_t bytes)
{
	uint32_t crc;

	assert(bytes > sizeof(crc));
	crc = crc32c(0, piece, bytes - sizeof(crc));
	memcpy((uint8_t *)piece + bytes - sizeof(crc), &crc, sizeof(crc));
}

void pool_superblock_build(const struct pool_superblock *superblock, void *block)
{
	struct pool_superblock_wire *wire = block;
	struct pool_layout layout;

	pool_layout_compute(superblock->capacity_extents, &layout);
	assert(superblock->active_area < POOL_AREAS);
	assert(superblock->extent_count > 0 && superblock->extent_count <= superblock->capacity_extents);
	assert(superblock->disk_count <= layout.disks_max);
	assert(superblock->disk_count < superblock->next_disk_id);
	memset(wire, 0, sizeof(*wire));
	memcpy(wire->magic, POOL_MAGIC, sizeof(wire->magic));
	wire->version = POOL_VERSION;
	wire->active_area = superblock->active_area;
	wire->generation = superblock->generation;
	memcpy(wire->uuid, superblock->uuid, sizeof(wire->uuid));
	wire->extent_bytes = POOL_EXTENT_BYTES;
	wire->grains = POOL_GRAINS;
	wire->capacity_extents = superblock->capacity_extents;
	wire->extent_count = superblock->extent_count;
	wire->disk_count = superblock->disk_count;
	wire->next_disk_id = superblock->next_disk_id;
	wire->first_sequence = superblock->first_sequence;
	wire->data_offset = layout.data_offset;
	memcpy(wire->area_offset, layout.area_offset, sizeof(wire->area_offset));
	wire->catalogue_blocks = layout.catalogue_blocks;
	wire->table_blocks = layout.table_blocks;
	wire->log_blocks = layout.log_blocks;
	wire->disks_max = layout.disks_max;
	pool_seal(wire, sizeof(*wire));
}

bool pool_superblock_has_magic(const void *block)
{
	return memcmp(block, POOL_MAGIC, 8) == 0;
}

/* The numbers of a block whose checksum is right: it may still have been made to hurt. */
static const char *superblock_problem(const struct pool_superblock_wire *wire)
{
	struct pool_layout layout;

	if (wire->extent_bytes != POOL_EXTENT_BYTES || wire->grains != POOL_GRAINS)
		return "extent size";
	if (wire->capacity_extents == 0 || wire->capacity_extents > POOL_EXTENTS_MAX)
		return "capacity";
	pool_layout_compute(wire->capacity_extents, &layout);
	if (wire->data_offset != layout.data_offset || wire->area_offset[0] != layout.area_offset[0] ||
	    wire->area_offset[1] != layout.area_offset[1] ||
	    wire->catalogue_blocks != layout.catalogue_blocks || wire->table_blocks != layout.table_blocks ||
	    wire->log_blocks != layout.log_blocks || wire->disks_max != layout.disks_max)
		return "layout";
	if (wire->extent_count == 0 || wire->extent_count > wire->capacity_extents)
		return "number of extents";
	if (wire->disk_count > layout.disks_max)
		return "number of disks";
	if (wire->next_disk_id == 0 || wire->disk_count >= wire->next_disk_id)
		return "next disk id";
	if (wire->active_area >= POOL_AREAS)
		return "active area";
	/* Neither is ever reached by counting; so the sums below cannot wrap. */
	if (wire->generation == 0 || wire->generation >> 62 || wire->first_sequence >> 62)
		return "generation";
	return NULL;
}

int pool_superblock_parse(const void *block, struct pool_superblock *ret_superblock, const char **ret_problem)
{
	struct pool_superblock_wire wire;
	const char *problem;

	memcpy(&wire, block, sizeof(wire));
	if (!pool_superblock_has_magic(&wire)) {
		*ret_problem = "no magic";
		return -ENOENT;
	}
	if (!pool_sealed(&wire, sizeof(wire))) {
		*ret_problem = "checksum";
		return -EBADMSG;
	}
	if (wire.version > POOL_VERSION) {
		*ret_problem = "newer version";
		return -EPROTONOSUPPORT;
	}
	problem = wire.version == POOL_VERSION ? superblock_problem(&wire) : "version";
	if (problem) {
		*ret_problem = problem;
		return -EBADMSG;
	}
	*ret_superblock = (struct pool_superblock){
		.generation = wire.generation,
		.first_sequence = wire.first_sequence,
		.active_area = wire.active_area,
		.capacity_extents = wire.capacity_extents,
		.extent_count = wire.extent_count,
		.disk_count = wire.disk_count,
		.next_disk_id = wire.next_disk_id,
	};
	memcpy(ret_superblock->uuid, wire.uuid, sizeof(wire.uuid));
	return 0;
}

static uint64_t uuid_head(const struct pool_superblock *superblock)
{
	uint64_t head;

	memcpy(&head, superblock->uuid, sizeof(head));
	return head;
}

void pool_block_build(struct pool_block_wire *block, const struct pool_superblock *superblock,
		      enum pool_block_kind kind, uint32_t index, uint16_t count)
{
	assert(count > 0);
	assert(count <= (kind == POOL_BLOCK_TABLE ? POOL_EXTENTS_PER_BLOCK : POOL_DISKS_PER_BLOCK));
	block->header = (struct pool_block_header_wire){
		.magic = POOL_SNAPSHOT_MAGIC,
		.kind = (uint16_t)kind,
		.count = count,
		.index = index,
		.generation = superblock->generation,
		.uuid_head = uuid_head(superblock),
	};
	pool_seal(block, sizeof(*block));
}

const char *pool_block_parse(const struct pool_block_wire *block, const struct pool_superblock *superblock,
			     enum pool_block_kind kind, uint32_t index, uint16_t count)
{
	const struct pool_block_header_wire *header = &block->header;

	if (header->magic != POOL_SNAPSHOT_MAGIC)
		return "no magic";
	if (!pool_sealed(block, sizeof(*block)))
		return "checksum";
	if (header->uuid_head != uuid_head(superblock))
		return "it belongs to another pool";
	if (header->generation != superblock->generation)
		return "wrong generation";
	if (header->kind != kind || header->index != index)
		return "it belongs elsewhere";
	if (header->count != count)
		return "number of entries";
	return NULL;
}

static bool name_part_valid(const char *part, size_t length)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

	return length > 0 && part[0] != '.' && part[0] != '-' && strspn(part, allowed) >= length;
}

bool pool_name_valid(const char *name)
{
	const char *slash;

	if (strnlen(name, POOL_NAME_BYTES) > POOL_NAME_MAX)
		return false;
	slash = strchr(name, '/');
	return slash && name_part_valid(name, (size_t)(slash - name)) &&
	       name_part_valid(slash + 1, strlen(slash + 1));
}

bool pool_name_wire_valid(const char name[POOL_NAME_BYTES])
{
	size_t length = strnlen(name, POOL_NAME_BYTES);

	if (length > POOL_NAME_MAX)
		return false;
	for (size_t i = length; i < POOL_NAME_BYTES; i++)
		if (name[i])
			return false;
	return pool_name_valid(name);
}
