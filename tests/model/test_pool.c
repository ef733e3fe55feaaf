/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pool against a naive map: random creations, growth, renames, deletions, marks, commits, growth of the
 * physical disk and reopenings; after each, the answers must be the model's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/pool/pool.h"
#include "core/checked.h"
#include "pool_help.h"
#include "test_disk.h"

#define FIRST_BYTES  (66u << 20)
#define LAST_BYTES   (200u << 20)
#define EXTENTS_MAX  200u
#define DISKS_MAX    24u
#define OPERATIONS   4000

struct model_disk {
	char name[POOL_NAME_MAX + 1];
	uint64_t size_bytes;
	bool written[EXTENTS_MAX * POOL_GRAINS];	/* by grain */
	struct pool_disk *disk;
};

struct model {
	struct model_disk disks[DISKS_MAX];	/* in order of creation */
	unsigned count;
	uint64_t extents;			/* of the pool */
	unsigned names;
	uint64_t seed;
	struct test_disk *host;
	struct pool *pool;
	struct loop *loop;
};

static uint64_t extents_of(uint64_t size_bytes)
{
	return align_up(size_bytes, POOL_EXTENT_BYTES) / POOL_EXTENT_BYTES;
}

static uint64_t free_extents(const struct model *model)
{
	uint64_t used = 0;

	for (unsigned i = 0; i < model->count; i++)
		used += extents_of(model->disks[i].size_bytes);
	return model->extents - used;
}

/* ---- comparing ---- */

/* One lookup: contiguous, of one state as the model says, and as long as it can be. */
static void check_lookup(const struct model_disk *disk, uint64_t offset, uint64_t length,
			 uint64_t *ret_length)
{
	struct pool_span span, next;
	uint64_t end;

	assert_true(pool_lookup(disk->disk, offset, length, &span));
	assert_in_range(span.length_bytes, 1, length);
	end = offset + span.length_bytes;
	for (uint64_t grain = offset / POOL_GRAIN_BYTES; grain <= (end - 1) / POOL_GRAIN_BYTES; grain++)
		assert_int_equal(span.state, disk->written[grain] ? POOL_WRITTEN : POOL_BLANK);
	if (end < offset + length) {
		assert_true(pool_lookup(disk->disk, end, 1, &next));
		assert_true(next.state != span.state ||
			    next.offset_bytes != span.offset_bytes + span.length_bytes);
	}
	*ret_length = span.length_bytes;
}

static void check_lookups(struct model *model)
{
	for (unsigned i = 0; i < model->count; i++) {
		const struct model_disk *disk = &model->disks[i];
		uint64_t offset = 0, length;
		struct pool_span span;

		assert_int_equal(pool_disk_size_bytes(disk->disk), disk->size_bytes);
		while (offset < disk->size_bytes) {
			check_lookup(disk, offset, disk->size_bytes - offset, &length);
			offset += length;
		}
		offset = test_random(&model->seed) % disk->size_bytes;
		check_lookup(disk, offset, 1 + test_random(&model->seed) % (disk->size_bytes - offset),
			     &length);
		assert_false(pool_lookup(disk->disk, offset, disk->size_bytes - offset + 1, &span));
		assert_false(pool_lookup(disk->disk, disk->size_bytes, 1, &span));
		assert_false(pool_lookup(disk->disk, UINT64_MAX - 4095, 8192, &span));
		assert_false(pool_lookup(disk->disk, offset, 0, &span));
	}
}

static const struct model_disk *model_find(const struct model *model, const struct pool_disk *disk)
{
	for (unsigned i = 0; i < model->count; i++)
		if (model->disks[i].disk == disk)
			return &model->disks[i];
	return NULL;
}

/* The runs cover the pool without gaps, each extent of each disk is in one, and lookups agree. */
static void check_runs(struct model *model)
{
	uint64_t offset = 0, total = 0, owned = 0;
	struct pool_space space;
	struct pool_run run;

	pool_space(model->pool, &space);
	while (pool_run_next(model->pool, offset, &run)) {
		const struct model_disk *disk = run.owner ? model_find(model, run.owner) : NULL;
		uint64_t written = 0;
		struct pool_span span;

		assert_true(offset == 0 || run.offset_bytes == offset);
		assert_true(is_aligned(run.length_bytes, POOL_EXTENT_BYTES) && run.length_bytes > 0);
		total += run.length_bytes;
		offset = run.offset_bytes + run.length_bytes;
		if (!run.owner)
			continue;
		assert_non_null(disk);
		owned += run.length_bytes;
		for (uint64_t done = 0; done < run.length_bytes; done += POOL_GRAIN_BYTES)
			written += disk->written[(run.disk_offset_bytes + done) / POOL_GRAIN_BYTES]
					   ? POOL_GRAIN_BYTES
					   : 0;
		assert_int_equal(run.written_bytes, written);
		assert_true(pool_lookup(run.owner, run.disk_offset_bytes, 1, &span));
		assert_int_equal(span.offset_bytes, run.offset_bytes);
	}
	assert_int_equal(total, model->extents * POOL_EXTENT_BYTES);
	assert_int_equal(owned, total - free_extents(model) * POOL_EXTENT_BYTES);
	assert_int_equal(space.free_bytes, free_extents(model) * POOL_EXTENT_BYTES);
	assert_int_equal(space.used_bytes, owned);
}

static void check_list(struct model *model)
{
	struct pool_disk *disk = NULL;

	for (unsigned i = 0; i < model->count; i++) {
		disk = pool_disk_next(model->pool, disk);
		assert_ptr_equal(disk, model->disks[i].disk);
		assert_string_equal(pool_disk_name(disk), model->disks[i].name);
		assert_ptr_equal(pool_disk_find(model->pool, model->disks[i].name), disk);
	}
	assert_null(model->count ? pool_disk_next(model->pool, disk) : pool_disk_next(model->pool, NULL));
}

/* ---- doing ---- */

static uint64_t random_bytes(struct model *model)
{
	uint64_t limit = test_below(&model->seed, 4) ? 6u << 20 : 60u << 20;

	return 1 + test_random(&model->seed) % limit;
}

static void do_create(struct model *model)
{
	struct model_disk *disk = &model->disks[model->count];
	uint64_t size = random_bytes(model);
	struct pool_disk *made = NULL;
	struct error error;
	int code;

	if (model->count == DISKS_MAX)
		return;
	memset(disk, 0, sizeof(*disk));
	snprintf(disk->name, sizeof(disk->name), "guest%u/disk%u", model->names % 7, model->names);
	model->names++;
	code = pool_disk_create(model->pool, disk->name, size, &made, &error);
	if (extents_of(size) > free_extents(model)) {
		assert_int_equal(code, -ENOSPC);
		assert_non_null(strstr(error.text, "free"));
		return;
	}
	assert_int_equal(code, 0);
	disk->size_bytes = align_up(size, 4096);
	disk->disk = made;
	if (model->host->host.geometry.can_punch)
		memset(disk->written, true, extents_of(size) * POOL_GRAINS);
	model->count++;
	assert_int_equal(pool_disk_create(model->pool, disk->name, 4096, &made, &error), -EEXIST);
}

static void do_grow(struct model *model, struct model_disk *disk)
{
	uint64_t size = disk->size_bytes + random_bytes(model);
	uint64_t before = extents_of(disk->size_bytes), after = extents_of(size);
	int code = pool_disk_grow(model->pool, disk->disk, size, NULL);

	if (after - before > free_extents(model)) {
		assert_int_equal(code, -ENOSPC);
		return;
	}
	assert_int_equal(code, 0);
	memset(disk->written + before * POOL_GRAINS, model->host->host.geometry.can_punch,
	       (after - before) * POOL_GRAINS);
	disk->size_bytes = align_up(size, 4096);
	assert_int_equal(pool_disk_grow(model->pool, disk->disk, disk->size_bytes - 4096, NULL), -EINVAL);
}

static void do_rename(struct model *model, struct model_disk *disk)
{
	const struct model_disk *other = &model->disks[test_below(&model->seed, model->count)];

	if (other != disk)
		assert_int_equal(pool_disk_rename(model->pool, disk->disk, other->name, NULL), -EEXIST);
	snprintf(disk->name, sizeof(disk->name), "new%u/name_%u", model->names % 5, model->names);
	model->names++;
	assert_int_equal(pool_disk_rename(model->pool, disk->disk, disk->name, NULL), 0);
}

static void do_delete(struct model *model, unsigned which)
{
	assert_int_equal(pool_disk_delete(model->pool, model->disks[which].disk, NULL), 0);
	model->count--;
	memmove(&model->disks[which], &model->disks[which + 1],
		(model->count - which) * sizeof(model->disks[0]));
}

static void do_mark(struct model *model, struct model_disk *disk)
{
	uint64_t grains = (disk->size_bytes + POOL_GRAIN_BYTES - 1) / POOL_GRAIN_BYTES;
	uint64_t first = test_random(&model->seed) % grains;
	uint64_t count = 1 + test_random(&model->seed) % (grains - first);
	bool written = test_below(&model->seed, 3) != 0;

	if (count > 40)
		count = 1 + count % 40;
	pool_mark(disk->disk, first * POOL_GRAIN_BYTES, count * POOL_GRAIN_BYTES,
		  written ? POOL_WRITTEN : POOL_BLANK);
	assert_true(pool_disk_dirty(disk->disk));
	memset(disk->written + first, written, count);
}

static void do_reopen(struct model *model)
{
	struct pool_disk *disk = NULL;

	pool_close(model->pool);
	if (test_below(&model->seed, 10) == 0 && model->host->grown_bytes < LAST_BYTES)
		model->host->grown_bytes += 7u << 20;
	assert_int_equal(pool_open(&model->host->host, &model->pool, NULL), 0);
	for (unsigned i = 0; i < model->count; i++)
		model->disks[i].disk = disk = pool_disk_next(model->pool, disk);
}

static void do_pool_grow(struct model *model)
{
	struct pool_space before, after;

	pool_space(model->pool, &before);
	if (test_below(&model->seed, 2) && model->host->grown_bytes < LAST_BYTES - (3u << 20))
		model->host->grown_bytes += test_below(&model->seed, 3u << 20) / 512 * 512;
	assert_int_equal(pool_grow(model->pool, NULL), 0);
	pool_space(model->pool, &after);
	model->extents = (model->host->grown_bytes - after.metadata_bytes) / POOL_EXTENT_BYTES;
	assert_true(after.free_bytes >= before.free_bytes);
}

static void do_something(struct model *model)
{
	unsigned what = test_below(&model->seed, 100);
	unsigned which = model->count ? test_below(&model->seed, model->count) : 0;
	struct model_disk *disk = &model->disks[which];

	if (model->count == 0 || what < 14) {
		do_create(model);
	} else if (what < 24) {
		do_grow(model, disk);
	} else if (what < 30) {
		do_rename(model, disk);
	} else if (what < 40) {
		do_delete(model, which);
	} else if (what < 80) {
		do_mark(model, disk);
	} else if (what < 94) {
		assert_int_equal(pool_commit_wait(model->loop, disk->disk), 0);
		for (unsigned i = 0; i < model->count; i++)
			assert_false(pool_disk_dirty(model->disks[i].disk));
	} else if (what < 97) {
		do_reopen(model);
	} else {
		do_pool_grow(model);
	}
}

static void run_model(const char *name, bool can_punch)
{
	struct model *model = calloc(1, sizeof(*model));
	struct loop_options options = {.name = "test"};
	struct pool_space space;

	assert_non_null(model);
	model->seed = test_seed(name);
	model->host = test_disk_create(FIRST_BYTES, LAST_BYTES + (8u << 20));
	model->host->grown_bytes = FIRST_BYTES;
	model->host->host.geometry.can_punch = can_punch;
	assert_int_equal(loop_create(&options, &model->loop), 0);
	assert_int_equal(pool_format(&model->host->host, false, NULL), 0);
	assert_int_equal(pool_open(&model->host->host, &model->pool, NULL), 0);
	pool_space(model->pool, &space);
	model->extents = (FIRST_BYTES - space.metadata_bytes) / POOL_EXTENT_BYTES;
	for (unsigned i = 0; i < OPERATIONS; i++) {
		do_something(model);
		check_list(model);
		check_runs(model);
		if (i % 4 == 0)
			check_lookups(model);
	}
	pool_close(model->pool);
	assert_int_equal(pool_check(&model->host->host, NULL, NULL), 0);
	loop_destroy(model->loop);
	test_disk_destroy(model->host);
	free(model);
}

static void plain_disk(void **state)
{
	run_model("plain", false);
}

static void punching_disk(void **state)
{
	run_model("punching", true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_disk),
		cmocka_unit_test(punching_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
