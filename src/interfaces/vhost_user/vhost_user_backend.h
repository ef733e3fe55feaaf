/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The back-end channel of a connection, on which we speak first (SET_BACKEND_REQ_FD).
 *
 * With REPLY_ACK every message asks for an answer, a number that is 0 for success. The front end answers in
 * the order of the messages. It is trusted with none of this: an answer to nothing, to another message or of
 * another size, descriptors, or silence until the deadline end the channel, and only the channel. A front end
 * may give us a new one at any time.
 */
#ifndef VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_BACKEND_H
#define VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/loop.h"
#include "interfaces/vhost_user/vhost_user_messages.h"

struct handover;
struct vhost_user_connection;

/* Messages that wait for their answer; further ones wait to be sent. */
#define VHOST_USER_ASKED_MAX  8
/* The front end's main loop may be busy, or stopped in a debugger; it holds up nothing of ours. */
#define VHOST_USER_ANSWER_NS  (60 * NS_PER_S)
/* A message that the front end leaves no room for is dropped with its channel after so long. */
#define VHOST_USER_CHANNEL_NS (10 * NS_PER_S)

/* A message that was sent and not answered. */
struct vhost_user_asked {
	uint32_t request;
	uint64_t since_ns;
};

/* Embedded in the connection. */
struct vhost_user_backend {
	int fd;					/* -1: none */
	struct loop_watch watch;
	struct loop_timer timer;		/* tries again to send, or gives up */

	bool config_news;			/* a config-change message is to be sent */
	uint64_t full_since_ns;			/* the socket has had no room for it since; 0: it has */

	struct vhost_user_asked asked[VHOST_USER_ASKED_MAX];	/* the oldest first */
	unsigned asked_count;
	uint8_t answer[VHOST_USER_ANSWER_BYTES];	/* that is coming in */
	size_t received;
};

void vhost_user_backend_init(struct vhost_user_backend *backend);
/* Closes the channel; what was asked is answered with -ECANCELED. Idempotent. */
void vhost_user_backend_finish(struct vhost_user_connection *connection);

/* The device's configuration changed. Changes coalesce while one waits to be sent. */
void vhost_user_backend_notify(struct vhost_user_connection *connection);

/*
 * Takeover. Suspended, nothing is sent or read; what is waiting is sent after the resumption, here or in the
 * successor. What was asked goes along, and its deadline begins anew. `with_asked`: the stream has that; it
 * may be left out when nothing is asked.
 */
void vhost_user_backend_suspend(struct vhost_user_connection *connection);
void vhost_user_backend_resume(struct vhost_user_connection *connection);
void vhost_user_backend_save(const struct vhost_user_connection *connection, struct handover *handover,
			     bool with_asked);
void vhost_user_backend_restore(struct vhost_user_connection *connection, struct handover *handover,
				bool with_asked);

#endif
