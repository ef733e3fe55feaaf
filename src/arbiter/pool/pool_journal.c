/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/pool/pool_journal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/pool/pool_room.h"
#include "core/log.h"
#include "host/host_disk.h"

/* Blocks of a snapshot in one write; also the size the buffer starts with. */
#define WRITE_BLOCKS 64u

int pool_journal_init(struct pool_journal *journal, struct host_disk *host, struct pool_image *image)
{
	uint8_t *buffer = pool_buffer((size_t)WRITE_BLOCKS * POOL_BLOCK_BYTES);

	assert(image->layout.capacity_extents == image->superblock.capacity_extents);
	assert(image->layout.capacity_extents == image->ledger.capacity_extents);
	assert(image->log_used_blocks <= image->layout.log_blocks);
	if (!buffer)
		return -ENOMEM;
	*journal = (struct pool_journal){
		.host = host,
		.layout = image->layout,
		.superblock = image->superblock,
		.ledger = image->ledger,
		.next_sequence = image->next_sequence,
		.position_blocks = image->log_used_blocks,
		.buffer = buffer,
		.buffer_blocks = WRITE_BLOCKS,
		.failure = host->geometry.read_only ? -EROFS : 0,
	};
	image->ledger = (struct pool_ledger){0};
	log_subject_name(&journal->subject, "pool on %s", host->name ? host->name : "its disk");
	pthread_mutex_init(&journal->lock, NULL);
	return 0;
}

void pool_journal_finish(struct pool_journal *journal)
{
	pthread_mutex_destroy(&journal->lock);
	pool_ledger_finish(&journal->ledger);
	free(journal->buffer);
	journal->buffer = NULL;
}

int pool_journal_fail(struct pool_journal *journal, const char *what, int error)
{
	assert(error < 0);
	log_error(&journal->subject,
		  "%s failed: %s; what is on the disk is unknown, so no change and no flush that needs one "
		  "succeeds any more until the pool is opened again: mend its disk, then restart the daemon",
		  what, strerror(-error));
	journal->failure = -EIO;
	return -EIO;
}

static int write_blocks(struct pool_journal *journal, uint64_t offset, uint32_t blocks)
{
	int error;

	assert(blocks > 0 && blocks <= journal->buffer_blocks && !journal->failure);
	error = journal->host->ops->write_sync(journal->host, offset, journal->buffer,
					   (size_t)blocks * POOL_BLOCK_BYTES);
	if (!error || pool_room_lacks(error))
		return error;
	return pool_journal_fail(journal, "writing metadata", error);
}

int pool_journal_flush(struct pool_journal *journal)
{
	int error;

	assert(!journal->failure);
	error = journal->host->ops->flush_sync(journal->host);
	return error ? pool_journal_fail(journal, "flushing the disk", error) : 0;
}

/* ---- checkpoint ---- */

static void put_disks(struct pool_block_wire *block, const struct pool_ledger *ledger, uint32_t first,
		      uint32_t count)
{
	assert(first + count <= ledger->disk_count);
	for (uint32_t i = 0; i < count; i++) {
		const struct pool_entry *entry = &ledger->disks[first + i];
		struct pool_disk_wire wire = {
			.id = entry->id,
			.extent_count = entry->extent_count,
			.size_bytes = entry->size_bytes,
		};

		memcpy(wire.name, entry->name, sizeof(wire.name));
		memcpy(block->payload + i * sizeof(wire), &wire, sizeof(wire));
	}
}

static void put_extents(struct pool_block_wire *block, const struct pool_ledger *ledger, uint32_t first,
			uint32_t count)
{
	assert(first + count <= ledger->extent_count);
	for (uint32_t i = 0; i < count; i++) {
		const struct pool_extent *extent = &ledger->extents[first + i];
		struct pool_extent_wire wire = {
			.disk_id = extent->disk_id,
			.index = extent->index,
			.written = extent->written,
		};

		memcpy(block->payload + i * sizeof(wire), &wire, sizeof(wire));
	}
}

struct section {
	enum pool_block_kind kind;
	uint64_t offset_bytes;
	uint32_t entries, entries_per_block;
	void (*put)(struct pool_block_wire *block, const struct pool_ledger *ledger, uint32_t first,
		    uint32_t count);
};

static int write_section(struct pool_journal *journal, const struct pool_superblock *superblock,
			 const struct section *section)
{
	uint32_t filled = 0, index = 0;
	uint64_t offset = section->offset_bytes;
	int error = 0;

	assert(journal->buffer_blocks >= WRITE_BLOCKS);
	for (uint32_t first = 0; first < section->entries && !error; first += section->entries_per_block) {
		uint32_t left = section->entries - first;
		uint32_t count = left < section->entries_per_block ? left : section->entries_per_block;
		struct pool_block_wire *block = (void *)(journal->buffer + (size_t)filled * POOL_BLOCK_BYTES);

		memset(block, 0, sizeof(*block));
		section->put(block, &journal->ledger, first, count);
		pool_block_build(block, superblock, section->kind, index++, (uint16_t)count);
		if (++filled < WRITE_BLOCKS && count < left)
			continue;
		error = write_blocks(journal, offset, filled);
		offset += (uint64_t)filled * POOL_BLOCK_BYTES;
		filled = 0;
	}
	assert(error || filled == 0);
	return error;
}

static int write_snapshot(struct pool_journal *journal, const struct pool_superblock *superblock)
{
	uint64_t area = journal->layout.area_offset[superblock->active_area];
	const struct section catalogue = {
		.kind = POOL_BLOCK_CATALOGUE, .offset_bytes = area, .entries = superblock->disk_count,
		.entries_per_block = POOL_DISKS_PER_BLOCK, .put = put_disks,
	};
	const struct section table = {
		.kind = POOL_BLOCK_TABLE, .offset_bytes = area + journal->layout.table_offset,
		.entries = superblock->extent_count, .entries_per_block = POOL_EXTENTS_PER_BLOCK,
		.put = put_extents,
	};
	int error;

	/* The area that counts until the new superblock is written is left alone. */
	assert(superblock->active_area == 1 - journal->superblock.active_area);
	error = write_section(journal, superblock, &catalogue);
	if (!error)
		error = write_section(journal, superblock, &table);
	return error ? error : pool_journal_flush(journal);
}

static int write_superblock(struct pool_journal *journal, const struct pool_superblock *superblock,
			    uint64_t offset)
{
	int error;

	pool_superblock_build(superblock, journal->buffer);
	error = write_blocks(journal, offset, 1);
	return error ? error : pool_journal_flush(journal);
}

/* From the first of these writes on, only both of them tell which area counts. */
static int switch_areas(struct pool_journal *journal)
{
	int error;

	assert(journal->switching);
	assert(journal->next.generation == journal->superblock.generation + 1);
	error = write_superblock(journal, &journal->next, 0);
	if (!error)
		error = write_superblock(journal, &journal->next, POOL_SUPERBLOCK_1);
	if (error)
		return error;
	journal->switching = false;
	journal->superblock = journal->next;
	journal->position_blocks = 0;
	return 0;
}

static uint64_t log_end_offset(const struct pool_journal *journal, unsigned mirror)
{
	return journal->layout.area_offset[journal->superblock.active_area] +
	       journal->layout.log_offset[mirror] + (uint64_t)journal->position_blocks * POOL_BLOCK_BYTES;
}

static struct pool_record_place next_place(const struct pool_journal *journal)
{
	struct pool_record_place place = {
		.generation = journal->superblock.generation,
		.sequence = journal->next_sequence,
		.position_blocks = journal->position_blocks,
	};

	memcpy(place.uuid, journal->superblock.uuid, sizeof(place.uuid));
	return place;
}

/* Takes the head off a refused record in one mirror, if it is there. */
static int behead_record(struct pool_journal *journal, unsigned mirror)
{
	struct pool_record_place place = next_place(journal), found;
	uint64_t offset = log_end_offset(journal, mirror);
	int error = journal->host->ops->read_sync(journal->host, offset, journal->buffer, POOL_BLOCK_BYTES);

	if (error)
		return error;
	if (!pool_record_peek(journal->buffer, &place, journal->layout.log_blocks - place.position_blocks,
			      &found))
		return 0;
	memset(journal->buffer, 0, POOL_BLOCK_BYTES);
	return write_blocks(journal, offset, 1);
}

/* What a write left behind that had no room. */
static int settle(struct pool_journal *journal)
{
	int error = 0;

	assert(!journal->failure);
	if (journal->switching)
		return switch_areas(journal);
	if (!journal->torn)
		return 0;
	for (unsigned m = 0; m < POOL_MIRRORS && !error; m++)
		error = behead_record(journal, m);
	if (!error)
		error = pool_journal_flush(journal);
	if (!error)
		journal->torn = false;
	return error;
}

/* Says once that changes are refused for lack of room, and once that they are not any more. */
static int verdict(struct pool_journal *journal, int error)
{
	bool lacks = pool_room_lacks(error);

	if (lacks && !journal->refusing)
		log_error(&journal->subject,
			  "no room for the pool's metadata: %s; changes of its disks, and flushes that need "
			  "one, are refused until the file system has room again",
			  strerror(-error));
	if (!error && journal->refusing)
		log_info(&journal->subject, "there is room for the pool's metadata again");
	if (lacks || !error)
		journal->refusing = lacks;
	return error;
}

static int checkpoint(struct pool_journal *journal)
{
	struct pool_superblock next;
	int error;

	/* One that was half done is done then: no change was made since. */
	if (journal->switching)
		return settle(journal);
	error = settle(journal);
	if (error)
		return error;
	next = journal->superblock;
	next.generation++;
	next.active_area = 1 - next.active_area;
	next.first_sequence = journal->next_sequence;
	next.extent_count = journal->ledger.extent_count;
	next.disk_count = journal->ledger.disk_count;
	next.next_disk_id = journal->ledger.next_disk_id;
	error = write_snapshot(journal, &next);
	if (error)
		return error;
	journal->next = next;
	journal->switching = true;
	return switch_areas(journal);
}

int pool_journal_checkpoint(struct pool_journal *journal)
{
	return journal->failure ? journal->failure : verdict(journal, checkpoint(journal));
}

/* ---- append ---- */

static int make_room(struct pool_journal *journal, uint32_t blocks)
{
	uint8_t *larger;

	if (blocks <= journal->buffer_blocks)
		return 0;
	larger = pool_buffer((size_t)blocks * POOL_BLOCK_BYTES);
	if (!larger)
		return -ENOMEM;
	free(journal->buffer);
	journal->buffer = larger;
	journal->buffer_blocks = blocks;
	return 0;
}

static int write_record(struct pool_journal *journal, const struct pool_change *change, uint32_t blocks)
{
	struct pool_record_place place = next_place(journal);
	int error = 0;

	assert(blocks <= journal->buffer_blocks);
	assert(blocks <= journal->layout.log_blocks - journal->position_blocks);
	assert(!journal->torn && !journal->switching);
	pool_record_build(change, &place, journal->buffer);
	for (unsigned m = 0; m < POOL_MIRRORS && !error; m++)
		error = write_blocks(journal, log_end_offset(journal, m), blocks);
	if (!error)
		return pool_journal_flush(journal);
	if (!journal->failure) {
		/* At once, so that the change that is refused now is not found by a later opening. */
		journal->torn = true;
		settle(journal);
	}
	return journal->failure ? journal->failure : error;
}

/* A log of an earlier version of this program may be longer than the limit. */
static bool log_is_full(const struct pool_journal *journal, uint32_t blocks)
{
	uint32_t limit = pool_layout_log_limit(&journal->layout, journal->ledger.extent_count);

	/* pool_layout_compute() makes room for a record that lists every extent. */
	assert(blocks <= limit);
	return journal->position_blocks > limit || blocks > limit - journal->position_blocks;
}

static int append(struct pool_journal *journal, const struct pool_change *change)
{
	uint32_t blocks = pool_record_blocks(change);
	const char *problem;
	int error = settle(journal);

	if (!error)
		error = make_room(journal, blocks);
	if (!error && log_is_full(journal, blocks))
		error = checkpoint(journal);
	if (!error)
		error = write_record(journal, change, blocks);
	if (error)
		return error;
	journal->position_blocks += blocks;
	journal->next_sequence++;
	problem = pool_ledger_apply(&journal->ledger, change);
	assert(problem == NULL);
	return 0;
}

int pool_journal_append(struct pool_journal *journal, const struct pool_change *change)
{
	if (journal->failure)
		return journal->failure;
	/* Changes on request are seldom enough to ask the file system again. */
	if (journal->unreserved && change->kind != POOL_CHANGE_WRITTEN)
		pool_journal_reserve(journal);
	return verdict(journal, append(journal, change));
}

/* ---- space ---- */

void pool_journal_reserve(struct pool_journal *journal)
{
	uint32_t extent_count = journal->ledger.extent_count;
	int error;

	assert(!journal->failure);
	error = pool_room_reserve(journal->host, &journal->layout, extent_count, false);
	if (error && !journal->unreserved)
		log_warning(&journal->subject,
			    "%" PRIu64 " KiB of the file system cannot be reserved for the pool's metadata: "
			    "%s; while the file system is full, changes of the pool's disks may be refused",
			    pool_room_bytes(&journal->layout, extent_count) / 1024, strerror(-error));
	if (!error && journal->unreserved)
		log_info(&journal->subject, "the space for the pool's metadata is reserved");
	journal->unreserved = error != 0;
}
