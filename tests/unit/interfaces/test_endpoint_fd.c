/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors from peers are told apart by kind. */
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "endpoint_bench.h"
#include "interfaces/endpoint_fd.h"

static void kinds(void **state)
{
	struct bench *bench = *state;
	int pair[2], pipes[2], listening = foreign_socket(bench, true);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	const struct {
		int fd;
		bool event, memory, stream, may_be_file, file;
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
		{ open("/dev/zero", O_RDWR | O_CLOEXEC), .file = true },
		{ open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC), .may_be_file = true },
		{ open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC) },
		{ open("/proc/self", O_DIRECTORY | O_CLOEXEC) },
		{ -1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(endpoint_fd_is_eventfd(cases[i].fd), cases[i].event);
		assert_int_equal(endpoint_fd_is_memory(cases[i].fd), cases[i].memory);
		assert_int_equal(endpoint_fd_is_stream(cases[i].fd), cases[i].stream);
		if (!cases[i].memory)
			assert_int_equal(endpoint_fd_may_be_file(cases[i].fd), cases[i].may_be_file);
		assert_int_equal(endpoint_fd_is_file(cases[i].fd), cases[i].file);
		if (cases[i].fd >= 0)
			close(cases[i].fd);
	}
	assert_int_equal(unlink(bench->path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
