/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VNC client (RFB 3.8, RFC 6143) that keeps the picture, or only the places of what was drawn. */
#ifndef VIADUCT_BENCH_SEAT_VIEWER_CLIENT_H
#define VIADUCT_BENCH_SEAT_VIEWER_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum seat_encoding {
	SEAT_RAW = 0,	/* pixels as they are: what programs on the same host ask for */
	SEAT_ZRLE = 16, /* tiles, packed by zlib; not unpacked here, so the picture is not known */
};

struct seat_rectangle {
	unsigned x, y, width, height;
};

/* Rectangles of an update that are remembered: the last ones. */
#define SEAT_RECTANGLES 256u
#define SEAT_READ_BYTES (256u << 10)

struct seat_client {
	int fd;
	enum seat_encoding encoding;
	unsigned width, height;
	uint32_t *pixels; /* 0xRRGGBB; of SEAT_RAW */
	bool takes_codes; /* of keys */
	uint64_t received_bytes;
	struct seat_rectangle rectangles[SEAT_RECTANGLES]; /* of the last update */
	unsigned rectangle_count;
	const char *failed; /* what has; NULL: nothing */

	/* private: what was read and not yet used */
	uint8_t buffer[SEAT_READ_BYTES];
	size_t begin, end;
};

/* Connects and asks for all of the picture. Returns 0, or -errno with client->failed. */
int seat_client_open(struct seat_client *client, const char *path, enum seat_encoding encoding);
void seat_client_close(struct seat_client *client);

/* Is something there without a wait in the kernel? */
bool seat_client_has_buffered(const struct seat_client *client);
/* Waits for one message; an update is taken as a whole, and the next asked for. False: client->failed. */
bool seat_client_read(struct seat_client *client);
/* Did the last update draw there? */
bool seat_client_drew(const struct seat_client *client, unsigned x, unsigned y);

/* A key of an XT keyboard; a button of the pointer goes down and up. */
bool seat_client_key(struct seat_client *client, uint32_t code, bool down);
bool seat_client_click(struct seat_client *client, unsigned x, unsigned y);

#endif
