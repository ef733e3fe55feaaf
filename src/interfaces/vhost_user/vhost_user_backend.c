/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Without a doorman the descriptor is shared with the front end, which can clear O_NONBLOCK at any moment and
 * stop reading. Messages are therefore sent and received with MSG_DONTWAIT, one at a time.
 */
#include "interfaces/vhost_user/vhost_user_backend.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "core/container.h"
#include "core/fd.h"
#include "core/handover.h"
#include "core/log.h"
#include "interfaces/endpoint_fd.h"
#include "interfaces/vhost_user/vhost_user_connection.h"
#include "interfaces/vhost_user/vhost_user_endpoint.h"
#include "interfaces/vhost_user/vhost_user_handlers.h"

#define RETRY_NS (100 * NS_PER_MS)

static uint64_t now_of(const struct vhost_user_connection *connection)
{
	return loop_now_ns(vhost_user_connection_control(connection));
}

/* ---- what is done with an answer ---- */

/* 0, -ECANCELED (the channel ended first) or -EREMOTEIO (the front end says that it failed). */
static void on_config_change_answered(struct vhost_user_connection *connection, int result)
{
	if (result == -EREMOTEIO)
		log_guest(&connection->endpoint->subject, "front end: could not take the new configuration");
}

/* By request, so that a successor knows what to do with an answer that its predecessor asked for. */
static const struct {
	void (*answered)(struct vhost_user_connection *connection, int result);
} requests[VHOST_USER_BACKEND_REQUESTS] = {
	[VHOST_USER_BACKEND_CONFIG_CHANGE_MSG] = { on_config_change_answered },
};

static bool is_known(uint64_t request)
{
	return request < VHOST_USER_BACKEND_REQUESTS && requests[request].answered;
}

/* The oldest message is answered. */
static void answered(struct vhost_user_connection *connection, int result)
{
	struct vhost_user_backend *backend = &connection->backend;
	uint32_t request = backend->asked[0].request;

	assert(backend->asked_count > 0 && is_known(request));
	backend->asked_count--;
	memmove(&backend->asked[0], &backend->asked[1], backend->asked_count * sizeof(backend->asked[0]));
	requests[request].answered(connection, result);
}

/* ---- life ---- */

void vhost_user_backend_finish(struct vhost_user_connection *connection)
{
	struct vhost_user_backend *backend = &connection->backend;

	vhost_user_backend_suspend(connection);
	fd_close(&backend->fd);
	backend->config_news = false;
	backend->full_since_ns = 0;
	backend->received = 0;
	/* The successor gets the answers to what was handed over. */
	if (connection->endpoint->handed_over)
		backend->asked_count = 0;
	while (backend->asked_count > 0)
		answered(connection, -ECANCELED);
}

static void channel_failed(struct vhost_user_connection *connection, const char *reason)
{
	log_guest(&connection->endpoint->subject, "front end: back-end channel closed: %s", reason);
	connection->endpoint->protocol_errors++;
	vhost_user_backend_finish(connection);
}

enum vhost_user_outcome vhost_user_set_backend_req_fd(struct vhost_user_connection *connection,
						      struct vhost_user_message *message)
{
	int fd = vhost_user_message_take_fd(message, 0);

	if (!endpoint_fd_is_stream(fd)) {
		vhost_user_complain(connection, "not a stream socket", (uint64_t)fd);
		fd_close(&fd);
		return VHOST_USER_VIOLATION;
	}
	vhost_user_backend_finish(connection);
	connection->backend.fd = fd;
	vhost_user_backend_resume(connection);
	return VHOST_USER_DONE;
}

/* ---- sending ---- */

/*
 * There is room to remember it. Returns 0, -EAGAIN (the socket has no room now) or another -errno, after
 * which the channel cannot be used.
 */
static int send_request(struct vhost_user_connection *connection, uint32_t request)
{
	struct vhost_user_backend *backend = &connection->backend;
	bool ask = connection->protocol_features & VHOST_USER_PROTOCOL_BIT(REPLY_ACK);
	struct vhost_user_header header = {
		.request = request,
		.flags = VHOST_USER_VERSION | (ask ? VHOST_USER_FLAG_NEED_REPLY : 0),
	};
	ssize_t sent;

	assert(backend->asked_count < VHOST_USER_ASKED_MAX);
	sent = send(backend->fd, &header, sizeof(header), MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (sent != (ssize_t)sizeof(header))
		return -EMSGSIZE;
	if (ask)
		backend->asked[backend->asked_count++] =
			(struct vhost_user_asked){ request, now_of(connection) };
	return 0;
}

static bool can_send_news(const struct vhost_user_backend *backend)
{
	return backend->fd >= 0 && backend->config_news && backend->asked_count < VHOST_USER_ASKED_MAX;
}

static void send_news(struct vhost_user_connection *connection)
{
	struct vhost_user_backend *backend = &connection->backend;
	uint64_t now = now_of(connection);
	int error = send_request(connection, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);

	if (error == 0) {
		backend->config_news = false;
		backend->full_since_ns = 0;
	} else if (error != -EAGAIN) {
		channel_failed(connection, error == -EMSGSIZE ? "half a message sent" : "peer has gone");
	} else if (backend->full_since_ns == 0) {
		backend->full_since_ns = now;
	} else if (now - backend->full_since_ns > VHOST_USER_CHANNEL_NS) {
		channel_failed(connection, "the front end does not read it");
	}
}

/* ---- receiving ---- */

static void take_answer(struct vhost_user_connection *connection)
{
	struct vhost_user_backend *backend = &connection->backend;
	uint64_t value;

	memcpy(&value, backend->answer + sizeof(struct vhost_user_header), sizeof(value));
	backend->received = 0;
	answered(connection, value ? -EREMOTEIO : 0);
}

/* Returns NULL, or what is wrong with the bytes that have come in. */
static const char *check_answer(const struct vhost_user_backend *backend)
{
	struct vhost_user_header header;

	if (backend->asked_count == 0)
		return "an answer to nothing";
	if (backend->received < sizeof(header))
		return NULL;
	memcpy(&header, backend->answer, sizeof(header));
	return vhost_user_answer_check(&header, backend->asked[0].request);
}

/* One read; returns true when there may be more. */
static bool receive(struct vhost_user_connection *connection)
{
	struct vhost_user_backend *backend = &connection->backend;
	int fds[FD_MESSAGE_MAX];
	size_t fd_count = 0;
	const char *wrong;
	ssize_t received = fd_receive(backend->fd, backend->answer + backend->received,
				      sizeof(backend->answer) - backend->received, fds, FD_MESSAGE_MAX,
				      &fd_count);

	if (received == -EAGAIN)
		return false;
	for (size_t i = 0; i < fd_count && (received >= 0 || received == -EMSGSIZE); i++)
		fd_close(&fds[i]);
	if (received == 0) {
		log_debug(&connection->endpoint->subject, "front end closed its back-end channel");
		vhost_user_backend_finish(connection);
		return false;
	}
	backend->received += received > 0 ? (size_t)received : 0;
	wrong = received < 0 ? "cannot be read" : fd_count > 0 ? "descriptors in it" : check_answer(backend);
	if (wrong) {
		channel_failed(connection, wrong);
		return false;
	}
	if (backend->received == sizeof(backend->answer))
		take_answer(connection);
	return backend->fd >= 0;
}

/* ---- what is next ---- */

static void arm_timer(struct vhost_user_connection *connection)
{
	struct vhost_user_backend *backend = &connection->backend;
	struct loop *control = vhost_user_connection_control(connection);
	uint64_t retry = now_of(connection) + RETRY_NS, due = UINT64_MAX;

	if (backend->asked_count > 0)
		due = backend->asked[0].since_ns + VHOST_USER_ANSWER_NS;
	if (can_send_news(backend) && retry < due)
		due = retry;
	if (due == UINT64_MAX)
		loop_timer_stop(control, &backend->timer);
	else
		loop_timer_start(control, &backend->timer, due);
}

static void advance(struct vhost_user_connection *connection)
{
	struct vhost_user_backend *backend = &connection->backend;

	if (backend->fd >= 0 && backend->asked_count > 0 &&
	    now_of(connection) - backend->asked[0].since_ns >= VHOST_USER_ANSWER_NS)
		channel_failed(connection, "no answer");
	if (can_send_news(backend))
		send_news(connection);
	arm_timer(connection);
}

static void on_ready(struct loop_watch *watch, unsigned events)
{
	struct vhost_user_connection *connection =
		container_of(watch, struct vhost_user_connection, backend.watch);

	/* Ends: each whole answer was asked for, and what nothing asked for ends the channel. */
	while (receive(connection))
		;
	advance(connection);
}

static void on_timer(struct loop_timer *timer)
{
	advance(container_of(timer, struct vhost_user_connection, backend.timer));
}

void vhost_user_backend_init(struct vhost_user_backend *backend)
{
	*backend = (struct vhost_user_backend){
		.fd = -1,
		.watch.ready = on_ready,
		.timer.expired = on_timer,
	};
}

void vhost_user_backend_notify(struct vhost_user_connection *connection)
{
	struct vhost_user_backend *backend = &connection->backend;

	if (backend->fd < 0 || backend->config_news ||
	    !(connection->protocol_features & VHOST_USER_PROTOCOL_BIT(CONFIG)))
		return;
	backend->config_news = true;
	if (!connection->endpoint->suspending)
		advance(connection);
}

/* ---- takeover ---- */

void vhost_user_backend_suspend(struct vhost_user_connection *connection)
{
	struct loop *control = vhost_user_connection_control(connection);

	loop_timer_stop(control, &connection->backend.timer);
	loop_watch_stop(control, &connection->backend.watch);
}

void vhost_user_backend_resume(struct vhost_user_connection *connection)
{
	struct vhost_user_backend *backend = &connection->backend;

	if (backend->fd < 0)
		return;
	for (unsigned i = 0; i < backend->asked_count; i++)
		backend->asked[i].since_ns = now_of(connection);
	if (loop_watch_start(vhost_user_connection_control(connection), &backend->watch, backend->fd,
			     POLLIN | POLLRDHUP))
		channel_failed(connection, "out of memory");
	else
		advance(connection);
}

void vhost_user_backend_save(const struct vhost_user_connection *connection, struct handover *handover,
			     bool with_asked)
{
	const struct vhost_user_backend *backend = &connection->backend;

	assert(with_asked || (backend->asked_count == 0 && backend->received == 0));
	handover_put_u64(handover, backend->config_news);
	handover_put_fd(handover, backend->fd);
	if (!with_asked)
		return;
	handover_put_u64(handover, backend->asked_count);
	for (unsigned i = 0; i < backend->asked_count; i++)
		handover_put_u64(handover, backend->asked[i].request);
	handover_put_bytes(handover, backend->answer, backend->received);
}

static void restore_asked(struct vhost_user_backend *backend, struct handover *handover)
{
	uint64_t count = handover_get_at_most(handover, VHOST_USER_ASKED_MAX);

	for (uint64_t i = 0; i < count; i++) {
		uint64_t request = handover_get_u64(handover);

		handover_fail_if(handover, !is_known(request));
		if (!handover->error)
			backend->asked[backend->asked_count++].request = (uint32_t)request;
	}
	backend->received = handover_get_bytes(handover, backend->answer, sizeof(backend->answer));
	handover_fail_if(handover, backend->received == sizeof(backend->answer));
	handover_fail_if(handover, backend->fd < 0 && backend->asked_count > 0);
	handover_fail_if(handover, backend->received > 0 && check_answer(backend));
}

void vhost_user_backend_restore(struct vhost_user_connection *connection, struct handover *handover,
				bool with_asked)
{
	struct vhost_user_backend *backend = &connection->backend;

	backend->config_news = handover_get_flag(handover);
	backend->fd = handover_get_fd(handover);
	if (with_asked)
		restore_asked(backend, handover);
}
