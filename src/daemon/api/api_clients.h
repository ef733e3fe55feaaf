/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The API's connections: how many there may be, in which order they begin, and how long each may take. A
 * client that is slow, says nothing or takes no answer waits alone: a process with too many connections loses
 * the one that has waited longest, and so does, when there are too many in all, the user and the process with
 * the most of them. There is always room for the next client.
 *
 * A connection arrives first, which costs next to nothing, and begins later: in each turn of the control loop
 * one of each process. So a process that connects without a pause waits for its own connections, and loses
 * most of them before they have cost anything; what another client waits for is one of its requests.
 * Control thread.
 */
#ifndef VIADUCT_DAEMON_API_API_CLIENTS_H
#define VIADUCT_DAEMON_API_API_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <microhttpd.h>

#include "core/loop.h"

/* Clients of the socket are trusted to manage devices, but not to leave us descriptors for others. */
#define API_CONNECTIONS_MAX 64u
/* Of one process: what it asks for on all of them at once is what another client waits for. */
#define API_CONNECTIONS_PROCESS 16u
/* The server's own limit lies above: connections that were ended are still there until it has seen it. */
#define API_CONNECTIONS_RESERVE API_CONNECTIONS_MAX
/* For a whole request, however slowly it comes; and for its answer to be taken. */
#define API_TIMEOUT_S 30u

struct api_connection;
struct api_process;

struct api_clients {
	struct loop *loop;
	struct loop_timer timer;
	struct api_connection *first, *last; /* by their deadlines, streams not among them */
	struct api_process *processes;	     /* that have connections */
	struct api_connection *entering;     /* that the server is being given */
	unsigned count;			     /* all of them but those that were ended */
	unsigned turn;
};

void api_clients_init(struct api_clients *clients, struct loop *loop);
/* After the server has ended. Closes connections that have not begun. */
void api_clients_finish(struct api_clients *clients);

/* Takes an accepted socket, whose peer has these credentials. */
void api_clients_arrive(struct api_clients *clients, int fd, const struct ucred *peer);

/*
 * One connection of each process begins: enter() takes its socket, makes a server call api_clients_notify(),
 * and returns false when that did not come to pass. Returns whether others wait for the next turn.
 */
bool api_clients_admit(struct api_clients *clients, bool (*enter)(void *context, int fd), void *context);

/* An MHD_NotifyConnectionCallback, with the clients as its context. */
void api_clients_notify(void *context, struct MHD_Connection *connection, void **socket_context,
			enum MHD_ConnectionNotificationCode code);

/* The connection's request is there, or its answer was taken: it has its time anew. */
void api_clients_next_step(struct api_clients *clients, struct MHD_Connection *connection);
/* Its answer is a stream, which ends when its client wants it to. */
void api_clients_stream(struct api_clients *clients, struct MHD_Connection *connection);

#endif
