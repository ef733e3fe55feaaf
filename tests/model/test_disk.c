/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual disks against plain arrays: random reads, writes, discards and write-zeroes of several disks on one
 * pool, many in flight, on physical disks that can and cannot punch holes; the pool is closed and opened
 * again, disks are deleted and their space given to others. Every byte read must be the array's.
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

#include "arbiter/disk/disk.h"
#include "arbiter/pool/pool.h"
#include "core/clock.h"
#include "core/loop.h"
#include "host/host_disk.h"

#define SECTOR	      512u
#define DISKS	      3
#define DISK_BYTES    (5u << 20)
#define POOL_BYTES    (64u << 20)
#define SLOTS	      16
#define REQUEST_BYTES (200u << 10)
#define OPERATIONS    3000

struct slot {
	struct disk_request request;
	bool busy;
	unsigned disk;
	uint8_t *buffer;
	struct iovec iov[4];
};

struct world {
	struct loop *loop;
	struct host_disk *host;
	struct pool *pool;
	struct disk *disk[DISKS];
	struct disk_channel *channel[DISKS];
	uint8_t *expected[DISKS];
	struct slot slots[SLOTS];
	unsigned busy;
	unsigned created;
};

static uint64_t random_state;

static uint32_t random_below(uint32_t limit)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(random_state >> 33) % limit;
}

static void turn(struct world *world)
{
	assert_int_equal(loop_turn(world->loop, NS_PER_MS), 0);
}

static void open_disk(struct world *world, unsigned index)
{
	char name[32];
	struct disk_options options = { .guest = "g", .name = name };
	struct pool_disk *part;
	struct error error;

	snprintf(name, sizeof(name), "g/d%u", index);
	part = pool_disk_find(world->pool, name);
	if (!part)
		assert_int_equal(pool_disk_create(world->pool, name, DISK_BYTES, &part, &error), 0);
	assert_int_equal(disk_create_on_pool(&options, world->pool, part, &world->disk[index]), 0);
	assert_int_equal(disk_channel_open(world->disk[index], world->loop, &world->channel[index]), 0);
}

static void close_disk(struct world *world, unsigned index)
{
	disk_channel_close(world->channel[index]);
	disk_destroy(world->disk[index]);
}

static void drain(struct world *world)
{
	while (world->busy > 0)
		turn(world);
}

static struct world *current;

static void request_done(struct disk_request *request, int error)
{
	struct slot *slot = (struct slot *)request;
	uint64_t offset = request->offset_bytes;

	assert_int_equal(error, 0);
	if (request->op == DISK_READ)
		assert_memory_equal(slot->buffer, current->expected[slot->disk] + offset,
				    request->length_bytes);
	slot->busy = false;
	current->busy--;
}

/* Splits the buffer into up to four iovecs of odd lengths. */
static unsigned make_iov(struct slot *slot, uint32_t bytes)
{
	uint8_t *at = slot->buffer;
	unsigned count = 0;

	while (bytes > 0) {
		uint32_t part = count == 3 ? bytes : 1 + random_below(bytes);

		slot->iov[count++] = (struct iovec){ at, part };
		at += part;
		bytes -= part;
	}
	return count;
}

/* Requests in flight must not overlap on one disk: their order would be anybody's. */
static bool overlaps(const struct world *world, unsigned disk, uint64_t offset, uint64_t bytes)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		const struct slot *slot = &world->slots[i];
		const struct disk_request *request = &slot->request;

		if (slot->busy && slot->disk == disk && request->op != DISK_FLUSH &&
		    offset < request->offset_bytes + request->length_bytes &&
		    request->offset_bytes < offset + bytes)
			return true;
	}
	return false;
}

static uint32_t random_bytes(void)
{
	switch (random_below(4)) {
	case 0:
		return SECTOR;
	case 1:
		return 4096;
	case 2:
		return POOL_GRAIN_BYTES * (1 + random_below(3));
	default:
		return SECTOR * (1 + random_below(REQUEST_BYTES / SECTOR));
	}
}

static void submit_random(struct world *world)
{
	static const enum disk_op ops[] = { DISK_READ,	DISK_READ,    DISK_WRITE,	 DISK_WRITE,
					    DISK_WRITE, DISK_DISCARD, DISK_WRITE_ZEROES, DISK_FLUSH };
	struct slot *slot = NULL;
	unsigned disk = random_below(DISKS);
	enum disk_op op = ops[random_below(8)];
	uint32_t bytes = random_bytes();
	uint64_t offset;

	for (unsigned i = 0; i < SLOTS && !slot; i++)
		if (!world->slots[i].busy)
			slot = &world->slots[i];
	offset = (uint64_t)SECTOR * random_below((DISK_BYTES - bytes) / SECTOR + 1);
	if (random_below(3) == 0)
		offset = offset / POOL_GRAIN_BYTES * POOL_GRAIN_BYTES;
	if (!slot || overlaps(world, disk, offset, bytes))
		return;
	slot->disk = disk;
	slot->busy = true;
	world->busy++;
	slot->request = (struct disk_request){ .op = op,
					       .through = random_below(10) == 0,
					       .offset_bytes = offset,
					       .length_bytes = bytes,
					       .done = request_done };
	if (op == DISK_FLUSH)
		slot->request.offset_bytes = slot->request.length_bytes = 0;
	if (op == DISK_READ || op == DISK_WRITE) {
		slot->request.iov = slot->iov;
		slot->request.iov_count = make_iov(slot, bytes);
		for (uint32_t i = 0; i < bytes; i += 8)
			memcpy(slot->buffer + i, &(uint64_t){ random_state + i + disk }, 8);
	}
	if (op == DISK_WRITE)
		memcpy(world->expected[disk] + offset, slot->buffer, bytes);
	else if (op == DISK_DISCARD || op == DISK_WRITE_ZEROES)
		memset(world->expected[disk] + offset, 0, bytes);
	disk_submit(world->channel[disk], &slot->request);
}

static void open_pool(struct world *world)
{
	struct error error = { .text = "" };
	int result = pool_open(world->host, &world->pool, &error);

	if (result)
		fail_msg("pool_open: %d %s", result, error.text);
	for (unsigned i = 0; i < DISKS; i++)
		open_disk(world, i);
}

static void reopen_pool(struct world *world)
{
	drain(world);
	for (unsigned i = 0; i < DISKS; i++)
		close_disk(world, i);
	pool_close(world->pool);
	open_pool(world);
}

/* The new disk gets space that others wrote to: it must read as zeroes. */
static void recreate_disk(struct world *world)
{
	unsigned index = random_below(DISKS);
	struct error error;
	char name[32];

	drain(world);
	close_disk(world, index);
	snprintf(name, sizeof(name), "g/d%u", index);
	assert_int_equal(pool_disk_delete(world->pool, pool_disk_find(world->pool, name), &error), 0);
	memset(world->expected[index], 0, DISK_BYTES);
	open_disk(world, index);
}

static void run(bool can_punch, bool slow)
{
	struct disk_memory_options memory = { .size_bytes = POOL_BYTES, .can_punch = can_punch };
	struct loop_options options = { .name = "test" };
	static struct world world;
	struct error error;

	if (slow) {
		memory.read_base_ns = memory.write_base_ns = 20 * NS_PER_US;
		memory.flush_ns = 50 * NS_PER_US;
		memory.depth = 4;
	}
	memset(&world, 0, sizeof(world));
	current = &world;
	assert_int_equal(loop_create(&options, &world.loop), 0);
	assert_int_equal(disk_memory_open(&memory, &world.host), 0);
	/* Whatever was on the physical disk before must never be seen. */
	memset(disk_memory_bytes(world.host), 0xee, POOL_BYTES);
	assert_int_equal(pool_format(world.host, true, &error), 0);
	for (unsigned i = 0; i < DISKS; i++)
		world.expected[i] = calloc(1, DISK_BYTES);
	for (unsigned i = 0; i < SLOTS; i++)
		world.slots[i].buffer = malloc(REQUEST_BYTES);
	open_pool(&world);
	for (unsigned i = 0; i < OPERATIONS; i++) {
		submit_random(&world);
		if (random_below(4) == 0)
			turn(&world);
		if (random_below(400) == 0)
			reopen_pool(&world);
		if (random_below(300) == 0)
			recreate_disk(&world);
	}
	drain(&world);
	for (unsigned i = 0; i < DISKS; i++) {
		close_disk(&world, i);
		free(world.expected[i]);
	}
	pool_close(world.pool);
	world.host->ops->close(world.host);
	for (unsigned i = 0; i < SLOTS; i++)
		free(world.slots[i].buffer);
	loop_destroy(world.loop);
}

static void test_blank_bits_at_once(void **state)
{
	run(false, false);
}

static void test_blank_bits_with_service_time(void **state)
{
	run(false, true);
}

static void test_holes(void **state)
{
	run(true, true);
}

int main(void)
{
	const char *seed = getenv("VIADUCT_SEED");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blank_bits_at_once),
		cmocka_unit_test(test_blank_bits_with_service_time),
		cmocka_unit_test(test_holes),
	};

	random_state = seed ? strtoull(seed, NULL, 0) : clock_now_ns();
	printf("VIADUCT_SEED=%llu\n", (unsigned long long)random_state);
	return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
