/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A console is a viewer whose bytes come in the frames of a WebSocket. A child process serves the viewer
 * (host/viewer/); the socket pair between them ends as soon as either does. Frames of text are wishes of the
 * page, which are told to the daemon beside the viewer's messages.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/fd.h"
#include "host/viewer/viewer_input.h"
#include "host/viewer/viewer_serve.h"
#include "host/web/web_private.h"

#define FD_FIRST 3

/* ---- the child ---- */

/* All descriptors from FD_FIRST on but these two. */
static void let_go(int one, int other)
{
	unsigned low = (unsigned)(one < other ? one : other), high = (unsigned)(one < other ? other : one);

	if (low > FD_FIRST)
		close_range(FD_FIRST, low - 1, 0);
	if (high > low + 1)
		close_range(low + 1, high - 1, 0);
	close_range(high + 1, UINT_MAX, 0);
}

_Noreturn static void be_viewer(int peer, int inner)
{
	let_go(peer, inner);
	viewer_serve(peer, inner);
	_exit(0);
}

/* Returns our end of its connection, or -errno. */
static int fork_viewer(const struct web *web)
{
	int ends[2], error;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		be_viewer(ends[1], web->inner);
	error = pid < 0 ? -errno : 0;
	fd_close(&ends[1]);
	if (error)
		fd_close(&ends[0]);
	return error ? error : ends[0];
}

/* From now on the daemon's end shows as that of the viewer. */
static int begin(struct web *web, struct lws *wsi)
{
	lws_sock_file_fd_type fd = { .sockfd = fork_viewer(web) };
	struct lws *daemon = web->daemon;

	if (fd.sockfd < 0)
		return -1;
	web->daemon = NULL;
	lws_set_timeout(daemon, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
	web->viewer = lws_adopt_descriptor_vhost(web->vhost, LWS_ADOPT_SOCKET, fd, "viewer", NULL);
	return web->viewer ? 0 : -1;
}

/* ---- bytes ---- */

/* What comes waits in the pipe until `to` takes it, and `from` is not read meanwhile. */
static int take(struct web_pipe *pipe, struct lws *from, struct lws *to, const void *bytes, size_t count)
{
	if (count == 0)
		return 0;
	if (count > WEB_PIPE_BYTES - pipe->count)
		return -1;
	memcpy(pipe->room + LWS_PRE + pipe->count, bytes, count);
	pipe->count += count;
	if (lws_rx_flow_control(from, 0) < 0)
		return -1;
	return lws_callback_on_writable(to) < 0 ? -1 : 0;
}

static int give(struct web_pipe *pipe, struct lws *from, struct lws *to, enum lws_write_protocol how)
{
	if (pipe->count == 0)
		return 0;
	if (lws_write(to, pipe->room + LWS_PRE, pipe->count, how) < (int)pipe->count)
		return -1;
	pipe->count = 0;
	return lws_rx_flow_control(from, 1 | LWS_RXFLOW_REASON_FLAG_PROCESS_NOW) < 0 ? -1 : 0;
}

/* "focus DISPLAY", whole. Other texts end it. */
static int hear_wish(struct web *web, struct lws *wsi, const char *text, size_t count)
{
	static const char verb[] = "focus ";
	struct viewer_message message = { .kind = VIEWER_FOCUS };
	size_t length = count - (sizeof(verb) - 1);

	if (!lws_is_first_fragment(wsi) || !lws_is_final_fragment(wsi) || count <= sizeof(verb) - 1 ||
	    memcmp(text, verb, sizeof(verb) - 1) != 0 || length >= sizeof(message.name))
		return -1;
	memcpy(message.name, text + sizeof(verb) - 1, length);
	return viewer_tell(web->inner, &message) ? 0 : -1;
}

int web_console_happens(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t count)
{
	struct web *web = web_of(wsi);

	switch (reason) {
	case LWS_CALLBACK_ESTABLISHED:
		return begin(web, wsi);
	case LWS_CALLBACK_RECEIVE:
		if (!web->viewer)
			return -1;
		if (!lws_frame_is_binary(wsi))
			return hear_wish(web, wsi, in, count);
		return take(&web->to_viewer, wsi, web->viewer, in, count);
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return web->viewer ? give(&web->to_browser, web->viewer, wsi, LWS_WRITE_BINARY) : -1;
	case LWS_CALLBACK_CLOSED:
	case LWS_CALLBACK_WSI_DESTROY:
		web_end(web);
		return 0;
	default:
		return 0;
	}
}

int web_viewer_happens(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t count)
{
	struct web *web = web_of(wsi);

	switch (reason) {
	case LWS_CALLBACK_RAW_RX:
		return take(&web->to_browser, wsi, web->browser, in, count);
	case LWS_CALLBACK_RAW_WRITEABLE:
		return give(&web->to_viewer, web->browser, wsi, LWS_WRITE_RAW);
	case LWS_CALLBACK_RAW_CLOSE:
		web->viewer = NULL;
		web_end(web);
		return 0;
	default:
		return 0;
	}
}
