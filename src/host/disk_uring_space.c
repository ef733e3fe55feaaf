/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DISCARD and ZERO. fallocate(2) means the same on files and on block devices (holes; write-zeroes
 * offload), so both need no cases here. Where neither punching nor zeroing a range exists, zeroes are
 * written, in pieces of a static buffer. A block device may take its offload back at any time (the kernel
 * does so at the first error); a DISCARD that promised zeroes then keeps the promise the slow way.
 */
#include <assert.h>
#include <linux/falloc.h>

#include "core/checked.h"
#include "host/disk_uring_private.h"

/*
 * A large one keeps the file's lock, or the device, for long, and the kernel queues the others' writes to new
 * space behind it. So a channel has few of them there at a time; what waits here waits behind its own
 * guest's.
 */
#define SPACE_LARGE_BYTES   (1u << 20)
#define SPACE_LARGE_DEPTH   2u

/* Only ever read: its pages are all the kernel's one page of zeroes. */
static uint8_t zeroes[1 << 20] __attribute__((aligned(4096)));

static void space_issue_fallocate(struct host_io *io, int mode)
{
	struct uring_io *own = uring_io(io);
	struct io_uring_sqe *sqe = loop_sqe(own->channel->loop);

	io_uring_prep_fallocate(sqe, own->channel->sqe_fd, mode | FALLOC_FL_KEEP_SIZE,
				(off_t)io->range.offset_bytes, (off_t)io->range.length_bytes);
	uring_channel_send(own->channel, sqe, &own->op);
}

static void space_issue_write(struct host_io *io)
{
	struct uring_io *own = uring_io(io);
	struct io_uring_sqe *sqe = loop_sqe(own->channel->loop);
	uint64_t left = io->range.length_bytes - own->done_bytes;

	io_uring_prep_rw(IORING_OP_WRITE, sqe, own->channel->sqe_fd, zeroes,
			 left < sizeof(zeroes) ? (unsigned)left : (unsigned)sizeof(zeroes),
			 io->range.offset_bytes + own->done_bytes);
	uring_channel_send(own->channel, sqe, &own->op);
}

static void space_issue(struct host_io *io)
{
	switch (uring_io(io)->zero_method) {
	case ZERO_PUNCH:
		space_issue_fallocate(io, FALLOC_FL_PUNCH_HOLE);
		break;
	case ZERO_RANGE:
		space_issue_fallocate(io, FALLOC_FL_ZERO_RANGE);
		break;
	default:
		space_issue_write(io);
	}
}

/* The method tried does not exist after all: the next one, for this request and all later ones. */
static void zero_method_next(struct host_io *io)
{
	struct uring_io *own = uring_io(io);
	unsigned *method = &uring_disk(own->channel->base.disk)->zero_method, now;

	own->zero_method++;
	now = __atomic_load_n(method, __ATOMIC_RELAXED);
	if (now < own->zero_method)
		__atomic_store_n(method, own->zero_method, __ATOMIC_RELAXED);
}

/* True when there is more to do. */
static bool zero_written(struct host_io *io, int bytes)
{
	struct uring_io *own = uring_io(io);

	own->attempts = 0;
	own->done_bytes += (uint64_t)bytes;
	assert(own->done_bytes <= io->range.length_bytes);
	return own->done_bytes < io->range.length_bytes;
}

/* Without holes, a DISCARD is only advice, and it is not worth writing for. */
static bool must_zero(struct host_io *io)
{
	return io->op == HOST_IO_ZERO || uring_io(io)->channel->base.disk->geometry.can_punch;
}

static bool is_large(const struct host_io *io)
{
	return io->range.length_bytes > SPACE_LARGE_BYTES;
}

static void space_finish(struct host_io *io, int error)
{
	struct uring_channel *channel = uring_io(io)->channel;
	struct host_io *next = channel->space_waiting;

	if (is_large(io) && next) {
		channel->space_waiting = uring_io(next)->next;
		if (!channel->space_waiting)
			channel->space_waiting_end = &channel->space_waiting;
		space_issue(next);
	} else if (is_large(io)) {
		channel->space_running--;
	}
	io->done(io, error);
}

static void space_done(struct loop_op *op, int result, unsigned cqe_flags)
{
	struct host_io *io = uring_io_of(op);
	struct uring_io *own = uring_io(io);
	bool writing = own->zero_method == ZERO_WRITE;

	if (uring_io_again(own, result) || (writing && result > 0 && zero_written(io, result))) {
		space_issue(io);
	} else if (result == -EOPNOTSUPP && !writing && must_zero(io)) {
		zero_method_next(io);
		space_issue(io);
	} else {
		space_finish(io, writing && result == 0 ? -EIO : result < 0 ? result : 0);
	}
}

void space_submit(struct uring_channel *channel, struct host_io *io)
{
	struct disk_uring *disk = uring_disk(channel->base.disk);
	struct uring_io *own = uring_io(io);

	assert(io->op == HOST_IO_DISCARD || io->op == HOST_IO_ZERO);
	own->op.done = space_done;
	own->zero_method = ZERO_PUNCH;
	if (io->op == HOST_IO_ZERO)
		own->zero_method = (uint16_t)__atomic_load_n(&disk->zero_method, __ATOMIC_RELAXED);
	if (!is_aligned(io->range.offset_bytes | io->range.length_bytes, disk->base.geometry.block_bytes)) {
		/* Part of a block, for which the kernel has no such request. */
		own->zero_method = ZERO_WRITE;
		if (disk->direct) {
			bounce_submit(channel, io);
			return;
		}
	}
	if (is_large(io) && channel->space_running == SPACE_LARGE_DEPTH) {
		own->next = NULL;
		*channel->space_waiting_end = io;
		channel->space_waiting_end = &own->next;
		return;
	}
	channel->space_running += is_large(io);
	space_issue(io);
}
