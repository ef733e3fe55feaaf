/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests of host disks: a loop, a channel on it, and requests that are waited for. */
#ifndef VIADUCT_TESTS_DISK_FIXTURE_H
#define VIADUCT_TESTS_DISK_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/loop.h"
#include "host/host_disk.h"
#include "patience.h"

#define KIB 1024ull
#define MIB (1024 * KIB)

struct fixture {
	struct loop *loop;
	struct host_disk *disk;
	struct host_channel *channel;
};

struct request {
	struct host_io io;
	struct iovec one;
	unsigned done;
	int error;
};

/* Opens a loop by these clocks (NULL: the real ones) and a channel; finish closes them and the disk. */
static inline void fixture_start_by(struct fixture *fixture, struct host_disk *disk,
				    const struct loop_clocks *clocks)
{
	struct loop_options options = { .name = "test", .clocks = clocks };

	fixture->disk = disk;
	assert_int_equal(loop_create(&options, &fixture->loop), 0);
	assert_int_equal(disk->ops->channel_open(disk, fixture->loop, &fixture->channel), 0);
	assert_ptr_equal(fixture->channel->disk, disk);
}

static inline void fixture_start(struct fixture *fixture, struct host_disk *disk)
{
	fixture_start_by(fixture, disk, NULL);
}

static inline void fixture_finish(struct fixture *fixture)
{
	fixture->disk->ops->channel_close(fixture->channel);
	fixture->disk->ops->close(fixture->disk);
	loop_destroy(fixture->loop);
}

static void request_done(struct host_io *io, int error)
{
	struct request *request = (struct request *)io;

	request->done++;
	request->error = error;
}

static inline void request_prepare(struct request *request, enum host_io_op op, uint64_t offset,
				   uint64_t bytes, struct iovec *iov, unsigned iov_count)
{
	memset(request, 0, sizeof(*request));
	request->io.op = op;
	request->io.range = (struct placed_range){ .offset_bytes = offset, .length_bytes = bytes };
	request->io.iov = iov;
	request->io.iov_count = iov_count;
	request->io.done = request_done;
	/* What a caller leaves there must not matter. */
	memset(request->io.driver_private, 0xa5, sizeof(request->io.driver_private));
}

static inline void host_submit(struct host_channel *channel, struct host_io *io)
{
	channel->ops->submit(channel, io);
}

/* A lost completion is a failure and not a hang. */
static inline int request_wait(struct fixture *fixture, struct request *request)
{
	AWAIT(request->done, assert_int_equal(loop_turn(fixture->loop, 100 * NS_PER_MS), 0));
	assert_int_equal(request->done, 1);
	return request->error;
}

static inline int run_iov(struct fixture *fixture, enum host_io_op op, uint64_t offset, uint64_t bytes,
			  struct iovec *iov, unsigned iov_count)
{
	struct request request;

	request_prepare(&request, op, offset, bytes, iov, iov_count);
	host_submit(fixture->channel, &request.io);
	return request_wait(fixture, &request);
}

/* READ or WRITE of one buffer; DISCARD, ZERO and FLUSH with buffer NULL. */
static inline int run(struct fixture *fixture, enum host_io_op op, uint64_t offset, uint64_t bytes,
		      void *buffer)
{
	struct iovec iov = { .iov_base = buffer, .iov_len = bytes };

	return run_iov(fixture, op, offset, bytes, buffer ? &iov : NULL, buffer ? 1 : 0);
}

/* Bytes that tell their position, other ones for each seed. */
static inline void fill(uint8_t *buffer, size_t bytes, uint32_t seed)
{
	uint32_t value = seed * 2654435761u + 1;

	for (size_t i = 0; i < bytes; i++) {
		value = value * 1664525u + 1013904223u;
		buffer[i] = (uint8_t)(value >> 24);
	}
}

static inline bool all_zero(const uint8_t *buffer, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (buffer[i])
			return false;
	return true;
}

#endif
