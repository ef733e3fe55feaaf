/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pool as a whole: made, opened, closed, grown. Control thread. */
#include "arbiter/pool/pool.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "arbiter/pool/pool_contents.h"
#include "arbiter/pool/pool_private.h"
#include "arbiter/pool/pool_room.h"
#include "arbiter/pool/pool_signature.h"
#include "core/checked.h"
#include "core/log.h"
#include "host/host_disk.h"

/* What pool_format() blanks at both ends of a disk, so that no former signature is found there again. */
#define WIPE_BYTES (1u << 20)

static int host_failed(struct error *error, const char *doing, int code)
{
	assert(code < 0);
	if (pool_room_lacks(code))
		return error_set(error, -ENOSPC,
				 "%s the disk failed: the file system has no room for the pool's metadata "
				 "(%s); make room there and try again",
				 doing, strerror(-code));
	return error_set(error, code, "%s the disk failed: %s", doing, strerror(-code));
}

bool pool_probe(struct host_disk *host)
{
	static const uint64_t offsets[POOL_SUPERBLOCKS] = {0, POOL_SUPERBLOCK_1};
	uint8_t *block;
	bool found = false;

	if (host->geometry.size_bytes < POOL_AREAS_OFFSET)
		return false;
	block = pool_buffer(POOL_BLOCK_BYTES);
	for (unsigned i = 0; block && i < POOL_SUPERBLOCKS && !found; i++)
		found = host->ops->read_sync(host, offsets[i], block, POOL_BLOCK_BYTES) == 0 &&
			pool_superblock_has_magic(block);
	free(block);
	return found;
}

/* The layout of the pool on the disk; false when no superblock there is sound. */
static bool read_layout(struct host_disk *host, struct pool_layout *ret_layout)
{
	static const uint64_t offsets[POOL_SUPERBLOCKS] = {0, POOL_SUPERBLOCK_1};
	uint8_t *block = pool_buffer(POOL_BLOCK_BYTES);
	struct pool_superblock superblock;
	const char *problem;
	bool found = false;

	for (unsigned i = 0; block && i < POOL_SUPERBLOCKS && !found; i++)
		found = host->ops->read_sync(host, offsets[i], block, POOL_BLOCK_BYTES) == 0 &&
			pool_superblock_parse(block, &superblock, &problem) == 0;
	free(block);
	if (found)
		pool_layout_compute(superblock.capacity_extents, ret_layout);
	return found;
}

uint64_t pool_capacity_bytes(struct host_disk *host, uint64_t size_bytes)
{
	struct pool_layout layout;
	uint32_t extents;

	if (host && host->geometry.size_bytes >= POOL_AREAS_OFFSET && read_layout(host, &layout))
		extents = pool_layout_extents(&layout, size_bytes);
	else if (pool_layout_choose(size_bytes, &layout, &extents) != 0)
		return 0;
	return (uint64_t)extents * POOL_EXTENT_BYTES;
}

/* ---- format ---- */

static int refuse_used_disk(struct host_disk *host, struct error *error)
{
	char name[POOL_CONTENTS_MAX];
	int found;

	if (pool_probe(host))
		return error_set(error, -EEXIST, "there is a pool on this disk already");
	found = pool_contents_find(host, name);
	if (found < 0)
		return host_failed(error, "looking at what is on", found);
	if (found > 0)
		return error_set(error, -EEXIST, "the disk is in use: it holds %s", name);
	return 0;
}

static int wipe(struct host_disk *host, uint64_t offset, uint64_t bytes)
{
	void *zeroes = pool_buffer(WIPE_BYTES);
	int error = zeroes ? 0 : -ENOMEM;

	assert(bytes <= WIPE_BYTES);
	assert(is_aligned(offset | bytes, POOL_BLOCK_BYTES));
	if (!error)
		memset(zeroes, 0, WIPE_BYTES);
	if (!error && bytes > 0)
		error = host->ops->write_sync(host, offset, zeroes, (size_t)bytes);
	free(zeroes);
	return error;
}

/* No superblock and no former signature is left when it returns 0. */
static int wipe_ends(struct host_disk *host)
{
	uint64_t end = align_down(host->geometry.size_bytes, POOL_BLOCK_BYTES);
	int error = wipe(host, 0, WIPE_BYTES);

	assert(end >= WIPE_BYTES);
	if (!error)
		error = wipe(host, end - WIPE_BYTES, WIPE_BYTES);
	return error ? error : host->ops->flush_sync(host);
}

int pool_format(struct host_disk *host, bool force, struct error *error)
{
	struct pool_image image = {.superblock = {.active_area = 1}};
	struct pool_journal journal;
	uint32_t extent_count;
	int code;

	if (host->geometry.read_only)
		return error_set(error, -EROFS, "the disk is read-only");
	if (host->geometry.block_bytes > POOL_BLOCK_BYTES)
		return error_set(error, -EINVAL, "the disk's blocks of %u bytes are larger than %u",
				 host->geometry.block_bytes, POOL_BLOCK_BYTES);
	if (pool_layout_choose(host->geometry.size_bytes, &image.layout, &extent_count) != 0)
		return error_set(error, -ENOSPC, "a disk of %" PRIu64 " bytes is too small for a pool",
				 host->geometry.size_bytes);
	code = force ? 0 : refuse_used_disk(host, error);
	if (code)
		return code;
	if (getrandom(image.superblock.uuid, sizeof(image.superblock.uuid), 0) !=
	    sizeof(image.superblock.uuid))
		return error_set(error, -EIO, "the kernel gives no random numbers");
	image.superblock.capacity_extents = image.layout.capacity_extents;
	code = pool_ledger_init(&image.ledger, &image.layout, extent_count);
	if (!code)
		code = pool_journal_init(&journal, host, &image);
	if (code) {
		pool_ledger_finish(&image.ledger);
		return error_set(error, code, "not enough memory");
	}
	code = pool_room_reserve(host, &image.layout, extent_count, true);
	if (!code)
		code = wipe_ends(host);
	if (!code)
		code = pool_journal_checkpoint(&journal);
	pool_journal_finish(&journal);
	return code ? host_failed(error, "writing", code) : 0;
}

/* ---- open ---- */

static int load_failed(struct error *error, int code, const struct pool_reporter *reporter)
{
	switch (code) {
	case -ENOENT:
		return error_set(error, code, "there is no pool on this disk");
	case -EPROTONOSUPPORT:
		return error_set(error, code,
				 "the pool is of a newer format than version %u, which is all we know",
				 POOL_VERSION);
	case -EBADMSG:
		return error_set(error, code, "the pool is damaged: %.200s", reporter->first_damage.text);
	case -ENOMEM:
		return error_set(error, code, "not enough memory");
	default:
		return host_failed(error, "reading", code);
	}
}

/*
 * A superblock copy is damaged: was something else put on this disk since? Then our repair would destroy it.
 * The end of the disk does not count: a guest can write what it likes there.
 */
static int refuse_overwritten(struct host_disk *host, struct error *error)
{
	char name[POOL_SIGNATURE_MAX];

	if (pool_signature_find(host, false, name) <= 0)
		return 0;
	return error_set(error, -EBADMSG, "the pool is damaged: a %s was written over its beginning", name);
}

/* Objects and live bits from the state. */
static int attach_disks(struct pool *pool)
{
	const struct pool_ledger *ledger = &pool->journal.ledger;
	const struct pool_disk *disk;
	struct pool_disk **by_position = calloc((size_t)ledger->disk_count + 1, sizeof(struct pool_disk *));
	int error = by_position ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < ledger->disk_count && !error; i++) {
		by_position[i] = pool_disk_attach(pool, &ledger->disks[i]);
		error = by_position[i] ? 0 : -ENOMEM;
	}
	for (uint32_t e = 0; e < ledger->extent_count && !error; e++) {
		const struct pool_extent *extent = &ledger->extents[e];
		const struct pool_entry *owner;

		if (extent->disk_id == 0)
			continue;
		owner = pool_ledger_find_id(ledger, extent->disk_id);
		assert(owner);
		disk = by_position[owner - ledger->disks];
		assert(disk->id == extent->disk_id && extent->index < disk->map->count);
		disk->map->extents[extent->index] = e;
		pool_live_set(pool, e, extent->written);
	}
	free(by_position);
	return error;
}

static void pool_free(struct pool *pool)
{
	pool_commit_stop(pool);
	pool_disks_free(pool);
	pool_live_finish(pool);
	pool_journal_finish(&pool->journal);
	free(pool);
}

/*
 * What a crash left in the log was perhaps only in a cache, or in one mirror. A checkpoint makes it durable
 * before anything relies on it, and repairs a superblock copy too.
 */
static int make_durable(struct pool *pool, bool repair)
{
	int error;

	if (pool->journal.failure == -EROFS || (!repair && pool->journal.position_blocks == 0))
		return 0;
	error = pool_journal_checkpoint(&pool->journal);
	/* Without room, a log that is whole in both mirrors stays as it is. */
	if (pool_room_lacks(error) && !repair)
		error = pool_journal_flush(&pool->journal);
	return error;
}

static int start_pool(struct host_disk *host, struct pool_image *image, bool repair, struct pool **ret_pool)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	int error = pool ? pool_journal_init(&pool->journal, host, image) : -ENOMEM;

	if (error) {
		free(pool);
		return error;
	}
	error = pool_live_init(pool);
	if (!error)
		error = attach_disks(pool);
	/* Last what can fail for lack of something: a failed open writes nothing. */
	if (!error)
		error = pool_commit_start(pool);
	if (!error) {
		if (!pool->journal.failure)
			pool_journal_reserve(&pool->journal);
		error = make_durable(pool, repair);
	}
	if (error) {
		pool_free(pool);
		return error;
	}
	*ret_pool = pool;
	return 0;
}

int pool_open(struct host_disk *host, struct pool **ret_pool, struct error *error)
{
	struct pool_reporter reporter = {0};
	struct pool_image image;
	int code = pool_load(host, &reporter, &image);

	if (code)
		return load_failed(error, code, &reporter);
	if (image.superblock_damaged)
		code = refuse_overwritten(host, error);
	if (!code) {
		code = start_pool(host, &image, reporter.repairable > 0, ret_pool);
		if (code == -ENOMEM)
			error_set(error, code, "not enough memory");
		else if (code)
			host_failed(error, "repairing the pool's metadata on", code);
	}
	pool_ledger_finish(&image.ledger);
	return code;
}

void pool_close(struct pool *pool)
{
	int error = 0;

	if (!pool)
		return;
	assert(!pool->queue);
	pthread_mutex_lock(&pool->journal.lock);
	if (!pool->journal.failure)
		error = pool_commit_marks(pool);
	if (!error && !pool->journal.failure && pool->journal.position_blocks > 0)
		error = pool_journal_checkpoint(&pool->journal);
	pthread_mutex_unlock(&pool->journal.lock);
	if (error)
		log_error(&pool->journal.subject, "closing it failed: %s", strerror(-error));
	pool_free(pool);
}

/* ---- space ---- */

void pool_space(struct pool *pool, struct pool_space *ret_space)
{
	const struct pool_ledger *ledger = &pool->journal.ledger;

	assert(ledger->free_count <= ledger->extent_count);
	*ret_space = (struct pool_space){
		.total_bytes = pool->journal.host->geometry.size_bytes,
		.metadata_bytes = pool->journal.layout.data_offset,
		.used_bytes = (uint64_t)(ledger->extent_count - ledger->free_count) * POOL_EXTENT_BYTES,
		.free_bytes = (uint64_t)ledger->free_count * POOL_EXTENT_BYTES,
	};
}

int pool_grow(struct pool *pool, struct error *error)
{
	struct pool_journal *journal = &pool->journal;
	struct pool_change change = {.kind = POOL_CHANGE_RESIZE};
	int code = journal->host->ops->refresh(journal->host);

	if (code)
		return host_failed(error, "reading the size of", code);
	change.extent_count = pool_layout_extents(&journal->layout, journal->host->geometry.size_bytes);
	if (change.extent_count <= journal->ledger.extent_count)
		return 0;
	assert(change.extent_count <= journal->ledger.capacity_extents);
	code = pool_await(pool, error);
	if (code)
		return code;
	pthread_mutex_lock(&journal->lock);
	/* Where a file system cannot reserve anything, a growing pool is no worse than it was. */
	code = pool_room_reserve(journal->host, &journal->layout, change.extent_count, false);
	if (!pool_room_lacks(code))
		code = pool_journal_append(journal, &change);
	pthread_mutex_unlock(&journal->lock);
	return code ? host_failed(error, "writing to", code) : 0;
}

struct host_disk *pool_host(struct pool *pool)
{
	return pool->journal.host;
}
