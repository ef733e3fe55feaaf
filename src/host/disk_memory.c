/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The twin of a physical disk, for tests and benchmarks.
 *
 * Theory of operation. Without service times, a request completes inside submit(): with null, that is
 * one atomic load and a call. With them, it completes by a timer (disk_memory_service.c), and bytes move at
 * that moment. Faults and hangs (disk_memory_trouble.c) hide behind one flag, `unusual`.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/checked.h"
#include "core/container.h"
#include "core/iov.h"
#include "host/disk_memory_private.h"

#define MEMORY_BLOCK_BYTES_DEFAULT 512
#define MEMORY_DEPTH_MAX	   4096

static void check_io(const struct disk_memory *disk, const struct host_io *io)
{
	const struct placed_range *range = &io->range;

	if (io->op == HOST_IO_FLUSH)
		return;
	assert(range->length_bytes > 0);
	assert(checked_range(range->offset_bytes, range->length_bytes, disk->base.geometry.size_bytes));
}

/* ---- what a request does to the bytes ---- */

/* Whole pages go back to the kernel, which is what makes a large disk of zeroes cheap. */
static void zero_bytes(struct disk_memory *disk, uint64_t offset, uint64_t bytes)
{
	uint64_t first = align_up(offset, 4096), end = align_down(offset + bytes, 4096);

	if (first >= end || madvise(disk->bytes + first, end - first, MADV_DONTNEED) < 0) {
		memset(disk->bytes + offset, 0, bytes);
		return;
	}
	memset(disk->bytes + offset, 0, first - offset);
	memset(disk->bytes + end, 0, offset + bytes - end);
}

static void move_bytes(struct disk_memory *disk, struct host_io *io)
{
	uint64_t offset = io->range.offset_bytes, bytes = io->range.length_bytes;

	switch (io->op) {
	case HOST_IO_READ:
		bytes -= iov_copy_in(io->iov, io->iov_count, 0, disk->bytes + offset, bytes);
		assert(bytes == 0);
		break;
	case HOST_IO_WRITE:
		bytes -= iov_copy_out(io->iov, io->iov_count, 0, disk->bytes + offset, bytes);
		assert(bytes == 0);
		break;
	case HOST_IO_DISCARD:
		/* "Undefined" is what it was: a caller that relies on zeroes all the same is found out. */
		if (disk->base.geometry.can_punch)
			zero_bytes(disk, offset, bytes);
		break;
	case HOST_IO_ZERO:
		zero_bytes(disk, offset, bytes);
		break;
	case HOST_IO_FLUSH:
		break;
	}
}

void memory_perform(struct disk_memory *disk, struct host_io *io)
{
	int error;

	if (io->op == HOST_IO_FLUSH)
		error = memory_flush_result(disk);
	else
		error = memory_fault_take(disk, io->op, io->range.offset_bytes, io->range.length_bytes);
	if (!error && disk->bytes)
		move_bytes(disk, io);
	io->done(io, error);
}

/* ---- channels ---- */

static void memory_submit(struct host_channel *base, struct host_io *io)
{
	struct memory_channel *channel = container_of(base, struct memory_channel, base);
	struct disk_memory *disk = memory_disk(base->disk);
	uint64_t service;

	check_io(disk, io);
	service = disk->timed ? memory_service_ns(disk, io) : 0;
	if (service > 0)
		memory_serve(channel, io, service);
	else if (!memory_hold_back(channel, io))
		memory_perform(disk, io);
}

/* Null mode without service times: what a benchmark of everything above the driver runs on. */
static void null_submit(struct host_channel *base, struct host_io *io)
{
	struct disk_memory *disk = memory_disk(base->disk);

	check_io(disk, io);
	if (__builtin_expect(memory_unusual(disk), false))
		memory_submit(base, io);
	else
		io->done(io, 0);
}

static int memory_channel_open(struct host_disk *base, struct loop *loop, struct host_channel **ret_channel)
{
	struct disk_memory *disk = memory_disk(base);
	struct memory_channel *channel = calloc(1, sizeof(*channel));

	if (!channel)
		return -ENOMEM;
	channel->base.ops = base->ops;
	channel->base.disk = base;
	channel->loop = loop;
	channel->timer.expired = memory_timer_expired;
	channel->release.run = memory_release_run;
	channel->held_end = &channel->held;
	pthread_mutex_lock(&disk->lock);
	channel->next = disk->channels;
	disk->channels = channel;
	pthread_mutex_unlock(&disk->lock);
	*ret_channel = &channel->base;
	return 0;
}

static void memory_channel_close(struct host_channel *base)
{
	struct memory_channel *channel = container_of(base, struct memory_channel, base);
	struct disk_memory *disk = memory_disk(base->disk);
	struct memory_channel **link = &disk->channels;

	assert(!channel->serving && !channel->held);
	loop_timer_stop(channel->loop, &channel->timer);
	pthread_mutex_lock(&disk->lock);
	while (*link != channel)
		link = &(*link)->next;
	*link = channel->next;
	pthread_mutex_unlock(&disk->lock);
	free(channel);
}

/* ---- blocking ---- */

/* Faults apply here too; a hang does not, or a test with one thread could never end it. */
static int sync_check(struct disk_memory *disk, enum host_io_op op, uint64_t offset, uint64_t bytes)
{
	if (!checked_range(offset, bytes, disk->base.geometry.size_bytes))
		return -ERANGE;
	return bytes > 0 ? memory_fault_take(disk, op, offset, bytes) : 0;
}

static int memory_read_sync(struct host_disk *base, uint64_t offset, void *buffer, size_t bytes)
{
	struct disk_memory *disk = memory_disk(base);
	int error = sync_check(disk, HOST_IO_READ, offset, bytes);

	if (error)
		return error;
	if (disk->bytes)
		memcpy(buffer, disk->bytes + offset, bytes);
	else
		memset(buffer, 0, bytes);
	return 0;
}

static int memory_write_sync(struct host_disk *base, uint64_t offset, const void *buffer, size_t bytes)
{
	struct disk_memory *disk = memory_disk(base);
	int error = sync_check(disk, HOST_IO_WRITE, offset, bytes);

	if (!error && disk->bytes)
		memcpy(disk->bytes + offset, buffer, bytes);
	return error;
}

static int memory_flush_sync(struct host_disk *base)
{
	return memory_flush_result(memory_disk(base));
}

static int memory_punch_sync(struct host_disk *base, uint64_t offset, uint64_t bytes)
{
	struct disk_memory *disk = memory_disk(base);
	int error;

	if (!base->geometry.can_punch)
		return -EOPNOTSUPP;
	error = sync_check(disk, HOST_IO_ZERO, offset, bytes);
	if (!error && disk->bytes)
		zero_bytes(disk, offset, bytes);
	return error;
}

static int memory_refresh(struct host_disk *base)
{
	return 0;
}

/* ---- opening ---- */

static void memory_close(struct host_disk *base)
{
	struct disk_memory *disk = memory_disk(base);

	assert(!disk->channels);
	memory_faults_free(disk);
	if (disk->bytes)
		munmap(disk->bytes, disk->options.size_bytes);
	free(disk->server_free_ns);
	pthread_mutex_destroy(&disk->lock);
	free(disk);
}

#define MEMORY_OPS(driver_name, driver_submit)                                                               \
	{                                                                                                    \
		.name = driver_name, .channel_open = memory_channel_open,                                    \
		.channel_close = memory_channel_close, .submit = driver_submit,                              \
		.read_sync = memory_read_sync, .write_sync = memory_write_sync,                              \
		.flush_sync = memory_flush_sync, .punch_sync = memory_punch_sync, .refresh = memory_refresh, \
		.close = memory_close,                                                                       \
	}

static const struct host_disk_ops memory_ops = MEMORY_OPS("memory", memory_submit);
static const struct host_disk_ops null_ops = MEMORY_OPS("null", null_submit);

static bool options_timed(const struct disk_memory_options *options)
{
	return options->read_base_ns || options->write_base_ns || options->flush_ns ||
	       options->read_ns_per_kib || options->write_ns_per_kib;
}

static int allocate(struct disk_memory *disk)
{
	const struct disk_memory_options *options = &disk->options;

	if (disk->timed && options->depth > 0) {
		disk->server_free_ns = calloc(options->depth, sizeof(*disk->server_free_ns));
		if (!disk->server_free_ns)
			return -ENOMEM;
	}
	if (!options->null) {
		void *bytes = mmap(NULL, options->size_bytes, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (bytes == MAP_FAILED) {
			free(disk->server_free_ns);
			return -ENOMEM;
		}
		disk->bytes = bytes;
	}
	return 0;
}

int disk_memory_open(const struct disk_memory_options *options, struct host_disk **ret_disk)
{
	uint32_t block_bytes = options->block_bytes ? options->block_bytes : MEMORY_BLOCK_BYTES_DEFAULT;
	struct disk_memory *disk;
	int error;

	if ((block_bytes != 512 && block_bytes != 4096) || options->size_bytes == 0 ||
	    !is_aligned(options->size_bytes, block_bytes) || options->depth > MEMORY_DEPTH_MAX)
		return -EINVAL;
	disk = calloc(1, sizeof(*disk));
	if (!disk)
		return -ENOMEM;
	disk->options = *options;
	disk->slow = 1;
	disk->timed = options_timed(options);
	error = allocate(disk);
	if (error) {
		free(disk);
		return error;
	}
	pthread_mutex_init(&disk->lock, NULL);
	disk->base.ops = options->null && !disk->timed ? &null_ops : &memory_ops;
	disk->base.geometry = (struct host_disk_geometry){
		.size_bytes = options->size_bytes,
		.block_bytes = block_bytes,
		.physical_block_bytes = 4096,
		.can_punch = options->can_punch,
		.copies = !options->null,
	};
	*ret_disk = &disk->base;
	return 0;
}

uint8_t *disk_memory_bytes(struct host_disk *base)
{
	return memory_disk(base)->bytes;
}
