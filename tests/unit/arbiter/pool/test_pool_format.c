/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pool's bytes: layout, superblock, snapshot blocks, records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/pool/pool_format.h"
#include "arbiter/pool/pool_record.h"

/* For every capacity: nothing overlaps, and a record that lists all extents fits into an empty log. */
static void layouts(void **state)
{
	for (uint64_t capacity = 1; capacity <= POOL_EXTENTS_MAX; capacity = capacity * 5 / 4 + 1) {
		struct pool_change written = {.kind = POOL_CHANGE_WRITTEN, .list_count = (uint32_t)capacity};
		struct pool_change create = {.kind = POOL_CHANGE_CREATE, .run_count = (uint32_t)capacity};
		struct pool_layout layout;
		uint64_t log_bytes;

		pool_layout_compute((uint32_t)capacity, &layout);
		log_bytes = (uint64_t)layout.log_blocks * POOL_BLOCK_BYTES;
		assert_true((uint64_t)layout.table_blocks * POOL_EXTENTS_PER_BLOCK >= capacity);
		assert_true(layout.catalogue_blocks * POOL_DISKS_PER_BLOCK >= layout.disks_max);
		assert_true(layout.area_offset[0] >= POOL_SUPERBLOCK_1 + POOL_BLOCK_BYTES);
		assert_true(layout.log_offset[0] >=
			    layout.table_offset + (uint64_t)layout.table_blocks * POOL_BLOCK_BYTES);
		assert_true(layout.log_offset[1] >= layout.log_offset[0] + log_bytes);
		assert_true(layout.area_offset[1] >=
			    layout.area_offset[0] + layout.log_offset[1] + log_bytes);
		assert_true(layout.data_offset >= layout.area_offset[1] + layout.log_offset[1] + log_bytes);
		assert_int_equal(layout.data_offset % POOL_EXTENT_BYTES, 0);
		assert_true(pool_record_blocks(&written) <= layout.log_blocks);
		assert_true(pool_record_blocks(&create) <= layout.log_blocks);
	}
}

static void chosen_layouts(void **state)
{
	struct pool_layout layout;
	uint32_t extents;

	assert_int_equal(pool_layout_choose(0, &layout, &extents), -ENOSPC);
	assert_int_equal(pool_layout_choose(POOL_EXTENT_BYTES, &layout, &extents), -ENOSPC);
	assert_int_equal(pool_layout_choose(8ull << 30, &layout, &extents), 0);
	assert_int_equal(layout.capacity_extents, 4 * 8192);
	/* Less than a thousandth for tables and logs. */
	assert_true(layout.data_offset < (8ull << 30) / 500);
	assert_int_equal(extents, 8192 - layout.data_offset / POOL_EXTENT_BYTES);
	assert_int_equal(pool_layout_choose(UINT64_MAX, &layout, &extents), 0);
	assert_int_equal(layout.capacity_extents, POOL_EXTENTS_MAX);
	assert_int_equal(extents, POOL_EXTENTS_MAX);
}

static const struct pool_superblock example = {
	.generation = 7, .first_sequence = 99, .active_area = 1, .capacity_extents = 400, .extent_count = 100,
	.disk_count = 3, .next_disk_id = 12, .uuid = "0123456789abcde",
};

static void superblock_round_trip(void **state)
{
	uint8_t block[POOL_BLOCK_BYTES], again[POOL_BLOCK_BYTES];
	struct pool_superblock parsed;
	const char *problem;

	pool_superblock_build(&example, block);
	assert_int_equal(pool_superblock_parse(block, &parsed, &problem), 0);
	assert_int_equal(parsed.generation, example.generation);
	assert_int_equal(parsed.active_area, example.active_area);
	assert_int_equal(parsed.next_disk_id, example.next_disk_id);
	pool_superblock_build(&parsed, again);
	assert_memory_equal(again, block, sizeof(again));
}

/* A right checksum does not make wrong numbers right. */
static void superblock_numbers(void **state)
{
	static const struct {
		size_t offset, bytes;
		uint64_t value;
		int error;
	} cases[] = {
		{ 0, 1, 'W', -ENOENT },		 { 8, 4, 0, -EBADMSG },	   { 8, 4, 2, -EPROTONOSUPPORT },
		{ 12, 4, 2, -EBADMSG },		 { 16, 8, 0, -EBADMSG },   { 16, 8, UINT64_MAX, -EBADMSG },
		{ 40, 4, 4096, -EBADMSG },	 { 44, 4, 8, -EBADMSG },   { 48, 4, 0, -EBADMSG },
		{ 48, 4, UINT32_MAX, -EBADMSG }, { 48, 4, 401, -EBADMSG }, { 52, 4, 0, -EBADMSG },
		{ 52, 4, 401, -EBADMSG },	 { 56, 4, 401, -EBADMSG }, { 56, 4, 12, -EBADMSG },
		{ 60, 4, 0, -EBADMSG },		 { 60, 4, 3, -EBADMSG },   { 64, 8, UINT64_MAX, -EBADMSG },
		{ 72, 8, 0, -EBADMSG },		 { 80, 8, 0, -EBADMSG },   { 88, 8, 0, -EBADMSG },
		{ 96, 4, 1, -EBADMSG },		 { 100, 4, 1, -EBADMSG },  { 104, 4, 1, -EBADMSG },
		{ 108, 4, 1, -EBADMSG },
	};
	uint8_t block[POOL_BLOCK_BYTES];
	struct pool_superblock parsed;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *problem = NULL;

		pool_superblock_build(&example, block);
		memcpy(block + cases[i].offset, &cases[i].value, cases[i].bytes);
		pool_seal(block, sizeof(block));
		if (pool_superblock_parse(block, &parsed, &problem) != cases[i].error || !problem)
			fail_msg("case %zu (byte %zu): %s", i, cases[i].offset, problem ? problem : "taken");
	}
}

static void snapshot_blocks(void **state)
{
	struct pool_block_wire block = {0};
	struct pool_superblock other = example;

	pool_block_build(&block, &example, POOL_BLOCK_TABLE, 2, 40);
	assert_null(pool_block_parse(&block, &example, POOL_BLOCK_TABLE, 2, 40));
	assert_non_null(pool_block_parse(&block, &example, POOL_BLOCK_CATALOGUE, 2, 40));
	assert_non_null(pool_block_parse(&block, &example, POOL_BLOCK_TABLE, 1, 40));
	assert_non_null(pool_block_parse(&block, &example, POOL_BLOCK_TABLE, 2, 41));
	other.generation++;
	assert_non_null(pool_block_parse(&block, &other, POOL_BLOCK_TABLE, 2, 40));
	other.generation--;
	other.uuid[0]++;
	assert_non_null(pool_block_parse(&block, &other, POOL_BLOCK_TABLE, 2, 40));
	block.payload[100]++;
	assert_non_null(pool_block_parse(&block, &example, POOL_BLOCK_TABLE, 2, 40));
}

static const struct pool_record_place place = {
	.generation = 3, .sequence = 17, .position_blocks = 5, .uuid = "pool"
};

static void *build(const struct pool_change *change)
{
	void *record = aligned_alloc(POOL_BLOCK_BYTES, (size_t)pool_record_blocks(change) * POOL_BLOCK_BYTES);

	assert_non_null(record);
	pool_record_build(change, &place, record);
	return record;
}

/* One block, and one that takes three. */
static void record_round_trip(void **state)
{
	static struct pool_run_wire runs[1200];
	struct pool_record_place found;

	for (uint32_t i = 0; i < 1200; i++)
		runs[i] = (struct pool_run_wire){2 * i, 1};
	for (uint32_t count = 0; count <= 1200; count += 400) {
		struct pool_change change = { .kind = POOL_CHANGE_CREATE,
					      .disk_id = 4,
					      .written = true,
					      .size_bytes = 8192,
					      .name = "a/b",
					      .runs = runs,
					      .run_count = count };
		struct pool_change parsed;
		uint8_t *record = build(&change);
		uint32_t blocks = pool_record_blocks(&change);

		assert_int_equal(pool_record_peek(record, &place, blocks, &found), blocks);
		assert_int_equal(found.sequence, 17);
		assert_true(pool_record_sound(record, blocks));
		assert_null(pool_record_parse(record, &parsed));
		assert_int_equal(parsed.kind, change.kind);
		assert_int_equal(parsed.disk_id, 4);
		assert_true(parsed.written);
		assert_int_equal(parsed.size_bytes, 8192);
		assert_string_equal(parsed.name, "a/b");
		assert_int_equal(parsed.run_count, count);
		assert_memory_equal(parsed.runs, runs, count * sizeof(runs[0]));
		record[(size_t)blocks * POOL_BLOCK_BYTES - 5] ^= 1;
		assert_false(pool_record_sound(record, blocks));
		free(record);
	}
}

static void record_place(void **state)
{
	struct pool_change change = {.kind = POOL_CHANGE_RESIZE, .extent_count = 9};
	struct pool_record_place other = place, found;
	void *record = build(&change);

	assert_int_equal(pool_record_peek(record, &other, 1, &found), 1);
	assert_int_equal(pool_record_peek(record, &other, 0, &found), 0);
	other.position_blocks++;
	assert_int_equal(pool_record_peek(record, &other, 1, &found), 0);
	other = place;
	other.generation++;
	assert_int_equal(pool_record_peek(record, &other, 1, &found), 0);
	other.generation = place.generation - 1;
	assert_int_equal(pool_record_peek(record, &other, 1, &found), 1);
	assert_int_equal(found.generation, place.generation);
	other = place;
	other.uuid[15]++;
	assert_int_equal(pool_record_peek(record, &other, 1, &found), 0);
	free(record);
}

/* Sound records with senseless payloads. */
static void record_payloads(void **state)
{
	static const struct {
		size_t offset;
		uint32_t value;
	} cases[] = {
		{4, 0}, {4, 7}, {48, 0}, {48, 151}, {48, UINT32_MAX}, {48, 4096 - 64 - 3}, {64, 0}, {68, 2},
		{64 + 16, 0}, {64 + 144, 1}, {64 + 144, UINT32_MAX}, {64 + 140, 'x'},
	};
	struct pool_change change = {
		.kind = POOL_CHANGE_CREATE, .disk_id = 4, .size_bytes = 8192, .name = "a/b"
	};
	struct pool_change parsed;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t *record = build(&change);

		assert_null(pool_record_parse(record, &parsed));
		memcpy(record + cases[i].offset, &cases[i].value, 4);
		if (!pool_record_parse(record, &parsed))
			fail_msg("case %zu was taken", i);
		free(record);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layouts),	      cmocka_unit_test(chosen_layouts),
		cmocka_unit_test(superblock_round_trip), cmocka_unit_test(superblock_numbers),
		cmocka_unit_test(snapshot_blocks),    cmocka_unit_test(record_round_trip),
		cmocka_unit_test(record_place),	      cmocka_unit_test(record_payloads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
