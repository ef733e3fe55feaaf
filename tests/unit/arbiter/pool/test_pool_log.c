/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Logs that know more than their superblock: a pool that opened with them would forget, or remember what
 * never was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "arbiter/pool/pool.h"
#include "arbiter/pool/pool_record.h"
#include "pool_help.h"
#include "test_disk.h"

#define MIB 1048576ull

static void make(struct pool *pool, const char *name)
{
	struct pool_disk *disk;

	assert_int_equal(pool_disk_create(pool, name, 4096, &disk, NULL), 0);
}

static struct pool *reopen(struct test_disk *host, struct pool *pool)
{
	pool_close(pool);
	assert_int_equal(pool_open(&host->host, &pool, NULL), 0);
	return pool;
}

/* Closes a pool, but leaves its disk as a crash would: without the last checkpoint. */
static void crash(struct test_disk *host, struct pool *pool)
{
	test_disk_remember(host);
	pool_close(pool);
	test_disk_undo(host);
}

/* The superblock of an earlier day, put back, leads to the disks of that day. */
static void old_superblock(void **state)
{
	struct test_disk *host = test_disk_create(20 * MIB, 0);
	uint8_t old[POOL_AREAS_OFFSET], newest[POOL_AREAS_OFFSET];
	struct error error;
	struct pool *pool = NULL;

	assert_int_equal(pool_format(&host->host, false, NULL), 0);
	for (unsigned checkpoints = 1; checkpoints <= 3; checkpoints++) {
		char name[16];

		pool = reopen(host, pool);
		memcpy(old, host->bytes, sizeof(old));
		for (unsigned i = 0; i <= checkpoints; i++) {
			snprintf(name, sizeof(name), "alice/%u%u", checkpoints, i);
			if (i > 0)
				pool = reopen(host, pool);
			make(pool, name);
		}
		crash(host, pool);
		memcpy(newest, host->bytes, sizeof(newest));
		test_disk_put(host, 0, old, sizeof(old));
		assert_int_equal(pool_open(&host->host, &pool, &error), -EBADMSG);
		assert_true(pool_check(&host->host, NULL, NULL) > 0);
		test_disk_put(host, 0, newest, sizeof(newest));
		assert_int_equal(pool_open(&host->host, &pool, &error), 0);
		assert_non_null(pool_disk_find(pool, name));
	}
	pool_close(pool);
	test_disk_destroy(host);
}

/* A record of a checkpoint that will be made, in one mirror of the log: it would be damage when that day
 * comes. */
static void record_of_tomorrow(void **state)
{
	struct test_disk *host = test_disk_create(20 * MIB, 0);
	struct pool_record_header_wire header;
	struct error error;
	struct pool_layout layout;
	struct pool *pool;
	uint32_t extents, area;

	assert_int_equal(pool_layout_choose(20 * MIB, &layout, &extents), 0);
	assert_int_equal(pool_format(&host->host, false, NULL), 0);
	assert_int_equal(pool_open(&host->host, &pool, NULL), 0);
	make(pool, "alice/root");
	area = ((const struct pool_superblock_wire *)(const void *)host->bytes)->active_area;
	crash(host, pool);
	for (unsigned mirror = 0; mirror < POOL_MIRRORS; mirror++) {
		uint8_t block[POOL_BLOCK_BYTES],
		    *record = host->bytes + layout.area_offset[area] + layout.log_offset[mirror];

		memcpy(block, record, sizeof(block));
		memcpy(&header, record, sizeof(header));
		header.generation += 2;
		memcpy(record, &header, sizeof(header));
		pool_seal(record, POOL_BLOCK_BYTES);
		assert_int_equal(pool_open(&host->host, &pool, &error), -EBADMSG);
		assert_non_null(strstr(error.text, "generation"));
		memcpy(record, block, sizeof(block));
	}
	assert_int_equal(pool_open(&host->host, &pool, &error), 0);
	pool_close(pool);
	test_disk_destroy(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(old_superblock),
					   cmocka_unit_test(record_of_tomorrow)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
