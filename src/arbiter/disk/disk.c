/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtual disks as objects: what they are and count. The data path is in disk_io.c. */
#include "arbiter/disk/disk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "arbiter/disk/disk_internal.h"
#include "core/checked.h"

static int create(const struct disk_options *options, struct host_disk *host, struct disk **ret_disk)
{
	struct disk *disk = calloc(1, sizeof(*disk));
	uint32_t block_bytes = options->block_bytes ? options->block_bytes : host->geometry.block_bytes;

	assert(options->guest && options->name);
	assert(is_power_of_two(host->geometry.block_bytes));
	assert(block_bytes == 512 || block_bytes == 4096);
	if (!disk)
		return -ENOMEM;
	snprintf(disk->guest, sizeof(disk->guest), "%s", options->guest);
	snprintf(disk->name, sizeof(disk->name), "%s", options->name);
	disk->read_only = options->read_only || host->geometry.read_only;
	disk->host = host;
	disk->share = options->share;
	disk->slice_bytes = host->geometry.copies ? DISK_SLICE_BYTES : DISK_STEP_BYTES;
	disk->geometry = (struct disk_geometry){
		.block_bytes = block_bytes,
		.physical_block_bytes = host->geometry.physical_block_bytes > block_bytes
						? host->geometry.physical_block_bytes
						: block_bytes,
		.optimal_io_bytes = host->geometry.optimal_io_bytes,
	};
	disk->small_blocks = block_bytes < host->geometry.block_bytes;
	disk->host_size_bytes = align_down(host->geometry.size_bytes, block_bytes);
	pthread_mutex_init(&disk->channels_mutex, NULL);
	grain_locks_init(&disk->grain_locks);
	*ret_disk = disk;
	return 0;
}

int disk_create_on_pool(const struct disk_options *options, struct pool *pool, struct pool_disk *part,
			struct disk **ret_disk)
{
	int error = create(options, pool_host(pool), ret_disk);

	assert(part);
	if (error)
		return error;
	(*ret_disk)->pool = pool;
	(*ret_disk)->part = part;
	return 0;
}

int disk_create_on_host(const struct disk_options *options, struct host_disk *host, struct disk **ret_disk)
{
	return create(options, host, ret_disk);
}

void disk_set_part(struct disk *disk, struct pool *pool, struct pool_disk *part)
{
	assert(disk->pool && !disk->channels);
	assert(pool_host(pool) == disk->host);
	disk->pool = pool;
	disk->part = part;
}

void disk_destroy(struct disk *disk)
{
	if (!disk)
		return;
	assert(!disk->channels && disk->channel_count == 0);
	assert(counter_read(&disk->closed.in_flight) == 0);
	grain_locks_finish(&disk->grain_locks);
	pthread_mutex_destroy(&disk->channels_mutex);
	free(disk);
}

const char *disk_guest(const struct disk *disk)
{
	return disk->guest;
}

const char *disk_name(const struct disk *disk)
{
	return disk->name;
}

uint64_t disk_size_bytes(const struct disk *disk)
{
	return disk->pool ? pool_disk_size_bytes(disk->part)
			  : __atomic_load_n(&disk->host_size_bytes, __ATOMIC_RELAXED);
}

uint32_t disk_block_bytes(const struct disk *disk)
{
	return disk->geometry.block_bytes;
}

const struct disk_geometry *disk_geometry(const struct disk *disk)
{
	return &disk->geometry;
}

uint32_t disk_discard_bytes(const struct disk *disk)
{
	if (disk->pool && !disk->host->geometry.can_punch)
		return POOL_GRAIN_BYTES;
	if (!disk->host->geometry.can_punch)
		return 0;
	return disk->geometry.physical_block_bytes > 4096 ? disk->geometry.physical_block_bytes : 4096;
}

bool disk_read_only(const struct disk *disk)
{
	return disk->read_only;
}

void disk_on_resize(struct disk *disk, void (*resized)(void *context), void *context)
{
	disk->resized = resized;
	disk->resized_context = context;
}

void disk_resized(struct disk *disk)
{
	__atomic_store_n(&disk->host_size_bytes,
			 align_down(disk->host->geometry.size_bytes, disk->geometry.block_bytes),
			 __ATOMIC_RELAXED);
	if (disk->resized)
		disk->resized(disk->resized_context);
}

/* ---- channels ---- */

int disk_channel_open(struct disk *disk, struct loop *loop, struct disk_channel **ret_channel)
{
	struct disk_channel *channel = calloc(1, sizeof(*channel));
	int error;

	if (!channel)
		return -ENOMEM;
	error = disk->host->ops->channel_open(disk->host, loop, &channel->host);
	if (!error && disk->share) {
		error = disk_meter_port_open(&channel->port, disk->share, loop, &channel->stats.gate);
		if (error)
			disk->host->ops->channel_close(channel->host);
	}
	if (error) {
		free(channel);
		return error;
	}
	channel->disk = disk;
	channel->loop = loop;
	channel->later_end = &channel->later;
	channel->later_task.run = disk_later_task;
	log_subject_name(&channel->subject, "%s/disk-%s", disk->guest, disk->name);
	pthread_mutex_lock(&disk->channels_mutex);
	assert(!disk->channels == (disk->channel_count == 0));
	channel->next = disk->channels;
	disk->channels = channel;
	disk->channel_count++;
	pthread_mutex_unlock(&disk->channels_mutex);
	*ret_channel = channel;
	return 0;
}

static void stats_merge(struct disk_stats *to, const struct disk_stats *from)
{
	for (unsigned op = 0; op < DISK_OPS; op++) {
		counter_add(&to->operations[op], counter_read(&from->operations[op]));
		counter_add(&to->bytes[op], counter_read(&from->bytes[op]));
		histogram_merge(&to->latency[op], &from->latency[op]);
	}
	counter_add(&to->errors, counter_read(&from->errors));
	counter_add(&to->refused, counter_read(&from->refused));
	counter_add(&to->in_flight, counter_read(&from->in_flight));
	gate_counters_add(&to->gate, &from->gate);
}

void disk_channel_close(struct disk_channel *channel)
{
	struct disk *disk = channel->disk;
	struct disk_channel **link = &disk->channels;

	assert(counter_read(&channel->stats.in_flight) == 0 && !channel->later);
	assert(!channel->later_task.queued);
	pthread_mutex_lock(&disk->channels_mutex);
	assert(disk->channel_count > 0);
	while (*link && *link != channel)
		link = &(*link)->next;
	assert(*link);
	*link = channel->next;
	disk->channel_count--;
	stats_merge(&disk->closed, &channel->stats);
	pthread_mutex_unlock(&disk->channels_mutex);
	disk_meter_port_close(&channel->port);
	disk->host->ops->channel_close(channel->host);
	free(channel);
}

void disk_channel_drain(struct disk_channel *channel, bool drain)
{
	if (channel->port.gate)
		gate_port_drain(channel->port.gate, drain);
}

void disk_channel_abandon(struct disk_channel *channel)
{
	channel->abandoned = true;
	disk_channel_drain(channel, true);
}

void disk_stats_read(struct disk *disk, struct disk_stats *ret_stats)
{
	pthread_mutex_lock(&disk->channels_mutex);
	*ret_stats = disk->closed;
	for (const struct disk_channel *channel = disk->channels; channel; channel = channel->next)
		stats_merge(ret_stats, &channel->stats);
	pthread_mutex_unlock(&disk->channels_mutex);
}

unsigned disk_channel_count(const struct disk *disk)
{
	struct disk *lockable = (struct disk *)disk;
	unsigned count;

	pthread_mutex_lock(&lockable->channels_mutex);
	count = disk->channel_count;
	pthread_mutex_unlock(&lockable->channels_mutex);
	return count;
}
