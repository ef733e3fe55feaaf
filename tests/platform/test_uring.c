/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What we rely on in the kernel's io_uring, asked of the kernel itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096

static int ring_setup(void **state)
{
	static struct io_uring ring;

	*state = &ring;
	return io_uring_queue_init(8, &ring, 0);
}

static int ring_teardown(void **state)
{
	io_uring_queue_exit(*state);
	return 0;
}

/* The next completion; -ETIME when there is none, for longer than any machine may need. */
static int next_result(struct io_uring *ring, unsigned *ret_flags)
{
	struct __kernel_timespec patience = { .tv_sec = 120 };
	struct io_uring_cqe *cqe;
	int result = io_uring_wait_cqe_timeout(ring, &cqe, &patience);

	if (result < 0)
		return result;
	result = cqe->res;
	if (ret_flags)
		*ret_flags = cqe->flags;
	io_uring_cqe_seen(ring, cqe);
	return result;
}

static int submit_result(struct io_uring *ring)
{
	assert_int_equal(io_uring_submit(ring), 1);
	return next_result(ring, NULL);
}

/* A kick costs no read: every write of the eventfd completes the poll again. */
static void test_multishot_poll_fires_on_every_write(void **state)
{
	struct io_uring *ring = *state;
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t one = 1;

	io_uring_prep_poll_multishot(io_uring_get_sqe(ring), fd, POLLIN);
	assert_int_equal(io_uring_submit(ring), 1);
	for (int i = 0; i < 100; i++) {
		unsigned flags = 0;

		assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
		assert_true(next_result(ring, &flags) & POLLIN);
		assert_true(flags & IORING_CQE_F_MORE);
	}
	close(fd);
}

/* What the guest's memory file no longer has is EFAULT, not a signal. */
static void test_truncated_memory_is_efault(void **state)
{
	struct io_uring *ring = *state;
	int memory_fd = memfd_create("memory", MFD_CLOEXEC), file = memfd_create("file", MFD_CLOEXEC);
	uint8_t *memory;
	struct iovec iov[2];

	assert_int_equal(ftruncate(memory_fd, 4 * PAGE), 0);
	assert_int_equal(ftruncate(file, 4 * PAGE), 0);
	memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	memset(memory, 1, 4 * PAGE);
	assert_int_equal(ftruncate(memory_fd, PAGE), 0);

	io_uring_prep_read(io_uring_get_sqe(ring), file, memory + PAGE, PAGE, 0);
	assert_int_equal(submit_result(ring), -EFAULT);
	io_uring_prep_write(io_uring_get_sqe(ring), file, memory + PAGE, PAGE, 0);
	assert_int_equal(submit_result(ring), -EFAULT);
	/* What came before it has been transferred: a short result. */
	iov[0] = (struct iovec){ memory, PAGE };
	iov[1] = (struct iovec){ memory + PAGE, PAGE };
	io_uring_prep_writev(io_uring_get_sqe(ring), file, iov, 2, 0);
	assert_int_equal(submit_result(ring), PAGE);
	munmap(memory, 4 * PAGE);
	close(memory_fd);
	close(file);
}

static int temporary_file(void)
{
	const char *base = getenv("TMPDIR");
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/viaduct-uring-XXXXXX", base ? base : "/var/tmp");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

static void test_fallocate_punches_and_keeps_the_size(void **state)
{
	struct io_uring *ring = *state;
	int fd = temporary_file();
	uint8_t buffer[4 * PAGE];
	struct stat status;

	memset(buffer, 1, sizeof(buffer));
	assert_int_equal(pwrite(fd, buffer, sizeof(buffer), 0), sizeof(buffer));
	io_uring_prep_fallocate(io_uring_get_sqe(ring), fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE,
				2 * PAGE);
	assert_int_equal(submit_result(ring), 0);
	/* Behind the end it does nothing and is no error: that is how the driver asks for support. */
	io_uring_prep_fallocate(io_uring_get_sqe(ring), fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				1 << 20, PAGE);
	assert_int_equal(submit_result(ring), 0);
	assert_int_equal(pread(fd, buffer, sizeof(buffer), 0), sizeof(buffer));
	for (int i = 0; i < 4 * PAGE; i++)
		assert_int_equal(buffer[i], i < PAGE || i >= 3 * PAGE);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_size, 4 * PAGE);
	close(fd);
}

/* A registered file needs no look-up, and stays open while it is registered. */
static void test_registered_file_outlives_its_descriptor(void **state)
{
	struct io_uring *ring = *state;
	int fd = temporary_file();
	struct io_uring_sqe *sqe;
	uint8_t buffer[16] = "registered";

	assert_int_equal(io_uring_register_files(ring, &fd, 1), 0);
	close(fd);
	sqe = io_uring_get_sqe(ring);
	io_uring_prep_write(sqe, 0, buffer, sizeof(buffer), 0);
	sqe->flags |= IOSQE_FIXED_FILE;
	assert_int_equal(submit_result(ring), sizeof(buffer));
	sqe = io_uring_get_sqe(ring);
	io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
	sqe->flags |= IOSQE_FIXED_FILE;
	assert_int_equal(submit_result(ring), 0);
}

/* Reading at the end is 0, over the end is short: never an error, so the driver has to look. */
static void test_end_of_file_is_a_short_read(void **state)
{
	struct io_uring *ring = *state;
	int fd = temporary_file();
	uint8_t buffer[PAGE];

	assert_int_equal(ftruncate(fd, 1000), 0);
	io_uring_prep_read(io_uring_get_sqe(ring), fd, buffer, PAGE, 0);
	assert_int_equal(submit_result(ring), 1000);
	io_uring_prep_read(io_uring_get_sqe(ring), fd, buffer, PAGE, 1000);
	assert_int_equal(submit_result(ring), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_multishot_poll_fires_on_every_write, ring_setup,
						ring_teardown),
		cmocka_unit_test_setup_teardown(test_truncated_memory_is_efault, ring_setup, ring_teardown),
		cmocka_unit_test_setup_teardown(test_fallocate_punches_and_keeps_the_size, ring_setup,
						ring_teardown),
		cmocka_unit_test_setup_teardown(test_registered_file_outlives_its_descriptor, ring_setup,
						ring_teardown),
		cmocka_unit_test_setup_teardown(test_end_of_file_is_a_short_read, ring_setup, ring_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
