/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/serial/serial.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/container.h"
#include "core/fd.h"
#include "core/handover.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/loop_account.h"
#include "interfaces/endpoint_socket.h"

/* A VMM uses one connection, a live migration two. */
#define PEERS_MAX  2u
#define READ_BYTES 4096u
/* No number of another interface's: a console may have been served by one. */
#define HANDOVER_VERSION 0x73657231u

struct serial_peer {
	struct serial *serial;
	int socket; /* -1: there is none */
	struct loop_watch watch;
};

struct serial {
	struct endpoint base;
	struct serial_options options; /* name, path and guest (never NULL) are ours */
	struct log_subject subject;
	struct endpoint_socket socket;
	struct loop_account *account; /* pays for the control thread's time */
	struct serial_peer peers[PEERS_MAX];
	struct serial_peer *listener; /* gets the input; NULL: there is no peer */
	struct loop_timer window;     /* the next one begins */
	uint64_t window_ends_ns;
	size_t window_left; /* bytes that may still be read in this one */
	uint8_t input[SERIAL_INPUT_MAX];
	size_t input_bytes;
	bool suspended;
};

static struct serial *serial_of(const struct endpoint *endpoint)
{
	return container_of((struct endpoint *)endpoint, struct serial, base);
}

static struct loop *control_of(const struct serial *serial)
{
	return serial->options.endpoint.control;
}

/* ---- peers ---- */

static unsigned peer_count(const void *context)
{
	const struct serial *serial = context;
	unsigned count = 0;

	for (unsigned i = 0; i < PEERS_MAX; i++)
		count += serial->peers[i].socket >= 0;
	return count;
}

static struct serial_peer *some_peer(struct serial *serial)
{
	for (unsigned i = 0; i < PEERS_MAX; i++)
		if (serial->peers[i].socket >= 0)
			return &serial->peers[i];
	return NULL;
}

/* What was typed for this VMM is not for the next one. */
static void drop_peer(struct serial_peer *peer)
{
	struct serial *serial = peer->serial;

	loop_watch_stop(control_of(serial), &peer->watch);
	fd_close(&peer->socket);
	if (serial->listener == peer) {
		serial->listener = some_peer(serial);
		serial->input_bytes = 0;
	}
}

static void send_input(struct serial *serial)
{
	while (serial->listener && serial->input_bytes > 0) {
		ssize_t sent = send(serial->listener->socket, serial->input, serial->input_bytes,
				    MSG_DONTWAIT | MSG_NOSIGNAL);

		/* That the peer has gone is found where it is read. */
		if (sent <= 0)
			return;
		serial->input_bytes -= (size_t)sent;
		memmove(serial->input, serial->input + sent, serial->input_bytes);
	}
}

static void take_output(struct serial_peer *peer, const uint8_t *bytes, size_t count)
{
	struct serial *serial = peer->serial;

	serial->window_left -= count;
	if (serial->listener != peer) {
		serial->listener = peer;
		send_input(serial);
	}
	endpoint_socket_introduced(&serial->socket);
	serial->options.output(serial->options.context, bytes, count);
}

/* As much as there is, or as the window has room for. */
static void read_peer(struct serial_peer *peer)
{
	struct serial *serial = peer->serial;
	uint8_t bytes[READ_BYTES];

	while (serial->window_left > 0) {
		size_t room = serial->window_left < READ_BYTES ? serial->window_left : READ_BYTES;
		ssize_t got = recv(peer->socket, bytes, room, MSG_DONTWAIT);

		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			drop_peer(peer);
			log_debug(&serial->subject, "the VMM has gone");
			endpoint_socket_peer_gone(&serial->socket);
			return;
		}
		take_output(peer, bytes, (size_t)got);
	}
	loop_timer_start(control_of(serial), &serial->window, serial->window_ends_ns);
}

static void refresh_window(struct serial *serial)
{
	uint64_t now_ns = loop_now_ns(control_of(serial));

	if (now_ns < serial->window_ends_ns)
		return;
	serial->window_ends_ns = now_ns + SERIAL_WINDOW_NS;
	serial->window_left = SERIAL_WINDOW_BYTES;
}

static void peer_ready(struct loop_watch *watch, unsigned events)
{
	struct serial_peer *peer = container_of(watch, struct serial_peer, watch);

	refresh_window(peer->serial);
	if (peer == peer->serial->listener)
		send_input(peer->serial);
	read_peer(peer);
}

static void window_begins(struct loop_timer *timer)
{
	struct serial *serial = container_of(timer, struct serial, window);

	loop_pay(control_of(serial), serial->account);
	refresh_window(serial);
	for (unsigned i = 0; i < PEERS_MAX; i++)
		if (serial->peers[i].socket >= 0)
			read_peer(&serial->peers[i]);
	loop_pay(control_of(serial), NULL);
}

static int watch_peer(struct serial_peer *peer)
{
	return loop_watch_start(control_of(peer->serial), &peer->watch, peer->socket,
				POLLIN | POLLOUT | POLLRDHUP);
}

/* The newest peer counts: others may be dead, and that has not come through yet. */
static void make_room(struct serial *serial)
{
	if (peer_count(serial) < PEERS_MAX)
		return;
	for (unsigned i = 0; i < PEERS_MAX; i++) {
		if (&serial->peers[i] != serial->listener) {
			drop_peer(&serial->peers[i]);
			return;
		}
	}
}

/* NULL: there is no room for another peer. The descriptor is taken otherwise. */
static struct serial_peer *add_peer(struct serial *serial, int fd)
{
	for (unsigned i = 0; i < PEERS_MAX; i++) {
		if (serial->peers[i].socket >= 0)
			continue;
		serial->peers[i].socket = fd;
		if (!serial->listener)
			serial->listener = &serial->peers[i];
		return &serial->peers[i];
	}
	return NULL;
}

static bool accepted(void *context, int fd)
{
	struct serial_peer *peer;

	make_room(context);
	peer = add_peer(context, fd);
	assert(peer);
	if (watch_peer(peer) == 0)
		return true;
	peer->socket = -1;
	if (peer->serial->listener == peer)
		peer->serial->listener = some_peer(peer->serial);
	return false;
}

static const struct endpoint_socket_ops socket_ops = {
	.accepted = accepted,
	.peer_count = peer_count,
};

ssize_t serial_send(struct endpoint *endpoint, const uint8_t *bytes, size_t count)
{
	struct serial *serial = serial_of(endpoint);
	size_t room = SERIAL_INPUT_MAX - serial->input_bytes;

	if (!serial->listener)
		return -ENOTCONN;
	if (count > room)
		count = room;
	memcpy(serial->input + serial->input_bytes, bytes, count);
	serial->input_bytes += count;
	if (!serial->suspended)
		send_input(serial);
	return (ssize_t)count;
}

/* ---- life ---- */

static void serial_free(struct serial *serial)
{
	loop_account_close(serial->account);
	loop_guest_put(serial->options.endpoint.guest);
	free((char *)serial->options.endpoint.name);
	free((char *)serial->options.endpoint.path);
	free(serial);
}

static const struct endpoint_ops serial_ops;

static void init_peers(struct serial *serial)
{
	for (unsigned i = 0; i < PEERS_MAX; i++) {
		serial->peers[i].serial = serial;
		serial->peers[i].socket = -1;
		serial->peers[i].watch.ready = peer_ready;
		serial->peers[i].watch.account = serial->account;
	}
}

/* Without a socket; NULL when out of memory. */
static struct serial *serial_alloc(const struct serial_options *options)
{
	struct serial *serial = calloc(1, sizeof(*serial));
	struct endpoint_options *ours;

	if (!serial)
		return NULL;
	serial->base.ops = &serial_ops;
	serial->options = *options;
	ours = &serial->options.endpoint;
	ours->name = strdup(options->endpoint.name);
	ours->path = options->endpoint.path ? strdup(options->endpoint.path) : NULL;
	ours->guest = ours->guest ? loop_guest_get(ours->guest) : loop_guest_create();
	if (ours->guest)
		serial->account = loop_account_create(ours->guest, ours->control);
	if (!serial->account || !ours->name || (options->endpoint.path && !ours->path)) {
		serial_free(serial);
		return NULL;
	}
	init_peers(serial);
	serial->window.expired = window_begins;
	log_subject_name(&serial->subject, "%s", ours->name);
	endpoint_socket_init(&serial->socket, ours, &socket_ops, serial, &serial->subject);
	serial->socket.place.manner = PORTER_RELAYS_BYTES;
	return serial;
}

int serial_create(const struct serial_options *options, struct endpoint **ret_endpoint)
{
	struct serial *serial = serial_alloc(options);
	int error = serial ? endpoint_socket_open(&serial->socket) : -ENOMEM;

	if (!error) {
		*ret_endpoint = &serial->base;
		return 0;
	}
	if (serial) {
		endpoint_socket_finish(&serial->socket);
		serial_free(serial);
	}
	return error;
}

static void destroy(struct endpoint *endpoint, void (*gone)(void *context), void *context)
{
	struct serial *serial = serial_of(endpoint);

	endpoint_socket_finish(&serial->socket);
	loop_timer_stop(control_of(serial), &serial->window);
	for (unsigned i = 0; i < PEERS_MAX; i++)
		drop_peer(&serial->peers[i]);
	serial_free(serial);
	if (gone)
		gone(context);
}

/* ---- for the daemon ---- */

static void read_status(const struct endpoint *endpoint, struct endpoint_status *ret_status)
{
	const struct serial *serial = serial_of(endpoint);

	*ret_status = (struct endpoint_status){
		.connections = peer_count(serial),
		.connects = serial->socket.connects,
		.refused_connects = serial->socket.refused_connects,
		.cpu_ns = counter_read(&serial->account->used_ns),
	};
}

/* A stream has no configuration, and no worker. */
static void nothing(struct endpoint *endpoint)
{
}

static void no_weight(struct endpoint *endpoint, uint32_t weight)
{
}

static void suspend(struct endpoint *endpoint, void (*suspended)(void *context), void *context)
{
	struct serial *serial = serial_of(endpoint);

	serial->suspended = true;
	endpoint_socket_suspend(&serial->socket);
	loop_timer_stop(control_of(serial), &serial->window);
	for (unsigned i = 0; i < PEERS_MAX; i++)
		loop_watch_stop(control_of(serial), &serial->peers[i].watch);
	suspended(context);
}

/* A watch that begins tells what is there already. */
static void resume(struct endpoint *endpoint)
{
	struct serial *serial = serial_of(endpoint);

	serial->suspended = false;
	if (endpoint_socket_resume(&serial->socket))
		log_error(&serial->subject, "cannot listen any more: out of memory");
	for (unsigned i = 0; i < PEERS_MAX; i++) {
		if (serial->peers[i].socket < 0 || watch_peer(&serial->peers[i]) == 0)
			continue;
		drop_peer(&serial->peers[i]);
		endpoint_socket_peer_gone(&serial->socket);
	}
}

/* ---- takeover ---- */

static void save(struct endpoint *endpoint, struct handover *handover)
{
	const struct serial *serial = serial_of(endpoint);

	assert(serial->suspended);
	handover_put_u64(handover, HANDOVER_VERSION);
	endpoint_socket_save(&serial_of(endpoint)->socket, handover);
	handover_put_u64(handover, peer_count(serial));
	for (unsigned i = 0; i < PEERS_MAX; i++) {
		const struct serial_peer *peer = &serial->peers[i];

		if (peer->socket < 0)
			continue;
		handover_put_fd(handover, peer->socket);
		handover_put_u64(handover, peer == serial->listener);
	}
	handover_put_bytes(handover, serial->input, serial->input_bytes);
}

static int restore_peer(struct serial *serial, struct handover *handover)
{
	int fd = handover_get_fd(handover);
	bool listens = handover_get_flag(handover);
	struct serial_peer *peer;

	handover_fail_if(handover, fd < 0 || fd_set_nonblocking(fd, true) < 0);
	peer = handover->error ? NULL : add_peer(serial, fd);
	if (!peer) {
		handover_fail_if(handover, true);
		fd_close(&fd);
	} else if (listens) {
		serial->listener = peer;
	}
	return handover->error;
}

static int restore(struct serial *serial, struct handover *handover)
{
	uint64_t peers;
	int error;

	handover_fail_if(handover, handover_get_u64(handover) != HANDOVER_VERSION);
	endpoint_socket_restore(&serial->socket, handover);
	peers = handover_get_at_most(handover, PEERS_MAX);
	error = handover->error;
	for (uint64_t i = 0; i < peers && !error; i++)
		error = restore_peer(serial, handover);
	serial->input_bytes = handover_get_bytes(handover, serial->input, sizeof(serial->input));
	handover_fail_if(handover, serial->input_bytes > 0 && !serial->listener);
	return handover->error;
}

int serial_restore(const struct serial_options *options, struct handover *handover,
		   struct endpoint **ret_endpoint)
{
	struct serial *serial = serial_alloc(options);
	int error;

	if (!serial)
		return -ENOMEM;
	serial->suspended = true;
	error = restore(serial, handover);
	/* The predecessor was a client of the VMM's, and this one is not. */
	if (!error && serial->socket.listen_fd < 0 && options->endpoint.socket == ENDPOINT_LISTEN)
		error = endpoint_socket_open(&serial->socket);
	if (error) {
		destroy(&serial->base, NULL, NULL);
		return error;
	}
	resume(&serial->base);
	*ret_endpoint = &serial->base;
	return 0;
}

static const struct endpoint_ops serial_ops = {
	.destroy = destroy,
	.status = read_status,
	.config_changed = nothing,
	.set_weight = no_weight,
	.move = nothing,
	.suspend = suspend,
	.save = save,
	.resume = resume,
};
