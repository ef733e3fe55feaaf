/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtual disk that is a whole host disk: bounds, order of host I/Os, errors, accounting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>

#include "arbiter/disk/disk.h"
#include "arbiter/disk/disk_stats.h"
#include "core/clock.h"
#include "core/loop.h"
#include "host/host_disk.h"
#include "held_disk.h"
#include "stopped_clock.h"

#define SIZE (1u << 20)

struct request {
	struct disk_request disk;	/* first */
	struct iovec iov[2];
	unsigned done;
	int error;
};

static struct loop *loop;
static struct held_disk *held;
static struct disk *disk;
static struct disk_channel *channel;
static uint8_t buffer[SIZE];

static void request_done(struct disk_request *base, int error)
{
	struct request *request = (struct request *)base;

	request->done++;
	request->error = error;
}

static void begin_on(struct held_disk *host, bool read_only)
{
	struct loop_options options = { .name = "disk", .clocks = &stopped_clocks };
	struct disk_options disk_options = { .guest = "alice", .name = "root", .read_only = read_only };

	held = host;
	assert_int_equal(loop_create(&options, &loop), 0);
	assert_int_equal(disk_create_on_host(&disk_options, &held->host, &disk), 0);
	assert_int_equal(disk_channel_open(disk, loop, &channel), 0);
}

static int setup(void **state)
{
	begin_on(held_disk_create(SIZE, 512), false);
	return 0;
}

static int teardown(void **state)
{
	disk_channel_close(channel);
	disk_destroy(disk);
	held->host.ops->close(&held->host);
	loop_destroy(loop);
	return 0;
}

static void submit(struct request *request, enum disk_op op, uint64_t offset, uint64_t bytes, bool through)
{
	*request = (struct request){ .disk = { .op = op, .through = through, .offset_bytes = offset,
					       .length_bytes = bytes, .done = request_done } };
	if (op == DISK_READ || op == DISK_WRITE) {
		uint64_t first = bytes < SIZE ? bytes / 2 : SIZE / 2;

		request->iov[0] = (struct iovec){ buffer, first };
		request->iov[1] =
			(struct iovec){ buffer + SIZE / 2, bytes < SIZE ? bytes - first : SIZE / 2 };
		request->disk.iov = request->iov;
		request->disk.iov_count = 2;
	}
	disk_submit(channel, &request->disk);
}

/* Submits, lets every host I/O succeed, and returns the result. */
static int carry_out(enum disk_op op, uint64_t offset, uint64_t bytes, bool through)
{
	struct request request;

	submit(&request, op, offset, bytes, through);
	held_end_all(held);
	assert_int_equal(request.done, 1);
	return request.error;
}

/* Read anew with each call. */
static const struct disk_stats *stats(void)
{
	static struct disk_stats now;

	disk_stats_read(disk, &now);
	return &now;
}

/* ---- bounds ---- */

static void outside_is_refused(void **state)
{
	static const uint64_t ranges[][2] = {
		{ SIZE, 512 },
		{ SIZE - 512, 1024 },
		{ 0, SIZE + 512 },
		{ SIZE + 512, 512 },
		{ 1ull << 40, 512 },
		{ UINT64_MAX - 511, 512 },
		{ UINT64_MAX - 511, 1024 },
		{ 512, UINT64_MAX - 511 },
		{ 0, 0 },
		{ SIZE, 0 },
		{ 1ull << 63, 1ull << 63 },
	};
	static const enum disk_op ops[] = { DISK_READ, DISK_WRITE, DISK_DISCARD, DISK_WRITE_ZEROES };
	unsigned refused = 0;

	held->host.geometry.can_punch = true;
	for (unsigned i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		for (unsigned j = 0; j < 4; j++) {
			assert_int_equal(carry_out(ops[j], ranges[i][0], ranges[i][1], j % 2), -ERANGE);
			refused++;
		}
	}
	assert_int_equal(held->logged, 0);
	assert_int_equal(counter_read(&stats()->refused), refused);
	assert_int_equal(counter_read(&stats()->errors), 0);
	assert_int_equal(counter_read(&stats()->in_flight), 0);
	/* The first and the last byte are inside. */
	assert_int_equal(carry_out(DISK_READ, 0, SIZE, false), 0);
	assert_int_equal(carry_out(DISK_READ, SIZE - 512, 512, false), 0);
	assert_int_equal(counter_read(&stats()->refused), refused);
}

static void misaligned_is_refused(void **state)
{
	static const uint64_t ranges[][2] = {
		{ 1, 512 }, { 511, 512 }, { 0, 511 }, { 256, 256 }, { UINT64_MAX, 512 }
	};

	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(carry_out(DISK_WRITE, ranges[i][0], ranges[i][1], false), -EINVAL);
	assert_int_equal(held->logged, 0);
	assert_int_equal(counter_read(&stats()->refused), 5);
	teardown(state);

	begin_on(held_disk_create(SIZE, 4096), false);
	assert_int_equal(carry_out(DISK_READ, 512, 4096, false), -EINVAL);
	assert_int_equal(carry_out(DISK_READ, 4096, 512, false), -EINVAL);
	assert_int_equal(carry_out(DISK_READ, 4096, 4096, false), 0);
}

static void a_read_only_disk(void **state)
{
	teardown(state);
	begin_on(held_disk_create(SIZE, 512), true);
	assert_int_equal(carry_out(DISK_WRITE, 0, 512, false), -EROFS);
	assert_int_equal(carry_out(DISK_DISCARD, 0, 512, false), -EROFS);
	assert_int_equal(carry_out(DISK_WRITE_ZEROES, 0, 512, true), -EROFS);
	assert_int_equal(held->logged, 0);
	assert_int_equal(counter_read(&stats()->refused), 3);
	assert_int_equal(carry_out(DISK_READ, 0, 512, false), 0);
	assert_int_equal(carry_out(DISK_FLUSH, 0, 0, false), 0);
}

static void it_grows(void **state)
{
	held->host.geometry.size_bytes = SIZE - 4096;
	disk_resized(disk);
	assert_int_equal(carry_out(DISK_READ, SIZE - 4096, 512, false), -ERANGE);
	held->host.geometry.size_bytes = SIZE;
	assert_int_equal(carry_out(DISK_READ, SIZE - 4096, 512, false), -ERANGE);
	disk_resized(disk);
	assert_int_equal(disk_size_bytes(disk), SIZE);
	assert_int_equal(carry_out(DISK_READ, SIZE - 4096, 512, false), 0);
}

/* ---- what reaches the host disk ---- */

static void bytes_arrive(void **state)
{
	for (unsigned i = 0; i < SIZE; i++)
		buffer[i] = (uint8_t)(i * 7 + i / 256);
	assert_int_equal(carry_out(DISK_WRITE, 1024, 3072, false), 0);
	assert_memory_equal(held->bytes + 1024, buffer, 1536);
	assert_memory_equal(held->bytes + 2560, buffer + SIZE / 2, 1536);
	assert_int_equal(held->bytes[1023], 0xee);
	assert_int_equal(held->bytes[4096], 0xee);
	memset(buffer, 0, SIZE);
	assert_int_equal(carry_out(DISK_READ, 1024, 3072, false), 0);
	assert_memory_equal(held->bytes + 1024, buffer, 1536);
	assert_memory_equal(held->bytes + 2560, buffer + SIZE / 2, 1536);
}

/* Write-through: the flush is asked for when the data has arrived, and the answer comes after the flush. */
static void write_through_flushes_after_the_data(void **state)
{
	static const enum disk_op ops[] = { DISK_WRITE, DISK_WRITE_ZEROES };
	struct request request;

	for (unsigned i = 0; i < 2; i++) {
		held->logged = 0;
		submit(&request, ops[i], 4096, 4096, true);
		assert_int_equal(held->logged, 1);
		assert_int_equal(held->log[0].op, i == 0 ? HOST_IO_WRITE : HOST_IO_ZERO);
		held_end(held, 0, 0);
		assert_int_equal(request.done, 0);
		assert_int_equal(held->logged, 2);
		assert_int_equal(held->log[1].op, HOST_IO_FLUSH);
		assert_int_equal(counter_read(&stats()->in_flight), 1);
		held_end(held, 0, 0);
		assert_int_equal(request.done, 1);
		assert_int_equal(request.error, 0);
		assert_int_equal(counter_read(&stats()->in_flight), 0);
	}
	/* No flush after data that did not arrive, and none for a read. */
	held->logged = 0;
	submit(&request, DISK_WRITE, 0, 512, true);
	held_end(held, 0, -EIO);
	assert_int_equal(request.error, -EIO);
	submit(&request, DISK_READ, 0, 512, true);
	held_end(held, 0, 0);
	assert_int_equal(request.error, 0);
	assert_int_equal(held->logged, 2);
}

static void a_flush_of_a_write_through_fails(void **state)
{
	struct request request;

	submit(&request, DISK_WRITE, 0, 512, true);
	held_end(held, 0, 0);
	held_end(held, 0, -EIO);
	assert_int_equal(request.done, 1);
	assert_int_equal(request.error, -EIO);
	assert_int_equal(counter_read(&stats()->errors), 1);
	assert_int_equal(counter_read(&stats()->operations[DISK_WRITE]), 0);
}

static void zeroing(void **state)
{
	assert_int_equal(carry_out(DISK_WRITE_ZEROES, 512, 1024, false), 0);
	assert_int_equal(held->log[0].op, HOST_IO_ZERO);
	held->host.geometry.can_punch = true;
	assert_int_equal(carry_out(DISK_WRITE_ZEROES, 512, 1024, false), 0);
	assert_int_equal(held->log[1].op, HOST_IO_DISCARD);
	assert_int_equal(carry_out(DISK_DISCARD, 4096, 4096, false), 0);
	assert_int_equal(held->log[2].op, HOST_IO_DISCARD);
	assert_int_equal(held->log[2].offset, 4096);
	assert_int_equal(held->log[2].length, 4096);
	assert_int_equal(held->bytes[511], 0xee);
	assert_int_equal(held->bytes[512], 0);
	assert_int_equal(held->bytes[1536], 0xee);
}

/* ---- accounting ---- */

static void counters(void **state)
{
	struct disk_channel *second;
	struct disk_stats now;
	struct request one, two;

	carry_out(DISK_READ, 0, 4096, false);
	carry_out(DISK_READ, 0, 512, false);
	carry_out(DISK_WRITE, 0, 1024, true);
	carry_out(DISK_FLUSH, 0, 0, false);
	now = *stats();
	assert_int_equal(counter_read(&now.operations[DISK_READ]), 2);
	assert_int_equal(counter_read(&now.bytes[DISK_READ]), 4608);
	assert_int_equal(counter_read(&now.operations[DISK_WRITE]), 1);
	assert_int_equal(counter_read(&now.bytes[DISK_WRITE]), 1024);
	assert_int_equal(counter_read(&now.operations[DISK_FLUSH]), 1);
	assert_int_equal(counter_read(&now.latency[DISK_READ].count), 2);

	submit(&one, DISK_READ, 0, 512, false);
	submit(&two, DISK_READ, 0, 512, false);
	assert_int_equal(counter_read(&stats()->in_flight), 2);
	held_end(held, 1, 0);
	assert_int_equal(two.done, 1);
	assert_int_equal(one.done, 0);
	assert_int_equal(counter_read(&stats()->in_flight), 1);
	held_end(held, 0, 0);

	/* What a closed channel counted stays. */
	assert_int_equal(disk_channel_open(disk, loop, &second), 0);
	assert_int_equal(disk_channel_count(disk), 2);
	disk_channel_close(channel);
	channel = second;
	assert_int_equal(disk_channel_count(disk), 1);
	carry_out(DISK_READ, 0, 512, false);
	now = *stats();
	assert_int_equal(counter_read(&now.operations[DISK_READ]), 5);
	assert_int_equal(counter_read(&now.latency[DISK_READ].count), 5);
	assert_int_equal(counter_read(&now.in_flight), 0);
}

static void errors_pass_through_and_count(void **state)
{
	static const int errors[] = { -EIO, -ENOSPC, -ENODEV, -EFAULT };

	for (unsigned i = 0; i < 4; i++) {
		struct request request;

		submit(&request, DISK_WRITE, 0, 512, false);
		held_end(held, 0, errors[i]);
		assert_int_equal(request.error, errors[i]);
		assert_int_equal(counter_read(&stats()->errors), i + 1);
		assert_int_equal(counter_read(&stats()->in_flight), 0);
	}
	assert_int_equal(counter_read(&stats()->operations[DISK_WRITE]), 0);
	assert_int_equal(counter_read(&stats()->refused), 0);
	assert_int_equal(carry_out(DISK_WRITE, 0, 512, false), 0);
}

static void latency_is_measured(void **state)
{
	struct request request;

	loop_turn(loop, 0);
	submit(&request, DISK_READ, 0, 512, false);
	stopped_clock_ns += 5 * NS_PER_MS;
	loop_turn(loop, 0);
	held_end(held, 0, 0);
	assert_in_range(histogram_quantile_ns(&stats()->latency[DISK_READ], 0.5), 4 * NS_PER_MS,
			6 * NS_PER_MS);
}

/* On the in-memory disk, whose first failed flush is for good. */
static void a_failed_flush_stays_failed(void **state)
{
	struct disk_memory_options options = { .size_bytes = SIZE };
	struct disk_options disk_options = { .guest = "alice", .name = "root" };
	struct host_disk *memory;
	struct disk *own;
	struct disk_channel *first = channel;
	struct disk *first_disk = disk;

	assert_int_equal(disk_memory_open(&options, &memory), 0);
	assert_int_equal(disk_create_on_host(&disk_options, memory, &own), 0);
	disk = own;
	assert_int_equal(disk_channel_open(own, loop, &channel), 0);
	assert_int_equal(carry_out(DISK_FLUSH, 0, 0, false), 0);
	disk_memory_fail(memory, HOST_IO_FLUSH, 0, 0, 1, -EIO);
	assert_int_equal(carry_out(DISK_FLUSH, 0, 0, false), -EIO);
	assert_int_equal(carry_out(DISK_FLUSH, 0, 0, false), -EIO);
	assert_int_equal(carry_out(DISK_WRITE, 0, 512, true), -EIO);
	assert_int_equal(carry_out(DISK_WRITE, 0, 512, false), 0);
	assert_int_equal(counter_read(&stats()->errors), 3);
	disk_channel_close(channel);
	disk_destroy(own);
	memory->ops->close(memory);
	channel = first;
	disk = first_disk;
}

static void names(void **state)
{
	assert_string_equal(disk_guest(disk), "alice");
	assert_string_equal(disk_name(disk), "root");
	for (unsigned i = 0; i < DISK_OPS; i++)
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(disk_op_text((enum disk_op)i), disk_op_text((enum disk_op)j));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(outside_is_refused),
		TEST(misaligned_is_refused),
		TEST(a_read_only_disk),
		TEST(it_grows),
		TEST(bytes_arrive),
		TEST(write_through_flushes_after_the_data),
		TEST(a_flush_of_a_write_through_fails),
		TEST(zeroing),
		TEST(counters),
		TEST(errors_pass_through_and_count),
		TEST(latency_is_measured),
		TEST(a_failed_flush_stays_failed),
		TEST(names),
	};

	return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
