/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tests of endpoint_*.c share: a control loop on a clock that the test moves, and an endpoint that keeps
 * the descriptors of its peers and speaks no protocol.
 */
#ifndef VIADUCT_TESTS_ENDPOINT_BENCH_H
#define VIADUCT_TESTS_ENDPOINT_BENCH_H

/* cmocka wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fd.h"
#include "core/log.h"
#include "core/loop.h"
#include "interfaces/endpoint_socket.h"

#define PEERS_MAX 4

struct bench {
	struct loop *control;
	struct endpoint_options options;
	struct endpoint_socket socket;
	struct log_subject subject;
	int peers[PEERS_MAX];
	unsigned peer_count;
	char directory[32], path[64];
	unsigned fds_before;
};

static uint64_t bench_now_ns;

static uint64_t bench_clock(void)
{
	return bench_now_ns;
}

static bool bench_accepted(void *context, int fd)
{
	struct bench *bench = context;

	if (bench->peer_count == PEERS_MAX)
		return false;
	bench->peers[bench->peer_count++] = fd;
	return true;
}

static unsigned bench_peer_count(const void *context)
{
	return ((const struct bench *)context)->peer_count;
}

static const struct endpoint_socket_ops bench_ops = {
	.accepted = bench_accepted,
	.peer_count = bench_peer_count,
};

static inline unsigned count_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* Turns of the loop in which no time passes on the test's clock. */
static inline void bench_turn(struct bench *bench)
{
	for (unsigned i = 0; i < 20; i++)
		loop_turn(bench->control, 100 * NS_PER_US);
}

static inline void bench_pass(struct bench *bench, uint64_t ns)
{
	bench_now_ns += ns;
	bench_turn(bench);
}

/* Turns until the condition holds, which only a hang keeps from happening. */
#define TURN_UNTIL(bench, condition)                                                                         \
	do {                                                                                                 \
		uint64_t turn_deadline = clock_now_ns() + 60 * NS_PER_S;                                     \
		bool turn_done;                                                                              \
		while (!(turn_done = (condition)) && clock_now_ns() < turn_deadline)                         \
			loop_turn((bench)->control, 100 * NS_PER_US);                                        \
		assert_true(turn_done);                                                                      \
	} while (0)

static inline void bench_init_socket(struct bench *bench, enum endpoint_socket_kind kind, int fd)
{
	bench->options.socket = kind;
	bench->options.fd = fd;
	endpoint_socket_init(&bench->socket, &bench->options, &bench_ops, bench, &bench->subject);
}

static inline int bench_open(struct bench *bench, enum endpoint_socket_kind kind, int fd)
{
	bench_init_socket(bench, kind, fd);
	return endpoint_socket_open(&bench->socket);
}

static inline void bench_drop_peers(struct bench *bench)
{
	while (bench->peer_count > 0) {
		fd_close(&bench->peers[--bench->peer_count]);
		endpoint_socket_peer_gone(&bench->socket);
	}
}

static inline int bench_setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	static const struct loop_clocks clocks = { .now_ns = bench_clock, .thread_ns = bench_clock };
	struct loop_options loop_options = { .name = "test", .entries = 64, .clocks = &clocks };

	log_set_level(LOG_LEVEL_ERROR);
	bench_now_ns = 1000 * NS_PER_S;
	assert_int_equal(loop_create(&loop_options, &bench->control), 0);
	bench_turn(bench);
	strcpy(bench->directory, "/tmp/viaduct-test-XXXXXX");
	assert_non_null(mkdtemp(bench->directory));
	snprintf(bench->path, sizeof(bench->path), "%s/peer.sock", bench->directory);
	log_subject_name(&bench->subject, "alice/toy");
	bench->options = (struct endpoint_options){
		.name = "alice/toy", .control = bench->control, .path = bench->path, .fd = -1,
		.owner = (uid_t)-1,  .group = (gid_t)-1,
	};
	bench_init_socket(bench, ENDPOINT_LISTEN, -1);
	bench->fds_before = count_fds();
	*state = bench;
	return 0;
}

/* Every test ends with the proof that no descriptor and no socket file is left. */
static inline int bench_teardown(void **state)
{
	struct bench *bench = *state;

	endpoint_socket_finish(&bench->socket);
	bench_drop_peers(bench);
	TURN_UNTIL(bench, count_fds() == bench->fds_before);
	assert_int_equal(rmdir(bench->directory), 0);
	loop_destroy(bench->control);
	free(bench);
	return 0;
}

static inline struct sockaddr_un bench_address(const struct bench *bench)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", bench->path);
	return address;
}

static inline int peer_connect(struct bench *bench)
{
	struct sockaddr_un address = bench_address(bench);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* A socket at the path that some other program made. */
static inline int foreign_socket(struct bench *bench, bool listens)
{
	struct sockaddr_un address = bench_address(bench);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (listens)
		assert_int_equal(listen(fd, 4), 0);
	return fd;
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

#endif
