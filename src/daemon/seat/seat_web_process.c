/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/seat_web_process.h"

#include <errno.h>
#include <sys/socket.h>

#include "host/web/web_serve.h"
#include "host/web/web_site.h"
#include "interfaces/door/porter.h"

/* The porter's, and the same in each of its processes. */
static struct web *web;

int seat_web_prepare(void)
{
	web = web_create(WEB_NOVNC);
	return web ? 0 : -ENOMEM;
}

static void serve(const struct porter_peer *peer)
{
	web_serve(web, peer->socket, peer->inner);
}

const struct porter_service seat_web_porter_service = {
	.name = "viaduct-web",
	.socket_type = SOCK_SEQPACKET,
	.serve = serve,
};
