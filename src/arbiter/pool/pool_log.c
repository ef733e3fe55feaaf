/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/pool/pool_log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/host_disk.h"

/* Blocks looked at in one read behind the log's end. */
#define SCAN_BLOCKS 64u

struct reader {
	struct host_disk *host;
	struct pool_reporter *reporter;
	struct pool_image *image;
	unsigned area;				/* whose log is read */
	struct pool_record_place place;		/* of the next record */
	uint8_t *record[POOL_MIRRORS];		/* buffers of `room` blocks */
	uint32_t room[POOL_MIRRORS];
	bool stopped;				/* a record did not apply: only look from here on */
};

static uint64_t mirror_offset(const struct reader *reader, unsigned mirror, uint32_t position)
{
	const struct pool_layout *layout = &reader->image->layout;

	assert(mirror < POOL_MIRRORS);
	assert(position <= layout->log_blocks);
	return layout->area_offset[reader->area] + layout->log_offset[mirror] +
	       (uint64_t)position * POOL_BLOCK_BYTES;
}

static int make_room(struct reader *reader, unsigned mirror, uint32_t blocks)
{
	uint8_t *larger;

	if (blocks <= reader->room[mirror])
		return 0;
	larger = pool_buffer((size_t)blocks * POOL_BLOCK_BYTES);
	if (!larger)
		return -ENOMEM;
	free(reader->record[mirror]);
	reader->record[mirror] = larger;
	reader->room[mirror] = blocks;
	return 0;
}

/*
 * Reads the record at `place`, or one of a later generation, from one mirror into reader->record[mirror].
 * Returns its blocks, 0 when there is no sound one, or -errno. *ret_found is set when it returns > 0.
 */
static int64_t read_record(struct reader *reader, unsigned mirror, const struct pool_record_place *place,
			   struct pool_record_place *ret_found)
{
	uint32_t left = reader->image->layout.log_blocks - place->position_blocks, blocks;
	uint64_t offset = mirror_offset(reader, mirror, place->position_blocks);
	struct pool_record_place found;
	int error;

	assert(place->position_blocks <= reader->image->layout.log_blocks);
	if (left == 0)
		return 0;
	error = make_room(reader, mirror, 1);
	if (!error)
		error = reader->host->ops->read_sync(reader->host, offset, reader->record[mirror],
						     POOL_BLOCK_BYTES);
	if (error)
		return error;
	blocks = pool_record_peek(reader->record[mirror], place, left, &found);
	assert(blocks <= left);
	if (blocks > 1) {
		error = make_room(reader, mirror, blocks);
		if (!error)
			error = reader->host->ops->read_sync(reader->host, offset, reader->record[mirror],
							     (size_t)blocks * POOL_BLOCK_BYTES);
		if (error)
			return error;
	}
	if (blocks == 0 || !pool_record_sound(reader->record[mirror], blocks))
		return 0;
	*ret_found = found;
	return blocks;
}

/*
 * Is the record of a generation that the superblock does not know? Then the superblock is an old one, or the
 * record forged: it would come to life with that generation.
 */
static bool from_later(struct reader *reader, unsigned mirror, const struct pool_record_place *found)
{
	uint64_t offset = mirror_offset(reader, mirror, found->position_blocks);

	assert(found->generation >= reader->place.generation);
	if (found->generation == reader->place.generation)
		return false;
	pool_report(reader->reporter, 2, offset,
		    "record %" PRIu64 " at byte %" PRIu64 " is of generation %" PRIu64
		    ", but the superblock knows none after %" PRIu64,
		    found->sequence, offset, found->generation, reader->place.generation);
	return true;
}

static void apply_record(struct reader *reader, const uint8_t *record, uint64_t offset)
{
	struct pool_change change;
	const char *problem;

	if (reader->stopped)
		return;
	problem = pool_record_parse(record, &change);
	if (!problem)
		problem = pool_ledger_apply(&reader->image->ledger, &change);
	if (!problem && reader->image->layout.data_offset +
				(uint64_t)reader->image->ledger.extent_count * POOL_EXTENT_BYTES >
			reader->host->geometry.size_bytes)
		problem = "the disk is smaller than the pool";
	if (!problem)
		return;
	reader->stopped = true;
	pool_report(reader->reporter, 2, offset,
		    "record %" PRIu64 " of the log, at byte %" PRIu64 ", makes no sense: %s",
		    reader->place.sequence, offset, problem);
}

/* One of the mirrors does not hold the record that the other one holds. */
static void report_lost_mirror(struct reader *reader, unsigned mirror)
{
	pool_report(reader->reporter, 1, mirror_offset(reader, mirror, reader->place.position_blocks),
		    "record %" PRIu64
		    " of the log is missing or damaged in mirror %u; the other mirror has it",
		    reader->place.sequence, mirror);
}

/*
 * No mirror holds a record here. One that can be read is enough to know that: what was acknowledged is in
 * both. Returns 0, or the disk's error.
 */
static int64_t log_end(struct reader *reader, const int64_t blocks[POOL_MIRRORS])
{
	assert(blocks[0] <= 0 && blocks[1] <= 0);
	for (unsigned m = 0; m < POOL_MIRRORS; m++) {
		uint64_t offset = mirror_offset(reader, m, reader->place.position_blocks);

		if (blocks[m] == 0)
			continue;
		if (blocks[1 - m] < 0)
			return blocks[m];
		pool_report(reader->reporter, 1, offset,
			    "mirror %u of the log cannot be read at byte %" PRIu64, m, offset);
	}
	return 0;
}

/* Takes the record at reader->place. Returns its blocks, 0 at the end of the log, or -errno. */
static int64_t take_record(struct reader *reader)
{
	uint64_t offset = mirror_offset(reader, 0, reader->place.position_blocks);
	int64_t blocks[POOL_MIRRORS];
	unsigned good;

	for (unsigned m = 0; m < POOL_MIRRORS; m++) {
		struct pool_record_place found = reader->place;

		blocks[m] = read_record(reader, m, &reader->place, &found);
		if (blocks[m] == -ENOMEM)
			return -ENOMEM;
		if (blocks[m] > 0 &&
		    (from_later(reader, m, &found) || found.sequence != reader->place.sequence))
			blocks[m] = 0;
	}
	if (blocks[0] <= 0 && blocks[1] <= 0)
		return log_end(reader, blocks);
	assert(reader->record[0] && reader->record[1]);
	good = blocks[0] > 0 ? 0 : 1;
	if (blocks[1 - good] <= 0)
		report_lost_mirror(reader, 1 - good);
	else if (blocks[0] != blocks[1] ||
		 memcmp(reader->record[0], reader->record[1], (size_t)blocks[0] * POOL_BLOCK_BYTES) != 0)
		pool_report(reader->reporter, 2, offset,
			    "the mirrors of the log contradict each other at byte %" PRIu64, offset);
	apply_record(reader, reader->record[good], offset);
	return blocks[good];
}

/* Is there a sound record at or behind the log's end in the blocks just read from one mirror? */
static int find_in_chunk(struct reader *reader, unsigned mirror, const uint8_t *chunk, uint32_t position,
			 uint32_t count, bool *ret_found)
{
	struct pool_record_place place = reader->place, found;

	assert(count <= SCAN_BLOCKS);
	assert(position + count <= reader->image->layout.log_blocks);
	for (uint32_t i = 0; i < count; i++) {
		int64_t blocks;

		place.position_blocks = position + i;
		if (!pool_record_peek(chunk + (size_t)i * POOL_BLOCK_BYTES, &place,
				      reader->image->layout.log_blocks - place.position_blocks, &found))
			continue;
		blocks = read_record(reader, mirror, &place, &found);
		if (blocks < 0)
			return (int)blocks;
		if (blocks == 0)
			continue;
		*ret_found = true;
		if (from_later(reader, mirror, &found))
			return 0;
		pool_report(reader->reporter, 2, mirror_offset(reader, mirror, reader->place.position_blocks),
			    "record %" PRIu64
			    " of the log is damaged in both mirrors at block %u, but record %" PRIu64
			    " behind it, at block %u, is sound",
			    reader->place.sequence, reader->place.position_blocks, found.sequence,
			    place.position_blocks);
		return 0;
	}
	return 0;
}

/* Looks through one mirror behind the end. */
static int scan_mirror(struct reader *reader, unsigned mirror, uint8_t *chunk, bool *ret_found)
{
	uint32_t end = reader->image->layout.log_blocks;
	int error = 0;

	for (uint32_t p = reader->place.position_blocks; p < end && !error && !*ret_found; p += SCAN_BLOCKS) {
		uint32_t count = end - p < SCAN_BLOCKS ? end - p : SCAN_BLOCKS;

		error = reader->host->ops->read_sync(reader->host, mirror_offset(reader, mirror, p), chunk,
						     (size_t)count * POOL_BLOCK_BYTES);
		if (!error)
			error = find_in_chunk(reader, mirror, chunk, p, count, ret_found);
	}
	return error;
}

/* Behind the end there must be nothing sound of this generation. One mirror is enough to know. */
static int scan_rest(struct reader *reader)
{
	uint8_t *chunk = pool_buffer((size_t)SCAN_BLOCKS * POOL_BLOCK_BYTES);
	int error[POOL_MIRRORS] = {0};
	bool found = false;

	if (!chunk)
		return -ENOMEM;
	for (unsigned m = 0; m < POOL_MIRRORS && !found; m++)
		error[m] = scan_mirror(reader, m, chunk, &found);
	free(chunk);
	return error[0] && error[1] ? error[0] : 0;
}

/* The other area's log is of an older generation, unless the superblock is not the newest. Its head tells. */
static int look_at_other_area(struct reader *reader)
{
	struct pool_record_place head = reader->place, found = head;
	int64_t blocks = 0;

	head.position_blocks = 0;
	reader->area = 1 - reader->area;
	for (unsigned m = 0; m < POOL_MIRRORS && blocks != -ENOMEM; m++) {
		blocks = read_record(reader, m, &head, &found);
		if (blocks > 0 && from_later(reader, m, &found))
			break;
	}
	reader->area = 1 - reader->area;
	return blocks == -ENOMEM ? -ENOMEM : 0;
}

int pool_log_replay(struct host_disk *host, struct pool_reporter *reporter, struct pool_image *image)
{
	struct reader reader = {
		.host = host,
		.reporter = reporter,
		.image = image,
		.area = image->superblock.active_area,
		.place = { .generation = image->superblock.generation,
			   .sequence = image->superblock.first_sequence },
		.stopped = reporter->damages > 0,
	};
	int64_t blocks;
	int error;

	memcpy(reader.place.uuid, image->superblock.uuid, sizeof(reader.place.uuid));
	while ((blocks = take_record(&reader)) > 0) {
		reader.place.position_blocks += (uint32_t)blocks;
		reader.place.sequence++;
		assert(reader.place.position_blocks <= image->layout.log_blocks);
	}
	error = blocks < 0 ? (int)blocks : scan_rest(&reader);
	if (!error)
		error = look_at_other_area(&reader);
	for (unsigned m = 0; m < POOL_MIRRORS; m++)
		free(reader.record[m]);
	if (error)
		return error;
	image->next_sequence = reader.place.sequence;
	image->log_used_blocks = reader.place.position_blocks;
	return 0;
}
