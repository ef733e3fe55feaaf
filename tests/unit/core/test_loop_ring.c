/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a loop's ring refuses, whatever the filter of system calls would say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/loop.h"
#include "core/loop_ring.h"
#include "patience.h"

#define OPCODES 256

struct asked {
	struct loop_op op;
	bool done;
	int result;
};

static void on_done(struct loop_op *op, int result, unsigned cqe_flags)
{
	struct asked *asked = (struct asked *)op;

	asked->done = true;
	asked->result = result;
}

static struct loop *make_loop(void)
{
	struct loop_options options = { .name = "test" };
	struct loop *loop = NULL;

	assert_int_equal(loop_create(&options, &loop), 0);
	return loop;
}

/* The result of an operation whose arguments are all 0, but for the descriptor. */
static int ask(struct loop *loop, uint8_t opcode, int fd, uint8_t flags)
{
	struct asked asked = { .op.done = on_done };
	struct io_uring_sqe *sqe = loop_sqe(loop);

	io_uring_prep_rw(opcode, sqe, fd, NULL, 0, 0);
	sqe->flags = flags;
	loop_sqe_finish(loop, sqe, &asked.op);
	AWAIT(asked.done, assert_int_equal(loop_turn(loop, NS_PER_MS), 0));
	return asked.result;
}

/* The daemon's, as far as they end at once. The test has a list of its own: a new operation is a decision. */
static bool is_wanted(unsigned opcode)
{
	static const uint8_t wanted[] = {
		IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL, IORING_OP_READ,	 IORING_OP_READV,
		IORING_OP_WRITE,    IORING_OP_WRITEV,	    IORING_OP_FALLOCATE, IORING_OP_FSYNC,
	};

	for (unsigned i = 0; i < sizeof(wanted); i++)
		if (wanted[i] == opcode)
			return true;
	return false;
}

/* Every opcode that there is, and those that there will be. */
static void test_what_the_daemon_does_not_use_is_refused(void **state)
{
	struct loop *loop = make_loop();

	for (unsigned opcode = 0; opcode < OPCODES; opcode++) {
		int result = ask(loop, (uint8_t)opcode, -1, 0);

		if (is_wanted(opcode))
			assert_int_not_equal(result, -EACCES);
		else if (result != -EACCES && result != -EINVAL)
			fail_msg("opcode %u is answered with %d", opcode, result);
	}
	loop_destroy(loop);
}

/* Arguments with which each of them would succeed in a ring without restrictions. */
static void test_what_the_filter_forbids_is_refused_by_the_ring(void **state)
{
	static const uint8_t opcodes[] = { IORING_OP_NOP, IORING_OP_OPENAT, IORING_OP_SOCKET,
					   IORING_OP_TIMEOUT };
	char folder[] = "/tmp/viaduct-ring-XXXXXX", link[sizeof(folder) + 8];
	struct asked asked = { .op.done = on_done };
	struct loop *loop = make_loop();
	struct io_uring_sqe *sqe;

	assert_non_null(mkdtemp(folder));
	snprintf(link, sizeof(link), "%s/link", folder);
	for (unsigned i = 0; i < sizeof(opcodes); i++)
		assert_int_equal(ask(loop, opcodes[i], AF_INET, 0), -EACCES);
	sqe = loop_sqe(loop);
	io_uring_prep_rw(IORING_OP_SYMLINKAT, sqe, AT_FDCWD, "/etc", 0, (uintptr_t)link);
	loop_sqe_finish(loop, sqe, &asked.op);
	AWAIT(asked.done, assert_int_equal(loop_turn(loop, NS_PER_MS), 0));
	assert_int_equal(asked.result, -EACCES);
	assert_int_equal(access(link, F_OK), -1);
	assert_int_equal(rmdir(folder), 0);
	loop_destroy(loop);
}

static void test_flags_that_the_daemon_does_not_use_are_refused(void **state)
{
	static const uint8_t flags[] = { IOSQE_IO_LINK, IOSQE_IO_HARDLINK, IOSQE_IO_DRAIN,
					 IOSQE_BUFFER_SELECT, IOSQE_CQE_SKIP_SUCCESS };
	struct loop *loop;

	/* A ring of its own for each: the kernel may hold back what comes after such a mistake. */
	for (unsigned i = 0; i < sizeof(flags); i++) {
		loop = make_loop();
		assert_int_equal(ask(loop, IORING_OP_READ, -1, flags[i]), -EACCES);
		loop_destroy(loop);
	}
	loop = make_loop();
	assert_int_equal(ask(loop, IORING_OP_FSYNC, -1, IOSQE_ASYNC), -EBADF);
	loop_destroy(loop);
}

static int registered(const struct io_uring *ring, unsigned op, void *argument, unsigned count)
{
	return syscall(__NR_io_uring_register, ring->ring_fd, op, argument, count) < 0 ? -errno : 0;
}

static bool is_listed(unsigned op)
{
	for (unsigned i = 0; loop_ring_register_op(i) >= 0; i++)
		if (loop_ring_register_op(i) == (int)op)
			return true;
	return false;
}

/* Nor can a ring be given what widens it later: buffers, other files, identities, new restrictions. */
static void test_registrations_are_refused(void **state)
{
	struct iovec memory = { .iov_base = (void *)state, .iov_len = 4096 };
	struct io_uring ring;

	assert_int_equal(loop_ring_create(&ring, 8), 0);
	assert_int_equal(registered(&ring, IORING_REGISTER_RESTRICTIONS, NULL, 0), -EBUSY);
	assert_int_equal(loop_ring_enable(&ring), 0);
	for (unsigned op = 0; op < 64; op++) {
		int result = is_listed(op) ? 0 : registered(&ring, op, &memory, 1);

		if (!is_listed(op) && result != -EACCES && result != -EINVAL)
			fail_msg("registration %u is answered with %d", op, result);
	}
	assert_int_equal(registered(&ring, IORING_REGISTER_PERSONALITY, NULL, 0), -EACCES);
	assert_int_equal(registered(&ring, IORING_REGISTER_BUFFERS, &memory, 1), -EACCES);
	assert_int_equal(registered(&ring, IORING_REGISTER_RESTRICTIONS, NULL, 0), -EACCES);
	assert_int_equal(io_uring_register_files_sparse(&ring, 8), 0);
	io_uring_queue_exit(&ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_the_daemon_does_not_use_is_refused),
		cmocka_unit_test(test_what_the_filter_forbids_is_refused_by_the_ring),
		cmocka_unit_test(test_flags_that_the_daemon_does_not_use_are_refused),
		cmocka_unit_test(test_registrations_are_refused),
	};

	return cmocka_run_group_tests_name("loop_ring", tests, NULL, NULL);
}
