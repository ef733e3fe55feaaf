/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A request becomes one submission entry, and its completion calls done(): that is the whole path when
 * the kernel transfers everything at once, as it nearly always does. What it left over is submitted
 * again from where it stopped: whole iovecs are skipped, and the one that was cut is shortened in place
 * until the next completion, so that the caller gets its iovecs back as they were.
 */
#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#include "core/checked.h"
#include "core/container.h"
#include "core/iov.h"
#include "host/disk_uring_private.h"

/* One entry's length is 32 bits, and the kernel cuts at INT_MAX rounded down to a page. */
#define TRANSFER_MAX (1u << 30)

static void transfer_done(struct loop_op *op, int result, unsigned cqe_flags);

/* An entry for what is left, at most IOV_MAX iovecs of it. */
static inline struct io_uring_sqe *transfer_entry(struct uring_channel *channel, struct host_io *io)
{
	struct uring_io *own = uring_io(io);
	struct io_uring_sqe *sqe = loop_sqe(channel->loop);
	const struct iovec *iov = io->iov + own->iov_index;
	unsigned count = io->iov_count - own->iov_index;
	uint64_t offset = io->range.offset_bytes + own->done_bytes;
	bool write = io->op == HOST_IO_WRITE;

	if (count == 1)
		io_uring_prep_rw(write ? IORING_OP_WRITE : IORING_OP_READ, sqe, channel->sqe_fd,
				 iov->iov_base,
				 iov->iov_len < TRANSFER_MAX ? (unsigned)iov->iov_len : TRANSFER_MAX, offset);
	else
		io_uring_prep_rw(write ? IORING_OP_WRITEV : IORING_OP_READV, sqe, channel->sqe_fd, iov,
				 count < IOV_MAX ? count : IOV_MAX, offset);
	sqe->flags |= channel->sqe_flags;
	if (channel->copies)
		loop_sqe_copies(channel->loop, io->range.length_bytes - own->done_bytes);
	return sqe;
}

/* Moves the start of the rest by `bytes` from where it was before the iovec was shifted. */
static void transfer_advance(struct host_io *io, size_t bytes)
{
	struct uring_io *own = uring_io(io);
	struct iovec *iov = &io->iov[own->iov_index];

	while (bytes > 0 && bytes >= iov->iov_len) {
		bytes -= iov->iov_len;
		iov++;
	}
	assert(iov < io->iov + io->iov_count);
	iov->iov_base = (uint8_t *)iov->iov_base + bytes;
	iov->iov_len -= bytes;
	own->iov_index = (uint32_t)(iov - io->iov);
	own->shifted_bytes = bytes;
}

/* Undoes the shift; returns it. */
static size_t transfer_restore(struct host_io *io)
{
	struct uring_io *own = uring_io(io);
	struct iovec *iov = &io->iov[own->iov_index];
	size_t shifted = own->shifted_bytes;

	iov->iov_base = (uint8_t *)iov->iov_base - shifted;
	iov->iov_len += shifted;
	own->shifted_bytes = 0;
	return shifted;
}

/* Anything but a complete transfer at the first attempt. */
static void transfer_continue(struct host_io *io, int result)
{
	struct uring_io *own = uring_io(io);
	struct uring_channel *channel = own->channel;
	size_t shifted = transfer_restore(io);
	uint64_t moved = result > 0 ? (uint64_t)result : 0;

	if (result <= 0 && !uring_io_again(own, result)) {
		/* Nothing moved inside the geometry: the file became shorter than it was. */
		io->done(io, result < 0 ? result : -EIO);
		return;
	}
	if (own->done_bytes + moved < io->range.length_bytes)
		/* O_DIRECT goes on from a whole block only. */
		moved &= ~(uint64_t)uring_disk(channel->base.disk)->length_mask;
	if (result > 0 && moved == 0) {
		io->done(io, -EIO);
		return;
	}
	if (result > 0)
		own->attempts = 0;
	own->done_bytes += moved;
	assert(own->done_bytes <= io->range.length_bytes);
	if (own->done_bytes == io->range.length_bytes) {
		io->done(io, 0);
		return;
	}
	transfer_advance(io, shifted + moved);
	loop_sqe_finish_device(channel->loop, transfer_entry(channel, io), &own->op);
}

static void transfer_done(struct loop_op *op, int result, unsigned cqe_flags)
{
	struct host_io *io = uring_io_of(op);

	if (result > 0 && (uint64_t)result == io->range.length_bytes)
		io->done(io, 0);
	else
		transfer_continue(io, result);
}

/* O_DIRECT: does the kernel take the range and these buffers as they are? */
static bool aligned(const struct uring_channel *channel, const struct host_io *io)
{
	const struct disk_uring *disk = (const struct disk_uring *)channel->base.disk;
	uintptr_t addresses = 0;
	size_t lengths = (size_t)io->range.offset_bytes;

	for (unsigned i = 0; i < io->iov_count; i++) {
		addresses |= (uintptr_t)io->iov[i].iov_base;
		lengths |= io->iov[i].iov_len;
	}
	return !(addresses & disk->address_mask) && !(lengths & disk->length_mask);
}

/* FLUSH, DISCARD and ZERO, and WRITE where nothing may be written. */
static void submit_other(struct uring_channel *channel, struct host_io *io)
{
	if (io->op == HOST_IO_FLUSH)
		uring_flush_submit(channel, io);
	else if (channel->base.disk->geometry.read_only)
		io->done(io, -EROFS);
	else
		space_submit(channel, io);
}

static bool moves_data(const struct uring_channel *channel, const struct host_io *io)
{
	return io->op == HOST_IO_READ || (io->op == HOST_IO_WRITE && !channel->base.disk->geometry.read_only);
}

static void uring_submit(struct host_channel *base, struct host_io *io)
{
	struct uring_channel *channel = container_of(base, struct uring_channel, base);
	const struct host_disk_geometry *geometry = &base->disk->geometry;
	struct uring_io *own = uring_io(io);

	*own = (struct uring_io){ .op.done = transfer_done, .channel = channel };
	/* Space: the kernel is never asked for a byte beyond the range that was proven. */
	assert(io->op == HOST_IO_FLUSH ||
	       (io->range.length_bytes > 0 &&
		checked_range(io->range.offset_bytes, io->range.length_bytes,
			      __atomic_load_n(&geometry->size_bytes, __ATOMIC_RELAXED))));
	if (!moves_data(channel, io)) {
		submit_other(channel, io);
		return;
	}
	assert(io->iov_count > 0 && iov_bytes(io->iov, io->iov_count) == io->range.length_bytes);
	if (channel->check_alignment && !aligned(channel, io))
		bounce_submit(channel, io);
	else
		loop_sqe_finish_device(channel->loop, transfer_entry(channel, io), &own->op);
}

static int uring_channel_open(struct host_disk *base, struct loop *loop, struct host_channel **ret_channel)
{
	struct disk_uring *disk = uring_disk(base);
	struct uring_channel *channel = calloc(1, sizeof(*channel));
	int slot;

	if (!channel)
		return -ENOMEM;
	if (disk->direct && bounce_pool_init(&channel->bounce)) {
		free(channel);
		return -ENOMEM;
	}
	channel->base.ops = base->ops;
	channel->base.disk = base;
	channel->loop = loop;
	channel->check_alignment = disk->direct;
	channel->copies = base->geometry.copies && !disk->on_fuse;
	uring_flush_channel_init(channel);
	channel->space_waiting_end = &channel->space_waiting;
	slot = loop_file_register(loop, disk->fd);
	channel->sqe_fd = slot >= 0 ? slot : disk->fd;
	channel->sqe_flags = slot >= 0 ? IOSQE_FIXED_FILE : 0;
	/* A server that does not answer would hold up the worker, and with it every guest of the worker. */
	if (disk->on_fuse)
		channel->sqe_flags |= IOSQE_ASYNC;
	*ret_channel = &channel->base;
	return 0;
}

static void uring_channel_close(struct host_channel *base)
{
	struct uring_channel *channel = container_of(base, struct uring_channel, base);

	assert(!channel->flushing && !channel->flush_waiting && !channel->bounce.waiting);
	assert(channel->space_running == 0 && !channel->space_waiting);
	if (channel->sqe_flags & IOSQE_FIXED_FILE)
		loop_file_unregister(channel->loop, channel->sqe_fd);
	bounce_pool_finish(&channel->bounce);
	free(channel);
}

const struct host_disk_ops disk_uring_ops = {
	.name = "uring",
	.channel_open = uring_channel_open,
	.channel_close = uring_channel_close,
	.submit = uring_submit,
	.read_sync = uring_read_sync,
	.write_sync = uring_write_sync,
	.flush_sync = uring_flush_sync,
	.punch_sync = uring_punch_sync,
	.reserve_sync = uring_reserve_sync,
	.refresh = disk_uring_refresh,
	.close = disk_uring_close,
};
