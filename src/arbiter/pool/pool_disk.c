/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtual disks: made, grown, renamed, deleted. Control thread. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/pool/pool_private.h"
#include "arbiter/pool/pool_room.h"
#include "core/checked.h"
#include "core/shared.h"
#include "host/host_disk.h"

#define MIB 1048576u

static struct pool_map *map_create(uint32_t count)
{
	struct pool_map *map = calloc(1, sizeof(*map) + (size_t)count * sizeof(map->extents[0]));

	if (map)
		map->count = count;
	return map;
}

static void disk_free(struct pool_disk *disk)
{
	free(disk->map);
	free(disk);
}

struct pool_disk *pool_disk_attach(struct pool *pool, const struct pool_entry *entry)
{
	struct pool_disk *disk = calloc(1, sizeof(*disk)), **end = &pool->first_disk;

	if (!disk)
		return NULL;
	disk->map = map_create(entry->extent_count);
	if (!disk->map) {
		free(disk);
		return NULL;
	}
	assert(entry->name[POOL_NAME_MAX] == '\0');
	assert(entry->id != 0 && entry->extent_count == pool_extents_for(entry->size_bytes));
	disk->pool = pool;
	disk->id = entry->id;
	disk->size_bytes = entry->size_bytes;
	memcpy(disk->name, entry->name, sizeof(disk->name));
	while (*end) {
		assert((*end)->id < disk->id);
		end = &(*end)->next;
	}
	*end = disk;
	return disk;
}

void pool_disks_free(struct pool *pool)
{
	while (pool->first_disk) {
		struct pool_disk *disk = pool->first_disk;

		pool->first_disk = disk->next;
		disk_free(disk);
	}
	while (pool->retired) {
		struct pool_map *map = pool->retired;

		pool->retired = map->retired_next;
		free(map);
	}
}

static int check_name(const struct pool *pool, const char *name, struct error *error)
{
	if (!pool_name_valid(name))
		return error_set(
			error, -EINVAL,
			"\"%.160s\" is not a disk name: it must be guest/disk, both of A-Z a-z 0-9 . _ - and "
			"not beginning with . or -, at most %u characters",
			name, POOL_NAME_MAX);
	if (pool_ledger_find_name(&pool->journal.ledger, name))
		return error_set(error, -EEXIST, "there is a disk %s already", name);
	return 0;
}

static int no_space(const struct pool *pool, uint64_t wanted_bytes, struct error *error)
{
	uint64_t wanted = wanted_bytes / MIB + (wanted_bytes % MIB != 0);

	return error_set(error, -ENOSPC,
			 "not enough space in the pool: wanted %" PRIu64 " MiB, free %" PRIu64 " MiB", wanted,
			 (uint64_t)pool->journal.ledger.free_count * POOL_EXTENT_BYTES / MIB);
}

/* The journal refused a change. */
static int journal_failed(int code, struct error *error)
{
	assert(code < 0);
	if (code == -EROFS)
		return error_set(error, code, "the pool's disk is read-only");
	if (code == -ENOMEM)
		return error_set(error, code, "not enough memory");
	if (pool_room_lacks(code))
		return error_set(error, -ENOSPC,
				 "nothing was changed: the file system that holds the pool's file has no "
				 "room for it (%s); make room there and try again",
				 strerror(-code));
	return error_set(error, code, "the disk failed: %s", strerror(-code));
}

/*
 * A flush of ours that fails may have swallowed the error that a commit had to see: it fails the journal.
 * Under the lock, so that no commit is told "durable" in between.
 */
static int flush(struct pool *pool)
{
	int code;

	pthread_mutex_lock(&pool->journal.lock);
	code = pool->journal.failure ? pool->journal.failure : pool_journal_flush(&pool->journal);
	pthread_mutex_unlock(&pool->journal.lock);
	return code;
}

/*
 * Makes the extents read as zeroes, where the disk does that quickly. True: they do, durably. They belong
 * to no disk yet, so a crash in between does no harm. Without the lock: it can take long.
 */
static bool punch_runs(struct pool *pool, const struct pool_run_wire *runs, uint32_t count)
{
	struct host_disk *host = pool->journal.host;

	if (!host->geometry.can_punch || count == 0)
		return false;
	for (uint32_t r = 0; r < count; r++) {
		uint64_t offset =
			pool->journal.layout.data_offset + (uint64_t)runs[r].first * POOL_EXTENT_BYTES;

		assert(checked_range(runs[r].first, runs[r].count, pool->journal.ledger.extent_count));
		if (host->ops->punch_sync(host, offset, (uint64_t)runs[r].count * POOL_EXTENT_BYTES) != 0)
			return false;
	}
	return flush(pool) == 0;
}

/* Writes the extents of the runs into a map, from `index` on, with the bits they start with. */
static void fill_map(struct pool *pool, struct pool_map *map, uint32_t index,
		     const struct pool_change *change)
{
	for (uint32_t r = 0; r < change->run_count; r++) {
		for (uint32_t i = 0; i < change->runs[r].count; i++) {
			uint32_t extent = change->runs[r].first + i;

			assert(index < map->count);
			pool_live_set(pool, extent, change->written ? UINT16_MAX : 0);
			map->extents[index++] = extent;
		}
	}
	assert(index == map->count);
}

/*
 * Chooses extents for a change and prepares them. They stay free until the change is made: only the control
 * thread gives space out. *ret_runs is the caller's.
 */
static int prepare_runs(struct pool *pool, struct pool_change *change, uint32_t wanted, uint32_t after,
			struct pool_run_wire **ret_runs, struct error *error)
{
	int code = pool_ledger_choose(&pool->journal.ledger, wanted, after, ret_runs, &change->run_count);

	if (code == -ENOSPC)
		return no_space(pool, (uint64_t)wanted * POOL_EXTENT_BYTES, error);
	if (code)
		return journal_failed(code, error);
	assert(change->run_count > 0 || wanted == 0);
	change->runs = *ret_runs;
	change->written = punch_runs(pool, *ret_runs, change->run_count);
	return 0;
}

/* Takes a disk off the list. Lock held. The caller frees it. */
static void detach(struct pool *pool, const struct pool_disk *disk)
{
	struct pool_disk **link = &pool->first_disk;

	while (*link && *link != disk)
		link = &(*link)->next;
	assert(*link);
	*link = disk->next;
}

static int create_disk(struct pool *pool, const struct pool_change *change, struct pool_disk **ret_disk,
		       struct error *error)
{
	struct pool_entry entry = {
		.id = change->disk_id,
		.extent_count = (uint32_t)pool_extents_for(change->size_bytes),
		.size_bytes = change->size_bytes,
	};
	struct pool_disk *disk;
	int code = -ENOMEM;

	memcpy(entry.name, change->name, sizeof(entry.name));
	pthread_mutex_lock(&pool->journal.lock);
	disk = pool_disk_attach(pool, &entry);
	if (disk)
		code = pool_journal_append(&pool->journal, change);
	if (disk && code)
		detach(pool, disk);
	else if (disk)
		fill_map(pool, disk->map, 0, change);
	pthread_mutex_unlock(&pool->journal.lock);
	if (code) {
		if (disk)
			disk_free(disk);
		return journal_failed(code, error);
	}
	*ret_disk = disk;
	return 0;
}

int pool_disk_create(struct pool *pool, const char *name, uint64_t size_bytes, struct pool_disk **ret_disk,
		     struct error *error)
{
	struct pool_change change = { .kind = POOL_CHANGE_CREATE,
				      .disk_id = pool->journal.ledger.next_disk_id };
	struct pool_run_wire *runs = NULL;
	int code = check_name(pool, name, error);

	if (code)
		return code;
	if (size_bytes == 0)
		return error_set(error, -EINVAL, "a disk of no bytes is no use");
	if (pool_extents_for(size_bytes) > pool->journal.ledger.free_count)
		return no_space(pool, size_bytes, error);
	if (pool->journal.ledger.disk_count == pool->journal.ledger.disks_max || change.disk_id == UINT32_MAX)
		return error_set(error, -ENOSPC, "the pool has %u disks, more do not fit in its tables",
				 pool->journal.ledger.disk_count);
	change.size_bytes = align_up(size_bytes, POOL_BLOCK_BYTES);
	assert(strlen(name) < sizeof(change.name));
	memcpy(change.name, name, strlen(name));
	code = pool_await(pool, error);
	if (!code)
		code = prepare_runs(pool, &change, (uint32_t)pool_extents_for(size_bytes), UINT32_MAX, &runs,
				    error);
	if (!code)
		code = create_disk(pool, &change, ret_disk, error);
	free(runs);
	return code;
}

/* A hole needs no room of the file system; zeroes that are written may. */
static int clear(struct host_disk *host, uint64_t offset, size_t bytes)
{
	void *zeroes;
	int code;

	if (host->geometry.can_punch && host->ops->punch_sync(host, offset, bytes) == 0)
		return 0;
	zeroes = pool_buffer(bytes);
	if (!zeroes)
		return -ENOMEM;
	memset(zeroes, 0, bytes);
	code = host->ops->write_sync(host, offset, zeroes, bytes);
	free(zeroes);
	return code;
}

/*
 * A disk may end within a grain, and what lies between its end and the grain's was never the disk's: a former
 * owner's bytes, which become the disk's when it grows. Nothing else writes there.
 */
static int clear_tail(struct pool *pool, const struct pool_disk *disk)
{
	uint64_t size = disk->size_bytes, end = align_up(size, POOL_GRAIN_BYTES), offset;
	uint32_t extent;
	int code;

	if (end == size)
		return 0;
	assert(size / POOL_EXTENT_BYTES < disk->map->count);
	assert(end - size < POOL_GRAIN_BYTES);
	extent = disk->map->extents[size / POOL_EXTENT_BYTES];
	offset = pool->journal.layout.data_offset + (uint64_t)extent * POOL_EXTENT_BYTES +
		 size % POOL_EXTENT_BYTES;
	code = clear(pool->journal.host, offset, (size_t)(end - size));
	return code ? code : flush(pool);
}

/* Both stores pair with pool_lookup(), which reads the size first. The old map may be in use there. */
static void publish_map(struct pool *pool, struct pool_disk *disk, struct pool_map *map, uint64_t size_bytes)
{
	struct pool_map *old = disk->map;

	/* What workers found before stays true. */
	assert(map->count >= old->count && size_bytes >= disk->size_bytes);
	assert(size_bytes <= (uint64_t)map->count * POOL_EXTENT_BYTES);
	shared_write_release(&disk->map, map);
	shared_write_release(&disk->size_bytes, size_bytes);
	old->retired_next = pool->retired;
	pool->retired = old;
}

static int grow_disk(struct pool *pool, struct pool_disk *disk, const struct pool_change *change,
		     struct error *error)
{
	uint32_t had = disk->map->count;
	struct pool_map *map = map_create((uint32_t)pool_extents_for(change->size_bytes));
	int code = map ? clear_tail(pool, disk) : -ENOMEM;

	assert(!map || map->count >= had);
	pthread_mutex_lock(&pool->journal.lock);
	if (!code)
		code = pool_journal_append(&pool->journal, change);
	if (!code) {
		memcpy(map->extents, disk->map->extents, had * sizeof(map->extents[0]));
		fill_map(pool, map, had, change);
		publish_map(pool, disk, map, change->size_bytes);
	}
	pthread_mutex_unlock(&pool->journal.lock);
	if (!code)
		return 0;
	free(map);
	return journal_failed(code, error);
}

int pool_disk_grow(struct pool *pool, struct pool_disk *disk, uint64_t size_bytes, struct error *error)
{
	struct pool_change change = { .kind = POOL_CHANGE_GROW, .disk_id = disk->id };
	uint64_t extents = pool_extents_for(size_bytes);
	struct pool_run_wire *runs = NULL;
	int code;

	assert(disk->pool == pool);
	assert(disk->map->count > 0);
	/* The size as it was asked for once before is no shrinking. */
	if (extents <= disk->map->count && align_up(size_bytes, POOL_BLOCK_BYTES) < disk->size_bytes)
		return error_set(error, -EINVAL, "%s has %" PRIu64 " bytes; disks cannot shrink to %" PRIu64,
				 disk->name, disk->size_bytes, size_bytes);
	if (extents > disk->map->count && extents - disk->map->count > pool->journal.ledger.free_count)
		return no_space(pool, (extents - disk->map->count) * POOL_EXTENT_BYTES, error);
	change.size_bytes = align_up(size_bytes, POOL_BLOCK_BYTES);
	if (change.size_bytes == disk->size_bytes)
		return 0;
	assert(extents >= disk->map->count);
	code = pool_await(pool, error);
	if (!code)
		code = prepare_runs(pool, &change, (uint32_t)extents - disk->map->count,
				    disk->map->extents[disk->map->count - 1], &runs, error);
	if (!code)
		code = grow_disk(pool, disk, &change, error);
	free(runs);
	return code;
}

int pool_disk_rename(struct pool *pool, struct pool_disk *disk, const char *name, struct error *error)
{
	struct pool_change change = { .kind = POOL_CHANGE_RENAME, .disk_id = disk->id };
	int code;

	assert(disk->pool == pool);
	if (strcmp(name, disk->name) == 0)
		return 0;
	code = check_name(pool, name, error);
	if (!code)
		code = pool_await(pool, error);
	if (code)
		return code;
	assert(strlen(name) < sizeof(change.name));
	memcpy(change.name, name, strlen(name));
	pthread_mutex_lock(&pool->journal.lock);
	code = pool_journal_append(&pool->journal, &change);
	pthread_mutex_unlock(&pool->journal.lock);
	if (code)
		return journal_failed(code, error);
	memcpy(disk->name, change.name, sizeof(disk->name));
	return 0;
}

/* Gives the space back to the host, as far as it takes it. The bytes are no disk's any more. */
static void release_extents(struct pool *pool, const struct pool_map *map)
{
	struct host_disk *host = pool->journal.host;

	for (uint32_t i = 0, next; i < map->count; i = next) {
		uint64_t offset =
			pool->journal.layout.data_offset + (uint64_t)map->extents[i] * POOL_EXTENT_BYTES;

		for (next = i; next < map->count && map->extents[next] == map->extents[i] + (next - i);
		     next++)
			pool_live_set(pool, map->extents[next], 0);
		if (host->geometry.can_punch)
			host->ops->punch_sync(host, offset, (uint64_t)(next - i) * POOL_EXTENT_BYTES);
	}
}

int pool_disk_delete(struct pool *pool, struct pool_disk *disk, struct error *error)
{
	struct pool_change change = { .kind = POOL_CHANGE_DELETE, .disk_id = disk->id };
	int code = pool_await(pool, error);

	assert(disk->pool == pool);
	if (code)
		return code;
	pthread_mutex_lock(&pool->journal.lock);
	code = pool_journal_append(&pool->journal, &change);
	if (!code)
		detach(pool, disk);
	pthread_mutex_unlock(&pool->journal.lock);
	if (code)
		return journal_failed(code, error);
	release_extents(pool, disk->map);
	disk_free(disk);
	return 0;
}

struct pool_disk *pool_disk_find(struct pool *pool, const char *name)
{
	struct pool_disk *disk = pool->first_disk;

	while (disk && strcmp(disk->name, name) != 0)
		disk = disk->next;
	return disk;
}

struct pool_disk *pool_disk_next(struct pool *pool, const struct pool_disk *disk)
{
	assert(!disk || disk->pool == pool);
	return disk ? disk->next : pool->first_disk;
}

const char *pool_disk_name(const struct pool_disk *disk)
{
	return disk->name;
}

uint64_t pool_disk_size_bytes(const struct pool_disk *disk)
{
	return shared_read_acquire(&disk->size_bytes);
}
