/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A doorman that fetches: the daemon has the peer's socket, too, and asks for what comes with descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fd.h"
#include "interfaces/door/doorman.h"
#include "interfaces/endpoint_fd.h"
#include "patience.h"

/* The peer's end, the daemon's copy of the other one, and the daemon's end of the connection to the doorman.
 */
static int peer, ours, door;
static pid_t doorman;

static void serve(int peer_socket, int inner)
{
	int blank = open("/dev/null", O_RDWR), blank_file = open("/dev/zero", O_RDWR);

	close(peer);
	close(door);
	doorman_fetch(peer_socket, inner, blank, blank_file, 1024);
	_exit(0);
}

static int setup(void **state)
{
	int outer[2], inner[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, outer), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, inner), 0);
	peer = outer[0];
	ours = outer[1];
	door = inner[0];
	doorman = fork();
	assert_true(doorman >= 0);
	if (doorman == 0)
		serve(ours, inner[1]);
	close(inner[1]);
	return 0;
}

static bool has_ended(void)
{
	int status;

	if (doorman <= 0 || waitpid(doorman, &status, WNOHANG) != doorman)
		return doorman <= 0;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	doorman = 0;
	return true;
}

/* The doorman ends with the daemon's end, whatever has happened. */
static int teardown(void **state)
{
	fd_close(&door);
	fd_close(&ours);
	AWAIT(has_ended(), usleep(1000));
	fd_close(&peer);
	return 0;
}

static void wait_for(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&poll_fd, 1, (int)(HANG_NS / NS_PER_MS)), 1);
}

static void ask(uint32_t bytes)
{
	assert_int_equal(send(door, &bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
}

/* Receives so many bytes from the doorman; the descriptors must come with the first of them. */
static size_t receive(uint8_t *bytes, size_t wanted, int *fds)
{
	size_t fd_count = 0, more = 0;

	for (size_t got = 0; got < wanted;) {
		ssize_t received;

		wait_for(door);
		received = fd_receive(door, bytes + got, wanted - got, got ? fds + fd_count : fds,
				      FD_MESSAGE_MAX - fd_count, &more);
		assert_true(received > 0);
		if (got == 0)
			fd_count = more;
		else
			assert_int_equal(more, 0);
		got += (size_t)received;
	}
	return fd_count;
}

static void send_all(const uint8_t *bytes, size_t count, const int *fds, size_t fd_count)
{
	assert_int_equal(fd_send(peer, bytes, count, fds, fd_count), count);
}

static void fill(uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
}

static bool is_device(int fd, unsigned major_number, unsigned minor_number)
{
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	return S_ISCHR(status.st_mode) && status.st_rdev == makedev(major_number, minor_number);
}

static bool is_null(int fd)
{
	return is_device(fd, 1, 3);
}

static void close_all(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

/* The connection to the doorman ends: nothing more comes. */
static void assert_door_ends(void)
{
	uint8_t byte;

	wait_for(door);
	assert_int_equal(recv(door, &byte, 1, 0), 0);
}

/* ---- what arrives ---- */

static void memory_and_eventfds_arrive(void **state)
{
	int fds[2] = { fd_memfd("ram", 4096), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) }, got[FD_MESSAGE_MAX];
	uint8_t message[48], answer[48];
	uint64_t count = 3;

	fill(message, sizeof(message));
	assert_int_equal(pwrite(fds[0], "hello", 5, 100), 5);
	send_all(message, sizeof(message), fds, 2);
	ask(sizeof(message));
	assert_int_equal(receive(answer, sizeof(answer), got), 2);
	assert_memory_equal(answer, message, sizeof(message));
	/* The same files, and close-on-exec. */
	assert_int_equal(pread(got[0], answer, 5, 100), 5);
	assert_memory_equal(answer, "hello", 5);
	assert_int_equal(write(got[1], &count, sizeof(count)), sizeof(count));
	count = 0;
	assert_int_equal(read(fds[1], &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 3);
	assert_int_equal(fcntl(got[0], F_GETFD), FD_CLOEXEC);
	close_all(got, 2);
	close_all(fds, 2);
}

/* So much is read as was asked for, however it comes; the rest is the daemon's to read. */
static void bytes_in_pieces(void **state)
{
	int fd = fd_memfd("ram", 4096), got[FD_MESSAGE_MAX];
	uint8_t message[300], answer[300];

	fill(message, sizeof(message));
	ask(100);
	send_all(message, 1, &fd, 1);
	for (size_t i = 1; i < 60; i++)
		send_all(message + i, 1, NULL, 0);
	send_all(message + 60, 240, NULL, 0);
	assert_int_equal(receive(answer, 100, got), 1);
	close_all(got, 1);
	wait_for(ours);
	assert_int_equal(recv(ours, answer + 100, 200, 0), 200);
	assert_memory_equal(answer, message, sizeof(message));
	/* Again, and without any descriptor. */
	send_all(message, 200, NULL, 0);
	ask(150);
	assert_int_equal(receive(answer, 150, got), 0);
	assert_int_equal(recv(ours, answer + 150, 200, 0), 50);
	assert_memory_equal(answer, message, 200);
	close(fd);
}

static void the_longest_message(void **state)
{
	static uint8_t message[DOORMAN_FETCH_MAX], answer[DOORMAN_FETCH_MAX];
	int fds[DOORMAN_FETCH_FDS_MAX], got[FD_MESSAGE_MAX];

	fill(message, sizeof(message));
	for (unsigned i = 0; i < DOORMAN_FETCH_FDS_MAX; i++)
		fds[i] = eventfd(i, EFD_CLOEXEC | EFD_NONBLOCK);
	for (unsigned round = 0; round < 3; round++) {
		send_all(message, sizeof(message), fds, DOORMAN_FETCH_FDS_MAX);
		ask(sizeof(message));
		assert_int_equal(receive(answer, sizeof(answer), got), DOORMAN_FETCH_FDS_MAX);
		assert_memory_equal(answer, message, sizeof(message));
		/* In their order. */
		for (unsigned i = 1; i < DOORMAN_FETCH_FDS_MAX && round == 0; i++) {
			uint64_t count;

			assert_int_equal(read(got[i], &count, sizeof(count)), sizeof(count));
			assert_int_equal(count, i);
		}
		close_all(got, DOORMAN_FETCH_FDS_MAX);
	}
	close_all(fds, DOORMAN_FETCH_FDS_MAX);
}

/* A memory file can shrink no more when the daemon has it. */
static void memory_is_sealed(void **state)
{
	int fd = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING), got[FD_MESSAGE_MAX];
	uint8_t message[4] = { 0 };

	assert_int_equal(ftruncate(fd, 8192), 0);
	send_all(message, sizeof(message), &fd, 1);
	ask(sizeof(message));
	assert_int_equal(receive(message, sizeof(message), got), 1);
	assert_int_equal(ftruncate(fd, 4096), -1);
	close_all(got, 1);
	close(fd);
}

/* ---- strangers ---- */

/* What may make the daemon wait does not reach it: /dev/null takes its place, and a file's /dev/zero. */
static void strangers_are_replaced(void **state)
{
	int fds[6], pair[2], pipes[2], got[FD_MESSAGE_MAX];
	char path[] = "/tmp/viaduct-test-XXXXXX";
	uint8_t message[16] = { 0 };

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	fds[0] = pair[0];
	fds[1] = eventfd(0, EFD_CLOEXEC);
	fds[2] = pipes[0];
	fds[3] = open("/dev/zero", O_RDWR | O_CLOEXEC);
	fds[4] = mkostemp(path, O_CLOEXEC);
	fds[5] = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	send_all(message, sizeof(message), fds, 6);
	ask(sizeof(message));
	assert_int_equal(receive(message, sizeof(message), got), 6);
	assert_true(is_null(got[0]));
	assert_true(endpoint_fd_is_eventfd(got[1]));
	assert_true(is_null(got[2]));
	assert_true(is_null(got[3]));
	/* On a file system in memory it is memory, and a stranger elsewhere. */
	assert_true(endpoint_fd_is_memory(got[4]) || endpoint_fd_is_file(got[4]));
	assert_true(is_null(got[5]));
	close_all(got, 6);
	close_all(fds, 6);
	close(pair[1]);
	close(pipes[1]);
	unlink(path);
}

/* Its own socket, in which more of them lie, is one, too. */
static void a_socket_of_itself(void **state)
{
	int got[FD_MESSAGE_MAX];
	uint8_t byte = 0;

	for (unsigned i = 0; i < 8; i++) {
		send_all(&byte, 1, &peer, 1);
		ask(1);
		assert_int_equal(receive(&byte, 1, got), 1);
		assert_true(is_null(got[0]));
		close_all(got, 1);
	}
}

/* One who sends strangers without an end is read no more. */
static void very_many_strangers(void **state)
{
	int pair[2], got[FD_MESSAGE_MAX];
	unsigned arrived = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	for (bool ended = false; !ended;) {
		uint8_t byte = 0;
		size_t fd_count;

		assert_true(arrived < 1000);
		if (fd_send(peer, &byte, 1, pair, 1) == 1)
			ask(1);
		wait_for(door);
		ended = fd_receive(door, &byte, 1, got, FD_MESSAGE_MAX, &fd_count) == 0;
		close_all(got, fd_count);
		arrived += !ended;
	}
	assert_in_range(arrived, 16, 100);
	close_all(pair, 2);
}

/* ---- too many ---- */

/* More descriptors than a message may have: one more arrives, so that the daemon sees it. */
static void too_many_descriptors(void **state)
{
	int fds[FD_MESSAGE_MAX], got[FD_MESSAGE_MAX];
	uint8_t message[32] = { 0 };

	for (unsigned i = 0; i < FD_MESSAGE_MAX; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC);
	send_all(message, sizeof(message), fds, DOORMAN_FETCH_FDS_MAX + 1);
	ask(sizeof(message));
	assert_int_equal(receive(message, sizeof(message), got), DOORMAN_FETCH_FDS_MAX + 1);
	close_all(got, DOORMAN_FETCH_FDS_MAX + 1);
	/* In several parts of the message, too. */
	for (unsigned i = 0; i < 4; i++)
		send_all(message + 8 * i, 8, fds, 5);
	ask(sizeof(message));
	assert_int_equal(receive(message, sizeof(message), got), DOORMAN_FETCH_FDS_MAX + 1);
	close_all(got, DOORMAN_FETCH_FDS_MAX + 1);
	/* As many as the kernel carries: the peer is read no more, or the daemon sees that they are too many.
	 */
	send_all(message, sizeof(message), fds, FD_MESSAGE_MAX);
	ask(sizeof(message));
	assert_door_ends();
	close_all(fds, FD_MESSAGE_MAX);
}

/* What the daemon cannot have meant: the doorman lets both go. */
static void numbers_that_cannot_be(void **state)
{
	static const uint32_t bad[] = { 0, DOORMAN_FETCH_MAX + 1, UINT32_MAX };

	for (unsigned i = 0; i < 3; i++) {
		uint8_t byte = 0;

		if (i > 0)
			setup(state);
		ask(bad[i]);
		assert_door_ends();
		wait_for(peer);
		assert_int_equal(recv(peer, &byte, 1, 0), 0);
		if (i < 2)
			teardown(state);
	}
}

/* ---- ends ---- */

/* The peer goes in the midst of what was asked for: the daemon learns it, and the doorman waits for it. */
static void the_peer_ends(void **state)
{
	int fd = fd_memfd("ram", 4096);
	uint8_t message[10] = { 0 };

	send_all(message, sizeof(message), &fd, 1);
	ask(20);
	usleep(2000);
	assert_false(has_ended());
	fd_close(&peer);
	assert_door_ends();
	usleep(2000);
	assert_false(has_ended());
	fd_close(&door);
	AWAIT(has_ended(), usleep(1000));
	close(fd);
}

static void the_daemon_ends(void **state)
{
	uint8_t byte;

	/* While the doorman waits for the peer's bytes, of which it has some. */
	ask(20);
	send_all((const uint8_t *)"12345", 5, NULL, 0);
	usleep(2000);
	fd_close(&door);
	AWAIT(has_ended(), usleep(1000));
	/* The connection is shut down, though the daemon has its end still. */
	wait_for(peer);
	assert_int_equal(recv(peer, &byte, 1, 0), 0);
}

/* A daemon that reads nothing of what it asked for, and goes. */
static void the_daemon_does_not_read(void **state)
{
	static uint8_t message[DOORMAN_FETCH_MAX];
	int fd = fd_memfd("ram", 4096);

	for (unsigned i = 0; i < 200; i++) {
		if (fd_send(peer, message, sizeof(message), &fd, 1) != sizeof(message))
			break;
		ask(sizeof(message));
		usleep(100);
	}
	usleep(2000);
	assert_false(has_ended());
	fd_close(&door);
	AWAIT(has_ended(), usleep(1000));
	close(fd);
}

/* The daemon is asked for nothing while nobody sends; an end without a question is one, too. */
static void an_end_without_a_question(void **state)
{
	usleep(2000);
	assert_false(has_ended());
	fd_close(&door);
	AWAIT(has_ended(), usleep(1000));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(memory_and_eventfds_arrive),
		TEST(bytes_in_pieces),
		TEST(the_longest_message),
		TEST(memory_is_sealed),
		TEST(strangers_are_replaced),
		TEST(a_socket_of_itself),
		TEST(very_many_strangers),
		TEST(too_many_descriptors),
		TEST(numbers_that_cannot_be),
		TEST(the_peer_ends),
		TEST(the_daemon_ends),
		TEST(the_daemon_does_not_read),
		TEST(an_end_without_a_question),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
