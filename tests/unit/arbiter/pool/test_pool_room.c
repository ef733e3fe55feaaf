/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pools on a file system that is full for a while: what has space from the start, what is refused, what is
 * kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/pool/pool.h"
#include "arbiter/pool/pool_format.h"
#include "pool_help.h"
#include "test_disk.h"

#define MIB   1048576ull
#define ROOMY (1ull << 40)

struct fixture {
	struct test_disk *host;
	struct pool *pool;
	struct loop *loop;
	struct pool_layout layout;
};

static int begin(void **state, uint64_t size_bytes, bool reserved)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct loop_options options = { .name = "test" };
	uint32_t extents;

	fixture->host = test_disk_create(size_bytes, 2000 * MIB);
	if (reserved)
		test_disk_limit(fixture->host, ROOMY);
	if (pool_layout_choose(size_bytes, &fixture->layout, &extents) ||
	    loop_create(&options, &fixture->loop) || pool_format(&fixture->host->host, false, NULL) ||
	    pool_open(&fixture->host->host, &fixture->pool, NULL))
		return -1;
	if (!reserved)
		test_disk_limit(fixture->host, 0);
	*state = fixture;
	return 0;
}

/* Large enough for metadata beyond what formatting blanks. */
static int setup_reserved(void **state)
{
	return begin(state, 600 * MIB, true);
}

/* A pool whose metadata has no more space than was written. */
static int setup_sparse(void **state)
{
	return begin(state, 20 * MIB, false);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	pool_close(fixture->pool);
	loop_destroy(fixture->loop);
	test_disk_destroy(fixture->host);
	free(fixture);
	return 0;
}

static void reopen(struct fixture *fixture)
{
	pool_close(fixture->pool);
	assert_int_equal(pool_open(&fixture->host->host, &fixture->pool, NULL), 0);
}

static struct pool_disk *make(struct fixture *fixture, const char *name, uint64_t bytes)
{
	struct pool_disk *disk;

	assert_int_equal(pool_disk_create(fixture->pool, name, bytes, &disk, NULL), 0);
	return disk;
}

/* What an opening would find after a crash at this moment, when all that was written is there. */
static uint32_t digest_after_crash(struct fixture *fixture)
{
	struct test_disk *host = fixture->host;
	uint8_t *allocated = host->allocated;
	struct pool *pool;
	uint32_t digest;

	host->allocated = NULL;
	test_disk_remember(host);
	assert_int_equal(pool_open(&host->host, &pool, NULL), 0);
	digest = pool_digest(pool);
	pool_close(pool);
	test_disk_undo(host);
	host->allocated = allocated;
	return digest;
}

/* ---- space from the start ---- */

static void never_needs_room(void **state)
{
	struct fixture *fixture = *state;
	struct pool_disk *disk, *other;

	test_disk_limit(fixture->host, 0);
	for (unsigned round = 0; round < 100; round++) {
		disk = make(fixture, "a/b", 2 * MIB + 4096);
		other = make(fixture, "a/c", 16 * MIB);
		pool_mark(other, 0, 16 * MIB, POOL_WRITTEN);
		assert_int_equal(pool_commit_wait(fixture->loop, other), 0);
		assert_int_equal(pool_disk_rename(fixture->pool, disk, "a/d", NULL), 0);
		assert_int_equal(pool_disk_delete(fixture->pool, disk, NULL), 0);
		if (round % 7 == 0)
			reopen(fixture);
		assert_int_equal(pool_disk_delete(fixture->pool, pool_disk_find(fixture->pool, "a/c"), NULL),
				 0);
	}
}

static void larger_pool_has_room_too(void **state)
{
	struct fixture *fixture = *state;
	struct pool_space before, after;
	struct pool_disk *disk;
	struct error error;

	pool_space(fixture->pool, &before);
	fixture->host->grown_bytes = 2000 * MIB;
	test_disk_limit(fixture->host, 1);
	assert_int_equal(pool_grow(fixture->pool, &error), -ENOSPC);
	assert_non_null(strstr(error.text, "has no room for the pool's metadata"));
	pool_space(fixture->pool, &after);
	assert_int_equal(after.free_bytes, before.free_bytes);
	test_disk_limit(fixture->host, 1000);
	assert_int_equal(pool_grow(fixture->pool, &error), 0);
	test_disk_limit(fixture->host, 0);
	pool_space(fixture->pool, &after);
	assert_int_equal(after.free_bytes, before.free_bytes + 1400 * MIB);
	disk = make(fixture, "a/b", after.free_bytes);
	for (unsigned round = 0; round < 300; round++)
		assert_int_equal(pool_disk_rename(fixture->pool, disk, round % 2 ? "a/b" : "a/c", NULL), 0);
}

static void log_ends_where_its_space_ends(void **state)
{
	struct pool_layout layout;

	pool_layout_compute(80, &layout);
	assert_true(pool_layout_log_limit(&layout, 19) <= layout.log_blocks);
	pool_layout_compute(POOL_EXTENTS_MAX, &layout);
	assert_true(pool_layout_log_limit(&layout, POOL_EXTENTS_MAX / 4) < layout.log_blocks / 2);
	assert_int_equal(pool_layout_log_limit(&layout, POOL_EXTENTS_MAX), layout.log_blocks);
}

static void format_without_room(void **state)
{
	static const int errors[] = { -ENOSPC, -EDQUOT };

	for (unsigned i = 0; i < 2; i++) {
		struct test_disk *host = test_disk_create(20 * MIB, 0);
		struct error error;
		struct pool *pool;

		test_disk_limit(host, 60);
		host->room_error = errors[i];
		assert_int_equal(pool_format(&host->host, false, &error), -ENOSPC);
		assert_non_null(strstr(error.text, "make room there and try again"));
		assert_non_null(strstr(error.text, strerror(-errors[i])));
		assert_int_equal(pool_open(&host->host, &pool, &error), -ENOENT);
		test_disk_limit(host, ROOMY);
		assert_int_equal(pool_format(&host->host, false, &error), 0);
		test_disk_destroy(host);
	}
}

/* Opening asks for the space of pools that were made without, and a change asks again when there was none. */
static void space_is_made_up_for(void **state)
{
	struct fixture *fixture = *state;
	unsigned reserves;

	reopen(fixture);
	assert_true(fixture->host->reserves > 0);
	test_disk_limit(fixture->host, ROOMY);
	make(fixture, "a/b", MIB);
	test_disk_limit(fixture->host, 0);
	reserves = fixture->host->reserves;
	for (unsigned round = 0; round < 100; round++)
		assert_int_equal(pool_disk_rename(fixture->pool, pool_disk_next(fixture->pool, NULL),
						  round % 2 ? "a/b" : "a/c", NULL),
				 0);
	assert_int_equal(fixture->host->reserves, reserves);
	reopen(fixture);
	assert_true(fixture->host->reserves > reserves);
}

static void read_only_reserves_nothing(void **state)
{
	struct fixture *fixture = *state;
	unsigned reserves;

	pool_close(fixture->pool);
	reserves = fixture->host->reserves;
	fixture->host->host.geometry.read_only = true;
	assert_int_equal(pool_open(&fixture->host->host, &fixture->pool, NULL), 0);
	assert_int_equal(fixture->host->reserves, reserves);
}

/* ---- no space, and then some ---- */

static void full_and_not_full(void **state)
{
	struct fixture *fixture = *state;
	struct pool_disk *disk, *other = NULL;
	struct error error;
	uint32_t digest;

	test_disk_limit(fixture->host, 8);
	disk = make(fixture, "a/b", 2 * MIB);
	pool_mark(disk, 0, MIB, POOL_WRITTEN);
	assert_int_equal(pool_commit_wait(fixture->loop, disk), 0);
	test_disk_limit(fixture->host, 0);
	digest = pool_digest(fixture->pool);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pool_disk_create(fixture->pool, "a/c", MIB, &other, &error), -ENOSPC);
		assert_non_null(strstr(error.text, "make room there and try again"));
		assert_int_equal(pool_disk_grow(fixture->pool, disk, 3 * MIB, &error), -ENOSPC);
		assert_int_equal(pool_disk_rename(fixture->pool, disk, "a/d", &error), -ENOSPC);
		assert_int_equal(pool_disk_delete(fixture->pool, disk, &error), -ENOSPC);
		assert_int_equal(pool_digest(fixture->pool), digest);
		assert_int_equal(digest_after_crash(fixture), digest);
		/* A flush that brings no marks needs no room. */
		assert_int_equal(pool_commit_wait(fixture->loop, disk), 0);
	}
	assert_null(other);
	fixture->host->room_error = -EDQUOT;
	pool_mark(disk, MIB, MIB, POOL_WRITTEN);
	assert_int_equal(pool_commit_wait(fixture->loop, disk), -EDQUOT);
	assert_int_equal(pool_disk_create(fixture->pool, "a/c", MIB, &other, &error), -ENOSPC);
	assert_non_null(strstr(error.text, strerror(EDQUOT)));
	assert_true(pool_disk_dirty(disk));
	assert_int_equal(digest_after_crash(fixture), digest);

	test_disk_limit(fixture->host, ROOMY);
	assert_int_equal(pool_commit_wait(fixture->loop, disk), 0);
	assert_false(pool_disk_dirty(disk));
	other = make(fixture, "a/c", MIB);
	assert_int_equal(pool_disk_grow(fixture->pool, disk, 3 * MIB, NULL), 0);
	digest = pool_digest(fixture->pool);
	reopen(fixture);
	assert_int_equal(pool_digest(fixture->pool), digest);
}

/* The head of a refused record is in one mirror, whole, and must not count. */
static void refused_record_is_not_replayed(void **state)
{
	struct fixture *fixture = *state;
	uint64_t mirror = fixture->layout.area_offset[0] + fixture->layout.log_offset[0];
	struct pool_disk *disk = NULL;
	uint32_t digest = pool_digest(fixture->pool);

	/* The first checkpoint of a new pool is in area 0. One block: mirror 0 takes it. */
	test_disk_limit(fixture->host, 1);
	assert_int_equal(pool_disk_create(fixture->pool, "a/b", MIB, &disk, NULL), -ENOSPC);
	assert_true(fixture->host->allocated[mirror / POOL_BLOCK_BYTES]);
	assert_int_equal(digest_after_crash(fixture), digest);
	test_disk_limit(fixture->host, ROOMY);
	make(fixture, "a/other", 2 * MIB);
	digest = pool_digest(fixture->pool);
	assert_int_equal(digest_after_crash(fixture), digest);
	reopen(fixture);
	assert_int_equal(pool_digest(fixture->pool), digest);
}

/* As on a file system that writes every block to a new place: neither superblock nor log can be changed. */
static void superblock_without_room(void **state)
{
	static const uint64_t copies[] = { 0, POOL_SUPERBLOCK_1 };

	for (unsigned i = 0; i < 2; i++) {
		struct fixture *fixture = *state;
		struct pool_disk *disk = make(fixture, "a/b", MIB);
		uint8_t *copy = &fixture->host->allocated[copies[i] / POOL_BLOCK_BYTES];
		unsigned changes = 0;
		uint32_t digest;
		int code = 0;

		*copy = false;
		test_disk_limit(fixture->host, 0);
		while (code == 0) {
			digest = pool_digest(fixture->pool);
			code = pool_disk_rename(fixture->pool, disk, changes++ % 2 ? "a/b" : "a/c", NULL);
			assert_true(changes < 1000);
		}
		assert_int_equal(code, -ENOSPC);
		assert_int_equal(pool_disk_grow(fixture->pool, disk, 2 * MIB, NULL), -ENOSPC);
		assert_int_equal(pool_digest(fixture->pool), digest);
		assert_int_equal(digest_after_crash(fixture), digest);
		test_disk_limit(fixture->host, 1);
		assert_int_equal(pool_disk_grow(fixture->pool, disk, 2 * MIB, NULL), 0);
		digest = pool_digest(fixture->pool);
		assert_int_equal(digest_after_crash(fixture), digest);
		reopen(fixture);
		assert_int_equal(pool_digest(fixture->pool), digest);
		assert_int_equal(pool_disk_delete(fixture->pool, pool_disk_next(fixture->pool, NULL), NULL),
				 0);
	}
}

/* An fsync that finds no room has lost what was written before it: nothing may go on as if it had not. */
static void flush_without_room_is_final(void **state)
{
	struct fixture *fixture = *state;
	struct pool_disk *disk = make(fixture, "a/b", MIB), *other;

	fixture->host->flush_error = -ENOSPC;
	pool_mark(disk, 0, MIB, POOL_WRITTEN);
	assert_int_equal(pool_commit_wait(fixture->loop, disk), -EIO);
	fixture->host->flush_error = 0;
	assert_int_equal(pool_commit_wait(fixture->loop, disk), -EIO);
	assert_int_equal(pool_disk_create(fixture->pool, "a/c", MIB, &other, NULL), -EIO);
}

/* After a crash without room, the log is served as it is; what is damaged waits for room. */
static void opened_without_room(void **state)
{
	struct fixture *fixture = *state;
	struct pool_disk *disk;
	uint8_t garbage[POOL_BLOCK_BYTES];
	struct error error;
	struct pool *pool;
	uint32_t digest;

	test_disk_limit(fixture->host, 4);
	disk = make(fixture, "a/b", MIB);
	digest = pool_digest(fixture->pool);
	test_disk_limit(fixture->host, 0);
	test_disk_remember(fixture->host);
	assert_int_equal(pool_open(&fixture->host->host, &pool, &error), 0);
	assert_int_equal(pool_digest(pool), digest);
	disk = pool_disk_find(pool, "a/b");
	assert_int_equal(pool_disk_grow(pool, disk, 3 * MIB, &error), -ENOSPC);
	pool_close(pool);
	memset(garbage, 0xee, sizeof(garbage));
	test_disk_put(fixture->host, POOL_SUPERBLOCK_1, garbage, sizeof(garbage));
	assert_int_equal(pool_open(&fixture->host->host, &pool, &error), -ENOSPC);
	assert_non_null(strstr(error.text, "make room there and try again"));
	test_disk_undo(fixture->host);
	test_disk_limit(fixture->host, ROOMY);
}

/* ---- any amount of room ---- */

static int step(struct fixture *fixture, unsigned number)
{
	struct pool_disk *disk = pool_disk_next(fixture->pool, NULL);

	switch (number % 6) {
	case 0:
		return pool_disk_create(fixture->pool, "a/b", 2 * MIB + 4096, &disk, NULL);
	case 1:
	case 4:
		pool_mark(disk, 0, 2 * MIB, number % 6 == 1 ? POOL_WRITTEN : POOL_BLANK);
		return pool_commit_wait(fixture->loop, disk);
	case 2:
		return pool_disk_grow(fixture->pool, disk, 18 * MIB, NULL);
	case 3:
		return pool_disk_rename(fixture->pool, disk, "a/c", NULL);
	default:
		return pool_disk_delete(fixture->pool, disk, NULL);
	}
}

/* The room ends at every possible write, and comes back block by block. */
static void every_amount_of_room(void **state)
{
	struct fixture *fixture = *state;
	unsigned refused = 0;

	for (unsigned room = 0; room < 30; room++) {
		for (unsigned number = 0; number < 60; number++) {
			uint32_t digest = pool_digest(fixture->pool);
			int code;

			while ((code = step(fixture, number)) == -ENOSPC) {
				assert_int_equal(digest_after_crash(fixture), digest);
				test_disk_limit(fixture->host, 1 + room % 3);
				refused++;
			}
			assert_int_equal(code, 0);
			assert_int_equal(digest_after_crash(fixture), pool_digest(fixture->pool));
		}
		/* All of it has space now. Take it away, but for the superblocks and the log in use. */
		reopen(fixture);
		memset(fixture->host->allocated + POOL_AREAS_OFFSET / POOL_BLOCK_BYTES, 0,
		       fixture->host->room / 4096 - POOL_AREAS_OFFSET / POOL_BLOCK_BYTES);
		test_disk_limit(fixture->host, room);
	}
	assert_true(refused > 500);
}

#define RESERVED_TEST(f) cmocka_unit_test_setup_teardown(f, setup_reserved, teardown)
#define SPARSE_TEST(f)	 cmocka_unit_test_setup_teardown(f, setup_sparse, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RESERVED_TEST(never_needs_room),
		RESERVED_TEST(larger_pool_has_room_too),
		cmocka_unit_test(log_ends_where_its_space_ends),
		cmocka_unit_test(format_without_room),
		SPARSE_TEST(space_is_made_up_for),
		SPARSE_TEST(read_only_reserves_nothing),
		SPARSE_TEST(full_and_not_full),
		SPARSE_TEST(refused_record_is_not_replayed),
		RESERVED_TEST(superblock_without_room),
		RESERVED_TEST(flush_without_room_is_final),
		SPARSE_TEST(opened_without_room),
		SPARSE_TEST(every_amount_of_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
