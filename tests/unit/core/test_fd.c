/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fd.h"

struct fixture {
	int ours, theirs;
	unsigned open_before;
};

static struct fixture fixture;

/* How many descriptors the process has: what is not closed shows. */
static unsigned open_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static int setup(void **state)
{
	int pair[2];

	fixture.open_before = open_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fixture.ours = pair[0];
	fixture.theirs = pair[1];
	return 0;
}

static int teardown(void **state)
{
	fd_close(&fixture.ours);
	fd_close(&fixture.theirs);
	assert_int_equal(open_fds(), fixture.open_before);
	return 0;
}

static void close_keeps_errno(void **state)
{
	int fd = dup(fixture.ours), copy = fd;

	errno = ENOTTY;
	fd_close(&fd);
	assert_int_equal(fd, -1);
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(fcntl(copy, F_GETFD), -1);
	fd_close(&fd);
	assert_int_equal(fd, -1);
}

static void take_moves(void **state)
{
	int fd = dup(fixture.ours), taken = fd_take(&fd);

	assert_int_equal(fd, -1);
	assert_true(fcntl(taken, F_GETFD) >= 0);
	assert_int_equal(fd_take(&fd), -1);
	fd_close(&taken);
}

static void nonblocking(void **state)
{
	int flags = fcntl(fixture.ours, F_GETFL);

	assert_int_equal(fd_set_nonblocking(fixture.ours, true), 0);
	assert_int_equal(fcntl(fixture.ours, F_GETFL), flags | O_NONBLOCK);
	assert_int_equal(fd_set_nonblocking(fixture.ours, false), 0);
	assert_int_equal(fcntl(fixture.ours, F_GETFL), flags);
	assert_int_equal(fd_set_nonblocking(-1, true), -EBADF);
}

static void messages_without_fds(void **state)
{
	char buffer[8];
	size_t count = 99;
	int fds[1];

	assert_int_equal(fd_receive(fixture.theirs, buffer, sizeof(buffer), fds, 1, &count), -EAGAIN);
	assert_int_equal(count, 99);
	assert_int_equal(fd_send(fixture.ours, "hello", 5, NULL, 0), 5);
	assert_int_equal(fd_receive(fixture.theirs, buffer, sizeof(buffer), fds, 1, &count), 5);
	assert_int_equal(count, 0);
	assert_memory_equal(buffer, "hello", 5);
	fd_close(&fixture.ours);
	assert_int_equal(fd_receive(fixture.theirs, buffer, sizeof(buffer), fds, 1, &count), 0);
	/* No SIGPIPE. */
	assert_int_equal(fd_send(fixture.theirs, "x", 1, NULL, 0), -EPIPE);
}

static void assert_same_file(int a, int b)
{
	struct stat first, second;

	assert_int_equal(fstat(a, &first), 0);
	assert_int_equal(fstat(b, &second), 0);
	assert_true(first.st_dev == second.st_dev && first.st_ino == second.st_ino);
}

static void fds_travel_in_order(void **state)
{
	int sent[3], received[3];
	size_t count;
	char byte;

	for (int i = 0; i < 3; i++)
		assert_true((sent[i] = fd_memfd("travel", 4096)) >= 0);
	assert_int_equal(fd_send(fixture.ours, "x", 1, sent, 3), 1);
	assert_int_equal(fd_receive(fixture.theirs, &byte, 1, received, 3, &count), 1);
	assert_int_equal(count, 3);
	for (int i = 0; i < 3; i++) {
		assert_same_file(sent[i], received[i]);
		assert_true(fcntl(received[i], F_GETFD) & FD_CLOEXEC);
		fd_close(&sent[i]);
		fd_close(&received[i]);
	}
}

/* What fits is the caller's, the rest is closed: the teardown sees that none stays open. */
static void too_many_fds_are_refused(void **state)
{
	int sent[FD_MESSAGE_MAX], received[2] = { -7, -7 };
	size_t count = 99;
	char byte;

	for (int i = 0; i < FD_MESSAGE_MAX; i++)
		assert_true((sent[i] = dup(fixture.ours)) >= 0);
	for (int round = 0; round < 3; round++) {
		static const size_t amounts[] = { 3, FD_MESSAGE_MAX, 1 };
		size_t max = round == 2 ? 0 : 2;

		assert_int_equal(fd_send(fixture.ours, "x", 1, sent, amounts[round]), 1);
		assert_int_equal(fd_receive(fixture.theirs, &byte, 1, received, max, &count), -EMSGSIZE);
		assert_int_equal(count, max);
		for (size_t i = 0; i < count; i++)
			fd_close(&received[i]);
	}
	for (int i = 0; i < FD_MESSAGE_MAX; i++)
		fd_close(&sent[i]);
}

static void the_most_fds_arrive(void **state)
{
	static int sent[FD_MESSAGE_MAX], received[FD_MESSAGE_MAX];
	size_t count;
	char byte;

	for (int i = 0; i < FD_MESSAGE_MAX; i++)
		assert_true((sent[i] = dup(fixture.ours)) >= 0);
	assert_int_equal(fd_send(fixture.ours, "x", 1, sent, FD_MESSAGE_MAX), 1);
	assert_int_equal(fd_receive(fixture.theirs, &byte, 1, received, FD_MESSAGE_MAX, &count), 1);
	assert_int_equal(count, FD_MESSAGE_MAX);
	for (int i = 0; i < FD_MESSAGE_MAX; i++) {
		fd_close(&sent[i]);
		fd_close(&received[i]);
	}
}

static void a_memfd_keeps_its_size(void **state)
{
	static const uint8_t zeroes[8192];
	uint8_t bytes[8192];
	int fd = fd_memfd("sealed", sizeof(bytes));

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_memory_equal(bytes, zeroes, sizeof(bytes));
	assert_int_equal(ftruncate(fd, 4096), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 16384), -1);
	assert_int_equal(fcntl(fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW), F_SEAL_SHRINK | F_SEAL_GROW);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	fd_close(&fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(close_keeps_errno),	   TEST(take_moves),	      TEST(nonblocking),
		TEST(messages_without_fds),	   TEST(fds_travel_in_order), TEST(too_many_fds_are_refused),
		TEST(the_most_fds_arrive), TEST(a_memfd_keeps_its_size),
	};

	return cmocka_run_group_tests_name("fd", tests, NULL, NULL);
}
