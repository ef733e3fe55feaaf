/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Consoles: what a guest says as a stream, and POST for what is typed. Both are plain HTTP, so that curl will
 * do; what one client types keeps its order because the client waits for each answer.
 *
 * The stream is the guest's bytes and nothing else. A header tells the position of its first one, and the
 * life of the daemon and its successors in which that is one, so that a client that was cut off (a takeover,
 * or it was too slow) goes on where it stood, and sees what it has missed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/container.h"
#include "daemon/api/api.h"
#include "daemon/api/api_body.h"
#include "daemon/api/api_stream.h"
#include "daemon/console/console_device.h"
#include "daemon/console/console_memory.h"
#include "daemon/console/console_readers.h"

/*
 * Read at once when the stream begins: a client that attaches gets this much, however fast the guest speaks.
 */
#define BUFFER_BYTES ((size_t)64 * 1024)

struct console_stream {
	struct api_stream base;
	struct console_reader reader;
	size_t bytes, taken; /* in the buffer; and of them, by the client */
	uint8_t buffer[BUFFER_BYTES];
};

static struct console_stream *console_stream_of(struct api_stream *stream)
{
	return container_of(stream, struct console_stream, base);
}

/* Returns false when the stream is over. */
static bool fill(struct console_stream *console)
{
	ssize_t got = console_reader_read(&console->reader, console->buffer, BUFFER_BYTES);

	console->bytes = got > 0 ? (size_t)got : 0;
	console->taken = 0;
	return got >= 0;
}

static ssize_t read_console(struct api_stream *stream, uint8_t *to, size_t room)
{
	struct console_stream *console = console_stream_of(stream);
	size_t part;

	if (console->taken == console->bytes && !fill(console))
		return API_STREAM_END;
	part = console->bytes - console->taken < room ? console->bytes - console->taken : room;
	memcpy(to, console->buffer + console->taken, part);
	console->taken += part;
	return (ssize_t)part;
}

static void close_console(struct api_stream *stream)
{
	struct console_stream *console = console_stream_of(stream);

	console_reader_close(&console->reader);
	free(console);
}

static const struct api_stream_ops console_ops = {
	.content_type = "application/octet-stream",
	.read = read_console,
	.close = close_console,
};

static void on_spoken(struct console_reader *reader)
{
	api_stream_ready(&container_of(reader, struct console_stream, reader)->base);
}

/* NULL after answering 404 or 409. */
static struct console_device *find(struct daemon *daemon, const char *name, struct api_response *response)
{
	struct device *device = device_find(daemon, &console_device_kind, name);

	if (!device)
		api_respond_error(response, 404, "there is no console '%s'", name);
	else if (!console_device_of(device)->readers)
		api_respond_error(response, 409, "%s is not served: %s", name, device->error.text);
	else
		return console_device_of(device);
	return NULL;
}

/* Answers 400 and returns false when the body makes no sense. No body: all that is remembered. */
static bool parse_position(const struct api_request *request, struct api_response *response, uint64_t life,
			   uint64_t *ret_position)
{
	static const struct api_field fields[] = {
		{ .name = "scrollback", .type = JSON_TRUE },
		{ .name = "from", .type = JSON_INTEGER },
		{ .name = "life", .type = JSON_INTEGER },
	};
	const json_t *other;
	json_int_t from;
	json_t *body;

	*ret_position = 0;
	if (request->body_length == 0)
		return true;
	body = api_body_parse(request, fields, 3, response);
	if (!body)
		return false;
	other = json_object_get(body, "life");
	from = json_integer_value(json_object_get(body, "from"));
	if (from < 0)
		api_respond_error(response, 400, "from is a position that a stream has told, not negative");
	else
		*ret_position = json_is_false(json_object_get(body, "scrollback"))     ? CONSOLE_READER_AT_END
				: other && (uint64_t)json_integer_value(other) != life ? 0
										       : (uint64_t)from;
	json_decref(body);
	return from >= 0;
}

void api_console_attach(struct daemon *daemon, const char *name, const struct api_request *request,
			struct api_response *response)
{
	struct console_device *device = find(daemon, name, response);
	struct console_stream *console;
	uint64_t position, life;

	if (!device)
		return;
	life = console_memory_life(console_readers_memory(device->readers));
	if (!parse_position(request, response, life, &position))
		return;
	console = calloc(1, sizeof(*console));
	if (!console) {
		api_respond_error(response, 500, "out of memory");
		return;
	}
	console->base.ops = &console_ops;
	console->reader.ready = on_spoken;
	position = console_reader_open(&console->reader, device->readers, position);
	/* Nothing is forgotten in between but on another thread: then the buffer stays empty, and it is over.
	 */
	fill(console);
	console->base.header = "Viaduct-Position";
	snprintf(console->base.header_value, sizeof(console->base.header_value), "%" PRIu64 "; life=%" PRIu64,
		 position, life);
	response->status = 200;
	response->stream = &console->base;
}

static bool is_size(json_int_t value)
{
	return value >= 1 && value <= UINT16_MAX;
}

void api_console_resize(struct daemon *daemon, const char *name, const struct api_request *request,
			struct api_response *response)
{
	static const struct api_field fields[] = {
		{ .name = "columns", .type = JSON_INTEGER, .required = true },
		{ .name = "rows", .type = JSON_INTEGER, .required = true },
	};
	struct console_device *device = find(daemon, name, response);
	json_t *body = device ? api_body_parse(request, fields, 2, response) : NULL;
	json_int_t columns = json_integer_value(json_object_get(body, "columns"));
	json_int_t rows = json_integer_value(json_object_get(body, "rows"));

	if (!body)
		return;
	if (!is_size(columns) || !is_size(rows))
		api_respond_error(response, 400, "columns and rows are from 1 to %u", UINT16_MAX);
	else if (console_device_resize(device, (uint16_t)columns, (uint16_t)rows) < 0)
		api_respond_error(response, 409, "the console '%s' is a serial port, which has no size",
				  name);
	else
		api_respond_json(response, 200, api_device_json(&device->base));
	json_decref(body);
}

void api_console_type(struct daemon *daemon, const char *name, const struct api_request *request,
		      struct api_response *response)
{
	struct console_device *device = find(daemon, name, response);
	ssize_t taken;

	if (!device)
		return;
	taken = console_device_type(device, (const uint8_t *)request->body, request->body_length);
	if (taken < 0)
		api_respond_error(response, 409, "no VMM is connected to the console '%s'", name);
	else
		api_respond_json(response, 200, json_pack("{s:I}", "accepted", (json_int_t)taken));
}
