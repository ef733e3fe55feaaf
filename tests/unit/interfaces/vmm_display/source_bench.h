/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A window of a seat, and the endpoint whose connected VMM it shows; the test plays that VMM's process. */
#ifndef VIADUCT_TESTS_SOURCE_BENCH_H
#define VIADUCT_TESTS_SOURCE_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input-event-codes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arbiter/seat/seat.h"
#include "core/fd.h"
#include "core/handover.h"
#include "core/loop.h"
#include "core/memory_guard.h"
#include "interfaces/endpoint.h"
#include "interfaces/vmm_display/vmm_display.h"
#include "interfaces/vmm_display/vmm_display_message.h"
#include "patience.h"

#define SCREEN 200u
#define WIDTH  40u
#define HEIGHT 30u

struct bench {
	struct loop *loop;
	struct seat *seat;
	struct seat_window *window;
	struct endpoint *endpoint;
	int process; /* the process's end */
	uint32_t pixels[HEIGHT][WIDTH];
	uint32_t screen[SCREEN * SCREEN];
};

/* ---- the bench ---- */

static inline void call(void *unused, void (*run)(void *context), void *context)
{
	run(context);
}

static inline void ignore(void *context, const struct seat_rect *rect)
{
}

static inline void compose(struct bench *bench)
{
	seat_compose(bench->seat, bench->screen, SCREEN * 4, ignore, NULL);
}

static inline struct vmm_display_options options_of(struct bench *bench, int fd)
{
	return (struct vmm_display_options){
		.endpoint = { .name = "alice/display-0",
			      .control = bench->loop,
			      .socket = ENDPOINT_CONNECTED_FD,
			      .fd = fd },
		.seat = bench->loop,
		.call = call,
		.window = bench->window,
	};
}

static inline int setup(void **state)
{
	const struct loop_options loop = { .name = "test" };
	const struct seat_options seat = { .width = SCREEN, .height = SCREEN };
	const struct seat_window_options window = { .name = "alice", .hidden = true };
	struct bench *bench = calloc(1, sizeof(*bench));
	struct vmm_display_options options;
	int pair[2];

	assert_non_null(bench);
	assert_int_equal(loop_create(&loop, &bench->loop), 0);
	assert_int_equal(seat_create(&seat, &bench->seat), 0);
	assert_int_equal(seat_window_open(bench->seat, &window, &bench->window), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	options = options_of(bench, pair[0]);
	assert_int_equal(vmm_display_create(&options, &bench->endpoint), 0);
	bench->process = pair[1];
	for (unsigned i = 0; i < WIDTH * HEIGHT; i++)
		bench->pixels[i / WIDTH][i % WIDTH] = i * 2654435761u;
	*state = bench;
	return 0;
}

static inline void note(void *context)
{
	*(bool *)context = true;
}

static inline int teardown(void **state)
{
	struct bench *bench = *state;
	bool gone = false;

	endpoint_destroy(bench->endpoint, note, &gone);
	AWAIT(gone, loop_turn(bench->loop, 1000000));
	seat_window_close(bench->window);
	seat_destroy(bench->seat);
	loop_destroy(bench->loop);
	close(bench->process);
	free(bench);
	return 0;
}

/* ---- what the process says ---- */

static inline void say(struct bench *bench, const struct vmm_display_message *message, int file)
{
	assert_int_equal(fd_send(bench->process, message, sizeof(*message), &file, file >= 0),
			 sizeof(*message));
	for (unsigned i = 0; i < 3; i++)
		loop_turn(bench->loop, 0);
}

/* A memory file with the picture. */
static inline int picture_file(const struct bench *bench)
{
	int file = fd_memfd("test", sizeof(bench->pixels));

	assert_true(file >= 0);
	assert_int_equal(pwrite(file, bench->pixels, sizeof(bench->pixels), 0), sizeof(bench->pixels));
	return file;
}

static inline struct vmm_display_message surface(void)
{
	return (struct vmm_display_message){
		.kind = VMM_DISPLAY_SURFACE, .width = WIDTH, .height = HEIGHT, .stride_bytes = WIDTH * 4
	};
}

/* The process shows the picture. Returns its file. */
static inline int show(struct bench *bench)
{
	const struct vmm_display_message message = surface();
	int file = picture_file(bench);

	say(bench, &message, file);
	return file;
}

static inline struct vmm_display_message damage(unsigned x, unsigned y, unsigned width, unsigned height)
{
	return (struct vmm_display_message){
		.kind = VMM_DISPLAY_DAMAGE, .x = x, .y = y, .width = width, .height = height
	};
}

/* The next thing that the process is told; kind 0: nothing. */
static inline struct vmm_display_message hear(struct bench *bench)
{
	struct vmm_display_message message = { .kind = 0 };

	if (recv(bench->process, &message, sizeof(message), 0) < 0)
		assert_int_equal(errno, EAGAIN);
	return message;
}

static inline void assert_told(struct bench *bench, uint32_t kind)
{
	assert_int_equal(hear(bench).kind, kind);
}

static inline struct endpoint_status status_of(const struct bench *bench)
{
	struct endpoint_status status;

	endpoint_status(bench->endpoint, &status);
	return status;
}

static inline void assert_window(const struct bench *bench)
{
	struct seat_pixels pixels = seat_window_pixels(bench->window);

	assert_false(seat_window_is_hidden(bench->window));
	assert_int_equal(pixels.width, WIDTH);
	assert_int_equal(pixels.height, HEIGHT);
	for (unsigned y = 0; y < HEIGHT; y++)
		assert_memory_equal((const uint8_t *)pixels.pixels + y * pixels.stride, bench->pixels[y],
				    WIDTH * 4);
}

/* It is let go: the window is hidden, and its end is closed. */
static inline void assert_let_go(struct bench *bench, uint64_t errors)
{
	char byte;

	AWAIT(status_of(bench).connections == 0, loop_turn(bench->loop, 1000000));
	assert_true(seat_window_is_hidden(bench->window));
	assert_int_equal(status_of(bench).protocol_errors, errors);
	while (recv(bench->process, &byte, 1, 0) > 0)
		;
	assert_int_equal(recv(bench->process, &byte, 1, 0), 0);
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
