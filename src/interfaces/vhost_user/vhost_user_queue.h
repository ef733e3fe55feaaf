/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A queue of a connection: what the front end said of a ring, and the ring that a worker runs from it.
 *
 * What a worker has to do is a command: posted to the worker, run there, posted back. A queue has at most one
 * command under way. Between the two the queue is the worker's, which writes only the command's answer and
 * `ring`; all else is the control thread's.
 */
#ifndef VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_QUEUE_H
#define VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/log.h"
#include "core/loop.h"
#include "interfaces/vhost_user/vhost_user_messages.h"
#include "interfaces/virtio/virtqueue.h"

struct dirty_log;
struct guest_memory;
struct vhost_user_connection;

/* Ring index 255 is the last that SET_VRING_KICK can name. */
#define VHOST_USER_QUEUES_MAX 256

enum vhost_user_command_kind {
	COMMAND_NONE,
	COMMAND_START,
	COMMAND_STOP,
	COMMAND_ENABLE,
	COMMAND_KICK,
	COMMAND_CALL,
	COMMAND_LOG,
	COMMAND_MEMORY,
};

struct vhost_user_ring_counts {
	uint64_t kicks, chains, calls, suppressed;
};

struct vhost_user_command {
	struct loop_message message;
	struct loop_poller poller;		/* runs it on the worker when it is the guest's turn */
	unsigned turns;				/* that it has waited for others of its guest */
	enum vhost_user_command_kind kind;	/* NONE: nothing under way */
	int fd;					/* KICK, CALL: owned until it is the queue's */
	bool enabled;
	struct dirty_log *log;			/* the connection's reference covers it */
	uint64_t log_used_guest;
	struct guest_memory *memory;		/* likewise */
	/* The answer. */
	int result;
	struct virtqueue_position position;
	struct vhost_user_ring_counts counts;
};

struct vhost_user_queue {
	struct vhost_user_connection *connection;
	unsigned index;

	/* What the front end said. */
	unsigned size;				/* 0: not yet */
	bool address_set, base_set, kick_set;
	struct vhost_user_vring_address address;
	uint32_t base;				/* as SET_VRING_BASE encodes it */
	bool anew;     /* it starts elsewhere than where it stopped */
	bool has_served;			/* chains, since it began anew; of a predecessor's, perhaps */
	bool enabled;
	int kick_fd, call_fd, err_fd;

	/* The running ring. */
	/* From the start command until the stop command is answered */
	bool started;
	bool starting;				/* atomic: until its worker has begun with it, in a turn */
	bool broken;				/* its violation waits for a reset or a new start */
	bool resume;				/* stopped for a takeover, or to move: start it again */
	struct virtqueue *ring;			/* the worker's; only its counters are read here */
	struct loop *worker;
	struct virtqueue_setup setup;
	struct vhost_user_command command;
	struct vhost_user_ring_counts counts;	/* last reading */
	struct log_subject subject;		/* the worker's while the ring runs */

	/* Filled in by the worker, each once for each start. */
	struct loop_message broken_message;
	enum virtqueue_violation violation;
	uint64_t offending_value;
	struct loop_message wait_message;
	uint64_t waited_ns;

	/* For a ring that is abandoned, if the front end keeps no record; see virtqueue_setup.record */
	void *record;
	size_t record_bytes;
	bool moves;				/* its next start goes on with that record */
};

/* ---- all queues of a connection ---- */

/* Returns 0 or -ENOMEM. */
int vhost_user_queues_create(struct vhost_user_connection *connection);
/* No ring runs. */
void vhost_user_queues_destroy(struct vhost_user_connection *connection);
/* Does any ring run, or is being started or stopped? */
bool vhost_user_queues_running(const struct vhost_user_connection *connection);
bool vhost_user_queues_broken(const struct vhost_user_connection *connection);
/* Forgets all that the front end said about rings, but for call and err descriptors. Rings are stopped. */
void vhost_user_queues_reset(struct vhost_user_connection *connection, bool forget_base);

/* ---- commands of the connection's job under way ---- */

void vhost_user_queue_post(struct vhost_user_queue *queue, enum vhost_user_command_kind kind);
void vhost_user_queues_post_stop(struct vhost_user_connection *connection);
void vhost_user_queues_post_enable(struct vhost_user_connection *connection);
void vhost_user_queues_post_log(struct vhost_user_connection *connection);
void vhost_user_queues_post_memory(struct vhost_user_connection *connection, struct guest_memory *memory);
/* Posts the start; returns 0, -EINVAL (what was said does not fit together) or -ENOMEM. */
int vhost_user_queue_post_start(struct vhost_user_queue *queue);
/*
 * vhost_user_move.c: what becomes of the ring if it makes its worker wait for guest memory. What it has in
 * flight then is recorded by the front end's region, or by a record of our own. Returns 0 or -ENOMEM.
 */
int vhost_user_queue_prepare_waits(struct vhost_user_queue *queue, struct virtqueue_setup *setup);
/*
 * vhost_user_rings.c: starts every ring of which all is said that a start needs. DONE: there was none. LATER:
 * a job is under way and finishes the message. REFUSED: another front end's rings run.
 */
enum vhost_user_outcome vhost_user_rings_start(struct vhost_user_connection *connection);
/* Starts those that were stopped to be resumed; a job. */
void vhost_user_rings_resume(struct vhost_user_connection *connection);
/* vhost_user_move.c: stops all rings and starts them again, on the workers that are theirs by now; a job. */
void vhost_user_rings_move(struct vhost_user_connection *connection);
/* They do not start, because another front end's run. */
enum vhost_user_outcome vhost_user_rings_refuse(struct vhost_user_connection *connection);

/* ---- one queue ---- */

bool vhost_user_queue_is_packed(const struct vhost_user_connection *connection);
void vhost_user_queue_mark_broken(struct vhost_user_queue *queue, enum virtqueue_violation violation,
				  uint64_t offending_value);
struct vhost_user_ring_counts vhost_user_queue_counts(struct vhost_user_queue *queue);
/* What GET_VRING_BASE answers, and back. */
uint32_t vhost_user_position_encode(bool packed, const struct virtqueue_position *position);
void vhost_user_position_decode(bool packed, uint32_t base, struct virtqueue_position *ret_position);

#endif
