/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a doorman follows vhost-user messages, those of the back-end channel among them. */
#include <string.h>
#include <sys/socket.h>

#include "interfaces/door/porter.h"
#include "interfaces/vhost_user/vhost_user.h"
#include "interfaces/vhost_user/vhost_user_messages.h"

static ssize_t payload_bytes(const uint8_t *bytes)
{
	struct vhost_user_header header;

	memcpy(&header, bytes, sizeof(header));
	return header.size <= VHOST_USER_PAYLOAD_MAX ? (ssize_t)header.size : -1;
}

const struct doorman_framing vhost_user_framing = {
	.header_bytes = sizeof(struct vhost_user_header),
	.payload_bytes = payload_bytes,
};

/* Serial ports of guests, and their registers, arrive at the same porter. */
static void serve(const struct porter_peer *peer)
{
	if (peer->manner == PORTER_FETCHES) {
		doorman_fetch(peer->socket, peer->inner, peer->blank, peer->blank_file, peer->fds_max);
		return;
	}
	doorman_serve(peer->manner == PORTER_RELAYS_BYTES ? &doorman_stream : &vhost_user_framing,
		      peer->socket, peer->inner, peer->blank, peer->blank_file, peer->fds_max);
}

const struct porter_service vhost_user_doorman = {
	.name = "viaduct-doorman",
	.socket_type = SOCK_STREAM,
	.serve = serve,
};
