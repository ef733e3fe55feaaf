/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bit rot in a pool's metadata: each block in turn, in each of its parts. The pool opens with exactly the
 * map it had, or is refused with a sentence and untouched; never a third thing. And which of the two it is
 * is known: superblocks and log mirrors are there twice, a snapshot is not, and the rest is not in use.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "arbiter/pool/pool.h"
#include "arbiter/pool/pool_format.h"
#include "pool_help.h"
#include "test_disk.h"

#define DISK_BYTES (20u << 20)

struct rot {
	struct test_disk *disk;
	struct pool_layout layout;
	uint32_t digest;	/* of the sound pool */
	uint32_t active;	/* area */
	uint32_t log_blocks;	/* of it in use */
	uint64_t seed;
};

enum outcome { SURVIVES, REFUSED };

/* Disks, written bits, a snapshot with some of them and a log with the rest; as a crash would leave it. */
static void make_pool(struct rot *rot)
{
	struct loop_options options = {.name = "test"};
	struct pool_disk *disk, *other;
	struct pool_superblock superblock;
	const char *problem;
	struct pool *pool;
	struct loop *loop;

	assert_int_equal(loop_create(&options, &loop), 0);
	assert_int_equal(pool_format(&rot->disk->host, false, NULL), 0);
	assert_int_equal(pool_open(&rot->disk->host, &pool, NULL), 0);
	assert_int_equal(pool_disk_create(pool, "alice/root", 3 << 20, &disk, NULL), 0);
	assert_int_equal(pool_disk_create(pool, "bob/root", 2 << 20, &other, NULL), 0);
	pool_mark(disk, POOL_GRAIN_BYTES, 3 * POOL_GRAIN_BYTES, POOL_WRITTEN);
	pool_close(pool);
	assert_int_equal(pool_open(&rot->disk->host, &pool, NULL), 0);
	disk = pool_disk_find(pool, "alice/root");
	assert_int_equal(pool_disk_grow(pool, disk, 5 << 20, NULL), 0);
	pool_mark(disk, 4 << 20, 1 << 20, POOL_WRITTEN);
	assert_int_equal(pool_commit_wait(loop, disk), 0);
	assert_int_equal(pool_disk_create(pool, "carol/root", 1 << 20, &other, NULL), 0);
	assert_int_equal(pool_disk_rename(pool, other, "carol/data", NULL), 0);
	assert_int_equal(pool_disk_delete(pool, pool_disk_find(pool, "bob/root"), NULL), 0);
	rot->digest = pool_digest(pool);
	/* The disk as it is now; closing would write a snapshot. */
	test_disk_remember(rot->disk);
	pool_close(pool);
	test_disk_undo(rot->disk);
	loop_destroy(loop);

	assert_int_equal(pool_superblock_parse(rot->disk->bytes, &superblock, &problem), 0);
	pool_layout_compute(superblock.capacity_extents, &rot->layout);
	rot->active = superblock.active_area;
	rot->log_blocks = 5;
}

static void count_finding(void *context, const struct pool_finding *finding)
{
	unsigned *counts = context;

	assert_in_range(finding->severity, 0, 2);
	assert_true(strlen(finding->text) > 10);
	counts[finding->severity]++;
}

static void expect(struct rot *rot, enum outcome outcome, bool visible, const char *what, uint64_t where)
{
	struct error error = { .text = "" };
	unsigned counts[3] = {0}, writes = rot->disk->writes;
	struct pool *pool;
	int found = pool_check(&rot->disk->host, count_finding, counts), code;

	assert_int_equal(found, counts[1] + counts[2]);
	code = pool_open(&rot->disk->host, &pool, &error);
	if (code != (outcome == SURVIVES ? 0 : -EBADMSG))
		fail_msg("%s at byte %llu: %d %s", what, (unsigned long long)where, code, error.text);
	if (outcome == REFUSED) {
		assert_true(counts[2] > 0);
		assert_non_null(strstr(error.text, "damaged"));
		assert_int_equal(rot->disk->writes, writes);
		return;
	}
	assert_int_equal(counts[2], 0);
	if (visible != (counts[1] > 0))
		fail_msg("%s at byte %llu: %u repairable", what, (unsigned long long)where, counts[1]);
	assert_int_equal(pool_digest(pool), rot->digest);
	pool_close(pool);
	/* What was repaired is whole again. */
	memset(counts, 0, sizeof(counts));
	assert_int_equal(pool_check(&rot->disk->host, count_finding, counts), 0);
}

static void rot_sector(struct rot *rot, uint64_t offset, int with, enum outcome outcome, bool visible)
{
	uint8_t sector[512];

	test_disk_remember(rot->disk);
	for (unsigned i = 0; i < sizeof(sector); i++)
		sector[i] = with < 0 ? (uint8_t)(rot->disk->bytes[offset + i] ^ 0xa5) : (uint8_t)with;
	if (memcmp(sector, rot->disk->bytes + offset, sizeof(sector)) != 0) {
		test_disk_put(rot->disk, offset, sector, sizeof(sector));
		expect(rot, outcome, visible, "sector", offset);
	}
	test_disk_undo(rot->disk);
}

static void rot_byte(struct rot *rot, uint64_t offset, enum outcome outcome, bool visible)
{
	uint8_t byte = rot->disk->bytes[offset] ^ (uint8_t)(1u << test_below(&rot->seed, 8));

	test_disk_remember(rot->disk);
	test_disk_put(rot->disk, offset, &byte, 1);
	expect(rot, outcome, visible, "bit", offset);
	test_disk_undo(rot->disk);
}

static void rot_block(struct rot *rot, uint64_t offset, enum outcome outcome, bool visible)
{
	for (uint32_t sector = 0; sector < POOL_BLOCK_BYTES; sector += 512) {
		rot_sector(rot, offset + sector, -1, outcome, visible);
		rot_sector(rot, offset + sector, 0, outcome, visible);
	}
	/* All of the header, the checksum, and a sample of the rest. */
	for (uint32_t byte = 0; byte < POOL_BLOCK_BYTES; byte += byte < 128 || byte >= 4088 ? 1 : 60)
		rot_byte(rot, offset + byte, outcome, visible);
}

static int setup(void **state)
{
	static struct rot rot;

	rot.seed = test_seed("rot");
	rot.disk = test_disk_create(DISK_BYTES, 0);
	make_pool(&rot);
	*state = &rot;
	return 0;
}

static int teardown(void **state)
{
	struct rot *rot = *state;

	test_disk_destroy(rot->disk);
	return 0;
}

static void sound(void **state)
{
	struct rot *rot = *state;

	test_disk_remember(rot->disk);
	expect(rot, SURVIVES, false, "nothing", 0);
	test_disk_undo(rot->disk);
}

static void superblocks(void **state)
{
	struct rot *rot = *state;

	rot_block(rot, 0, SURVIVES, true);
	rot_block(rot, POOL_SUPERBLOCK_1, SURVIVES, true);
}

static void log_mirrors(void **state)
{
	struct rot *rot = *state;

	for (unsigned mirror = 0; mirror < POOL_MIRRORS; mirror++)
		for (uint32_t block = 0; block < rot->log_blocks; block++)
			rot_block(rot,
				  rot->layout.area_offset[rot->active] + rot->layout.log_offset[mirror] +
					  block * POOL_BLOCK_BYTES,
				  SURVIVES, true);
}

static void snapshot(void **state)
{
	struct rot *rot = *state;
	uint64_t area = rot->layout.area_offset[rot->active];

	rot_block(rot, area, REFUSED, false);
	rot_block(rot, area + rot->layout.table_offset, REFUSED, false);
}

/* Everything else up to the data: the inactive area, the unused parts, the gaps. */
static void unused_space(void **state)
{
	struct rot *rot = *state;
	uint64_t area = rot->layout.area_offset[rot->active], used = rot->log_blocks * POOL_BLOCK_BYTES;

	for (uint64_t offset = 0; offset < rot->layout.data_offset; offset += 512) {
		uint64_t block = offset / POOL_BLOCK_BYTES * POOL_BLOCK_BYTES;
		uint64_t mirror0 = area + rot->layout.log_offset[0],
			 mirror1 = area + rot->layout.log_offset[1];

		if (block == 0 || block == POOL_SUPERBLOCK_1 || block == area ||
		    block == area + rot->layout.table_offset ||
		    (block >= mirror0 && block < mirror0 + used) ||
		    (block >= mirror1 && block < mirror1 + used))
			continue;
		rot_sector(rot, offset, -1, SURVIVES, false);
	}
}

/* Always another byte than the one there: whatever random identity the pool got. */
static void flip(struct rot *rot, uint64_t offset)
{
	uint8_t byte = rot->disk->bytes[offset] ^ 0x55;

	test_disk_put(rot->disk, offset, &byte, 1);
}

/* The same place in both copies. */
static void both_copies(void **state)
{
	struct rot *rot = *state;
	uint64_t area = rot->layout.area_offset[rot->active];

	for (uint32_t byte = 8; byte < 120; byte++) {
		test_disk_remember(rot->disk);
		flip(rot, byte);
		flip(rot, POOL_SUPERBLOCK_1 + byte);
		expect(rot, REFUSED, false, "both superblocks", byte);
		test_disk_undo(rot->disk);
	}
	/* Not the last record: that one would look like a change which was never acknowledged. */
	for (uint32_t block = 0; block + 1 < rot->log_blocks; block++) {
		test_disk_remember(rot->disk);
		for (unsigned mirror = 0; mirror < POOL_MIRRORS; mirror++)
			flip(rot, area + rot->layout.log_offset[mirror] + block * POOL_BLOCK_BYTES + 100);
		expect(rot, REFUSED, false, "both mirrors", block);
		test_disk_undo(rot->disk);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound),    cmocka_unit_test(superblocks),  cmocka_unit_test(log_mirrors),
		cmocka_unit_test(snapshot), cmocka_unit_test(unused_space), cmocka_unit_test(both_copies),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
