/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual disks of a pool on a disk that cannot punch holes: blank grains, their first writes, and what must
 * be durable before a flush is answered. The physical disk holds 0xee where nobody wrote.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>

#include "arbiter/disk/disk.h"
#include "arbiter/pool/pool.h"
#include "core/clock.h"
#include "core/loop.h"
#include "host/host_disk.h"
#include "held_disk.h"

#define POOL_BYTES  (32u << 20)
#define DISK_BYTES  (2u << 20)
#define GRAIN	    POOL_GRAIN_BYTES
#define THREADS	    2u
#define PIECE_BYTES 512u

struct request {
	struct disk_request disk;	/* first */
	struct iovec iov;
	unsigned done;
	int error;
};

static struct loop *loop;
static struct held_disk *held;
static struct pool *pool;
static struct pool_disk *part;
static struct disk *disk;
static struct disk_channel *channel;
static uint8_t buffer[DISK_BYTES];

static void request_done(struct disk_request *base, int error)
{
	struct request *request = (struct request *)base;

	request->done++;
	request->error = error;
}

static int setup(void **state)
{
	struct loop_options options = { .name = "blank" };
	struct disk_options disk_options = { .guest = "g", .name = "d" };
	struct error error;

	held = held_disk_create(POOL_BYTES, 512);
	assert_int_equal(loop_create(&options, &loop), 0);
	assert_int_equal(pool_format(&held->host, true, &error), 0);
	assert_int_equal(pool_open(&held->host, &pool, &error), 0);
	assert_int_equal(pool_disk_create(pool, "g/d", DISK_BYTES, &part, &error), 0);
	assert_int_equal(disk_create_on_pool(&disk_options, pool, part, &disk), 0);
	assert_int_equal(disk_channel_open(disk, loop, &channel), 0);
	return 0;
}

static int teardown(void **state)
{
	disk_channel_close(channel);
	disk_destroy(disk);
	pool_close(pool);
	held->host.ops->close(&held->host);
	loop_destroy(loop);
	return 0;
}

static void submit(struct request *request, enum disk_op op, uint64_t offset, uint64_t bytes, uint8_t *data)
{
	*request = (struct request){ .disk = { .op = op, .offset_bytes = offset, .length_bytes = bytes,
					       .done = request_done },
				     .iov = { data, bytes } };
	request->disk.iov = &request->iov;
	request->disk.iov_count = 1;
	disk_submit(channel, &request->disk);
}

static void wait_for(struct request *request)
{
	while (!request->done) {
		held_end_all(held);
		assert_int_equal(loop_turn(loop, NS_PER_MS), 0);
	}
	assert_int_equal(request->done, 1);
	assert_int_equal(request->iov.iov_len, request->disk.length_bytes);
}

static int carry_out(enum disk_op op, uint64_t offset, uint64_t bytes)
{
	struct request request;

	submit(&request, op, offset, bytes, buffer);
	wait_for(&request);
	return request.error;
}

static void write_value(uint64_t offset, uint64_t bytes, uint8_t value)
{
	memset(buffer, value, bytes);
	assert_int_equal(carry_out(DISK_WRITE, offset, bytes), 0);
}

/* The disk's bytes [offset, +bytes) are all `value`. */
static void assert_reads(uint64_t offset, uint64_t bytes, uint8_t value)
{
	memset(buffer, 0x33, bytes);
	assert_int_equal(carry_out(DISK_READ, offset, bytes), 0);
	for (uint64_t i = 0; i < bytes; i++)
		if (buffer[i] != value)
			fail_msg("byte %llu is %02x", (unsigned long long)(offset + i), buffer[i]);
}

static bool is_blank(uint64_t offset)
{
	struct pool_span span;

	assert_true(pool_lookup(part, offset, 1, &span));
	return span.state == POOL_BLANK;
}

/* ---- blank space ---- */

static void blank_space_reads_as_zeroes_unread(void **state)
{
	assert_reads(0, DISK_BYTES, 0);
	assert_int_equal(held->logged, 0);
	assert_int_equal(carry_out(DISK_DISCARD, 0, DISK_BYTES), 0);
	assert_int_equal(carry_out(DISK_WRITE_ZEROES, 512, DISK_BYTES - 512), 0);
	assert_int_equal(held->logged, 0);
	assert_false(pool_disk_dirty(part));
}

static void bounds_are_the_disks_not_the_pools(void **state)
{
	assert_int_equal(carry_out(DISK_READ, DISK_BYTES, 512), -ERANGE);
	assert_int_equal(carry_out(DISK_WRITE, DISK_BYTES - 512, 1024), -ERANGE);
	assert_int_equal(carry_out(DISK_WRITE, UINT64_MAX - 511, 1024), -ERANGE);
	assert_int_equal(held->logged, 0);
	assert_true(is_blank(DISK_BYTES - 512));
}

/* The rest of the grain is zeroed first: nobody sees what was there. */
static void a_first_write_zeroes_its_grain(void **state)
{
	write_value(GRAIN + 1024, 512, 0x11);
	assert_int_equal(held->logged, 2);
	assert_int_equal(held->log[0].op, HOST_IO_ZERO);
	assert_int_equal(held->log[0].length, GRAIN);
	assert_int_equal(held->log[1].op, HOST_IO_WRITE);
	assert_int_equal(held->log[1].offset, held->log[0].offset + 1024);
	assert_false(is_blank(GRAIN));
	assert_true(is_blank(0));
	assert_true(is_blank(2 * GRAIN));
	assert_reads(GRAIN, 1024, 0);
	assert_reads(GRAIN + 1024, 512, 0x11);
	assert_reads(GRAIN + 1536, GRAIN - 1536, 0);
	/* The second write finds it written. */
	held->logged = 0;
	write_value(GRAIN, 512, 0x22);
	assert_int_equal(held->logged, 1);
}

static void whole_grains_need_no_zeroes(void **state)
{
	write_value(2 * GRAIN, 3 * GRAIN, 0x44);
	for (unsigned i = 0; i < held->logged; i++)
		assert_int_equal(held->log[i].op, HOST_IO_WRITE);
	assert_reads(2 * GRAIN, 3 * GRAIN, 0x44);
	assert_true(is_blank(GRAIN));
	assert_true(is_blank(5 * GRAIN));
}

/* Both ends in the middle of a grain, over the border of an extent, part of it written before. */
static void a_write_over_everything(void **state)
{
	uint64_t start = POOL_EXTENT_BYTES - 2 * GRAIN - 512, bytes = 4 * GRAIN + 1024;

	write_value(POOL_EXTENT_BYTES - GRAIN, 512, 0x55);
	write_value(start, bytes, 0x66);
	assert_reads(start, bytes, 0x66);
	assert_reads(start - GRAIN + 512, GRAIN - 512, 0);
	assert_reads(start + bytes, GRAIN - 512, 0);
}

/* Data that did not arrive leaves the grain blank, with its lock free for the next. */
static void a_first_write_that_fails(void **state)
{
	for (unsigned step = 0; step < 2; step++) {
		struct request request;

		memset(buffer, 0x77, 512);
		submit(&request, DISK_WRITE, 512, 512, buffer);
		if (step == 1)
			held_end(held, 0, 0);
		held_end(held, 0, -EIO);
		assert_int_equal(request.done, 1);
		assert_int_equal(request.error, -EIO);
		assert_int_equal(held->held_count, 0);
		assert_true(is_blank(0));
		assert_reads(0, GRAIN, 0);
	}
	write_value(512, 512, 0x78);
	assert_reads(512, 512, 0x78);
}

/* Discarded grains read as zeroes at once, whatever the disk has there. */
static void discarded_grains_are_blank_again(void **state)
{
	write_value(0, 4 * GRAIN, 0x12);
	held->logged = 0;
	assert_int_equal(carry_out(DISK_DISCARD, GRAIN, 2 * GRAIN), 0);
	assert_int_equal(held->logged, 0);
	assert_reads(0, GRAIN, 0x12);
	assert_reads(GRAIN, 2 * GRAIN, 0);
	assert_reads(3 * GRAIN, GRAIN, 0x12);
	/* Edges are written with zeroes. */
	assert_int_equal(carry_out(DISK_WRITE_ZEROES, 512, 1024), 0);
	assert_reads(0, 512, 0x12);
	assert_reads(512, 1024, 0);
	assert_reads(1536, GRAIN - 1536, 0x12);
	/* Written anew, a discarded grain does not show its former bytes. */
	write_value(GRAIN + 512, 512, 0x13);
	assert_reads(GRAIN, 512, 0);
	assert_reads(GRAIN + 1024, GRAIN - 1024, 0);
}

/* Two first writes to one grain: the second waits for the first, and neither is zeroed away. */
static void two_first_writes_to_one_grain(void **state)
{
	static uint8_t one[512], two[512];
	struct request first, second;

	memset(one, 0x0a, 512);
	memset(two, 0x0b, 512);
	submit(&first, DISK_WRITE, 1024, 512, one);
	submit(&second, DISK_WRITE, 4096, 512, two);
	assert_int_equal(held->held_count, 1);
	held_end(held, 0, 0);	/* zeroes */
	assert_int_equal(held->held_count, 1);
	held_end(held, 0, 0);	/* the first's data */
	wait_for(&first);
	wait_for(&second);
	assert_int_equal(held->logged, 3);
	assert_reads(0, 1024, 0);
	assert_reads(1024, 512, 0x0a);
	assert_reads(4096, 512, 0x0b);
	assert_reads(4608, GRAIN - 4608, 0);
}

/* ---- durability ---- */

static void turn_for(uint64_t ns)
{
	uint64_t start = clock_now_ns();

	while (clock_now_ns() - start < ns)
		assert_int_equal(loop_turn(loop, NS_PER_MS), 0);
}

/*
 * Marks that are not durable are committed before the flush is answered: flush of the data, journal, flush
 * again. With the journal's flushes held there is no answer.
 */
/* Or a daemon that is killed now would answer the guest's next flush through its successor with a lie. */
static void marks_are_durable_before_a_write_is_answered(void **state)
{
	struct request request;
	unsigned flushes = __atomic_load_n(&held->sync_flushes, __ATOMIC_RELAXED);

	pthread_mutex_lock(&held->sync_gate);
	submit(&request, DISK_WRITE, 0, 512, buffer);
	held_end_all(held);
	turn_for(20 * NS_PER_MS);
	assert_int_equal(held->held_count, 0);
	assert_int_equal(request.done, 0);
	assert_true(pool_disk_dirty(part));
	pthread_mutex_unlock(&held->sync_gate);
	wait_for(&request);
	assert_int_equal(request.error, 0);
	assert_int_equal(__atomic_load_n(&held->sync_flushes, __ATOMIC_RELAXED), flushes + 2);
	assert_false(pool_disk_dirty(part));

	/* Nothing marked since: the host's flush is enough. */
	held->logged = 0;
	assert_int_equal(carry_out(DISK_FLUSH, 0, 0), 0);
	assert_int_equal(held->logged, 1);
	assert_int_equal(held->log[0].op, HOST_IO_FLUSH);
	assert_int_equal(__atomic_load_n(&held->sync_flushes, __ATOMIC_RELAXED), flushes + 2);
}

static void write_through_commits_the_marks(void **state)
{
	struct request request = { .disk = { .op = DISK_WRITE,
					     .through = true,
					     .offset_bytes = 0,
					     .length_bytes = 512,
					     .done = request_done,
					     .iov_count = 1 },
				   .iov = { buffer, 512 } };

	request.disk.iov = &request.iov;
	pthread_mutex_lock(&held->sync_gate);
	disk_submit(channel, &request.disk);
	held_end(held, 0, 0);
	held_end(held, 0, 0);
	turn_for(10 * NS_PER_MS);
	assert_int_equal(request.done, 0);
	pthread_mutex_unlock(&held->sync_gate);
	wait_for(&request);
	assert_int_equal(request.error, 0);
	assert_false(pool_disk_dirty(part));
}

/* A flush that was answered: the bytes and the marks are there after a restart without any close. */
static void flushed_bytes_survive(void **state)
{
	struct held_disk *copy = held_disk_create(POOL_BYTES, 512);
	struct pool_span span;
	struct error error;
	struct pool *other;

	write_value(GRAIN, 512, 0x31);
	assert_int_equal(carry_out(DISK_FLUSH, 0, 0), 0);
	memcpy(copy->bytes, held->bytes, POOL_BYTES);
	assert_int_equal(pool_open(&copy->host, &other, &error), 0);
	assert_true(pool_lookup(pool_disk_find(other, "g/d"), GRAIN, 512, &span));
	assert_int_equal(span.state, POOL_WRITTEN);
	assert_int_equal(copy->bytes[span.offset_bytes], 0x31);
	pool_close(other);
	copy->host.ops->close(&copy->host);
}

/* ---- two workers ---- */

struct worker {
	pthread_t thread;
	struct loop *own_loop;	/* outlives the threads and the pool, which may be leaving loop_post() */
	unsigned index, failures;
};

static struct disk *shared;

/* Every other piece of every grain is this worker's: both meet at each grain's first write. */
static void *work(void *argument)
{
	struct worker *worker = argument;
	struct loop *own_loop = worker->own_loop;
	struct disk_channel *own;
	uint8_t data[PIECE_BYTES];

	if (disk_channel_open(shared, own_loop, &own))
		abort();
	for (uint64_t grain = 0; grain < DISK_BYTES / GRAIN; grain++) {
		for (unsigned i = 0; i < 4; i++) {
			struct request request = { .disk = { .op = DISK_WRITE,
							     .length_bytes = PIECE_BYTES,
							     .iov_count = 1,
							     .done = request_done },
						   .iov = { data, PIECE_BYTES } };

			memset(data, (int)(1 + worker->index), sizeof(data));
			request.disk.iov = &request.iov;
			request.disk.offset_bytes = grain * GRAIN + (2 * i + worker->index) * PIECE_BYTES;
			disk_submit(own, &request.disk);
			while (!request.done)
				loop_turn(own_loop, NS_PER_S);
			worker->failures += request.error != 0;
		}
	}
	disk_channel_close(own);
	return NULL;
}

static void two_workers_write_to_the_same_grains(void **state)
{
	struct disk_memory_options options = { .size_bytes = POOL_BYTES, .write_base_ns = 30000 };
	struct disk_options disk_options = { .guest = "g", .name = "s" };
	struct loop_options loop_options = { .name = "worker" };
	struct worker workers[THREADS] = { { .index = 0 }, { .index = 1 } };
	struct host_disk *memory;
	struct pool_disk *shared_part;
	struct error error;
	struct pool *shared_pool;
	struct pool_span span;

	assert_int_equal(disk_memory_open(&options, &memory), 0);
	memset(disk_memory_bytes(memory), 0xee, POOL_BYTES);
	assert_int_equal(pool_format(memory, true, &error), 0);
	assert_int_equal(pool_open(memory, &shared_pool, &error), 0);
	assert_int_equal(pool_disk_create(shared_pool, "g/s", DISK_BYTES, &shared_part, &error), 0);
	assert_int_equal(disk_create_on_pool(&disk_options, shared_pool, shared_part, &shared), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(loop_create(&loop_options, &workers[i].own_loop), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_int_equal(workers[i].failures, 0);
	}
	for (uint64_t at = 0; at < DISK_BYTES; at += PIECE_BYTES) {
		uint64_t piece = at % GRAIN / PIECE_BYTES;
		uint8_t expected = piece < 8 ? (uint8_t)(1 + piece % 2) : 0;

		assert_true(pool_lookup(shared_part, at, PIECE_BYTES, &span));
		assert_int_equal(span.state, POOL_WRITTEN);
		for (unsigned i = 0; i < PIECE_BYTES; i++)
			assert_int_equal(disk_memory_bytes(memory)[span.offset_bytes + i], expected);
	}
	disk_destroy(shared);
	pool_close(shared_pool);
	for (unsigned i = 0; i < THREADS; i++)
		loop_destroy(workers[i].own_loop);
	memory->ops->close(memory);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(blank_space_reads_as_zeroes_unread),
		TEST(bounds_are_the_disks_not_the_pools),
		TEST(a_first_write_zeroes_its_grain),
		TEST(whole_grains_need_no_zeroes),
		TEST(a_write_over_everything),
		TEST(a_first_write_that_fails),
		TEST(discarded_grains_are_blank_again),
		TEST(two_first_writes_to_one_grain),
		TEST(marks_are_durable_before_a_write_is_answered),
		TEST(write_through_commits_the_marks),
		TEST(flushed_bytes_survive),
		cmocka_unit_test(two_workers_write_to_the_same_grains),
	};

	return cmocka_run_group_tests_name("disk_blank", tests, NULL, NULL);
}
