/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/web/web_serve.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/sanitized.h"
#include "host/web/web_private.h"

/* Half a request is waited for so long, and so long a next one. */
#define REQUEST_S 10
#define NEXT_S	  5
/* A connection that is no console ends after this, however busy it is: a browser makes a new one. */
#define CONNECTION_S 60
/* A console that is silent is asked for a sign of life, and ended when it gives none. */
#define PING_S	 30
#define SILENT_S 60
/* A belt: the site, the buffers here and what libwebsockets needs are a few MiB. */
#define DATA_MAX_BYTES (128ull << 20)

/* The library's own, the browser, the daemon, the viewer. */
#define DESCRIPTORS_MAX 16
/* Where its waker is: the process that makes it has few descriptors. */
#define WAKER_MAX 64

static int daemon_happens(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
			  size_t count);

static const struct lws_protocols protocols[] = {
	{ .name = "http", .callback = web_http_happens, .rx_buffer_size = WEB_CHUNK_BYTES },
	{ .name = "binary", .callback = web_console_happens, .rx_buffer_size = WEB_CHUNK_BYTES },
	{ .name = "daemon", .callback = daemon_happens },
	{ .name = "viewer", .callback = web_viewer_happens, .rx_buffer_size = WEB_CHUNK_BYTES },
	{ .name = NULL },
};

/* Each answer has these. Pictures that a page makes itself are data: and blob:. */
static const struct lws_protocol_vhost_options headers[] = {
	{ .next = &headers[1],
	  .name = "content-security-policy:",
	  .value = "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; "
		   "form-action 'none'" },
	{ .next = &headers[2], .name = "x-frame-options:", .value = "DENY" },
	{ .next = &headers[3], .name = "x-content-type-options:", .value = "nosniff" },
	{ .next = &headers[4], .name = "referrer-policy:", .value = "no-referrer" },
	{ .next = NULL, .name = "cross-origin-resource-policy:", .value = "same-origin" },
};

struct web *web_of(struct lws *wsi)
{
	return lws_context_user(lws_get_context(wsi));
}

static void on_hurry(lws_sorted_usec_list_t *hurry)
{
	struct web *web = lws_container_of(hurry, struct web, hurry);

	if (!web->viewer)
		web_end(web);
}

void web_end(struct web *web)
{
	if (web->over)
		return;
	web->over = true;
	lws_sul_schedule(web->context, 0, &web->hurry, on_hurry, 1);
}

/* ---- the daemon ---- */

/* It says nothing unasked before there is a viewer, so that whatever can be read is its end. */
static int daemon_happens(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
			  size_t count)
{
	struct web *web = web_of(wsi);

	if (reason != LWS_CALLBACK_RAW_RX_FILE && reason != LWS_CALLBACK_RAW_CLOSE_FILE)
		return 0;
	if (web->daemon == wsi)
		web_end(web);
	return -1;
}

static bool watch_daemon(struct web *web)
{
	/* Closed when it is not watched any more. */
	lws_sock_file_fd_type fd = { .filefd = fcntl(web->inner, F_DUPFD_CLOEXEC, 0) };

	if (fd.filefd < 0)
		return false;
	web->daemon = lws_adopt_descriptor_vhost(web->vhost, LWS_ADOPT_RAW_FILE_DESC, fd, "daemon", NULL);
	return web->daemon;
}

/* ---- the browser ---- */

/* "127.0.0.1" or "[::1]". */
static void find_own_address(struct web *web, int peer)
{
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	socklen_t bytes = sizeof(address);
	char text[INET6_ADDRSTRLEN];

	if (getsockname(peer, (struct sockaddr *)&address, &bytes) < 0)
		return;
	if (address.ss_family == AF_INET &&
	    inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr, text, sizeof(text)))
		snprintf(web->own, sizeof(web->own), "%s", text);
	if (address.ss_family == AF_INET6 &&
	    inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&address)->sin6_addr, text, sizeof(text)))
		snprintf(web->own, sizeof(web->own), "[%s]", text);
}

/* ---- what wakes the library ---- */

/* Its first descriptor that is an eventfd, of a process that has no other. -1: it has none. */
static int find_waker(void)
{
	static const char eventfd_name[] = "anon_inode:[eventfd]";
	char path[sizeof("/proc/self/fd/-2147483648")], name[sizeof(eventfd_name)];

	for (int fd = 0; fd < WAKER_MAX; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (readlink(path, name, sizeof(name)) == sizeof(eventfd_name) - 1 &&
		    memcmp(name, eventfd_name, sizeof(eventfd_name) - 1) == 0)
			return fd;
	}
	return -1;
}

/*
 * Each process gets a waker of its own. One that all shared would be read by another process first, the
 * library would close it for that, and go on writing into whatever has its number by then.
 */
static bool renew_waker(int waker)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bool renewed = fd >= 0 && dup3(fd, waker, O_CLOEXEC) == waker;

	fd_close(&fd);
	return renewed;
}

/* ---- life ---- */

/* What fails makes the process no worse. */
static void prepare(int peer)
{
	struct rlimit data;
	int yes = 1;

	/* A sanitizer reserves more. A viewer, a child of this, needs more, too. */
	if (!SANITIZED && getrlimit(RLIMIT_DATA, &data) == 0) {
		data.rlim_cur = DATA_MAX_BYTES;
		setrlimit(RLIMIT_DATA, &data);
	}
	setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

struct web *web_create(const char *novnc)
{
	static const lws_retry_bo_t silence = { .secs_since_valid_ping = PING_S,
						.secs_since_valid_hangup = SILENT_S };
	struct web *web = calloc(1, sizeof(*web));
	const struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN,
		.protocols = protocols,
		.headers = headers,
		.user = web,
		.gid = (gid_t)-1,
		.uid = (uid_t)-1,
		.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_NO_LWS_SYSTEM_STATES |
			   LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME,
		.server_string = "viaduct",
		.max_http_header_data = WEB_HEADERS_MAX,
		.pt_serv_buf_size = WEB_CHUNK_BYTES,
		.timeout_secs = REQUEST_S,
		.timeout_secs_ah_idle = REQUEST_S,
		.keepalive_timeout = NEXT_S,
		.fd_limit_per_thread = DESCRIPTORS_MAX,
		.retry_and_idle_policy = &silence,
	};

	if (!web)
		return NULL;
	lws_set_log_level(0, NULL);
	web_site_read(&web->site, novnc);
	web->context = lws_create_context(&info);
	if (web->context)
		web->vhost = lws_create_vhost(web->context, &info);
	web->waker = web->vhost ? find_waker() : -1;
	if (web->waker >= 0)
		return web;
	web_destroy(web);
	return NULL;
}

void web_destroy(struct web *web)
{
	if (!web)
		return;
	if (web->context)
		lws_context_destroy(web->context);
	web_site_free(&web->site);
	free(web);
}

void web_serve(struct web *web, int peer, int inner)
{
	web->inner = inner;
	if (!renew_waker(web->waker))
		return;
	prepare(peer);
	find_own_address(web, peer);
	web->browser = lws_adopt_descriptor_vhost(web->vhost, LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP,
						  (lws_sock_file_fd_type){ .sockfd = peer }, "http", NULL);
	lws_sul_schedule(web->context, 0, &web->hurry, on_hurry, CONNECTION_S * LWS_US_PER_SEC);
	if (web->browser && watch_daemon(web)) {
		while (!web->over && lws_service(web->context, 0) >= 0)
			;
	}
	/* What is open closes with the process: the library may have begun to, and cannot do it twice. */
}
