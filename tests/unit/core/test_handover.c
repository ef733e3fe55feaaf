/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fd.h"
#include "core/handover.h"

struct sender {
	struct handover *handover;
	int socket;
	int error;
};

static void *send_thread(void *argument)
{
	struct sender *sender = argument;

	sender->error = handover_send(sender->handover, sender->socket, UINT64_MAX);
	return NULL;
}

/* Through a real socket, with both ends at work at once. */
static void transfer(struct handover *out, struct handover *ret_in)
{
	struct sender sender = { .handover = out };
	pthread_t thread;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	sender.socket = pair[0];
	assert_int_equal(pthread_create(&thread, NULL, send_thread, &sender), 0);
	assert_int_equal(handover_receive(pair[1], ret_in), 0);
	pthread_join(thread, NULL);
	assert_int_equal(sender.error, 0);
	close(pair[0]);
	close(pair[1]);
}

static ino_t inode_of(int fd)
{
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	return status.st_ino;
}

static void fields_arrive(void **state)
{
	struct handover out = { 0 }, in;
	uint8_t bytes[5] = { 1, 2, 3, 4, 5 }, got[8];
	char text[16];
	int fd = fd_memfd("test", 4096), arrived;

	handover_put_u64(&out, UINT64_MAX - 7);
	handover_put_string(&out, "alice/disk");
	handover_put_fd(&out, -1);
	handover_put_fd(&out, fd);
	handover_put_bytes(&out, bytes, sizeof(bytes));
	handover_put_string(&out, "");
	assert_int_equal(out.error, 0);
	transfer(&out, &in);
	handover_finish(&out);
	/* The owner's descriptor is still the owner's. */
	assert_true(inode_of(fd) > 0);

	assert_true(handover_get_u64(&in) == UINT64_MAX - 7);
	handover_get_string(&in, text, sizeof(text));
	assert_string_equal(text, "alice/disk");
	assert_int_equal(handover_get_fd(&in), -1);
	arrived = handover_get_fd(&in);
	assert_int_equal(inode_of(arrived), inode_of(fd));
	assert_int_equal(handover_get_bytes(&in, got, sizeof(got)), 5);
	assert_memory_equal(got, bytes, 5);
	handover_get_string(&in, text, sizeof(text));
	assert_string_equal(text, "");
	assert_int_equal(in.error, 0);
	assert_int_equal(in.position, in.length);
	handover_finish(&in);
	assert_true(inode_of(arrived) > 0);
	close(arrived);
	close(fd);
}

static void more_than_one_batch(void **state)
{
	struct handover out = { 0 }, in;
	uint8_t block[70000];
	int fds[600];

	memset(block, 0x5a, sizeof(block));
	for (unsigned i = 0; i < 600; i++) {
		fds[i] = eventfd(i, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(fds[i] >= 0);
		handover_put_fd(&out, fds[i]);
		if (i % 50 == 0)
			handover_put_bytes(&out, block, sizeof(block));
	}
	transfer(&out, &in);
	for (unsigned i = 0; i < 600; i++) {
		int fd = handover_get_fd(&in);
		uint64_t value = 0;

		if (i > 0)
			assert_int_equal(read(fd, &value, sizeof(value)), sizeof(value));
		assert_int_equal(value, i);
		close(fd);
		close(fds[i]);
		if (i % 50 == 0)
			assert_int_equal(handover_get_bytes(&in, block, sizeof(block)), sizeof(block));
	}
	assert_int_equal(in.error, 0);
	handover_finish(&in);
	handover_finish(&out);
}

static void descriptors_not_taken_are_closed(void **state)
{
	struct handover out = { 0 }, in;
	int fd = eventfd(0, EFD_CLOEXEC), arrived;

	handover_put_fd(&out, fd);
	transfer(&out, &in);
	handover_finish(&out);
	arrived = in.fds[0];
	handover_finish(&in);
	assert_int_equal(write(arrived, "12345678", 8), -1);
	assert_int_equal(errno, EBADF);
	close(fd);
}

static void wrong_order_is_an_error(void **state)
{
	struct handover handover = { 0 };
	char text[4];

	handover_put_u64(&handover, 1);
	handover_put_string(&handover, "too long for four");
	handover_get_string(&handover, text, sizeof(text));
	assert_string_equal(text, "");
	assert_int_equal(handover.error, -EBADMSG);
	/* Sticky: nothing is read any more. */
	handover.position = 0;
	assert_int_equal(handover_get_u64(&handover), 0);
	handover.error = 0;
	assert_int_equal(handover_get_u64(&handover), 1);
	handover_get_string(&handover, text, sizeof(text));
	assert_int_equal(handover.error, -EBADMSG);
	handover_finish(&handover);
}

static void zero_inside_a_string(void **state)
{
	struct handover handover = { 0 };
	char text[8];

	handover_put_bytes(&handover, "a\0b", 3);
	handover_get_string(&handover, text, sizeof(text));
	assert_string_equal(text, "");
	assert_int_equal(handover.error, -EBADMSG);
	handover_finish(&handover);
}

/* Every shorter prefix of a good stream is refused, whatever is asked of it. */
static void truncated_streams(void **state)
{
	struct handover whole = { 0 };
	int fd = eventfd(0, EFD_CLOEXEC);

	handover_put_u64(&whole, 1);
	handover_put_string(&whole, "name");
	handover_put_fd(&whole, fd);
	for (size_t length = 0; length <= whole.length; length++) {
		struct handover cut = {
			.bytes = whole.bytes, .length = length, .fds = (int[]){ fd }, .fd_count = 1
		};
		char text[8];

		handover_get_u64(&cut);
		handover_get_string(&cut, text, sizeof(text));
		assert_int_equal(handover_get_fd(&cut), length == whole.length ? fd : -1);
		assert_int_equal(cut.error, length == whole.length ? 0 : -EBADMSG);
	}
	handover_finish(&whole);
	close(fd);
}

/* A descriptor that the bytes name and the message does not carry. */
static void missing_descriptor(void **state)
{
	uint8_t bytes[] = { 'f', 1 };
	struct handover handover = { .bytes = bytes, .length = 2 };

	assert_int_equal(handover_get_fd(&handover), -1);
	assert_int_equal(handover.error, -EBADMSG);
}

static void foreign_streams(void **state)
{
	static const uint64_t headers[][3] = {
		{ 0, 0, 0 },
		{ 0x3176646e61485656ull, 1ull << 40, 0 },
		{ 0x3176646e61485656ull, 0, 1ull << 40 },
		{ 0x3176646e61485656ull, 100, 0 },	/* promises more than comes */
		{ 0x3176646e61485656ull, 0, 3 },
	};

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		struct handover in;
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		assert_int_equal(write(pair[0], headers[i], sizeof(headers[i])), sizeof(headers[i]));
		close(pair[0]);
		assert_int_equal(handover_receive(pair[1], &in), -EBADMSG);
		close(pair[1]);
	}
}

/* What a reader asks for by number, flag or exact size. */
static void checked_fields(void **state)
{
	struct handover handover = { 0 };
	uint8_t bytes[8] = { 0 };

	handover_put_u64(&handover, 7);
	handover_put_u64(&handover, 1);
	handover_put_bytes(&handover, "12345678", 8);
	handover_put_u64(&handover, 8);
	handover_put_u64(&handover, 2);
	handover_put_bytes(&handover, "1234567", 7);
	assert_int_equal(handover_get_at_most(&handover, 7), 7);
	assert_true(handover_get_flag(&handover));
	handover_get_exactly(&handover, bytes, sizeof(bytes));
	assert_int_equal(bytes[7], '8');
	handover_fail_if(&handover, false);
	assert_int_equal(handover.error, 0);
	assert_int_equal(handover_get_at_most(&handover, 7), 0);
	assert_int_equal(handover.error, -EBADMSG);
	handover.error = 0;
	assert_false(handover_get_flag(&handover));
	assert_int_equal(handover.error, -EBADMSG);
	handover.error = 0;
	handover_get_exactly(&handover, bytes, sizeof(bytes));
	assert_int_equal(handover.error, -EBADMSG);
	handover.error = -ENOMEM;
	handover_fail_if(&handover, true);
	assert_int_equal(handover.error, -ENOMEM);
	handover_finish(&handover);
}

static void empty_and_gone(void **state)
{
	struct handover out = { 0 }, in;
	int pair[2];

	transfer(&out, &in);
	assert_int_equal(in.length, 0);
	handover_finish(&in);
	handover_finish(NULL);
	handover_finish(&in);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	close(pair[1]);
	assert_int_equal(handover_send(&out, pair[0], UINT64_MAX), -EPIPE);
	close(pair[0]);
}

/* What one does not read, the other stops sending; also when little is left of a socket's room. */
static void nobody_reads(void **state)
{
	static uint8_t bytes[1 << 20];
	struct handover out = { 0 };
	uint64_t begin_ns = clock_now_ns();
	int pair[2];

	handover_put_bytes(&out, bytes, sizeof(bytes));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(handover_send(&out, pair[0], begin_ns + 20 * NS_PER_MS), -ETIMEDOUT);
	assert_true(clock_now_ns() - begin_ns >= 20 * NS_PER_MS);
	assert_int_equal(handover_send(&out, pair[0], 0), -ETIMEDOUT);
	handover_finish(&out);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_arrive),
		cmocka_unit_test(nobody_reads),
		cmocka_unit_test(more_than_one_batch),
		cmocka_unit_test(descriptors_not_taken_are_closed),
		cmocka_unit_test(wrong_order_is_an_error),
		cmocka_unit_test(zero_inside_a_string),
		cmocka_unit_test(truncated_streams),
		cmocka_unit_test(missing_descriptor),
		cmocka_unit_test(foreign_streams),
		cmocka_unit_test(checked_fields),
		cmocka_unit_test(empty_and_gone),
	};
	struct rlimit limit = { 4096, 4096 };

	setrlimit(RLIMIT_NOFILE, &limit);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
