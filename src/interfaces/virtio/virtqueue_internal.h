/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the ring code share; no other file includes this.
 *
 *   virtqueue.c            life: start, changes while the queue runs, stop
 *   virtqueue_path.c       the way of a request: kick, take, complete, publish, call
 *   virtqueue_notify.c     how new chains are noticed: polling, kicks, sleep
 *   virtqueue_violation.c  the end of a ring that breaks a rule, or makes its worker wait
 *   split_ring.c, packed_ring.c           the two formats
 *   virtqueue_chain.h, descriptor_chain.c descriptors to iovecs
 *   inflight.c             the record of chains in flight that survives the process
 */
#ifndef VIADUCT_INTERFACES_VIRTIO_VIRTQUEUE_INTERNAL_H
#define VIADUCT_INTERFACES_VIRTIO_VIRTQUEUE_INTERNAL_H

#include "core/guest_memory.h"
#include "core/loop.h"
#include "core/loop_blame.h"
#include "interfaces/virtio/inflight.h"
#include "interfaces/virtio/virtio_ring.h"
#include "interfaces/virtio/virtqueue.h"

/*
 * Descriptors in one chain, the bound that ends loops, unless the model says it: 256 of one page are 1 MiB.
 */
#define CHAIN_DESCRIPTORS 258u
/* What a model can say at most. */
#define CHAIN_DESCRIPTORS_MAX 1026u
/* A descriptor across two regions of guest memory takes two elements: so many more than descriptors. */
#define CHAIN_ELEMENTS_MORE 6u
/*
 * A chain of more elements than fit in a page is a long one, and so many of one queue may be in flight: what
 * they are described by is memory of ours, of which a guest could otherwise have 17 MB a queue.
 */
#define LONG_CHAIN_ELEMENTS (4096u / sizeof(struct iovec))
#define LONG_CHAINS_MAX	    32u
/*
 * Chains taken from one queue in a turn, unless the model says it: then others on the worker have theirs, and
 * what was taken goes to the disk. A driver's whole ring at once would leave the disk empty, and its driver
 * asleep, while it is prepared.
 */
#define TAKE_BATCH 16u
/* A model that says it has so much less in a turn while others want little, and that soon. */
#define TAKE_BRIEF_PART 8u
/*
 * After so many chains (the model may say it, too), or one of so many bytes, or several of so many, or so
 * many elements, the time decides whether the turn goes on.
 */
#define TAKE_TIMED	    8u
#define TAKE_TIMED_ELEMENTS 256u
#define TAKE_TIMED_BYTES    (64ull * 1024)
#define TAKE_TIMED_TOGETHER (TAKE_TIMED * TAKE_TIMED_BYTES)
/* A queue that stops goes on with a predecessor's chains when it has waited for so many turns. */
#define RECOVERY_TURNS_MAX 8u
/*
 * Kicks on a queue that is polled and asked for none. An honest driver's last few cross our request; after
 * more, kicks are not listened to until the queue is parked.
 */
#define NEEDLESS_KICKS_MAX 8u

/* A generation of guest memory as one queue sees it; `users` are this queue's chains in flight. */
struct memory_view {
	struct guest_memory *memory;
	unsigned users;
};

/* A chain in flight and what the ring needs to answer it. */
struct queue_slot {
	struct virtio_chain chain;
	struct iovec single;		/* the element of a chain that has one; near the rest of the slot */
	struct memory_view *view;
	uint64_t number;		/* of virtqueue.taken when the chain was taken */
	uint16_t descriptors;		/* packed: ring descriptors that the chain occupies */
	/* Packed with INFLIGHT: the chain's first and last entry in the region */
	uint16_t inflight_first;
	uint16_t inflight_last;
	bool answered;			/* IN_ORDER: waits for its predecessors */
};

struct split_ring {
	const struct split_descriptor *descriptors;
	struct split_available *available;
	struct split_used *used;
	uint16_t next;			/* available index to take next */
	uint16_t seen;			/* available index last read */
	uint16_t asked_idx;		/* available index that the driver saw with our wish for kicks */
	uint16_t used_idx;		/* used index last published */
	uint16_t signalled_idx;		/* used index when we last asked whether to call */
};

struct packed_ring {
	struct packed_descriptor *descriptors;
	const struct packed_event *driver_event;
	struct packed_event *device_event;
	uint16_t next, used;		/* descriptor indices */
	bool next_wrap, used_wrap;
};

/* How new chains are noticed. */
enum queue_attention {
	QUEUE_PARKED,		/* the driver kicks */
	QUEUE_POLLED,		/* we look; the driver is asked for no kicks */
	QUEUE_LAST_LOOK,	/* the driver kicks from now on, and we look once more for what came before */
};

/* What the model took in this turn of the worker. */
struct queue_turn {
	bool on;		/* inside model->ready() */
	bool over;		/* the ring was found empty, or the time is up */
	bool empty;		/* the former */
	bool busy;		/* work was done without a chain */
	bool timed;		/* the time decides before more is taken */
	unsigned taken, limit;	/* chains; what may be taken */
	unsigned room;		/* for chains before the time is asked, within the limit */
};

struct virtqueue {
	/* read and written on every request */
	struct virtio_queue offered;		/* what the model sees */
	struct loop_poller poller;
	struct loop_task publish_task;
	struct loop *loop;
	bool packed, event_idx, in_order, indirect;
	bool enabled, stopping;
	bool broken;
	bool abandoned;				/* and broken, so that all of it stands still */
	bool told_of_wait;
	bool listening;				/* the model wants to know of chains */
	enum queue_attention attention;
	struct queue_turn turn;
	const unsigned *held;			/* loop_blame_flag() */
	unsigned take_batch, take_timed;	/* TAKE_BATCH and TAKE_TIMED, or what the model says */
	unsigned take_brief;			/* take_batch, or a part of it */
	unsigned size;
	unsigned descriptors_max, elements_max;	/* of one chain */
	unsigned in_flight;
	unsigned long_chains;			/* of them */
	uint64_t taken;				/* chains since the start, less those given back */
	union {
		struct split_ring split;
		struct packed_ring pack;
	};
	const struct guest_region *last_region;	/* of the current view: where the last descriptor lay */
	struct memory_view *view;
	struct memory_view views[2];		/* current and previous */
	const struct virtio_model_ops *model;
	void *model_queue;
	uint8_t *slots;				/* size * slot_bytes; zeroes until they are used */
	size_t slot_bytes;
	struct iovec *elements;			/* size * elements_max: of chains with several */
	uint16_t *done;				/* slots to publish at the end of the turn */
	unsigned done_count;
	uint16_t *order;			/* IN_ORDER: slots in the order taken, a ring of `size` */
	unsigned order_first, order_count;	/* not counters that run on: `size` need not divide 2^32 */
	void *inflight;				/* struct inflight_split or inflight_packed, or NULL */
	uint64_t inflight_counter;		/* order of the next chain taken */
	uint16_t inflight_free;			/* packed: head of the region's free list */
	struct dirty_log *log;
	struct virtqueue_counters counters;

	uint16_t *resubmit;			/* entries of `inflight` still to be taken again */
	unsigned resubmit_next, resubmit_count;
	unsigned resubmit_turns;		/* that a stopping queue waited for others of its guest */
	unsigned faults_seen;			/* memory_guard_faults() when memory was last found whole */

	/* set-up and control */
	void *slots_memory;			/* what to free */
	struct virtqueue_setup setup;
	struct loop_watch kick_watch;
	unsigned needless_kicks;		/* since the queue was parked */
	struct loop_timer poll_timer;		/* rings without a kick descriptor */
	int call_fd;
	struct loop_blame blame;
	struct loop_op call_op;			/* the eventfd write in flight */
	bool call_pending, call_again;
	struct loop_timer call_timer;		/* a stop gives up on a call that never ends */
	bool call_given_up;
	void (*stopped)(void *context, const struct virtqueue_position *position);
	void *stopped_context;
	void (*released)(void *context);
	void *released_context;
};

static inline struct queue_slot *queue_slot(struct virtqueue *queue, unsigned index)
{
	return (struct queue_slot *)(queue->slots + index * queue->slot_bytes);
}

/* May the model take chains that are new? */
static inline bool queue_takes(const struct virtqueue *queue)
{
	return queue->enabled && !queue->stopping && !queue->broken && queue->long_chains < LONG_CHAINS_MAX;
}

static inline bool chain_is_long(const struct virtio_chain *chain)
{
	return (size_t)chain->readable_count + chain->writable_count > LONG_CHAIN_ELEMENTS;
}

/* Are there chains that a predecessor had in flight and the model has not taken? */
static inline bool queue_recovers(const struct virtqueue *queue)
{
	return queue->resubmit_next < queue->resubmit_count;
}

/* Is the model to be told of chains? */
static inline bool queue_listens(const struct virtqueue *queue)
{
	return queue->listening && queue_takes(queue);
}

/* ---- virtqueue.c ---- */

/* A slot is used for the first time. */
void queue_prepare_slot(struct virtqueue *queue, struct queue_slot *slot, unsigned index);
/* The last chain of a memory generation that is not the current one completed. */
void queue_release_view(struct virtqueue *queue, struct memory_view *view);
/* Ends a stop that is under way when nothing is left to wait for. */
void queue_try_finish_stop(struct virtqueue *queue);

/* ---- virtqueue_path.c ---- */

extern const struct virtio_queue_ops queue_ops;

/* Callbacks of the loop. */
void queue_kick_ready(struct loop_watch *watch, unsigned events);
bool queue_poll(struct loop_poller *poller);
/* The model is about to be asked to take chains, within the bounds of a turn; at most `limit`. */
void queue_begin_turn(struct virtqueue *queue, unsigned limit);
void queue_publish(struct loop_task *task);
void queue_call_done(struct loop_op *op, int result, unsigned cqe_flags);

/* Is there a chain to take, a predecessor's or a new one? */
bool queue_pending(struct virtqueue *queue);
/* Notifies the driver. */
void queue_call(struct virtqueue *queue);

/* ---- virtqueue_notify.c ---- */

/* Callbacks of the loop. */
bool queue_park(struct loop_poller *poller);
void queue_poll_expired(struct loop_timer *timer);

/* There may be work: if the model listens, the loop polls the ring from now on. */
void queue_wake(struct virtqueue *queue);
/* The loop polls the ring: asks the driver for no kicks. */
void queue_silence(struct virtqueue *queue);
void queue_listen(struct virtio_queue *offered, bool listen);

/* ---- virtqueue_violation.c ---- */

/* Stops the ring for good; reports once. */
void queue_break(struct virtqueue *queue, enum virtqueue_violation violation, uint64_t offending_value);
/* Callback of the loop: the guest made it wait. */
void queue_blamed(struct loop_blame *blame, unsigned what, uint64_t waited_ns);
/* Did the VMM truncate a file under the ring, its chains or its INFLIGHT region? */
bool queue_memory_lost(const struct virtqueue *queue);
/* Breaks the ring if it did. */
void queue_check_memory(struct virtqueue *queue);

/* ---- split_ring.c and packed_ring.c: the same functions for the two formats ---- */

/* How large the parts of a ring are. */
struct ring_bytes {
	uint64_t descriptors, driver, device;
};
struct ring_bytes split_bytes(unsigned size);
struct ring_bytes packed_bytes(unsigned size);
/* Maps the ring in the current memory. 0, -EFAULT or -EINVAL (alignment). */
int split_map(struct virtqueue *queue);
int packed_map(struct virtqueue *queue);
/* It stands where a new ring begins, and no device has written into its last element. */
bool split_is_untouched(const struct virtqueue *queue);
bool packed_is_untouched(const struct virtqueue *queue);
/* Takes one chain: its slot, or NULL when the ring is empty or just broke. */
struct queue_slot *split_take(struct virtqueue *queue);
struct queue_slot *packed_take(struct virtqueue *queue);
/* The ring is as it was before the slot's chain, the last one, was taken from it. */
void split_give_back(struct virtqueue *queue, const struct queue_slot *slot);
void packed_give_back(struct virtqueue *queue, const struct queue_slot *slot);
/* Fills the slot of an INFLIGHT entry again after a restart. NULL: the ring broke. */
struct queue_slot *split_retake(struct virtqueue *queue, unsigned head);
struct queue_slot *packed_retake(struct virtqueue *queue, unsigned first_entry);
/* Publishes done[0 .. done_count); true when the driver wants a call. */
bool split_publish(struct virtqueue *queue);
bool packed_publish(struct virtqueue *queue);
/* Asks the driver for (no) notifications. */
void split_notify(struct virtqueue *queue, bool wanted);
void packed_notify(struct virtqueue *queue, bool wanted);
/* Is there something to take? One look. */
bool split_pending(struct virtqueue *queue);
bool packed_pending(struct virtqueue *queue);
/* May the driver have posted chains before it saw that it should kick? (Packed rings: it kicks for each.) */
bool split_posted(const struct virtqueue *queue);

/* ---- inflight.c ---- */

/*
 * Reads what the region says, repairs an interrupted batch, sets the ring's position, and fills
 * entries[0 .. *ret_count) (room for queue->size) with what to resubmit, oldest first.
 */
enum virtqueue_violation inflight_recover(struct virtqueue *queue, uint16_t *entries, unsigned *ret_count);

/* Makes a region of zeroes one that says what is in flight now. */
void inflight_split_record(struct virtqueue *queue, void *region);

void inflight_split_take(struct virtqueue *queue, unsigned head);
void inflight_split_give_back(struct virtqueue *queue, unsigned head);
/* Around the publication of done[]: before and after the store that makes it visible. */
void inflight_split_before(struct virtqueue *queue);
void inflight_split_after(struct virtqueue *queue, uint16_t used_idx);

/*
 * Records a chain of ring descriptors and notes its entries in the slot. False: the region is inconsistent.
 */
bool inflight_packed_take(struct virtqueue *queue, struct queue_slot *slot,
			  const struct packed_descriptor *chain, unsigned count);
void inflight_packed_give_back(struct virtqueue *queue, const struct queue_slot *slot);
void inflight_packed_before(struct virtqueue *queue, uint16_t used, bool used_wrap);
void inflight_packed_after(struct virtqueue *queue, uint16_t used, bool used_wrap);
/* Copies the recorded chain that starts at `first` (room for descriptors_max). False: inconsistent. */
bool inflight_packed_read(struct virtqueue *queue, unsigned first, struct packed_descriptor *descriptors,
			  unsigned *ret_count, unsigned *ret_last);

#endif
