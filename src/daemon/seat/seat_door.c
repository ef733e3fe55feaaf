/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fd.h"
#include "daemon/base/takeover_offer.h"
#include "daemon/base/takeover_wire.h"
#include "daemon/seat/seat_guard.h"
#include "daemon/seat/seat_room.h"

/* A browser makes several connections at once. */
#define BACKLOG 128

/* ---- takeover ---- */

void seat_door_stand_still(struct seat_door *door, bool still)
{
	if (!door->open)
		return;
	if (still)
		endpoint_socket_suspend(&door->socket);
	else if (endpoint_socket_resume(&door->socket))
		log_error(door->screen->subject, "no more viewers can come: out of memory");
}

void seat_door_hand_over(struct seat_door *door, struct handover *header)
{
	if (!door->open)
		return;
	door->socket.handed_over = true;
	takeover_put_fd(header, door->kind, door->key, door->socket.listen_fd);
}

/* ---- sockets ---- */

/* Returns a socket that listens, or -errno. */
static int listen_at(const struct seat_address *address)
{
	int one = 1, error,
	    fd = socket(address->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	    bind(fd, (const struct sockaddr *)&address->address, address->bytes) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

static bool listens_at(int fd, const struct seat_address *address)
{
	struct sockaddr_storage own = { 0 };
	socklen_t bytes = sizeof(own);

	return getsockname(fd, (struct sockaddr *)&own, &bytes) == 0 && bytes == address->bytes &&
	       memcmp(&own, &address->address, bytes) == 0;
}

static int open_tcp(struct seat_door *door, const char *key, const char *text, struct error *error)
{
	struct seat_address address;

	if (seat_parse_address(text, &address))
		return 0;
	/* A predecessor's socket may be where this configuration wants none, or wants it guarded. */
	if (door->options.fd >= 0 && !listens_at(door->options.fd, &address))
		fd_close(&door->options.fd);
	if (address.bytes == 0)
		return 0;
	if (door->options.fd < 0)
		door->options.fd = listen_at(&address);
	door->options.socket = ENDPOINT_LISTEN_FD;
	if (door->options.fd == -EAFNOSUPPORT)
		return error_set(error, door->options.fd,
				 "%s = %s: the service has no network without its drop-in uplinks.conf", key,
				 text);
	if (door->options.fd < 0)
		return error_set(error, door->options.fd, "%s = %s: %s%s", key, text,
				 strerror(-door->options.fd),
				 door->options.fd == -EADDRINUSE
					 ? "; another program has this port: give the seat another one"
					 : "");
	return 0;
}

int seat_door_set_path(struct seat_door *door, const char *kind, const char *name, struct error *error)
{
	int length = snprintf(door->path, sizeof(door->path), "%s/%s-%s.vnc",
			      door->owner->daemon->runtime_dir, kind, name);

	if (length > 0 && (size_t)length < sizeof(door->path))
		return 0;
	door->path[0] = '\0';
	return error_set(error, -ENAMETOOLONG, "the path of its socket is longer than %d bytes",
			 SOCKET_PATH_SIZE - 1);
}

static void choose_unix(struct seat_door *door)
{
	door->options.path = door->path;
	door->options.socket = door->options.fd >= 0 ? ENDPOINT_LISTEN_FD : ENDPOINT_LISTEN;
	if (door->options.fd < 0)
		daemon_remove_leftover(door->owner->daemon, door->path);
}

static int open_unix(struct seat_door *door, struct error *error)
{
	int code = seat_door_set_path(door, "seat", door->owner->name, error);

	if (!code)
		choose_unix(door);
	return code;
}

static int open_socket(struct seat_door *door, enum seat_door_kind kind, const struct config_seat *settings,
		       struct error *error)
{
	int code;

	switch (kind) {
	case SEAT_DOOR_TCP:
		code = seat_is_guarded(settings) ? seat_guard_load(settings, &door->guard, error) : 0;
		return code ? code : open_tcp(door, "vnc", settings->vnc, error);
	case SEAT_DOOR_WEB:
		/* No token for a page of another program's. */
		code = open_tcp(door, "web", settings->web, error);
		return code ? code : seat_web_open(door->owner, settings, error);
	default:
		return open_unix(door, error);
	}
}

/* The file of a predecessor's socket is ours to remove. */
static void own_file(struct seat_door *door)
{
	struct stat file;

	if (door->path[0] == '\0' || lstat(door->path, &file) < 0 || !S_ISSOCK(file.st_mode))
		return;
	door->socket.file.created = true;
	door->socket.file.device = file.st_dev;
	door->socket.file.inode = file.st_ino;
}

/* With a predecessor's socket, if there is one. */
static void prepare(struct seat_door *door, struct porter *porter)
{
	struct daemon *daemon = door->owner->daemon;

	door->options = (struct endpoint_options){
		.name = door->screen->subject->name,
		.control = daemon->control,
		.fd = takeover_offer_take(daemon->offer, door->kind, door->key),
		.owner = (uid_t)-1,
		.group = (gid_t)-1,
		.porter = porter,
	};
}

/* `at`: where that is. */
static int begin(struct seat_door *door, const char *at, bool handed, struct error *error)
{
	int code;

	endpoint_socket_init(&door->socket, &door->options, &seat_client_socket_ops, door,
			     door->screen->subject);
	code = endpoint_socket_open(&door->socket);
	if (code) {
		endpoint_socket_finish(&door->socket);
		fd_close(&door->options.fd);
		return error_set(error, code, "%s: %s", at, strerror(-code));
	}
	door->open = true;
	if (handed)
		own_file(door);
	return 0;
}

int seat_door_open(struct daemon_seat *owner, enum seat_door_kind kind, const struct config_seat *settings,
		   struct error *error)
{
	struct seat_door *door = &owner->doors[kind];
	bool handed;
	int code;

	door->owner = owner;
	door->screen = &owner->screen;
	door->kind = "seat-door";
	snprintf(door->key, sizeof(door->key), "%d %s", (int)kind, owner->name);
	prepare(door, kind == SEAT_DOOR_WEB ? owner->daemon->web_porter : owner->daemon->viewer_porter);
	handed = door->options.fd >= 0;
	code = open_socket(door, kind, settings, error);
	if (code || (door->options.fd < 0 && !door->options.path)) {
		fd_close(&door->options.fd);
		return code;
	}
	code = begin(door,
		     door->path[0]	     ? door->path
		     : kind == SEAT_DOOR_TCP ? settings->vnc
					     : settings->web,
		     handed, error);
	if (code && kind == SEAT_DOOR_WEB)
		owner->token[0] = '\0';
	return code;
}

int seat_door_open_bare(struct seat_door *door, struct error *error)
{
	bool handed;

	prepare(door, door->owner->daemon->viewer_porter);
	handed = door->options.fd >= 0;
	choose_unix(door);
	return begin(door, door->path, handed, error);
}

void seat_door_close(struct seat_door *door)
{
	if (!door->open)
		return;
	endpoint_socket_finish(&door->socket);
	door->open = false;
}
