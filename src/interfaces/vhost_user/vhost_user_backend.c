/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What we say unasked: config-change messages on the back-end channel, and the err descriptors of rings.
 *
 * Both descriptors are shared with the front end, which can clear O_NONBLOCK at any moment and stop reading.
 * Messages are therefore sent with MSG_DONTWAIT, one at a time; events are written by io_uring, where a
 * counter that is full blocks only the request, which is cancelled with the connection.
 */
#include "interfaces/vhost_user/vhost_user_connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/fd.h"

/* ---- config-change messages ---- */

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
	connection->backend_fd = fd;
	return VHOST_USER_DONE;
}

void vhost_user_backend_finish(struct vhost_user_connection *connection)
{
	loop_timer_stop(connection->endpoint->options.endpoint.control, &connection->backend_timer);
	/* Its peer may have sent what we never read. */
	if (connection->backend_fd >= 0)
		endpoint_strangers_close_socket(&connection->endpoint->strangers, &connection->backend_fd);
	connection->config_news = false;
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
	struct loop *control = connection->endpoint->options.endpoint.control;
	ssize_t sent = send(connection->backend_fd, &header, sizeof(header), MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent == (ssize_t)sizeof(header)) {
		connection->config_news = false;
	} else if (sent >= 0) {
		channel_failed(connection, "half a message sent");
	} else if (errno != EAGAIN && errno != EINTR) {
		channel_failed(connection, "peer has gone");
	} else if (loop_now_ns(control) - connection->backend_since_ns > VHOST_USER_BACKEND_CHANNEL_NS) {
		channel_failed(connection, "the front end does not read it");
	} else {
		loop_timer_start(control, &connection->backend_timer,
				 loop_now_ns(control) + VHOST_USER_BACKEND_RETRY_NS);
	}
}

static void on_backend_timer(struct loop_timer *timer)
{
	try_send(container_of(timer, struct vhost_user_connection, backend_timer));
}

/* Changes coalesce: one message that waits for room stands for all that came since. */
void vhost_user_backend_notify(struct vhost_user_connection *connection)
{
	if (connection->backend_fd < 0 || connection->config_news ||
	    !(connection->protocol_features & VHOST_USER_PROTOCOL_BIT(CONFIG)))
		return;
	connection->config_news = true;
	/* Suspended: nothing is sent; the message goes out on resumption, here or in the successor. */
	if (connection->endpoint->suspending)
		return;
	connection->backend_timer.expired = on_backend_timer;
	connection->backend_since_ns = loop_now_ns(connection->endpoint->options.endpoint.control);
	try_send(connection);
}

/* ---- err descriptors ---- */

struct vhost_user_error_signal {
	struct loop_op op;
	struct vhost_user_queue *queue;
	uint64_t one;
	int fd;
	bool cancelled;
};

static void on_signalled(struct loop_op *op, int result, unsigned cqe_flags)
{
	struct vhost_user_error_signal *error_signal = container_of(op, struct vhost_user_error_signal, op);
	struct vhost_user_connection *connection = error_signal->queue->connection;

	error_signal->queue->error_signal = NULL;
	connection->error_signals--;
	fd_close(&error_signal->fd);
	free(error_signal);
	if (connection->closing)
		vhost_user_connection_defer(connection);
}

/* At most one under way for each queue. A front end without memory of ours learns of it by its status. */
void vhost_user_error_signal(struct vhost_user_queue *queue)
{
	struct vhost_user_error_signal *error_signal;
	struct io_uring_sqe *sqe;

	if (queue->err_fd < 0 || queue->error_signal || queue->connection->closing)
		return;
	error_signal = calloc(1, sizeof(*error_signal));
	if (!error_signal)
		return;
	error_signal->fd = fcntl(queue->err_fd, F_DUPFD_CLOEXEC, 0);
	if (error_signal->fd < 0) {
		free(error_signal);
		return;
	}
	error_signal->op.done = on_signalled;
	error_signal->queue = queue;
	error_signal->one = 1;
	queue->error_signal = error_signal;
	queue->connection->error_signals++;
	sqe = loop_sqe(queue->connection->endpoint->options.endpoint.control);
	io_uring_prep_write(sqe, error_signal->fd, &error_signal->one, sizeof(error_signal->one), 0);
	loop_sqe_finish(queue->connection->endpoint->options.endpoint.control, sqe, &error_signal->op);
}

void vhost_user_error_signals_cancel(struct vhost_user_connection *connection)
{
	for (unsigned i = 0; i < connection->queue_count; i++) {
		struct vhost_user_error_signal *error_signal = connection->queues[i].error_signal;
		struct io_uring_sqe *sqe;

		if (!error_signal || error_signal->cancelled)
			continue;
		error_signal->cancelled = true;
		sqe = loop_sqe(connection->endpoint->options.endpoint.control);
		io_uring_prep_cancel(sqe, &error_signal->op, 0);
		io_uring_sqe_set_data(sqe, NULL);
	}
}
