/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host disk in memory for tests of the pool: synchronous access only. It can fail on demand, count what
 * is written, and take back everything written since a mark.
 */
#ifndef VIADUCT_TESTS_SUPPORT_TEST_DISK_H
#define VIADUCT_TESTS_SUPPORT_TEST_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/host_disk.h"

struct test_disk_undo {
	uint64_t offset;
	size_t bytes;
	uint8_t *old;
};

struct test_disk {
	struct host_disk host;
	uint8_t *bytes;
	size_t room;			/* what is mapped; the geometry's size may be less */
	uint64_t grown_bytes;		/* > 0: the size after the next refresh */

	unsigned writes, flushes;	/* calls so far */
	int read_error, write_error, flush_error, punch_error;	/* 0, or what every such call returns */
	uint64_t unreadable;		/* with unreadable_bytes > 0: reads that touch it fail with -EIO */
	size_t unreadable_bytes;

	uint8_t *allocated;		/* of each 4 KiB: has it space? NULL: there is room for everything */
	uint64_t room_blocks;		/* of 4 KiB, for what has none */
	int room_error;			/* what a write says that needs more: -ENOSPC */
	unsigned reserves;		/* calls so far */

	bool undo_on;
	struct test_disk_undo *undo;
	size_t undo_count, undo_room;
};

/* A disk of zeroes, with room to grow to room_bytes. Aborts when there is no memory. */
struct test_disk *test_disk_create(uint64_t size_bytes, uint64_t room_bytes);
void test_disk_destroy(struct test_disk *disk);

/* From now on changes are remembered; undone by test_disk_undo(), which forgets them. */
void test_disk_remember(struct test_disk *disk);
void test_disk_undo(struct test_disk *disk);

/* Changes bytes past all faults and counters, but remembered. */
void test_disk_put(struct test_disk *disk, uint64_t offset, const void *data, size_t bytes);

/*
 * From now on only blocks that hold something have space, and only room_blocks others will get it. A write
 * that needs more is cut before the first block that has none.
 */
void test_disk_limit(struct test_disk *disk, uint64_t room_blocks);
/* Gives a range space, as far as there is room. Returns how many bytes from its beginning have it. */
size_t test_disk_take_room(struct test_disk *disk, uint64_t offset, size_t bytes);

/*
 * Random numbers of a test: the seed comes from $VIADUCT_SEED, else from the clock, and is printed so that
 * a failure can be repeated.
 */
uint64_t test_seed(const char *name);
uint64_t test_random(uint64_t *seed);		/* xorshift64* */
static inline uint32_t test_below(uint64_t *seed, uint32_t limit)
{
	return (uint32_t)((test_random(seed) >> 32) * limit >> 32);
}

#endif
