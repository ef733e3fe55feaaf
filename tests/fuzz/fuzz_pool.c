/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Damaged and forged pool metadata. The input patches the blocks of a small sound pool; checksums and
 * derived numbers are put right again (unless the input says not to), so that the patches reach the code
 * behind them. Whatever opens must hold together: it is used, closed and opened again.
 *
 * Input: one byte of flags, then patches: block (see places[]), offset in it (2 bytes), length, bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/pool/pool.h"
#include "arbiter/pool/pool_record.h"
#include "input_trace.h"
#include "pool_help.h"
#include "test_disk.h"

#define DISK_BYTES	(4u << 20)
#define FLAG_DAMAGE	1u	/* leave the checksums wrong */
#define FLAG_ONE_MIRROR 2u	/* patches of the log go to mirror 0 only */
#define LOG_PLACES	12u

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct test_disk *disk;
static struct pool_layout layout;
static uint32_t active;

#define must(condition)          \
	do {                     \
		if (!(condition)) \
			abort(); \
	} while (0)

/* Disks in the snapshot, one record of each kind in the log. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct loop_options options = {.name = "fuzz"};
	struct pool_disk *first, *second;
	struct loop *loop;
	struct pool *pool;
	uint32_t extents;

	must(freopen("/dev/null", "w", stdout));
	disk = test_disk_create(DISK_BYTES, 2 * DISK_BYTES);
	must(pool_layout_choose(DISK_BYTES, &layout, &extents) == 0);
	must(loop_create(&options, &loop) == 0);
	must(pool_format(&disk->host, true, NULL) == 0);
	must(pool_open(&disk->host, &pool, NULL) == 0);
	must(pool_disk_create(pool, "a/b", 1 << 20, &first, NULL) == 0);
	pool_mark(first, 0, POOL_GRAIN_BYTES, POOL_WRITTEN);
	pool_close(pool);
	must(pool_open(&disk->host, &pool, NULL) == 0);
	must(pool_disk_create(pool, "c/d", 4096, &second, NULL) == 0);
	must(pool_disk_grow(pool, second, 8192, NULL) == 0);
	pool_mark(second, 0, 8192, POOL_WRITTEN);
	must(pool_commit_wait(loop, second) == 0);
	must(pool_disk_rename(pool, second, "e/f", NULL) == 0);
	disk->grown_bytes = DISK_BYTES + (1 << 20);
	must(pool_grow(pool, NULL) == 0);
	must(pool_disk_delete(pool, pool_disk_find(pool, "a/b"), NULL) == 0);
	active = ((const struct pool_superblock_wire *)(const void *)disk->bytes)->active_area;
	/* As a crash would leave it. */
	test_disk_remember(disk);
	pool_close(pool);
	test_disk_undo(disk);
	loop_destroy(loop);
	return 0;
}

static uint64_t log_offset(unsigned mirror, uint32_t block)
{
	return layout.area_offset[active] + layout.log_offset[mirror] + (uint64_t)block * POOL_BLOCK_BYTES;
}

static uint64_t place_offset(unsigned place)
{
	uint64_t area = layout.area_offset[active];

	switch (place) {
	case 0:
		return 0;
	case 1:
		return POOL_SUPERBLOCK_1;
	case 2:
		return area;
	case 3:
		return area + layout.table_offset;
	default:
		return log_offset(0, (place - 4) % LOG_PLACES);
	}
}

static void apply_patches(const uint8_t *data, size_t size, bool one_mirror)
{
	while (size >= 4) {
		unsigned place = data[0] % (4 + LOG_PLACES);
		size_t offset = (data[1] | (size_t)data[2] << 8) % POOL_BLOCK_BYTES, length = data[3];

		data += 4;
		size -= 4;
		if (length > size)
			length = size;
		if (length > POOL_BLOCK_BYTES - offset)
			length = POOL_BLOCK_BYTES - offset;
		test_disk_put(disk, place_offset(place) + offset, data, length);
		if (place >= 4 && !one_mirror)
			test_disk_put(disk, log_offset(1, (place - 4) % LOG_PLACES) + offset, data, length);
		data += length;
		size -= length;
	}
}

static void seal_superblock(uint64_t offset)
{
	struct pool_superblock_wire wire;
	struct pool_layout right;

	memcpy(&wire, disk->bytes + offset, sizeof(wire));
	if (wire.capacity_extents > 0 && wire.capacity_extents <= POOL_EXTENTS_MAX) {
		pool_layout_compute(wire.capacity_extents, &right);
		wire.data_offset = right.data_offset;
		memcpy(wire.area_offset, right.area_offset, sizeof(wire.area_offset));
		wire.catalogue_blocks = right.catalogue_blocks;
		wire.table_blocks = right.table_blocks;
		wire.log_blocks = right.log_blocks;
		wire.disks_max = right.disks_max;
	}
	pool_seal(&wire, sizeof(wire));
	test_disk_put(disk, offset, &wire, sizeof(wire));
}

static void seal_in_place(uint64_t offset, size_t bytes)
{
	uint8_t *copy = malloc(bytes);

	must(copy);
	memcpy(copy, disk->bytes + offset, bytes);
	pool_seal(copy, bytes);
	test_disk_put(disk, offset, copy, bytes);
	free(copy);
}

static void seal_log(unsigned mirror)
{
	for (uint32_t block = 0; block < layout.log_blocks; block++) {
		struct pool_record_header_wire header;

		memcpy(&header, disk->bytes + log_offset(mirror, block), sizeof(header));
		if (header.magic != POOL_RECORD_MAGIC || header.length_blocks == 0 ||
		    header.length_blocks > layout.log_blocks - block)
			continue;
		seal_in_place(log_offset(mirror, block), (size_t)header.length_blocks * POOL_BLOCK_BYTES);
		block += header.length_blocks - 1;
	}
}

/* The owner of each byte is one disk, and all of a disk can be looked up. */
static void use_pool(struct pool *pool)
{
	struct pool_disk *made = NULL;
	struct pool_space space;
	struct pool_run run;
	uint64_t owned = 0;

	for (uint64_t offset = 0; pool_run_next(pool, offset, &run);
	     offset = run.offset_bytes + run.length_bytes)
		owned += run.owner ? run.length_bytes : 0;
	pool_space(pool, &space);
	must(owned == space.used_bytes);
	for (struct pool_disk *d = NULL; (d = pool_disk_next(pool, d));)
		pool_mark(d, 0, POOL_GRAIN_BYTES, POOL_WRITTEN);
	must(pool_digest(pool) != 0);
	if (space.free_bytes > 0)
		pool_disk_create(pool, "fuzz/new", space.free_bytes / 2 + 1, &made, NULL);
	if (made)
		pool_disk_grow(pool, made, space.free_bytes, NULL);
	if (pool_disk_next(pool, NULL))
		must(pool_disk_delete(pool, pool_disk_next(pool, NULL), NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error error;
	struct pool *pool;
	uint32_t digest;
	int problems, code;

	if (size == 0)
		return 0;
	test_disk_remember(disk);
	apply_patches(data + 1, size - 1, data[0] & FLAG_ONE_MIRROR);
	if (!(data[0] & FLAG_DAMAGE)) {
		seal_superblock(0);
		seal_superblock(POOL_SUPERBLOCK_1);
		seal_in_place(layout.area_offset[active], POOL_BLOCK_BYTES);
		seal_in_place(layout.area_offset[active] + layout.table_offset, POOL_BLOCK_BYTES);
		seal_log(0);
		seal_log(1);
	}
	problems = pool_check(&disk->host, NULL, NULL);
	code = pool_open(&disk->host, &pool, &error);
	must(code == 0 || problems != 0);
	fuzz_trace_number((uint64_t)problems);
	fuzz_trace_number((uint64_t)code);
	if (code == 0) {
		use_pool(pool);
		digest = pool_digest(pool);
		fuzz_trace_number(digest);
		pool_close(pool);
		must(pool_check(&disk->host, NULL, NULL) == 0);
		must(pool_open(&disk->host, &pool, &error) == 0);
		must(pool_digest(pool) == digest);
		pool_close(pool);
	}
	test_disk_undo(disk);
	return 0;
}
