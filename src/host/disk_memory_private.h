/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the in-memory disk share. No other file includes this; the contract is host_disk.h.
 *
 *   disk_memory.c          opening, channels, the bytes
 *   disk_memory_service.c  service times
 *   disk_memory_trouble.c  faults and hangs
 */
#ifndef VIADUCT_HOST_DISK_MEMORY_PRIVATE_H
#define VIADUCT_HOST_DISK_MEMORY_PRIVATE_H

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/container.h"
#include "core/loop.h"
#include "host/host_disk.h"

struct memory_fault {
	enum host_io_op op;
	uint64_t from, to;
	unsigned count;			/* left */
	int error;
	struct memory_fault *next;
};

struct memory_channel;

struct disk_memory {
	struct host_disk base;
	struct disk_memory_options options;
	uint8_t *bytes;			/* NULL: null mode */
	bool timed;			/* some service time is not 0 */
	bool unusual;			/* atomic: a fault is set or the disk hangs */
	unsigned slow;			/* atomic: factor of all service times */

	pthread_mutex_t lock;		/* everything below */
	uint64_t *server_free_ns;	/* [depth]; NULL: unlimited */
	struct memory_fault *faults;
	bool hang;
	struct memory_channel *channels;
};

struct memory_channel {
	struct host_channel base;
	struct loop *loop;
	struct loop_timer timer;	/* for the head of `serving` */
	struct host_io *serving;	/* sorted by completion time */
	struct host_io *serving_last;

	/* Under the disk's lock: requests held back by a hang, in order, and the message that frees them. */
	struct host_io *held, **held_end;
	struct loop_message release;
	bool release_posted;
	struct memory_channel *next;
};

/* In host_io.driver_private. */
struct __attribute__((may_alias)) memory_io {
	struct host_io *next, *previous;
	uint64_t complete_ns;
};

static_assert(sizeof(struct memory_io) <= sizeof(((struct host_io *)0)->driver_private),
	      "driver_private is too small");

static inline struct memory_io *memory_io(struct host_io *io)
{
	return (struct memory_io *)io->driver_private;
}

static inline struct disk_memory *memory_disk(struct host_disk *disk)
{
	return container_of(disk, struct disk_memory, base);
}

static inline bool memory_unusual(const struct disk_memory *disk)
{
	return __atomic_load_n(&disk->unusual, __ATOMIC_ACQUIRE);
}

/* disk_memory.c: carries a request out now. Calls done(). */
void memory_perform(struct disk_memory *disk, struct host_io *io);

/* disk_memory_service.c: how long a request is served; 0 = it completes at once. */
uint64_t memory_service_ns(const struct disk_memory *disk, const struct host_io *io);
/* Lets a request be served and performs it when that is over. */
void memory_serve(struct memory_channel *channel, struct host_io *io, uint64_t service_ns);
void memory_timer_expired(struct loop_timer *timer);

/* disk_memory_trouble.c: the error that an access meets, 0 = none; uses up one of the fault's count. */
int memory_fault_take(struct disk_memory *disk, enum host_io_op op, uint64_t offset, uint64_t bytes);
/* The same for a flush, whose failure is for good. */
int memory_flush_result(struct disk_memory *disk);
void memory_faults_free(struct disk_memory *disk);
/* True when the disk hangs: the request is kept, and performed when it does not any more. */
bool memory_hold_back(struct memory_channel *channel, struct host_io *io);
void memory_release_run(struct loop_message *message);

#endif
