/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The handlers that the table of messages names, by file. A handler sees a message whose size, descriptors,
 * features and state the table has checked; what the payload says is the handler's to check.
 */
#ifndef VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_HANDLERS_H
#define VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_HANDLERS_H

#include "interfaces/vhost_user/vhost_user_messages.h"

struct vhost_user_connection;

#define VHOST_USER_HANDLER(name)                                                                             \
	enum vhost_user_outcome vhost_user_##name(struct vhost_user_connection *connection,                  \
						  struct vhost_user_message *message)
/* vhost_user_device.c */
VHOST_USER_HANDLER(get_features);
VHOST_USER_HANDLER(set_features);
VHOST_USER_HANDLER(set_owner);
VHOST_USER_HANDLER(reset_owner);
VHOST_USER_HANDLER(get_protocol_features);
VHOST_USER_HANDLER(set_protocol_features);
VHOST_USER_HANDLER(get_queue_num);
VHOST_USER_HANDLER(get_config);
VHOST_USER_HANDLER(set_config);
VHOST_USER_HANDLER(reset_device);
VHOST_USER_HANDLER(set_status);
VHOST_USER_HANDLER(get_status);
/* vhost_user_memory.c */
VHOST_USER_HANDLER(set_mem_table);
VHOST_USER_HANDLER(get_max_mem_slots);
VHOST_USER_HANDLER(add_mem_reg);
VHOST_USER_HANDLER(rem_mem_reg);
/* vhost_user_state.c */
VHOST_USER_HANDLER(set_device_state_fd);
VHOST_USER_HANDLER(check_device_state);
/* vhost_user_log.c */
VHOST_USER_HANDLER(set_log_base);
VHOST_USER_HANDLER(set_log_fd);
/* vhost_user_rings.c */
VHOST_USER_HANDLER(set_vring_num);
VHOST_USER_HANDLER(set_vring_addr);
VHOST_USER_HANDLER(set_vring_base);
VHOST_USER_HANDLER(get_vring_base);
VHOST_USER_HANDLER(set_vring_kick);
VHOST_USER_HANDLER(set_vring_call);
VHOST_USER_HANDLER(set_vring_err);
VHOST_USER_HANDLER(set_vring_enable);
/* vhost_user_inflight.c */
VHOST_USER_HANDLER(get_inflight_fd);
VHOST_USER_HANDLER(set_inflight_fd);
/* vhost_user_model.c */
VHOST_USER_HANDLER(send_rarp);
VHOST_USER_HANDLER(net_set_mtu);
VHOST_USER_HANDLER(gpu_set_socket);
/* vhost_user_backend.c */
VHOST_USER_HANDLER(set_backend_req_fd);

/* One descriptor of the message, now the handler's; -1 when it has none. */
static inline int vhost_user_message_take_fd(struct vhost_user_message *message, unsigned index)
{
	int fd;

	if (index >= message->fd_count)
		return -1;
	fd = message->fds[index];
	message->fds[index] = -1;
	return fd;
}

#endif
