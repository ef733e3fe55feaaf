/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "disk_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "stopped_clock.h"

static void start_by(struct fixture *fixture, const struct disk_memory_options *options,
		     const struct loop_clocks *clocks)
{
	struct host_disk *disk = NULL;

	assert_int_equal(disk_memory_open(options, &disk), 0);
	fixture_start_by(fixture, disk, clocks);
}

static void start(struct fixture *fixture, const struct disk_memory_options *options)
{
	start_by(fixture, options, NULL);
}

/* Time goes on, for a fixture that goes by the stopped clock. */
static void pass(struct fixture *fixture, uint64_t ns)
{
	stopped_clock_ns += ns;
	assert_int_equal(loop_turn(fixture->loop, 0), 0);
}

static void test_open_refuses_wrong_sizes(void **state)
{
	static const struct disk_memory_options wrong[] = {
		{ .size_bytes = 0 },
		{ .size_bytes = 1000 },
		{ .size_bytes = 6 * 512, .block_bytes = 4096 },
		{ .size_bytes = MIB, .block_bytes = 1024 },
		{ .size_bytes = MIB, .depth = 1000000 },
	};
	struct host_disk *disk = NULL;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(disk_memory_open(&wrong[i], &disk), -EINVAL);
	assert_null(disk);
}

static void test_bytes_go_where_the_range_says(void **state)
{
	struct disk_memory_options options = { .size_bytes = MIB };
	struct fixture fixture;
	uint8_t written[1024], read[1024] = { 0 };
	struct iovec in[3] = { { written, 100 }, { written + 100, 0 }, { written + 100, 924 } };
	struct iovec out[2] = { { read, 1000 }, { read + 1000, 24 } };

	start(&fixture, &options);
	fill(written, sizeof(written), 1);
	assert_int_equal(run_iov(&fixture, HOST_IO_WRITE, 512, 1024, in, 3), 0);
	assert_memory_equal(disk_memory_bytes(fixture.disk) + 512, written, 1024);
	assert_true(all_zero(disk_memory_bytes(fixture.disk), 512));
	assert_true(all_zero(disk_memory_bytes(fixture.disk) + 1536, MIB - 1536));
	assert_int_equal(run_iov(&fixture, HOST_IO_READ, 512, 1024, out, 2), 0);
	assert_memory_equal(read, written, 1024);
	fixture_finish(&fixture);
}

static void test_zero_and_discard(void **state)
{
	for (int can_punch = 0; can_punch < 2; can_punch++) {
		struct disk_memory_options options = { .size_bytes = MIB, .can_punch = can_punch };
		struct fixture fixture;
		uint8_t *bytes;

		start(&fixture, &options);
		bytes = disk_memory_bytes(fixture.disk);
		memset(bytes, 7, MIB);
		assert_int_equal(run(&fixture, HOST_IO_ZERO, 512, 3 * 4096, NULL), 0);
		assert_true(all_zero(bytes + 512, 3 * 4096));
		assert_int_equal(bytes[511], 7);
		assert_int_equal(bytes[512 + 3 * 4096], 7);
		assert_int_equal(run(&fixture, HOST_IO_DISCARD, 512 * KIB, 4096 * 2, NULL), 0);
		assert_int_equal(all_zero(bytes + 512 * KIB, 4096 * 2), can_punch);
		assert_int_equal(fixture.disk->ops->punch_sync(fixture.disk, 256 * KIB, 4096),
				 can_punch ? 0 : -EOPNOTSUPP);
		assert_int_equal(all_zero(bytes + 256 * KIB, 4096), can_punch);
		fixture_finish(&fixture);
	}
}

static void test_synchronous_access(void **state)
{
	struct disk_memory_options options = { .size_bytes = MIB };
	struct fixture fixture;
	uint8_t written[700], read[700];
	const struct host_disk_ops *ops;

	start(&fixture, &options);
	ops = fixture.disk->ops;
	fill(written, sizeof(written), 2);
	assert_int_equal(ops->write_sync(fixture.disk, MIB - 700, written, 700), 0);
	assert_int_equal(ops->read_sync(fixture.disk, MIB - 700, read, 700), 0);
	assert_memory_equal(read, written, 700);
	assert_int_equal(ops->flush_sync(fixture.disk), 0);
	assert_int_equal(ops->refresh(fixture.disk), 0);
	assert_int_equal(ops->read_sync(fixture.disk, MIB - 699, read, 700), -ERANGE);
	assert_int_equal(ops->write_sync(fixture.disk, UINT64_MAX, written, 700), -ERANGE);
	fixture_finish(&fixture);
}

static void test_null_completes_inside_submit(void **state)
{
	struct disk_memory_options options = { .size_bytes = 1ull << 50, .null = true };
	struct fixture fixture;
	struct request request;
	uint8_t buffer[512];
	struct iovec iov = { buffer, sizeof(buffer) };

	start(&fixture, &options);
	assert_null(disk_memory_bytes(fixture.disk));
	memset(buffer, 3, sizeof(buffer));
	for (unsigned op = HOST_IO_READ; op <= HOST_IO_ZERO; op++) {
		request_prepare(&request, op, (1ull << 50) - 512, 512, &iov, 1);
		host_submit(fixture.channel, &request.io);
		assert_int_equal(request.done, 1);
		assert_int_equal(request.error, 0);
	}
	assert_int_equal(buffer[0], 3);
	disk_memory_fail(fixture.disk, HOST_IO_READ, 0, 4096, 1, -EIO);
	assert_int_equal(run(&fixture, HOST_IO_READ, 0, 512, buffer), -EIO);
	assert_int_equal(run(&fixture, HOST_IO_READ, 0, 512, buffer), 0);
	fixture_finish(&fixture);
}

static void test_faults_hit_what_they_name(void **state)
{
	struct disk_memory_options options = { .size_bytes = MIB };
	struct fixture fixture;
	uint8_t buffer[512];

	start(&fixture, &options);
	memset(buffer, 9, sizeof(buffer));
	disk_memory_fail(fixture.disk, HOST_IO_WRITE, 4096, 8192, 2, -ENOSPC);
	disk_memory_fail(fixture.disk, HOST_IO_READ, 4096, 4097, 1, -EIO);
	assert_int_equal(run(&fixture, HOST_IO_WRITE, 4096 - 512, 512, buffer), 0);
	assert_int_equal(run(&fixture, HOST_IO_WRITE, 8192, 512, buffer), 0);
	assert_int_equal(run(&fixture, HOST_IO_READ, 4608, 512, buffer), 0);
	memset(buffer, 9, sizeof(buffer));
	assert_int_equal(run(&fixture, HOST_IO_WRITE, 8192 - 512, 512, buffer), -ENOSPC);
	assert_true(all_zero(disk_memory_bytes(fixture.disk) + 8192 - 512, 512));
	assert_int_equal(fixture.disk->ops->write_sync(fixture.disk, 4000, buffer, 200), -ENOSPC);
	assert_int_equal(run(&fixture, HOST_IO_WRITE, 8192 - 512, 512, buffer), 0);
	assert_int_equal(run(&fixture, HOST_IO_READ, 4096, 512, buffer), -EIO);
	assert_int_equal(run(&fixture, HOST_IO_READ, 4096, 512, buffer), 0);
	assert_int_equal(run(&fixture, HOST_IO_FLUSH, 0, 0, NULL), 0);
	/* One that is never met is freed at closing. */
	disk_memory_fail(fixture.disk, HOST_IO_ZERO, 0, MIB, 5, -EIO);
	fixture_finish(&fixture);
}

static void test_failed_flush_is_for_good(void **state)
{
	for (int null = 0; null < 2; null++) {
		struct disk_memory_options options = { .size_bytes = MIB, .null = null };
		struct fixture fixture;
		uint8_t buffer[512] = { 0 };

		start(&fixture, &options);
		assert_int_equal(run(&fixture, HOST_IO_FLUSH, 0, 0, NULL), 0);
		disk_memory_fail(fixture.disk, HOST_IO_FLUSH, 0, 0, 1, -ENOSPC);
		assert_int_equal(run(&fixture, HOST_IO_FLUSH, 0, 0, NULL), -ENOSPC);
		assert_true(fixture.disk->flush_failed);
		assert_int_equal(run(&fixture, HOST_IO_FLUSH, 0, 0, NULL), -EIO);
		assert_int_equal(fixture.disk->ops->flush_sync(fixture.disk), -EIO);
		assert_int_equal(run(&fixture, HOST_IO_WRITE, 0, 512, buffer), 0);
		fixture_finish(&fixture);
	}
}

/* Two servers of 20 ms: six requests take three rounds, whatever the moment they are asked about. */
static void test_service_times_with_depth(void **state)
{
	struct disk_memory_options options = {
		.size_bytes = MIB,
		.read_base_ns = 10 * NS_PER_MS,
		.read_ns_per_kib = 20 * NS_PER_MS,
		.depth = 2,
	};
	struct fixture fixture;
	struct request requests[6];
	uint8_t buffer[512];

	start_by(&fixture, &options, &stopped_clocks);
	for (int i = 0; i < 6; i++) {
		request_prepare(&requests[i], HOST_IO_READ, 512, 512, &requests[i].one, 1);
		requests[i].one = (struct iovec){ buffer, 512 };
		host_submit(fixture.channel, &requests[i].io);
		assert_int_equal(requests[i].done, 0);
	}
	for (unsigned first = 0; first < 6; first += 2) {
		pass(&fixture, 20 * NS_PER_MS - 1);
		assert_int_equal(requests[first].done + requests[first + 1].done, 0);
		pass(&fixture, 1);
		assert_int_equal(requests[first].done, 1);
		assert_int_equal(requests[first + 1].done, 1);
		assert_int_equal(requests[first + 1].error, 0);
	}
	fixture_finish(&fixture);
}

/* A short request behind a long one overtakes it on the other server; equal ones stay in order. */
static void test_service_times_sort_completions(void **state)
{
	struct disk_memory_options options = {
		.size_bytes = MIB, .read_base_ns = 30 * NS_PER_MS, .write_base_ns = 5 * NS_PER_MS,
		.flush_ns = 1 * NS_PER_MS,
	};
	struct fixture fixture;
	struct request slow, fast, flush;
	uint8_t buffer[512] = { 1 };
	struct iovec iov = { buffer, 512 };

	start_by(&fixture, &options, &stopped_clocks);
	request_prepare(&slow, HOST_IO_READ, 4096, 512, &iov, 1);
	request_prepare(&fast, HOST_IO_WRITE, 0, 512, &iov, 1);
	request_prepare(&flush, HOST_IO_FLUSH, 0, 0, NULL, 0);
	host_submit(fixture.channel, &slow.io);
	host_submit(fixture.channel, &fast.io);
	host_submit(fixture.channel, &flush.io);
	/* Bytes move when the service is over. */
	assert_int_equal(disk_memory_bytes(fixture.disk)[0], 0);
	pass(&fixture, NS_PER_MS);
	assert_int_equal(flush.done, 1);
	assert_int_equal(fast.done, 0);
	assert_int_equal(disk_memory_bytes(fixture.disk)[0], 0);
	pass(&fixture, 4 * NS_PER_MS);
	assert_int_equal(fast.done, 1);
	assert_int_equal(disk_memory_bytes(fixture.disk)[0], 1);
	assert_int_equal(slow.done, 0);
	pass(&fixture, 25 * NS_PER_MS);
	assert_int_equal(slow.done, 1);
	fixture_finish(&fixture);
}

/* What is submitted while the disk is slow takes longer: an ordinary one overtakes it. */
static void test_slow_disk(void **state)
{
	struct disk_memory_options options = {
		.size_bytes = MIB, .read_base_ns = 10 * NS_PER_MS, .write_base_ns = 3 * NS_PER_MS,
	};
	struct fixture fixture;
	struct request slow, usual;
	uint8_t buffer[512] = { 1 };
	struct iovec iov = { buffer, 512 };

	start_by(&fixture, &options, &stopped_clocks);
	request_prepare(&slow, HOST_IO_WRITE, 0, 512, &iov, 1);
	request_prepare(&usual, HOST_IO_READ, 4096, 512, &iov, 1);
	disk_memory_slow(fixture.disk, 10);
	host_submit(fixture.channel, &slow.io);
	disk_memory_slow(fixture.disk, 1);
	host_submit(fixture.channel, &usual.io);
	pass(&fixture, 10 * NS_PER_MS);
	assert_int_equal(usual.done, 1);
	pass(&fixture, 20 * NS_PER_MS - 1);
	assert_int_equal(slow.done, 0);
	pass(&fixture, 1);
	assert_int_equal(slow.done, 1);
	fixture_finish(&fixture);
}

static void turns(struct fixture *fixture, int count)
{
	for (int i = 0; i < count; i++)
		assert_int_equal(loop_turn(fixture->loop, NS_PER_MS), 0);
}

static void test_hang_holds_everything_back(void **state)
{
	for (int timed = 0; timed < 2; timed++) {
		struct disk_memory_options options = { .size_bytes = MIB,
						       .write_base_ns = timed ? NS_PER_MS : 0 };
		struct fixture fixture;
		struct request requests[3];
		uint8_t buffer[512] = { 5 };

		start(&fixture, &options);
		disk_memory_hang(fixture.disk, true);
		for (int i = 0; i < 3; i++) {
			request_prepare(&requests[i], HOST_IO_WRITE, 512 * (uint64_t)i, 512, &requests[i].one,
					1);
			requests[i].one = (struct iovec){ buffer, 512 };
			host_submit(fixture.channel, &requests[i].io);
		}
		turns(&fixture, 20);
		assert_int_equal(requests[0].done + requests[1].done + requests[2].done, 0);
		assert_int_equal(disk_memory_bytes(fixture.disk)[0], 0);
		/* Off and on again before the loop turns: still hanging. */
		disk_memory_hang(fixture.disk, false);
		disk_memory_hang(fixture.disk, true);
		turns(&fixture, 5);
		assert_int_equal(requests[0].done, 0);
		disk_memory_hang(fixture.disk, false);
		for (int i = 0; i < 3; i++)
			assert_int_equal(request_wait(&fixture, &requests[i]), 0);
		assert_int_equal(disk_memory_bytes(fixture.disk)[0], 5);
		assert_int_equal(run(&fixture, HOST_IO_READ, 0, 512, buffer), 0);
		fixture_finish(&fixture);
	}
}

/* ---- several workers ---- */

#define WORKERS		    2
#define REQUESTS_PER_WORKER 2000

struct worker {
	struct host_disk *disk;
	unsigned index;
	unsigned failed;
	pthread_t thread;
};

static void *worker_main(void *argument)
{
	struct worker *worker = argument;
	struct fixture fixture;
	uint8_t buffer[512];

	fixture_start(&fixture, worker->disk);
	for (unsigned i = 0; i < REQUESTS_PER_WORKER; i++) {
		uint64_t offset = 512ull * (i * WORKERS + worker->index);

		fill(buffer, sizeof(buffer), i + worker->index);
		if (run(&fixture, HOST_IO_WRITE, offset, 512, buffer) == -ENOSPC)
			worker->failed++;
	}
	fixture.disk->ops->channel_close(fixture.channel);
	loop_destroy(fixture.loop);
	return NULL;
}

/* Every fault is met exactly once, by whichever worker; the depth is shared. */
static void test_workers_share_faults_and_depth(void **state)
{
	struct disk_memory_options options = { .size_bytes = 4 * MIB,
					       .write_base_ns = 10 * NS_PER_US,
					       .depth = 3 };
	struct worker workers[WORKERS];
	struct host_disk *disk = NULL;
	unsigned failed = 0;

	assert_int_equal(disk_memory_open(&options, &disk), 0);
	disk_memory_fail(disk, HOST_IO_WRITE, 0, 4 * MIB, 500, -ENOSPC);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){ .disk = disk, .index = i };
		assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), 0);
	}
	for (int i = 0; i < 50; i++) {
		disk_memory_hang(disk, i % 2 == 0);
		usleep(1000);
	}
	disk_memory_hang(disk, false);
	for (unsigned i = 0; i < WORKERS; i++) {
		pthread_join(workers[i].thread, NULL);
		failed += workers[i].failed;
	}
	assert_int_equal(failed, 500);
	disk->ops->close(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_refuses_wrong_sizes),
		cmocka_unit_test(test_bytes_go_where_the_range_says),
		cmocka_unit_test(test_zero_and_discard),
		cmocka_unit_test(test_synchronous_access),
		cmocka_unit_test(test_null_completes_inside_submit),
		cmocka_unit_test(test_faults_hit_what_they_name),
		cmocka_unit_test(test_failed_flush_is_for_good),
		cmocka_unit_test(test_service_times_with_depth),
		cmocka_unit_test(test_service_times_sort_completions),
		cmocka_unit_test(test_slow_disk),
		cmocka_unit_test(test_hang_holds_everything_back),
		cmocka_unit_test(test_workers_share_faults_and_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
