/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Seats: what is told of them, the focus, text to type, and pictures. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/container.h"
#include "daemon/api/api.h"
#include "daemon/api/api_body.h"
#include "daemon/api/api_stream.h"
#include "daemon/seat/display_device.h"
#include "daemon/seat/seat_picture.h"
#include "daemon/seat/seat_room.h"

#define HEADER_MAX 32

static struct daemon_seat *find(const struct daemon *daemon, const char *name, struct api_response *response)
{
	struct daemon_seat *found = daemon_seat_find(daemon, name);

	const char *why = found ? NULL : daemon_seat_failure(daemon, name);

	if (why)
		api_respond_error(response, 404, "the seat %s is not served: %s", name, why);
	else if (!found)
		api_respond_error(response, 404, "there is no seat '%s'", name);
	return found;
}

void api_seat_get(struct daemon *daemon, const char *name, struct api_response *response)
{
	const struct daemon_seat *found = find(daemon, name, response);

	if (found)
		api_respond_json(response, 200, seat_secret_json(found));
}

/* ---- changes ---- */

/* NULL after answering. */
static const struct display_window *find_display(const struct daemon_seat *owner, const char *name,
						 struct api_response *response)
{
	const struct display_window *window = display_window_find(owner->daemon, name);

	if (window && window->display->seat == owner)
		return window;
	api_respond_error(response, 404, "the seat %s has no display '%s'", owner->name, name);
	return NULL;
}

/* The display of the seat that a member of the body names. False after answering. */
static bool named_display(struct daemon_seat *owner, const json_t *member,
			  const struct display_window **ret_display, struct api_response *response)
{
	const char *name = json_string_value(member);

	*ret_display = name ? find_display(owner, name, response) : NULL;
	return !name || *ret_display;
}

/* Answers when it returns false; changes nothing unless `apply`. */
typedef bool display_change_fn(const struct display_window *window, const char *name, const char *text,
			       bool apply, struct api_response *response);

/* `map`: from displays to texts, may be NULL. False after answering. */
static bool change_each(struct daemon_seat *owner, const json_t *map, display_change_fn *change_one,
			bool apply, struct api_response *response)
{
	json_t *value;
	const char *name;

	json_object_foreach((json_t *)map, name, value)
	{
		const char *text = json_string_value(value);
		const struct display_window *window = find_display(owner, name, response);

		if (!window || !change_one(window, name, text ? text : "", apply, response))
			return false;
	}
	return true;
}

static bool change_scale(const struct display_window *window, const char *name, const char *text, bool apply,
			 struct api_response *response)
{
	unsigned percent;

	if (!seat_parse_scale(text, &percent)) {
		api_respond_error(response, 400, "the scale of %s must be \"fit\", or \"%u%%\" to \"%u%%\"",
				  name, SEAT_SCALE_MIN, SEAT_SCALE_MAX);
		return false;
	}
	if (apply)
		seat_scale_display(window, percent);
	return true;
}

/* Sizes are asked for last, as that may be refused. */
static bool change_size(const struct display_window *window, const char *name, const char *text, bool apply,
			struct api_response *response)
{
	unsigned width, height;

	if (!seat_parse_size(text, &width, &height)) {
		api_respond_error(response, 400,
				  "the size of %s must be for example \"1280x800\"; 64x64 to 8192x8192",
				  name);
		return false;
	}
	if (apply && seat_resize_display(window, width, height)) {
		api_respond_error(response, 409, "%s shows nothing whose guest could be asked for a size",
				  name);
		return false;
	}
	return true;
}

/* False after answering. NULL, none, can always be chosen. */
static bool can_be_chosen(const struct display_window *window, struct api_response *response)
{
	char name[DISPLAY_WINDOW_NAME_SIZE];

	if (!window || seat_shows_display(window))
		return true;
	api_respond_error(response, 409, "%s shows nothing now, so it cannot have the keyboard or the screen",
			  display_window_name(window, name));
	return false;
}

static bool change(struct daemon_seat *owner, const json_t *body, struct api_response *response)
{
	const json_t *focus = json_object_get(body, "focus"), *full = json_object_get(body, "full_screen"),
		     *scales = json_object_get(body, "scale"), *sizes = json_object_get(body, "size"),
		     *overview = json_object_get(body, "overview");
	const struct display_window *focused, *enlarged;

	if (!named_display(owner, focus, &focused, response) ||
	    !named_display(owner, full, &enlarged, response) || !can_be_chosen(focused, response) ||
	    !can_be_chosen(enlarged, response) ||
	    !change_each(owner, scales, change_scale, false, response) ||
	    !change_each(owner, sizes, change_size, false, response))
		return false;
	change_each(owner, scales, change_scale, true, response);
	if (overview)
		seat_show_overview(owner, json_is_true(overview));
	if (full)
		seat_enlarge_display(owner, enlarged);
	if (focus)
		seat_focus_display(owner, focused);
	return change_each(owner, sizes, change_size, true, response);
}

void api_seat_change(struct daemon *daemon, const char *name, const struct api_request *request,
		     struct api_response *response)
{
	static const struct api_field fields[] = {
		{ .name = "focus", .type = JSON_STRING, .nullable = true },
		{ .name = "full_screen", .type = JSON_STRING, .nullable = true },
		{ .name = "scale", .type = JSON_OBJECT },
		{ .name = "size", .type = JSON_OBJECT },
		{ .name = "overview", .type = JSON_TRUE },
	};
	struct daemon_seat *owner = find(daemon, name, response);
	json_t *body =
		owner ? api_body_parse(request, fields, sizeof(fields) / sizeof(fields[0]), response) : NULL;

	if (!body)
		return;
	if (json_object_size(body) == 0)
		api_respond_error(response, 400,
				  "give focus or full_screen: a display, or null; scale or size: by display; "
				  "or overview");
	else if (change(owner, body, response))
		api_respond_json(response, 200, seat_json(owner));
	json_decref(body);
}

/* The body, and in it a text, or what was copied. */
static void type(struct daemon *daemon, const char *name, const struct api_request *request,
		 const struct api_field *fields, unsigned field_count, struct api_response *response)
{
	struct daemon_seat *owner = find(daemon, name, response);
	json_t *body = owner ? api_body_parse(request, fields, field_count, response) : NULL;
	const struct display_window *display;
	struct error error;

	if (!body)
		return;
	if (named_display(owner, json_object_get(body, "display"), &display, response)) {
		const char *text = json_string_value(json_object_get(body, "text"));

		if (text ? seat_type(owner, display, text, &error) : seat_paste(owner, display, &error))
			api_respond_failed(response, &error);
		else
			api_respond_json(response, 200, seat_json(owner));
	}
	json_decref(body);
}

void api_seat_type(struct daemon *daemon, const char *name, const struct api_request *request,
		   struct api_response *response)
{
	static const struct api_field fields[] = {
		{ .name = "text", .type = JSON_STRING, .required = true },
		{ .name = "display", .type = JSON_STRING },
	};

	type(daemon, name, request, fields, 2, response);
}

void api_seat_paste(struct daemon *daemon, const char *name, const struct api_request *request,
		    struct api_response *response)
{
	static const struct api_field fields[] = { { .name = "display", .type = JSON_STRING } };

	type(daemon, name, request, fields, 1, response);
}

/* ---- pictures ---- */

/* Netpbm's PPM: a line of text, then three bytes a pixel. */
struct picture_stream {
	struct api_stream base;
	struct seat_picture picture;
	char header[HEADER_MAX];
	size_t header_bytes, sent_bytes, all_bytes;
};

static struct picture_stream *picture_stream_of(struct api_stream *stream)
{
	return container_of(stream, struct picture_stream, base);
}

static uint8_t byte_at(const struct picture_stream *stream, size_t at)
{
	if (at < stream->header_bytes)
		return (uint8_t)stream->header[at];
	at -= stream->header_bytes;
	return (uint8_t)(stream->picture.pixels[at / 3] >> (16 - 8 * (at % 3)));
}

static ssize_t read_picture(struct api_stream *base, uint8_t *to, size_t room)
{
	struct picture_stream *stream = picture_stream_of(base);
	size_t left = stream->all_bytes - stream->sent_bytes, count = left < room ? left : room;

	if (left == 0)
		return API_STREAM_END;
	for (size_t i = 0; i < count; i++)
		to[i] = byte_at(stream, stream->sent_bytes + i);
	stream->sent_bytes += count;
	return (ssize_t)count;
}

static void close_picture(struct api_stream *base)
{
	struct picture_stream *stream = picture_stream_of(base);

	seat_picture_finish(&stream->picture);
	free(stream);
}

static const struct api_stream_ops picture_ops = {
	.content_type = "image/x-portable-pixmap",
	.read = read_picture,
	.close = close_picture,
};

/* Takes the picture. */
static void respond_picture(struct seat_picture *picture, struct api_response *response)
{
	struct picture_stream *stream = calloc(1, sizeof(*stream));

	if (!stream) {
		seat_picture_finish(picture);
		api_respond_error(response, 500, "out of memory");
		return;
	}
	stream->base.ops = &picture_ops;
	stream->picture = *picture;
	stream->header_bytes = (size_t)snprintf(stream->header, sizeof(stream->header), "P6\n%u %u\n255\n",
						picture->width, picture->height);
	stream->all_bytes = stream->header_bytes + (size_t)picture->width * picture->height * 3;
	response->status = 200;
	response->stream = &stream->base;
}

void api_seat_picture(struct daemon *daemon, const char *name, struct api_response *response)
{
	struct daemon_seat *owner = find(daemon, name, response);
	struct seat_picture picture;

	if (!owner)
		return;
	if (seat_picture_of_screen(owner, &picture))
		api_respond_error(response, 500, "out of memory");
	else
		respond_picture(&picture, response);
}

void api_display_picture(struct daemon *daemon, const char *name, struct api_response *response)
{
	const struct display_window *window = display_window_find(daemon, name);
	const struct device *device = device_find(daemon, &display_device_kind, name);
	struct seat_picture picture;

	if (!window && !device)
		api_respond_error(response, 404, "there is no display '%s'", name);
	else if (!window)
		api_respond_error(response, 409, "the display %s is not served: %s", name,
				  device->error.text);
	else if (seat_picture_of_display(window, &picture))
		api_respond_error(response, 500, "out of memory");
	else
		respond_picture(&picture, response);
}
