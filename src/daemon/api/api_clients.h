/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The API's connections: how many there may be, and how long each may take. A client that is slow, says
 * nothing or takes no answer waits alone: a process with too many connections loses the one that has waited
 * longest, and so does, when there are too many in all, the user and the process with the most of them. There
 * is always room for the next client.
 * Control thread.
 */
#ifndef VIADUCT_DAEMON_API_API_CLIENTS_H
#define VIADUCT_DAEMON_API_API_CLIENTS_H

#include <stdint.h>

#include <microhttpd.h>

#include "core/loop.h"

/* Clients of the socket are trusted to manage devices, but not to leave us descriptors for others. */
#define API_CONNECTIONS_MAX 64u
/* Of one process: what it asks for on all of them at once is what another client waits for. */
#define API_CONNECTIONS_PROCESS 16u
/* The server's own limit lies above: connections that were ended are still there until it has seen it. */
#define API_CONNECTIONS_RESERVE 32u
/* For a whole request, however slowly it comes; and for its answer to be taken. */
#define API_TIMEOUT_S 30u

struct api_connection;

struct api_clients {
	struct loop *loop;
	struct loop_timer timer;
	struct api_connection *first, *last; /* by their deadlines, streams not among them */
	unsigned count;			     /* all of them */
};

void api_clients_init(struct api_clients *clients, struct loop *loop);
/* After the server has ended. */
void api_clients_finish(struct api_clients *clients);

/* An MHD_NotifyConnectionCallback, with the clients as its context. */
void api_clients_notify(void *context, struct MHD_Connection *connection, void **socket_context,
			enum MHD_ConnectionNotificationCode code);

/* The connection's request is there, or its answer was taken: it has its time anew. */
void api_clients_next_step(struct api_clients *clients, struct MHD_Connection *connection);
/* Its answer is a stream, which ends when its client wants it to. */
void api_clients_stream(struct api_clients *clients, struct MHD_Connection *connection);

#endif
