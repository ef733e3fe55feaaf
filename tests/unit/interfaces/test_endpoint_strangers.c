/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors from peers: told apart by kind, and closed without ever waiting for another process. */
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "endpoint_bench.h"
#include "interfaces/endpoint_fd.h"
#include "interfaces/endpoint_strangers.h"

static void kinds(void **state)
{
	struct bench *bench = *state;
	int pair[2], pipes[2], listening = foreign_socket(bench, true);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	const struct {
		int fd;
		bool event, memory, stream;
	} cases[] = {
		{ eventfd(0, EFD_CLOEXEC), .event = true },
		{ eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE | EFD_NONBLOCK), .event = true },
		{ fd_memfd("test", 4096), .memory = true },
		{ pair[0], .stream = true },
		{ pair[1], .stream = true },
		{ listening },
		{ socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) },
		{ socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0) },
		{ socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) },
		{ pipes[0] },
		{ pipes[1] },
		{ epoll_create1(EPOLL_CLOEXEC) },
		{ open("/", O_PATH | O_CLOEXEC) },
		{ open("/dev/null", O_RDWR | O_CLOEXEC) },
		{ -1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(endpoint_fd_is_eventfd(cases[i].fd), cases[i].event);
		assert_int_equal(endpoint_fd_is_memory(cases[i].fd), cases[i].memory);
		assert_int_equal(endpoint_fd_is_stream(cases[i].fd), cases[i].stream);
		if (cases[i].fd >= 0)
			close(cases[i].fd);
	}
	assert_int_equal(unlink(bench->path), 0);
}

/* Known kinds are closed at once; strangers by a thread, while the loop turns. */
static void closed_apart(void **state)
{
	struct bench *bench = *state;
	struct endpoint_strangers strangers;
	unsigned before = count_fds();
	int event = eventfd(0, EFD_CLOEXEC), memory = fd_memfd("test", 4096),
	    file = open("/dev/null", O_RDWR | O_CLOEXEC), none = -1;

	endpoint_strangers_init(&strangers, bench->control);
	endpoint_strangers_close(&strangers, &none);
	endpoint_strangers_close(&strangers, &event);
	endpoint_strangers_close(&strangers, &memory);
	assert_int_equal(count_fds(), before + 1);
	assert_int_equal(strangers.count, 0);
	endpoint_strangers_close(&strangers, &file);
	assert_int_equal(event, -1);
	assert_int_equal(memory, -1);
	assert_int_equal(file, -1);
	assert_int_equal(strangers.count, 1);
	TURN_UNTIL(bench, strangers.count == 0);
	assert_int_equal(count_fds(), before);
	endpoint_strangers_finish(&strangers);
}

/* A socket with unread messages may hold descriptors of any kind. */
static void sockets_with_messages(void **state)
{
	struct bench *bench = *state;
	struct endpoint_strangers strangers;
	int quiet[2], loud[2];

	endpoint_strangers_init(&strangers, bench->control);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, quiet), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, loud), 0);
	assert_int_equal(fd_send(loud[0], "x", 1, &quiet[0], 1), 1);
	endpoint_strangers_close_socket(&strangers, &quiet[1]);
	assert_int_equal(strangers.count, 0);
	endpoint_strangers_close_socket(&strangers, &loud[1]);
	assert_int_equal(strangers.count, 1);
	TURN_UNTIL(bench, strangers.count == 0);
	endpoint_strangers_finish(&strangers);
	close(quiet[0]);
	close(loud[0]);
}

static void crowd_and_end(void **state)
{
	struct bench *bench = *state;
	struct endpoint_strangers strangers;

	endpoint_strangers_init(&strangers, bench->control);
	for (unsigned i = 0; i <= ENDPOINT_STRANGERS_MAX; i++) {
		int file = open("/dev/null", O_RDWR | O_CLOEXEC);

		assert_false(endpoint_strangers_crowded(&strangers));
		endpoint_strangers_close(&strangers, &file);
	}
	assert_true(endpoint_strangers_crowded(&strangers));
	/* The endpoint may end first: the closes go on (the tear-down waits for the descriptors). */
	endpoint_strangers_finish(&strangers);
	memset(&strangers, 0xa5, sizeof(strangers));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(kinds),
		BENCH_TEST(closed_apart),
		BENCH_TEST(sockets_with_messages),
		BENCH_TEST(crowd_and_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
