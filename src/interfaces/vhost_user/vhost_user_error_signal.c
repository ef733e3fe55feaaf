/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An err descriptor is shared with the front end, which can clear O_NONBLOCK at any moment and let its
 * counter fill up. io_uring writes to it: a counter that is full blocks only that request, which is cancelled
 * with the connection.
 */
#include "interfaces/vhost_user/vhost_user_error_signal.h"

#include <fcntl.h>
#include <stdlib.h>

#include "core/container.h"
#include "core/fd.h"
#include "core/loop.h"
#include "core/loop_rescue.h"
#include "interfaces/vhost_user/vhost_user_connection.h"
#include "interfaces/vhost_user/vhost_user_queue.h"

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

	loop_peer_write_end(vhost_user_connection_control(connection));
	error_signal->queue->error_signal = NULL;
	connection->error_signals--;
	fd_close(&error_signal->fd);
	free(error_signal);
	if (result == -EINTR)
		vhost_user_connection_punish(connection, "its err descriptor made the control thread wait");
	if (connection->closing)
		vhost_user_connection_defer(connection);
}

/* Without memory for the signal the front end learns of it by the device's status. */
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
	loop_peer_write_begin(vhost_user_connection_control(queue->connection));
	sqe = loop_sqe(vhost_user_connection_control(queue->connection));
	io_uring_prep_write(sqe, error_signal->fd, &error_signal->one, sizeof(error_signal->one), 0);
	loop_sqe_finish(vhost_user_connection_control(queue->connection), sqe, &error_signal->op);
	loop_peer_write_prepared(vhost_user_connection_control(queue->connection));
}

void vhost_user_error_signals_cancel(struct vhost_user_connection *connection)
{
	for (unsigned i = 0; i < connection->queue_count; i++) {
		struct vhost_user_error_signal *error_signal = connection->queues[i].error_signal;
		struct io_uring_sqe *sqe;

		if (!error_signal || error_signal->cancelled)
			continue;
		error_signal->cancelled = true;
		sqe = loop_sqe(vhost_user_connection_control(connection));
		io_uring_prep_cancel(sqe, &error_signal->op, 0);
		io_uring_sqe_set_data(sqe, NULL);
	}
}

void vhost_user_queue_mark_broken(struct vhost_user_queue *queue, enum virtqueue_violation violation,
				  uint64_t offending_value)
{
	struct vhost_user_connection *connection = queue->connection;

	queue->broken = true;
	connection->endpoint->violations[violation]++;
	log_guest(&connection->endpoint->subject,
		  "q%u: %s (%#llx): stopped until the guest resets the device", queue->index,
		  virtqueue_violation_text(violation), (unsigned long long)offending_value);
	if (violation == VIOLATION_CALL)
		vhost_user_connection_punish(connection, "its call descriptor made a worker wait");
	else
		vhost_user_error_signal(queue);
	if (connection->closing)
		return;
	vhost_user_backend_notify(connection);
	connection->enable_news = true;
	vhost_user_connection_defer(connection);
}
