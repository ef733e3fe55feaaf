/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test_disk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/checked.h"
#include "core/clock.h"

#define ROOM_BLOCK 4096u

static void *need(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

static bool inside(const struct test_disk *disk, uint64_t offset, size_t bytes)
{
	return checked_range(offset, bytes, disk->host.geometry.size_bytes) &&
	       is_aligned(offset, disk->host.geometry.block_bytes) &&
	       is_aligned(bytes, disk->host.geometry.block_bytes);
}

void test_disk_put(struct test_disk *disk, uint64_t offset, const void *data, size_t bytes)
{
	if (disk->undo_on) {
		struct test_disk_undo *undo;

		if (disk->undo_count == disk->undo_room) {
			disk->undo_room = disk->undo_room ? disk->undo_room * 2 : 64;
			disk->undo = need(realloc(disk->undo, disk->undo_room * sizeof(*disk->undo)));
		}
		undo = &disk->undo[disk->undo_count++];
		*undo = (struct test_disk_undo){offset, bytes, need(malloc(bytes))};
		memcpy(undo->old, disk->bytes + offset, bytes);
	}
	if (data)
		memcpy(disk->bytes + offset, data, bytes);
	else
		memset(disk->bytes + offset, 0, bytes);
}

/* Whatever holds anything. What was never written is no memory, and would become some if it was looked at. */
static void find_allocated(struct test_disk *disk)
{
	static const uint8_t zeroes[ROOM_BLOCK];
	size_t blocks = disk->host.geometry.size_bytes / ROOM_BLOCK;
	unsigned char *present = need(malloc(blocks));

	if (mincore(disk->bytes, blocks * ROOM_BLOCK, present))
		abort();
	for (size_t b = 0; b < blocks; b++)
		disk->allocated[b] = (present[b] & 1) &&
				     memcmp(disk->bytes + b * ROOM_BLOCK, zeroes, ROOM_BLOCK) != 0;
	free(present);
}

void test_disk_limit(struct test_disk *disk, uint64_t room_blocks)
{
	if (!disk->allocated) {
		disk->allocated = need(calloc(1, disk->room / ROOM_BLOCK));
		disk->room_error = -ENOSPC;
		find_allocated(disk);
	}
	disk->room_blocks = room_blocks;
}

size_t test_disk_take_room(struct test_disk *disk, uint64_t offset, size_t bytes)
{
	for (uint64_t at = offset; disk->allocated && at < offset + bytes; at = (at | (ROOM_BLOCK - 1)) + 1) {
		uint8_t *allocated = &disk->allocated[at / ROOM_BLOCK];

		if (!*allocated && disk->room_blocks == 0)
			return at - offset;
		disk->room_blocks -= !*allocated;
		*allocated = true;
	}
	return bytes;
}

static int read_sync(struct host_disk *host, uint64_t offset, void *buffer, size_t bytes)
{
	struct test_disk *disk = (void *)host;

	if (disk->read_error)
		return disk->read_error;
	if (!inside(disk, offset, bytes))
		return -EINVAL;
	if (disk->unreadable_bytes && offset < disk->unreadable + disk->unreadable_bytes &&
	    disk->unreadable < offset + bytes)
		return -EIO;
	memcpy(buffer, disk->bytes + offset, bytes);
	return 0;
}

static int write_sync(struct host_disk *host, uint64_t offset, const void *buffer, size_t bytes)
{
	struct test_disk *disk = (void *)host;

	size_t room;

	__atomic_fetch_add(&disk->writes, 1, __ATOMIC_RELAXED);
	if (disk->write_error)
		return disk->write_error;
	if (disk->host.geometry.read_only || !inside(disk, offset, bytes))
		return -EINVAL;
	room = test_disk_take_room(disk, offset, bytes);
	if (room > 0)
		test_disk_put(disk, offset, buffer, room);
	return room == bytes ? 0 : disk->room_error;
}

static int reserve_sync(struct host_disk *host, uint64_t offset, uint64_t bytes, bool blank)
{
	struct test_disk *disk = (void *)host;

	disk->reserves++;
	if (!inside(disk, offset, bytes))
		return -EINVAL;
	return test_disk_take_room(disk, offset, bytes) == bytes ? 0 : disk->room_error;
}

static int flush_sync(struct host_disk *host)
{
	struct test_disk *disk = (void *)host;

	__atomic_fetch_add(&disk->flushes, 1, __ATOMIC_RELAXED);
	return disk->flush_error;
}

static int punch_sync(struct host_disk *host, uint64_t offset, uint64_t bytes)
{
	struct test_disk *disk = (void *)host;

	if (disk->punch_error || !disk->host.geometry.can_punch)
		return disk->punch_error ? disk->punch_error : -EOPNOTSUPP;
	if (!inside(disk, offset, bytes))
		return -EINVAL;
	test_disk_put(disk, offset, NULL, bytes);
	return 0;
}

static int refresh(struct host_disk *host)
{
	struct test_disk *disk = (void *)host;

	if (disk->grown_bytes)
		host->geometry.size_bytes = disk->grown_bytes;
	return 0;
}

static const struct host_disk_ops ops = {
	.name = "test",
	.read_sync = read_sync,
	.write_sync = write_sync,
	.flush_sync = flush_sync,
	.punch_sync = punch_sync,
	.reserve_sync = reserve_sync,
	.refresh = refresh,
};

struct test_disk *test_disk_create(uint64_t size_bytes, uint64_t room_bytes)
{
	struct test_disk *disk = need(calloc(1, sizeof(*disk)));

	disk->host.ops = &ops;
	disk->host.geometry = (struct host_disk_geometry){
		.size_bytes = size_bytes,
		.block_bytes = 512,
		.physical_block_bytes = 4096,
	};
	disk->room = room_bytes > size_bytes ? room_bytes : size_bytes;
	disk->bytes = mmap(NULL, disk->room, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (disk->bytes == MAP_FAILED)
		abort();
	return disk;
}

void test_disk_destroy(struct test_disk *disk)
{
	test_disk_undo(disk);
	munmap(disk->bytes, disk->room);
	free(disk->undo);
	free(disk->allocated);
	free(disk);
}

void test_disk_remember(struct test_disk *disk)
{
	disk->undo_on = true;
}

void test_disk_undo(struct test_disk *disk)
{
	while (disk->undo_count > 0) {
		struct test_disk_undo *undo = &disk->undo[--disk->undo_count];

		memcpy(disk->bytes + undo->offset, undo->old, undo->bytes);
		free(undo->old);
	}
	disk->undo_on = false;
}

uint64_t test_seed(const char *name)
{
	const char *given = getenv("VIADUCT_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : clock_now_ns();

	if (seed == 0)
		seed = 1;
	printf("%s: VIADUCT_SEED=%" PRIu64 "\n", name, seed);
	fflush(stdout);
	return seed;
}

uint64_t test_random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * 0x2545f4914f6cdd1dull;
}
