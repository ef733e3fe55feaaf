/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the virtual disk share; no other file includes this header.
 *
 *   disk.c         the object
 *   disk_io.c      requests: proof, gate, and the usual way
 *   disk_pieces.c  requests that are not one written piece
 */
#ifndef VIADUCT_ARBITER_DISK_DISK_INTERNAL_H
#define VIADUCT_ARBITER_DISK_DISK_INTERNAL_H

#include <pthread.h>

#include <assert.h>

#include "arbiter/disk/disk.h"
#include "arbiter/disk/disk_meter.h"
#include "arbiter/disk/disk_stats.h"
#include "arbiter/disk/grain_lock.h"
#include "arbiter/pool/pool.h"
#include "core/container.h"
#include "core/iov.h"
#include "core/log.h"
#include "core/loop.h"
#include "host/host_disk.h"

/*
 * A READ or WRITE enters the device in steps of so much, each of which waits for its turn at the gate and is
 * charged: a guest can send a request of 1 GiB, and another guest waits behind each step.
 */
#define DISK_STEP_BYTES	     (1u << 20)
/* The same of what the device only forgets: the kernel holds the file, or the device, for the whole step. */
#define DISK_ZERO_STEP_BYTES (4u << 20)
/*
 * What a worker copies or zeroes itself of one request before others have their turn: about a slice
 * (loop_account.h).
 */
#define DISK_SLICE_BYTES     (128u << 10)

struct disk {
	char guest[POOL_NAME_MAX + 1];
	char name[POOL_NAME_MAX + 1];
	bool read_only;
	/*
	 * The physical disk's blocks are larger than the guest's: writes lock what they write, because two of
	 * them may meet in one block that each reads and writes back. No two disks do: a pool gives out whole
	 * extents, and a disk of its own ends with a whole block
	 */
	bool small_blocks;
	struct host_disk *host;
	struct pool *pool;		/* NULL: the disk is the whole host disk */
	struct pool_disk *part;
	uint64_t host_size_bytes;	/* atomic; of a whole host disk, in whole blocks */
	struct disk_geometry geometry;
	struct gate_node *share;	/* NULL: no gate */
	uint32_t slice_bytes;		/* of a READ or WRITE, in one turn of the worker */
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
	struct disk_meter_port port;	/* not open: no gate */
	struct cost_streams streams;
	bool abandoned;
	struct disk_stats stats;
	struct log_subject subject;	/* of this worker, because its rate limit has one writer */
	struct disk_channel *next;
	/* Requests that have had their part of a turn, and the task that goes on with the first. */
	struct disk_request *later, **later_end;
	struct loop_task later_task;
};

/* What disk_request.private_words holds: what the arbiter knows of a request in flight. See disk_io.c. */
struct disk_request_private {
	struct disk_channel *channel;
	uint64_t start_ns;
	uint64_t done_bytes, piece_bytes;	/* finished, and the piece under way */
	/* How far it may get before it asks the gate again, or waits for another turn */
	uint64_t step_end, slice_end;
	unsigned step;
	bool cut;				/* `window` is open */
	bool first_write;			/* holds its grains until they are marked */
	bool gated;				/* is to leave the gate */
	bool busy;				/* taken, and not completed yet */
	struct disk_pass pass;
	struct iov_window window;
	struct host_io io;
	struct pool_commit commit;
	struct grain_lock lock;
	struct disk_request *next;		/* while it waits for a turn of the worker */
};
static_assert(sizeof(struct disk_request_private) <= sizeof(((struct disk_request *)0)->private_words),
	      "a request's private words hold its private struct");
static_assert(_Alignof(struct disk_request_private) <= _Alignof(uint64_t), "and its alignment");

static inline struct disk_request_private *disk_private(struct disk_request *request)
{
	return (void *)request->private_words;
}

static inline struct disk_request *disk_request_of(struct disk_request_private *private)
{
	uint64_t(*words)[DISK_REQUEST_PRIVATE_WORDS] = (void *)private;

	return container_of(words, struct disk_request, private_words);
}

static inline struct disk_request *disk_request_of_io(struct host_io *io)
{
	return disk_request_of(container_of(io, struct disk_request_private, io));
}

/* ---- disk_io.c ---- */

/* The proof; see there. */
bool disk_place(const struct disk *disk, uint64_t offset_bytes, uint64_t length_bytes,
		struct placed_range *ret_range, enum pool_state *ret_state);
/* Must what it wrote be durable before it is answered? */
bool disk_must_flush(struct disk_request *request);
/* Carries out a FLUSH, or the last step of a write that must be durable. */
void disk_flush(struct disk_request *request);
/*
 * The one completion of what was not refused: leaves the gate, counts, calls done(). The request is the one
 * that `io` belongs to, and often this is what ends its last I/O.
 */
void disk_finish(struct host_io *io, int error);

/*
 * The step is done: asks the gate for the next one. True: it may begin. False: disk_pieces_go_on() follows,
 * or the request is finished.
 */
bool disk_step_next(struct disk_request *request);

/* ---- disk_pieces.c ---- */

void disk_pieces_start(struct disk_request *request);
/* In a later turn, when the worker has time for the guest. */
void disk_pieces_go_on(struct disk_request *request);
void disk_later_task(struct loop_task *task);

#endif
