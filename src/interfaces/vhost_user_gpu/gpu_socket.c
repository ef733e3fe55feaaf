/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vhost_user_gpu/gpu_socket.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/container.h"
#include "core/reaper.h"
#include "interfaces/door/doorman.h"

/* Sent before others have their turn. */
#define TURN_BYTES ((size_t)1 << 20)

/*
 * QEMU ends a read after eleven pieces, takes what follows for the next message, and shows nothing new from
 * then on (chardev/char-fe.c). A doorman carries no more than its chunk at a time; and a message lies across
 * others' chunks at both its ends, is cut where the socket is full, and by a takeover.
 */
#define QEMU_PIECES_MAX	   11u
#define PIECES_OF_CUTS	   5u
#define UPDATE_PIXEL_BYTES ((size_t)64 << 10)
static_assert(UPDATE_PIXEL_BYTES / DOORMAN_STREAM_CHUNK + PIECES_OF_CUTS <= QEMU_PIECES_MAX,
	      "QEMU reads all of it");

/* Of the vhost-user-gpu protocol; in the byte order of the host, like all that is sent. */
enum {
	VHOST_USER_GPU_SCANOUT = 7,
	VHOST_USER_GPU_UPDATE = 8,
};

struct gpu_header {
	uint32_t request, flags, bytes; /* of what follows */
};

struct gpu_scanout_message {
	struct gpu_header header;
	uint32_t scanout, width, height; /* 0, 0: it is dark */
};

/* Behind it lie the pixels, line by line without a gap. */
struct gpu_update_message {
	struct gpu_header header;
	uint32_t scanout, x, y, width, height;
};

static_assert(sizeof(struct gpu_update_message) == 32, "no holes");

/* ---- messages ---- */

static void put_scanout(struct gpu_socket *socket, unsigned scanout, const struct seat_pixels *pixels)
{
	const struct gpu_scanout_message message = {
		.header = { VHOST_USER_GPU_SCANOUT, 0, sizeof(message) - sizeof(message.header) },
		.scanout = scanout,
		.width = pixels->width,
		.height = pixels->height,
	};

	memcpy(socket->message, &message, sizeof(message));
	socket->bytes = sizeof(message);
}

static void put_update(struct gpu_socket *socket, unsigned scanout, const struct seat_pixels *pixels,
		       const struct seat_rect *rect)
{
	const size_t line_bytes = (size_t)rect->width * 4, bytes = line_bytes * rect->height;
	const struct gpu_update_message message = {
		.header = { VHOST_USER_GPU_UPDATE, 0,
			    (uint32_t)(sizeof(message) - sizeof(message.header) + bytes) },
		.scanout = scanout,
		.x = (uint32_t)rect->x,
		.y = (uint32_t)rect->y,
		.width = rect->width,
		.height = rect->height,
	};
	const uint8_t *from =
		(const uint8_t *)pixels->pixels + (size_t)rect->y * pixels->stride + (size_t)rect->x * 4;
	uint8_t *to = socket->message + sizeof(message);

	assert(sizeof(message) + bytes <= GPU_SOCKET_MESSAGE_MAX);
	memcpy(socket->message, &message, sizeof(message));
	for (unsigned y = 0; y < rect->height; y++)
		memcpy(to + y * line_bytes, from + y * pixels->stride, line_bytes);
	socket->bytes = sizeof(message) + bytes;
}

/* As many lines of the rectangle as go into one message; they are taken out of it. */
static struct seat_rect take_lines(struct seat_rect *rect)
{
	unsigned lines = (unsigned)(UPDATE_PIXEL_BYTES / ((size_t)rect->width * 4));
	struct seat_rect taken = *rect;

	assert(lines > 0);
	taken.height = lines < rect->height ? lines : rect->height;
	rect->y += (int)taken.height;
	rect->height -= taken.height;
	return taken;
}

static bool is_empty(const struct seat_rect *rect)
{
	return rect->width == 0 || rect->height == 0;
}

/* Makes the next message of a scanout. False: there is nothing to say of it. */
static bool make_message_of(struct gpu_socket *socket, unsigned number)
{
	struct gpu_socket_scanout *scanout = &socket->scanout[number];
	struct seat_pixels pixels = socket->pixels(socket->context, number);
	struct seat_rect lines;

	if (scanout->announce) {
		put_scanout(socket, number, &pixels);
		scanout->announce = false;
		scanout->sending = (struct seat_rect){ 0, 0, 0, 0 };
		scanout->waiting = (struct seat_rect){ 0, 0, pixels.width, pixels.height };
		return true;
	}
	if (is_empty(&scanout->sending)) {
		scanout->sending = scanout->waiting;
		scanout->waiting = (struct seat_rect){ 0, 0, 0, 0 };
	}
	if (is_empty(&scanout->sending))
		return false;
	lines = take_lines(&scanout->sending);
	put_update(socket, number, &pixels, &lines);
	return true;
}

/* Scanouts take turns, a message each. False: there is nothing to say. */
static bool make_message(struct gpu_socket *socket)
{
	socket->sent = socket->bytes = 0;
	for (unsigned i = 0; i < socket->scanouts; i++) {
		unsigned number = (socket->next + i) % socket->scanouts;

		if (!make_message_of(socket, number))
			continue;
		socket->next = (number + 1) % socket->scanouts;
		return true;
	}
	return false;
}

/* ---- sending ---- */

/* Sends until there is nothing to say or no room for it. */
static void advance(struct gpu_socket *socket)
{
	size_t turn = 0;

	while (socket->fd >= 0 && (socket->sent < socket->bytes || make_message(socket))) {
		ssize_t sent = send(socket->fd, socket->message + socket->sent, socket->bytes - socket->sent,
				    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (sent < 0) {
			gpu_socket_stop(socket);
			return;
		}
		socket->sent += (size_t)sent;
		turn += (size_t)sent;
		if (turn >= TURN_BYTES) {
			loop_defer_for(socket->loop, &socket->more, socket->account);
			return;
		}
	}
}

static void on_ready(struct loop_watch *watch, unsigned events)
{
	struct gpu_socket *socket = container_of(watch, struct gpu_socket, watch);

	if (events & (POLLERR | POLLHUP))
		gpu_socket_stop(socket);
	else
		advance(socket);
}

static void on_more(struct loop_task *task)
{
	advance(container_of(task, struct gpu_socket, more));
}

static void soon(struct gpu_socket *socket)
{
	if (socket->fd >= 0 && !socket->suspended)
		loop_defer_for(socket->loop, &socket->more, socket->account);
}

void gpu_socket_picture(struct gpu_socket *socket, unsigned scanout)
{
	socket->scanout[scanout].announce = true;
	soon(socket);
}

/* Around both. */
static struct seat_rect around(const struct seat_rect *a, const struct seat_rect *b)
{
	int left = a->x < b->x ? a->x : b->x, top = a->y < b->y ? a->y : b->y;
	int right_a = a->x + (int)a->width, right_b = b->x + (int)b->width, bottom_a = a->y + (int)a->height,
	    bottom_b = b->y + (int)b->height;

	if (is_empty(a))
		return *b;
	return (struct seat_rect){ left, top, (unsigned)((right_a > right_b ? right_a : right_b) - left),
				   (unsigned)((bottom_a > bottom_b ? bottom_a : bottom_b) - top) };
}

void gpu_socket_damage(struct gpu_socket *socket, unsigned scanout, const struct seat_rect *rect)
{
	struct seat_rect *waiting = &socket->scanout[scanout].waiting;

	if (socket->scanout[scanout].announce)
		return;
	*waiting = around(waiting, rect);
	soon(socket);
}

/* ---- life ---- */

static void announce_all(struct gpu_socket *socket)
{
	for (unsigned i = 0; i < socket->scanouts; i++)
		socket->scanout[i].announce = true;
}

void gpu_socket_init(struct gpu_socket *socket)
{
	assert(socket->scanouts > 0 && socket->scanouts <= GPU_SOCKET_SCANOUTS_MAX);
	socket->fd = -1;
	socket->more = (struct loop_task){ .run = on_more };
	socket->message = NULL;
	socket->sent = socket->bytes = 0;
	socket->suspended = false;
	socket->next = 0;
	memset(socket->scanout, 0, sizeof(socket->scanout));
	announce_all(socket);
}

/* A suspended one waits for nothing: what it sent, a successor would send, too. Returns 0 or -ENOMEM. */
static int watch_front_end(struct gpu_socket *socket, int fd)
{
	return socket->suspended ? 0 : loop_watch_start(socket->loop, &socket->watch, fd, POLLOUT);
}

int gpu_socket_start(struct gpu_socket *socket, int fd, const void *unsent, size_t unsent_bytes)
{
	gpu_socket_stop(socket);
	assert(unsent_bytes <= GPU_SOCKET_MESSAGE_MAX);
	socket->message = malloc(GPU_SOCKET_MESSAGE_MAX);
	socket->watch = (struct loop_watch){ .ready = on_ready, .account = socket->account };
	if (!socket->message || watch_front_end(socket, fd)) {
		free(socket->message);
		socket->message = NULL;
		reaper_close(&fd);
		return -ENOMEM;
	}
	if (unsent_bytes > 0)
		memcpy(socket->message, unsent, unsent_bytes);
	socket->bytes = unsent_bytes;
	socket->fd = fd;
	announce_all(socket);
	soon(socket);
	return 0;
}

void gpu_socket_stop(struct gpu_socket *socket)
{
	if (socket->fd < 0)
		return;
	loop_watch_stop(socket->loop, &socket->watch);
	loop_defer_cancel(socket->loop, &socket->more);
	reaper_close(&socket->fd);
	free(socket->message);
	socket->message = NULL;
	socket->sent = socket->bytes = 0;
}

void gpu_socket_suspend(struct gpu_socket *socket)
{
	socket->suspended = true;
	loop_watch_stop(socket->loop, &socket->watch);
	loop_defer_cancel(socket->loop, &socket->more);
}

void gpu_socket_resume(struct gpu_socket *socket)
{
	socket->suspended = false;
	if (socket->fd >= 0 && watch_front_end(socket, socket->fd))
		gpu_socket_stop(socket);
	soon(socket);
}

const void *gpu_socket_unsent(const struct gpu_socket *socket, size_t *ret_bytes)
{
	*ret_bytes = socket->bytes - socket->sent;
	return *ret_bytes > 0 ? socket->message + socket->sent : NULL;
}
