/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An err descriptor is shared with the front end, which can clear O_NONBLOCK at any moment and fill its
 * counter. One that is full has told already. If it fills up between the look and the write, loop_rescue.h
 * ends the wait.
 */
#include "interfaces/vhost_user/vhost_user_error_signal.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/loop.h"
#include "core/loop_rescue.h"
#include "interfaces/vhost_user/vhost_user_connection.h"
#include "interfaces/vhost_user/vhost_user_queue.h"

void vhost_user_error_signal(struct vhost_user_queue *queue)
{
	static const uint64_t one = 1;
	struct vhost_user_connection *connection = queue->connection;
	struct loop *control = vhost_user_connection_control(connection);
	struct pollfd look = { .fd = queue->err_fd, .events = POLLOUT };
	uint64_t begin_ns, ns;
	bool waited;

	if (queue->err_fd < 0 || connection->closing || poll(&look, 1, 0) <= 0 || !(look.revents & POLLOUT))
		return;
	loop_peer_write_begin(control);
	begin_ns = clock_thread_ns();
	waited = write(queue->err_fd, &one, sizeof(one)) < 0 && errno == EINTR;
	ns = clock_thread_ns() - begin_ns;
	loop_peer_write_end(control);
	if (waited)
		vhost_user_connection_punish(connection, "its err descriptor made the control thread wait");
	else if (ns >= SLOW_WRITE_NS &&
		 slowness_add(&connection->endpoint->error_writes, ns, loop_now_ns(control)))
		vhost_user_connection_punish(connection, "its err descriptor kept the control thread busy");
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
