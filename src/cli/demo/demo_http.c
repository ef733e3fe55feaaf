/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/demo/demo_http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/disk/disk_stream.h"

#define REQUEST_MAX 2048u
#define BACKLOG	    16
/* Only a hang reaches it, also with an emulated guest on a busy machine. */
#define PATIENCE_S 120L

char *demo_numbers(const char *token, const char *name, unsigned last, size_t *ret_bytes)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_bytes);

	if (!out)
		abort();
	fprintf(out, "%s %s\n", token, name);
	for (unsigned i = 1; i <= last; i++)
		fprintf(out, "%u\n", i);
	if (fclose(out) != 0)
		abort();
	return text;
}

/* ---- the server ---- */

/* On a port of the loopback that the kernel chooses. Returns the socket or -errno. */
static int bind_loopback(unsigned *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), error;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    getsockname(fd, (struct sockaddr *)&address, &length) == 0) {
		*ret_port = ntohs(address.sin_port);
		return fd;
	}
	error = -errno;
	close(fd);
	return error;
}

unsigned demo_free_port(void)
{
	unsigned port = 0;
	int fd = bind_loopback(&port);

	if (fd >= 0)
		close(fd);
	return port;
}

static bool read_request(int client)
{
	char request[REQUEST_MAX + 1];
	size_t used = 0;
	ssize_t n;

	while (used < REQUEST_MAX && (n = read(client, request + used, REQUEST_MAX - used)) > 0) {
		used += (size_t)n;
		request[used] = '\0';
		if (strstr(request, "\r\n\r\n"))
			return true;
	}
	return false;
}

static void send_all(int client, const char *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = send(client, data, bytes, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		data += n;
		bytes -= (size_t)n;
	}
}

/* One client after the other, until the process is killed. */
static _Noreturn void serve(int listener, const char *body, size_t bytes)
{
	static const struct timeval patience = { .tv_sec = PATIENCE_S };
	char head[128];
	int length =
		snprintf(head, sizeof(head),
			 "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", bytes);

	for (;;) {
		int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (client < 0)
			continue;
		setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		if (read_request(client)) {
			send_all(client, head, (size_t)length);
			send_all(client, body, bytes);
		}
		close(client);
	}
}

int demo_server_start(struct demo_server *server, const char *body, size_t bytes)
{
	int listener = bind_loopback(&server->port);

	if (listener < 0)
		return listener;
	if (listen(listener, BACKLOG) < 0) {
		close(listener);
		return -EADDRINUSE;
	}
	fflush(stdout);
	server->pid = fork();
	if (server->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* The guests' consoles and mallory's connections are not for this process. */
		dup2(listener, STDIN_FILENO);
		close_range(STDERR_FILENO + 1, ~0u, 0);
		serve(STDIN_FILENO, body, bytes);
	}
	close(listener);
	if (server->pid > 0)
		return 0;
	server->pid = 0;
	return -EAGAIN;
}

void demo_server_stop(struct demo_server *server)
{
	if (server->pid == 0)
		return;
	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	server->pid = 0;
}

/* ---- the client ---- */

struct comparison {
	const char *body;
	size_t bytes, seen;
	bool differs;
};

static size_t compare(char *data, size_t size, size_t count, void *context)
{
	struct comparison *comparison = context;
	size_t bytes = size * count;

	comparison->differs = bytes > comparison->bytes - comparison->seen ||
			      memcmp(data, comparison->body + comparison->seen, bytes) != 0;
	if (comparison->differs)
		return 0;
	comparison->seen += bytes;
	return bytes;
}

/* curl asks this at least once a second; anything but 0 ends the request. */
static int ask_to_give_up(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
			  curl_off_t up)
{
	return stream_interrupted();
}

int demo_fetch(const char *url, const char *body, size_t bytes, const char **ret_error)
{
	struct comparison comparison = { .body = body, .bytes = bytes };
	CURL *curl = curl_easy_init();
	CURLcode code;

	*ret_error = "out of memory";
	if (!curl)
		return -EIO;
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, PATIENCE_S);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, ask_to_give_up);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, compare);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &comparison);
	code = curl_easy_perform(curl);
	curl_easy_cleanup(curl);
	if (code == CURLE_OK && comparison.seen == bytes)
		return 0;
	*ret_error = code == CURLE_OK || comparison.differs ? "other bytes came" : curl_easy_strerror(code);
	return code == CURLE_OK || comparison.differs ? -EBADMSG : -EIO;
}
