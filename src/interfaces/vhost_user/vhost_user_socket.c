/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How front ends reach an endpoint: a listening socket (made or inherited), one connected socket, or we
 * connect.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/fd.h"
#include "interfaces/vhost_user/vhost_user_connection.h"

#define ENDPOINT_OF(pointer, member)                                                                         \
	container_of(pointer, struct vhost_user_endpoint, member)

#define LISTEN_BACKLOG	 16
/* One turn accepts at most so many. */
#define ACCEPTS_PER_WAKE 8
/* More violations than this within a second: the socket rests for the back-off. */
#define STORM_VIOLATIONS 32

static struct loop *control_of(const struct vhost_user_endpoint *endpoint)
{
	return endpoint->options.endpoint.control;
}

/* ---- back-off ---- */

static void back_off(struct vhost_user_endpoint *endpoint)
{
	struct loop *control = control_of(endpoint);

	if (endpoint->backoff_ns < VHOST_USER_BACKOFF_MIN_NS)
		endpoint->backoff_ns = VHOST_USER_BACKOFF_MIN_NS;
	endpoint->paused = true;
	loop_timer_start(control, &endpoint->retry_timer, loop_now_ns(control) + endpoint->backoff_ns);
	endpoint->backoff_ns *= 2;
	if (endpoint->backoff_ns > VHOST_USER_BACKOFF_MAX_NS)
		endpoint->backoff_ns = VHOST_USER_BACKOFF_MAX_NS;
}

void vhost_user_endpoint_introduced(struct vhost_user_endpoint *endpoint)
{
	if (endpoint->options.endpoint.socket == ENDPOINT_CONNECT)
		endpoint->backoff_ns = 0;
}

void vhost_user_endpoint_violation(struct vhost_user_endpoint *endpoint)
{
	uint64_t now = loop_now_ns(control_of(endpoint));

	if (now - endpoint->storm_since_ns > NS_PER_S) {
		if (endpoint->storm_count <= STORM_VIOLATIONS &&
		    endpoint->options.endpoint.socket != ENDPOINT_CONNECT)
			endpoint->backoff_ns = 0;
		endpoint->storm_since_ns = now;
		endpoint->storm_count = 0;
	}
	if (++endpoint->storm_count > STORM_VIOLATIONS && !endpoint->paused)
		back_off(endpoint);
}

/* ---- connections ---- */

static void adopt(struct vhost_user_endpoint *endpoint, int socket)
{
	struct vhost_user_connection *connection = NULL;

	if (endpoint->connection_count < VHOST_USER_CONNECTIONS_MAX &&
	    endpoint->stranger_count <= VHOST_USER_STRANGERS_MAX && !endpoint->destroying)
		connection = vhost_user_connection_create(endpoint, socket);
	if (!connection) {
		endpoint->refused_connects++;
		log_guest(&endpoint->subject, "front end refused: %u are connected",
			  endpoint->connection_count);
		fd_close(&socket);
		return;
	}
	endpoint->connects++;
	log_debug(&endpoint->subject, "front end connected");
	if (vhost_user_connection_begin(connection))
		vhost_user_connection_close(connection);
}

static void accept_some(struct vhost_user_endpoint *endpoint)
{
	for (unsigned i = 0; i < ACCEPTS_PER_WAKE; i++) {
		int socket;

		if (endpoint->paused || endpoint->suspending || endpoint->listen_fd < 0)
			return;
		socket = accept4(endpoint->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (socket >= 0) {
			adopt(endpoint, socket);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno != ECONNABORTED && errno != EINTR) {
			log_guest(&endpoint->subject, "cannot accept a front end: %s", strerror(errno));
			back_off(endpoint);
			return;
		}
	}
	loop_defer(control_of(endpoint), &endpoint->accept_task);
}

static void on_listen_ready(struct loop_watch *watch, unsigned events)
{
	accept_some(ENDPOINT_OF(watch, listen_watch));
}

static void on_accept_task(struct loop_task *task)
{
	accept_some(ENDPOINT_OF(task, accept_task));
}

static int address_of(const char *path, struct sockaddr_un *ret_address)
{
	if (strlen(path) >= sizeof(ret_address->sun_path))
		return -ENAMETOOLONG;
	memset(ret_address, 0, sizeof(*ret_address));
	ret_address->sun_family = AF_UNIX;
	memcpy(ret_address->sun_path, path, strlen(path) + 1);
	return 0;
}

/* Never waits: a UNIX socket's connection stands at once or fails. */
static int connect_to(const char *path)
{
	struct sockaddr_un address;
	int error = address_of(path, &address), socket_fd;

	if (error)
		return error;
	socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (socket_fd < 0)
		return -errno;
	if (connect(socket_fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		error = -errno;
		close(socket_fd);
		return error;
	}
	return socket_fd;
}

static void connect_again(struct vhost_user_endpoint *endpoint)
{
	int socket = connect_to(endpoint->options.endpoint.path);

	if (socket < 0)
		back_off(endpoint);
	else
		adopt(endpoint, socket);
}

static void on_retry(struct loop_timer *timer)
{
	struct vhost_user_endpoint *endpoint = ENDPOINT_OF(timer, retry_timer);

	endpoint->paused = false;
	if (endpoint->suspending || endpoint->destroying)
		return;
	if (endpoint->listen_fd >= 0)
		accept_some(endpoint);
	else if (endpoint->options.endpoint.socket == ENDPOINT_CONNECT && endpoint->connection_count == 0)
		connect_again(endpoint);
}

void vhost_user_socket_retry(struct vhost_user_endpoint *endpoint)
{
	if (endpoint->options.endpoint.socket == ENDPOINT_CONNECT && endpoint->connection_count == 0 &&
	    !endpoint->destroying && !endpoint->suspending && !endpoint->paused)
		back_off(endpoint);
}

/* ---- listening ---- */

static int bind_new(int socket_fd, const struct sockaddr_un *address)
{
	const char *path = address->sun_path;
	struct stat status;
	int other;

	if (bind(socket_fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	if (lstat(path, &status) < 0 || !S_ISSOCK(status.st_mode))
		return -EADDRINUSE;
	other = connect_to(path);
	if (other >= 0)
		close(other);
	if (other != -ECONNREFUSED)
		return -EADDRINUSE;
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	return bind(socket_fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
}

/*
 * Nobody may connect before owner, group and mode are right: the file is born with no permissions at all
 * (Linux takes them from the unbound socket), whatever the umask, and gets its own before listen().
 */
static int make_socket(struct vhost_user_endpoint *endpoint, int socket_fd)
{
	const struct vhost_user_options *options = &endpoint->options;
	struct sockaddr_un address;
	struct stat status;
	int error = address_of(options->endpoint.path, &address);

	if (error)
		return error;
	if (fchmod(socket_fd, 0) < 0)
		return -errno;
	error = bind_new(socket_fd, &address);
	if (error)
		return error;
	if (lstat(options->endpoint.path, &status) < 0)
		return -errno;
	endpoint->file_created = true;
	endpoint->file_device = status.st_dev;
	endpoint->file_inode = status.st_ino;
	if (lchown(options->endpoint.path, options->endpoint.owner, options->endpoint.group) < 0)
		return -errno;
	if (chmod(options->endpoint.path, options->endpoint.mode ? options->endpoint.mode : 0600) < 0)
		return -errno;
	return listen(socket_fd, LISTEN_BACKLOG) < 0 ? -errno : 0;
}

int vhost_user_socket_listen_fd(struct vhost_user_endpoint *endpoint, int fd)
{
	int error = fd_set_nonblocking(fd, true);

	endpoint->listen_watch.ready = on_listen_ready;
	if (!error)
		error = loop_watch_start(control_of(endpoint), &endpoint->listen_watch, fd, POLLIN);
	if (error)
		return error;
	endpoint->listen_fd = fd;
	/* Front ends may be waiting in the backlog of an inherited socket. */
	loop_defer(control_of(endpoint), &endpoint->accept_task);
	return 0;
}

static int listen_at_path(struct vhost_user_endpoint *endpoint)
{
	int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error = socket_fd < 0 ? -errno : make_socket(endpoint, socket_fd);

	if (!error)
		error = vhost_user_socket_listen_fd(endpoint, socket_fd);
	if (error)
		fd_close(&socket_fd);
	return error;
}

static int check_listening(int fd)
{
	int listening = 0;
	socklen_t length = sizeof(listening);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) < 0)
		return -errno;
	return listening ? 0 : -EINVAL;
}

static int adopt_connected(struct vhost_user_endpoint *endpoint, int fd)
{
	struct vhost_user_connection *connection;
	int error = fd_set_nonblocking(fd, true);

	if (error)
		return error;
	connection = vhost_user_connection_create(endpoint, fd);
	if (!connection)
		return -ENOMEM;
	endpoint->connects++;
	return vhost_user_connection_begin(connection);
}

int vhost_user_socket_open(struct vhost_user_endpoint *endpoint)
{
	const struct vhost_user_options *options = &endpoint->options;
	int error;

	endpoint->retry_timer.expired = on_retry;
	endpoint->accept_task.run = on_accept_task;
	switch (options->endpoint.socket) {
	case ENDPOINT_LISTEN:
		return listen_at_path(endpoint);
	case ENDPOINT_LISTEN_FD:
		error = check_listening(options->endpoint.fd);
		return error ? error : vhost_user_socket_listen_fd(endpoint, options->endpoint.fd);
	case ENDPOINT_CONNECTED_FD:
		return adopt_connected(endpoint, options->endpoint.fd);
	case ENDPOINT_CONNECT:
		connect_again(endpoint);
		return 0;
	}
	return -EINVAL;
}

/* ---- takeover, end ---- */

void vhost_user_socket_pause(struct vhost_user_endpoint *endpoint)
{
	loop_timer_stop(control_of(endpoint), &endpoint->retry_timer);
	loop_watch_stop(control_of(endpoint), &endpoint->listen_watch);
	loop_defer_cancel(control_of(endpoint), &endpoint->accept_task);
}

int vhost_user_socket_resume(struct vhost_user_endpoint *endpoint)
{
	endpoint->retry_timer.expired = on_retry;
	endpoint->accept_task.run = on_accept_task;
	endpoint->paused = false;
	if (endpoint->listen_fd >= 0)
		return vhost_user_socket_listen_fd(endpoint, endpoint->listen_fd);
	vhost_user_socket_retry(endpoint);
	return 0;
}

static void remove_file(struct vhost_user_endpoint *endpoint)
{
	struct stat status;

	if (endpoint->file_created && !endpoint->handed_over &&
	    lstat(endpoint->options.endpoint.path, &status) == 0 && status.st_dev == endpoint->file_device &&
	    status.st_ino == endpoint->file_inode)
		unlink(endpoint->options.endpoint.path);
	endpoint->file_created = false;
}

void vhost_user_socket_finish(struct vhost_user_endpoint *endpoint)
{
	vhost_user_socket_pause(endpoint);
	remove_file(endpoint);
	fd_close(&endpoint->listen_fd);
}
