/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/container.h"
#include "core/fd.h"
#include "daemon/base/takeover_offer.h"
#include "daemon/base/takeover_wire.h"
#include "daemon/seat/seat_room.h"

/* A browser makes several connections at once. */
#define BACKLOG	      128
#define KEY_MAX_BYTES (CONFIG_NAME_SIZE + 32)

/* ---- viewers ---- */

static void start_viewer(void *context)
{
	struct seat_client *client = context;

	client->lost = seat_viewer_start(&client->viewer, false) != 0;
}

static void start_viewer_again(void *context)
{
	struct seat_client *client = context;

	if (!client->viewer.dead)
		client->lost = seat_viewer_start(&client->viewer, true) != 0;
}

static void stop_viewer(void *context)
{
	seat_viewer_stop(&((struct seat_client *)context)->viewer);
}

/* On the seats' thread. */
static void on_viewer_changed(struct seat_viewer *viewer)
{
	struct daemon_seat *owner = container_of(viewer, struct seat_client, viewer)->door->owner;

	if (!__atomic_exchange_n(&owner->viewers_changed_posted, true, __ATOMIC_ACQ_REL))
		loop_post(owner->daemon->control, &owner->viewers_changed);
}

static struct seat_client *add_client(struct seat_door *door, int fd)
{
	struct daemon_seat *owner = door->owner;
	struct seat_client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	client->door = door;
	client->fd = fd;
	client->viewer.screen = &owner->screen;
	client->viewer.socket = fd;
	client->viewer.token = door == &owner->doors[SEAT_DOOR_WEB] ? owner->token : NULL;
	client->viewer.changed = on_viewer_changed;
	client->next = owner->clients;
	owner->clients = client;
	return client;
}

/* It is stopped. The descriptor is closed unless it was taken. */
static void remove_client(struct daemon_seat *owner, struct seat_client *client)
{
	struct seat_client **link = &owner->clients;

	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	if (client->counted) {
		owner->viewer_count--;
		log_info(&owner->subject, "a viewer left; %u are connected", owner->viewer_count);
	}
	fd_close(&client->fd);
	free(client);
}

static void count_in(struct seat_client *client)
{
	struct daemon_seat *owner = client->door->owner;

	client->counted = true;
	owner->viewer_count++;
	log_info(&owner->subject, "a viewer came; %u are connected", owner->viewer_count);
}

/* The process of a client that has gone, or is to go. */
static void see_off(struct seat_client *client)
{
	struct daemon_seat *owner = client->door->owner;

	seat_call(owner->daemon, stop_viewer, client);
	if (client->viewer.why) {
		log_guest(&owner->subject, "a viewer: %s", client->viewer.why);
		endpoint_socket_violation(&client->door->socket);
	}
	remove_client(owner, client);
}

static void on_viewers_changed(struct loop_message *message)
{
	struct daemon_seat *owner = container_of(message, struct daemon_seat, viewers_changed);
	struct seat_client *client = owner->clients;

	__atomic_store_n(&owner->viewers_changed_posted, false, __ATOMIC_RELEASE);
	while (client) {
		struct seat_client *next = client->next;

		if (!client->counted && __atomic_load_n(&client->viewer.looks, __ATOMIC_ACQUIRE))
			count_in(client);
		if (client->lost || __atomic_load_n(&client->viewer.dead, __ATOMIC_ACQUIRE))
			see_off(client);
		else
			seat_web_serve(owner, client);
		client = next;
	}
}

static bool accepted(void *context, int fd)
{
	struct seat_door *door = context;
	struct daemon_seat *owner = door->owner;
	bool browser = door == &owner->doors[SEAT_DOOR_WEB];
	struct seat_client *client =
		browser || owner->viewer_count < SEAT_VIEWERS_MAX ? add_client(door, fd) : NULL;

	if (!client)
		return false;
	seat_call(owner->daemon, start_viewer, client);
	if (client->lost) {
		client->fd = -1;
		remove_client(owner, client);
		return false;
	}
	/* A browser that fetches the page is no viewer yet. */
	if (!browser)
		count_in(client);
	return true;
}

static unsigned peer_count(const void *context)
{
	return ((const struct seat_door *)context)->owner->viewer_count;
}

static const struct endpoint_socket_ops socket_ops = { .accepted = accepted, .peer_count = peer_count };

void seat_clients_suspend(struct daemon_seat *owner)
{
	for (struct seat_client *client = owner->clients; client; client = client->next)
		seat_call(owner->daemon, stop_viewer, client);
}

void seat_clients_resume(struct daemon_seat *owner)
{
	for (struct seat_client *client = owner->clients; client; client = client->next)
		seat_call(owner->daemon, start_viewer_again, client);
	/* Those that ended before, or could not begin. */
	on_viewers_changed(&owner->viewers_changed);
}

void seat_clients_end(struct daemon_seat *owner)
{
	seat_clients_suspend(owner);
	while (owner->clients)
		remove_client(owner, owner->clients);
}

/* ---- takeover ---- */

static void client_key(const struct daemon_seat *owner, unsigned index, char key[KEY_MAX_BYTES])
{
	snprintf(key, KEY_MAX_BYTES, "%u %s", index, owner->name);
}

void seat_clients_hand_over(struct daemon_seat *owner, struct handover *header)
{
	char key[KEY_MAX_BYTES];
	unsigned index = 0;

	for (const struct seat_client *client = owner->clients; client; client = client->next) {
		if (!client->counted)
			continue;
		client_key(owner, index++, key);
		takeover_put_fd(header, "seat-viewer", key, client->fd);
	}
}

void seat_clients_take_over(struct daemon_seat *owner)
{
	char key[KEY_MAX_BYTES];

	for (unsigned index = 0; index < SEAT_VIEWERS_MAX; index++) {
		struct seat_client *client;
		int fd;

		client_key(owner, index, key);
		fd = takeover_offer_take(owner->daemon->offer, "seat-viewer", key);
		if (fd < 0)
			continue;
		client = add_client(&owner->doors[SEAT_DOOR_UNIX], fd);
		if (!client) {
			fd_close(&fd);
			continue;
		}
		client->viewer.looks = true;
		count_in(client);
		seat_call(owner->daemon, start_viewer_again, client);
	}
}

/* Under this name it is handed over. */
static void door_key(const struct seat_door *door, char key[KEY_MAX_BYTES])
{
	snprintf(key, KEY_MAX_BYTES, "%td %s", door - door->owner->doors, door->owner->name);
}

void seat_door_hand_over(struct seat_door *door, struct handover *header)
{
	char key[KEY_MAX_BYTES];

	if (!door->open)
		return;
	door_key(door, key);
	door->socket.handed_over = true;
	takeover_put_fd(header, "seat-door", key, door->socket.listen_fd);
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

static int open_tcp(struct seat_door *door, const char *key, const char *text, struct error *error)
{
	struct seat_address address;

	if (seat_parse_address(text, &address) || address.bytes == 0)
		return 0;
	if (door->options.fd < 0)
		door->options.fd = listen_at(&address);
	door->options.socket = ENDPOINT_LISTEN_FD;
	if (door->options.fd == -EAFNOSUPPORT)
		return error_set(error, door->options.fd,
				 "%s = %s: the service has no network without its drop-in uplinks.conf", key,
				 text);
	if (door->options.fd < 0)
		return error_set(error, door->options.fd, "%s = %s: %s", key, text,
				 strerror(-door->options.fd));
	return 0;
}

static int open_unix(struct seat_door *door, struct error *error)
{
	const struct daemon *daemon = door->owner->daemon;
	int length = snprintf(door->path, sizeof(door->path), "%s/seat-%s.vnc", daemon->runtime_dir,
			      door->owner->name);

	if (length < 0 || (size_t)length >= sizeof(door->path))
		return error_set(error, -ENAMETOOLONG, "the path of its socket is longer than %d bytes",
				 SOCKET_PATH_SIZE - 1);
	door->options.path = door->path;
	if (door->options.fd >= 0) {
		door->options.socket = ENDPOINT_LISTEN_FD;
		return 0;
	}
	daemon_remove_leftover(daemon, door->path);
	door->options.socket = ENDPOINT_LISTEN;
	return 0;
}

static int open_socket(struct seat_door *door, enum seat_door_kind kind, const struct config_seat *settings,
		       struct error *error)
{
	int code;

	switch (kind) {
	case SEAT_DOOR_TCP:
		return open_tcp(door, "vnc", settings->vnc, error);
	case SEAT_DOOR_WEB:
		code = seat_web_open(door->owner, settings, error);
		return code ? code : open_tcp(door, "web", settings->web, error);
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

int seat_door_open(struct daemon_seat *owner, enum seat_door_kind kind, const struct config_seat *settings,
		   struct error *error)
{
	struct seat_door *door = &owner->doors[kind];
	char key[KEY_MAX_BYTES];
	bool handed;
	int code;

	door->owner = owner;
	owner->viewers_changed.run = on_viewers_changed;
	door_key(door, key);
	door->options = (struct endpoint_options){
		.name = owner->subject.name,
		.control = owner->daemon->control,
		.fd = takeover_offer_take(owner->daemon->offer, "seat-door", key),
		.owner = (uid_t)-1,
		.group = (gid_t)-1,
		.porter = kind == SEAT_DOOR_WEB ? owner->daemon->web_porter : owner->daemon->viewer_porter,
	};
	handed = door->options.fd >= 0;
	code = open_socket(door, kind, settings, error);
	if (code || (door->options.fd < 0 && !door->options.path)) {
		fd_close(&door->options.fd);
		return code;
	}
	endpoint_socket_init(&door->socket, &door->options, &socket_ops, door, &owner->subject);
	code = endpoint_socket_open(&door->socket);
	if (code) {
		endpoint_socket_finish(&door->socket);
		fd_close(&door->options.fd);
		return error_set(error, code, "%s: %s",
				 door->path[0]		 ? door->path
				 : kind == SEAT_DOOR_TCP ? settings->vnc
							 : settings->web,
				 strerror(-code));
	}
	door->open = true;
	if (handed)
		own_file(door);
	return 0;
}

void seat_door_close(struct seat_door *door)
{
	if (!door->open)
		return;
	endpoint_socket_finish(&door->socket);
	door->open = false;
}
