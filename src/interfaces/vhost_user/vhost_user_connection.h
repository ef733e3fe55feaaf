/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One front end. It has at most one job under way: the commands of one message, or of tearing down, of
 * suspending, of a broken ring. While a job is under way the connection reads nothing: what follows on the
 * socket waits in the socket. Everything here is the control thread's.
 */
#ifndef VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_CONNECTION_H
#define VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/loop.h"
#include "interfaces/vhost_user/vhost_user_backend.h"
#include "interfaces/vhost_user/vhost_user_endpoint.h"
#include "interfaces/vhost_user/vhost_user_memory.h"
#include "interfaces/vhost_user/vhost_user_messages.h"

struct dirty_log;
struct vhost_user_inflight;
struct vhost_user_queue;

/* A connection that has not introduced itself (SET_OWNER, SET_FEATURES) by then is closed. */
#define VHOST_USER_HANDSHAKE_NS (10 * NS_PER_S)

struct vhost_user_connection {
	struct vhost_user_endpoint *endpoint;
	struct vhost_user_connection *next, *previous;
	int socket;
	struct loop_watch watch;
	struct loop_timer timer;		/* of the handshake, the message that comes in, the claim */
	struct loop_task task;			/* more messages are waiting, or a job is to begin */
	struct loop_timer rest;			/* its guest has used up its part of the control thread */

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
	bool waits_for_claim;			/* for the end of the connection whose rings run */

	bool introduced;			/* did the handshake */
	bool closing;
	bool front_end_gone;			/* it was the one that ended the connection */
	/* A ring broke or recovered: tell the others to stop or go on */
	bool enable_news;
	/* Its configuration changed while no ring ran: front ends drop what they are told then */
	bool config_missed;
	bool moves;				/* its rings are to go to other workers */
	bool suspended;				/* its rings are stopped for a takeover */
	bool lost;				/* taken over, but its files are not what they were: closes */

	uint64_t features, protocol_features;
	bool features_set;
	uint8_t status;
	struct vhost_user_memory memory;
	struct vhost_user_inflight *inflight;	/* NULL: none */
	struct dirty_log *log, *log_old;
	int log_fd;
	struct vhost_user_log log_description;
	struct vhost_user_backend backend;

	unsigned queue_count;
	struct vhost_user_queue *queues;
};

/* Takes `socket`. Returns NULL when out of memory (the socket stays the caller's). Reads nothing yet. */
struct vhost_user_connection *vhost_user_connection_create(struct vhost_user_endpoint *endpoint, int socket);
/* Watches the socket; returns 0 or -ENOMEM. */
int vhost_user_connection_begin(struct vhost_user_connection *connection);
/* Lets the front end go now and frees the connection when its rings have drained. Idempotent. */
void vhost_user_connection_close(struct vhost_user_connection *connection);
/* Does what is due: tear-down, suspension, news of a broken ring, the next messages. May free it. */
void vhost_user_connection_advance(struct vhost_user_connection *connection);
/* The same, without charging the guest for it: for vhost_user_connection_advance() only. */
void vhost_user_connection_do_next(struct vhost_user_connection *connection);
/* Advance at the end of this turn: for callers that still need the connection. */
void vhost_user_connection_defer(struct vhost_user_connection *connection);
/* Has the front end gone although we have not read that yet? */
bool vhost_user_connection_hung_up(const struct vhost_user_connection *connection);

/* Ends the connection of a front end that made us wait; the next one is let in after a while. */
void vhost_user_connection_punish(struct vhost_user_connection *connection, const char *reason);

/* Waits for the rings of another front end, and no longer than that one may take to be seen leaving. */
void vhost_user_connection_wait(struct vhost_user_connection *connection);
void vhost_user_connection_end_wait(struct vhost_user_connection *connection);

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
/* The same, and the message is refused. */
static inline enum vhost_user_outcome vhost_user_refuse(struct vhost_user_connection *connection,
							const char *reason, uint64_t value)
{
	vhost_user_complain(connection, reason, value);
	return VHOST_USER_REFUSED;
}

static inline struct loop *vhost_user_connection_control(const struct vhost_user_connection *connection)
{
	return vhost_user_endpoint_control(connection->endpoint);
}

#endif
