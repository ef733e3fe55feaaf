/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/api/api_stream.h"

#include <assert.h>
#include <poll.h>
#include <stddef.h>

#include <microhttpd.h>

#include "core/container.h"
#include "core/loop.h"

/* What the server asks for at a time, if its connection's memory has as much. */
#define READ_BYTES ((size_t)16 * 1024)

void api_stream_ready(struct api_stream *stream)
{
	if (!stream->waits)
		return;
	stream->waits = false;
	MHD_resume_connection(stream->connection);
	loop_defer(stream->streams->loop, stream->streams->run);
}

static ssize_t on_read(void *context, uint64_t position, char *to, size_t room)
{
	struct api_stream *stream = context;
	ssize_t bytes;

	/* Broken off, so that the client can tell it from a stream that was over. */
	if (stream->streams->ending || stream->left)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	bytes = stream->ops->read(stream, (uint8_t *)to, room);
	assert(bytes <= (ssize_t)room);
	if (bytes == API_STREAM_END)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (bytes == 0) {
		stream->waits = true;
		MHD_suspend_connection(stream->connection);
	}
	return bytes;
}

static void on_free(void *context)
{
	struct api_stream *stream = context;
	struct api_streams *streams = stream->streams;
	struct api_stream **link = &streams->first;

	while (*link != stream)
		link = &(*link)->next;
	*link = stream->next;
	streams->count--;
	loop_watch_stop(streams->loop, &stream->client);
	stream->ops->close(stream);
}

/* The server does not look at a connection that waits. */
static void client_left(struct loop_watch *watch, unsigned events)
{
	struct api_stream *stream = container_of(watch, struct api_stream, client);

	if (events & (POLLHUP | POLLERR)) {
		stream->left = true;
		api_stream_ready(stream);
	}
}

/* Without a watch the client is found gone when there is something to send. */
static void watch_client(struct api_stream *stream)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(stream->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	stream->client.ready = client_left;
	if (info)
		loop_watch_start(stream->streams->loop, &stream->client, info->connect_fd, POLLHUP);
}

bool api_streams_answer(struct api_streams *streams, struct MHD_Connection *connection,
			struct api_stream *stream)
{
	struct MHD_Response *response = NULL;
	enum MHD_Result result;

	if (streams->count < API_STREAMS_MAX)
		response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, READ_BYTES, on_read, stream,
							     on_free);
	if (!response) {
		stream->ops->close(stream);
		return false;
	}
	stream->streams = streams;
	stream->connection = connection;
	stream->next = streams->first;
	streams->first = stream;
	streams->count++;
	watch_client(stream);
	/* The client may be silent for as long as it likes, and so may we. */
	MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, stream->ops->content_type);
	if (stream->header)
		MHD_add_response_header(response, stream->header, stream->header_value);
	result = MHD_queue_response(connection, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return result == MHD_YES;
}

void api_streams_end(struct api_streams *streams)
{
	streams->ending = true;
	for (struct api_stream *stream = streams->first; stream; stream = stream->next)
		api_stream_ready(stream);
}
