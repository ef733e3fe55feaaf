/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads, writes, discards and zeroes on real files, in the page cache and with O_DIRECT. */
#include "disk_directory.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

#include "host/disk_uring_private.h"

#define FILE_BYTES (16 * MIB)

static const enum host_disk_cache caches[] = { HOST_DISK_CACHE_BUFFERED, HOST_DISK_CACHE_DIRECT };

static uint8_t *pages(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

/* Runs `body` for each cache mode that works here. */
static void for_each_cache(void (*body)(struct fixture *fixture))
{
	for (int i = 0; i < 2; i++) {
		struct fixture fixture;

		if (caches[i] == HOST_DISK_CACHE_DIRECT && !direct_works())
			continue;
		start_file(&fixture, "disk", FILE_BYTES, caches[i]);
		body(&fixture);
		fixture_finish(&fixture);
		remove_file("disk");
	}
}

static void write_and_read(struct fixture *fixture)
{
	size_t bytes = 64 * KIB;
	uint8_t *written = pages(bytes), *read = pages(bytes), byte;

	fill(written, bytes, 1);
	assert_int_equal(run(fixture, HOST_IO_WRITE, FILE_BYTES - bytes, bytes, written), 0);
	assert_int_equal(run(fixture, HOST_IO_READ, FILE_BYTES - bytes, bytes, read), 0);
	assert_memory_equal(read, written, bytes);
	assert_int_equal(run(fixture, HOST_IO_READ, FILE_BYTES - 2 * bytes, bytes, read), 0);
	assert_true(all_zero(read, bytes));
	assert_int_equal(run(fixture, HOST_IO_FLUSH, 0, 0, NULL), 0);
	assert_int_equal(fixture->disk->ops->read_sync(fixture->disk, FILE_BYTES - bytes + 777, &byte, 1), 0);
	assert_int_equal(byte, written[777]);
	munmap(written, bytes);
	munmap(read, bytes);
}

static void test_write_and_read(void **state)
{
	for_each_cache(write_and_read);
}

/* From one iovec to more than one system call takes. */
static void many_iovecs(struct fixture *fixture)
{
	static const unsigned counts[] = { 1, 2, 31, 1024, 1025, 3000 };
	struct iovec *iov = calloc(3000, sizeof(*iov)), *copy = calloc(3000, sizeof(*iov));
	size_t bytes = 3000 * 512;
	uint8_t *written = pages(bytes), *read = pages(bytes);

	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		unsigned count = counts[c];

		fill(written, bytes, count);
		for (unsigned i = 0; i < count; i++)
			iov[i] = (struct iovec){ written + 512ul * i, 512 };
		memcpy(copy, iov, count * sizeof(*iov));
		assert_int_equal(run_iov(fixture, HOST_IO_WRITE, 4096, 512ull * count, iov, count), 0);
		assert_memory_equal(iov, copy, count * sizeof(*iov));
		/* Backwards, so that order matters. */
		for (unsigned i = 0; i < count; i++)
			iov[i] = (struct iovec){ read + 512ul * (count - 1 - i), 512 };
		assert_int_equal(run_iov(fixture, HOST_IO_READ, 4096, 512ull * count, iov, count), 0);
		for (unsigned i = 0; i < count; i++)
			assert_memory_equal(read + 512ul * (count - 1 - i), written + 512ul * i, 512);
	}
	free(iov);
	free(copy);
	munmap(written, bytes);
	munmap(read, bytes);
}

static void test_many_iovecs(void **state)
{
	for_each_cache(many_iovecs);
}

/* ---- buffers that O_DIRECT does not take ---- */

#define MISALIGNED_REQUESTS (3 * BOUNCE_BUFFERS)
#define MISALIGNED_BYTES    (BOUNCE_BUFFER_BYTES * 2 + 4096)

/* More requests at once than there are buffers, each longer than a buffer, in odd pieces. */
static void misaligned(struct fixture *fixture, enum host_io_op op, uint8_t *memory)
{
	struct request requests[MISALIGNED_REQUESTS];
	struct iovec iov[MISALIGNED_REQUESTS][3];

	for (unsigned i = 0; i < MISALIGNED_REQUESTS; i++) {
		uint8_t *at = memory + i * (MISALIGNED_BYTES + 16ul) + 3;

		iov[i][0] = (struct iovec){ at, 1001 };
		iov[i][1] = (struct iovec){ at + 1001, BOUNCE_BUFFER_BYTES };
		iov[i][2] = (struct iovec){ at + 1001 + BOUNCE_BUFFER_BYTES,
					    MISALIGNED_BYTES - 1001 - BOUNCE_BUFFER_BYTES };
		request_prepare(&requests[i], op, (uint64_t)i * MISALIGNED_BYTES, MISALIGNED_BYTES, iov[i],
				3);
		host_submit(fixture->channel, &requests[i].io);
	}
	for (unsigned i = 0; i < MISALIGNED_REQUESTS; i++)
		assert_int_equal(request_wait(fixture, &requests[i]), 0);
}

static void misaligned_buffers(struct fixture *fixture)
{
	size_t bytes = MISALIGNED_REQUESTS * (MISALIGNED_BYTES + 16ul) + 4096;
	uint8_t *written = pages(bytes), *read = pages(bytes);

	fill(written, bytes, 5);
	misaligned(fixture, HOST_IO_WRITE, written);
	misaligned(fixture, HOST_IO_READ, read);
	for (unsigned i = 0; i < MISALIGNED_REQUESTS; i++) {
		size_t at = i * (MISALIGNED_BYTES + 16ul) + 3;

		assert_memory_equal(read + at, written + at, MISALIGNED_BYTES);
		assert_true(all_zero(read + at - 3, 3));
		assert_true(all_zero(read + at + MISALIGNED_BYTES, 13));
	}
	munmap(written, bytes);
	munmap(read, bytes);
}

static void test_misaligned_buffers(void **state)
{
	for_each_cache(misaligned_buffers);
}

/* ---- space ---- */

static void zero_and_discard(struct fixture *fixture)
{
	struct disk_uring *disk = uring_disk(fixture->disk);
	size_t bytes = 3 * MIB;
	uint8_t *buffer = pages(bytes), *before = pages(bytes);
	uint64_t full;

	fill(before, bytes, 7);
	/* 1536 bytes at either end make ZERO_WRITE's last piece short and punching cut pages. */
	for (unsigned method = ZERO_PUNCH; method <= ZERO_WRITE; method++) {
		uint64_t length = bytes - 3072;

		disk->zero_method = method;
		assert_int_equal(run(fixture, HOST_IO_WRITE, MIB, bytes, before), 0);
		assert_int_equal(run(fixture, HOST_IO_ZERO, MIB + 1536, length, NULL), 0);
		assert_int_equal(run(fixture, HOST_IO_READ, MIB, bytes, buffer), 0);
		assert_memory_equal(buffer, before, 1536);
		assert_true(all_zero(buffer + 1536, length));
		assert_memory_equal(buffer + 1536 + length, before + 1536 + length, 1536);
	}
	disk->zero_method = ZERO_PUNCH;
	assert_int_equal(run(fixture, HOST_IO_WRITE, MIB, bytes, before), 0);
	assert_int_equal(run(fixture, HOST_IO_FLUSH, 0, 0, NULL), 0);
	full = allocated_bytes("disk");
	assert_int_equal(run(fixture, HOST_IO_DISCARD, MIB, 2 * MIB, NULL), 0);
	assert_true(allocated_bytes("disk") + 2 * MIB <= full);
	assert_int_equal(run(fixture, HOST_IO_READ, MIB, bytes, buffer), 0);
	assert_true(all_zero(buffer, 2 * MIB));
	assert_memory_equal(buffer + 2 * MIB, before + 2 * MIB, MIB);
	assert_int_equal(fixture->disk->ops->punch_sync(fixture->disk, 3 * MIB, MIB), 0);
	assert_int_equal(run(fixture, HOST_IO_READ, MIB, bytes, buffer), 0);
	assert_true(all_zero(buffer, bytes));
	munmap(buffer, bytes);
	munmap(before, bytes);
}

static void test_zero_and_discard(void **state)
{
	for_each_cache(zero_and_discard);
}

/* ---- what the kernel left over ---- */

/*
 * Stands between the ring and the driver, and tells the driver less than what was done: at most
 * `report_max` bytes, after `interruptions` times -EINTR or -EAGAIN. What it hides it also undoes.
 */
static struct {
	void (*done)(struct loop_op *op, int result, unsigned cqe_flags);
	int report_max;
	unsigned interruptions;
	uint8_t *scrub;
	size_t scrub_bytes;
	unsigned calls;
} between;

static void report_less(struct loop_op *op, int result, unsigned cqe_flags)
{
	struct host_io *io = uring_io_of(op);

	between.calls++;
	if (between.interruptions > 0) {
		result = between.interruptions-- % 2 ? -EINTR : -EAGAIN;
	} else if (result > between.report_max) {
		uint64_t known = uring_io(io)->done_bytes + (uint64_t)between.report_max;

		result = between.report_max;
		if (io->op == HOST_IO_READ && known < between.scrub_bytes)
			memset(between.scrub + known, 0xee, between.scrub_bytes - known);
	}
	between.done(op, result, cqe_flags);
}

/* One request whose completions are cut; returns its error. */
static int run_cut(struct fixture *fixture, enum host_io_op op, uint64_t bytes, struct iovec *iov,
		   unsigned count, int report_max, unsigned interruptions)
{
	struct request request;

	request_prepare(&request, op, 0, bytes, iov, count);
	host_submit(fixture->channel, &request.io);
	between.done = uring_io(&request.io)->op.done;
	between.report_max = report_max;
	between.interruptions = interruptions;
	between.calls = 0;
	uring_io(&request.io)->op.done = report_less;
	return request_wait(fixture, &request);
}

static void short_transfers(struct fixture *fixture)
{
	static const int cuts[] = { 512, 1024, 1536, 4096, 7 * 512 };
	size_t bytes = 16 * KIB, odd = uring_disk(fixture->disk)->direct ? 512 : 1;
	uint8_t *written = pages(bytes), *read = pages(bytes);

	between.scrub = read;
	between.scrub_bytes = bytes;
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		/* In O_DIRECT, an odd byte is done again; in the page cache, it counts. */
		int cut = cuts[i] + (i % 2 ? (int)(odd % 512) * 3 : 0);
		struct iovec in[4] = { { written, 512 }, { written + 512, 3584 }, { written + 4096, 0 },
				       { written + 4096, bytes - 4096 } };
		struct iovec out[3] = { { read, 4096 }, { read + 4096, 512 }, { read + 4608, bytes - 4608 } };
		struct iovec in_copy[4], out_copy[3];

		fill(written, bytes, (uint32_t)i + 20);
		memset(read, 0, bytes);
		memcpy(in_copy, in, sizeof(in));
		memcpy(out_copy, out, sizeof(out));
		assert_int_equal(run_cut(fixture, HOST_IO_WRITE, bytes, in, 4, cut, 3), 0);
		assert_true(between.calls > bytes / (unsigned)cut);
		assert_int_equal(run_cut(fixture, HOST_IO_READ, bytes, out, 3, cut, 3), 0);
		assert_memory_equal(read, written, bytes);
		assert_memory_equal(in, in_copy, sizeof(in));
		assert_memory_equal(out, out_copy, sizeof(out));
	}
	munmap(written, bytes);
	munmap(read, bytes);
}

static void test_short_transfers(void **state)
{
	for_each_cache(short_transfers);
}

static void endless_interruptions(struct fixture *fixture)
{
	uint8_t *buffer = pages(4096);
	struct iovec iov = { buffer, 4096 };
	int error = run_cut(fixture, HOST_IO_READ, 4096, &iov, 1, 4096, UINT32_MAX);

	assert_true(error == -EINTR || error == -EAGAIN);
	assert_int_equal(between.calls, DISK_URING_ATTEMPTS_MAX + 1);
	munmap(buffer, 4096);
}

static void test_endless_interruptions_end(void **state)
{
	for_each_cache(endless_interruptions);
}

static void short_bounced(struct fixture *fixture)
{
	size_t bytes = 16 * KIB;
	uint8_t *written = pages(bytes + 4096) + 1, *read = pages(bytes + 4096) + 1;
	struct iovec in = { written, bytes }, out = { read, bytes };

	between.scrub_bytes = 0;
	fill(written, bytes, 99);
	assert_int_equal(run_cut(fixture, HOST_IO_WRITE, bytes, &in, 1, 1536, 5), 0);
	assert_int_equal(run_cut(fixture, HOST_IO_READ, bytes, &out, 1, 2048 + 100, 5), 0);
	assert_memory_equal(read, written, bytes);
	munmap(written - 1, bytes + 4096);
	munmap(read - 1, bytes + 4096);
}

static void test_short_transfers_through_bounce_buffers(void **state)
{
	for_each_cache(short_bounced);
}

/* A guest's flood of large ones waits here, not in the kernel before others' requests; small ones pass it. */
static void many_large_discards(struct fixture *fixture)
{
	struct uring_channel *channel = (struct uring_channel *)fixture->channel;
	struct request requests[40], small;
	uint8_t *buffer = pages(3 * MIB);

	fill(buffer, 3 * MIB, 9);
	assert_int_equal(run(fixture, HOST_IO_WRITE, MIB, 3 * MIB, buffer), 0);
	for (int i = 0; i < 40; i++) {
		request_prepare(&requests[i], i % 2 ? HOST_IO_ZERO : HOST_IO_DISCARD, MIB, 2 * MIB, NULL, 0);
		host_submit(fixture->channel, &requests[i].io);
		assert_true(channel->space_running <= 2);
	}
	request_prepare(&small, HOST_IO_ZERO, 3 * MIB, 64 * KIB, NULL, 0);
	host_submit(fixture->channel, &small.io);
	for (int i = 0; i < 40; i++)
		assert_int_equal(request_wait(fixture, &requests[i]), 0);
	assert_int_equal(request_wait(fixture, &small), 0);
	assert_int_equal(channel->space_running, 0);
	assert_int_equal(run(fixture, HOST_IO_READ, MIB, 3 * MIB, buffer), 0);
	assert_true(all_zero(buffer, 2 * MIB + 64 * KIB));
	munmap(buffer, 3 * MIB);
}

static void test_many_large_discards(void **state)
{
	for_each_cache(many_large_discards);
}

/* ---- flushes ---- */

static void flush_many(struct fixture *fixture)
{
	struct request requests[64];

	for (int i = 0; i < 64; i++) {
		request_prepare(&requests[i], HOST_IO_FLUSH, 0, 0, NULL, 0);
		host_submit(fixture->channel, &requests[i].io);
	}
	for (int i = 0; i < 64; i++)
		assert_int_equal(request_wait(fixture, &requests[i]), 0);
	assert_int_equal(fixture->disk->ops->flush_sync(fixture->disk), 0);
}

static void test_many_flushes(void **state)
{
	for_each_cache(flush_many);
}

#define FLUSHING_WORKERS 3

/* A loop is not destroyed while another thread may still be inside loop_post() to it. */
static pthread_barrier_t nobody_posts;

static void *flushing_worker(void *argument)
{
	struct host_disk *disk = argument;
	struct fixture fixture;
	struct request requests[4];
	uint8_t *buffer = pages(4096);

	fixture_start(&fixture, disk);
	for (unsigned round = 0; round < 50; round++) {
		fill(buffer, 4096, round);
		assert_int_equal(run(&fixture, HOST_IO_WRITE, 4096 * (uint64_t)round, 4096, buffer), 0);
		for (int i = 0; i < 4; i++) {
			request_prepare(&requests[i], HOST_IO_FLUSH, 0, 0, NULL, 0);
			host_submit(fixture.channel, &requests[i].io);
		}
		for (int i = 0; i < 4; i++)
			assert_int_equal(request_wait(&fixture, &requests[i]), 0);
	}
	disk->ops->channel_close(fixture.channel);
	pthread_barrier_wait(&nobody_posts);
	loop_destroy(fixture.loop);
	munmap(buffer, 4096);
	return NULL;
}

/* The gate hands the lead from worker to worker, and to a blocking flush. */
static void test_flushes_of_several_workers(void **state)
{
	struct disk_uring_options options = { .path = in_directory("disk"), .create_bytes = MIB };
	struct host_disk *disk = NULL;
	pthread_t threads[FLUSHING_WORKERS];

	assert_int_equal(disk_uring_open(&options, &disk), 0);
	pthread_barrier_init(&nobody_posts, NULL, FLUSHING_WORKERS + 1);
	for (int i = 0; i < FLUSHING_WORKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, flushing_worker, disk), 0);
	/* Short ones in quick succession: the lead may come back before enter() has returned. */
	for (int i = 0; i < 1000; i++)
		assert_int_equal(disk->ops->flush_sync(disk), 0);
	pthread_barrier_wait(&nobody_posts);
	for (int i = 0; i < FLUSHING_WORKERS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&nobody_posts);
	disk->ops->close(disk);
	remove_file("disk");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_and_read),
		cmocka_unit_test(test_many_iovecs),
		cmocka_unit_test(test_misaligned_buffers),
		cmocka_unit_test(test_zero_and_discard),
		cmocka_unit_test(test_short_transfers),
		cmocka_unit_test(test_endless_interruptions_end),
		cmocka_unit_test(test_short_transfers_through_bounce_buffers),
		cmocka_unit_test(test_many_large_discards),
		cmocka_unit_test(test_many_flushes),
		cmocka_unit_test(test_flushes_of_several_workers),
	};

	return cmocka_run_group_tests(tests, directory_make, directory_remove);
}
