/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of a device that moves (SET_DEVICE_STATE_FD): nothing, because of a stateless model the front end
 * has all that there is, rings and configuration. Front ends ask all the same, and some save where the rings
 * stand only of a back end that has this (Cloud Hypervisor).
 *
 * The front end offers a pipe. It is not touched: to write to it, or to close it, may wait for the front end.
 * It gets an empty file instead, which cannot grow: the front end reads its end at once, and can write
 * nothing.
 */
#include "core/fd.h"
#include "interfaces/vhost_user/vhost_user_connection.h"
#include "interfaces/vhost_user/vhost_user_handlers.h"

enum vhost_user_outcome vhost_user_set_device_state_fd(struct vhost_user_connection *connection,
						       struct vhost_user_message *message)
{
	const struct vhost_user_transfer *transfer = &message->payload.transfer;
	int fd;

	connection->reply.u64 = VHOST_USER_TRANSFER_FAILED | VHOST_USER_TRANSFER_NOFD;
	connection->reply_size = sizeof(connection->reply.u64);
	if (transfer->direction > VHOST_USER_TRANSFER_LOAD ||
	    transfer->phase != VHOST_USER_TRANSFER_STOPPED) {
		vhost_user_complain(connection, "unknown direction or phase",
				    (uint64_t)transfer->direction << 32 | transfer->phase);
		return VHOST_USER_DONE;
	}
	fd = fd_memfd("viaduct-no-state", 0);
	if (fd < 0) {
		vhost_user_complain(connection, "no file for the state", (uint64_t)-fd);
		return VHOST_USER_DONE;
	}
	connection->reply.u64 = 0;
	connection->reply_fd = fd;
	return VHOST_USER_DONE;
}

/* Nothing was saved, and nothing can have been loaded. */
enum vhost_user_outcome vhost_user_check_device_state(struct vhost_user_connection *connection,
						      struct vhost_user_message *message)
{
	connection->reply.u64 = 0;
	connection->reply_size = sizeof(connection->reply.u64);
	return VHOST_USER_DONE;
}
