/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the environment does to a disk, by real means: a full file system, a file size limit, a file that
 * shrank, guest memory that went away, an fsync that failed. Rows D1 to D3 of the hostile inputs.
 */
#include "disk_privileged.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* Stands before the C library's: the next `fdatasync_failures` calls fail with EIO. */
static unsigned fdatasync_failures, fdatasync_calls;
/* -Wmissing-prototypes wants it where unistd.h does not declare it. */
/* NOLINTNEXTLINE(readability-redundant-declaration) */
int fdatasync(int fd);
int fdatasync(int fd)
{
	fdatasync_calls++;
	if (fdatasync_failures == 0)
		return fsync(fd);
	fdatasync_failures--;
	errno = EIO;
	return -1;
}

/* D2: the first failure is told, and no later flush is believed, although the kernel's would succeed. */
static void test_failed_flush_is_for_good(void **state)
{
	struct fixture fixture;
	uint8_t buffer[512] = { 1 };

	start_file(&fixture, "disk", MIB, HOST_DISK_CACHE_BUFFERED);
	assert_int_equal(fixture.disk->ops->flush_sync(fixture.disk), 0);
	assert_int_equal(run(&fixture, HOST_IO_FLUSH, 0, 0, NULL), 0);
	fdatasync_failures = 1;
	fdatasync_calls = 0;
	assert_int_equal(fixture.disk->ops->flush_sync(fixture.disk), -EIO);
	assert_true(fixture.disk->flush_failed);
	assert_int_equal(fixture.disk->ops->flush_sync(fixture.disk), -EIO);
	assert_int_equal(run(&fixture, HOST_IO_FLUSH, 0, 0, NULL), -EIO);
	assert_int_equal(fdatasync_calls, 1);
	/* Reads and writes go on: what to do about it is for others to decide. */
	assert_int_equal(run(&fixture, HOST_IO_WRITE, 0, 512, buffer), 0);
	assert_int_equal(run(&fixture, HOST_IO_READ, 0, 512, buffer), 0);
	fixture_finish(&fixture);
	remove_file("disk");
}

/* D2, through the ring: write-back to a full disk below fails after the write had succeeded. */
static void test_failed_write_back_fails_the_flush(void **state)
{
	struct disk_uring_options options = { .cache = HOST_DISK_CACHE_BUFFERED };
	struct loop_device device;
	struct host_disk *disk = NULL;
	struct fixture fixture;
	struct request flushes[5];
	uint8_t *buffer;

	need_small_tmpfs();
	buffer = malloc(64 * KIB);
	make_sparse("below", MIB);
	loop_device_make(&device, "below", 512, false);
	fill_up("ballast");
	options.path = device.path;
	assert_int_equal(disk_uring_open(&options, &disk), 0);
	fixture_start(&fixture, disk);
	memset(buffer, 1, 64 * KIB);
	assert_int_equal(run(&fixture, HOST_IO_WRITE, 0, 64 * KIB, buffer), 0);
	for (int i = 0; i < 5; i++) {
		request_prepare(&flushes[i], HOST_IO_FLUSH, 0, 0, NULL, 0);
		host_submit(fixture.channel, &flushes[i].io);
	}
	/* The second fsync of the kernel would succeed: the failure has been reported. */
	for (int i = 0; i < 5; i++)
		assert_int_not_equal(request_wait(&fixture, &flushes[i]), 0);
	assert_true(disk->flush_failed);
	remove_file("ballast");
	assert_int_equal(run(&fixture, HOST_IO_WRITE, 0, 64 * KIB, buffer), 0);
	assert_int_equal(run(&fixture, HOST_IO_FLUSH, 0, 0, NULL), -EIO);
	assert_int_equal(disk->ops->flush_sync(disk), -EIO);
	fixture_finish(&fixture);
	loop_device_remove(&device);
	remove_file("below");
	free(buffer);
}

/* D1: told to the request that met it, and over when there is space again. */
static void test_full_file_system(void **state)
{
	struct fixture fixture;
	uint8_t *written, *read;

	need_small_tmpfs();
	written = malloc(MIB);
	read = malloc(MIB);
	start_file(&fixture, "disk", 16 * MIB, HOST_DISK_CACHE_BUFFERED);
	fill(written, MIB, 1);
	assert_int_equal(run(&fixture, HOST_IO_WRITE, 0, MIB, written), 0);
	fill_up("ballast");
	assert_int_equal(run(&fixture, HOST_IO_WRITE, 8 * MIB, MIB, written), -ENOSPC);
	assert_int_equal(run(&fixture, HOST_IO_READ, 0, MIB, read), 0);
	assert_memory_equal(read, written, MIB);
	assert_int_equal(run(&fixture, HOST_IO_WRITE, 0, MIB, written), 0);
	/* Giving back works without space, and makes some. */
	assert_int_equal(run(&fixture, HOST_IO_DISCARD, 0, MIB, NULL), 0);
	assert_int_equal(run(&fixture, HOST_IO_WRITE, 8 * MIB, MIB / 2, written), 0);
	remove_file("ballast");
	assert_int_equal(run(&fixture, HOST_IO_WRITE, 8 * MIB, MIB, written), 0);
	assert_int_equal(run(&fixture, HOST_IO_READ, 8 * MIB, MIB, read), 0);
	assert_memory_equal(read, written, MIB);
	fixture_finish(&fixture);
	remove_file("disk");
	free(written);
	free(read);
}

/* D3: the kernel writes up to the limit and says so; what is left then fails. */
static void test_file_size_limit_cuts_a_write(void **state)
{
	struct rlimit before, limit;
	struct fixture fixture;
	uint8_t written[8192], read[8192];
	struct iovec iov[2] = { { written, 1000 }, { written + 1000, 7192 } };
	struct iovec copy[2] = { iov[0], iov[1] };

	start_file(&fixture, "disk", MIB, HOST_DISK_CACHE_BUFFERED);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = (struct rlimit){ .rlim_cur = 64 * KIB, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	fill(written, sizeof(written), 8);
	assert_int_equal(run_iov(&fixture, HOST_IO_WRITE, 60 * KIB, 8192, iov, 2), -EFBIG);
	assert_memory_equal(iov, copy, sizeof(iov));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(run(&fixture, HOST_IO_READ, 60 * KIB, 8192, read), 0);
	assert_memory_equal(read, written, 4096);
	assert_true(all_zero(read + 4096, 4096));
	fixture_finish(&fixture);
	remove_file("disk");
}

/* Bytes that were inside the disk are not there any more: an error, not zeroes. */
static void test_file_that_shrank(void **state)
{
	struct fixture fixture;
	uint8_t buffer[8192];

	start_file(&fixture, "disk", MIB, HOST_DISK_CACHE_BUFFERED);
	assert_int_equal(truncate(in_directory("disk"), 64 * KIB), 0);
	assert_int_equal(run(&fixture, HOST_IO_READ, 512 * KIB, 4096, buffer), -EIO);
	assert_int_equal(run(&fixture, HOST_IO_READ, 60 * KIB, 8192, buffer), -EIO);
	assert_int_equal(run(&fixture, HOST_IO_READ, 56 * KIB, 8192, buffer), 0);
	assert_int_equal(fixture.disk->ops->read_sync(fixture.disk, 60 * KIB, buffer, 8192), -EIO);
	fixture_finish(&fixture);
	remove_file("disk");
}

/* The kernel touches guest memory for us: memory that is gone is an error of that request. */
static void test_guest_memory_that_is_gone(void **state)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);
	struct fixture fixture;
	uint8_t *memory;
	struct iovec iov[2];

	assert_int_equal(ftruncate(fd, 16 * KIB), 0);
	memory = mmap(NULL, 16 * KIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	memset(memory, 4, 16 * KIB);
	assert_int_equal(ftruncate(fd, 4 * KIB), 0);
	start_file(&fixture, "disk", MIB, HOST_DISK_CACHE_BUFFERED);
	iov[0] = (struct iovec){ memory, 4 * KIB };
	iov[1] = (struct iovec){ memory + 4 * KIB, 4 * KIB };
	assert_int_equal(run_iov(&fixture, HOST_IO_WRITE, 0, 8 * KIB, iov, 2), -EFAULT);
	assert_int_equal(run(&fixture, HOST_IO_WRITE, 0, 4 * KIB, memory), 0);
	assert_int_equal(run(&fixture, HOST_IO_READ, 0, 4 * KIB, memory + 8 * KIB), -EFAULT);
	assert_int_equal(run(&fixture, HOST_IO_READ, 0, 4 * KIB, memory), 0);
	fixture_finish(&fixture);
	munmap(memory, 16 * KIB);
	close(fd);
	remove_file("disk");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failed_flush_is_for_good),
		cmocka_unit_test(test_failed_write_back_fails_the_flush),
		cmocka_unit_test(test_full_file_system),
		cmocka_unit_test(test_file_size_limit_cuts_a_write),
		cmocka_unit_test(test_file_that_shrank),
		cmocka_unit_test(test_guest_memory_that_is_gone),
	};

	return cmocka_run_group_tests(tests, privileged_setup, privileged_teardown);
}
