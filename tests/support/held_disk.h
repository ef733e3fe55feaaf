/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host disk whose every I/O waits until the test ends it, in any order and with any result, and that
 * remembers what it was asked. The synchronous calls (the pool's metadata) go through at once, unless the
 * test holds `sync_gate`.
 */
#ifndef VIADUCT_TESTS_UNIT_HELD_DISK_H
#define VIADUCT_TESTS_UNIT_HELD_DISK_H

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/iov.h"
#include "host/host_disk.h"

#define HELD_MAX 512u
#define HELD_LOG 512u

struct held_entry {
	enum host_io_op op;
	uint64_t offset, length;
};

struct held_disk {
	struct host_disk host;
	uint8_t *bytes;
	bool at_once;			/* I/Os end inside submit() */
	bool unwatched;			/* and are not remembered: of threads that have blocks of their own */
	struct host_io *held[HELD_MAX];
	unsigned held_count;
	struct held_entry log[HELD_LOG];
	unsigned logged;		/* I/Os, without the synchronous calls */
	unsigned channels;		/* atomic */
	bool refuses_channels;		/* for want of memory */
	pthread_mutex_t sync_gate;
	unsigned sync_flushes;		/* atomic */
};

static void held_perform(struct held_disk *disk, struct host_io *io, int error)
{
	uint8_t *at = disk->bytes + io->range.offset_bytes;

	if (!error && io->op == HOST_IO_READ)
		iov_copy_in(io->iov, io->iov_count, 0, at, io->range.length_bytes);
	else if (!error && io->op == HOST_IO_WRITE)
		iov_copy_out(io->iov, io->iov_count, 0, at, io->range.length_bytes);
	else if (!error &&
		 (io->op == HOST_IO_ZERO || (io->op == HOST_IO_DISCARD && disk->host.geometry.can_punch)))
		memset(at, 0, io->range.length_bytes);
	if (error && io->op == HOST_IO_FLUSH)
		disk->host.flush_failed = true;
	io->done(io, error);
}

/* Ends the held I/O `index`, 0 being the oldest. */
static inline void held_end(struct held_disk *disk, unsigned index, int error)
{
	struct host_io *io = disk->held[index];

	assert_true(index < disk->held_count);
	disk->held_count--;
	for (unsigned i = index; i < disk->held_count; i++)
		disk->held[i] = disk->held[i + 1];
	held_perform(disk, io, error);
}

static inline void held_end_all(struct held_disk *disk)
{
	while (disk->held_count > 0)
		held_end(disk, 0, 0);
}

static int held_channel_open(struct host_disk *host, struct loop *loop, struct host_channel **ret_channel)
{
	struct host_channel *channel;

	if (((struct held_disk *)host)->refuses_channels)
		return -ENOMEM;
	channel = calloc(1, sizeof(*channel));
	assert_non_null(channel);
	*channel = (struct host_channel){ host->ops, host };
	__atomic_fetch_add(&((struct held_disk *)host)->channels, 1, __ATOMIC_RELAXED);
	*ret_channel = channel;
	return 0;
}

static void held_channel_close(struct host_channel *channel)
{
	__atomic_fetch_sub(&((struct held_disk *)channel->disk)->channels, 1, __ATOMIC_RELAXED);
	free(channel);
}

static void held_submit(struct host_channel *channel, struct host_io *io)
{
	struct held_disk *disk = (struct held_disk *)channel->disk;

	assert_true(io->op == HOST_IO_FLUSH || io->range.length_bytes > 0);
	assert_true(io->range.offset_bytes <= disk->host.geometry.size_bytes &&
		    io->range.length_bytes <= disk->host.geometry.size_bytes - io->range.offset_bytes);
	if (disk->unwatched) {
		held_perform(disk, io, 0);
		return;
	}
	assert_true(disk->logged < HELD_LOG && disk->held_count < HELD_MAX);
	disk->log[disk->logged++] =
		(struct held_entry){ io->op, io->range.offset_bytes, io->range.length_bytes };
	if (disk->at_once)
		held_perform(disk, io, 0);
	else
		disk->held[disk->held_count++] = io;
}

static int held_read_sync(struct host_disk *host, uint64_t offset, void *buffer, size_t bytes)
{
	memcpy(buffer, ((struct held_disk *)host)->bytes + offset, bytes);
	return 0;
}

static int held_write_sync(struct host_disk *host, uint64_t offset, const void *buffer, size_t bytes)
{
	memcpy(((struct held_disk *)host)->bytes + offset, buffer, bytes);
	return 0;
}

static int held_flush_sync(struct host_disk *host)
{
	struct held_disk *disk = (struct held_disk *)host;

	pthread_mutex_lock(&disk->sync_gate);
	__atomic_fetch_add(&disk->sync_flushes, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&disk->sync_gate);
	return 0;
}

static int held_punch_sync(struct host_disk *host, uint64_t offset, uint64_t bytes)
{
	if (!host->geometry.can_punch)
		return -EOPNOTSUPP;
	memset(((struct held_disk *)host)->bytes + offset, 0, bytes);
	return 0;
}

static int held_refresh(struct host_disk *host)
{
	return 0;
}

static void held_close(struct host_disk *host)
{
	struct held_disk *disk = (struct held_disk *)host;

	assert_int_equal(disk->held_count, 0);
	assert_int_equal(disk->channels, 0);
	pthread_mutex_destroy(&disk->sync_gate);
	free(disk->bytes);
	free(disk);
}

static const struct host_disk_ops held_ops = {
	.name = "held",
	.channel_open = held_channel_open,
	.channel_close = held_channel_close,
	.submit = held_submit,
	.read_sync = held_read_sync,
	.write_sync = held_write_sync,
	.flush_sync = held_flush_sync,
	.punch_sync = held_punch_sync,
	.refresh = held_refresh,
	.close = held_close,
};

/* Every byte is 0xee: what somebody left there. */
static inline struct held_disk *held_disk_create(uint64_t size_bytes, uint32_t block_bytes)
{
	struct held_disk *disk = calloc(1, sizeof(*disk));

	assert_non_null(disk);
	disk->bytes = malloc(size_bytes);
	assert_non_null(disk->bytes);
	memset(disk->bytes, 0xee, size_bytes);
	pthread_mutex_init(&disk->sync_gate, NULL);
	disk->host.ops = &held_ops;
	disk->host.geometry = (struct host_disk_geometry){
		.size_bytes = size_bytes, .block_bytes = block_bytes, .physical_block_bytes = 4096,
	};
	return disk;
}

#endif
