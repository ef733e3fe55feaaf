/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * O_DIRECT wants buffers aligned to the device's block; firmware and old drivers in guests do not care.
 * Their requests go through one of a few aligned buffers, piece by piece, and wait in order when all are
 * taken: slow, but correct and bounded. A waiting request holds nothing.
 */
#include <assert.h>
#include <sys/mman.h>

#include "core/iov.h"
#include "host/disk_uring_private.h"

static_assert(BOUNCE_BUFFERS < 32, "free_mask has a bit for each");

int bounce_pool_init(struct bounce_pool *pool)
{
	void *memory = mmap(NULL, (size_t)BOUNCE_BUFFERS * BOUNCE_BUFFER_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return -ENOMEM;
	pool->memory = memory;
	pool->free_mask = (1u << BOUNCE_BUFFERS) - 1;
	pool->waiting = NULL;
	pool->waiting_end = &pool->waiting;
	return 0;
}

void bounce_pool_finish(struct bounce_pool *pool)
{
	if (!pool->memory)
		return;
	assert(pool->free_mask == (1u << BOUNCE_BUFFERS) - 1);
	munmap(pool->memory, (size_t)BOUNCE_BUFFERS * BOUNCE_BUFFER_BYTES);
	pool->memory = NULL;
}

static uint8_t *bounce_take(struct bounce_pool *pool)
{
	unsigned index;

	if (pool->free_mask == 0)
		return NULL;
	index = (unsigned)__builtin_ctz(pool->free_mask);
	pool->free_mask &= ~(1u << index);
	return pool->memory + (size_t)index * BOUNCE_BUFFER_BYTES;
}

static void bounce_give(struct bounce_pool *pool, uint8_t *buffer)
{
	unsigned bit = 1u << ((size_t)(buffer - pool->memory) / BOUNCE_BUFFER_BYTES);

	assert(!(pool->free_mask & bit));
	pool->free_mask |= bit;
}

static void bounce_issue(struct host_io *io)
{
	struct uring_io *own = uring_io(io);
	struct io_uring_sqe *sqe = loop_sqe(own->channel->loop);
	uint64_t left = io->range.length_bytes - own->done_bytes;
	unsigned bytes = (unsigned)(left < BOUNCE_BUFFER_BYTES ? left : BOUNCE_BUFFER_BYTES);

	if (io->op == HOST_IO_WRITE)
		iov_copy_out(io->iov, io->iov_count, own->done_bytes, own->bounce, bytes);
	io_uring_prep_rw(io->op == HOST_IO_WRITE ? IORING_OP_WRITE : IORING_OP_READ, sqe,
			 own->channel->sqe_fd, own->bounce, bytes, io->range.offset_bytes + own->done_bytes);
	uring_channel_send(own->channel, sqe, &own->op);
}

/* The buffer goes to the request that waits longest, before the caller is told and submits more. */
static void bounce_finish(struct host_io *io, int error)
{
	struct bounce_pool *pool = &uring_io(io)->channel->bounce;
	struct host_io *next = pool->waiting;

	bounce_give(pool, uring_io(io)->bounce);
	if (next) {
		pool->waiting = uring_io(next)->next;
		if (!pool->waiting)
			pool->waiting_end = &pool->waiting;
		uring_io(next)->bounce = bounce_take(pool);
		bounce_issue(next);
	}
	io->done(io, error);
}

static void bounce_done(struct loop_op *op, int result, unsigned cqe_flags)
{
	struct host_io *io = uring_io_of(op);
	struct uring_io *own = uring_io(io);
	uint64_t moved = result > 0 ? (uint64_t)result : 0;

	if (uring_io_again(own, result)) {
		bounce_issue(io);
		return;
	}
	/* What is left must start at a whole block again. */
	if (own->done_bytes + moved < io->range.length_bytes)
		moved &= ~(uint64_t)uring_disk(own->channel->base.disk)->length_mask;
	if (moved == 0) {
		bounce_finish(io, result < 0 ? result : -EIO);
		return;
	}
	if (io->op == HOST_IO_READ)
		iov_copy_in(io->iov, io->iov_count, own->done_bytes, own->bounce, moved);
	own->attempts = 0;
	own->done_bytes += moved;
	assert(own->done_bytes <= io->range.length_bytes);
	if (own->done_bytes < io->range.length_bytes)
		bounce_issue(io);
	else
		bounce_finish(io, 0);
}

void bounce_submit(struct uring_channel *channel, struct host_io *io)
{
	struct bounce_pool *pool = &channel->bounce;
	struct uring_io *own = uring_io(io);
	uint8_t *buffer = bounce_take(pool);

	own->op.done = bounce_done;
	if (!buffer) {
		own->next = NULL;
		*pool->waiting_end = io;
		pool->waiting_end = &own->next;
		return;
	}
	own->bounce = buffer;
	bounce_issue(io);
}
