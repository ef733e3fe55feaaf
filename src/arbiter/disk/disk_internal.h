/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the virtual disk share. Nobody else includes this.
 *
 *   disk.c         the object
 *   disk_io.c      requests: proof, gate, and the usual way
 *   disk_pieces.c  requests that are not one written piece
 */
#ifndef VIADUCT_ARBITER_DISK_DISK_INTERNAL_H
#define VIADUCT_ARBITER_DISK_DISK_INTERNAL_H

#include <pthread.h>

#include "arbiter/disk/disk.h"
#include "arbiter/disk/grain_lock.h"
#include "core/container.h"
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
	struct gate_node *share;	/* NULL: no gate */
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
	struct gate_port *port;		/* NULL: no gate */
	struct cost_streams streams;
	struct disk_stats stats;
	struct log_subject subject;	/* of this worker, because its rate limit has one writer */
	struct disk_channel *next;
	/* READs of blank space that have more to zero, and the task that goes on with the first. */
	struct disk_request *zeroing, **zeroing_end;
	struct loop_task zero_task;
};

/* ---- disk_io.c ---- */

static inline struct disk_request *disk_request_of(struct host_io *io)
{
	return container_of(io, struct disk_request, private.io);
}

/* The proof; see there. */
bool disk_place(const struct disk *disk, uint64_t offset_bytes, uint64_t length_bytes,
		struct placed_range *ret_range, enum pool_state *ret_state);
/* Must what it wrote be durable before it is answered? */
bool disk_must_flush(const struct disk_request *request);
/* Carries out a FLUSH, or the last step of a write that must be durable. */
void disk_flush(struct disk_request *request);
/*
 * The one completion of what was not refused: leaves the gate, counts, calls done(). The request is the one
 * that `io` belongs to, and often this is what ends its last I/O.
 */
void disk_finish(struct host_io *io, int error);

/* ---- disk_pieces.c ---- */

void disk_pieces_start(struct disk_request *request);
void disk_zero_task(struct loop_task *task);

#endif
