/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How peers reach an endpoint, whatever they speak: a socket that listens (made here or inherited), one
 * connected socket, or a connection that we make and make again when it has ended.
 *
 * Peers that break the protocol again and again are made to wait: after a storm of violations the socket
 * accepts nothing for a while (0.1 s, doubling to 10 s). Control thread only.
 */
#ifndef VIADUCT_INTERFACES_ENDPOINT_SOCKET_H
#define VIADUCT_INTERFACES_ENDPOINT_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/log.h"
#include "core/loop.h"
#include "interfaces/door/porter.h"
#include "interfaces/endpoint.h"
#include "interfaces/endpoint_socket_file.h"

/* What the endpoint does; `context` is endpoint_socket_init()'s. */
struct endpoint_socket_ops {
	/* May this peer be let in? Asked before accepted(), with its own socket. NULL: each may. */
	bool (*knocks)(void *context, int peer);
	/*
	 * A peer connected. Returns true: the descriptor is the endpoint's; it is non-blocking. Returns
	 * false: there is no room for the peer, and the socket closes the descriptor.
	 */
	bool (*accepted)(void *context, int fd);
	/*
	 * Instead of accepted(), where doormen fetch (porter.h): `peer` is the peer's own socket, and `door`
	 * leads to its doorman (-1: there is none). The same of both.
	 */
	bool (*accepted_shared)(void *context, int peer, int door);
	/* How many peers there are, with those that are leaving. A connection of ours is made when 0. */
	unsigned (*peer_count)(const void *context);
};

struct endpoint_socket {
	const struct endpoint_options *options;
	const struct endpoint_socket_ops *ops;
	void *context;
	struct log_subject *subject;

	struct porter_place place;		/* where peers are let in */
	int listen_fd;				/* -1: none */
	struct loop_watch watch;
	struct loop_timer retry_timer;		/* accept again, connect again */
	struct loop_task accept_task;
	struct endpoint_socket_file file;
	bool watching;
	bool backing_off;			/* until the retry timer or a resumption */
	bool suspended;				/* neither accepts nor connects */
	bool handed_over;			/* the socket file is another process's */
	uint64_t backoff_ns;
	uint64_t rest_ns, rested_ns;		/* how long the next rest is; when the last one began */
	uint64_t storm_since_ns;		/* of the window in which violations are counted */
	unsigned storm_count;

	uint64_t connects, refused_connects;
};

/* `options` and `subject` outlive the socket. Opens nothing yet. */
void endpoint_socket_init(struct endpoint_socket *socket, const struct endpoint_options *options,
			  const struct endpoint_socket_ops *ops, void *context, struct log_subject *subject);

/*
 * Opens what options->socket says; accepted() may be called before it returns. Returns 0 or -errno: -EINVAL
 * (options->fd does not listen), -EADDRINUSE (endpoint_socket_file.h), others of the system; options->fd is
 * taken on success.
 */
int endpoint_socket_open(struct endpoint_socket *socket);

/* Closes, and removes the socket file if it is ours; nothing is called any more. Idempotent. */
void endpoint_socket_finish(struct endpoint_socket *socket);

/* A peer has gone, and peer_count() no longer counts it: client mode connects again after a while. */
void endpoint_socket_peer_gone(struct endpoint_socket *socket);
/* A peer has proven to speak the protocol: client mode's next wait is a short one. */
void endpoint_socket_introduced(struct endpoint_socket *socket);
/* A peer broke the protocol. */
void endpoint_socket_violation(struct endpoint_socket *socket);
/* A peer did what none may do again at once: the back-off begins. */
void endpoint_socket_rest(struct endpoint_socket *socket);

/*
 * Takeover. Suspended, it neither accepts nor connects. save: afterwards the socket file is the successor's
 * until a resumption. resume returns 0 or -ENOMEM (it does not listen any more).
 */
void endpoint_socket_suspend(struct endpoint_socket *socket);
int endpoint_socket_resume(struct endpoint_socket *socket);
void endpoint_socket_save(struct endpoint_socket *socket, struct handover *handover);
/* In the successor, instead of open: suspended and still the predecessor's until the resumption. */
void endpoint_socket_restore(struct endpoint_socket *socket, struct handover *handover);

#endif
