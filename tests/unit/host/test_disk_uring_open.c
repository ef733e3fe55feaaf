/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening, creating, locking, handing over, and what the geometry says. */
#include "disk_directory.h"

#include <errno.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "core/checked.h"

static int open_as(const struct disk_uring_options *options)
{
	struct host_disk *disk = NULL;
	int error = disk_uring_open(options, &disk);

	assert_int_equal(error == 0, disk != NULL);
	if (disk)
		disk->ops->close(disk);
	return error;
}

static void make_file(const char *name, uint64_t bytes)
{
	int fd = open(in_directory(name), O_RDWR | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	close(fd);
}

static void test_create_makes_a_sparse_private_file(void **state)
{
	struct disk_uring_options options = { .path = in_directory("new"),
					      .create_bytes = 1ull << 40,
					      .lock = true };
	struct stat status;

	assert_int_equal(open_as(&(struct disk_uring_options){ .path = options.path }), -ENOENT);
	assert_int_equal(open_as(&options), 0);
	assert_int_equal(stat(options.path, &status), 0);
	assert_int_equal(status.st_size, 1ll << 40);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(status.st_blocks, 0);
	/* Opened again, with another size: the file stays as it is. */
	options.create_bytes = MIB;
	assert_int_equal(open_as(&options), 0);
	assert_int_equal(stat(options.path, &status), 0);
	assert_int_equal(status.st_size, 1ll << 40);
	remove_file("new");
}

static void test_create_fails_without_leaving_anything(void **state)
{
	assert_int_equal(open_as(&(struct disk_uring_options){ .path = in_directory("no/such"),
							       .create_bytes = MIB }), -ENOENT);
	assert_true(open_as(&(struct disk_uring_options){ .path = in_directory("huge"),
							  .create_bytes = UINT64_MAX / 2 }) < 0);
	assert_int_equal(open_as(&(struct disk_uring_options){
				 .path = in_directory("ro"), .create_bytes = MIB, .read_only = true }),
			 -ENOENT);
}

static void test_only_files_and_block_devices(void **state)
{
	assert_int_equal(mkfifo(in_directory("fifo"), 0600), 0);
	assert_int_equal(open_as(&(struct disk_uring_options){ .path = in_directory("fifo") }), -ENOTBLK);
	assert_int_equal(open_as(&(struct disk_uring_options){ .path = directory }), -ENOTBLK);
	assert_int_equal(open_as(&(struct disk_uring_options){ .path = "/dev/zero" }), -ENOTBLK);
	remove_file("fifo");
	make_file("empty", 511);
	assert_int_equal(open_as(&(struct disk_uring_options){ .path = in_directory("empty") }), -EINVAL);
	remove_file("empty");
}

static void test_second_lock_is_busy(void **state)
{
	struct disk_uring_options options = { .path = in_directory("disk"),
					      .create_bytes = MIB,
					      .lock = true };
	struct host_disk *disk = NULL;
	int status = -1;
	pid_t child;

	assert_int_equal(disk_uring_open(&options, &disk), 0);
	assert_int_equal(open_as(&options), -EBUSY);
	options.lock = false;
	assert_int_equal(open_as(&options), 0);
	disk->ops->close(disk);

	/* A process that is killed leaves no lock behind. */
	options.lock = true;
	child = fork();
	if (child == 0) {
		if (disk_uring_open(&options, &disk) == 0)
			raise(SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(open_as(&options), 0);
	remove_file("disk");
}

/* The holder lets go after a while, as the kernel does for a killed process that had I/O in flight. */
static void test_waits_for_the_lock(void **state)
{
	struct disk_uring_options options = { .path = in_directory("disk"),
					      .create_bytes = MIB,
					      .lock = true };
	struct host_disk *disk = NULL;
	int ready[2], enough[2];
	pid_t child;
	char byte;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(enough), 0);
	child = fork();
	if (child == 0) {
		if (disk_uring_open(&options, &disk) < 0 || write(ready[1], "r", 1) != 1 ||
		    read(enough[0], &byte, 1) != 1)
			_exit(1);
		/* So that the test is most likely waiting by then; it passes if it is not. */
		usleep(100000);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(open_as(&options), -EBUSY);
	options.lock_wait_ms = 20;
	assert_int_equal(open_as(&options), -EBUSY);
	options.lock_wait_ms = HANG_NS / NS_PER_MS;
	assert_int_equal(write(enough[1], "e", 1), 1);
	assert_int_equal(open_as(&options), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(enough[i]);
	}
	remove_file("disk");
}

/* A takeover: the predecessor still has the same open file, and with it the lock. */
static void test_handed_over_fd(void **state)
{
	struct disk_uring_options options = { .path = in_directory("disk"), .lock = true };
	struct host_disk *disk = NULL;
	struct fixture fixture;
	uint8_t buffer[512] = { 1 };
	int old, fd;

	make_file("disk", MIB);
	old = open(options.path, O_RDWR);
	assert_int_equal(flock(old, LOCK_EX | LOCK_NB), 0);
	fd = dup(old);
	assert_int_equal(disk_uring_open_fd(fd, &options, &disk), 0);
	fixture_start(&fixture, disk);
	assert_int_equal(run(&fixture, HOST_IO_WRITE, 0, 512, buffer), 0);
	fixture_finish(&fixture);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	close(old);

	/* Refused: the fd stays the caller's. */
	fd = open(options.path, O_RDONLY);
	assert_int_equal(disk_uring_open_fd(fd, &options, &disk), -EACCES);
	assert_int_equal(fcntl(fd, F_GETFD) < 0, 0);
	close(fd);
	assert_int_equal(disk_uring_open_fd(-1, &options, &disk), -EBADF);
	remove_file("disk");
}

static void test_read_only(void **state)
{
	struct disk_uring_options options = { .path = in_directory("disk"), .read_only = true };
	const struct host_disk_ops *ops;
	struct host_disk *disk = NULL;
	struct fixture fixture;
	uint8_t buffer[512] = { 1 };

	make_file("disk", MIB);
	assert_int_equal(disk_uring_open(&options, &disk), 0);
	fixture_start(&fixture, disk);
	ops = disk->ops;
	assert_true(disk->geometry.read_only);
	assert_false(disk->geometry.can_punch);
	assert_int_equal(run(&fixture, HOST_IO_READ, 0, 512, buffer), 0);
	assert_int_equal(run(&fixture, HOST_IO_WRITE, 0, 512, buffer), -EROFS);
	assert_int_equal(run(&fixture, HOST_IO_DISCARD, 0, 512, NULL), -EROFS);
	assert_int_equal(run(&fixture, HOST_IO_ZERO, 0, 512, NULL), -EROFS);
	assert_int_equal(run(&fixture, HOST_IO_FLUSH, 0, 0, NULL), 0);
	assert_int_equal(ops->write_sync(disk, 0, buffer, 512), -EROFS);
	assert_int_equal(ops->punch_sync(disk, 0, 512), -EROFS);
	assert_int_equal(ops->read_sync(disk, 0, buffer, 512), 0);
	fixture_finish(&fixture);
	remove_file("disk");
}

static void test_geometry_and_growth(void **state)
{
	struct fixture fixture;
	const struct host_disk_geometry *geometry;
	uint8_t buffer[512] = { 1 };

	start_file(&fixture, "disk", MIB + 100, HOST_DISK_CACHE_AUTO);
	geometry = &fixture.disk->geometry;
	assert_int_equal(geometry->size_bytes, MIB);
	assert_int_equal(geometry->block_bytes, 512);
	assert_true(is_power_of_two(geometry->physical_block_bytes) && geometry->physical_block_bytes >= 512);
	assert_true(geometry->can_punch);
	assert_false(geometry->read_only);
	assert_int_equal(truncate(in_directory("disk"), 3 * MIB), 0);
	assert_int_equal(fixture.disk->ops->refresh(fixture.disk), 0);
	assert_int_equal(geometry->size_bytes, 3 * MIB);
	assert_int_equal(run(&fixture, HOST_IO_WRITE, 3 * MIB - 512, 512, buffer), 0);
	assert_int_equal(truncate(in_directory("disk"), 2 * MIB), 0);
	assert_int_equal(fixture.disk->ops->refresh(fixture.disk), -EIO);
	assert_int_equal(geometry->size_bytes, 3 * MIB);
	fixture_finish(&fixture);
	remove_file("disk");
}

static void test_probing_changes_nothing(void **state)
{
	uint8_t written[4096], read[4096];
	int fd;

	make_file("disk", 4096);
	fd = open(in_directory("disk"), O_RDWR);
	fill(written, sizeof(written), 3);
	assert_int_equal(pwrite(fd, written, sizeof(written), 0), sizeof(written));
	assert_int_equal(open_as(&(struct disk_uring_options){ .path = in_directory("disk"), .lock = true }),
			 0);
	assert_int_equal(pread(fd, read, sizeof(read), 0), sizeof(read));
	assert_memory_equal(read, written, sizeof(read));
	assert_int_equal(lseek(fd, 0, SEEK_END), 4096);
	close(fd);
	remove_file("disk");
}

static void test_direct_is_what_was_asked_for(void **state)
{
	struct disk_uring_options options = { .path = in_directory("disk"), .cache = HOST_DISK_CACHE_DIRECT };
	struct host_disk *disk = NULL;
	uint8_t buffer[1024] = { 1 };
	int fd, copy;

	if (!direct_works())
		skip();
	make_file("disk", MIB);
	fd = open(options.path, O_RDWR);
	copy = dup(fd);
	assert_int_equal(disk_uring_open_fd(fd, &options, &disk), 0);
	assert_true(fcntl(copy, F_GETFL) & O_DIRECT);
	/* Metadata: any bytes can be read, whole blocks can be written, from any address. */
	assert_int_equal(disk->ops->write_sync(disk, 512, buffer + 1, 512), 0);
	assert_int_equal(disk->ops->write_sync(disk, 100, buffer, 512), -EINVAL);
	assert_int_equal(disk->ops->write_sync(disk, 0, buffer, 100), -EINVAL);
	assert_int_equal(disk->ops->read_sync(disk, 511, buffer, 3), 0);
	assert_int_equal(disk->ops->read_sync(disk, MIB - 1, buffer, 2), -ERANGE);
	disk->ops->close(disk);

	/* The flag of the predecessor is not inherited silently. */
	options.cache = HOST_DISK_CACHE_BUFFERED;
	fd = dup(copy);
	assert_int_equal(disk_uring_open_fd(fd, &options, &disk), 0);
	assert_false(fcntl(copy, F_GETFL) & O_DIRECT);
	disk->ops->close(disk);
	close(copy);
	remove_file("disk");
}

/* hugetlbfs has no O_DIRECT on any kernel; tmpfs has it since 6.6. */
static void test_direct_refused_where_there_is_none(void **state)
{
	struct disk_uring_options options = { .path = "memory", .cache = HOST_DISK_CACHE_DIRECT };
	struct host_disk *disk = NULL;
	int fd = memfd_create("disk", MFD_CLOEXEC | MFD_HUGETLB);

	if (fd < 0) {
		print_message("skipped: no hugetlbfs: %s\n", strerror(errno));
		skip();
	}
	assert_int_equal(ftruncate(fd, 2 * MIB), 0);
	assert_int_equal(disk_uring_open_fd(fd, &options, &disk), -EINVAL);
	options.cache = HOST_DISK_CACHE_AUTO;
	assert_int_equal(disk_uring_open_fd(fd, &options, &disk), 0);
	disk->ops->close(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_makes_a_sparse_private_file),
		cmocka_unit_test(test_create_fails_without_leaving_anything),
		cmocka_unit_test(test_only_files_and_block_devices),
		cmocka_unit_test(test_second_lock_is_busy),
		cmocka_unit_test(test_waits_for_the_lock),
		cmocka_unit_test(test_handed_over_fd),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_geometry_and_growth),
		cmocka_unit_test(test_probing_changes_nothing),
		cmocka_unit_test(test_direct_is_what_was_asked_for),
		cmocka_unit_test(test_direct_refused_where_there_is_none),
	};

	return cmocka_run_group_tests(tests, directory_make, directory_remove);
}
