/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Only a blank disk becomes a pool without force; of any other, the refusal says what would be lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "arbiter/pool/pool.h"
#include "arbiter/pool/pool_contents.h"
#include "arbiter/pool/pool_format.h"
#include "test_disk.h"

#define DISK_BYTES (32u << 20)
#define UNKNOWN	   "data that is no known format"

/* Refused, and nothing was written; formatted with force. */
static void expect_refused(struct test_disk *disk, const char *contents)
{
	struct error error = { .text = "" };
	char name[POOL_CONTENTS_MAX] = "", message[ERROR_TEXT_MAX];
	unsigned writes = disk->writes;

	assert_int_equal(pool_contents_find(&disk->host, name), 1);
	assert_string_equal(name, contents);
	assert_int_equal(pool_format(&disk->host, false, &error), -EEXIST);
	snprintf(message, sizeof(message), "the disk is in use: it holds %s", contents);
	assert_string_equal(error.text, message);
	assert_int_equal(disk->writes, writes);
	assert_int_equal(pool_format(&disk->host, true, &error), 0);
}

static void expect_blank(struct test_disk *disk)
{
	char name[POOL_CONTENTS_MAX] = "untouched";

	assert_int_equal(pool_contents_find(&disk->host, name), 0);
	assert_string_equal(name, "untouched");
	assert_int_equal(pool_format(&disk->host, false, NULL), 0);
}

static void zeroes(void **state)
{
	struct test_disk *disk = test_disk_create(DISK_BYTES, 0);

	expect_blank(disk);
	test_disk_destroy(disk);
}

/* An encrypted disk, a database. */
static void random_bytes(void **state)
{
	struct test_disk *disk = test_disk_create(DISK_BYTES, 0);
	uint64_t seed = 1;

	for (size_t i = 0; i < DISK_BYTES; i++)
		disk->bytes[i] = (uint8_t)test_random(&seed);
	expect_refused(disk, UNKNOWN);
	test_disk_destroy(disk);
}

static void one_byte(void **state)
{
	static const uint64_t seen[] = { 0,
					 511,
					 4096 + 31,
					 (1 << 20) + 7,
					 (4 << 20) - 1,
					 DISK_BYTES - (1 << 20),
					 DISK_BYTES - 4096,
					 DISK_BYTES - 1 };
	static const uint64_t unseen[] = { 4 << 20, DISK_BYTES / 2, DISK_BYTES - (1 << 20) - 1 };

	for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++) {
		struct test_disk *disk = test_disk_create(DISK_BYTES, 0);

		disk->bytes[seen[i]] = 1;
		expect_refused(disk, UNKNOWN);
		test_disk_destroy(disk);
	}
	for (size_t i = 0; i < sizeof(unseen) / sizeof(unseen[0]); i++) {
		struct test_disk *disk = test_disk_create(DISK_BYTES, 0);

		disk->bytes[unseen[i]] = 1;
		expect_blank(disk);
		test_disk_destroy(disk);
	}
}

/* The first 4 MiB and the last 1 MiB overlap, and the size is no multiple of a block. */
static void small_disk(void **state)
{
	struct test_disk *disk = test_disk_create((4 << 20) + (512 << 10) + 512, 0);

	expect_blank(disk);
	test_disk_destroy(disk);
	disk = test_disk_create((4 << 20) + (512 << 10) + 512, 0);
	disk->bytes[(4 << 20) + (511 << 10)] = 1;
	expect_refused(disk, UNKNOWN);
	test_disk_destroy(disk);
}

static void names(void **state)
{
	struct test_disk *disk = test_disk_create(DISK_BYTES, 0);
	char name[POOL_CONTENTS_MAX];

	memcpy(disk->bytes, "QFI\xfb\x00\x00\x00\x03", 8);
	expect_refused(disk, "a qcow2 disk image");
	/* That made it a pool. */
	assert_int_equal(pool_contents_find(&disk->host, name), 1);
	assert_string_equal(name, "a pool");
	test_disk_destroy(disk);
}

static void put_block(struct test_disk *disk, uint64_t offset, uint32_t extent_owner, uint64_t generation)
{
	const struct pool_superblock superblock = {.generation = generation, .uuid = "0123456789abcde"};
	struct pool_block_wire block;

	memset(&block, 0, sizeof(block));
	memcpy(block.payload, &extent_owner, sizeof(extent_owner));
	pool_block_build(&block, &superblock, POOL_BLOCK_TABLE, 0, 1);
	memcpy(disk->bytes + offset, &block, sizeof(block));
}

static uint64_t table_offset(void)
{
	struct pool_layout layout;
	uint32_t extent_count;

	assert_int_equal(pool_layout_choose(DISK_BYTES, &layout, &extent_count), 0);
	return layout.area_offset[0] + layout.table_offset;
}

/* A crash between the first write of a new pool and its superblock, whatever it left, needs no force. */
static void cut_format(void **state)
{
	static const struct { size_t from, bytes; } torn[] = {
		{ 0, 0 },
		{ 0, 512 },
		{ 512, 3584 },
		{ 0, 3584 },
	};

	for (size_t i = 0; i < sizeof(torn) / sizeof(torn[0]); i++) {
		struct test_disk *disk = test_disk_create(DISK_BYTES, 0);

		put_block(disk, table_offset(), 0, 1);
		memset(disk->bytes + table_offset() + torn[i].from, 0, torn[i].bytes);
		expect_blank(disk);
		test_disk_destroy(disk);
	}
}

/* Tables of a pool that was in use, without its superblocks; and a table where a new pool has none. */
static void lost_superblocks(void **state)
{
	const struct { uint64_t offset; uint32_t owner; uint64_t generation; } cases[] = {
		{ table_offset(), 1, 1 },
		{ table_offset(), 0, 2 },
		{ 2 << 20, 0, 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct test_disk *disk = test_disk_create(DISK_BYTES, 0);

		put_block(disk, cases[i].offset, cases[i].owner, cases[i].generation);
		expect_refused(disk, UNKNOWN);
		test_disk_destroy(disk);
	}
}

static void unreadable(void **state)
{
	struct test_disk *disk = test_disk_create(DISK_BYTES, 0);
	char name[POOL_CONTENTS_MAX] = "untouched";

	disk->unreadable = DISK_BYTES - 4096;
	disk->unreadable_bytes = 1;
	assert_int_equal(pool_contents_find(&disk->host, name), -EIO);
	assert_string_equal(name, "untouched");
	assert_int_equal(pool_format(&disk->host, false, NULL), -EIO);
	assert_int_equal(disk->writes, 0);
	test_disk_destroy(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeroes),	    cmocka_unit_test(random_bytes),
		cmocka_unit_test(one_byte),	    cmocka_unit_test(small_disk),
		cmocka_unit_test(names),	    cmocka_unit_test(cut_format),
		cmocka_unit_test(lost_superblocks), cmocka_unit_test(unreadable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
