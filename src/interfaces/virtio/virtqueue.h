/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One running virtqueue (virtio 1.2, 2.6–2.8): offers the descriptor chains of the ring to the device model,
 * which takes what it can use (devices/virtio_model.h), puts completions back, notifies. Split and packed,
 * indirect, EVENT_IDX, IN_ORDER.
 * This folder's ring files are the only code that touches ring memory.
 *
 * A virtqueue lives on one worker from start to destroy: every function is called on that worker's thread.
 * The control thread makes a complete, checked virtqueue_setup and sends it over with loop_post().
 *
 * A ring that breaks the rules stops for good: setup.broken() is called once, kicks are ignored, requests
 * in flight still complete (into nothing), and virtqueue_stop() works as always.
 */
#ifndef VIADUCT_INTERFACES_VIRTIO_VIRTQUEUE_H
#define VIADUCT_INTERFACES_VIRTIO_VIRTQUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/log.h"
#include "core/stats.h"
#include "devices/virtio_model.h"

struct dirty_log;
struct guest_memory;
struct loop;
struct loop_account;
struct virtqueue;

/* virtio 1.2, 2.6: at most 32768 descriptors. */
#define VIRTQUEUE_SIZE_MAX 32768u

/* Ring features that this implementation offers (bits as in virtio 1.2, 6). */
#define VIRTIO_F_NOTIFY_ON_EMPTY   24
#define VIRTIO_RING_F_INDIRECT	   28
#define VIRTIO_RING_F_EVENT_IDX	   29
#define VIRTIO_F_VERSION_1	   32
#define VIRTIO_F_ACCESS_PLATFORM   33
#define VIRTIO_F_RING_PACKED	   34
#define VIRTIO_F_IN_ORDER	   35
#define VIRTIO_F_RING_RESET	   40
#define VIRTQUEUE_FEATURES                                                                                   \
	(1ull << VIRTIO_RING_F_INDIRECT | 1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_F_VERSION_1 |    \
	 1ull << VIRTIO_F_RING_PACKED | 1ull << VIRTIO_F_IN_ORDER | 1ull << VIRTIO_F_RING_RESET)

/*
 * Where a ring stands: what vhost-user's GET/SET_VRING_BASE carry. A ring goes on behind what was used last:
 * packed from used_idx, split from the used index in the ring itself.
 */
struct virtqueue_position {
	uint16_t available_idx;		/* split: next index to take; packed: descriptor, 0 … size - 1 */
	uint16_t used_idx;		/* packed only: descriptor */
	bool available_wrap, used_wrap;	/* packed only: wrap counters */
};

/* Why a ring stopped; each has a short text for logs and the label of a counter. */
enum virtqueue_violation {
	VIOLATION_NONE,
	VIOLATION_AVAILABLE_JUMP,	/* available index more than the queue size ahead */
	VIOLATION_HEAD,			/* head or id outside the queue, or still in flight */
	VIOLATION_NEXT,			/* next outside the table */
	VIOLATION_LOOP,			/* chain longer than allowed: loops */
	VIOLATION_INDIRECT,		/* not negotiated, nested, with NEXT, bad length */
	VIOLATION_ORDER,		/* device-readable after device-writable */
	VIOLATION_ADDRESS,		/* descriptor or table outside guest memory */
	VIOLATION_LENGTH,		/* lengths add up to 4 GiB or more */
	VIOLATION_RING_ADDRESS,		/* ring itself outside guest memory */
	VIOLATION_MEMORY_LOST,		/* the VMM truncated the memory file */
	VIOLATION_INFLIGHT,		/* INFLIGHT region inconsistent */
	VIOLATION_REQUEST,		/* a chain without room for the device's header or status */
	VIOLATION_CALL,			/* the call descriptor made the worker wait */
	VIOLATION_WAIT,			/* guest memory did, and what is in flight is recorded nowhere */
	VIOLATIONS
};
const char *virtqueue_violation_text(enum virtqueue_violation violation);

struct virtqueue_setup {
	struct loop *loop;
	/* Pays for the queue on that loop; outlives it. NULL: the loop itself */
	struct loop_account *account;
	unsigned index;
	unsigned size;			/* split: power of two; 1 … VIRTQUEUE_SIZE_MAX */
	uint64_t features;		/* acknowledged */
	const struct virtio_model_ops *model;
	void *device;

	struct guest_memory *memory;	/* virtqueue_start takes a reference of its own */
	uint64_t descriptor_user;	/* addresses in the VMM's space, as SET_VRING_ADDR gives them */
	uint64_t driver_user;		/* available ring / driver event suppression */
	uint64_t device_user;		/* used ring / device event suppression */
	struct virtqueue_position position;
	bool anew; /* for the model: see virtio_queue_setup */
	/*
	 * Chains were completed before it stopped where it starts now. Such a ring that stands at its
	 * beginning and holds no trace of that is another driver's, which has begun where the one before
	 * ended.
	 */
	bool has_served;

	int kick_fd;			/* -1: no notifications, the ring is polled while the loop is awake */
	int call_fd;			/* -1: the driver polls */
	/*
	 * In place of both, which are -1 then: notifies the driver, whose own notifications are
	 * virtqueue_kick(). For a transport whose notifications are registers and interrupts. NULL: there are
	 * descriptors
	 */
	void (*call)(void *context);
	bool enabled;			/* vhost-user SET_VRING_ENABLE: takes chains only while enabled */

	/*
	 * This queue's INFLIGHT region of inflight_region_bytes(), or NULL. Only for a model whose requests
	 * may be repeated
	 */
	void *inflight;
	const bool *inflight_lost;	/* its memory_guard flag */
	/*
	 * Without such a region: as many zeroes of our own, where abandoning the queue leaves what it had in
	 * flight; for the next queue in its place, which then keeps its record there. NULL: no need
	 */
	void *record;
	struct dirty_log *log;		/* start takes a reference; NULL: no migration under way */
	uint64_t log_used_guest;	/* guest address of the used ring, for the log; ~0: do not log it */

	struct log_subject *subject;	/* the device; outlives the queue */
	/* The ring broke a rule (once). Worker thread; do not destroy the queue from here. */
	void (*broken)(void *context, enum virtqueue_violation violation, uint64_t offending_value);
	/*
	 * Guest memory made the worker wait, for others too (loop_blame.h). The queue is abandoned: it does
	 * nothing more, and after virtqueue_stop() another one goes on in its place, on a worker where that
	 * harms nobody else. Once, like broken(). NULL: this is such a worker
	 */
	void (*made_wait)(void *context, uint64_t waited_ns);
	void *context;
};

/*
 * Starts: maps the ring, resubmits what `inflight` records, arms the kick and looks for work at once.
 * The fds stay the caller's and outlive the queue (or the next virtqueue_set_*_fd).
 * Returns 0, -EFAULT (ring outside memory), -EINVAL (misaligned ring), -ENOMEM, or the model's error.
 */
int virtqueue_start(const struct virtqueue_setup *setup, struct virtqueue **ret_queue);

/* Does all of the ring lie in that memory, each of its parts in one region? */
bool virtqueue_lies_in(const struct virtqueue_setup *setup, const struct guest_memory *memory);

/*
 * Offers no more chains; when the last one that the model holds is completed or given back, calls stopped()
 * with the position at which another process (or we) can go on. Possibly before it returns. Then
 * virtqueue_destroy().
 */
void virtqueue_stop(struct virtqueue *queue,
		    void (*stopped)(void *context, const struct virtqueue_position *position), void *context);

/* After stopped(). NULL is allowed. */
void virtqueue_destroy(struct virtqueue *queue);

/* While running. */
void virtqueue_kick(struct virtqueue *queue);
void virtqueue_set_enabled(struct virtqueue *queue, bool enabled);
void virtqueue_set_kick_fd(struct virtqueue *queue, int kick_fd);
void virtqueue_set_call_fd(struct virtqueue *queue, int call_fd);
void virtqueue_set_log(struct virtqueue *queue, struct dirty_log *log, uint64_t log_used_guest);

/*
 * Another generation of memory: new chains use it from now on; released() is called when no chain in
 * flight uses the old one any more. One change at a time. A ring that the new set does not hold is broken.
 */
void virtqueue_set_memory(struct virtqueue *queue, struct guest_memory *memory,
			  void (*released)(void *context), void *context);

/*
 * Guest memory made the worker wait, as for setup.made_wait: the queue is abandoned. virtqueue_stop()
 * follows.
 */
void virtqueue_abandon(struct virtqueue *queue, uint64_t waited_ns);

struct virtqueue_counters {
	struct counter kicks;		/* notifications from the driver */
	struct counter chains;		/* taken */
	struct counter calls;		/* interrupts to the driver */
	struct counter suppressed;	/* interrupts that the driver did not want */
};
/* Any thread, while the queue exists. */
const struct virtqueue_counters *virtqueue_get_counters(const struct virtqueue *queue);

#endif
