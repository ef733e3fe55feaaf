/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's side; porter_process.c is the other. */
#include "interfaces/door/porter.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/container.h"
#include "core/fd.h"
#include "core/log.h"
#include "core/loop.h"
#include "interfaces/door/porter_message.h"

struct porter {
	int socket; /* -1: it has ended */
	const struct porter_service *service;
	struct loop *control;
	struct loop_watch watch;
	struct porter_place *places;
	uint32_t last_number;
	unsigned doormen;
};

/* ---- life ---- */

int porter_fork(const struct porter_setup *setup)
{
	int ends[2], code = 0;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		code = porter_prepare(setup, ends[1]);
		if (!code && setup->confine)
			code = setup->confine(setup->context);
		if (fd_send(ends[1], &code, sizeof(code), NULL, 0) != sizeof(code) || code)
			_exit(1);
		porter_run();
	}
	code = pid < 0 ? -errno : 0;
	fd_close(&ends[1]);
	/* Its first word is how confine() went. */
	if (!code) {
		struct pollfd answer = { .fd = ends[0], .events = POLLIN };

		while (poll(&answer, 1, -1) < 0 && errno == EINTR)
			;
		if (recv(ends[0], &code, sizeof(code), 0) != sizeof(code))
			code = -ECHILD;
	}
	if (code)
		fd_close(&ends[0]);
	return code ? code : ends[0];
}

static void doorman_gone(struct porter *porter, uint32_t number)
{
	porter->doormen--;
	for (struct porter_place *place = porter->places; place; place = place->next) {
		if (place->number == number)
			place->doormen--;
	}
}

static void on_ready(struct loop_watch *watch, unsigned events)
{
	struct porter *porter = container_of(watch, struct porter, watch);
	struct porter_message message;
	ssize_t received;

	do {
		received = recv(porter->socket, &message, sizeof(message), 0);
		if (received == sizeof(message) && message.kind == PORTER_GONE)
			doorman_gone(porter, message.place);
	} while (received > 0 || (received < 0 && errno == EINTR));
	if (received < 0 && errno == EAGAIN)
		return;
	log_error(NULL, "the process that lets guests in has ended: no guest can connect until this daemon "
			"is restarted; those that are connected go on");
	loop_watch_stop(porter->control, &porter->watch);
	fd_close(&porter->socket);
}

int porter_open(int socket, const struct porter_service *service, struct loop *control,
		struct porter **ret_porter)
{
	struct porter *porter = calloc(1, sizeof(*porter));

	if (!porter)
		return -ENOMEM;
	porter->socket = socket;
	porter->service = service;
	porter->control = control;
	porter->watch.ready = on_ready;
	if (loop_watch_start(control, &porter->watch, socket, POLLIN)) {
		free(porter);
		return -ENOMEM;
	}
	*ret_porter = porter;
	return 0;
}

void porter_close(struct porter *porter)
{
	if (!porter)
		return;
	while (porter->places)
		porter_place_close(porter->places);
	loop_watch_stop(porter->control, &porter->watch);
	fd_close(&porter->socket);
	free(porter);
}

/* ---- places ---- */

/* 0 or -errno; -EAGAIN: the porter is far behind. */
static int tell(struct porter_place *place, enum porter_message_kind kind, const int *fds, size_t fd_count)
{
	const struct porter_message message = { .kind = kind,
						.place = place->number,
						.manner = place->manner };
	ssize_t sent;

	if (place->porter->socket < 0)
		return -EPIPE;
	sent = fd_send(place->porter->socket, &message, sizeof(message), fds, fd_count);
	return sent < 0 ? (int)sent : 0;
}

void porter_place_open(struct porter_place *place, struct porter *porter)
{
	*place = (struct porter_place){ .porter = porter };
	if (!porter)
		return;
	place->number = ++porter->last_number;
	place->next = porter->places;
	if (place->next)
		place->next->link = &place->next;
	place->link = &porter->places;
	porter->places = place;
}

void porter_place_close(struct porter_place *place)
{
	if (!place->porter)
		return;
	tell(place, PORTER_FORGET, NULL, 0);
	*place->link = place->next;
	if (place->next)
		place->next->link = place->link;
	place->porter = NULL;
}

void porter_keep(struct porter_place *place, int listen_fd)
{
	if (place->porter)
		tell(place, PORTER_KEEP, &listen_fd, 1);
}

bool porter_has_room(const struct porter_place *place)
{
	const struct porter *porter = place->porter;
	struct pollfd poll_fd;

	if (!porter)
		return true;
	if (porter->socket < 0 || place->doormen >= PORTER_PLACE_MAX || porter->doormen >= PORTER_DOORMEN_MAX)
		return false;
	poll_fd = (struct pollfd){ .fd = porter->socket, .events = POLLOUT };
	return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & POLLOUT);
}

/* Gives the porter a peer, which stays the caller's. Returns our end of the new process's connection. */
static int give(struct porter_place *place, int peer)
{
	int ends[2], fds[2], type = place->porter->service->socket_type | SOCK_CLOEXEC | SOCK_NONBLOCK, code;

	if (socketpair(AF_UNIX, type, 0, ends) < 0)
		return -errno;
	fds[0] = peer;
	fds[1] = ends[1];
	code = tell(place, PORTER_ADMIT, fds, 2);
	/* The process has it; it closes it when we have closed our end. */
	fd_close(&ends[1]);
	if (code) {
		fd_close(&ends[0]);
		return code;
	}
	place->doormen++;
	place->porter->doormen++;
	return ends[0];
}

int porter_admit(struct porter_place *place, int peer)
{
	int fd;

	if (!place->porter)
		return peer;
	fd = give(place, peer);
	fd_close(&peer);
	return fd;
}

int porter_share(struct porter_place *place, int peer, int *ret_door)
{
	int door;

	assert(place->manner == PORTER_FETCHES);
	if (!place->porter) {
		*ret_door = -1;
		return 0;
	}
	door = give(place, peer);
	if (door < 0)
		return door;
	*ret_door = door;
	return 0;
}
