/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/endpoint_socket.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/fd.h"
#include "core/handover.h"

/* One turn accepts at most so many. */
#define ACCEPTS_PER_WAKE 8
/* More violations than this within a second: the socket rests for the back-off. */
#define STORM_VIOLATIONS 32
/* Of client mode, and after a storm. */
#define BACKOFF_MIN_NS (100 * NS_PER_MS)
#define BACKOFF_MAX_NS (10 * NS_PER_S)
/* After so long without one, a rest is a first one again. */
#define RESTS_FORGOTTEN_NS (60 * NS_PER_S)

static struct loop *control_of(const struct endpoint_socket *socket)
{
	return socket->options->control;
}

static bool is_client(const struct endpoint_socket *socket)
{
	return socket->options->socket == ENDPOINT_CONNECT;
}

/* ---- back-off ---- */

static void back_off(struct endpoint_socket *socket)
{
	struct loop *control = control_of(socket);

	assert(!socket->suspended);
	if (socket->backoff_ns < BACKOFF_MIN_NS)
		socket->backoff_ns = BACKOFF_MIN_NS;
	socket->backing_off = true;
	loop_timer_start(control, &socket->retry_timer, loop_now_ns(control) + socket->backoff_ns);
	socket->backoff_ns *= 2;
	if (socket->backoff_ns > BACKOFF_MAX_NS)
		socket->backoff_ns = BACKOFF_MAX_NS;
}

void endpoint_socket_introduced(struct endpoint_socket *socket)
{
	if (is_client(socket))
		socket->backoff_ns = 0;
}

void endpoint_socket_violation(struct endpoint_socket *socket)
{
	uint64_t now = loop_now_ns(control_of(socket));

	if (now - socket->storm_since_ns > NS_PER_S) {
		if (socket->storm_count <= STORM_VIOLATIONS && !is_client(socket))
			socket->backoff_ns = 0;
		socket->storm_since_ns = now;
		socket->storm_count = 0;
	}
	if (++socket->storm_count > STORM_VIOLATIONS && !socket->backing_off && !socket->suspended)
		back_off(socket);
}

void endpoint_socket_rest(struct endpoint_socket *socket)
{
	uint64_t now = loop_now_ns(control_of(socket));

	endpoint_socket_violation(socket);
	if (now - socket->rested_ns > RESTS_FORGOTTEN_NS)
		socket->rest_ns = 0;
	socket->rested_ns = now;
	if (socket->backing_off || socket->suspended)
		return;
	if (socket->backoff_ns < socket->rest_ns)
		socket->backoff_ns = socket->rest_ns;
	back_off(socket);
	socket->rest_ns = socket->backoff_ns;
}

/* ---- peers ---- */

static void not_let_in(struct endpoint_socket *socket, int error)
{
	socket->refused_connects++;
	log_guest(socket->subject, "cannot let a peer in: %s", strerror(-error));
	back_off(socket);
}

static void note_offer(struct endpoint_socket *socket, bool taken)
{
	if (taken) {
		socket->connects++;
		log_debug(socket->subject, "peer connected");
		return;
	}
	socket->refused_connects++;
	log_guest(socket->subject, "peer refused: %u are connected",
		  socket->ops->peer_count(socket->context));
}

static void offer_admitted(struct endpoint_socket *socket, int peer)
{
	int fd = porter_admit(&socket->place, peer);
	bool taken;

	if (fd < 0) {
		not_let_in(socket, fd);
		return;
	}
	taken = socket->ops->accepted(socket->context, fd);
	note_offer(socket, taken);
	if (!taken)
		fd_close(&fd);
}

/* The doorman ends when his end is closed, and closes the peer's socket after us. */
static void offer_shared(struct endpoint_socket *socket, int peer)
{
	int door, error = porter_share(&socket->place, peer, &door);
	bool taken;

	if (error) {
		not_let_in(socket, error);
		fd_close(&peer);
		return;
	}
	taken = socket->ops->accepted_shared(socket->context, peer, door);
	note_offer(socket, taken);
	if (!taken) {
		fd_close(&peer);
		fd_close(&door);
	}
}

/* Takes a peer's socket; there is room for it at the door. */
static void offer(struct endpoint_socket *socket, int peer)
{
	if (socket->ops->knocks && !socket->ops->knocks(socket->context, peer)) {
		socket->refused_connects++;
		fd_close(&peer);
		return;
	}
	if (socket->place.manner == PORTER_FETCHES)
		offer_shared(socket, peer);
	else
		offer_admitted(socket, peer);
}

static void accept_some(struct endpoint_socket *socket)
{
	for (unsigned i = 0; i < ACCEPTS_PER_WAKE; i++) {
		int fd;

		if (socket->backing_off || socket->suspended || socket->listen_fd < 0)
			return;
		/* Those who wait are let in when others no longer hold up their doormen. */
		if (!porter_has_room(&socket->place)) {
			log_guest(socket->subject, "peers wait: %u before them have not come to an end",
				  socket->place.doormen);
			loop_timer_start(control_of(socket), &socket->retry_timer,
					 loop_now_ns(control_of(socket)) + BACKOFF_MIN_NS);
			return;
		}
		fd = accept4(socket->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			offer(socket, fd);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno != ECONNABORTED && errno != EINTR) {
			log_guest(socket->subject, "cannot accept a peer: %s", strerror(errno));
			back_off(socket);
			return;
		}
	}
	loop_defer(control_of(socket), &socket->accept_task);
}

static void on_listen_ready(struct loop_watch *watch, unsigned events)
{
	accept_some(container_of(watch, struct endpoint_socket, watch));
}

static void on_accept_task(struct loop_task *task)
{
	accept_some(container_of(task, struct endpoint_socket, accept_task));
}

static void connect_again(struct endpoint_socket *socket)
{
	int fd = porter_has_room(&socket->place) ? endpoint_socket_file_connect(socket->options->path)
						 : -EBUSY;

	if (fd < 0)
		back_off(socket);
	else
		offer(socket, fd);
}

static void on_retry(struct loop_timer *timer)
{
	struct endpoint_socket *socket = container_of(timer, struct endpoint_socket, retry_timer);

	socket->backing_off = false;
	if (socket->listen_fd >= 0)
		accept_some(socket);
	else if (is_client(socket) && socket->ops->peer_count(socket->context) == 0)
		connect_again(socket);
}

void endpoint_socket_peer_gone(struct endpoint_socket *socket)
{
	if (is_client(socket) && !socket->suspended && !socket->backing_off &&
	    socket->ops->peer_count(socket->context) == 0)
		back_off(socket);
}

/* ---- life ---- */

void endpoint_socket_init(struct endpoint_socket *socket, const struct endpoint_options *options,
			  const struct endpoint_socket_ops *ops, void *context, struct log_subject *subject)
{
	*socket = (struct endpoint_socket){
		.options = options,
		.ops = ops,
		.context = context,
		.subject = subject,
		.listen_fd = -1,
		.watch.ready = on_listen_ready,
		.retry_timer.expired = on_retry,
		.accept_task.run = on_accept_task,
	};
	porter_place_open(&socket->place, options->porter);
}

static int watch_listening(struct endpoint_socket *socket)
{
	int error;

	if (socket->watching)
		return 0;
	porter_keep(&socket->place, socket->listen_fd);
	error = fd_set_nonblocking(socket->listen_fd, true);
	if (error)
		return error;
	error = loop_watch_start(control_of(socket), &socket->watch, socket->listen_fd, POLLIN);
	if (error)
		return error;
	socket->watching = true;
	/* Peers may be waiting in the backlog of an inherited socket. */
	loop_defer(control_of(socket), &socket->accept_task);
	return 0;
}

static int listen_at_path(struct endpoint_socket *socket)
{
	const struct endpoint_options *options = socket->options;
	int error, fd = endpoint_socket_file_listen(&socket->file, options->path, options->owner,
						    options->group, options->mode);

	if (fd < 0)
		return fd;
	socket->listen_fd = fd;
	error = watch_listening(socket);
	if (error)
		fd_close(&socket->listen_fd);
	return error;
}

static int adopt_listening(struct endpoint_socket *socket, int fd)
{
	int listening = 0, error;
	socklen_t length = sizeof(listening);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) < 0)
		return -errno;
	if (!listening)
		return -EINVAL;
	socket->listen_fd = fd;
	error = watch_listening(socket);
	if (error)
		socket->listen_fd = -1;
	return error;
}

static int adopt_connected(struct endpoint_socket *socket, int fd)
{
	int error = fd_set_nonblocking(fd, true);

	if (error)
		return error;
	if (!(socket->place.manner == PORTER_FETCHES ? socket->ops->accepted_shared(socket->context, fd, -1)
						     : socket->ops->accepted(socket->context, fd)))
		return -ENOMEM;
	socket->connects++;
	return 0;
}

int endpoint_socket_open(struct endpoint_socket *socket)
{
	assert(socket->listen_fd < 0);
	switch (socket->options->socket) {
	case ENDPOINT_LISTEN:
		return listen_at_path(socket);
	case ENDPOINT_LISTEN_FD:
		return adopt_listening(socket, socket->options->fd);
	case ENDPOINT_CONNECTED_FD:
		return adopt_connected(socket, socket->options->fd);
	case ENDPOINT_CONNECT:
		connect_again(socket);
		return 0;
	}
	return -EINVAL;
}

void endpoint_socket_finish(struct endpoint_socket *socket)
{
	endpoint_socket_suspend(socket);
	if (!socket->handed_over)
		endpoint_socket_file_remove(&socket->file, socket->options->path);
	fd_close(&socket->listen_fd);
	porter_place_close(&socket->place);
}

/* ---- takeover ---- */

void endpoint_socket_suspend(struct endpoint_socket *socket)
{
	socket->suspended = true;
	loop_timer_stop(control_of(socket), &socket->retry_timer);
	loop_watch_stop(control_of(socket), &socket->watch);
	loop_defer_cancel(control_of(socket), &socket->accept_task);
	socket->watching = false;
}

int endpoint_socket_resume(struct endpoint_socket *socket)
{
	socket->suspended = socket->handed_over = socket->backing_off = false;
	if (socket->listen_fd >= 0) {
		endpoint_socket_file_take_over(socket->listen_fd);
		return watch_listening(socket);
	}
	endpoint_socket_peer_gone(socket);
	return 0;
}

void endpoint_socket_save(struct endpoint_socket *socket, struct handover *handover)
{
	assert(socket->suspended);
	socket->handed_over = true;
	handover_put_fd(handover, socket->listen_fd);
	handover_put_u64(handover, socket->file.created);
	handover_put_u64(handover, socket->file.device);
	handover_put_u64(handover, socket->file.inode);
	handover_put_u64(handover, socket->connects);
	handover_put_u64(handover, socket->refused_connects);
}

void endpoint_socket_restore(struct endpoint_socket *socket, struct handover *handover)
{
	socket->suspended = socket->handed_over = true;
	socket->listen_fd = handover_get_fd(handover);
	socket->file.created = handover_get_flag(handover) && socket->options->path;
	socket->file.device = handover_get_u64(handover);
	socket->file.inode = handover_get_u64(handover);
	socket->connects = handover_get_u64(handover);
	socket->refused_connects = handover_get_u64(handover);
}
