/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power failures at every moment. Random work on a pool over a recorder: writes are held back until a
 * flush, and before each flush takes effect, the machine "crashes" in many ways: none, some, all, torn or
 * reordered writes of that epoch reach the disk. Each time the pool must open and keep its promises:
 *   - all acknowledged changes are there; the one under way is there wholly or not at all
 *   - every sector holds what the last acknowledged commit covered, or something newer of the same disk
 *   - no sector shows another disk's or a former owner's bytes
 *   - the free space is exact
 *
 * Once more on a file system that is full at times: a change or commit that is refused for lack of room was
 * not made, at no crash after the answer.
 *
 * The model is tests/support/pool_oracle.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "arbiter/pool/pool.h"
#include "arbiter/pool/pool_format.h"
#include "core/checked.h"
#include "core/loop.h"
#include "pool_help.h"
#include "pool_oracle.h"
#include "test_disk.h"

#define DISK_BYTES	 (20u << 20)
#define GRAIN_SECTORS	 (POOL_GRAIN_BYTES / ORACLE_SECTOR)
#define METADATA_BYTES	 POOL_EXTENT_BYTES	/* of a disk of that size */
#define OPERATIONS	 200
#define PENDING_MAX	 512

struct write {
	uint64_t offset;
	size_t bytes;
	uint8_t *data;		/* NULL: zeroes */
};

/* The recorder: `visible` is what reads see, `durable` what survives for sure. */
struct rig {
	struct host_disk host;
	struct test_disk *visible, *durable;
	struct write pending[PENDING_MAX];
	unsigned pending_count;

	struct pool *pool;
	struct loop *loop;
	struct oracle acknowledged, after;	/* after: with the change under way */
	bool under_way;
	bool racing;				/* a worker writes during flushes */
	uint32_t serials, version;
	uint64_t seed;
	unsigned states;
	bool tight;				/* there is not always room for metadata */
	unsigned refused;
};

/* ---- what must hold in a crashed and reopened pool ---- */

static void check_pool(struct rig *rig, struct pool *pool)
{
	const struct oracle *model = &rig->acknowledged;
	struct pool_disk *disk = NULL;
	struct pool_space space;
	uint64_t used = 0;

	if (!oracle_lists_equal(model, pool)) {
		require(rig->under_way);
		model = &rig->after;
		require(oracle_lists_equal(model, pool));
	}
	for (unsigned i = 0; i < model->count; i++) {
		disk = pool_disk_next(pool, disk);
		oracle_check_disk(&model->disks[i], disk, rig->durable->bytes);
		used += align_up(model->disks[i].size_bytes, POOL_EXTENT_BYTES);
	}
	pool_space(pool, &space);
	require(space.used_bytes == used);
	require(space.free_bytes == 19 * (uint64_t)POOL_EXTENT_BYTES - used);
}

/* Who gets everything that is free must see zeroes. */
static void check_free_space(struct rig *rig, struct pool *pool)
{
	static const struct oracle_sector untouched[19u * POOL_EXTENT_BYTES / ORACLE_SECTOR];
	struct oracle_disk model = {.sectors = (struct oracle_sector *)untouched};
	struct pool_disk *disk;
	struct pool_space space;

	pool_space(pool, &space);
	if (space.free_bytes == 0)
		return;
	require(pool_disk_create(pool, "late/comer", space.free_bytes, &disk, NULL) == 0);
	oracle_check_disk(&model, disk, rig->durable->bytes);
}

/* Disks that become a block longer than they were show nothing in the new block. */
static void check_growth(struct rig *rig, struct pool *pool, const struct oracle *model)
{
	struct pool_disk *disk = NULL;

	if (!oracle_lists_equal(model, pool))
		return;
	for (unsigned i = 0; i < model->count; i++) {
		disk = pool_disk_next(pool, disk);
		if (pool_disk_grow(pool, disk, pool_disk_size_bytes(disk) + POOL_BLOCK_BYTES, NULL) == 0)
			oracle_check_disk(&model->disks[i], disk, rig->durable->bytes);
	}
}

/* The durable disk as it is now, after a power failure. */
static void check_crashed(struct rig *rig)
{
	struct error error;
	struct pool *pool;
	int code = pool_open(&rig->durable->host, &pool, &error);

	rig->states++;
	if (code)
		fprintf(stderr, "pool_open: %d %s\n", code, error.text);
	require(code == 0);
	check_pool(rig, pool);
	if (test_below(&rig->seed, 4) == 0)
		check_growth(rig, pool, &rig->acknowledged);
	if (test_below(&rig->seed, 4) == 0)
		check_free_space(rig, pool);
	pool_close(pool);
}

/* ---- crashes ---- */

static void apply_part(struct rig *rig, const struct write *write, size_t from, size_t to)
{
	if (from < to)
		test_disk_put(rig->durable, write->offset + from, write->data ? write->data + from : NULL,
			      to - from);
}

static size_t cut_point(struct rig *rig, const struct write *write, uint32_t unit)
{
	return (size_t)test_below(&rig->seed, (uint32_t)(write->bytes / unit) + 1) * unit;
}

/* The first `whole` writes, and of the next one the bytes before `torn`. */
static void crash_cut(struct rig *rig, unsigned whole, size_t torn)
{
	test_disk_remember(rig->durable);
	for (unsigned i = 0; i < whole; i++)
		apply_part(rig, &rig->pending[i], 0, rig->pending[i].bytes);
	if (torn)
		apply_part(rig, &rig->pending[whole], 0, torn);
	check_crashed(rig);
	test_disk_undo(rig->durable);
}

static void crash_missing(struct rig *rig, unsigned missing)
{
	test_disk_remember(rig->durable);
	for (unsigned i = 0; i < rig->pending_count; i++)
		if (i != missing)
			apply_part(rig, &rig->pending[i], 0, rig->pending[i].bytes);
	check_crashed(rig);
	test_disk_undo(rig->durable);
}

/* Any subset of the epoch's writes in any order, each whole or any piece of it. */
static void crash_random(struct rig *rig)
{
	unsigned order[PENDING_MAX];
	bool no_punches = test_below(&rig->seed, 3) == 0, tear_all = test_below(&rig->seed, 3) == 0;

	test_disk_remember(rig->durable);
	for (unsigned i = 0; i < rig->pending_count; i++) {
		unsigned other = test_below(&rig->seed, i + 1);

		order[i] = order[other];
		order[other] = i;
	}
	for (unsigned i = 0; i < rig->pending_count; i++) {
		const struct write *write = &rig->pending[order[i]];
		uint32_t unit = test_below(&rig->seed, 2) ? 512 : 4096;
		uint32_t how = test_below(&rig->seed, 4);

		if (no_punches && !write->data)
			continue;
		if (tear_all && how & 1)
			apply_part(rig, write, 0, cut_point(rig, write, unit));
		else if (tear_all)
			apply_part(rig, write, cut_point(rig, write, unit), write->bytes);
		else if (how == 0)
			apply_part(rig, write, cut_point(rig, write, unit), cut_point(rig, write, unit));
		else if (how != 1)
			apply_part(rig, write, 0, write->bytes);
	}
	check_crashed(rig);
	test_disk_undo(rig->durable);
}

static void crash_everywhere(struct rig *rig)
{
	/* Many writes: data of guests. A sample of the cuts is enough there. */
	unsigned step = rig->pending_count / 6 + 1;

	for (unsigned i = 0; i < rig->pending_count; i += step) {
		crash_cut(rig, i, 0);
		crash_cut(rig, i, 512);
		crash_cut(rig, i, cut_point(rig, &rig->pending[i], 512));
		if (rig->pending[i].bytes > POOL_BLOCK_BYTES)
			crash_cut(rig, i, cut_point(rig, &rig->pending[i], 4096));
		crash_missing(rig, i);
	}
	crash_cut(rig, rig->pending_count, 0);
	for (unsigned i = 0; i < 4 && rig->pending_count > 0; i++)
		crash_random(rig);
}

/* ---- the recorder ---- */

static int record_write(struct host_disk *host, uint64_t offset, const void *data, size_t bytes)
{
	struct rig *rig = (void *)host;
	struct write *write = &rig->pending[rig->pending_count];
	size_t whole = bytes;

	require(rig->pending_count < PENDING_MAX);
	if (offset < METADATA_BYTES)
		bytes = test_disk_take_room(rig->visible, offset, whole);
	if (bytes == 0)
		return -ENOSPC;
	*write = (struct write){offset, bytes, NULL};
	if (data) {
		write->data = malloc(bytes);
		require(write->data);
		memcpy(write->data, data, bytes);
	}
	rig->pending_count++;
	test_disk_put(rig->visible, offset, data, bytes);
	return bytes < whole ? -ENOSPC : 0;
}

static int record_read(struct host_disk *host, uint64_t offset, void *buffer, size_t bytes)
{
	struct rig *rig = (void *)host;

	return rig->visible->host.ops->read_sync(&rig->visible->host, offset, buffer, bytes);
}

static int record_punch(struct host_disk *host, uint64_t offset, uint64_t bytes)
{
	return record_write(host, offset, NULL, bytes);
}

static void guest_work(struct rig *rig, struct oracle *model);

static int record_flush(struct host_disk *host)
{
	struct rig *rig = (void *)host;
	unsigned covered = rig->pending_count;

	crash_everywhere(rig);
	/* A worker goes on meanwhile: what it writes now, this flush does not cover. */
	if (rig->racing && test_below(&rig->seed, 2))
		guest_work(rig, &rig->acknowledged);
	for (unsigned i = 0; i < covered; i++) {
		apply_part(rig, &rig->pending[i], 0, rig->pending[i].bytes);
		free(rig->pending[i].data);
	}
	rig->pending_count -= covered;
	memmove(rig->pending, rig->pending + covered, rig->pending_count * sizeof(rig->pending[0]));
	return 0;
}

static const struct host_disk_ops recorder_ops = {
	.name = "recorder",
	.read_sync = record_read,
	.write_sync = record_write,
	.flush_sync = record_flush,
	.punch_sync = record_punch,
};

/* ---- guests ---- */

/*
 * Writes `count` sectors of one grain, as arbiter/disk/disk.c does: the first write to a grain covers all of
 * it.
 */
static void write_grain(struct rig *rig, struct oracle_disk *model, uint32_t first, uint32_t count)
{
	static uint8_t buffer[POOL_GRAIN_BYTES];
	uint32_t grain = first / GRAIN_SECTORS * GRAIN_SECTORS;
	uint64_t left = model->size_bytes - (uint64_t)grain * ORACLE_SECTOR;
	size_t whole = left < POOL_GRAIN_BYTES ? (size_t)left : POOL_GRAIN_BYTES;
	struct pool_span span;
	uint32_t begin;

	require(pool_lookup(model->disk, (uint64_t)first * ORACLE_SECTOR, count * ORACLE_SECTOR, &span));
	require(span.length_bytes == count * ORACLE_SECTOR);
	memset(buffer, 0, sizeof(buffer));
	rig->version++;
	for (uint32_t s = first; s < first + count; s++)
		oracle_write(model, s, rig->version, buffer + (s - grain) * ORACLE_SECTOR);
	begin = span.state == POOL_WRITTEN ? first : grain;
	record_write(&rig->host, span.offset_bytes - (uint64_t)(first - begin) * ORACLE_SECTOR,
		     buffer + (begin - grain) * ORACLE_SECTOR,
		     span.state == POOL_WRITTEN ? count * ORACLE_SECTOR : whole);
	if (span.state == POOL_BLANK)
		pool_mark(model->disk, (uint64_t)grain * ORACLE_SECTOR, POOL_GRAIN_BYTES, POOL_WRITTEN);
}

static void discard_grain(struct rig *rig, struct oracle_disk *model, uint32_t grain)
{
	uint32_t last = (uint32_t)(model->size_bytes / ORACLE_SECTOR), end = (grain + 1) * GRAIN_SECTORS;

	oracle_discard(model, grain * GRAIN_SECTORS, end < last ? end : last, ++rig->version);
	pool_mark(model->disk, (uint64_t)grain * POOL_GRAIN_BYTES, POOL_GRAIN_BYTES, POOL_BLANK);
}

static void guest_work(struct rig *rig, struct oracle *model)
{
	if (model->count == 0)
		return;
	for (unsigned i = 1 + test_below(&rig->seed, 5); i > 0; i--) {
		struct oracle_disk *disk = &model->disks[test_below(&rig->seed, model->count)];
		uint32_t sectors = (uint32_t)(disk->size_bytes / ORACLE_SECTOR), first, room;

		/* Often at the end, where a grain is not wholly the disk's. */
		first = test_below(&rig->seed, 3) ? test_below(&rig->seed, sectors) : sectors - 1;
		if (test_below(&rig->seed, 6) == 0) {
			discard_grain(rig, disk, first / GRAIN_SECTORS);
			continue;
		}
		room = GRAIN_SECTORS - first % GRAIN_SECTORS;
		if (room > sectors - first)
			room = sectors - first;
		write_grain(rig, disk, first, 1 + test_below(&rig->seed, room < 16 ? room : 16));
	}
}

static bool refused(struct rig *rig, int code)
{
	rig->refused += rig->tight && code == -ENOSPC;
	return rig->tight && code == -ENOSPC;
}

static void commit_work(struct rig *rig)
{
	int code;

	if (rig->acknowledged.count == 0)
		return;
	oracle_commit_begins(&rig->acknowledged);
	rig->racing = true;
	code = pool_commit_wait(rig->loop, rig->acknowledged.disks[0].disk);
	rig->racing = false;
	require(code == 0 || refused(rig, code));
	if (code == 0)
		oracle_commit_done(&rig->acknowledged);
}

/* ---- control ---- */

static void begin(struct rig *rig)
{
	rig->after = rig->acknowledged;
	rig->under_way = true;
}

/* The change was acknowledged, or refused. */
static void end(struct rig *rig, bool done)
{
	if (done)
		rig->acknowledged = rig->after;
	rig->under_way = false;
}

/* Half of the disks are small, so that much of them is written before they go. */
static uint64_t random_size(struct rig *rig)
{
	if (test_below(&rig->seed, 2))
		return (1 + (uint64_t)test_below(&rig->seed, 40)) * POOL_BLOCK_BYTES;
	return (1 + (uint64_t)test_below(&rig->seed, 5 * POOL_EXTENT_BYTES / POOL_BLOCK_BYTES)) *
	       POOL_BLOCK_BYTES;
}

static void work_create(struct rig *rig)
{
	struct oracle_disk *disk = &rig->after.disks[rig->acknowledged.count];
	int code;

	if (rig->acknowledged.count == ORACLE_DISKS_MAX)
		return;
	begin(rig);
	oracle_disk_init(disk, ++rig->serials, random_size(rig));
	rig->after.count++;
	code = pool_disk_create(rig->pool, disk->name, disk->size_bytes, &disk->disk, NULL);
	require(code == 0 || refused(rig, code) || code == -ENOSPC);
	if (code)
		oracle_disk_finish(disk);
	end(rig, code == 0);
}

static void work_grow(struct rig *rig, unsigned which)
{
	struct oracle_disk *disk = &rig->after.disks[which];
	uint64_t size;
	int code;

	begin(rig);
	size = align_up(disk->size_bytes + random_size(rig) / (test_below(&rig->seed, 2) ? 1 : 64),
			POOL_BLOCK_BYTES);
	if (size / ORACLE_SECTOR > ORACLE_SECTORS_MAX)
		size = ORACLE_SECTORS_MAX * ORACLE_SECTOR;
	disk->size_bytes = size;
	code = pool_disk_grow(rig->pool, disk->disk, size, NULL);
	require(code == 0 || refused(rig, code) || code == -ENOSPC);
	end(rig, code == 0);
}

static void work_rename(struct rig *rig, unsigned which)
{
	struct oracle_disk *disk = &rig->after.disks[which];
	int code;

	begin(rig);
	snprintf(disk->name, sizeof(disk->name), "guest%u/renamed%u", test_below(&rig->seed, 100),
		 ++rig->serials);
	code = pool_disk_rename(rig->pool, disk->disk, disk->name, NULL);
	require(code == 0 || refused(rig, code));
	end(rig, code == 0);
}

static void work_delete(struct rig *rig, unsigned which)
{
	struct oracle_disk gone = rig->acknowledged.disks[which];
	int code;

	begin(rig);
	rig->after.count--;
	memmove(&rig->after.disks[which], &rig->after.disks[which + 1],
		(rig->after.count - which) * sizeof(rig->after.disks[0]));
	code = pool_disk_delete(rig->pool, gone.disk, NULL);
	require(code == 0 || refused(rig, code));
	end(rig, code == 0);
	if (code == 0)
		oracle_disk_finish(&gone);
}

/* Takes space back from metadata at random, as if blocks were written to new places, and leaves little. */
static void change_room(struct rig *rig)
{
	if (!rig->tight || test_below(&rig->seed, 3) == 0)
		return;
	for (unsigned b = 0; b < METADATA_BYTES / POOL_BLOCK_BYTES; b++)
		if (test_below(&rig->seed, 2))
			rig->visible->allocated[b] = false;
	test_disk_limit(rig->visible, test_below(&rig->seed, test_below(&rig->seed, 2) ? 4 : 40));
}

/* Marks that are lost when a pool is closed without room were never acknowledged; the model keeps them. */
static void make_room(struct rig *rig)
{
	if (rig->tight)
		test_disk_limit(rig->visible, UINT64_MAX);
}

static void work_reopen(struct rig *rig)
{
	struct oracle *model = &rig->acknowledged;
	struct pool_disk *disk = NULL;

	make_room(rig);
	pool_close(rig->pool);
	require(pool_open(&rig->host, &rig->pool, NULL) == 0);
	require(oracle_lists_equal(model, rig->pool));
	for (unsigned i = 0; i < model->count; i++)
		model->disks[i].disk = disk = pool_disk_next(rig->pool, disk);
}

static void work(struct rig *rig)
{
	unsigned what = test_below(&rig->seed, 100), count = rig->acknowledged.count;

	change_room(rig);
	if (count == 0 || what < 12)
		work_create(rig);
	else if (what < 20)
		work_grow(rig, test_below(&rig->seed, count));
	else if (what < 24)
		work_rename(rig, test_below(&rig->seed, count));
	else if (what < 34)
		work_delete(rig, test_below(&rig->seed, count));
	else if (what < 70)
		guest_work(rig, &rig->acknowledged);
	else if (what < 97)
		commit_work(rig);
	else
		work_reopen(rig);
}

static void crash_test(const char *name, bool can_punch, bool tight)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct loop_options options = {.name = "test"};

	assert_non_null(rig);
	rig->seed = test_seed(name);
	rig->durable = test_disk_create(DISK_BYTES, 0);
	rig->visible = test_disk_create(DISK_BYTES, 0);
	rig->durable->host.geometry.can_punch = can_punch;
	rig->host.ops = &recorder_ops;
	assert_int_equal(pool_format(&rig->durable->host, false, NULL), 0);
	memcpy(rig->visible->bytes, rig->durable->bytes, DISK_BYTES);
	rig->host.geometry = rig->durable->host.geometry;
	assert_int_equal(loop_create(&options, &rig->loop), 0);
	assert_int_equal(pool_open(&rig->host, &rig->pool, NULL), 0);
	rig->tight = tight;
	if (tight)
		test_disk_limit(rig->visible, UINT64_MAX);
	for (unsigned i = 0; i < OPERATIONS; i++)
		work(rig);
	make_room(rig);
	pool_close(rig->pool);
	crash_cut(rig, 0, 0);
	printf("%s: %u crashes, %u refusals\n", name, rig->states, rig->refused);
	assert_true(!tight || rig->refused > 0);
	assert_true(rig->states > OPERATIONS);
	for (unsigned i = 0; i < rig->acknowledged.count; i++)
		oracle_disk_finish(&rig->acknowledged.disks[i]);
	loop_destroy(rig->loop);
	test_disk_destroy(rig->visible);
	test_disk_destroy(rig->durable);
	free(rig);
}

static void plain_disk(void **state)
{
	crash_test("plain", false, false);
}

static void punching_disk(void **state)
{
	crash_test("punching", true, false);
}

static void full_disk(void **state)
{
	crash_test("full", false, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_disk),
		cmocka_unit_test(punching_disk),
		cmocka_unit_test(full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
