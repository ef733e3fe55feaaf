/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/pool/pool_load.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/pool/pool_log.h"
#include "host/host_disk.h"

/* Blocks of the snapshot read at a time. */
#define READ_BLOCKS 64u

void *pool_buffer(size_t bytes)
{
	assert(bytes > 0);
	assert(bytes % POOL_BLOCK_BYTES == 0);
	return aligned_alloc(POOL_BLOCK_BYTES, bytes);
}

void pool_report(struct pool_reporter *reporter, int severity, uint64_t offset_bytes, const char *format, ...)
{
	struct pool_finding finding = {.severity = severity, .offset_bytes = offset_bytes};
	va_list arguments;

	assert(severity >= 0 && severity <= 2);
	va_start(arguments, format);
	vsnprintf(finding.text, sizeof(finding.text), format, arguments);
	va_end(arguments);
	if (severity == 1)
		reporter->repairable++;
	if (severity == 2 && reporter->damages++ == 0)
		reporter->first_damage = finding;
	if (reporter->report)
		reporter->report(reporter->context, &finding);
}

/* ---- superblocks ---- */

struct superblock_copy {
	uint8_t *block;
	int error;		/* 0: sound */
	const char *problem;
	struct pool_superblock parsed;
};

static uint64_t superblock_offset(unsigned copy)
{
	return copy ? POOL_SUPERBLOCK_1 : 0;
}

static void read_copy(struct host_disk *host, unsigned number, struct superblock_copy *copy)
{
	int error = host->ops->read_sync(host, superblock_offset(number), copy->block, POOL_BLOCK_BYTES);

	if (error) {
		copy->error = error;
		copy->problem = "it cannot be read";
		return;
	}
	copy->error = pool_superblock_parse(copy->block, &copy->parsed, &copy->problem);
}

/* Neither copy is sound. */
static int no_superblock(const struct superblock_copy *copies, struct pool_reporter *reporter)
{
	assert(copies[0].error && copies[1].error);
	for (unsigned i = 0; i < POOL_SUPERBLOCKS; i++)
		if (copies[i].error == -EPROTONOSUPPORT)
			return -EPROTONOSUPPORT;
	if (copies[0].error == -ENOENT && copies[1].error == -ENOENT)
		return -ENOENT;
	for (unsigned i = 0; i < POOL_SUPERBLOCKS; i++)
		if (copies[i].error != -ENOENT && copies[i].error != -EBADMSG)
			return copies[i].error;
	for (unsigned i = 0; i < POOL_SUPERBLOCKS; i++)
		pool_report(reporter, 2, superblock_offset(i), "superblock copy %u is damaged: %s", i,
			    copies[i].problem);
	return -EBADMSG;
}

/* Both are sound: the newer one counts. */
static int compare_copies(const struct superblock_copy *copies, struct pool_reporter *reporter,
			  unsigned *ret_best)
{
	const struct pool_superblock *a = &copies[0].parsed, *b = &copies[1].parsed;
	unsigned older = a->generation < b->generation ? 0 : 1;

	assert(!copies[0].error && !copies[1].error);
	if (memcmp(a->uuid, b->uuid, sizeof(a->uuid)) != 0) {
		pool_report(reporter, 2, superblock_offset(1),
			    "the superblock copies are of different pools");
		return -EBADMSG;
	}
	if (a->generation == b->generation &&
	    memcmp(copies[0].block, copies[1].block, POOL_BLOCK_BYTES) != 0) {
		pool_report(reporter, 2, superblock_offset(1), "the superblock copies contradict each other");
		return -EBADMSG;
	}
	if (a->generation != b->generation)
		pool_report(reporter, 1, superblock_offset(older),
			    "superblock copy %u is older than copy %u (generation %" PRIu64 ", %" PRIu64 ")",
			    older, 1 - older, copies[older].parsed.generation,
			    copies[1 - older].parsed.generation);
	*ret_best = 1 - older;
	return 0;
}

static int choose_superblock(const struct superblock_copy *copies, struct pool_reporter *reporter,
			     struct pool_image *image)
{
	unsigned best = copies[0].error ? 1 : 0;
	int error = 0;

	if (copies[0].error && copies[1].error)
		return no_superblock(copies, reporter);
	/* A sound copy of a newer version may be the truth about the whole: keep out. */
	if (copies[1 - best].error == -EPROTONOSUPPORT)
		return -EPROTONOSUPPORT;
	if (copies[1 - best].error) {
		image->superblock_damaged = true;
		pool_report(reporter, 1, superblock_offset(1 - best), "superblock copy %u is damaged: %s",
			    1 - best, copies[1 - best].problem);
	} else {
		error = compare_copies(copies, reporter, &best);
	}
	assert(copies[best].error == 0);
	if (!error)
		image->superblock = copies[best].parsed;
	return error;
}

static int load_superblock(struct host_disk *host, struct pool_reporter *reporter, struct pool_image *image)
{
	struct superblock_copy copies[POOL_SUPERBLOCKS] = {0};
	uint8_t *blocks;
	uint64_t end;
	int error;

	if (host->geometry.size_bytes < POOL_AREAS_OFFSET)
		return -ENOENT;
	blocks = pool_buffer((size_t)POOL_SUPERBLOCKS * POOL_BLOCK_BYTES);
	if (!blocks)
		return -ENOMEM;
	for (unsigned i = 0; i < POOL_SUPERBLOCKS; i++) {
		copies[i].block = blocks + (size_t)i * POOL_BLOCK_BYTES;
		read_copy(host, i, &copies[i]);
	}
	error = choose_superblock(copies, reporter, image);
	free(blocks);
	if (error)
		return error;

	pool_layout_compute(image->superblock.capacity_extents, &image->layout);
	assert(image->superblock.extent_count <= image->layout.capacity_extents);
	assert(image->superblock.disk_count <= image->layout.disks_max);
	end = image->layout.data_offset + (uint64_t)image->superblock.extent_count * POOL_EXTENT_BYTES;
	if (end > host->geometry.size_bytes) {
		pool_report(reporter, 2, host->geometry.size_bytes,
			    "the disk ends at byte %" PRIu64 ", but the pool on it at byte %" PRIu64,
			    host->geometry.size_bytes, end);
		return -EBADMSG;
	}
	return 0;
}

/* ---- the snapshot ---- */

static bool all_zero(const void *bytes, size_t count)
{
	const uint8_t *byte = bytes;

	while (count > 0 && *byte == 0) {
		byte++;
		count--;
	}
	return count == 0;
}

/* Catalogue entries of one block, into the state. */
static const char *take_disks(const struct pool_block_wire *block, uint32_t first, uint32_t count,
			      struct pool_ledger *ledger)
{
	assert(first + count <= ledger->disk_count);
	for (uint32_t i = 0; i < count; i++) {
		struct pool_disk_wire wire;
		struct pool_entry *entry = &ledger->disks[first + i];

		memcpy(&wire, block->payload + i * sizeof(wire), sizeof(wire));
		if (!all_zero(wire.reserved, sizeof(wire.reserved)))
			return "reserved bytes";
		entry->id = wire.id;
		entry->extent_count = wire.extent_count;
		entry->size_bytes = wire.size_bytes;
		memcpy(entry->name, wire.name, sizeof(entry->name));
		entry->name[POOL_NAME_MAX] = '\0';
	}
	return NULL;
}

static const char *take_extents(const struct pool_block_wire *block, uint32_t first, uint32_t count,
				struct pool_ledger *ledger)
{
	assert(first + count <= ledger->extent_count);
	for (uint32_t i = 0; i < count; i++) {
		struct pool_extent_wire wire;

		memcpy(&wire, block->payload + i * sizeof(wire), sizeof(wire));
		if (wire.reserved)
			return "reserved bytes";
		/* Free extents cost no memory: pages that stay zero are not touched. */
		if (wire.disk_id || wire.index || wire.written)
			ledger->extents[first + i] =
				(struct pool_extent){ wire.disk_id, wire.index, wire.written };
	}
	return NULL;
}

struct section {
	const char *name;
	enum pool_block_kind kind;
	uint64_t offset_bytes;
	uint32_t entries, entries_per_block;
	size_t entry_bytes;
	const char *(*take)(const struct pool_block_wire *block, uint32_t first, uint32_t count,
			    struct pool_ledger *ledger);
};

static const char *parse_section_block(const struct section *section, const struct pool_block_wire *block,
				       uint32_t index, struct pool_image *image)
{
	uint32_t first = index * section->entries_per_block, left = section->entries - first;
	uint32_t count = left < section->entries_per_block ? left : section->entries_per_block;
	size_t used = count * section->entry_bytes;
	const char *problem;

	assert(first < section->entries);
	assert(used <= sizeof(block->payload));
	problem = pool_block_parse(block, &image->superblock, section->kind, index, (uint16_t)count);
	if (!problem && !all_zero(block->payload + used, sizeof(block->payload) - used))
		problem = "bytes behind the last entry";
	return problem ? problem : section->take(block, first, count, &image->ledger);
}

static int load_section(struct host_disk *host, const struct section *section, struct pool_reporter *reporter,
			struct pool_image *image)
{
	uint32_t blocks = (section->entries + section->entries_per_block - 1) / section->entries_per_block;
	uint8_t *buffer = pool_buffer((size_t)READ_BLOCKS * POOL_BLOCK_BYTES);
	int error = buffer ? 0 : -ENOMEM;

	for (uint32_t b = 0; b < blocks && !error; b += READ_BLOCKS) {
		uint32_t count = blocks - b < READ_BLOCKS ? blocks - b : READ_BLOCKS;
		uint64_t offset = section->offset_bytes + (uint64_t)b * POOL_BLOCK_BYTES;

		error = host->ops->read_sync(host, offset, buffer, (size_t)count * POOL_BLOCK_BYTES);
		for (uint32_t i = 0; i < count && !error; i++) {
			const void *block = buffer + (size_t)i * POOL_BLOCK_BYTES;
			const char *problem = parse_section_block(section, block, b + i, image);

			if (problem)
				pool_report(reporter, 2, offset + (uint64_t)i * POOL_BLOCK_BYTES,
					    "block %u of the %s, at byte %" PRIu64 ", is damaged: %s", b + i,
					    section->name, offset + (uint64_t)i * POOL_BLOCK_BYTES, problem);
		}
	}
	free(buffer);
	return error;
}

static int load_snapshot(struct host_disk *host, struct pool_reporter *reporter, struct pool_image *image)
{
	uint64_t area = image->layout.area_offset[image->superblock.active_area];
	const struct section catalogue = {
		.name = "list of disks", .kind = POOL_BLOCK_CATALOGUE, .offset_bytes = area,
		.entries = image->superblock.disk_count, .entries_per_block = POOL_DISKS_PER_BLOCK,
		.entry_bytes = sizeof(struct pool_disk_wire), .take = take_disks,
	};
	const struct section table = {
		.name = "table of extents", .kind = POOL_BLOCK_TABLE,
		.offset_bytes = area + image->layout.table_offset,
		.entries = image->superblock.extent_count, .entries_per_block = POOL_EXTENTS_PER_BLOCK,
		.entry_bytes = sizeof(struct pool_extent_wire), .take = take_extents,
	};
	const char *problem, *name;
	int error;

	image->ledger.disk_count = image->superblock.disk_count;
	image->ledger.next_disk_id = image->superblock.next_disk_id;
	error = load_section(host, &catalogue, reporter, image);
	if (!error)
		error = load_section(host, &table, reporter, image);
	if (error || reporter->damages > 0)
		return error;
	problem = pool_ledger_verify(&image->ledger, &name);
	if (problem)
		pool_report(reporter, 2, area, "the snapshot at byte %" PRIu64 " contradicts itself: %s%s%s",
			    area, name ? name : "", name ? ": " : "", problem);
	return 0;
}

int pool_load(struct host_disk *host, struct pool_reporter *reporter, struct pool_image *ret_image)
{
	struct pool_image image = {0};
	int error;

	error = load_superblock(host, reporter, &image);
	if (error)
		return error;
	error = pool_ledger_init(&image.ledger, &image.layout, image.superblock.extent_count);
	if (error)
		return error;
	error = load_snapshot(host, reporter, &image);
	if (!error)
		error = pool_log_replay(host, reporter, &image);
	if (!error && reporter->damages > 0)
		error = -EBADMSG;
	if (error) {
		pool_ledger_finish(&image.ledger);
		return error;
	}
	assert(image.next_sequence >= image.superblock.first_sequence);
	assert(image.log_used_blocks <= image.layout.log_blocks);
	*ret_image = image;
	return 0;
}
