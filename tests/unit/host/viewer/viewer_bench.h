/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process of one viewer between a daemon and a client that are the test. The client is as simple as can
 * be: it takes pictures in raw encoding only, into a picture of its own.
 */
#ifndef VIADUCT_TESTS_VIEWER_BENCH_H
#define VIADUCT_TESTS_VIEWER_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/big_endian.h"
#include "core/fd.h"
#include "host/viewer/viewer_message.h"
#include "host/viewer/viewer_serve.h"
#include "patience.h"

#define WIDTH	  200u
#define HEIGHT	  100u
#define PADDING	  8u /* pixels behind each line of the screen */
#define SEAT_NAME "desk"
#define PIXEL_MAX 0xffffffu

enum {
	ENCODING_RAW = 0,
	ENCODING_DESKTOP_SIZE = -223,
	ENCODING_QEMU_KEYS = -258,
	ENCODING_EXTENDED_SIZE = -308,
};

struct bench {
	int client, daemon; /* our ends; -1: closed */
	pid_t viewer;	    /* -1: it has ended */
	/* The daemon's screen. */
	uint32_t *screen;
	size_t screen_bytes;
	uint32_t width, height, stride_pixels;
	/* The client's picture, and what else it was told. */
	uint32_t *picture;
	uint32_t picture_width, picture_height;
	unsigned acks, sizes, size_reason, size_status;
};

/* ---- life ---- */

static inline void bench_start(struct bench *bench)
{
	int outside[2], inside[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, outside), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, inside), 0);
	*bench = (struct bench){ .client = outside[0], .daemon = inside[0] };
	bench->viewer = fork();
	assert_true(bench->viewer >= 0);
	if (bench->viewer == 0) {
		close(outside[0]);
		close(inside[0]);
		viewer_serve(outside[1], inside[1]);
		_exit(0);
	}
	close(outside[1]);
	close(inside[1]);
}

/* Waits for its end, which is orderly whatever led to it. */
static inline void bench_await_end(struct bench *bench)
{
	int status = -1;

	assert_int_equal(waitpid(bench->viewer, &status, 0), bench->viewer);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	bench->viewer = -1;
}

static inline void bench_stop(struct bench *bench)
{
	fd_close(&bench->daemon);
	if (bench->viewer > 0)
		bench_await_end(bench);
	fd_close(&bench->client);
	if (bench->screen)
		munmap(bench->screen, bench->screen_bytes);
	free(bench->picture);
}

static inline int bench_setup(void **state)
{
	static struct bench bench;

	bench_start(&bench);
	*state = &bench;
	return 0;
}

static inline int bench_teardown(void **state)
{
	bench_stop(*state);
	return 0;
}

static inline void bench_wait_for(int fd, short events)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };

	assert_int_equal(poll(&poll_fd, 1, (int)(HANG_NS / NS_PER_MS)), 1);
}

/* What the process is doing: 'S' is waiting, 'R' is running. */
static inline char bench_state(const struct bench *bench)
{
	char path[64], text[256], *end;
	FILE *file;
	size_t got;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)bench->viewer);
	file = fopen(path, "re");
	assert_non_null(file);
	got = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[got] = '\0';
	end = strrchr(text, ')');
	assert_non_null(end);
	return end[2];
}

/* ---- the daemon ---- */

static inline void daemon_say(struct bench *bench, const struct viewer_message *message, int fd)
{
	assert_int_equal(fd_send(bench->daemon, message, sizeof(*message), &fd, fd >= 0), sizeof(*message));
}

static inline struct viewer_message daemon_hear(struct bench *bench)
{
	struct viewer_message message;

	bench_wait_for(bench->daemon, POLLIN);
	assert_int_equal(recv(bench->daemon, &message, sizeof(message), MSG_TRUNC), sizeof(message));
	return message;
}

static inline void daemon_hear_kind(struct bench *bench, enum viewer_message_kind kind)
{
	assert_int_equal(daemon_hear(bench).kind, kind);
}

static inline void daemon_hear_end(struct bench *bench)
{
	char byte;

	bench_wait_for(bench->daemon, POLLIN);
	assert_int_equal(recv(bench->daemon, &byte, 1, 0), 0);
}

static inline uint32_t *pixel_of(struct bench *bench, uint32_t x, uint32_t y)
{
	return &bench->screen[y * bench->stride_pixels + x];
}

static inline struct viewer_message screen_message(uint32_t width, uint32_t height)
{
	struct viewer_message message = {
		.kind = VIEWER_SCREEN, .width = width, .height = height, .stride_bytes = (width + PADDING) * 4
	};

	strcpy(message.name, SEAT_NAME);
	return message;
}

/* A screen of that size, with pixels that are all different from their neighbours. */
static inline void daemon_show(struct bench *bench, uint32_t width, uint32_t height)
{
	struct viewer_message message = screen_message(width, height);
	size_t bytes = (size_t)message.stride_bytes * height;
	int fd = fd_memfd("screen", bytes);

	assert_true(fd >= 0);
	if (bench->screen)
		munmap(bench->screen, bench->screen_bytes);
	bench->screen = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(bench->screen, MAP_FAILED);
	bench->screen_bytes = bytes;
	bench->width = width;
	bench->height = height;
	bench->stride_pixels = width + PADDING;
	for (size_t i = 0; i < bytes / 4; i++)
		bench->screen[i] = (uint32_t)random();
	daemon_say(bench, &message, fd);
	close(fd);
}

static inline void daemon_damage(struct bench *bench, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	const struct viewer_message message = { .kind = VIEWER_DAMAGE,
						.number = 1,
						.rects = { { x, y, width, height } } };

	daemon_say(bench, &message, -1);
}

/* ---- the client ---- */

static inline void client_say(struct bench *bench, const void *bytes, size_t count)
{
	size_t done = 0;

	while (done < count) {
		ssize_t sent;

		bench_wait_for(bench->client, POLLOUT);
		sent = send(bench->client, (const uint8_t *)bytes + done, count - done, MSG_NOSIGNAL);
		assert_true(sent > 0 || errno == EAGAIN);
		done += sent > 0 ? (size_t)sent : 0;
	}
}

static inline void client_hear(struct bench *bench, void *bytes, size_t count)
{
	size_t done = 0;

	while (done < count) {
		ssize_t received;

		bench_wait_for(bench->client, POLLIN);
		received = recv(bench->client, (uint8_t *)bytes + done, count - done, 0);
		assert_true(received > 0);
		done += (size_t)received;
	}
}

static inline bool client_hears_nothing(struct bench *bench)
{
	char byte;

	return recv(bench->client, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

/* Whatever is on its way comes first. */
static inline void client_hear_end(struct bench *bench)
{
	char bytes[4096];
	ssize_t received;

	do {
		bench_wait_for(bench->client, POLLIN);
		received = recv(bench->client, bytes, sizeof(bytes), 0);
	} while (received > 0);
	assert_true(received == 0 || errno == ECONNRESET);
}

static inline void client_resize(struct bench *bench, uint32_t width, uint32_t height)
{
	free(bench->picture);
	bench->picture = calloc((size_t)width * height, 4);
	assert_non_null(bench->picture);
	bench->picture_width = width;
	bench->picture_height = height;
}

/* Version 3.8, up to the server's description of the screen. */
static inline void client_shake_hands(struct bench *bench)
{
	uint8_t bytes[64];
	uint32_t name_bytes;

	client_hear(bench, bytes, 12);
	assert_memory_equal(bytes, "RFB 003.008\n", 12);
	client_say(bench, "RFB 003.008\n", 12);
	client_hear(bench, bytes, 2);
	assert_memory_equal(bytes, "\1\1", 2);
	client_say(bench, "\1", 1);
	client_hear(bench, bytes, 4);
	assert_int_equal(big32_get(bytes), 0);
	client_say(bench, "\1", 1);
	client_hear(bench, bytes, 24);
	client_resize(bench, big16_get(bytes), big16_get(bytes + 2));
	name_bytes = big32_get(bytes + 20);
	assert_int_equal(name_bytes, strlen(SEAT_NAME));
	client_hear(bench, bytes, name_bytes);
	assert_memory_equal(bytes, SEAT_NAME, name_bytes);
}

static inline void client_set_encodings(struct bench *bench, const int32_t *encodings, unsigned count)
{
	uint8_t message[4 + 4 * 64] = { 2 };

	assert_true(count <= 64);
	big16_put(message + 2, (uint16_t)count);
	for (unsigned i = 0; i < count; i++)
		big32_put(message + 4 + 4 * i, (uint32_t)encodings[i]);
	client_say(bench, message, 4 + 4 * count);
}

static inline void client_request_part(struct bench *bench, bool incremental, uint32_t x, uint32_t y,
				       uint32_t width, uint32_t height)
{
	uint8_t message[10] = { 3, incremental };

	big16_put(message + 2, (uint16_t)x);
	big16_put(message + 4, (uint16_t)y);
	big16_put(message + 6, (uint16_t)width);
	big16_put(message + 8, (uint16_t)height);
	client_say(bench, message, sizeof(message));
}

static inline void client_request(struct bench *bench, bool incremental)
{
	client_request_part(bench, incremental, 0, 0, bench->picture_width, bench->picture_height);
}

static inline void client_take_pixels(struct bench *bench, uint32_t x, uint32_t y, uint32_t width,
				      uint32_t height)
{
	assert_true(x + width <= bench->picture_width && y + height <= bench->picture_height);
	for (uint32_t line = y; line < y + height; line++)
		client_hear(bench, &bench->picture[line * bench->picture_width + x], width * 4);
}

/* Takes one rectangle; returns how many pixels it had. */
static inline uint32_t client_take_rect(struct bench *bench)
{
	uint8_t header[12], screens[4], layout[16];
	uint32_t width, height;

	client_hear(bench, header, sizeof(header));
	width = big16_get(header + 4);
	height = big16_get(header + 6);
	switch ((int32_t)big32_get(header + 8)) {
	case ENCODING_RAW:
		client_take_pixels(bench, big16_get(header), big16_get(header + 2), width, height);
		return width * height;
	case ENCODING_QEMU_KEYS:
		bench->acks++;
		return 0;
	case ENCODING_EXTENDED_SIZE:
		client_hear(bench, screens, sizeof(screens));
		assert_int_equal(screens[0], 1);
		client_hear(bench, layout, sizeof(layout));
		bench->size_reason = big16_get(header);
		bench->size_status = big16_get(header + 2);
		/* fallthrough */
	case ENCODING_DESKTOP_SIZE:
		bench->sizes++;
		client_resize(bench, width, height);
		return 0;
	default:
		fail_msg("an encoding that was not asked for");
		return 0;
	}
}

/* Takes one FramebufferUpdate; returns how many pixels it had. */
static inline uint32_t client_take_update(struct bench *bench)
{
	uint8_t header[4];
	uint32_t pixels = 0;

	client_hear(bench, header, sizeof(header));
	assert_int_equal(header[0], 0);
	for (unsigned rects = big16_get(header + 2); rects > 0; rects--)
		pixels += client_take_rect(bench);
	return pixels;
}

static inline void assert_same_picture(struct bench *bench)
{
	assert_int_equal(bench->picture_width, bench->width);
	assert_int_equal(bench->picture_height, bench->height);
	for (uint32_t y = 0; y < bench->height; y++) {
		for (uint32_t x = 0; x < bench->width; x++)
			assert_int_equal(bench->picture[y * bench->width + x] & PIXEL_MAX,
					 *pixel_of(bench, x, y) & PIXEL_MAX);
	}
}

/* ---- both ---- */

/* A screen of that size is there, and the client has said hello. */
static inline void bench_meet(struct bench *bench, uint32_t width, uint32_t height)
{
	daemon_hear_kind(bench, VIEWER_READY);
	daemon_show(bench, width, height);
	client_shake_hands(bench);
}

/* The client has the picture, and asks for more. Behind a new size, what it asked for before may come first.
 */
static inline void bench_settle(struct bench *bench)
{
	client_request(bench, false);
	while (client_take_update(bench) == 0)
		;
	client_request(bench, true);
	daemon_hear_kind(bench, VIEWER_READY);
}

static inline void client_key(struct bench *bench, uint32_t keysym, bool down)
{
	uint8_t message[8] = { 4, down };

	big32_put(message + 4, keysym);
	client_say(bench, message, sizeof(message));
}

/* The process has read all that the client said before. */
static inline void bench_sync(struct bench *bench)
{
	client_key(bench, 'z', true);
	daemon_hear_kind(bench, VIEWER_KEYSYM);
	client_key(bench, 'z', false);
	daemon_hear_kind(bench, VIEWER_KEYSYM);
}

#endif
