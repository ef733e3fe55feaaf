/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages that some models take and others do not know. The table has found that this one does; the numbers
 * are checked here, what they mean is the model's to say.
 */
#include <errno.h>

#include "devices/virtio_model.h"
#include "interfaces/endpoint_fd.h"
#include "interfaces/vhost_user/vhost_user_connection.h"
#include "interfaces/vhost_user/vhost_user_endpoint.h"
#include "interfaces/vhost_user/vhost_user_handlers.h"

/* virtio 1.2, 5.1.4.1 */
#define MTU_MIN 68u
#define MTU_MAX 65535u
/* Six bytes; what the front end leaves in the other two says nothing. */
#define MAC_MASK 0xffffffffffffull

/* *fd is the model's, or closed with the message. */
static enum vhost_user_outcome tell_model(struct vhost_user_connection *connection,
					  enum virtio_model_message kind, uint64_t number, int *fd)
{
	const struct vhost_user_endpoint *endpoint = connection->endpoint;
	const struct vhost_user_options *options = &endpoint->options;

	if (endpoint->owner && endpoint->owner != connection)
		return vhost_user_refuse(connection, "the rings of another front end run", number);
	if (options->model->message(options->device, kind, number, fd))
		return vhost_user_refuse(connection, "the device does not take it", number);
	return VHOST_USER_DONE;
}

enum vhost_user_outcome vhost_user_net_set_mtu(struct vhost_user_connection *connection,
					       struct vhost_user_message *message)
{
	uint64_t mtu = message->payload.u64;
	int none = -1;

	if (mtu < MTU_MIN || mtu > MTU_MAX)
		return vhost_user_refuse(connection, "no possible MTU", mtu);
	return tell_model(connection, VIRTIO_MODEL_MTU, mtu, &none);
}

enum vhost_user_outcome vhost_user_send_rarp(struct vhost_user_connection *connection,
					     struct vhost_user_message *message)
{
	int none = -1;

	return tell_model(connection, VIRTIO_MODEL_ANNOUNCE, message->payload.u64 & MAC_MASK, &none);
}

enum vhost_user_outcome vhost_user_gpu_set_socket(struct vhost_user_connection *connection,
						  struct vhost_user_message *message)
{
	if (!endpoint_fd_is_stream(message->fds[0])) {
		vhost_user_complain(connection, "not a stream socket", 0);
		return VHOST_USER_VIOLATION;
	}
	return tell_model(connection, VIRTIO_MODEL_DISPLAY_SOCKET, 0, &message->fds[0]);
}
