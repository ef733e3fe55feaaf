/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "seat_viewer_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/big_endian.h"
#include "core/fd.h"

#define VERSION		   "RFB 003.008\n"
#define VERSION_BYTES	   12u
#define FORMAT_BYTES	   16u
#define ENCODING_SIZE	   (-223)
#define ENCODING_KEY_CODES (-258)
#define SIDE_MAX	   8192u
#define PIXEL_BYTES	   4u

static bool fail(struct seat_client *client, const char *what)
{
	client->failed = what;
	return false;
}

/* ---- bytes ---- */

static bool fill(struct seat_client *client)
{
	ssize_t received;

	do
		received = recv(client->fd, client->buffer, sizeof(client->buffer), 0);
	while (received < 0 && errno == EINTR);
	if (received <= 0)
		return fail(client, "the server has closed the connection");
	client->begin = 0;
	client->end = (size_t)received;
	client->received_bytes += (uint64_t)received;
	return true;
}

/* to: NULL, to skip them. */
static bool take(struct seat_client *client, void *to, size_t count)
{
	while (count > 0) {
		size_t part = client->end - client->begin;

		if (part == 0 && !fill(client))
			return false;
		part = client->end - client->begin;
		part = part < count ? part : count;
		if (to) {
			memcpy(to, client->buffer + client->begin, part);
			to = (uint8_t *)to + part;
		}
		client->begin += part;
		count -= part;
	}
	return true;
}

static bool say(struct seat_client *client, const void *bytes, size_t count)
{
	if (send(client->fd, bytes, count, MSG_NOSIGNAL) != (ssize_t)count)
		return fail(client, "the server does not take what is said");
	return true;
}

/* ---- the picture ---- */

static bool resize(struct seat_client *client, unsigned width, unsigned height)
{
	if (width == 0 || height == 0 || width > SIDE_MAX || height > SIDE_MAX)
		return fail(client, "the server has a picture of a size that there is not");
	free(client->pixels);
	client->width = width;
	client->height = height;
	client->pixels = calloc((size_t)width * height, PIXEL_BYTES);
	return client->pixels || fail(client, "out of memory");
}

static bool ask(struct seat_client *client, bool incremental)
{
	uint8_t request[10] = { 3, incremental };

	big16_put(request + 6, (uint16_t)client->width);
	big16_put(request + 8, (uint16_t)client->height);
	return say(client, request, sizeof(request));
}

static bool take_raw(struct seat_client *client, const struct seat_rectangle *at)
{
	for (unsigned y = at->y; y < at->y + at->height; y++) {
		if (!take(client, client->pixels + (size_t)y * client->width + at->x,
			  (size_t)at->width * PIXEL_BYTES))
			return false;
	}
	return true;
}

static bool take_packed(struct seat_client *client)
{
	uint8_t length[4];

	return take(client, length, sizeof(length)) && take(client, NULL, big32_get(length));
}

static bool take_rectangle(struct seat_client *client)
{
	uint8_t head[12];
	struct seat_rectangle at;
	int32_t encoding;

	if (!take(client, head, sizeof(head)))
		return false;
	at = (struct seat_rectangle){ big16_get(head), big16_get(head + 2), big16_get(head + 4),
				      big16_get(head + 6) };
	encoding = (int32_t)big32_get(head + 8);
	if (encoding == ENCODING_KEY_CODES)
		return client->takes_codes = true;
	if (encoding == ENCODING_SIZE)
		return resize(client, at.width, at.height);
	if (encoding != SEAT_RAW && encoding != SEAT_ZRLE)
		return fail(client, "the server sends an encoding that it was not asked for");
	if (at.x + at.width > client->width || at.y + at.height > client->height)
		return fail(client, "the server draws outside of the picture");
	client->rectangles[client->rectangle_count++ % SEAT_RECTANGLES] = at;
	return encoding == SEAT_RAW ? take_raw(client, &at) : take_packed(client);
}

static bool take_update(struct seat_client *client)
{
	uint8_t head[3];
	unsigned count;

	if (!take(client, head, sizeof(head)))
		return false;
	count = big16_get(head + 1);
	client->rectangle_count = 0;
	while (count-- > 0) {
		if (!take_rectangle(client))
			return false;
	}
	return ask(client, true);
}

static bool skip_text(struct seat_client *client)
{
	uint8_t head[7];

	return take(client, head, sizeof(head)) && take(client, NULL, big32_get(head + 3));
}

bool seat_client_has_buffered(const struct seat_client *client)
{
	return client->begin < client->end;
}

bool seat_client_read(struct seat_client *client)
{
	uint8_t kind;

	client->rectangle_count = 0;
	if (!take(client, &kind, 1))
		return false;
	switch (kind) {
	case 0:
		return take_update(client);
	case 2: /* a bell */
		return true;
	case 3:
		return skip_text(client);
	default:
		return fail(client, "the server sends a message that there is not");
	}
}

bool seat_client_drew(const struct seat_client *client, unsigned x, unsigned y)
{
	unsigned count =
		client->rectangle_count < SEAT_RECTANGLES ? client->rectangle_count : SEAT_RECTANGLES;

	/* It may be smaller than it was. */
	if (x >= client->width || y >= client->height)
		return false;
	for (unsigned i = 0; i < count; i++) {
		const struct seat_rectangle *at = &client->rectangles[i];

		if (x >= at->x && y >= at->y && x - at->x < at->width && y - at->y < at->height)
			return true;
	}
	return false;
}

/* ---- what it does ---- */

bool seat_client_key(struct seat_client *client, uint32_t code, bool down)
{
	uint8_t message[12] = { 255, 0, 0, down };

	big32_put(message + 8, code);
	return say(client, message, sizeof(message));
}

bool seat_client_click(struct seat_client *client, unsigned x, unsigned y)
{
	uint8_t message[6] = { 5, 1 };

	big16_put(message + 2, (uint16_t)x);
	big16_put(message + 4, (uint16_t)y);
	if (!say(client, message, sizeof(message)))
		return false;
	message[1] = 0;
	return say(client, message, sizeof(message));
}

/* ---- life ---- */

/* The pixels as SEAT_RAW has them, and what is understood. */
static bool set_up(struct seat_client *client)
{
	const uint8_t format[4 + FORMAT_BYTES] = {
		0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0
	};
	uint8_t encodings[4 + 3 * 4] = { 2, 0, 0, 3 };

	big32_put(encodings + 4, client->encoding);
	big32_put(encodings + 8, (uint32_t)ENCODING_KEY_CODES);
	big32_put(encodings + 12, (uint32_t)ENCODING_SIZE);
	return say(client, format, sizeof(format)) && say(client, encodings, sizeof(encodings));
}

static bool greet(struct seat_client *client)
{
	uint8_t version[VERSION_BYTES], kinds, list[255], verdict[4], head[4 + FORMAT_BYTES + 4];
	const uint8_t one = 1; /* no authentication; with others */

	if (!take(client, version, sizeof(version)) || !say(client, VERSION, VERSION_BYTES) ||
	    !take(client, &kinds, 1) || !take(client, list, kinds))
		return false;
	if (!memchr(list, 1, kinds))
		return fail(client, "the server wants a password");
	if (!say(client, &one, 1) || !take(client, verdict, sizeof(verdict)) || !say(client, &one, 1) ||
	    !take(client, head, sizeof(head)) || !take(client, NULL, big32_get(head + 4 + FORMAT_BYTES)))
		return false;
	return resize(client, big16_get(head), big16_get(head + 2)) && set_up(client) && ask(client, false);
}

int seat_client_open(struct seat_client *client, const char *path, enum seat_encoding encoding)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	client->encoding = encoding;
	client->begin = client->end = 0;
	client->pixels = NULL;
	client->failed = NULL;
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (client->fd < 0 || connect(client->fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		client->failed = "there is no server";
		return -errno;
	}
	return greet(client) ? 0 : -EPROTO;
}

void seat_client_close(struct seat_client *client)
{
	fd_close(&client->fd);
	free(client->pixels);
	client->pixels = NULL;
}
