/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * One TCP connection that carries as much as it can, for a guest and for its host: the program is linked
 * statically, so that a guest needs nothing else. A client connects and says what it wants:
 *
 *	client    struct order
 *	sender    zeroes, for as long as ordered and a margin; then the end of its stream
 *	receiver  counts, by its own clock, from the end of the warm-up on; reads up to the end of the stream
 *	server    struct outcome, when the server was the receiver
 *
 * So the count is always the receiver's, and always the client prints it: bytes and nanoseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* As iperf3's. */
#define BUFFER_BYTES 131072
/* The receiver's clock starts later than the sender's, by what the first bytes take. */
#define MARGIN_NS 500000000ull
/* Only a connection that is broken reaches it. */
#define SILENCE_S 60

#define NS_PER_MS 1000000ull
#define MS_MAX	  3600000

struct order {
	uint32_t push; /* the client sends */
	uint32_t warm_up_ms;
	uint32_t measured_ms;
};

struct outcome {
	uint64_t bytes;
	uint64_t ns;
};

static uint8_t buffer[BUFFER_BYTES];

static int fail(const char *what)
{
	fprintf(stderr, "viaduct-stream: %s: %s\n", what, strerror(errno));
	return -1;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- both ends ---- */

static int send_all(int fd, const void *from, size_t bytes)
{
	const uint8_t *next = from;

	while (bytes) {
		ssize_t sent = send(fd, next, bytes, 0);

		if (sent < 0)
			return fail("send");
		next += sent;
		bytes -= (size_t)sent;
	}
	return 0;
}

static int receive_all(int fd, void *to, size_t bytes)
{
	ssize_t got = recv(fd, to, bytes, MSG_WAITALL);

	if (got < 0)
		return fail("receive");
	if ((size_t)got < bytes) {
		errno = EPIPE;
		return fail("the other end left");
	}
	return 0;
}

static int send_stream(int fd, const struct order *order)
{
	uint64_t end_ns = now_ns() + (order->warm_up_ms + order->measured_ms) * NS_PER_MS + MARGIN_NS;

	while (now_ns() < end_ns)
		if (send_all(fd, buffer, sizeof(buffer)))
			return -1;
	if (shutdown(fd, SHUT_WR))
		return fail("shutdown");
	return 0;
}

/* `ret_outcome` is what came between the ends of the warm-up and of the measured time. */
static int receive_stream(int fd, const struct order *order, struct outcome *ret_outcome)
{
	uint64_t begin_ns = now_ns() + order->warm_up_ms * NS_PER_MS,
		 end_ns = begin_ns + order->measured_ms * NS_PER_MS;
	uint64_t total = 0, before = 0, since_ns = 0, ns;
	struct outcome outcome = { 0 };
	ssize_t got;

	while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
		ns = now_ns();
		total += (uint64_t)got;
		if (!since_ns && ns >= begin_ns) {
			since_ns = ns;
			before = total;
		} else if (since_ns && !outcome.ns && ns >= end_ns) {
			outcome = (struct outcome){ .bytes = total - before, .ns = ns - since_ns };
		}
	}
	if (got < 0)
		return fail("receive");
	if (!outcome.ns) {
		errno = EPIPE;
		return fail("the stream ended early");
	}
	*ret_outcome = outcome;
	return 0;
}

static void set_patience(int fd)
{
	struct timeval silence = { .tv_sec = SILENCE_S };

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
}

/* ---- server ---- */

static int serve_one(int fd)
{
	struct order order;
	struct outcome outcome;

	if (receive_all(fd, &order, sizeof(order)))
		return -1;
	if (!order.push)
		return send_stream(fd, &order);
	if (receive_stream(fd, &order, &outcome))
		return -1;
	return send_all(fd, &outcome, sizeof(outcome));
}

static int serve(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) ||
	    bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 4))
		return fail("listen");
	puts("ready");
	fflush(stdout);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			return fail("accept");
		set_patience(fd);
		/* A client that failed says so itself; the next one may do better. */
		(void)serve_one(fd);
		close(fd);
	}
}

/* ---- client ---- */

static int connect_to(const char *host, uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
		errno = EINVAL;
		return fail(host);
	}
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fail("connect");
	set_patience(fd);
	return fd;
}

static int run_order(int fd, const struct order *order, struct outcome *ret_outcome)
{
	if (send_all(fd, order, sizeof(*order)))
		return -1;
	if (!order->push)
		return receive_stream(fd, order, ret_outcome);
	if (send_stream(fd, order))
		return -1;
	return receive_all(fd, ret_outcome, sizeof(*ret_outcome));
}

static int measure(const char *host, uint16_t port, const struct order *order)
{
	struct outcome outcome;
	int fd = connect_to(host, port);

	if (fd < 0 || run_order(fd, order, &outcome))
		return -1;
	printf("%llu %llu\n", (unsigned long long)outcome.bytes, (unsigned long long)outcome.ns);
	return 0;
}

/* ---- program ---- */

static bool read_number(const char *text, uint32_t max, uint32_t *ret_number)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (end == text || *end || number > max)
		return false;
	*ret_number = (uint32_t)number;
	return true;
}

static int usage(void)
{
	fputs("usage: viaduct-stream serve PORT\n"
	      "       viaduct-stream push|pull ADDRESS PORT WARM_UP_MS MEASURED_MS\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv)
{
	bool push = argc == 6 && strcmp(argv[1], "push") == 0,
	     pull = argc == 6 && strcmp(argv[1], "pull") == 0;
	struct order order = { .push = push };
	uint32_t port;

	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && strcmp(argv[1], "serve") == 0 && read_number(argv[2], UINT16_MAX, &port))
		return serve((uint16_t)port) ? 1 : 0;
	if ((!push && !pull) || !read_number(argv[3], UINT16_MAX, &port) ||
	    !read_number(argv[4], MS_MAX, &order.warm_up_ms) ||
	    !read_number(argv[5], MS_MAX, &order.measured_ms))
		return usage();
	return measure(argv[2], (uint16_t)port, &order) ? 1 : 0;
}
