/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The API's HTTP side: libmicrohttpd without threads of its own. Its epoll descriptor is watched by the
 * control loop, its time-outs are a timer there. We accept connections ourselves, and give them to it when it
 * is their turn (api_clients.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/fd.h"
#include "core/log.h"
#include "core/path.h"
#include "daemon/api/api.h"
#include "daemon/api/api_clients.h"
#include "daemon/api/api_stream.h"
#include "daemon/base/daemon.h"
#include "daemon/base/takeover_offer.h"
#include "daemon/base/unix_socket.h"

/* Headers and reading buffer of one connection. */
#define API_CONNECTION_BYTES (32u * 1024)
/* Rounds of MHD_run() in one turn of the control loop. */
#define API_ROUNDS_MAX 16
/* Accepted in one turn: a few µs each, of 1024 that the kernel keeps. */
#define API_ACCEPTS_MAX 128
/* Until a request that has to wait is dispatched again. */
#define API_LATER_NS NS_PER_MS
/* After an accept() that failed, as for want of descriptors. */
#define API_ACCEPT_RETRY_NS (100 * NS_PER_MS)

struct api {
	struct daemon *daemon;
	struct MHD_Daemon *server;
	char socket_path[SOCKET_PATH_SIZE + 16];
	int socket;
	int epoll; /* the server's */
	struct loop_watch arrivals, watch;
	struct loop_timer timer;
	struct loop_task again;
	struct api_streams streams;
	struct api_clients clients;
	struct upload *waiting; /* to be dispatched again */
	struct loop_timer later;
	bool accept_failed;
	bool passed; /* the service manager owns the socket file */
};

/* A request on its way in. */
struct upload {
	struct MHD_Connection *connection;
	struct upload *next; /* of those that wait */
	size_t length;
	bool too_large;
	char *body; /* API_BODY_MAX bytes, from the first byte of a body on */
};

/* ---- requests ---- */

static enum MHD_Result send_response(struct MHD_Connection *connection, struct api_response *response)
{
	static char out_of_memory[] = "{\"error\": \"out of memory\"}";
	struct MHD_Response *out;
	enum MHD_Result result;

	if (response->body) {
		out = MHD_create_response_from_buffer(response->body_length, response->body,
						      MHD_RESPMEM_MUST_FREE);
		if (!out)
			free(response->body);
	} else {
		out = MHD_create_response_from_buffer(strlen(out_of_memory), out_of_memory,
						      MHD_RESPMEM_PERSISTENT);
	}
	if (!out)
		return MHD_NO;
	MHD_add_response_header(out, MHD_HTTP_HEADER_CONTENT_TYPE,
				response->content_type ? response->content_type : "application/json");
	if (response->allow[0])
		MHD_add_response_header(out, MHD_HTTP_HEADER_ALLOW, response->allow);
	result = MHD_queue_response(connection, response->body ? response->status : 500, out);
	MHD_destroy_response(out);
	return result;
}

static enum MHD_Result send_stream(struct api *api, struct MHD_Connection *connection,
				   struct api_stream *stream)
{
	struct api_response response = { .status = 500 };

	if (api_streams_answer(&api->streams, connection, stream))
		return MHD_YES;
	api_respond_error(&response, 503,
			  "there are %u captures and attached consoles already; end one of them",
			  API_STREAMS_MAX);
	return send_response(connection, &response);
}

static enum MHD_Result refuse_large(struct MHD_Connection *connection)
{
	struct api_response response = { .status = 500 };

	api_respond_error(&response, 413, "the body is larger than %lu bytes", API_BODY_MAX);
	return send_response(connection, &response);
}

/* Says so before the body is sent, if the client announces its length. */
static bool announced_too_large(struct MHD_Connection *connection)
{
	const char *text =
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return text && strtoull(text, NULL, 10) > API_BODY_MAX;
}

static enum MHD_Result receive(struct upload *upload, const char *data, size_t *bytes)
{
	if (!upload->body)
		upload->body = malloc(API_BODY_MAX);
	if (!upload->body)
		return MHD_NO;
	if (*bytes > API_BODY_MAX - upload->length) {
		upload->too_large = true;
	} else {
		memcpy(upload->body + upload->length, data, *bytes);
		upload->length += *bytes;
	}
	*bytes = 0;
	return MHD_YES;
}

/* Nothing of the connection is heard until it goes on; its client's time runs. */
static enum MHD_Result put_aside(struct api *api, struct upload *upload)
{
	MHD_suspend_connection(upload->connection);
	upload->next = api->waiting;
	api->waiting = upload;
	if (!upload->next)
		loop_timer_start(api->daemon->control, &api->later, clock_now_ns() + API_LATER_NS);
	return MHD_YES;
}

static void take_up(struct api *api)
{
	while (api->waiting) {
		struct upload *upload = api->waiting;

		api->waiting = upload->next;
		MHD_resume_connection(upload->connection);
	}
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data, size_t *bytes,
				  void **connection_context)
{
	struct api *api = context;
	struct upload *upload = *connection_context;
	struct api_response response;
	struct api_request request = { .method = method, .path = url };

	if (!upload) {
		if (announced_too_large(connection))
			return refuse_large(connection);
		upload = calloc(1, sizeof(*upload));
		if (upload)
			upload->connection = connection;
		*connection_context = upload;
		return upload ? MHD_YES : MHD_NO;
	}
	if (*bytes > 0)
		return receive(upload, data, bytes);
	if (upload->too_large)
		return refuse_large(connection);
	request.body = upload->body ? upload->body : "";
	request.body_length = upload->length;
	api_dispatch(api->daemon, &request, &response);
	if (response.later)
		return put_aside(api, upload);
	if (response.stream)
		api_clients_stream(&api->clients, connection);
	else
		api_clients_next_step(&api->clients, connection);
	return response.stream ? send_stream(api, connection, response.stream)
			       : send_response(connection, &response);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **connection_context,
			 enum MHD_RequestTerminationCode code)
{
	struct upload *upload = *connection_context;
	struct api *api = context;

	api_clients_next_step(&api->clients, connection);
	if (upload)
		free(upload->body);
	free(upload);
	*connection_context = NULL;
}

/* ---- in the control loop ---- */

static bool is_readable(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) > 0;
}

/* Returns whether more may have come. */
static bool accept_some(struct api *api)
{
	struct ucred peer;
	socklen_t length;
	int fd;

	api->accept_failed = false;
	for (unsigned i = 0; i < API_ACCEPTS_MAX; i++) {
		fd = accept4(api->socket, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
			continue;
		if (fd < 0) {
			api->accept_failed = errno != EAGAIN;
			return false;
		}
		peer = (struct ucred){ .uid = (uid_t)-1 };
		length = sizeof(peer);
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
		api_clients_arrive(&api->clients, fd, &peer);
	}
	return true;
}

/* The server takes the socket in any case. */
static bool enter(void *context, int fd)
{
	static const struct sockaddr address = { .sa_family = AF_UNIX };
	struct api *api = context;

	return MHD_add_connection(api->server, fd, &address, sizeof(address.sa_family)) == MHD_YES;
}

static void arm(struct api *api)
{
	struct loop *loop = api->daemon->control;
	MHD_UNSIGNED_LONG_LONG timeout_ms;
	uint64_t wait_ns = UINT64_MAX;

	if (MHD_get_timeout(api->server, &timeout_ms) == MHD_YES)
		wait_ns = timeout_ms * NS_PER_MS;
	if (api->accept_failed && wait_ns > API_ACCEPT_RETRY_NS)
		wait_ns = API_ACCEPT_RETRY_NS;
	if (wait_ns == UINT64_MAX)
		loop_timer_stop(loop, &api->timer);
	else if (wait_ns == 0)
		loop_defer(loop, &api->again);
	else
		loop_timer_start(loop, &api->timer, clock_now_ns() + wait_ns);
}

/* Lets the server work until a round finds nothing ready, then arms its time-out. */
static void run(struct api *api)
{
	unsigned rounds = 0;
	bool more, busy;

	more = accept_some(api);
	more = api_clients_admit(&api->clients, enter, api) || more;
	do {
		busy = is_readable(api->epoll);
		MHD_run(api->server);
	} while (busy && ++rounds < API_ROUNDS_MAX);
	if (more || rounds == API_ROUNDS_MAX)
		loop_defer(api->daemon->control, &api->again);
	else
		arm(api);
}

static void on_arrivals(struct loop_watch *watch, unsigned events)
{
	run(container_of(watch, struct api, arrivals));
}

static void on_ready(struct loop_watch *watch, unsigned events)
{
	run(container_of(watch, struct api, watch));
}

static void on_timer(struct loop_timer *timer)
{
	run(container_of(timer, struct api, timer));
}

static void on_later(struct loop_timer *timer)
{
	struct api *api = container_of(timer, struct api, later);

	take_up(api);
	run(api);
}

static void on_again(struct loop_task *task)
{
	run(container_of(task, struct api, again));
}

/* ---- the socket ---- */

static int listen_at(struct api *api, struct error *error)
{
	int fd;

	daemon_remove_leftover(api->daemon, api->socket_path);
	fd = unix_socket_listen(api->socket_path, 0660);

	if (fd == -EADDRINUSE)
		return error_set(error, fd,
				 "another viaductd serves %s; stop it, use --takeover to replace it, or name "
				 "another directory with --runtime-dir",
				 api->daemon->runtime_dir);
	if (fd < 0)
		return error_set(error, fd, "cannot listen on %s: %s", api->socket_path, strerror(-fd));
	return fd;
}

/* Members of the daemon's group may use the API, also when we change to it only later. */
static void set_group(struct api *api)
{
	const struct config_daemon *settings = config_daemon(api->daemon->config);
	const struct passwd *user = settings->user ? getpwnam(settings->user) : NULL;
	const struct group *group = settings->group ? getgrnam(settings->group) : NULL;
	uid_t owner = user ? user->pw_uid : (uid_t)-1;
	int file, error;

	if (!user && !group)
		return;
	file = path_open(api->socket_path, O_PATH | O_NOFOLLOW, 0);
	error = file < 0 ? file : path_give(file, owner, group ? group->gr_gid : user->pw_gid);
	fd_close(&file);
	if (error)
		log_warning(NULL, "cannot give %s to the group of the configuration: %s", api->socket_path,
			    strerror(-error));
}

static int take_socket(struct api *api, struct error *error)
{
	int fd = takeover_offer_take(api->daemon->offer, "api", "");

	if (fd < 0) {
		fd = notify_fds_take(&api->daemon->fds, "api");
		api->passed = fd >= 0;
	}
	if (fd >= 0) {
		int code = fd_set_nonblocking(fd, true);

		return code ? error_set(error, code, "the API's socket that was passed: %s", strerror(-code))
			    : fd;
	}
	fd = listen_at(api, error);
	if (fd >= 0)
		set_group(api);
	return fd;
}

/* The library tells of clients that went away, which is no trouble of ours. */
static void log_library(void *context, const char *format, va_list arguments)
{
	char text[256];

	vsnprintf(text, sizeof(text), format, arguments);
	text[strcspn(text, "\n")] = '\0';
	log_debug(NULL, "API: %s", text);
}

static int start_server(struct api *api, struct error *error)
{
	const union MHD_DaemonInfo *info;

	api_clients_init(&api->clients, api->daemon->control);
	api->server = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0,
		NULL, NULL, on_request, api, MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL,
		MHD_OPTION_CONNECTION_LIMIT, API_CONNECTIONS_MAX + API_CONNECTIONS_RESERVE,
		MHD_OPTION_CONNECTION_TIMEOUT, API_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)API_CONNECTION_BYTES, MHD_OPTION_NOTIFY_COMPLETED, on_completed, api,
		MHD_OPTION_NOTIFY_CONNECTION, api_clients_notify, &api->clients, MHD_OPTION_END);
	if (!api->server)
		return error_set(error, -EIO, "cannot start the HTTP server");
	info = MHD_get_daemon_info(api->server, MHD_DAEMON_INFO_EPOLL_FD);
	api->epoll = info->epoll_fd;
	api->arrivals.ready = on_arrivals;
	api->watch.ready = on_ready;
	api->timer.expired = on_timer;
	api->later.expired = on_later;
	api->again.run = on_again;
	api->streams.loop = api->daemon->control;
	api->streams.run = &api->again;
	if (loop_watch_start(api->daemon->control, &api->watch, api->epoll, POLLIN) < 0 ||
	    loop_watch_start(api->daemon->control, &api->arrivals, api->socket, POLLIN) < 0)
		return error_set(error, -ENOMEM, "out of memory");
	return 0;
}

int api_create(struct daemon *daemon, struct api **ret_api, struct error *error)
{
	struct api *api = calloc(1, sizeof(*api));
	int code;

	if (!api)
		return error_set(error, -ENOMEM, "out of memory");
	api->daemon = daemon;
	snprintf(api->socket_path, sizeof(api->socket_path), "%s/api.sock", daemon->runtime_dir);
	api->socket = daemon->api_fd = take_socket(api, error);
	if (api->socket < 0) {
		code = api->socket;
		free(api);
		return code;
	}
	code = start_server(api, error);
	if (code) {
		api_destroy(api);
		return code;
	}
	*ret_api = api;
	return 0;
}

void api_destroy(struct api *api)
{
	if (!api)
		return;
	loop_watch_stop(api->daemon->control, &api->arrivals);
	loop_watch_stop(api->daemon->control, &api->watch);
	loop_timer_stop(api->daemon->control, &api->timer);
	if (!api->passed)
		unlink(api->socket_path);
	api_streams_end(&api->streams);
	loop_timer_stop(api->daemon->control, &api->later);
	take_up(api);
	loop_defer_cancel(api->daemon->control, &api->again);
	if (api->server)
		MHD_stop_daemon(api->server);
	api_clients_finish(&api->clients);
	fd_close(&api->socket);
	free(api);
}
