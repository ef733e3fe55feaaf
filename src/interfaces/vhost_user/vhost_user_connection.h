/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of the vhost-user server: for its own files only.
 *
 * Endpoint (vhost_user.c) > connections (vhost_user_connection.c) > queues (vhost_user_queues.c). Everything
 * here belongs to the control thread. What a worker has to do is a command: posted to the worker, run
 * there, posted back. A queue has at most one command under way; a connection has at most one job under
 * way, a job being the commands of one message (or of tearing down, of suspending, of a broken ring).
 * While a job is under way the connection reads nothing: what follows on the socket waits in the socket.
 */
#ifndef VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_CONNECTION_H
#define VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/guest_memory.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/loop_account.h"
#include "interfaces/endpoint_fd.h"
#include "interfaces/endpoint_socket.h"
#include "interfaces/endpoint_strangers.h"
#include "interfaces/vhost_user/vhost_user.h"
#include "interfaces/vhost_user/vhost_user_messages.h"
#include "interfaces/virtio/virtqueue.h"

struct dirty_log;
struct handover;

/* A VMM uses one connection, a live migration two; the rest is for clients that come and go. */
#define VHOST_USER_CONNECTIONS_MAX 8
/* A connection that has not introduced itself (SET_OWNER, SET_FEATURES) by then is closed. */
#define VHOST_USER_HANDSHAKE_NS	   (10 * NS_PER_S)
/* From a message's first byte to its last. */
#define VHOST_USER_MESSAGE_NS	   (10 * NS_PER_S)
/* One connection's share of a turn of the control loop. */
#define VHOST_USER_MESSAGES_PER_WAKE 16
/* A config-change message that the front end does not take for so long is dropped with its channel. */
#define VHOST_USER_BACKEND_CHANNEL_NS (10 * NS_PER_S)
#define VHOST_USER_BACKEND_RETRY_NS   (100 * NS_PER_MS)
/* KVM's 509 slots. Descriptors and guarded mappings are scarce: an endpoint's connections share a bound. */
#define VHOST_USER_MEMORY_SLOTS	   509
#define VHOST_USER_ENDPOINT_SLOTS  1024
/* Ring index 255 is the last that SET_VRING_KICK can name. */
#define VHOST_USER_QUEUES_MAX	   256

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

struct vhost_user_command {
	struct loop_message message;
	enum vhost_user_command_kind kind;	/* NONE: nothing under way */
	int fd;					/* KICK, CALL: owned until it is the queue's */
	bool enabled;
	struct dirty_log *log;			/* the connection's reference covers it */
	uint64_t log_used_guest;
	struct guest_memory *memory;		/* likewise */
	/* The answer. */
	int result;
	struct virtqueue_position position;
	struct vhost_user_ring_counts {
		uint64_t kicks, chains, calls, suppressed;
	} counts;
};

struct vhost_user_queue {
	struct vhost_user_connection *connection;
	unsigned index;

	/* What the front end said. */
	unsigned size;				/* 0: not yet */
	bool address_set, base_set, kick_set;
	struct vhost_user_vring_address address;
	uint32_t base;				/* as SET_VRING_BASE encodes it */
	bool enabled;
	int kick_fd, call_fd, err_fd;

	/* The running ring. */
	/* From the start command until the stop command is answered */
	bool started;
	bool broken;				/* its violation waits for a reset or a new start */
	bool resume;				/* stopped for a takeover: start it again */
	struct virtqueue *ring;			/* the worker's; only its counters are read here */
	struct loop *worker;
	struct virtqueue_setup setup;
	struct vhost_user_command command;
	struct vhost_user_ring_counts counts;	/* last reading */
	struct log_subject subject;		/* the worker's while the ring runs */

	/* Filled in by the worker, once for each start. */
	struct loop_message broken_message;
	enum virtqueue_violation violation;
	uint64_t offending_value;

	struct vhost_user_error_signal *error_signal;
};

struct vhost_user_memory_file {
	struct vhost_user_memory_region region;
	int fd;
	bool fresh;				/* of the next set: not in the set in use */
};

/* The front end's record of requests in flight, mapped. */
struct vhost_user_inflight {
	int fd;					/* kept for a takeover */
	struct vhost_user_inflight_description description;
	void *mapping;
	size_t mapping_bytes;
	uint8_t *base;
	bool lost;				/* memory_guard's flag */
};

struct vhost_user_connection {
	struct vhost_user_endpoint *endpoint;
	struct vhost_user_connection *next, *previous;
	int socket;
	struct loop_watch watch;
	struct loop_timer timer;		/* of the handshake, then of the message that is coming in */
	struct loop_task task;			/* more messages are waiting, or a job is to begin */

	/* The message that is coming in. */
	struct vhost_user_message message;
	size_t received;			/* bytes of header and payload */
	/* The answer of the message being handled. */
	union vhost_user_payload reply;
	unsigned reply_size;
	int reply_fd;				/* owned; -1: none */

	/* The job under way. */
	bool busy;
	unsigned pending;			/* commands not yet answered */
	int job_error;				/* first error of its commands */
	void (*job_done)(struct vhost_user_connection *connection);
	struct vhost_user_queue *job_queue;	/* of a message about one ring */
	bool waits_for_claim;

	bool introduced;			/* did the handshake */
	bool closing;
	/* A ring broke or recovered: tell the others to stop or go on */
	bool enable_news;
	bool suspended;				/* its rings are stopped for a takeover */
	bool lost;				/* taken over, but its files are not what they were: closes */
	unsigned error_signals;			/* under way */

	uint64_t features, protocol_features;
	bool features_set;
	uint8_t status;
	struct guest_memory *memory;
	struct guest_memory *memory_next;	/* of the job under way */
	struct vhost_user_memory_file *files;	/* of memory, for a takeover */
	struct vhost_user_memory_file *files_next;
	unsigned file_count, file_next_count;
	bool files_replaced;			/* the next set keeps nothing of this one */
	int file_removed_fd;			/* what the next set leaves out */
	struct vhost_user_inflight *inflight;	/* NULL: none */
	struct dirty_log *log, *log_old;
	int log_fd;
	struct vhost_user_log log_description;

	int backend_fd;
	bool config_news;			/* a config-change message waits for room */
	struct loop_timer backend_timer;
	uint64_t backend_since_ns;

	unsigned queue_count;
	struct vhost_user_queue *queues;
};

/* The endpoint's time on one worker. */
struct vhost_user_account {
	struct loop_account *account;
	const struct loop *worker;
	struct vhost_user_account *next;
};

struct vhost_user_endpoint {
	struct endpoint base;
	struct vhost_user_options options;	/* name, path and guest (never NULL) are ours */
	struct vhost_user_account *accounts;
	struct log_subject subject;
	unsigned queue_count;
	unsigned queue_size_max;

	struct endpoint_socket socket;
	struct endpoint_strangers strangers;	/* descriptors being closed apart */

	struct vhost_user_connection *connections;
	unsigned connection_count;
	/* The connection whose rings run, or are being started or stopped; NULL: none. */
	struct vhost_user_connection *owner;
	/* The owner, or the one before: what the driver configured of the device is this connection's. */
	struct vhost_user_connection *last_owner;

	bool suspending, handed_over, destroying;
	void (*suspended)(void *context);
	void *suspended_context;
	void (*gone)(void *context);
	void *gone_context;

	uint64_t protocol_errors;
	uint64_t violations[VIOLATIONS];
	struct vhost_user_ring_counts counts;	/* of rings that ended */
};

/* ---- vhost_user_connection.c ---- */

/* Takes `socket`. Returns NULL when out of memory (the socket stays the caller's). Reads nothing yet. */
struct vhost_user_connection *vhost_user_connection_create(struct vhost_user_endpoint *endpoint, int socket);
/* Watches the socket; returns 0 or -ENOMEM. */
int vhost_user_connection_begin(struct vhost_user_connection *connection);
/* Closes the socket now and frees the connection when its rings have drained. Idempotent. */
void vhost_user_connection_close(struct vhost_user_connection *connection);
/* Does what is due: tear-down, suspension, news of a broken ring, the next messages. May free it. */
void vhost_user_connection_advance(struct vhost_user_connection *connection);
/* Advance at the end of this turn: for callers that still need the connection. */
void vhost_user_connection_defer(struct vhost_user_connection *connection);
/* Has the front end gone although we have not read that yet? */
bool vhost_user_connection_hung_up(const struct vhost_user_connection *connection);

/* Jobs: begin; post commands; end posting, which runs `done` at once when there was nothing to post. */
void vhost_user_job_begin(struct vhost_user_connection *connection,
			  void (*done)(struct vhost_user_connection *connection));
void vhost_user_job_end_posting(struct vhost_user_connection *connection);
/* A command was answered. */
void vhost_user_job_answered(struct vhost_user_connection *connection, int result);
/* Ends a message that a handler called LATER: answers it as if the handler had returned `outcome` now. */
void vhost_user_message_finish(struct vhost_user_connection *connection, enum vhost_user_outcome outcome);

/* One rate-limited line about what the front end did, and a count. */
void vhost_user_complain(struct vhost_user_connection *connection, const char *reason, uint64_t value);

/* ---- vhost_user_backend.c: the channel on which we speak first ---- */

void vhost_user_backend_notify(struct vhost_user_connection *connection);
void vhost_user_backend_finish(struct vhost_user_connection *connection);
/* Signals a ring's err descriptor without ever waiting for its counter to have room. */
void vhost_user_error_signal(struct vhost_user_queue *queue);
void vhost_user_error_signals_cancel(struct vhost_user_connection *connection);

/* ---- vhost_user_queues.c, vhost_user_rings.c ---- */

int vhost_user_queues_create(struct vhost_user_connection *connection);
void vhost_user_queues_destroy(struct vhost_user_connection *connection);
/* Does any ring run (or is being started or stopped)? */
bool vhost_user_queues_running(const struct vhost_user_connection *connection);
bool vhost_user_queues_broken(const struct vhost_user_connection *connection);
/* Post commands of the job under way. */
void vhost_user_queue_post(struct vhost_user_queue *queue, enum vhost_user_command_kind kind);
void vhost_user_queues_post_stop(struct vhost_user_connection *connection);
void vhost_user_queues_post_enable(struct vhost_user_connection *connection);
void vhost_user_queues_post_log(struct vhost_user_connection *connection);
void vhost_user_queues_post_memory(struct vhost_user_connection *connection, struct guest_memory *memory);
/* Posts the start; returns 0, -EINVAL (what was said does not fit together) or -ENOMEM. */
int vhost_user_queue_post_start(struct vhost_user_queue *queue);
/*
 * Starts every ring of which all is said that a start needs. DONE: there was none. LATER: a job is under way
 * and finishes the message. REFUSED: another front end's rings run.
 */
enum vhost_user_outcome vhost_user_rings_start(struct vhost_user_connection *connection);
/* Forgets all that the front end said about rings, but for call and err descriptors. Rings are stopped. */
void vhost_user_queues_reset(struct vhost_user_connection *connection, bool forget_base);
void vhost_user_queue_mark_broken(struct vhost_user_queue *queue, enum virtqueue_violation violation,
				  uint64_t offending_value);
struct vhost_user_ring_counts vhost_user_queue_counts(struct vhost_user_queue *queue);
/* What GET_VRING_BASE answers, and back. */
uint32_t vhost_user_position_encode(bool packed, const struct virtqueue_position *position);
void vhost_user_position_decode(bool packed, uint32_t base, struct virtqueue_position *ret_position);

/* ---- vhost_user_inflight.c ---- */

/* Maps what `description` says of `fd`, which it takes on success. Returns 0 or -errno. */
int vhost_user_inflight_open(int fd, const struct vhost_user_inflight_description *description,
			     struct vhost_user_inflight **ret_inflight);
/* NULL is allowed. */
void vhost_user_inflight_close(struct vhost_user_inflight *inflight);
/* The queue's region, NULL when there is no record; *ret_fits says if it is large enough. */
void *vhost_user_inflight_region(const struct vhost_user_inflight *inflight, bool packed, unsigned index,
				 unsigned size, bool *ret_fits);

/* ---- vhost_user_memory.c ---- */

void vhost_user_memory_finish(struct vhost_user_connection *connection);
/* Appends one region to a table and to a set; both are replaced. Returns 0 or guest_memory_add()'s errors. */
int vhost_user_memory_append(struct vhost_user_connection *connection,
			     const struct vhost_user_memory_region *region, int fd);

/* ---- vhost_user.c ---- */

/* An endpoint without sockets; NULL when out of memory. */
struct vhost_user_endpoint *vhost_user_endpoint_alloc(const struct vhost_user_options *options);

/*
 * May this connection run rings? One at a time does. false and *ret_wait: the present owner is going away,
 * vhost_user_endpoint_release() goes on with the start; false and not *ret_wait: refused.
 */
bool vhost_user_endpoint_claim(struct vhost_user_connection *connection, bool *ret_wait);
void vhost_user_endpoint_release(struct vhost_user_connection *connection);
/* The connection is about to be freed. */
void vhost_user_endpoint_remove(struct vhost_user_connection *connection);
/* A connection came to rest: is the whole endpoint suspended now? */
void vhost_user_endpoint_check_suspended(struct vhost_user_endpoint *endpoint);
/* The account that pays for a ring on that worker; NULL when out of memory. */
struct loop_account *vhost_user_endpoint_account(struct vhost_user_endpoint *endpoint, struct loop *worker);
uint64_t vhost_user_endpoint_features(const struct vhost_user_endpoint *endpoint);

static inline struct vhost_user_endpoint *vhost_user_endpoint_of(const struct endpoint *endpoint)
{
	return container_of((struct endpoint *)endpoint, struct vhost_user_endpoint, base);
}

/* ---- vhost_user_handover.c: of the endpoint's ops ---- */

void vhost_user_suspend(struct endpoint *base, void (*suspended)(void *context), void *context);
void vhost_user_save(struct endpoint *base, struct handover *handover);
void vhost_user_resume(struct endpoint *base);

/* ---- handlers of messages, by file ---- */

#define VHOST_USER_HANDLER(name)                                                                             \
	enum vhost_user_outcome vhost_user_##name(struct vhost_user_connection *connection,                  \
						  struct vhost_user_message *message)
/* vhost_user_device.c */
VHOST_USER_HANDLER(get_features);
VHOST_USER_HANDLER(set_features);
VHOST_USER_HANDLER(set_owner);
VHOST_USER_HANDLER(reset_owner);
VHOST_USER_HANDLER(get_protocol_features);
VHOST_USER_HANDLER(set_protocol_features);
VHOST_USER_HANDLER(get_queue_num);
VHOST_USER_HANDLER(get_config);
VHOST_USER_HANDLER(set_config);
VHOST_USER_HANDLER(reset_device);
VHOST_USER_HANDLER(set_status);
VHOST_USER_HANDLER(get_status);
/* vhost_user_memory.c */
VHOST_USER_HANDLER(set_mem_table);
VHOST_USER_HANDLER(get_max_mem_slots);
VHOST_USER_HANDLER(add_mem_reg);
VHOST_USER_HANDLER(rem_mem_reg);
/* vhost_user_log.c */
VHOST_USER_HANDLER(set_log_base);
VHOST_USER_HANDLER(set_log_fd);
/* vhost_user_rings.c */
VHOST_USER_HANDLER(set_vring_num);
VHOST_USER_HANDLER(set_vring_addr);
VHOST_USER_HANDLER(set_vring_base);
VHOST_USER_HANDLER(get_vring_base);
VHOST_USER_HANDLER(set_vring_kick);
VHOST_USER_HANDLER(set_vring_call);
VHOST_USER_HANDLER(set_vring_err);
VHOST_USER_HANDLER(set_vring_enable);
/* vhost_user_inflight.c */
VHOST_USER_HANDLER(get_inflight_fd);
VHOST_USER_HANDLER(set_inflight_fd);
/* vhost_user_backend.c */
VHOST_USER_HANDLER(set_backend_req_fd);

/* One descriptor of the message, now the handler's; -1 when it has none. */
static inline int vhost_user_message_take_fd(struct vhost_user_message *message, unsigned index)
{
	int fd;

	if (index >= message->fd_count)
		return -1;
	fd = message->fds[index];
	message->fds[index] = -1;
	return fd;
}

#endif
