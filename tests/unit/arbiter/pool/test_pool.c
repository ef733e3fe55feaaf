/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pool's contract, case by case: what it refuses and how, what fails and what then still works. */
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

#define MIB 1048576ull

struct fixture {
	struct test_disk *host;
	struct pool *pool;
	struct loop *loop;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct loop_options options = {.name = "test"};

	fixture->host = test_disk_create(20 * MIB, 40 * MIB);
	if (loop_create(&options, &fixture->loop) || pool_format(&fixture->host->host, false, NULL) ||
	    pool_open(&fixture->host->host, &fixture->pool, NULL))
		return -1;
	*state = fixture;
	return 0;
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

/* ---- format and open ---- */

static void blank_disk(void **state)
{
	struct test_disk *host = test_disk_create(20 * MIB, 0);
	struct error error;
	struct pool *pool;

	assert_false(pool_probe(&host->host));
	assert_int_equal(pool_open(&host->host, &pool, &error), -ENOENT);
	assert_int_equal(pool_check(&host->host, NULL, NULL), 1);
	assert_int_equal(host->writes, 0);
	test_disk_destroy(host);
}

static void too_small(void **state)
{
	struct error error;
	struct pool *pool;

	for (uint64_t bytes = 0; bytes <= MIB; bytes += MIB / 8) {
		struct test_disk *host = test_disk_create(bytes, 2 * MIB);

		assert_int_equal(pool_format(&host->host, false, &error), -ENOSPC);
		assert_non_null(strstr(error.text, "small"));
		assert_int_equal(pool_open(&host->host, &pool, &error), -ENOENT);
		assert_int_equal(host->writes, 0);
		test_disk_destroy(host);
	}
}

/* The smallest pool: one extent, one disk. And a disk that ends in the middle of a block. */
static void smallest(void **state)
{
	struct test_disk *host = test_disk_create(2 * MIB + 512, 0);
	struct pool_disk *disk, *second;
	struct pool_space space;
	struct pool *pool;

	assert_int_equal(pool_format(&host->host, false, NULL), 0);
	assert_int_equal(pool_open(&host->host, &pool, NULL), 0);
	pool_space(pool, &space);
	assert_int_equal(space.total_bytes, 2 * MIB + 512);
	assert_int_equal(space.free_bytes, MIB);
	assert_int_equal(pool_disk_create(pool, "a/b", 1, &disk, NULL), 0);
	assert_int_equal(pool_disk_size_bytes(disk), 4096);
	assert_int_equal(pool_disk_create(pool, "a/c", 1, &second, NULL), -ENOSPC);
	pool_close(pool);
	test_disk_destroy(host);
}

static void refuses_pool(void **state)
{
	struct fixture *fixture = *state;
	struct error error;

	make(fixture, "alice/root", MIB);
	reopen(fixture);
	assert_true(pool_probe(&fixture->host->host));
	assert_int_equal(pool_format(&fixture->host->host, false, &error), -EEXIST);
	assert_non_null(strstr(error.text, "pool"));
	assert_non_null(pool_disk_find(fixture->pool, "alice/root"));
	pool_close(fixture->pool);
	/* One magic that is left is enough to be careful. */
	memset(fixture->host->bytes, 0, 4096);
	assert_true(pool_probe(&fixture->host->host));
	assert_int_equal(pool_format(&fixture->host->host, false, &error), -EEXIST);
	assert_int_equal(pool_format(&fixture->host->host, true, &error), 0);
	assert_int_equal(pool_open(&fixture->host->host, &fixture->pool, NULL), 0);
	assert_null(pool_disk_next(fixture->pool, NULL));
}

static void failing_disk(void **state)
{
	struct test_disk *host = test_disk_create(20 * MIB, 0);
	struct error error;
	struct pool *pool;

	host->write_error = -EIO;
	assert_int_equal(pool_format(&host->host, true, &error), -EIO);
	host->write_error = 0;
	host->flush_error = -EIO;
	assert_int_equal(pool_format(&host->host, true, &error), -EIO);
	host->flush_error = 0;
	host->read_error = -EIO;
	assert_int_equal(pool_format(&host->host, false, &error), -EIO);
	assert_int_equal(pool_open(&host->host, &pool, &error), -EIO);
	assert_int_equal(pool_check(&host->host, NULL, NULL), -EIO);
	assert_false(pool_probe(&host->host));
	host->read_error = 0;
	host->host.geometry.read_only = true;
	assert_int_equal(pool_format(&host->host, true, &error), -EROFS);
	test_disk_destroy(host);
}

static void shrunk_disk(void **state)
{
	struct fixture *fixture = *state;
	struct error error;
	struct pool *pool;
	unsigned writes;

	pool_close(fixture->pool);
	fixture->host->host.geometry.size_bytes = 19 * MIB;
	writes = fixture->host->writes;
	assert_int_equal(pool_open(&fixture->host->host, &pool, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "ends at byte"));
	assert_int_equal(fixture->host->writes, writes);
	fixture->host->host.geometry.size_bytes = 20 * MIB;
	assert_int_equal(pool_open(&fixture->host->host, &fixture->pool, &error), 0);
}

static void newer_version(void **state)
{
	struct fixture *fixture = *state;
	struct pool_superblock_wire *copy = (void *)fixture->host->bytes;
	struct error error;
	struct pool *pool;

	pool_close(fixture->pool);
	copy->version = POOL_VERSION + 1;
	pool_seal(copy, sizeof(*copy));
	assert_int_equal(pool_open(&fixture->host->host, &pool, &error), -EPROTONOSUPPORT);
	assert_int_equal(pool_check(&fixture->host->host, NULL, NULL), 1);
	copy->version = POOL_VERSION;
	pool_seal(copy, sizeof(*copy));
	assert_int_equal(pool_open(&fixture->host->host, &fixture->pool, &error), 0);
}

/* Somebody made a file system over the pool's beginning: repairing the superblock would destroy it. */
static void overwritten(void **state)
{
	struct fixture *fixture = *state;
	struct error error;
	struct pool *pool;

	pool_close(fixture->pool);
	memset(fixture->host->bytes, 0, 4096);
	memcpy(fixture->host->bytes, "QFI\xfb", 4);
	assert_int_equal(pool_open(&fixture->host->host, &pool, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "qcow2"));
	assert_memory_equal(fixture->host->bytes, "QFI\xfb", 4);
	memset(fixture->host->bytes, 0, 4096);
	assert_int_equal(pool_open(&fixture->host->host, &fixture->pool, &error), 0);
	assert_memory_equal(fixture->host->bytes, "VIADPOOL", 8);
}

/* A bad sector in one mirror, or in one superblock, is no reason to refuse. */
static void unreadable_parts(void **state)
{
	struct fixture *fixture = *state;
	struct pool_layout layout;
	uint32_t extents;

	assert_int_equal(pool_layout_choose(20 * MIB, &layout, &extents), 0);
	make(fixture, "alice/root", MIB);
	reopen(fixture);
	fixture->host->unreadable_bytes = 512;
	for (unsigned i = 0; i < 4; i++) {
		uint64_t places[] = {0, POOL_SUPERBLOCK_1, layout.area_offset[0] + layout.log_offset[0],
				     layout.area_offset[1] + layout.log_offset[1]};

		fixture->host->unreadable = places[i];
		reopen(fixture);
		assert_non_null(pool_disk_find(fixture->pool, "alice/root"));
	}
	fixture->host->unreadable_bytes = 0;
}

/* ---- virtual disks ---- */

static void names(void **state)
{
	struct fixture *fixture = *state;
	static const char *const bad[] = { "",	  "/",	  "a",	  "a/",	  "/b",	  "a/b/c", "a b/c",
					   "a/ö", "../b", "a/..", ".a/b", "-a/b", "a/-b",  "a/b\n" };
	char name[POOL_NAME_MAX + 2];
	struct pool_disk *disk = NULL;
	struct error error;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		error.text[0] = '\0';
		assert_int_equal(pool_disk_create(fixture->pool, bad[i], MIB, &disk, &error), -EINVAL);
		assert_true(strlen(error.text) > 20);
	}
	memset(name, 'x', sizeof(name));
	name[5] = '/';
	name[POOL_NAME_MAX + 1] = '\0';
	assert_int_equal(pool_disk_create(fixture->pool, name, MIB, &disk, &error), -EINVAL);
	assert_null(disk);
	name[POOL_NAME_MAX] = '\0';
	disk = make(fixture, name, MIB);
	assert_int_equal(pool_disk_rename(fixture->pool, disk, "no good", &error), -EINVAL);
	assert_int_equal(pool_disk_rename(fixture->pool, disk, name, &error), 0);
	assert_int_equal(pool_disk_rename(fixture->pool, disk, "A.b_c-9/Z.y_x-0", &error), 0);
	reopen(fixture);
	assert_non_null(pool_disk_find(fixture->pool, "A.b_c-9/Z.y_x-0"));
	assert_null(pool_disk_find(fixture->pool, name));
}

static void sizes(void **state)
{
	struct fixture *fixture = *state;
	struct error error;
	struct pool_disk *disk;

	assert_int_equal(pool_disk_create(fixture->pool, "a/b", 0, &disk, &error), -EINVAL);
	assert_int_equal(pool_disk_create(fixture->pool, "a/b", UINT64_MAX, &disk, &error), -ENOSPC);
	assert_int_equal(pool_disk_create(fixture->pool, "a/b", 20 * MIB, &disk, &error), -ENOSPC);
	assert_non_null(strstr(error.text, "wanted 20 MiB, free 19 MiB"));
	disk = make(fixture, "a/b", MIB + 1);
	assert_int_equal(pool_disk_size_bytes(disk), MIB + 4096);
	assert_int_equal(pool_disk_grow(fixture->pool, disk, UINT64_MAX, &error), -ENOSPC);
	assert_int_equal(pool_disk_grow(fixture->pool, disk, 0, &error), -EINVAL);
	assert_int_equal(pool_disk_grow(fixture->pool, disk, MIB, &error), -EINVAL);
	assert_non_null(strstr(error.text, "shrink"));
	assert_int_equal(pool_disk_grow(fixture->pool, disk, MIB + 1, &error), 0);
	assert_int_equal(pool_disk_grow(fixture->pool, disk, 20 * MIB, &error), -ENOSPC);
	assert_int_equal(pool_disk_grow(fixture->pool, disk, 19 * MIB, &error), 0);
	assert_int_equal(pool_disk_size_bytes(disk), 19 * MIB);
}

/*
 * Free runs of 2, 3 and 8: a disk goes where it fits best, growth stays behind its disk, the rest is split.
 */
static void placement(void **state)
{
	struct fixture *fixture = *state;
	struct pool_disk *a = make(fixture, "a/a", 2 * MIB), *b = make(fixture, "a/b", 2 * MIB);
	struct pool_disk *c = make(fixture, "a/c", 3 * MIB), *d = make(fixture, "a/d", 4 * MIB);
	struct pool_span span;
	struct pool_run run;
	uint64_t base;

	assert_int_equal(pool_disk_delete(fixture->pool, a, NULL), 0);
	assert_int_equal(pool_disk_delete(fixture->pool, c, NULL), 0);
	assert_true(pool_run_next(fixture->pool, 0, &run));
	base = run.offset_bytes;
	assert_null(run.owner);
	assert_int_equal(run.length_bytes, 2 * MIB);

	c = make(fixture, "a/c", 3 * MIB);
	assert_true(pool_lookup(c, 0, 3 * MIB, &span));
	assert_int_equal(span.offset_bytes, base + 4 * MIB);
	assert_int_equal(span.length_bytes, 3 * MIB);

	assert_int_equal(pool_disk_grow(fixture->pool, d, 6 * MIB, NULL), 0);
	assert_true(pool_lookup(d, 0, 6 * MIB, &span));
	assert_int_equal(span.length_bytes, 6 * MIB);

	a = make(fixture, "a/a", 8 * MIB);
	assert_true(pool_lookup(a, 0, 8 * MIB, &span));
	assert_int_equal(span.offset_bytes, base);
	assert_int_equal(span.length_bytes, 2 * MIB);
	assert_true(pool_lookup(a, 2 * MIB, 6 * MIB, &span));
	assert_int_equal(span.length_bytes, 6 * MIB);
	assert_int_equal(pool_disk_size_bytes(b), 2 * MIB);
}

/* ---- marks and commits ---- */

static void marks_survive(void **state)
{
	struct fixture *fixture = *state;
	struct pool_disk *disk = make(fixture, "a/b", 2 * MIB + 8192);
	struct pool_span span;

	assert_true(pool_lookup(disk, 0, 2 * MIB, &span));
	assert_int_equal(span.state, POOL_BLANK);
	assert_false(pool_disk_dirty(disk));
	pool_mark(disk, MIB - POOL_GRAIN_BYTES, 2 * POOL_GRAIN_BYTES, POOL_WRITTEN);
	pool_mark(disk, 2 * MIB, 8192, POOL_WRITTEN);	/* the last grain, cut by the disk's end */
	assert_true(pool_disk_dirty(disk));
	assert_int_equal(pool_commit_wait(fixture->loop, disk), 0);
	assert_false(pool_disk_dirty(disk));
	reopen(fixture);
	disk = pool_disk_find(fixture->pool, "a/b");
	assert_true(pool_lookup(disk, MIB - POOL_GRAIN_BYTES, MIB, &span));
	assert_int_equal(span.state, POOL_WRITTEN);
	assert_int_equal(span.length_bytes, 2 * POOL_GRAIN_BYTES);
	assert_true(pool_lookup(disk, 2 * MIB + 4096, 4096, &span));
	assert_int_equal(span.state, POOL_WRITTEN);
}

/* Two flushes with marks, one without. */
static void commit_costs(void **state)
{
	struct fixture *fixture = *state;
	struct pool_disk *disk = make(fixture, "a/b", MIB);
	unsigned flushes = fixture->host->flushes, writes = fixture->host->writes;

	assert_int_equal(pool_commit_wait(fixture->loop, disk), 0);
	assert_int_equal(fixture->host->flushes - flushes, 1);
	assert_int_equal(fixture->host->writes - writes, 0);
	pool_mark(disk, 0, MIB, POOL_WRITTEN);
	assert_int_equal(pool_commit_wait(fixture->loop, disk), 0);
	assert_int_equal(fixture->host->flushes - flushes, 3);
	assert_int_equal(fixture->host->writes - writes, 2);
}

static void flush_failure_is_final(void **state)
{
	struct fixture *fixture = *state;
	struct pool_disk *disk = make(fixture, "a/b", MIB), *other;
	struct error error;

	pool_mark(disk, 0, POOL_GRAIN_BYTES, POOL_WRITTEN);
	fixture->host->flush_error = -EIO;
	assert_int_equal(pool_commit_wait(fixture->loop, disk), -EIO);
	fixture->host->flush_error = 0;
	assert_true(pool_disk_dirty(disk));
	assert_int_equal(pool_commit_wait(fixture->loop, disk), -EIO);
	assert_int_equal(pool_disk_create(fixture->pool, "c/d", MIB, &other, &error), -EIO);
	assert_non_null(strstr(error.text, "failed"));
	assert_int_equal(pool_disk_grow(fixture->pool, disk, 2 * MIB, &error), -EIO);
	assert_int_equal(pool_disk_rename(fixture->pool, disk, "c/d", &error), -EIO);
	assert_int_equal(pool_disk_delete(fixture->pool, disk, &error), -EIO);
	assert_string_equal(pool_disk_name(disk), "a/b");
	assert_ptr_equal(pool_disk_next(fixture->pool, NULL), disk);
	assert_null(pool_disk_next(fixture->pool, disk));
	reopen(fixture);
	disk = pool_disk_find(fixture->pool, "a/b");
	assert_non_null(disk);
	assert_int_equal(pool_commit_wait(fixture->loop, disk), 0);
}

static void write_failure_is_final(void **state)
{
	struct fixture *fixture = *state;
	struct pool_disk *disk = make(fixture, "a/b", MIB), *other = NULL;

	fixture->host->write_error = -EIO;
	assert_int_equal(pool_disk_create(fixture->pool, "c/d", MIB, &other, NULL), -EIO);
	assert_null(other);
	assert_null(pool_disk_find(fixture->pool, "c/d"));
	fixture->host->write_error = 0;
	assert_int_equal(pool_commit_wait(fixture->loop, disk), -EIO);
	reopen(fixture);
	assert_non_null(pool_disk_find(fixture->pool, "a/b"));
	assert_null(pool_disk_find(fixture->pool, "c/d"));
}

static void read_only(void **state)
{
	struct fixture *fixture = *state;
	struct pool_disk *disk;
	struct error error;
	unsigned writes;

	make(fixture, "a/b", MIB);
	pool_close(fixture->pool);
	writes = fixture->host->writes;
	fixture->host->host.geometry.read_only = true;
	assert_int_equal(pool_open(&fixture->host->host, &fixture->pool, NULL), 0);
	disk = pool_disk_find(fixture->pool, "a/b");
	assert_int_equal(pool_disk_rename(fixture->pool, disk, "a/c", &error), -EROFS);
	assert_int_equal(pool_commit_wait(fixture->loop, disk), 0);
	pool_close(fixture->pool);
	assert_int_equal(fixture->host->writes, writes);
	fixture->host->host.geometry.read_only = false;
	assert_int_equal(pool_open(&fixture->host->host, &fixture->pool, NULL), 0);
}

/*
 * Where holes can be punched, space is zero from the start and needs no marks; where punching fails, it does.
 */
static void punched_space(void **state)
{
	struct fixture *fixture = *state;
	struct pool_disk *disk;
	struct pool_span span;

	memset(fixture->host->bytes + 2 * MIB, 0xee, 18 * MIB);
	fixture->host->host.geometry.can_punch = true;
	disk = make(fixture, "a/b", 3 * MIB);
	assert_true(pool_lookup(disk, 0, 3 * MIB, &span));
	assert_int_equal(span.state, POOL_WRITTEN);
	for (uint64_t i = 0; i < 3 * MIB; i++)
		assert_int_equal(fixture->host->bytes[span.offset_bytes + i], 0);
	fixture->host->punch_error = -EOPNOTSUPP;
	assert_int_equal(pool_disk_grow(fixture->pool, disk, 4 * MIB, NULL), 0);
	assert_true(pool_lookup(disk, 3 * MIB, MIB, &span));
	assert_int_equal(span.state, POOL_BLANK);
	assert_int_equal(pool_disk_delete(fixture->pool, disk, NULL), 0);
	disk = make(fixture, "a/b", 19 * MIB);
	assert_true(pool_lookup(disk, 0, 19 * MIB, &span));
	assert_int_equal(span.state, POOL_BLANK);
	assert_int_equal(span.length_bytes, 19 * MIB);
}

static void physical_growth(void **state)
{
	struct fixture *fixture = *state;
	struct pool_space space;
	struct error error;

	assert_int_equal(pool_grow(fixture->pool, &error), 0);
	pool_space(fixture->pool, &space);
	assert_int_equal(space.free_bytes, 19 * MIB);
	fixture->host->grown_bytes = 40 * MIB - 512;
	assert_int_equal(pool_grow(fixture->pool, &error), 0);
	pool_space(fixture->pool, &space);
	assert_int_equal(space.free_bytes, 38 * MIB);
	make(fixture, "a/b", 38 * MIB);
	reopen(fixture);
	pool_space(fixture->pool, &space);
	assert_int_equal(space.free_bytes, 0);
}

int main(void)
{
#define POOL_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blank_disk), cmocka_unit_test(too_small),  cmocka_unit_test(smallest),
		cmocka_unit_test(failing_disk), POOL_TEST(refuses_pool),    POOL_TEST(shrunk_disk),
		POOL_TEST(newer_version),     POOL_TEST(overwritten),	    POOL_TEST(unreadable_parts),
		POOL_TEST(names),	      POOL_TEST(sizes),		    POOL_TEST(placement),
		POOL_TEST(marks_survive),     POOL_TEST(commit_costs),	    POOL_TEST(flush_failure_is_final),
		POOL_TEST(write_failure_is_final), POOL_TEST(read_only),    POOL_TEST(punched_space),
		POOL_TEST(physical_growth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
