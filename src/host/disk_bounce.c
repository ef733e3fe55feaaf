/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * O_DIRECT wants buffers aligned to the device's block; firmware and old drivers in guests do not care.
 * Their requests go through one of a few aligned buffers, piece by piece, and wait in order when all are
 * taken: slow, but correct and bounded. A waiting request holds nothing.
 *
 * So do requests of less than whole blocks: guests have sectors of 512 bytes on disks of 4096 (512e). A
 * write reads what it does not cover of its first and last block, and writes whole blocks. The device writes
 * a block as a whole or not at all, so that a crash leaves the neighbours of a sector as they were.
 */
#include <assert.h>
#include <string.h>
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

/* What is done next with a piece. */
enum bounce_step {
	BOUNCE_MOVE,		/* READ: the piece; WRITE, ZERO: the edges are there, or there are none */
	BOUNCE_FIRST,		/* the first block is read, which is not written as a whole */
	BOUNCE_LAST,		/* … and the last one, if it is another one */
};

/* The piece under way: so many bytes of the request, inside so many of whole blocks that the buffer holds. */
struct bounce_piece {
	uint64_t offset_bytes;	/* of the first block */
	uint32_t head_bytes, bytes, span_bytes;
	uint32_t block_bytes;
};

static struct bounce_piece bounce_piece(struct host_io *io)
{
	const struct uring_io *own = uring_io(io);
	uint32_t mask = uring_disk(own->channel->base.disk)->length_mask;
	uint64_t begin = io->range.offset_bytes + own->done_bytes;
	uint64_t left = io->range.length_bytes - own->done_bytes;
	struct bounce_piece piece = { .offset_bytes = begin & ~(uint64_t)mask, .block_bytes = mask + 1 };
	uint64_t room;

	piece.head_bytes = (uint32_t)(begin - piece.offset_bytes);
	room = BOUNCE_BUFFER_BYTES - piece.head_bytes;
	piece.bytes = (uint32_t)(left < room ? left : room);
	piece.span_bytes = (piece.head_bytes + piece.bytes + mask) & ~mask;
	return piece;
}

/* Which block has to be read first, `after` that of a step before? */
static enum bounce_step bounce_edge(const struct bounce_piece *piece, enum bounce_step after)
{
	bool tail = piece->head_bytes + piece->bytes < piece->span_bytes;
	bool one = piece->span_bytes == piece->block_bytes;

	if (after == BOUNCE_MOVE && (piece->head_bytes > 0 || (tail && one)))
		return BOUNCE_FIRST;
	if (after != BOUNCE_LAST && tail && !one)
		return BOUNCE_LAST;
	return BOUNCE_MOVE;
}

/* Reads or writes `bytes` from `at` in the buffer on. */
static void bounce_send(struct host_io *io, const struct bounce_piece *piece, bool write, uint32_t at,
			uint32_t bytes)
{
	struct uring_io *own = uring_io(io);
	struct io_uring_sqe *sqe = loop_sqe(own->channel->loop);

	io_uring_prep_rw(write ? IORING_OP_WRITE : IORING_OP_READ, sqe, own->channel->sqe_fd,
			 own->bounce + at, bytes, piece->offset_bytes + at);
	uring_channel_send(own->channel, sqe, &own->op);
}

static void bounce_issue(struct host_io *io)
{
	struct uring_io *own = uring_io(io);
	struct bounce_piece piece = bounce_piece(io);

	if (own->bounce_step == BOUNCE_FIRST) {
		bounce_send(io, &piece, false, 0, piece.block_bytes);
	} else if (own->bounce_step == BOUNCE_LAST) {
		bounce_send(io, &piece, false, piece.span_bytes - piece.block_bytes, piece.block_bytes);
	} else if (io->op == HOST_IO_READ) {
		bounce_send(io, &piece, false, 0, piece.span_bytes);
	} else {
		if (io->op == HOST_IO_WRITE)
			iov_copy_out(io->iov, io->iov_count, own->done_bytes, own->bounce + piece.head_bytes,
				     piece.bytes);
		else
			memset(own->bounce + piece.head_bytes, 0, piece.bytes);
		bounce_send(io, &piece, true, 0, piece.span_bytes);
	}
}

/* With the first step of the piece that begins at done_bytes. */
static void bounce_begin(struct host_io *io)
{
	struct bounce_piece piece = bounce_piece(io);

	uring_io(io)->bounce_step = io->op == HOST_IO_READ ? BOUNCE_MOVE : bounce_edge(&piece, BOUNCE_MOVE);
	bounce_issue(io);
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
		bounce_begin(next);
	}
	io->done(io, error);
}

/* An edge was read as a whole, or the request fails: what is not known is not written. */
static void bounce_edge_read(struct host_io *io, const struct bounce_piece *piece, int result)
{
	struct uring_io *own = uring_io(io);

	if (result != (int)piece->block_bytes) {
		bounce_finish(io, result < 0 ? result : -EIO);
		return;
	}
	own->attempts = 0;
	own->bounce_step = bounce_edge(piece, own->bounce_step);
	bounce_issue(io);
}

static void bounce_done(struct loop_op *op, int result, unsigned cqe_flags)
{
	struct host_io *io = uring_io_of(op);
	struct uring_io *own = uring_io(io);
	struct bounce_piece piece = bounce_piece(io);
	uint64_t moved = 0;

	if (uring_io_again(own, result)) {
		bounce_issue(io);
		return;
	}
	if (own->bounce_step != BOUNCE_MOVE) {
		bounce_edge_read(io, &piece, result);
		return;
	}
	/* What is left must start at a whole block again. */
	if (result > 0 && (uint32_t)result < piece.span_bytes)
		result &= ~(int)(piece.block_bytes - 1);
	if (result > (int)piece.head_bytes)
		moved = (uint64_t)result - piece.head_bytes;
	if (moved > piece.bytes)
		moved = piece.bytes;
	if (moved == 0) {
		bounce_finish(io, result < 0 ? result : -EIO);
		return;
	}
	if (io->op == HOST_IO_READ)
		iov_copy_in(io->iov, io->iov_count, own->done_bytes, own->bounce + piece.head_bytes, moved);
	own->attempts = 0;
	own->done_bytes += moved;
	assert(own->done_bytes <= io->range.length_bytes);
	if (own->done_bytes < io->range.length_bytes)
		bounce_begin(io);
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
	bounce_begin(io);
}
