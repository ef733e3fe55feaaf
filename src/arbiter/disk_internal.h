/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What disk.c and disk_io.c share. Nobody else includes this. */
#ifndef VIADUCT_ARBITER_DISK_INTERNAL_H
#define VIADUCT_ARBITER_DISK_INTERNAL_H

#include <pthread.h>

#include "arbiter/disk.h"
#include "arbiter/grain_lock.h"
#include "core/loop.h"

struct disk {
	char guest[POOL_NAME_MAX + 1];
	char name[POOL_NAME_MAX + 1];
	bool read_only;
	struct host_disk *host;
	struct pool *pool;		/* NULL: the disk is the whole host disk */
	struct pool_disk *part;
	uint64_t host_size_bytes;	/* atomic; of a whole host disk, in whole blocks */
	uint32_t block_bytes;
	struct grain_locks grain_locks;

	void (*resized)(void *context);
	void *resized_context;

	pthread_mutex_t channels_mutex;	/* protects the list and `closed` */
	struct disk_channel *channels;
	unsigned channel_count;
	struct disk_stats closed;	/* what closed channels counted */
};

struct disk_channel {
	struct disk *disk;
	struct loop *loop;
	struct host_channel *host;
	struct disk_stats stats;
	struct log_subject subject;	/* of this worker, because its rate limit has one writer */
	struct disk_channel *next;
	/* READs of blank space that have more to zero, and the task that goes on with the first. */
	struct disk_request *zeroing, **zeroing_end;
	struct loop_task zero_task;
};

void disk_zero_task(struct loop_task *task);

#endif
