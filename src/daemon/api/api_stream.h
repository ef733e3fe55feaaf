/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers whose body comes bit by bit, for as long as the client listens. The server asks for as much as the
 * client takes: a slow client holds up its own stream only. A client that has left is noticed at once, also
 * while there is nothing to send. Control thread.
 */
#ifndef VIADUCT_DAEMON_API_API_STREAM_H
#define VIADUCT_DAEMON_API_API_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/loop.h"

struct api_stream;
struct MHD_Connection;

/* At the same time: each may hold megabytes, and they leave most connections to other clients. */
#define API_STREAMS_MAX 16u
#define API_STREAM_END	(-1)

struct api_stream_ops {
	const char *content_type;
	/*
	 * Writes up to `room` bytes (at least one byte) and returns how many. 0: there is nothing now, and
	 * api_stream_ready() is called when there is. API_STREAM_END: that was all.
	 */
	ssize_t (*read)(struct api_stream *stream, uint8_t *to, size_t room);
	/* The client has it all, or is gone. Frees the stream. */
	void (*close)(struct api_stream *stream);
};

/* First member of what implements it. */
struct api_stream {
	const struct api_stream_ops *ops;
	/* Told with the answer; NULL: none */
	const char *header;
	char header_value[64];
	/* private */
	struct api_streams *streams;
	struct api_stream *next;
	struct MHD_Connection *connection;
	struct loop_watch client; /* whether it is still there */
	bool left;
	bool waits; /* until it is ready */
};

/* After read() returned 0 there is something. */
void api_stream_ready(struct api_stream *stream);

/* ---- for the server ---- */

struct api_streams {
	struct api_stream *first;
	unsigned count;
	bool ending;
	struct loop *loop;
	struct loop_task *run; /* lets the server work */
};

/* Answers with the stream, which is taken. False: there are too many, or no memory; the stream is closed. */
bool api_streams_answer(struct api_streams *streams, struct MHD_Connection *connection,
			struct api_stream *stream);
/* All streams end at their next read(), none waits any more: the server may be stopped. */
void api_streams_end(struct api_streams *streams);

#endif
