/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Viewers, and browsers that may become viewers, from the door to their end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/fd.h"
#include "daemon/base/takeover_offer.h"
#include "daemon/base/takeover_wire.h"
#include "daemon/seat/seat_room.h"


/* ---- viewers ---- */

unsigned seat_viewer_count(const struct daemon_seat *owner, const struct seat_screen *screen)
{
	unsigned count = 0;

	for (const struct seat_client *client = owner->clients; client; client = client->next)
		count += client->counted && seat_viewer_looks_at(&client->viewer) == screen;
	return count;
}

/* The seat, or the display of the guest that it sees alone. */
static struct log_subject *subject_of(const struct seat_client *client)
{
	return seat_viewer_looks_at(&client->viewer)->subject;
}

static void log_count(const struct seat_client *client, const char *what)
{
	struct daemon_seat *owner = client->door->owner;

	log_info(subject_of(client), "a viewer %s; %u are connected", what,
		 seat_viewer_count(owner, seat_viewer_looks_at(&client->viewer)));
}

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
	client->viewer.screen = door->screen;
	client->viewer.socket = fd;
	client->viewer.token = door == &owner->doors[SEAT_DOOR_WEB] ? owner->token : NULL;
	client->viewer.guard = door->guard;
	client->origin = door->knocked;
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
	if (client->counted)
		log_count(client, "left");
	fd_close(&client->fd);
	free(client);
}

static void count_in(struct seat_client *client)
{
	struct daemon_seat *owner = client->door->owner;

	client->counted = true;
	if (client->viewer.guard)
		seat_attempts_forget(&owner->attempts, &client->origin);
	log_count(client, "came");
}

/* Its address is held to account, and not the door, at which others arrive. */
static void see_off_unproven(struct seat_client *client)
{
	struct daemon_seat *owner = client->door->owner;
	char from[SEAT_ORIGIN_TEXT];

	seat_origin_print(&client->origin, from);
	log_guest(&owner->subject, "a viewer of %s was refused: %s", from,
		  client->viewer.wrong ? "wrong password"
		  : client->viewer.why ? client->viewer.why
				       : "it gave no password");
	owner->wrong_passwords += client->viewer.wrong;
	owner->refused_viewers++;
	seat_attempts_failed(&owner->attempts, &client->origin, clock_now_ns());
}

/* The process of a client that has gone, or is to go. */
static void see_off(struct seat_client *client)
{
	struct daemon_seat *owner = client->door->owner;

	seat_call(owner->daemon, stop_viewer, client);
	if (client->viewer.guard && !client->viewer.proven) {
		see_off_unproven(client);
	} else if (client->viewer.why) {
		log_guest(subject_of(client), "a viewer: %s", client->viewer.why);
		if (client->door->open)
			endpoint_socket_violation(&client->door->socket);
	}
	remove_client(owner, client);
}

void seat_clients_changed(struct loop_message *message)
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

/* ---- at a guarded door ---- */

static bool is_unproven(const struct seat_client *client)
{
	return client->viewer.guard && !__atomic_load_n(&client->viewer.looks, __ATOMIC_ACQUIRE);
}

/* Newest first, as all clients are. origin: of these alone; NULL: of all. */
static unsigned count_unproven(const struct daemon_seat *owner, const struct seat_origin *origin,
			       struct seat_client **ret_oldest)
{
	unsigned count = 0;

	for (struct seat_client *client = owner->clients; client; client = client->next) {
		if (!is_unproven(client) || (origin && !seat_origin_is(&client->origin, origin)))
			continue;
		*ret_oldest = client;
		count++;
	}
	return count;
}

/* One that is sent away for another has not failed. */
static void send_away(struct seat_client *client)
{
	struct daemon_seat *owner = client->door->owner;

	seat_call(owner->daemon, stop_viewer, client);
	owner->refused_viewers++;
	remove_client(owner, client);
}

static bool knocks(void *context, int peer)
{
	struct seat_door *door = context;
	struct daemon_seat *owner = door->owner;
	struct sockaddr_storage address;
	socklen_t bytes = sizeof(address);
	struct seat_client *oldest = NULL;

	if (!door->guard)
		return true;
	if (getpeername(peer, (struct sockaddr *)&address, &bytes) < 0 ||
	    !seat_origin_of((const struct sockaddr *)&address, &door->knocked))
		return false;
	if (seat_attempts_must_wait(&owner->attempts, &door->knocked, clock_now_ns()) ||
	    count_unproven(owner, &door->knocked, &oldest) >= SEAT_UNPROVEN_ORIGIN_MAX) {
		owner->refused_viewers++;
		return false;
	}
	if (count_unproven(owner, NULL, &oldest) >= SEAT_UNPROVEN_MAX)
		send_away(oldest);
	return true;
}

/* ---- at every door ---- */

static bool accepted(void *context, int fd)
{
	struct seat_door *door = context;
	struct daemon_seat *owner = door->owner;
	/* A browser that fetches the page is no viewer yet, nor is one that proves nothing. */
	bool later = door == &owner->doors[SEAT_DOOR_WEB] || door->guard;
	struct seat_client *client;

	if (!later && seat_viewer_count(owner, door->screen) >= SEAT_VIEWERS_MAX)
		return false;
	client = add_client(door, fd);
	if (!client)
		return false;
	seat_call(owner->daemon, start_viewer, client);
	if (client->lost) {
		client->fd = -1;
		remove_client(owner, client);
		return false;
	}
	if (!later)
		count_in(client);
	return true;
}

static unsigned peer_count(const void *context)
{
	const struct seat_door *door = context;

	return seat_viewer_count(door->owner, door->screen);
}

const struct endpoint_socket_ops seat_client_socket_ops = {
	.knocks = knocks,
	.accepted = accepted,
	.peer_count = peer_count,
};

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
	seat_clients_changed(&owner->viewers_changed);
}

void seat_clients_end(struct daemon_seat *owner, const struct seat_screen *screen)
{
	struct seat_client *client = owner->clients;

	while (client) {
		struct seat_client *next = client->next;

		if (!screen || seat_viewer_looks_at(&client->viewer) == screen) {
			seat_call(owner->daemon, stop_viewer, client);
			remove_client(owner, client);
		}
		client = next;
	}
}

/* ---- takeover ---- */

static void client_key(const struct seat_screen *screen, unsigned index, char key[SEAT_DOOR_KEY_SIZE])
{
	snprintf(key, SEAT_DOOR_KEY_SIZE, "%u %s", index, screen->name);
}

static const char *client_kind(const struct seat_screen *screen)
{
	return screen->whole ? "display-viewer" : "seat-viewer";
}

void seat_clients_hand_over(struct daemon_seat *owner, const struct seat_screen *screen,
			    struct handover *header)
{
	char key[SEAT_DOOR_KEY_SIZE];
	unsigned index = 0;

	for (const struct seat_client *client = owner->clients; client; client = client->next) {
		if (!client->counted || seat_viewer_looks_at(&client->viewer) != screen)
			continue;
		client_key(screen, index++, key);
		takeover_put_fd(header, client_kind(screen), key, client->fd);
	}
}

void seat_clients_take_over(struct seat_door *door)
{
	struct daemon_seat *owner = door->owner;
	char key[SEAT_DOOR_KEY_SIZE];

	for (unsigned index = 0; index < SEAT_VIEWERS_MAX; index++) {
		struct seat_client *client;
		int fd;

		client_key(door->screen, index, key);
		fd = takeover_offer_take(owner->daemon->offer, client_kind(door->screen), key);
		if (fd < 0)
			continue;
		client = add_client(door, fd);
		if (!client) {
			fd_close(&fd);
			continue;
		}
		client->viewer.looks = true;
		count_in(client);
		seat_call(owner->daemon, start_viewer_again, client);
	}
}
