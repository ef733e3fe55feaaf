/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/loop_ring.h"

#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Everything that the daemon asks of a ring. One line for each user: whoever prepares another operation adds
 * it here, and finds -EACCES in its completion until then.
 */
#define OPERATION(name)                                                                                      \
	{                                                                                                    \
		.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_##name                              \
	}
#define REGISTRATION(name)                                                                                   \
	{                                                                                                    \
		.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_##name              \
	}
#define FLAGS(flags)                                                                                         \
	{                                                                                                    \
		.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = (flags)                         \
	}

static const struct io_uring_restriction allowed[] = {
	OPERATION(POLL_ADD),	 /* watches */
	OPERATION(ASYNC_CANCEL), /* watches, and writes to a peer's eventfd */
	OPERATION(READ),	 /* disks */
	OPERATION(READV),	 /* disks */
	OPERATION(WRITE),	 /* disks, eventfds, captures into a file */
	OPERATION(WRITEV),	 /* disks */
	OPERATION(FALLOCATE),	 /* discards, zeroes */
	OPERATION(FSYNC),	 /* flushes */
	FLAGS(IOSQE_FIXED_FILE | IOSQE_ASYNC),
	REGISTRATION(ENABLE_RINGS),	/* the end of the preparations, */
	REGISTRATION(FILES2),		/* a table of files, */
	REGISTRATION(FILES_UPDATE),	/* and its slots */
};

#define ALLOWED_COUNT (sizeof(allowed) / sizeof(allowed[0]))

int loop_ring_register_op(unsigned index)
{
	for (size_t i = 0; i < ALLOWED_COUNT; i++)
		if (allowed[i].opcode == IORING_RESTRICTION_REGISTER_OP && index-- == 0)
			return allowed[i].register_op;
	return -1;
}

/* liburing 2.3 declares functions for what is registered here, but its library does not export them. */
static int ring_register(const struct io_uring *ring, unsigned op, const void *argument, unsigned count)
{
	return syscall(__NR_io_uring_register, ring->ring_fd, op, argument, count) < 0 ? -errno : 0;
}

int loop_ring_create(struct io_uring *ring, unsigned entries)
{
	static const unsigned flag_sets[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		0,
	};
	int error = -EINVAL;

	for (size_t i = 0; i < sizeof(flag_sets) / sizeof(flag_sets[0]); i++) {
		struct io_uring_params params = {
			.flags = flag_sets[i] | IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP |
				 IORING_SETUP_CQSIZE,
			.cq_entries = entries * 4,
		};

		error = io_uring_queue_init_params(entries, ring, &params);
		if (error != -EINVAL)
			break;
	}
	if (error)
		return error;
	error = ring_register(ring, IORING_REGISTER_RESTRICTIONS, allowed, ALLOWED_COUNT);
	if (error)
		io_uring_queue_exit(ring);
	return error;
}

int loop_ring_enable(struct io_uring *ring)
{
	return ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}
