/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads of blank space are zeroed by the worker: how much of that one guest gets in one turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/disk/disk.h"
#include "arbiter/pool/pool.h"
#include "core/loop.h"
#include "host/host_disk.h"

#define POOL_BYTES (128u << 20)
#define DISK_BYTES (64u << 20)
#define READS	   4
#define READ_BYTES (32u << 20)

struct read {
	struct disk_request request;
	struct iovec iov;
	bool done;
};

static void on_done(struct disk_request *request, int error)
{
	assert_int_equal(error, 0);
	((struct read *)request)->done = true;
}

static size_t zeroed(const uint8_t *buffer)
{
	size_t bytes = 0;

	while (bytes < READ_BYTES && buffer[bytes] == 0)
		bytes += 4096;
	return bytes;
}

/* Four reads of 32 MiB at once: no turn zeroes more than a few pieces, and all come to their end. */
static void test_large_blank_reads_take_turns(void **state)
{
	struct disk_memory_options options = { .size_bytes = POOL_BYTES };
	struct disk_options disk_options = { .guest = "g", .name = "d" };
	struct loop_options loop_options = { .name = "test" };
	uint8_t *buffer = malloc(READ_BYTES);
	struct read reads[READS] = { 0 };
	struct disk_channel *channel;
	struct error error;
	struct pool_disk *part;
	struct host_disk *host;
	struct disk *disk;
	struct pool *pool;
	struct loop *loop;
	size_t before = 0;
	unsigned turns = 0;

	assert_non_null(buffer);
	memset(buffer, 0xff, READ_BYTES);
	assert_int_equal(loop_create(&loop_options, &loop), 0);
	assert_int_equal(disk_memory_open(&options, &host), 0);
	assert_int_equal(pool_format(host, true, &error), 0);
	assert_int_equal(pool_open(host, &pool, &error), 0);
	assert_int_equal(pool_disk_create(pool, "g/d", DISK_BYTES, &part, &error), 0);
	assert_int_equal(disk_create_on_pool(&disk_options, pool, part, &disk), 0);
	assert_int_equal(disk_channel_open(disk, loop, &channel), 0);

	for (unsigned i = 0; i < READS; i++) {
		struct read *read = &reads[i];

		read->iov = (struct iovec){ buffer, READ_BYTES };
		read->request = (struct disk_request){ .op = DISK_READ,
						       .offset_bytes = i << 20,
						       .length_bytes = READ_BYTES,
						       .iov = &read->iov,
						       .iov_count = 1,
						       .done = on_done };
		disk_submit(channel, &read->request);
		assert_true(zeroed(buffer) <= 1 << 20);
	}
	before = zeroed(buffer);
	while (!reads[0].done || !reads[1].done || !reads[2].done || !reads[3].done) {
		assert_int_equal(loop_turn(loop, 0), 0);
		assert_true(zeroed(buffer) - before <= 2 << 20);
		before = zeroed(buffer);
		turns++;
	}
	assert_int_equal(before, READ_BYTES);
	assert_true(turns > 16);

	disk_channel_close(channel);
	disk_destroy(disk);
	pool_close(pool);
	host->ops->close(host);
	loop_destroy(loop);
	free(buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_large_blank_reads_take_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
