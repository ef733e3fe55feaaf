/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/api/api_clients.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/container.h"

struct api_process {
	struct api_process *next;
	uid_t user;
	pid_t id;
	unsigned listed;      /* connections that count against its limit */
	unsigned connections; /* all that point here */
	unsigned turn;	      /* in which one of them began last */
};

struct api_connection {
	struct api_connection *next, *previous;
	struct api_process *process;
	int fd; /* ours until the connection has begun, then the server's */
	uint64_t deadline_ns;
	bool listed; /* has a deadline: a stream has none while it lasts */
	bool begun;
	bool ended; /* the server has not closed it yet */
};

/* ---- processes ---- */

static struct api_process *find_process(struct api_clients *clients, const struct ucred *peer)
{
	struct api_process *one = clients->processes;

	while (one && (one->user != peer->uid || one->id != peer->pid))
		one = one->next;
	if (one)
		return one;
	one = calloc(1, sizeof(*one));
	if (!one)
		return NULL;
	one->user = peer->uid;
	one->id = peer->pid;
	one->turn = clients->turn;
	one->next = clients->processes;
	clients->processes = one;
	return one;
}

static void forget_process(struct api_clients *clients, struct api_process *process)
{
	struct api_process **link = &clients->processes;

	while (*link != process)
		link = &(*link)->next;
	*link = process->next;
	free(process);
}

/* ---- the list: every step has the same time, so its order is that of the deadlines ---- */

static void unlist(struct api_clients *clients, struct api_connection *connection)
{
	if (!connection->listed)
		return;
	*(connection->previous ? &connection->previous->next : &clients->first) = connection->next;
	*(connection->next ? &connection->next->previous : &clients->last) = connection->previous;
	connection->next = connection->previous = NULL;
	connection->listed = false;
	assert(connection->process->listed > 0);
	connection->process->listed--;
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
	connection->process->listed++;
	arm(clients);
}

static void forget(struct api_clients *clients, struct api_connection *connection)
{
	struct api_process *process = connection->process;

	unlist(clients, connection);
	if (!connection->ended) {
		assert(clients->count > 0);
		clients->count--;
	}
	free(connection);
	assert(process->connections > 0);
	if (--process->connections == 0)
		forget_process(clients, process);
}

/* Once it has begun, the server notices and closes it: the descriptor is its own. */
static void end(struct api_clients *clients, struct api_connection *connection)
{
	if (!connection->begun) {
		close(connection->fd);
		forget(clients, connection);
		return;
	}
	unlist(clients, connection);
	connection->ended = true;
	assert(clients->count > 0);
	clients->count--;
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

static unsigned of_user(const struct api_clients *clients, uid_t user)
{
	unsigned count = 0;

	for (const struct api_process *one = clients->processes; one; one = one->next)
		count += one->user == user ? one->listed : 0;
	return count;
}

static struct api_connection *oldest_of_process(const struct api_clients *clients,
						const struct api_process *process)
{
	struct api_connection *one = clients->first;

	while (one && one->process != process)
		one = one->next;
	return one;
}

/* Of the user with the most connections, of its process with the most: the one that has waited longest. */
static struct api_connection *choose_victim(const struct api_clients *clients)
{
	struct api_connection *victim = NULL;
	unsigned most_user = 0, most_process = 0;

	for (struct api_connection *one = clients->first; one; one = one->next) {
		unsigned process = one->process->listed, user = of_user(clients, one->process->user);

		if (user > most_user || (user == most_user && process > most_process)) {
			victim = one;
			most_user = user;
			most_process = process;
		}
	}
	return victim;
}

static void make_room(struct api_clients *clients, const struct api_process *process)
{
	struct api_connection *victim = NULL;

	if (process->listed > API_CONNECTIONS_PROCESS)
		victim = oldest_of_process(clients, process);
	else if (clients->count > API_CONNECTIONS_MAX)
		victim = choose_victim(clients);
	if (!victim)
		return;
	end(clients, victim);
	arm(clients);
}

/* ---- arriving and beginning ---- */

void api_clients_arrive(struct api_clients *clients, int fd, const struct ucred *peer)
{
	struct api_connection *new = calloc(1, sizeof(*new));
	struct api_process *process = new ? find_process(clients, peer) : NULL;

	if (!process) {
		free(new);
		close(fd);
		return;
	}
	new->fd = fd;
	new->process = process;
	process->connections++;
	clients->count++;
	list_last(clients, new);
	make_room(clients, process);
}

bool api_clients_admit(struct api_clients *clients, bool (*enter)(void *context, int fd), void *context)
{
	struct api_connection *next;
	bool others = false;

	clients->turn++;
	for (struct api_connection *one = clients->first; one; one = next) {
		next = one->next;
		if (one->begun)
			continue;
		if (one->process->turn == clients->turn) {
			others = true;
			continue;
		}
		one->process->turn = clients->turn;
		one->begun = true;
		clients->entering = one;
		if (!enter(context, one->fd))
			forget(clients, one);
		clients->entering = NULL;
	}
	arm(clients);
	return others;
}

/* ---- for the server ---- */

void api_clients_notify(void *context, struct MHD_Connection *connection, void **socket_context,
			enum MHD_ConnectionNotificationCode code)
{
	struct api_clients *clients = context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		*socket_context = clients->entering;
	} else if (*socket_context) {
		forget(clients, *socket_context);
		arm(clients);
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
	for (struct api_connection *one = clients->first, *next; one; one = next) {
		next = one->next;
		end(clients, one);
	}
	assert(clients->count == 0 && !clients->processes);
	if (clients->loop)
		loop_timer_stop(clients->loop, &clients->timer);
}
