/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A doorman between a peer and the daemon, both of which do what the input says: messages whole and in
 * pieces, bytes that are none, descriptors of all kinds, sockets on which more is said. What must come out is
 * known: every byte up to the first header that no one can follow, and each descriptor, or its stand-in, with
 * the message that it was sent with.
 */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fd.h"
#include "input_trace.h"
#include "interfaces/door/doorman.h"
#include "interfaces/endpoint_fd.h"
#include "interfaces/vhost_user/vhost_user.h"

#define INPUT_MAX     4096u
#define STREAM_MAX    (2 * INPUT_MAX)
#define HEADER	      12u
#define LANES	      5u /* the connection, and as many channels as a doorman has */
#define SENT_FDS_MAX  8u /* with one message */
#define GIVEN_MAX     512u
#define ACTS_MAX      128u /* as much as waits in sockets, when nobody reads */
#define STRANGERS_MAX 32u
#define PATIENCE_MS   20000
#define DESCRIPTORS   1024u
#define FDS_MAX	      4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum kind { MEMORY, EVENT, SOCKET, STRANGER, ON_DISK, KINDS };

/* A descriptor that was sent: what it is, and with which message. */
struct given {
	enum kind kind;
	ino_t inode;
	unsigned message, lane; /* of a socket that becomes one; 0: none */
};

/* One direction of a lane: what was sent, and where in a message its end is. */
struct stream {
	uint8_t bytes[STREAM_MAX];
	size_t count;
	size_t part_end[STREAM_MAX];  /* of the header or payload that each byte is in */
	unsigned message[STREAM_MAX]; /* that each byte is in */
	size_t part_begin, in_part, part;
	bool payload, broken; /* nothing behind it is carried */
	unsigned messages;
	struct given given[GIVEN_MAX];
	unsigned given_count;
};

struct lane {
	int peer, daemon;
	struct stream up, down;
};

struct bench {
	const uint8_t *at, *end;
	struct lane lanes[LANES];
	unsigned lane_count, strangers;
	int outside, inside, blank, blank_file; /* the doorman's */
};

static struct bench bench;

/* ---- what is sent ---- */

static uint8_t take(void)
{
	return bench.at < bench.end ? *bench.at++ : 0;
}

static void end_part(struct stream *stream)
{
	uint32_t payload;

	for (size_t i = stream->part_begin; i < stream->count; i++)
		stream->part_end[i] = stream->count;
	stream->in_part = 0;
	if (!stream->payload) {
		memcpy(&payload, stream->bytes + stream->part_begin + 8, sizeof(payload));
		stream->broken = vhost_user_framing.payload_bytes(stream->bytes + stream->part_begin) < 0;
		stream->payload = payload > 0;
		stream->part = payload > 0 ? payload : HEADER;
	} else {
		stream->payload = false;
		stream->part = HEADER;
	}
	stream->part_begin = stream->count;
	if (!stream->payload)
		stream->messages++;
}

static void note(struct stream *stream, const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count && !stream->broken; i++) {
		stream->message[stream->count] = stream->messages;
		stream->part_end[stream->count] = STREAM_MAX;
		stream->bytes[stream->count++] = bytes[i];
		if (++stream->in_part == stream->part)
			end_part(stream);
	}
}

static int make(enum kind kind, int *ret_other)
{
	int pair[2], error;

	*ret_other = -1;
	switch (kind) {
	case MEMORY:
		return fd_memfd("fuzz", 4096);
	case EVENT:
		return eventfd(0, EFD_CLOEXEC);
	case SOCKET:
		error = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);
		assert(error == 0);
		*ret_other = pair[1];
		return pair[0];
	case ON_DISK:
		return open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	default:
		return open("/dev/zero", O_RDONLY | O_CLOEXEC);
	}
}

static ino_t inode_of(int fd)
{
	struct stat status;
	int error = fstat(fd, &status);

	assert(error == 0);
	return status.st_ino;
}

static void stream_init(struct stream *stream)
{
	stream->count = stream->part_begin = stream->in_part = 0;
	stream->part = HEADER;
	stream->payload = stream->broken = false;
	stream->messages = stream->given_count = 0;
}

static void lane_init(struct lane *lane, int peer, int daemon)
{
	lane->peer = peer;
	lane->daemon = daemon;
	stream_init(&lane->up);
	stream_init(&lane->down);
}

/* What becomes of it: on the connection a socket is a channel as long as there are any. */
static void give(struct lane *lane, struct stream *stream, enum kind kind, int fd, int other,
		 unsigned message)
{
	struct given *given = &stream->given[stream->given_count++];

	*given = (struct given){ .kind = kind, .inode = inode_of(fd), .message = message };
	if (stream == &lane->down)
		return;
	if (kind == SOCKET && lane == bench.lanes && bench.lane_count < LANES) {
		given->lane = bench.lane_count++;
		lane_init(&bench.lanes[given->lane], other, -1);
	} else if (kind == SOCKET || kind == STRANGER) {
		given->kind = STRANGER;
		bench.strangers++;
	}
}

static void send_bytes(struct lane *lane, bool down, const uint8_t *bytes, size_t count, unsigned fd_count)
{
	struct stream *stream = down ? &lane->down : &lane->up;
	int fds[SENT_FDS_MAX];
	ssize_t sent;

	/* Lost, or not even taken. */
	if (stream->broken && count > 0)
		fd_send(down ? lane->daemon : lane->peer, bytes, count, NULL, 0);
	if (count == 0 || stream->broken || stream->count + count > STREAM_MAX ||
	    stream->given_count + fd_count > GIVEN_MAX)
		return;
	for (unsigned i = 0; i < fd_count; i++) {
		enum kind kind = take() % KINDS;
		int other;

		/* A doorman reads nothing more from a peer that has sent more strangers. */
		if (bench.strangers >= STRANGERS_MAX && kind >= SOCKET)
			kind = EVENT;
		fds[i] = make(down && kind == SOCKET ? MEMORY : kind, &other);
		assert(fds[i] >= 0);
		give(lane, stream, down && kind == SOCKET ? MEMORY : kind, fds[i], other, stream->messages);
	}
	note(stream, bytes, count);
	sent = fd_send(down ? lane->daemon : lane->peer, bytes, count, fds, fd_count);
	assert(sent == (ssize_t)count);
	for (unsigned i = 0; i < fd_count; i++)
		close(fds[i]);
}

static void act(void)
{
	uint8_t what = take(), bytes[HEADER + UINT8_MAX];
	struct lane *lane = &bench.lanes[(what >> 4) % bench.lane_count];
	/* The daemon has a channel's end only when all is over. */
	bool down = (what & 1) && lane == bench.lanes, whole = what & 2;
	unsigned fd_count = what & 4 ? 1 + take() % SENT_FDS_MAX : 0;
	uint32_t payload = take();
	size_t count = 0;

	if (whole) {
		memset(bytes, take(), 8);
		memcpy(bytes + 8, &payload, sizeof(payload));
		count = HEADER;
		if (what & 8)
			bytes[10] = take();
	}
	for (uint32_t i = 0; i < payload && bench.at < bench.end; i++)
		bytes[count++] = take();
	send_bytes(lane, down, bytes, count, fd_count);
}

/* ---- what comes out ---- */

static void wait_to_read(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	int ready = poll(&poll_fd, 1, PATIENCE_MS);

	assert(ready == 1);
}

static void check_given(const struct given *given, int fd, bool down)
{
	fuzz_trace_number(given->kind);
	if (given->lane > 0) {
		assert(endpoint_fd_is_stream(fd) && inode_of(fd) != given->inode);
		bench.lanes[given->lane].daemon = fd;
		return;
	}
	if (given->kind == MEMORY)
		assert(endpoint_fd_is_memory(fd) && inode_of(fd) == given->inode);
	else if (given->kind == EVENT)
		assert(endpoint_fd_is_eventfd(fd));
	else if (down)
		assert(inode_of(fd) == given->inode);
	else
		assert(inode_of(fd) == inode_of(given->kind == ON_DISK ? bench.blank_file : bench.blank));
	close(fd);
}

static void check_stream(int from, const struct stream *stream, bool down)
{
	size_t got = 0;
	unsigned given = 0;

	while (got < stream->count) {
		size_t part_end = stream->part_end[got], fd_count = 0;
		uint8_t bytes[STREAM_MAX];
		int fds[FD_MESSAGE_MAX];
		ssize_t received;

		if (part_end > stream->count)
			part_end = stream->count;
		wait_to_read(from);
		received = fd_receive(from, bytes, part_end - got, fds, FD_MESSAGE_MAX, &fd_count);
		assert(received > 0);
		assert(memcmp(bytes, stream->bytes + got, (size_t)received) == 0);
		for (size_t i = 0; i < fd_count; i++, given++) {
			assert(given < stream->given_count);
			assert(stream->given[given].message == stream->message[got]);
			check_given(&stream->given[given], fds[i], down);
		}
		got += (size_t)received;
	}
	assert(given == stream->given_count);
	if (stream->broken) {
		char byte;

		assert(recv(from, &byte, 1, MSG_DONTWAIT) < 0);
	}
	fuzz_trace(stream->bytes, stream->count);
}

/* ---- what a doorman leaves to its end ---- */

/* Calls use(fd) for each descriptor that is open. */
static void each_fd(void (*use)(int fd))
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;

	assert(directory);
	while ((entry = readdir(directory))) {
		int fd = (int)strtol(entry->d_name, NULL, 10);

		if (entry->d_name[0] != '.' && fd != dirfd(directory))
			use(fd);
	}
	closedir(directory);
}

static bool open_before[FDS_MAX];

static void remember(int fd)
{
	assert(fd < (int)FDS_MAX);
	open_before[fd] = true;
}

static void close_new(int fd)
{
	assert(fd < (int)FDS_MAX);
	if (!open_before[fd])
		close(fd);
}

/* ---- all of it ---- */

/* The peer goes first, or the daemon lets it go. */
static void finish(bool peer_goes)
{
	struct lane *lane = &bench.lanes[0];
	char byte;

	/* Once nobody can follow the daemon, the doorman takes it that the daemon has let the peer go. */
	if (peer_goes && !lane->up.broken && !lane->down.broken) {
		fd_close(&lane->peer);
		wait_to_read(lane->daemon);
		assert(recv(lane->daemon, &byte, 1, 0) <= 0);
	} else if (!peer_goes && !lane->down.broken) {
		shutdown(lane->daemon, SHUT_WR);
		wait_to_read(lane->peer);
		assert(recv(lane->peer, &byte, 1, 0) <= 0);
	}
	close(lane->daemon);
}

static void *serve(void *argument)
{
	doorman_serve(&vhost_user_framing, bench.outside, bench.inside, bench.blank, bench.blank_file,
		      DESCRIPTORS);
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int outside[2], inside[2], blank, blank_file, error;
	pthread_t doorman;

	memset(open_before, 0, sizeof(open_before));
	each_fd(remember);
	blank = open("/dev/null", O_RDWR | O_CLOEXEC);
	blank_file = open("/dev/zero", O_RDWR | O_CLOEXEC);
	if (size > INPUT_MAX)
		size = INPUT_MAX;
	error = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, outside);
	assert(error == 0 && blank >= 0 && blank_file >= 0);
	error = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, inside);
	assert(error == 0);
	bench.at = data;
	bench.end = data + size;
	bench.lane_count = 1;
	bench.strangers = 0;
	bench.outside = outside[1];
	bench.inside = inside[1];
	bench.blank = blank;
	bench.blank_file = blank_file;
	lane_init(&bench.lanes[0], outside[0], inside[0]);
	error = pthread_create(&doorman, NULL, serve, NULL);
	assert(error == 0);
	for (unsigned i = 0; i < ACTS_MAX && bench.at < bench.end; i++)
		act();
	for (unsigned i = 0; i < bench.lane_count; i++)
		check_stream(bench.lanes[i].daemon, &bench.lanes[i].up, false);
	for (unsigned i = 0; i < bench.lane_count; i++)
		check_stream(bench.lanes[i].peer, &bench.lanes[i].down, true);
	finish(size % 2);
	pthread_join(doorman, NULL);
	each_fd(close_new);
	return 0;
}
