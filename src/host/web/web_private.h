/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection that this process serves, as its files share it.
 *
 *   web_serve.c     its life, and the loop of libwebsockets
 *   web_http.c      what is asked by HTTP, and who may open a WebSocket
 *   web_console.c   the WebSocket: a viewer's protocol, to and from a child that understands it
 */
#ifndef VIADUCT_HOST_WEB_WEB_PRIVATE_H
#define VIADUCT_HOST_WEB_WEB_PRIVATE_H

#include <libwebsockets.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/viewer/viewer_message.h"
#include "host/web/web_request.h"
#include "host/web/web_site.h"

/* Of headers, for one of which libwebsockets has room; and read at a time. */
#define WEB_HEADERS_MAX 4096u
#define WEB_CHUNK_BYTES 16384u
/* On the way to or from a console: as much as is read at once may come while there is something. */
#define WEB_PIPE_BYTES ((size_t)2 * WEB_CHUNK_BYTES)

/* One direction of a console; libwebsockets writes its own header in front of the bytes. */
struct web_pipe {
	uint8_t room[LWS_PRE + WEB_PIPE_BYTES];
	size_t count;
};

struct web {
	struct web_site site;
	struct lws_context *context;
	struct lws_vhost *vhost;
	int waker; /* the library's eventfd, by which it wakes itself */

	/* Of the connection. */
	int inner;
	char own[WEB_HOST_MAX]; /* the address at which the browser arrived */
	struct lws *browser;
	struct lws *daemon; /* watches for the daemon's end; NULL: it is the viewer's now */
	struct lws *viewer; /* NULL: this is no console */
	bool over;
	lws_sorted_usec_list_t hurry; /* the connection's time is over */

	/* The answer that is being sent. */
	const uint8_t *body;
	size_t body_bytes, sent_bytes;
	char state[VIEWER_STATE_MAX]; /* such a body */

	struct web_pipe to_viewer, to_browser;
};

/*
 * The loop ends now. The library would look at it only when the next thing happens, so that one is made to
 * happen.
 */
void web_end(struct web *web);

/* The one of this process. */
struct web *web_of(struct lws *wsi);

/* Protocols of libwebsockets: each gets what happens on one kind of connection. */
int web_http_happens(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t count);
int web_console_happens(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
			size_t count);
int web_viewer_happens(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t count);

#endif
