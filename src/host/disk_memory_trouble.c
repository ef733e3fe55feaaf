/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Faults and hangs of the in-memory disk, set by tests. Behind one atomic flag, so that they cost nothing. */
#include <errno.h>
#include <stdlib.h>

#include "core/container.h"
#include "host/disk_memory_private.h"

/* ---- faults ---- */

/* Under the lock. */
static void unusual_update(struct disk_memory *disk)
{
	__atomic_store_n(&disk->unusual, disk->hang || disk->faults || disk->base.flush_failed,
			 __ATOMIC_RELEASE);
}

static bool fault_matches(const struct memory_fault *fault, enum host_io_op op, uint64_t offset,
			  uint64_t bytes)
{
	if (fault->op != op)
		return false;
	return op == HOST_IO_FLUSH || (offset < fault->to && offset + bytes > fault->from);
}

int memory_fault_take(struct disk_memory *disk, enum host_io_op op, uint64_t offset, uint64_t bytes)
{
	int error = 0;

	if (!memory_unusual(disk))
		return 0;
	pthread_mutex_lock(&disk->lock);
	for (struct memory_fault **link = &disk->faults; *link; link = &(*link)->next) {
		struct memory_fault *fault = *link;

		if (!fault_matches(fault, op, offset, bytes))
			continue;
		error = fault->error;
		if (--fault->count == 0) {
			*link = fault->next;
			free(fault);
			unusual_update(disk);
		}
		break;
	}
	pthread_mutex_unlock(&disk->lock);
	return error;
}

int memory_flush_result(struct disk_memory *disk)
{
	bool *failed = &disk->base.flush_failed;
	int error;

	if (__atomic_load_n(failed, __ATOMIC_ACQUIRE))
		return -EIO;
	error = memory_fault_take(disk, HOST_IO_FLUSH, 0, 0);
	if (error) {
		pthread_mutex_lock(&disk->lock);
		__atomic_store_n(failed, true, __ATOMIC_RELEASE);
		unusual_update(disk);
		pthread_mutex_unlock(&disk->lock);
	}
	return error;
}

void disk_memory_fail(struct host_disk *base, enum host_io_op op, uint64_t offset_from, uint64_t offset_to,
		      unsigned count, int error)
{
	struct disk_memory *disk = memory_disk(base);
	struct memory_fault *fault, **link = &disk->faults;

	assert(error < 0);
	if (count == 0)
		return;
	fault = malloc(sizeof(*fault));
	assert(fault);
	*fault = (struct memory_fault){
		.op = op, .from = offset_from, .to = offset_to, .count = count, .error = error,
	};
	pthread_mutex_lock(&disk->lock);
	while (*link)
		link = &(*link)->next;
	*link = fault;
	unusual_update(disk);
	pthread_mutex_unlock(&disk->lock);
}

void memory_faults_free(struct disk_memory *disk)
{
	while (disk->faults) {
		struct memory_fault *fault = disk->faults;

		disk->faults = fault->next;
		free(fault);
	}
}

/* ---- hang ---- */

bool memory_hold_back(struct memory_channel *channel, struct host_io *io)
{
	struct disk_memory *disk = memory_disk(channel->base.disk);
	bool hang;

	if (!memory_unusual(disk))
		return false;
	pthread_mutex_lock(&disk->lock);
	hang = disk->hang;
	if (hang) {
		memory_io(io)->next = NULL;
		*channel->held_end = io;
		channel->held_end = &memory_io(io)->next;
	}
	pthread_mutex_unlock(&disk->lock);
	return hang;
}

void memory_release_run(struct loop_message *message)
{
	struct memory_channel *channel = container_of(message, struct memory_channel, release);
	struct disk_memory *disk = memory_disk(channel->base.disk);
	struct host_io *io = NULL;

	pthread_mutex_lock(&disk->lock);
	channel->release_posted = false;
	if (!disk->hang) {
		io = channel->held;
		channel->held = NULL;
		channel->held_end = &channel->held;
	}
	pthread_mutex_unlock(&disk->lock);
	/* The last done() may close the channel: nothing of it is touched any more. */
	while (io) {
		struct host_io *next = memory_io(io)->next;

		memory_perform(disk, io);
		io = next;
	}
}

void disk_memory_hang(struct host_disk *base, bool hang)
{
	struct disk_memory *disk = memory_disk(base);

	pthread_mutex_lock(&disk->lock);
	disk->hang = hang;
	unusual_update(disk);
	/* Only a channel that holds requests gets a message: it cannot be closed before that has run. */
	for (struct memory_channel *channel = disk->channels; channel && !hang; channel = channel->next) {
		if (!channel->held || channel->release_posted)
			continue;
		channel->release_posted = true;
		loop_post(channel->loop, &channel->release);
	}
	pthread_mutex_unlock(&disk->lock);
}
