/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the NVMe model share; no other file includes this.
 *
 *   nvme.c           the function: power, quiet, memory, and the device behind it
 *   nvme_registers.c registers, and the life of the controller that they steer
 *   nvme_queue.c     the way of a command: doorbell, fetch, completion, interrupt
 *   nvme_ring.c      the queues in the guest's memory
 *   nvme_shadow.c    doorbells in the guest's memory
 *   nvme_admin.c     admin commands
 *   nvme_features.c  of these, features and events
 *   nvme_identify.c  of these, what the controller says of itself
 *   nvme_io.c        I/O commands: to the disk and back
 *   nvme_data.c      where a command's data lies: PRPs and SGLs to iovecs
 *   nvme_remote.c    all of these, in memory that the VMM keeps to itself
 *   nvme_handover.c  takeover
 */
#ifndef VIADUCT_DEVICES_DISK_NVME_PRIVATE_H
#define VIADUCT_DEVICES_DISK_NVME_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "arbiter/disk/disk.h"
#include "core/guest_memory.h"
#include "core/loop.h"
#include "core/loop_account.h"
#include "core/stats.h"
#include "devices/disk/nvme.h"
#include "devices/disk/nvme_format.h"
#include "devices/register_model.h"

/* With the admin queues; as many as there are vectors. */
#define NVME_QUEUES_MAX	 REGISTER_VECTORS_MAX
/* A disk is one namespace. */
#define NVME_ONLY_NAMESPACE 1u
/* Entries of a queue at most (CAP.MQES). */
#define NVME_ENTRIES_MAX 1024u
#define NVME_PAGE_BYTES	 4096u
/* 1 MiB in a command (MDTS): 2^8 pages. */
#define NVME_DATA_SHIFT	    8u
#define NVME_DATA_BYTES_MAX (NVME_PAGE_BYTES << NVME_DATA_SHIFT)
/* Pages that do not begin at a page's beginning are one more. */
#define NVME_PIECES_MAX	    ((1u << NVME_DATA_SHIFT) + 1)
/*
 * Commands of one function that are under way at a time, of all its queues: the others wait in their queues,
 * which have their turns one after the other.
 */
#define NVME_REQUESTS	    256u
#define NVME_RANGES_MAX	    256u	/* of a Dataset Management command */
#define NVME_ASYNC_MAX	    4u		/* Asynchronous Event Requests at a time */
#define NVME_ADMIN_QUEUE    0u
/*
 * Copies that commands of one function may use of memory that its VMM keeps to itself, at a time, before
 * others wait. Queues are copies besides: 5 MiB when there are as many as there can be, and each is as long
 * as it can be.
 */
#define NVME_COPIES_BYTES (8u << 20)
/* Pages of lists and segments that one command may have in such memory. */
#define NVME_LISTS_MAX 18u
/* No status: the command goes on when what it needs has been fetched. */
#define NVME_LATER 0xffffu

enum nvme_violation {
	NVME_VIOLATION_DOORBELL,	/* rung for a queue that there is not */
	NVME_VIOLATION_DOORBELL_VALUE,	/* a tail or head that the queue cannot have */
	NVME_VIOLATION_ENABLE,		/* switched on with settings that cannot be */
	NVME_VIOLATION_QUEUE_MEMORY,	/* a queue outside of the guest's memory */
};

struct nvme_device {
	struct disk *disk;
	unsigned queues;		/* pairs for I/O */
	char serial[NVME_SERIAL_BYTES];
};

struct nvme_function;
struct nvme_request;

/* What a queue has on its way: commands to us, or answers to the guest. */
struct nvme_carrier {
	struct register_errand errand;
	struct nvme_function *function;
	struct iovec iov[2];
	uint32_t entries;
	bool is_under_way;
	bool is_stale;			/* the queue is another one since, or lies elsewhere */
};

/* The parts of a command's lists that have been fetched for it; `missing` is the one that it needs next. */
struct nvme_lists {
	unsigned count;
	struct nvme_list {
		uint64_t address;
		size_t bytes;
	} fetched[NVME_LISTS_MAX], missing;
	struct iovec iov[2];		/* of the missing one, which may lie in two regions */
};

struct nvme_cq {
	bool exists, interrupts, phase;
	bool news;			/* completions that no interrupt has told of */
	uint16_t vector;
	uint32_t entries, head, tail;
	uint32_t posted;		/* that the driver has not consumed */
	uint32_t promised;		/* to commands under way */
	bool is_remote;			/* the ring is a copy */
	uint32_t unsent;		/* the last ones that were posted, which the guest may not have yet */
	uint32_t seen;			/* as which its shadow doorbell was seen last */
	uint64_t address;
	struct nvme_completion *ring;	/* NULL: not in the guest's memory now */
	unsigned sq_count;
};

struct nvme_sq {
	bool exists, deleting;
	uint16_t cq;
	uint32_t entries, head, tail;	/* the tail is the driver's, as it was rung last */
	uint32_t seen;			/* as which its shadow doorbell was seen last */
	bool is_remote;			/* the ring is a copy */
	uint32_t fresh;			/* so far it is what the guest has, from the head on */
	uint64_t address;
	const struct nvme_command *ring;
	unsigned under_way;
	uint16_t delete_command;	/* of the admin command that waits for its end */
};

/* A command under way. */
struct nvme_request {
	struct disk_request disk;
	struct nvme_function *function;
	struct nvme_request *next;	/* of those that are free, or kept */
	struct guest_memory *memory;	/* where its data lies: a reference */
	uint16_t sq, command;
	uint16_t status;		/* of one that is kept */
	unsigned range, ranges;		/* Dataset Management: the disk works on one of so many */
	unsigned pieces;		/* in which the ranges lie */
	int range_error;
	bool submitting, ended;		/* the piece has ended inside of its submission */
	struct loop_task task;		/* the ranges go on in another turn */
	struct nvme_command entry;	/* what was fetched, for what goes on later */
	struct nvme_lists lists;
	struct register_errand errand;
	void (*next_step)(struct nvme_request *request, int error);
	bool is_remote;			/* its data are copies */
	bool is_charged;		/* for them */
	union {
		struct iovec iov[NVME_PIECES_MAX];
		struct nvme_range range_list[NVME_RANGES_MAX];
	};
};

/* What a driver sets and a reset forgets (5.21.1). */
struct nvme_features {
	uint32_t write_cache;		/* 0 or 1 */
	uint32_t arbitration, temperature_over, temperature_under, error_recovery, coalescing, atomicity;
	uint32_t async_events;
	uint32_t vector[NVME_QUEUES_MAX];
};

/* The answer of an admin command on its way to the guest. */
struct nvme_admin_transfer {
	struct register_errand errand;
	bool is_under_way, pushes, reads_log;
	uint8_t log;
	struct guest_memory *memory;	/* a reference */
	struct nvme_command command;
	struct nvme_lists lists;
	size_t bytes;
	uint8_t answer[NVME_PAGE_BYTES];
	struct iovec iov[NVME_PIECES_MAX];
};

struct nvme_function {
	struct nvme_device *device;
	struct register_bus *bus;
	struct disk_channel *channel;
	struct loop_poller poller;
	struct loop_task interrupt_task;
	unsigned block_shift;

	/* registers */
	uint32_t cc, csts, aqa, masked;	/* masked: INTMS, a bit for each vector */
	uint64_t asq, acq;

	struct nvme_sq sq[NVME_QUEUES_MAX];
	struct nvme_cq cq[NVME_QUEUES_MAX];
	unsigned queues_end;		/* there is none from this number on */
	unsigned next_sq;		/* whose turn it is */
	bool fetched;			/* something, in this turn */
	uint64_t waiting_since_ns;	/* since when answers have waited to be told of; 0: none does */

	/* Doorbells in memory, and when to ring. NULL: there are none, or they are not in the memory now. */
	bool has_shadows;
	uint64_t shadow_address, events_address;
	uint32_t *shadow, *shadow_events;

	/* Memory that the VMM keeps to itself. */
	struct nvme_carrier fetch[NVME_QUEUES_MAX], push[NVME_QUEUES_MAX];
	struct nvme_admin_transfer admin;
	unsigned errands;		/* of these, under way */
	size_t copied;			/* bytes that commands have had copied since copies were given back */

	unsigned under_way;		/* commands at the disk */
	struct nvme_request *requests, *free;

	struct nvme_features features;
	uint16_t async[NVME_ASYNC_MAX];	/* commands that wait for events */
	unsigned async_count;
	uint32_t events[NVME_ASYNC_MAX];	/* that wait for a command */
	unsigned event_count;
	uint32_t events_told;		/* a bit for each type that waits for its log to be read */
	bool namespace_changed;		/* and the log has not been read */

	/* A controller that ends waits for what is under way; a shutdown for the disk's flush, too. */
	bool disabling, shutting_down, flushed;
	struct disk_request flush;
	bool quiescing, frozen;
	bool abandoned;			/* the channel takes nothing more */
	struct nvme_request *kept;	/* done, and not answered: frozen, or memory moves */
	unsigned kept_count;
	void (*quiet)(void *context);
	void *quiet_context;

	struct counter reads, writes, blocks_read, blocks_written;
};

static inline bool nvme_is_ready(const struct nvme_function *function)
{
	return function->csts & NVME_CSTS_READY && !(function->csts & NVME_CSTS_FATAL);
}

/* For one more answer than are promised. */
static inline bool nvme_cq_has_room(const struct nvme_cq *cq)
{
	return cq->ring && cq->posted + cq->promised < cq->entries - 1;
}

static inline void nvme_violate(struct nvme_function *function, enum nvme_violation kind, uint64_t value)
{
	function->bus->ops->violated(function->bus, kind, value);
}

/* ---- nvme.c ---- */

/* Something may have come to rest: ends what waits for that. */
void nvme_check_quiet(struct nvme_function *function);
/* Whether the disk is to hurry may have changed. */
void nvme_drain(struct nvme_function *function);

/*
 * A channel that was abandoned is replaced. Without memory for another it stays, and ends all that it is
 * asked for: the controller can go no further, and when its driver enables it again it is tried again.
 */
void nvme_channel_renew(struct nvme_function *function);

/* ---- nvme_registers.c ---- */

uint64_t nvme_read(void *opaque, unsigned bar, uint32_t offset, unsigned bytes);
void nvme_write(void *opaque, unsigned bar, uint32_t offset, unsigned bytes, uint64_t value);
/* As after power-on; nothing is under way. */
void nvme_registers_reset(struct nvme_function *function);
/* The controller can go no further until it is reset (9.5). */
void nvme_fail(struct nvme_function *function, enum nvme_violation kind, uint64_t value);
/* Nothing is under way: a controller that is being switched off, or shut down, has come to that. */
void nvme_controller_rested(struct nvme_function *function);

/* ---- nvme_queue.c ---- */

void nvme_doorbell(struct nvme_function *function, uint32_t offset, uint32_t value);
/* What a doorbell says; without a wake-up. False: the queue cannot have that. */
bool nvme_queue_set_tail(struct nvme_function *function, unsigned index, uint32_t tail);
bool nvme_queue_set_head(struct nvme_function *function, unsigned index, uint32_t head);
/* The memory is another one, or a queue is new. */
void nvme_queues_map(struct nvme_function *function);
void nvme_queues_forget(struct nvme_function *function);
/* There may be commands to fetch. */
void nvme_queues_wake(struct nvme_function *function);
bool nvme_poll(struct loop_poller *poller);
bool nvme_park(struct loop_poller *poller);
/* Answers a command that was fetched from `sq`. */
void nvme_complete(struct nvme_function *function, uint16_t sq, uint16_t command, uint16_t status,
		   uint32_t result);
void nvme_interrupt(struct loop_task *task);
/* The queue's answers are in the guest's memory: an interrupt is to tell of them. */
void nvme_tell(struct nvme_function *function, struct nvme_cq *cq);
/* Sets the pin anew: what is masked, or unread, has changed. */
void nvme_interrupts_refresh(struct nvme_function *function);
/* Tells of what is unread in the way in which interrupts are told of now. */
void nvme_interrupts_again(struct nvme_function *function);
/* A queue that is deleted has come to rest, maybe. */
void nvme_sq_check_deleted(struct nvme_function *function, unsigned sq);

/* ---- nvme_ring.c ---- */

/* Does the guest's memory hold so many entries, in one piece? */
bool nvme_ring_fits(const struct nvme_function *function, uint64_t address, uint32_t entries,
		    size_t entry_bytes);
/* Finds all rings in the memory that there is now. */
void nvme_rings_map(struct nvme_function *function);
/* Takes the command at the head, and moves the head on. */
void nvme_ring_fetch(struct nvme_sq *sq, struct nvme_command *ret_command);
/* Puts a completion at the tail. There is room. */
void nvme_ring_post(struct nvme_cq *cq, const struct nvme_completion *completion);

/* ---- nvme_shadow.c ---- */

/* Doorbell Buffer Config. Returns the status. */
uint16_t nvme_shadow_configure(struct nvme_function *function, const struct nvme_command *command);
void nvme_shadow_forget(struct nvme_function *function);
/* Finds them in the memory that there is now. */
void nvme_shadow_map(struct nvme_function *function);
/* Takes what drivers have written there. */
void nvme_shadow_look(struct nvme_function *function);
/* Has drivers ring for what comes from now on; what has come is there for the next look. */
void nvme_shadow_arm(struct nvme_function *function);

/* ---- nvme_admin.c, nvme_features.c ---- */

void nvme_admin_execute(struct nvme_function *function, const struct nvme_command *command);
/* Each returns the status and sets *ret_result. */
uint16_t nvme_get_features(struct nvme_function *function, const struct nvme_command *command,
			   uint32_t *ret_result);
uint16_t nvme_set_features(struct nvme_function *function, const struct nvme_command *command,
			   uint32_t *ret_result);
void nvme_features_reset(struct nvme_function *function);
/* Something happened that an Asynchronous Event Request tells of. */
void nvme_event(struct nvme_function *function, uint32_t event);
/* Takes the request, which waits, or is refused with a status other than NVME_SUCCESS. */
uint16_t nvme_event_request(struct nvme_function *function, uint16_t command);
/* There may be room for the answer of a request that waits. */
void nvme_events_tell(struct nvme_function *function);
/* The log was read: its next event is told again. */
void nvme_event_read(struct nvme_function *function, uint8_t log);

/* ---- nvme_identify.c ---- */

/* Fills in the answer; returns the status. */
uint16_t nvme_identify(const struct nvme_function *function, const struct nvme_command *command,
		       uint8_t answer[NVME_IDENTIFY_BYTES]);
/* The log's bytes from `offset` on, zeroes behind its end; returns the status. */
uint16_t nvme_log_page(const struct nvme_function *function, uint8_t log, uint64_t offset, uint8_t *answer,
		       size_t bytes);

/* ---- nvme_io.c ---- */

void nvme_io_execute(struct nvme_function *function, struct nvme_request *request,
		     const struct nvme_command *command);
/* Answers what is kept; or gives it up, because its queues are gone. */
void nvme_io_answer_kept(struct nvme_function *function);
void nvme_io_drop_kept(struct nvme_function *function);

/* ---- nvme_data.c ---- */

/*
 * Where the command's `bytes` of data lie, in at most NVME_PIECES_MAX pieces of `memory`. Returns the status;
 * *ret_count is the number of pieces. NVME_LATER: a list is to be fetched first (nvme_lists_errand()), and
 * then this is called again, with the same `lists`, of which nothing is fetched at first.
 */
uint16_t nvme_data_map(const struct guest_memory *memory, const struct nvme_command *command, size_t bytes,
		       struct nvme_lists *lists, struct iovec *iov, unsigned *ret_count);
/* Has the errand fetch what is missing, and remembers it as fetched. */
void nvme_lists_errand(struct nvme_lists *lists, struct guest_memory *memory, struct register_errand *errand);

/* ---- nvme_remote.c ---- */

static inline bool nvme_remote_has_room(const struct nvme_function *function)
{
	return function->copied < NVME_COPIES_BYTES;
}
/* So much of the copies is about to be used for the first time. */
void nvme_remote_charge(struct nvme_function *function, size_t bytes);
/* Gives the copies back, if nothing is under way: when there are too many, or the worker is to sleep. */
void nvme_remote_rest(struct nvme_function *function, bool is_idle);
/* Has commands fetched of which doorbells have told. */
void nvme_remote_look(struct nvme_function *function);
/* Has answers pushed that were posted in a copy. */
void nvme_remote_tell(struct nvme_function *function, struct nvme_cq *cq);
/* The queue of this number ends, or lies elsewhere. */
void nvme_remote_forget_queue(struct nvme_function *function, unsigned queue);
/* The queue's ring is about to be `to`; NULL: it is in the guest's memory no longer. */
void nvme_remote_move_answers(struct nvme_function *function, struct nvme_cq *cq, struct nvme_completion *to);
/* Goes on with `then` when the request's missing list has been fetched, or with an error. */
void nvme_remote_fetch_list(struct nvme_request *request,
			    void (*then)(struct nvme_request *request, int error));
/* The same with the first `count` pieces of its data, which are fetched or pushed. */
void nvme_remote_carry(struct nvme_request *request, bool pushes, unsigned count,
		       void (*then)(struct nvme_request *request, int error));
/*
 * Writes an admin command's answer to where it wants it. Returns the status; NVME_LATER: the command is
 * completed when the guest has it. reads_log: a log's event may be told again then.
 */
uint16_t nvme_remote_answer(struct nvme_function *function, const struct nvme_command *command,
			    const void *from, size_t bytes, bool reads_log);

/* ---- nvme_handover.c ---- */

void nvme_save(const void *opaque, struct handover *handover);
void nvme_restore(void *opaque, struct handover *handover);

#endif
