/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/door/doorman.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/fd.h"
#include "interfaces/door/fd_judge.h"
#include "interfaces/endpoint_fd.h"

/* No message of any protocol may have more descriptors; one more says that there were too many. */
#define FDS_MAX 9u
/* Sockets that a peer may have handed over at a time: one is in use, others are on their way out. */
#define CHANNELS_MAX 4u
#define RELAYS	     (2 + 2 * CHANNELS_MAX)
/* Many messages are on their way in the whole system: when to try again. */
#define CROWDED_MS 10
/* What may be on its way to the daemon. */
#define INNER_SEND_BYTES 8192

enum { TO_DAEMON, TO_PEER, FIRST_CHANNEL };

/* One direction of one connection. Idle while `from` is -1. */
struct relay {
	int from, to;
	bool from_peer; /* its descriptors are judged */
	bool plain;	/* bytes without messages and descriptors, much at a time: of a picture, say */
	bool ended;	/* nothing more is read */
	/* The message that is being carried. */
	uint8_t header[DOORMAN_HEADER_MAX];
	size_t received, wanted; /* bytes of it; wanted is right once the header is there */
	/* What was read and is not yet sent; never across the end of a message. */
	uint8_t chunk[DOORMAN_STREAM_CHUNK];
	size_t chunk_bytes, sent;
	int fds[FDS_MAX]; /* that go with it */
	unsigned fd_count;
};

struct doorman {
	const struct doorman_framing *framing;
	int peer, inner;
	struct fd_judge judge;
	struct relay relay[RELAYS]; /* TO_DAEMON, TO_PEER, then two for each channel in the same order */
	bool crowded;
};

const struct doorman_framing doorman_stream = { .header_bytes = 0 };

static bool has_messages(const struct doorman *doorman)
{
	return doorman->framing->header_bytes > 0;
}

/* ---- what is a descriptor ---- */

static void open_relay(struct relay *relay, int from, int to, bool from_peer)
{
	*relay = (struct relay){ .from = from, .to = to, .from_peer = from_peer };
}

/* Takes a peer's socket. Returns the end of another that the daemon gets for it, or -1. */
static int open_channel(struct doorman *doorman, int socket)
{
	struct relay *relay = &doorman->relay[FIRST_CHANNEL];
	int ends[2];

	while (relay < &doorman->relay[RELAYS] && relay->from >= 0)
		relay += 2;
	if (relay == &doorman->relay[RELAYS] ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -1;
	open_relay(relay + TO_DAEMON, socket, ends[0], true);
	open_relay(relay + TO_PEER, ends[0], socket, false);
	/* The daemon sends no descriptors there. */
	relay[TO_PEER].plain = true;
	return ends[1];
}

/* Proves what a peer sent, and puts it or its stand-in with the chunk. */
static void judge(struct doorman *doorman, struct relay *relay, int fd)
{
	bool may_be_channel = relay == &doorman->relay[TO_DAEMON] && relay->fd_count < FDS_MAX;
	int passed = -1;

	if (!has_messages(doorman)) {
		fd_judge_drop(&doorman->judge, fd);
		return;
	}
	if (relay->fd_count == FDS_MAX) {
		fd_judge_refuse(&doorman->judge, fd);
		return;
	}
	if (may_be_channel && endpoint_fd_is_stream(fd))
		passed = open_channel(doorman, fd);
	relay->fds[relay->fd_count++] = passed >= 0 ? passed : fd_judge_prove(&doorman->judge, fd);
}

/* The chunk is with the daemon, or lost. */
static void release_fds(struct doorman *doorman, struct relay *relay)
{
	for (unsigned i = 0; i < relay->fd_count; i++) {
		/* What is ours is not kept: the daemon's close is to be noticed, and costs nothing. */
		if (relay->from_peer && !endpoint_fd_is_stream(relay->fds[i]))
			fd_judge_passed(&doorman->judge, relay->fds[i]);
		else
			close(relay->fds[i]);
	}
	relay->fd_count = 0;
}

/* ---- carrying ---- */

/*
 * The receiver learns that nothing more comes; not the daemon when it let the peer go itself: a socket that
 * is shut in both directions looks like a closed one.
 */
static void end(struct doorman *doorman, struct relay *relay)
{
	relay->ended = true;
	if (relay->to == doorman->peer)
		shutdown(relay->to, SHUT_RDWR);
	else if (relay->to != doorman->inner || !doorman->relay[TO_PEER].ended)
		shutdown(relay->to, SHUT_WR);
}

/* The receiver has gone: its sender learns it, too. */
static void drop(struct doorman *doorman, struct relay *relay)
{
	relay->chunk_bytes = relay->sent = 0;
	release_fds(doorman, relay);
	relay->ended = true;
	if (relay->to == doorman->peer)
		shutdown(doorman->inner, SHUT_WR);
}

static void send_chunk(struct doorman *doorman, struct relay *relay)
{
	ssize_t sent = fd_send_now(relay->to, relay->chunk + relay->sent, relay->chunk_bytes - relay->sent,
				   relay->fds, relay->fd_count);

	if (sent == -EAGAIN)
		return;
	if (sent == -ETOOMANYREFS) {
		doorman->crowded = true;
		return;
	}
	if (sent < 0) {
		drop(doorman, relay);
		return;
	}
	release_fds(doorman, relay);
	relay->sent += (size_t)sent;
	if (relay->sent == relay->chunk_bytes)
		relay->chunk_bytes = relay->sent = 0;
}

/* Where in its message the relay is, after `bytes` more. */
static void follow(struct doorman *doorman, struct relay *relay, size_t bytes)
{
	const struct doorman_framing *framing = doorman->framing;
	ssize_t payload;

	if (!has_messages(doorman) || relay->plain)
		return;
	if (relay->received < framing->header_bytes) {
		memcpy(relay->header + relay->received, relay->chunk, bytes);
		relay->received += bytes;
		if (relay->received < framing->header_bytes)
			return;
		payload = framing->payload_bytes(relay->header);
		/* The daemon sees the header, too, and ends the connection. */
		relay->ended = payload < 0;
		relay->wanted = framing->header_bytes + (payload > 0 ? (size_t)payload : 0);
	} else {
		relay->received += bytes;
	}
	if (relay->received == relay->wanted)
		relay->received = 0;
}

/* So many bytes are read at a time: never across the end of a header or payload. */
static size_t chunk_bytes_max(const struct doorman *doorman, const struct relay *relay)
{
	bool in_header = relay->received < doorman->framing->header_bytes;
	size_t left = (in_header ? doorman->framing->header_bytes : relay->wanted) - relay->received;

	if (relay->plain)
		return DOORMAN_STREAM_CHUNK;
	return has_messages(doorman) && left < DOORMAN_CHUNK ? left : DOORMAN_CHUNK;
}

static void read_chunk(struct doorman *doorman, struct relay *relay)
{
	int fds[FD_MESSAGE_MAX];
	size_t fd_count = 0;
	ssize_t received;

	if (relay->from_peer && fd_judge_is_tired(&doorman->judge)) {
		end(doorman, relay);
		return;
	}
	received = fd_receive(relay->from, relay->chunk, chunk_bytes_max(doorman, relay), fds, FD_MESSAGE_MAX,
			      &fd_count);
	if (received == -EAGAIN)
		return;
	if (received <= 0) {
		for (size_t i = 0; i < fd_count; i++)
			fd_judge_drop(&doorman->judge, fds[i]);
		end(doorman, relay);
		return;
	}
	for (size_t i = 0; i < fd_count; i++) {
		if (relay->from_peer)
			judge(doorman, relay, fds[i]);
		else
			relay->fds[relay->fd_count++] = fds[i];
	}
	relay->chunk_bytes = (size_t)received;
	follow(doorman, relay, (size_t)received);
	send_chunk(doorman, relay);
}

static void advance(struct doorman *doorman, struct relay *relay)
{
	if (relay->chunk_bytes > 0)
		send_chunk(doorman, relay);
	else if (!relay->ended)
		read_chunk(doorman, relay);
}

/* ---- life ---- */

static void close_channel(struct doorman *doorman, struct relay *relay)
{
	int socket = relay[TO_DAEMON].from, ours = relay[TO_DAEMON].to;

	release_fds(doorman, &relay[TO_DAEMON]);
	release_fds(doorman, &relay[TO_PEER]);
	relay[TO_DAEMON].from = relay[TO_PEER].from = -1;
	close(ours);
	close(socket);
}

static bool has_hung_up(const struct pollfd *poll_fd)
{
	return poll_fd->revents & (POLLHUP | POLLERR | POLLNVAL);
}

/* `crowded`: what is to be sent is tried again after a while, whether or not there is room for it. */
static struct pollfd what_next(const struct relay *relay, bool crowded)
{
	if (relay->chunk_bytes > 0)
		return (struct pollfd){ .fd = crowded ? -1 : relay->to, .events = POLLOUT };
	return (struct pollfd){ .fd = relay->ended ? -1 : relay->from, .events = POLLIN };
}

/*
 * The daemon's ends are watched always: [i] is the connection's or a channel's, in the order of the relays.
 * Behind them is what each relay waits for. Returns false when the daemon has closed the connection.
 */
static bool wait_and_serve(struct doorman *doorman)
{
	struct pollfd all[RELAYS / 2 + RELAYS], *ends = all, *relays = all + RELAYS / 2;
	bool again = doorman->crowded;

	for (unsigned i = 0; i < RELAYS; i++) {
		struct relay *relay = &doorman->relay[i];

		relays[i] = what_next(relay, again);
		if (i % 2 == TO_DAEMON)
			ends[i / 2] = (struct pollfd){ .fd = relay->from < 0 ? -1 : relay->to };
	}
	if (poll(all, RELAYS / 2 + RELAYS, again ? CROWDED_MS : -1) < 0)
		return errno == EINTR;
	doorman->crowded = false;
	if (has_hung_up(&ends[0]))
		return false;
	for (unsigned i = 0; i < RELAYS; i++) {
		struct relay *relay = &doorman->relay[i];

		if (i % 2 == TO_DAEMON && i >= FIRST_CHANNEL && has_hung_up(&ends[i / 2]))
			close_channel(doorman, relay);
		else if (relay->from >= 0 && (relays[i].revents || (again && relay->chunk_bytes > 0)))
			advance(doorman, relay);
	}
	return true;
}

void doorman_serve(const struct doorman_framing *framing, int peer, int inner, int blank, int blank_file,
		   unsigned fds_max)
{
	static struct doorman doorman;
	int bytes = INNER_SEND_BYTES;

	assert(framing->header_bytes <= DOORMAN_HEADER_MAX);
	doorman = (struct doorman){ .framing = framing, .peer = peer, .inner = inner };
	fd_judge_init(&doorman.judge, blank, blank_file, fds_max);
	for (unsigned i = 0; i < RELAYS; i++)
		doorman.relay[i].from = -1;
	setsockopt(inner, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	open_relay(&doorman.relay[TO_DAEMON], peer, inner, true);
	open_relay(&doorman.relay[TO_PEER], inner, peer, false);
	while (wait_and_serve(&doorman))
		;
	/* The end of the process may take long to close it. */
	shutdown(peer, SHUT_RDWR);
}
