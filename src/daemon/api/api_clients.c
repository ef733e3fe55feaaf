/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/api/api_clients.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "core/container.h"

struct api_connection {
	struct api_connection *next, *previous;
	int fd; /* the server's */
	uid_t user;
	pid_t process;
	uint64_t deadline_ns;
	bool listed; /* has a deadline: a stream has none while it lasts */
	bool ended;  /* the server has not closed it yet */
};

/* ---- the list: every step has the same time, so its order is that of the deadlines ---- */

static void unlist(struct api_clients *clients, struct api_connection *connection)
{
	if (!connection->listed)
		return;
	*(connection->previous ? &connection->previous->next : &clients->first) = connection->next;
	*(connection->next ? &connection->next->previous : &clients->last) = connection->previous;
	connection->next = connection->previous = NULL;
	connection->listed = false;
}

static void arm(struct api_clients *clients)
{
	if (clients->first)
		loop_timer_start(clients->loop, &clients->timer, clients->first->deadline_ns);
	else
		loop_timer_stop(clients->loop, &clients->timer);
}

static void list_last(struct api_clients *clients, struct api_connection *connection)
{
	connection->deadline_ns = clock_now_ns() + API_TIMEOUT_S * NS_PER_S;
	connection->previous = clients->last;
	*(clients->last ? &clients->last->next : &clients->first) = connection;
	clients->last = connection;
	connection->listed = true;
	arm(clients);
}

/* The server notices and closes it: the descriptor is its own. */
static void end(struct api_clients *clients, struct api_connection *connection)
{
	unlist(clients, connection);
	connection->ended = true;
	shutdown(connection->fd, SHUT_RDWR);
}

static void on_deadline(struct loop_timer *timer)
{
	struct api_clients *clients = container_of(timer, struct api_clients, timer);
	uint64_t now_ns = clock_now_ns();

	while (clients->first && clients->first->deadline_ns <= now_ns)
		end(clients, clients->first);
	arm(clients);
}

/* ---- room for the next ---- */

static unsigned of_user(const struct api_clients *clients, const struct api_connection *like)
{
	unsigned count = 0;

	for (const struct api_connection *one = clients->first; one; one = one->next)
		count += one->user == like->user;
	return count;
}

static unsigned of_process(const struct api_clients *clients, const struct api_connection *like)
{
	unsigned count = 0;

	for (const struct api_connection *one = clients->first; one; one = one->next)
		count += one->user == like->user && one->process == like->process;
	return count;
}

/* Of the user with the most connections, of its process with the most: the one that has waited longest. */
static struct api_connection *choose_victim(const struct api_clients *clients)
{
	struct api_connection *victim = NULL;
	unsigned most_user = 0, most_process = 0;

	for (struct api_connection *one = clients->first; one; one = one->next) {
		unsigned user = of_user(clients, one), process = of_process(clients, one);

		if (user > most_user || (user == most_user && process > most_process)) {
			victim = one;
			most_user = user;
			most_process = process;
		}
	}
	return victim;
}

static struct api_connection *oldest_of_process(const struct api_clients *clients,
						const struct api_connection *like)
{
	struct api_connection *one = clients->first;

	while (one && (one->user != like->user || one->process != like->process))
		one = one->next;
	return one;
}

/* Of all, also one that was ended counts until the server has closed it: that takes it one round. */
static void make_room(struct api_clients *clients, const struct api_connection *new)
{
	struct api_connection *victim = NULL;

	if (of_process(clients, new) > API_CONNECTIONS_PROCESS)
		victim = oldest_of_process(clients, new);
	else if (clients->count > API_CONNECTIONS_MAX)
		victim = choose_victim(clients);
	if (victim)
		end(clients, victim);
}

/* ---- for the server ---- */

static void begin(struct api_clients *clients, struct MHD_Connection *connection, void **socket_context)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct api_connection *new = info ? calloc(1, sizeof(*new)) : NULL;
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t length = sizeof(peer);

	if (!new)
		return; /* the server's own time-out and limit still hold */
	getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
	new->fd = info->connect_fd;
	new->user = peer.uid;
	new->process = peer.pid;
	clients->count++;
	list_last(clients, new);
	*socket_context = new;
	make_room(clients, new);
}

void api_clients_notify(void *context, struct MHD_Connection *connection, void **socket_context,
			enum MHD_ConnectionNotificationCode code)
{
	struct api_clients *clients = context;
	struct api_connection *old = *socket_context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		begin(clients, connection, socket_context);
	} else if (old) {
		assert(clients->count > 0);
		clients->count--;
		unlist(clients, old);
		arm(clients);
		free(old);
		*socket_context = NULL;
	}
}

static struct api_connection *known(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

void api_clients_next_step(struct api_clients *clients, struct MHD_Connection *connection)
{
	struct api_connection *one = known(connection);

	if (!one || one->ended)
		return;
	unlist(clients, one);
	list_last(clients, one);
}

void api_clients_stream(struct api_clients *clients, struct MHD_Connection *connection)
{
	struct api_connection *one = known(connection);

	if (one)
		unlist(clients, one);
	arm(clients);
}

void api_clients_init(struct api_clients *clients, struct loop *loop)
{
	*clients = (struct api_clients){ .loop = loop, .timer.expired = on_deadline };
}

void api_clients_finish(struct api_clients *clients)
{
	assert(clients->count == 0 && !clients->first);
	if (clients->loop)
		loop_timer_stop(clients->loop, &clients->timer);
}
