/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Migration: the dirty log that the front end gives us. */
#include <errno.h>

#include "core/reaper.h"
#include "interfaces/endpoint_fd.h"
#include "interfaces/vhost_user/vhost_user_connection.h"
#include "interfaces/vhost_user/vhost_user_handlers.h"
#include "interfaces/vhost_user/vhost_user_queue.h"
#include "interfaces/virtio/dirty_log.h"

/* Every ring writes to the new log now: the old one can go. */
static void on_log_changed(struct vhost_user_connection *connection)
{
	dirty_log_put(connection->log_old);
	connection->log_old = NULL;
	vhost_user_message_finish(connection, VHOST_USER_DONE);
}

/* Answered with a number of its own, zero for success, whether or not an acknowledgement was asked for. */
enum vhost_user_outcome vhost_user_set_log_base(struct vhost_user_connection *connection,
						struct vhost_user_message *message)
{
	const struct vhost_user_log *description = &message->payload.log;
	struct dirty_log *log;
	int error = dirty_log_open(message->fds[0], description->offset, description->bytes, &log);

	connection->reply.u64 = error ? 1 : 0;
	connection->reply_size = sizeof(connection->reply.u64);
	if (error) {
		vhost_user_complain(connection,
				    error == -EBADF ? "not a memory file" : "log does not fit its file",
				    description->bytes);
		return error == -EBADF ? VHOST_USER_VIOLATION : VHOST_USER_DONE;
	}
	reaper_close(&connection->log_fd);
	connection->log_fd = vhost_user_message_take_fd(message, 0);
	connection->log_description = *description;
	connection->log_old = connection->log;
	connection->log = log;
	vhost_user_job_begin(connection, on_log_changed);
	vhost_user_queues_post_log(connection);
	vhost_user_job_end_posting(connection);
	return VHOST_USER_LATER;
}

/* The front end reads the log when it wants to; we do not need to tell it that something is there. */
enum vhost_user_outcome vhost_user_set_log_fd(struct vhost_user_connection *connection,
					      struct vhost_user_message *message)
{
	if (endpoint_fd_is_eventfd(message->fds[0]))
		return VHOST_USER_DONE;
	vhost_user_complain(connection, "not an eventfd", 0);
	return VHOST_USER_VIOLATION;
}
