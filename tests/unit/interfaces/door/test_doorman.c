/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A doorman in a process of its own, between a peer and a daemon that are this test. */
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

/* A protocol with a header of two bytes: the second is the payload's length, 255 is none. */
#define HEADER 2

static ssize_t payload_bytes(const uint8_t *header)
{
	return header[1] == 255 ? -1 : header[1];
}

static const struct doorman_framing framing = { .header_bytes = HEADER, .payload_bytes = payload_bytes };

struct bench {
	int peer, daemon; /* our ends; -1: closed */
	pid_t doorman;
};

static int begin(void **state, const struct doorman_framing *followed)
{
	static struct bench bench;
	int outside[2], inside[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, outside), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, inside), 0);
	bench = (struct bench){ .peer = outside[0], .daemon = inside[0] };
	bench.doorman = fork();
	assert_true(bench.doorman >= 0);
	if (bench.doorman == 0) {
		close(outside[0]);
		close(inside[0]);
		doorman_serve(followed, outside[1], inside[1], open("/dev/null", O_RDWR | O_CLOEXEC),
			      open("/dev/zero", O_RDWR | O_CLOEXEC), 1024);
		_exit(0);
	}
	close(outside[1]);
	close(inside[1]);
	*state = &bench;
	return 0;
}

static int setup(void **state)
{
	return begin(state, &framing);
}

static int setup_stream(void **state)
{
	return begin(state, &doorman_stream);
}

/* It ends when the daemon's end is closed, whatever the peer does. */
static int teardown(void **state)
{
	struct bench *bench = *state;
	int status = -1;

	fd_close(&bench->daemon);
	assert_int_equal(waitpid(bench->doorman, &status, 0), bench->doorman);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	fd_close(&bench->peer);
	return 0;
}

static void wait_for(int fd, short events)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };

	assert_int_equal(poll(&poll_fd, 1, (int)(HANG_NS / NS_PER_MS)), 1);
}

static void say(int socket, const char *bytes, size_t count, const int *fds, size_t fd_count)
{
	assert_int_equal(fd_send(socket, bytes, count, fds, fd_count), count);
}

/* The next `count` bytes are to be these. Returns how many descriptors came with them. */
static size_t hear(int socket, const char *bytes, size_t count, int *fds)
{
	size_t got = 0, fd_count = 0;
	char buffer[1024];

	assert_true(count <= sizeof(buffer));
	while (got < count) {
		size_t more = 0;
		ssize_t received;

		wait_for(socket, POLLIN);
		received =
			fd_receive(socket, buffer + got, count - got, fds + fd_count, 16 - fd_count, &more);
		if (received == -EAGAIN)
			continue;
		assert_true(received > 0);
		got += (size_t)received;
		fd_count += more;
	}
	assert_memory_equal(buffer, bytes, count);
	return fd_count;
}

static void hear_end(int socket)
{
	char byte;

	wait_for(socket, POLLIN | POLLRDHUP);
	assert_int_equal(recv(socket, &byte, 1, 0), 0);
}

static bool is_null_device(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

static bool same_file(int a, int b)
{
	struct stat one, other;

	return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev &&
	       one.st_ino == other.st_ino;
}

static void carries_both_ways(void **state)
{
	struct bench *bench = *state;
	int fds[16];

	say(bench->peer, "a\3xyz", 5, NULL, 0);
	assert_int_equal(hear(bench->daemon, "a\3xyz", 5, fds), 0);
	say(bench->daemon, "b\0", 2, NULL, 0);
	assert_int_equal(hear(bench->peer, "b\0", 2, fds), 0);
	/* Byte by byte. */
	for (unsigned i = 0; i < 5; i++)
		say(bench->peer, &"c\3xyz"[i], 1, NULL, 0);
	assert_int_equal(hear(bench->daemon, "c\3xyz", 5, fds), 0);
}

static void hands_on_what_it_has_proven(void **state)
{
	struct bench *bench = *state;
	int memory = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING), event = eventfd(0, EFD_CLOEXEC);
	eventfd_t value;
	int fds[16];

	assert_int_equal(ftruncate(memory, 4096), 0);
	say(bench->peer, "a\0", 2, (int[]){ memory, event }, 2);
	assert_int_equal(hear(bench->daemon, "a\0", 2, fds), 2);
	assert_true(same_file(fds[0], memory));
	assert_true(fcntl(fds[0], F_GET_SEALS) & F_SEAL_SHRINK);
	assert_true(endpoint_fd_is_eventfd(fds[1]));
	assert_int_equal(eventfd_write(event, 7), 0);
	assert_int_equal(eventfd_read(fds[1], &value), 0);
	assert_int_equal(value, 7);
	for (unsigned i = 0; i < 2; i++)
		close(fds[i]);
	close(memory);
	close(event);
}

/* What the daemon gets instead is refused like the thing itself, and known not to wait for anybody. */
static void holds_back_strangers(void **state)
{
	struct bench *bench = *state;
	int pipes[2], event = eventfd(0, EFD_CLOEXEC), fds[16];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	const int strangers[] = { open("/etc/passwd", O_RDONLY | O_CLOEXEC), pipes[0],
				  socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), event,
				  socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) };

	say(bench->peer, "a\0", 2, strangers, 5);
	assert_int_equal(hear(bench->daemon, "a\0", 2, fds), 5);
	for (unsigned i = 0; i < 5; i++) {
		if (i == 3)
			assert_true(endpoint_fd_is_eventfd(fds[i]));
		else
			assert_true(is_null_device(fds[i]));
		close(fds[i]);
		close(strangers[i]);
	}
	close(pipes[1]);
	/* The peer is served on. */
	say(bench->peer, "b\0", 2, NULL, 0);
	assert_int_equal(hear(bench->daemon, "b\0", 2, fds), 0);
}

/* More than any message may have: the daemon gets so many that it sees that. */
static void thins_out_crowds(void **state)
{
	struct bench *bench = *state;
	int fds[FD_MESSAGE_MAX], got[16];

	for (unsigned i = 0; i < 20; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC);
	say(bench->peer, "a\0", 2, fds, 20);
	assert_int_equal(hear(bench->daemon, "a\0", 2, got), 9);
	for (unsigned i = 0; i < 20; i++)
		close(fds[i]);
	for (unsigned i = 0; i < 9; i++)
		close(got[i]);
}

/* A descriptor belongs to the byte with which it came, also when messages wait behind each other. */
static void keeps_descriptors_in_their_messages(void **state)
{
	struct bench *bench = *state;
	int event = eventfd(0, EFD_CLOEXEC), fds[16];

	kill(bench->doorman, SIGSTOP);
	say(bench->peer, "a\1x", 3, NULL, 0);
	say(bench->peer, "b\1y", 3, &event, 1);
	say(bench->peer, "c\1z", 3, NULL, 0);
	say(bench->daemon, "d\1x", 3, NULL, 0);
	say(bench->daemon, "e\1y", 3, &event, 1);
	kill(bench->doorman, SIGCONT);
	assert_int_equal(hear(bench->daemon, "a\1x", 3, fds), 0);
	assert_int_equal(hear(bench->daemon, "b\1y", 3, fds), 1);
	close(fds[0]);
	assert_int_equal(hear(bench->daemon, "c\1z", 3, fds), 0);
	assert_int_equal(hear(bench->peer, "d\1x", 3, fds), 0);
	assert_int_equal(hear(bench->peer, "e\1y", 3, fds), 1);
	close(fds[0]);
	/* Also inside of one, where the daemon takes it for what it is: an attack. */
	say(bench->peer, "f\2", 2, NULL, 0);
	assert_int_equal(hear(bench->daemon, "f\2", 2, fds), 0);
	say(bench->peer, "xy", 2, &event, 1);
	assert_int_equal(hear(bench->daemon, "xy", 2, fds), 1);
	close(fds[0]);
	close(event);
}

/* The peer's socket stays with the doorman; the daemon talks through one that nobody else holds. */
static void carries_channels(void **state)
{
	struct bench *bench = *state;
	int event = eventfd(0, EFD_CLOEXEC), fds[16], channel;

	/* More of them, one after the other, than there are at a time. */
	for (unsigned round = 0; round < 12; round++) {
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		say(bench->peer, "a\0", 2, &pair[1], 1);
		close(pair[1]);
		assert_int_equal(hear(bench->daemon, "a\0", 2, &channel), 1);
		assert_true(endpoint_fd_is_stream(channel));
		say(channel, "n\1!", 3, NULL, 0);
		assert_int_equal(hear(pair[0], "n\1!", 3, fds), 0);
		/* Descriptors in an answer are judged as everywhere; a socket in it stays outside. */
		say(pair[0], "r\1.", 3, (int[]){ event, bench->peer }, 2);
		assert_int_equal(hear(channel, "r\1.", 3, fds), 2);
		assert_true(endpoint_fd_is_eventfd(fds[0]) && is_null_device(fds[1]));
		close(fds[0]);
		close(fds[1]);
		if (round % 2) {
			close(channel);
			hear_end(pair[0]);
			close(pair[0]);
		} else {
			close(pair[0]);
			hear_end(channel);
			close(channel);
		}
	}
	close(event);
}

/* What the daemon says there is much, and no message of the protocol's: a display's pixels. */
static void carries_pictures_over_a_channel(void **state)
{
	struct bench *bench = *state;
	char bytes[1024];
	int pair[2], fds[16], channel;
	unsigned sent = 0, heard = 0;

	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	say(bench->peer, "a\0", 2, &pair[1], 1);
	close(pair[1]);
	assert_int_equal(hear(bench->daemon, "a\0", 2, &channel), 1);
	while (heard < 1000) {
		if (sent < 1000 && sent < heard + 100 &&
		    fd_send_now(channel, bytes, sizeof(bytes), NULL, 0) == sizeof(bytes)) {
			sent++;
			continue;
		}
		assert_int_equal(hear(pair[0], bytes, sizeof(bytes), fds), 0);
		heard++;
	}
	/* And answers are still followed, message by message. */
	say(pair[0], "r\1.", 3, NULL, 0);
	assert_int_equal(hear(channel, "r\1.", 3, fds), 0);
	close(channel);
	hear_end(pair[0]);
	close(pair[0]);
}

/* The daemon learns that the peer has gone, and still holds what it got. */
static void tells_that_the_peer_went(void **state)
{
	struct bench *bench = *state;
	int fds[16];

	say(bench->peer, "a\0", 2, NULL, 0);
	fd_close(&bench->peer);
	assert_int_equal(hear(bench->daemon, "a\0", 2, fds), 0);
	hear_end(bench->daemon);
	assert_int_equal(waitpid(bench->doorman, NULL, WNOHANG), 0);
}

/* The daemon lets the peer go at once, and the doorman when it has let go of everything itself. */
static void lets_the_peer_go(void **state)
{
	struct bench *bench = *state;
	int fds[16];

	say(bench->daemon, "a\0", 2, NULL, 0);
	shutdown(bench->daemon, SHUT_WR);
	assert_int_equal(hear(bench->peer, "a\0", 2, fds), 0);
	hear_end(bench->peer);
	usleep(20000);
	assert_int_equal(waitpid(bench->doorman, NULL, WNOHANG), 0);
}

/* A header that cannot be followed is the daemon's to judge; nothing behind it is read. */
static void stops_where_the_stream_is_lost(void **state)
{
	struct bench *bench = *state;
	struct pollfd poll_fd = { .fd = bench->daemon, .events = POLLIN };
	int fds[16];

	say(bench->peer, "a\377more", 6, NULL, 0);
	assert_int_equal(hear(bench->daemon, "a\377", 2, fds), 0);
	assert_int_equal(poll(&poll_fd, 1, 50), 0);
}

/* Strangers stay with the doorman, and therefore are not let in without end. */
static void ends_with_a_host_of_strangers(void **state)
{
	struct bench *bench = *state;
	int stranger = open("/dev/null", O_RDWR | O_CLOEXEC), fds[16];
	unsigned count = 0;

	for (;;) {
		ssize_t sent = fd_send(bench->peer, "a\0", 2, &stranger, 1);
		char bytes[2];
		size_t fd_count = 0;
		ssize_t received;

		if (sent < 0)
			break;
		wait_for(bench->daemon, POLLIN | POLLRDHUP);
		received = fd_receive(bench->daemon, bytes, 2, fds, 16, &fd_count);
		for (size_t i = 0; i < fd_count; i++)
			close(fds[i]);
		if (received == 0)
			break;
		assert_int_equal(received, 2);
		assert_true(++count < 1000);
	}
	assert_in_range(count, 16, 64);
	close(stranger);
}

/* A daemon that does not read holds up its peer, and nothing is lost or piled up. */
static void waits_for_the_daemon(void **state)
{
	struct bench *bench = *state;
	unsigned sent = 0, quiet = 0;
	uint8_t message[HEADER + 200] = { 0, 200 };
	int fds[16];

	while (quiet < 5) {
		message[0] = (uint8_t)sent;
		if (fd_send(bench->peer, message, sizeof(message), NULL, 0) == sizeof(message)) {
			quiet = 0;
			assert_true(++sent < 20000);
		} else {
			quiet++;
			usleep(10000);
		}
	}
	assert_true(sent > 10);
	for (unsigned i = 0; i < sent; i++) {
		message[0] = (uint8_t)i;
		assert_int_equal(hear(bench->daemon, (const char *)message, sizeof(message), fds), 0);
	}
}

/* ---- plain streams ---- */

/* Bytes that would be no message go through, also many of them at once. */
static void carries_plain_bytes(void **state)
{
	struct bench *bench = *state;
	char bytes[1000];
	int fds[16];

	memset(bytes, 255, sizeof(bytes));
	say(bench->peer, bytes, sizeof(bytes), NULL, 0);
	assert_int_equal(hear(bench->daemon, bytes, sizeof(bytes), fds), 0);
	say(bench->daemon, bytes, sizeof(bytes), NULL, 0);
	assert_int_equal(hear(bench->peer, bytes, sizeof(bytes), fds), 0);
	fd_close(&bench->peer);
	hear_end(bench->daemon);
}

/* Whatever they are; the bytes that they came with are carried. */
static void holds_back_all_descriptors_of_a_stream(void **state)
{
	struct bench *bench = *state;
	int memory = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING), pipes[2], fds[16];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	say(bench->peer, "a", 1, (int[]){ memory, pipes[1] }, 2);
	fd_close(&pipes[1]);
	say(bench->peer, "b", 1, NULL, 0);
	assert_int_equal(hear(bench->daemon, "ab", 2, fds), 0);
	assert_int_equal(fcntl(memory, F_GET_SEALS), 0);
	/* The doorman has it still, and closes it with the peer. */
	fd_close(&bench->daemon);
	wait_for(pipes[0], POLLIN);
	assert_int_equal(read(pipes[0], fds, 1), 0);
	close(pipes[0]);
	close(memory);
}

static void a_stream_of_descriptors_ends(void **state)
{
	struct bench *bench = *state;
	int stranger = open("/dev/null", O_RDWR | O_CLOEXEC), fds[16];
	unsigned heard = 0;
	char byte = 'x';

	while (fd_send(bench->peer, &byte, 1, &stranger, 1) == 1 && heard < 1000) {
		wait_for(bench->daemon, POLLIN | POLLRDHUP);
		if (recv(bench->daemon, &byte, 1, MSG_PEEK) <= 0)
			break;
		assert_int_equal(hear(bench->daemon, "x", 1, fds), 0);
		heard++;
	}
	assert_in_range(heard, 16, 64);
	close(stranger);
}

#define STREAM_TEST(name) cmocka_unit_test_setup_teardown(name, setup_stream, teardown)
#define BENCH_TEST(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(carries_both_ways),
		BENCH_TEST(hands_on_what_it_has_proven),
		BENCH_TEST(holds_back_strangers),
		BENCH_TEST(thins_out_crowds),
		BENCH_TEST(keeps_descriptors_in_their_messages),
		BENCH_TEST(carries_channels),
		BENCH_TEST(carries_pictures_over_a_channel),
		BENCH_TEST(tells_that_the_peer_went),
		BENCH_TEST(lets_the_peer_go),
		BENCH_TEST(stops_where_the_stream_is_lost),
		BENCH_TEST(ends_with_a_host_of_strangers),
		BENCH_TEST(waits_for_the_daemon),
		STREAM_TEST(carries_plain_bytes),
		STREAM_TEST(holds_back_all_descriptors_of_a_stream),
		STREAM_TEST(a_stream_of_descriptors_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
