/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the NVMe model share; no other file includes this.
 *
 *   nvme.c           the function: power, quiet, memory, and the device behind it
 *   nvme_registers.c registers, and the life of the controller that they steer
 *   nvme_queue.c     the way of a command: doorbell, fetch, completion, interrupt
 *   nvme_lanes.c     queues on several workers: which has which, and what home wants of the others
 *   nvme_lane.c      one of these workers: what it is told there, and what it tells
 *   nvme_ring.c      the queues in the guest's memory
 *   nvme_shadow.c    doorbells in the guest's memory
 *   nvme_admin.c     admin commands
 *   nvme_features.c  of these, features and events
 *   nvme_identify.c  of these, what the controller says of itself
 *   nvme_io.c        I/O commands: to the disk and back
 *   nvme_data.c      where a command's data lies: PRPs and SGLs to iovecs
 *   nvme_remote.c    all of these, in memory that the VMM keeps to itself; and nvme_remote.h
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
#include "devices/disk/nvme_remote.h"
#include "devices/register_model.h"

/* With the admin queues; as many as there are vectors. */
#define NVME_QUEUES_MAX	 REGISTER_VECTORS_MAX
/* A disk is one namespace. */
#define NVME_ONLY_NAMESPACE 1u
/* Entries of a queue at most (CAP.MQES). */
#define NVME_ENTRIES_MAX 1024u
/*
 * Commands of one lane that are under way at a time, of all its queues: the others wait in their queues,
 * which have their turns one after the other.
 */
#define NVME_REQUESTS	    256u
/* Answers that home keeps besides: a frozen function has deleted that many queues at most. */
#define NVME_KEPT_MAX	    (NVME_REQUESTS + NVME_QUEUES_MAX)
#define NVME_RANGES_MAX	    256u	/* of a Dataset Management command */
#define NVME_ASYNC_MAX	    4u		/* Asynchronous Event Requests at a time */
#define NVME_ADMIN_QUEUE    0u
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

/*
 * Queues are their lane's: home touches those of another lane only while that one is held or asleep, and
 * what makes or ends a queue is home's doing. So lanes may read at any time which queues there are.
 */
struct nvme_cq {
	bool exists, interrupts, phase;
	uint8_t lane;			/* that serves it, and its submission queues */
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
	struct nvme_lane *lane;
	struct nvme_request *next;	/* of those that are free */
	struct guest_memory *memory;	/* where its data lies: a reference */
	uint16_t sq, command;
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

/* An answer that is kept. */
struct nvme_kept {
	uint16_t sq, command, status;
};

/* What home wants of another lane, bits. 0: it serves its queues. */
enum nvme_order {
	NVME_ORDER_SLEEP = 1u << 0,  /* nothing more is fetched; what is under way ends, and then it sleeps */
	NVME_ORDER_HOLD = 1u << 1,   /* queues and the guest's memory are home's: answers are kept */
	NVME_ORDER_FREEZE = 1u << 2, /* the same, and what the disk has not begun ends */
};

/* What a lane tells home, bits. */
enum nvme_news {
	NVME_NEWS_DOORBELL = 1u << 0, /* a queue cannot have what its doorbell said */
	NVME_NEWS_MEMORY = 1u << 1,   /* an answer's queue is outside of the guest's memory */
	NVME_NEWS_DELETED = 1u << 2,  /* a queue that is deleted has come to rest */
};

/* A worker that serves queues. What is not said to be home's is its own while it is awake. */
struct nvme_lane {
	struct nvme_function *function;
	unsigned index;			/* 0: home */
	struct loop *loop;
	struct loop_account *account;
	struct disk_channel *channel;
	struct loop_poller poller;
	struct loop_task interrupt_task;

	uint64_t sqs, cqs;		/* its queues, bits */
	unsigned next_sq;		/* whose turn it is */
	bool fetched;			/* something, in this turn */
	uint64_t waiting_since_ns;	/* since when answers have waited to be told of; 0: none does */

	unsigned under_way;		/* commands at the disk */
	struct nvme_request *requests, *free;
	bool abandoned;			/* the channel takes nothing more */
	struct nvme_kept *kept;		/* done, and not answered: NVME_KEPT_MAX, or what a handover had */
	unsigned kept_count, kept_room;

	struct counter reads, writes, blocks_read, blocks_written;

	/* ---- of other lanes than home ---- */
	unsigned still;			/* the order that it follows */
	bool sleeps, frozen;		/* frozen: until it sleeps */
	bool failed;			/* it could not wake up: it has no channel */
	struct loop_task rest_task;
	/* home's */
	bool awake, ordering;		/* ordering: an order is on its way */
	unsigned ordered;
	struct loop_message order, obeyed, slept;

	/* Doorbells that home was told of (atomic). The values are the function's. */
	uint64_t rung_sqs, rung_cqs;
	bool looks;			/* its poller is awake, and takes them by itself */
	bool needs_heads;		/* it waits for room in a completion queue */
	bool rung_posted;
	struct loop_message rung;
	/* News for home (atomic). */
	uint32_t news, doorbells_refused, refused_value;
	uint64_t failed_address;
	bool news_posted;
	struct loop_message news_message;
};

/* What a driver sets and a reset forgets (5.21.1). */
struct nvme_features {
	uint32_t write_cache;		/* 0 or 1; atomic, because lanes read it */
	uint32_t arbitration, temperature_over, temperature_under, error_recovery, coalescing, atomicity;
	uint32_t async_events;
	uint32_t vector[NVME_QUEUES_MAX];
};

struct nvme_function {
	struct nvme_device *device;
	struct register_bus *bus;
	unsigned block_shift;
	/* Where commands' data lies from now on: a reference. Lanes read it while they are not held. */
	struct guest_memory *memory;

	/* registers */
	uint32_t cc, csts, aqa, masked;	/* masked: INTMS, a bit for each vector */
	uint64_t asq, acq;

	struct nvme_sq sq[NVME_QUEUES_MAX];
	struct nvme_cq cq[NVME_QUEUES_MAX];
	uint32_t rung_tail[NVME_QUEUES_MAX], rung_head[NVME_QUEUES_MAX];	/* atomic: see nvme_lane */

	/* Lanes that were needed once stay; those from lane_count on have no queues. */
	struct nvme_lane home, *lane[REGISTER_LANES_MAX];
	unsigned lane_count;
	/* What home does while all lanes are held, or asleep. */
	bool memory_stale;		/* the memory is another one */
	unsigned answers_later;		/* answers of the bus that wait for that */
	bool deletions;			/* queues that are deleted may have come to rest */
	bool admin_waits;		/* this command does: no other is fetched */
	struct nvme_command admin_command;
	bool dealing;			/* and while they are asleep: lanes get other queues */
	bool steering;

	/* Doorbells in memory, and when to ring. NULL: there are none, or they are not in the memory now. */
	bool has_shadows;
	uint64_t shadow_address, events_address;
	uint32_t *shadow, *shadow_events;

	/* Memory that the VMM keeps to itself: home's. */
	struct nvme_carrier fetch[NVME_QUEUES_MAX], push[NVME_QUEUES_MAX];
	struct nvme_admin_transfer admin;
	unsigned errands;		/* of these, under way */
	size_t copied;			/* bytes that commands have had copied since copies were given back */

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
	void (*quiet)(void *context);
	void *quiet_context;
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

static inline bool nvme_lane_is_home(const struct nvme_lane *lane)
{
	return lane->index == 0;
}

static inline struct nvme_lane *nvme_lane_of_sq(struct nvme_function *function, unsigned sq)
{
	return function->lane[function->cq[function->sq[sq].cq].lane];
}

/* ---- nvme.c ---- */

/* Something may have come to rest: ends what waits for that. */
void nvme_check_quiet(struct nvme_function *function);
/* Whether the disk is to hurry may have changed. */
void nvme_drain(struct nvme_function *function);

/*
 * Home's channel that was abandoned is replaced. Without memory for another it stays, and ends all that it is
 * asked for: the controller can go no further, and when its driver enables it again it is tried again.
 */
void nvme_channel_renew(struct nvme_function *function);

/* ---- nvme_lanes.c: at home ---- */

/* Home itself, and requests for it. Returns 0 or -ENOMEM. */
int nvme_lanes_init(struct nvme_function *function);
void nvme_lanes_finish(struct nvme_function *function);
/* The bus says which lanes there are; all are asleep. Returns 0 or -ENOMEM. */
int nvme_lanes_arrive(struct nvme_function *function);
/* Which lane is to serve a queue that has no lane yet. */
uint8_t nvme_lane_for(const struct nvme_function *function, unsigned cq);
/* Queues go to the lanes to which they belong now; all are asleep. */
void nvme_lanes_deal(struct nvme_function *function);
/* The driver's interrupts are told of in another way: queues may belong to other lanes. */
void nvme_lanes_deal_again(struct nvme_function *function);
/* Which queues each lane has, anew. */
void nvme_lanes_count(struct nvme_function *function);
/* Has lanes do what the function's state asks for, and does what waits for them. */
void nvme_lanes_steer(struct nvme_function *function);
bool nvme_lanes_asleep(const struct nvme_function *function);
/* Is the queue's lane home, or asleep? Then home may look at the queue. */
bool nvme_lanes_own(const struct nvme_function *function, const struct nvme_cq *cq);
/* Home answers what lanes have kept that are asleep, or gives it up. */
void nvme_lanes_answer_kept(struct nvme_function *function);
void nvme_lanes_drop_kept(struct nvme_function *function);
/* They have no queues any more, and nothing waits for them. All are asleep. */
void nvme_lanes_forget(struct nvme_function *function);
/* The memory is another one, or a queue is new. All lanes are held or asleep. */
void nvme_queues_map(struct nvme_function *function);
void nvme_queues_forget(struct nvme_function *function);
/* As lanes have counted, together. */
uint64_t nvme_lanes_sum(const struct nvme_function *function, size_t counter_offset);

/* ---- nvme_lane.c ---- */

/* A lane that is asleep. */
void nvme_lane_init(struct nvme_lane *lane, struct nvme_function *function, unsigned index);
/* Requests for it, once. Returns 0 or -ENOMEM. */
int nvme_lane_equip(struct nvme_lane *lane);
void nvme_lane_finish(struct nvme_lane *lane);
/* At home: tells the lane of an order, and of a doorbell that was rung. */
void nvme_lane_order(struct nvme_lane *lane, unsigned order);
void nvme_lane_ring(struct nvme_lane *lane, bool is_cq, unsigned queue, uint32_t value);
void nvme_lane_wake(struct nvme_lane *lane);
/* The queue is no more, or is new: what was rung for it before is over. The lane is held or asleep. */
void nvme_lane_forget_doorbells(struct nvme_lane *lane, uint64_t sqs, uint64_t cqs);
/* Takes the doorbells that were rung. `here`: the lane, on its thread, or home while the lane is asleep. */
void nvme_lane_take_doorbells(struct nvme_lane *lane, struct nvme_lane *here);
/* On its thread, as all below. Its poller goes to sleep: before it looks for the last time. */
void nvme_lane_arm(struct nvme_lane *lane);
/* It stays awake, or wakes up. */
void nvme_lane_looks(struct nvme_lane *lane);
/* News for home. */
void nvme_lane_tell(struct nvme_lane *lane, enum nvme_news news);
/* Something has ended: it may be at rest. */
void nvme_lane_check_rest(struct nvme_lane *lane);
/* Are answers kept? */
bool nvme_lane_keeps(const struct nvme_lane *lane);
/* What waits for rest waits for no more than it must. */
bool nvme_lane_hurries(const struct nvme_lane *lane);
void nvme_lane_freeze(void *opaque, unsigned index);

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
/* What a doorbell says; without a wake-up. False: the queue cannot have that. `here`: see above. */
bool nvme_queue_set_tail(struct nvme_lane *here, unsigned index, uint32_t tail);
bool nvme_queue_set_head(struct nvme_lane *here, unsigned index, uint32_t head);
/* Home's queues: there may be commands to fetch. */
void nvme_queues_wake(struct nvme_function *function);
/* The same of any lane, on its thread. */
void nvme_queues_wake_here(struct nvme_lane *lane);
bool nvme_poll(struct loop_poller *poller);
bool nvme_park(struct loop_poller *poller);
/* Answers a command that was fetched from `sq`. On its lane, or at home while the lane is asleep. */
void nvme_complete(struct nvme_lane *here, uint16_t sq, uint16_t command, uint16_t status, uint32_t result);
/* A queue that is deleted has come to rest, maybe. At home. */
void nvme_sq_check_deleted(struct nvme_function *function, unsigned sq);

/* The queue has an answer that is to be told of. */
void nvme_interrupt_later(struct nvme_lane *here, struct nvme_cq *cq);
/* There are such on the lane, maybe. */
void nvme_interrupts_go_on(struct nvme_lane *lane);
void nvme_interrupt(struct loop_task *task);
/* Sets the pin anew: what is masked, or unread, has changed. At home. */
void nvme_interrupts_refresh(struct nvme_function *function);
/* Tells of what is unread in the way in which interrupts are told of now. At home. */
void nvme_interrupts_again(struct nvme_function *function);

/* ---- nvme_ring.c ---- */

/* Does the guest's memory hold so many entries, in one piece, where the lane reaches them? */
bool nvme_ring_fits(const struct nvme_function *function, unsigned lane, uint64_t address, uint32_t entries,
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
/* Takes what drivers have written there for the lane's queues. */
void nvme_shadow_look(struct nvme_lane *lane);
/* Has drivers ring for what comes from now on; what has come is there for the next look. */
void nvme_shadow_arm(struct nvme_lane *lane);

/* ---- nvme_admin.c, nvme_features.c ---- */

void nvme_admin_execute(struct nvme_function *function, const struct nvme_command *command);
/* The command that waits for the lanes: they are held or asleep. Or it is as if it were never fetched. */
void nvme_admin_go_on(struct nvme_function *function);
void nvme_admin_give_back(struct nvme_function *function);
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

void nvme_io_execute(struct nvme_lane *lane, struct nvme_request *request,
		     const struct nvme_command *command);
/* Keeps an answer: nvme_lane_keeps(). */
void nvme_io_keep(struct nvme_lane *lane, uint16_t sq, uint16_t command, uint16_t status);
/* Answers what the lane has kept, on `here`. */
void nvme_io_answer_kept(struct nvme_lane *lane, struct nvme_lane *here);

/* ---- nvme_data.c ---- */

/*
 * Where the command's `bytes` of data lie, in at most NVME_PIECES_MAX pieces of `memory`. Returns the status;
 * *ret_count is the number of pieces. NVME_LATER: a list is to be fetched first (nvme_lists_errand()), and
 * then this is called again, with the same `lists`, of which nothing is fetched at first. `lists` is NULL
 * where memory that the VMM keeps to itself is out of reach.
 */
uint16_t nvme_data_map(const struct guest_memory *memory, const struct nvme_command *command, size_t bytes,
		       struct nvme_lists *lists, struct iovec *iov, unsigned *ret_count);
/* ---- nvme_remote.c ---- */

static inline bool nvme_remote_has_room(const struct nvme_function *function)
{
	return function->copied < NVME_COPIES_BYTES;
}
/* ---- nvme_handover.c ---- */

void nvme_save(const void *opaque, struct handover *handover);
void nvme_restore(void *opaque, struct handover *handover);

#endif
