/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/seat_viewer_process.h"

#include <sys/socket.h>

#include "host/viewer/viewer_serve.h"
#include "interfaces/door/porter.h"

static void serve(const struct porter_peer *peer)
{
	viewer_serve(peer->socket, peer->inner);
}

const struct porter_service seat_viewer_porter_service = {
	.name = "viaduct-viewer",
	.socket_type = SOCK_SEQPACKET,
	.serve = serve,
};
