/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Block devices: loop devices with blocks of 512 and 4096 bytes. Needs root. */
#include "disk_privileged.h"

#include <sys/mman.h>

#include "host/disk_uring_private.h"

static void start_device(struct fixture *fixture, const struct loop_device *device,
			 enum host_disk_cache cache)
{
	struct disk_uring_options options = { .path = device->path, .cache = cache, .lock = true };
	struct host_disk *disk = NULL;

	assert_int_equal(disk_uring_open(&options, &disk), 0);
	fixture_start(fixture, disk);
}

static void check_data_path(struct fixture *fixture)
{
	uint8_t *memory = mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *written = memory, *read = memory + 32 * KIB;

	assert_ptr_not_equal(memory, MAP_FAILED);
	fill(written, 32 * KIB, 1);
	assert_int_equal(run(fixture, HOST_IO_WRITE, 4096, 16 * KIB, written), 0);
	assert_int_equal(run(fixture, HOST_IO_READ, 4096, 16 * KIB, read), 0);
	assert_memory_equal(read, written, 16 * KIB);
	assert_int_equal(run(fixture, HOST_IO_WRITE, 512 * KIB, 8 * KIB, written + 9), 0);
	assert_int_equal(run(fixture, HOST_IO_READ, 512 * KIB, 8 * KIB, read + 5), 0);
	assert_memory_equal(read + 5, written + 9, 8 * KIB);
	assert_int_equal(run(fixture, HOST_IO_FLUSH, 0, 0, NULL), 0);
	assert_int_equal(run(fixture, HOST_IO_ZERO, 8192, 4096, NULL), 0);
	assert_int_equal(run(fixture, HOST_IO_READ, 4096, 16 * KIB, read), 0);
	assert_true(all_zero(read + 4096, 4096));
	assert_memory_equal(read, written, 4096);
	assert_memory_equal(read + 8192, written + 8192, 8 * KIB);
	if (fixture->disk->geometry.can_punch) {
		assert_int_equal(run(fixture, HOST_IO_DISCARD, 4096, 16 * KIB, NULL), 0);
		assert_int_equal(run(fixture, HOST_IO_READ, 4096, 16 * KIB, read), 0);
		assert_true(all_zero(read, 16 * KIB));
	}
	munmap(memory, 64 * KIB);
}

static void test_block_sizes(void **state)
{
	static const unsigned block_bytes[] = { 512, 4096 };

	need_small_tmpfs();
	for (int i = 0; i < 4; i++) {
		enum host_disk_cache cache = i < 2 ? HOST_DISK_CACHE_AUTO : HOST_DISK_CACHE_BUFFERED;
		struct loop_device device;
		struct fixture fixture;

		make_sparse("below", MIB);
		loop_device_make(&device, "below", block_bytes[i % 2], false);
		start_device(&fixture, &device, cache);
		assert_int_equal(uring_disk(fixture.disk)->direct, cache == HOST_DISK_CACHE_AUTO);
		assert_int_equal(fixture.disk->geometry.block_bytes, block_bytes[i % 2]);
		assert_int_equal(fixture.disk->geometry.size_bytes, MIB);
		check_data_path(&fixture);
		fixture_finish(&fixture);
		loop_device_remove(&device);
		remove_file("below");
	}
}

/*
 * Where the device has no offload, zeroes are written; the guest sees the same. On tmpfs, asking a loop
 * device for ZERO_RANGE makes the kernel take its offload away, so that the DISCARD afterwards has none.
 */
static void test_zero_without_offload(void **state)
{
	need_small_tmpfs();
	for (unsigned method = ZERO_PUNCH; method <= ZERO_WRITE; method++) {
		struct loop_device device;
		struct fixture fixture;

		make_sparse("below", MIB);
		loop_device_make(&device, "below", 512, false);
		start_device(&fixture, &device, HOST_DISK_CACHE_AUTO);
		uring_disk(fixture.disk)->zero_method = method;
		check_data_path(&fixture);
		fixture_finish(&fixture);
		loop_device_remove(&device);
		remove_file("below");
	}
}

static void test_claimed_device_is_busy(void **state)
{
	struct disk_uring_options options = { .lock = true };
	struct host_disk *disk = NULL;
	struct loop_device device;
	struct fixture fixture;

	need_small_tmpfs();
	make_sparse("below", MIB);
	loop_device_make(&device, "below", 512, false);
	start_device(&fixture, &device, HOST_DISK_CACHE_AUTO);
	options.path = device.path;
	assert_int_equal(disk_uring_open(&options, &disk), -EBUSY);
	fixture_finish(&fixture);
	assert_int_equal(disk_uring_open(&options, &disk), 0);
	disk->ops->close(disk);
	loop_device_remove(&device);
	remove_file("below");
}

static void test_device_that_grew(void **state)
{
	struct loop_device device;
	struct fixture fixture;

	need_small_tmpfs();
	make_sparse("below", MIB);
	loop_device_make(&device, "below", 512, false);
	start_device(&fixture, &device, HOST_DISK_CACHE_AUTO);
	assert_int_equal(truncate(in_directory("below"), 2 * MIB), 0);
	assert_int_equal(ioctl(device.fd, LOOP_SET_CAPACITY, 0), 0);
	assert_int_equal(fixture.disk->ops->refresh(fixture.disk), 0);
	assert_int_equal(fixture.disk->geometry.size_bytes, 2 * MIB);
	fixture_finish(&fixture);
	loop_device_remove(&device);
	remove_file("below");
}

/* D1 and D2 below O_DIRECT: the device's own error reaches the request. */
static void test_errors_of_the_device(void **state)
{
	uint8_t *memory = mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct loop_device device;
	struct fixture fixture;
	int error;

	need_small_tmpfs();
	make_sparse("below", MIB);
	loop_device_make(&device, "below", 4096, true);
	start_device(&fixture, &device, HOST_DISK_CACHE_AUTO);
	fill_up("ballast");
	memset(memory, 1, 64 * KIB);
	error = run(&fixture, HOST_IO_WRITE, 0, 64 * KIB, memory);
	assert_true(error == -ENOSPC || error == -EIO);
	assert_int_equal(run(&fixture, HOST_IO_READ, 0, 4096, memory), 0);
	remove_file("ballast");
	assert_int_equal(run(&fixture, HOST_IO_WRITE, 0, 64 * KIB, memory), 0);
	/* Below the device, the medium disappears. */
	assert_int_equal(truncate(in_directory("below"), 4096), 0);
	assert_int_equal(run(&fixture, HOST_IO_READ, 32 * KIB, 4096, memory), -EIO);
	assert_int_equal(run(&fixture, HOST_IO_READ, 32 * KIB, 4096, memory + 1), -EIO);
	assert_int_equal(run(&fixture, HOST_IO_READ, 0, 4096, memory), 0);
	fixture_finish(&fixture);
	loop_device_remove(&device);
	remove_file("below");
	munmap(memory, 64 * KIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_block_sizes),
		cmocka_unit_test(test_zero_without_offload),
		cmocka_unit_test(test_claimed_device_is_busy),
		cmocka_unit_test(test_device_that_grew),
		cmocka_unit_test(test_errors_of_the_device),
	};

	return cmocka_run_group_tests(tests, privileged_setup, privileged_teardown);
}
