/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon dies and the host does not: guests go on with the next daemon, and count on every write that
 * was answered, flushed or not. A guest that flushes later, through the next daemon, makes it durable then.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "arbiter/disk/disk.h"
#include "arbiter/pool/pool.h"
#include "core/clock.h"
#include "core/loop.h"
#include "host/host_disk.h"

#define POOL_BYTES (64u << 20)
#define DISK_BYTES (4u << 20)

struct life {
	struct loop *loop;
	struct host_disk *host;
	struct pool *pool;
	struct disk *disk;
	struct disk_channel *channel;
};

struct wait {
	struct disk_request request;
	bool done;
	int error;
};

static void on_done(struct disk_request *request, int error)
{
	struct wait *wait = (struct wait *)request;

	wait->done = true;
	wait->error = error;
}

static void life_open(struct life *life)
{
	struct disk_options options = { .guest = "g", .name = "d" };
	struct pool_disk *part;
	struct error error;

	assert_int_equal(pool_open(life->host, &life->pool, &error), 0);
	part = pool_disk_find(life->pool, "g/d");
	if (!part)
		assert_int_equal(pool_disk_create(life->pool, "g/d", DISK_BYTES, &part, &error), 0);
	assert_int_equal(disk_create_on_pool(&options, life->pool, part, &life->disk), 0);
	assert_int_equal(disk_channel_open(life->disk, life->loop, &life->channel), 0);
}

static void life_begin(struct life *life, bool can_punch)
{
	struct disk_memory_options options = { .size_bytes = POOL_BYTES, .can_punch = can_punch };
	struct loop_options loop_options = { .name = "test" };
	struct error error;

	assert_int_equal(loop_create(&loop_options, &life->loop), 0);
	assert_int_equal(disk_memory_open(&options, &life->host), 0);
	assert_int_equal(pool_format(life->host, true, &error), 0);
	life_open(life);
}

/* What the kernel has when the process is gone: what was written, and nothing of our memory. */
static void life_after(const struct life *life, bool can_punch, struct life *ret_next)
{
	struct disk_memory_options options = { .size_bytes = POOL_BYTES, .can_punch = can_punch };

	ret_next->loop = life->loop;
	assert_int_equal(disk_memory_open(&options, &ret_next->host), 0);
	memcpy(disk_memory_bytes(ret_next->host), disk_memory_bytes(life->host), POOL_BYTES);
	life_open(ret_next);
}

static void life_end(struct life *life)
{
	disk_channel_close(life->channel);
	disk_destroy(life->disk);
	pool_close(life->pool);
	life->host->ops->close(life->host);
}

static void request(struct life *life, enum disk_op op, uint64_t offset, void *buffer, size_t bytes)
{
	struct iovec iov = { buffer, bytes };
	struct wait wait = { .request = { .op = op, .offset_bytes = offset, .length_bytes = bytes,
					  .done = on_done } };

	if (buffer) {
		wait.request.iov = &iov;
		wait.request.iov_count = 1;
	}
	disk_submit(life->channel, &wait.request);
	while (!wait.done)
		assert_int_equal(loop_turn(life->loop, NS_PER_MS), 0);
	assert_int_equal(wait.error, 0);
}

static void check_answered_writes(bool can_punch)
{
	static uint8_t wrote[8192], read[8192], zeroes[128 << 10], old[128 << 10];
	struct life life, next;

	life_begin(&life, can_punch);
	/* A stretch that is written and durable, of which WRITE_ZEROES takes two whole grains. */
	memset(old, 0x11, sizeof(old));
	request(&life, DISK_WRITE, 1 << 20, old, sizeof(old));
	request(&life, DISK_FLUSH, 0, NULL, 0);
	request(&life, DISK_WRITE_ZEROES, 1 << 20, NULL, sizeof(old));
	memset(wrote, 0x5a, sizeof(wrote));
	request(&life, DISK_WRITE, 12288, wrote, sizeof(wrote));

	life_after(&life, can_punch, &next);
	request(&next, DISK_FLUSH, 0, NULL, 0);
	request(&next, DISK_READ, 12288, read, sizeof(read));
	assert_memory_equal(read, wrote, sizeof(read));
	request(&next, DISK_READ, 1 << 20, old, sizeof(old));
	assert_memory_equal(old, zeroes, sizeof(old));
	life_end(&next);
	life_end(&life);
	loop_destroy(life.loop);
}

static void test_answered_writes_outlive_us(void **state)
{
	check_answered_writes(false);
}

static void test_answered_writes_outlive_us_with_holes(void **state)
{
	check_answered_writes(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answered_writes_outlive_us),
		cmocka_unit_test(test_answered_writes_outlive_us_with_holes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
