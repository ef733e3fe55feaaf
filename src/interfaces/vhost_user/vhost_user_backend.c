/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The descriptor is shared with the front end, which can clear O_NONBLOCK at any moment and stop reading.
 * Messages are therefore sent with MSG_DONTWAIT, one at a time.
 */
#include "interfaces/vhost_user/vhost_user_backend.h"

#include <errno.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "core/container.h"
#include "interfaces/endpoint_fd.h"
#include "interfaces/vhost_user/vhost_user_connection.h"
#include "interfaces/vhost_user/vhost_user_endpoint.h"
#include "interfaces/vhost_user/vhost_user_handlers.h"

/* A config-change message that the front end does not take for so long is dropped with its channel. */
#define CHANNEL_NS (10 * NS_PER_S)
#define RETRY_NS   (100 * NS_PER_MS)

enum vhost_user_outcome vhost_user_set_backend_req_fd(struct vhost_user_connection *connection,
						      struct vhost_user_message *message)
{
	int fd = vhost_user_message_take_fd(message, 0);

	if (!endpoint_fd_is_stream(fd)) {
		vhost_user_complain(connection, "not a stream socket", (uint64_t)fd);
		endpoint_strangers_close(&connection->endpoint->strangers, &fd);
		return VHOST_USER_VIOLATION;
	}
	vhost_user_backend_finish(connection);
	connection->backend.fd = fd;
	return VHOST_USER_DONE;
}

void vhost_user_backend_finish(struct vhost_user_connection *connection)
{
	loop_timer_stop(vhost_user_connection_control(connection), &connection->backend.timer);
	/* Its peer may have sent what we never read. */
	if (connection->backend.fd >= 0)
		endpoint_strangers_close_socket(&connection->endpoint->strangers, &connection->backend.fd);
	connection->backend.config_news = false;
}

static void channel_failed(struct vhost_user_connection *connection, const char *reason)
{
	log_guest(&connection->endpoint->subject, "front end: back-end channel closed: %s", reason);
	connection->endpoint->protocol_errors++;
	vhost_user_backend_finish(connection);
}

/* No reply is asked for, so nothing ever has to be read. */
static void try_send(struct vhost_user_connection *connection)
{
	struct vhost_user_header header = {
		.request = VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, .flags = VHOST_USER_VERSION,
	};
	struct loop *control = vhost_user_connection_control(connection);
	ssize_t sent = send(connection->backend.fd, &header, sizeof(header), MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent == (ssize_t)sizeof(header)) {
		connection->backend.config_news = false;
	} else if (sent >= 0) {
		channel_failed(connection, "half a message sent");
	} else if (errno != EAGAIN && errno != EINTR) {
		channel_failed(connection, "peer has gone");
	} else if (loop_now_ns(control) - connection->backend.since_ns > CHANNEL_NS) {
		channel_failed(connection, "the front end does not read it");
	} else {
		loop_timer_start(control, &connection->backend.timer, loop_now_ns(control) + RETRY_NS);
	}
}

static void on_backend_timer(struct loop_timer *timer)
{
	try_send(container_of(timer, struct vhost_user_connection, backend.timer));
}

/* Changes coalesce: one message that waits for room stands for all that came since. */
void vhost_user_backend_notify(struct vhost_user_connection *connection)
{
	if (connection->backend.fd < 0 || connection->backend.config_news ||
	    !(connection->protocol_features & VHOST_USER_PROTOCOL_BIT(CONFIG)))
		return;
	connection->backend.config_news = true;
	/* Suspended: nothing is sent; the message goes out on resumption, here or in the successor. */
	if (connection->endpoint->suspending)
		return;
	connection->backend.timer.expired = on_backend_timer;
	connection->backend.since_ns = loop_now_ns(vhost_user_connection_control(connection));
	try_send(connection);
}
