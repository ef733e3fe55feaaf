/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Windows at other sizes than their pictures': how large they are, and where the pointer is. What they look
 * like is in tests/model/test_seat.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>

#include "arbiter/seat/seat.h"

#define WIDTH  1280u
#define HEIGHT 800u
#define BELOW  (HEIGHT - SEAT_BAR_PIXELS) /* the bar */

struct bench {
	struct seat *seat;
	struct seat_window *window;
	unsigned x, y;		       /* what the guest heard of the pointer last */
	unsigned width, height, asked; /* which picture it was asked for last, and how often */
};

static uint32_t screen[HEIGHT][WIDTH];

static void on_key(void *context, unsigned code, bool down)
{
}

static void on_pointer(void *context, unsigned x, unsigned y, unsigned buttons, int wheel)
{
	struct bench *bench = context;

	bench->x = x;
	bench->y = y;
}

static void on_resize(void *context, unsigned width, unsigned height)
{
	struct bench *bench = context;

	bench->width = width;
	bench->height = height;
	bench->asked++;
}

static void count_pixels(void *context, const struct seat_rect *rect)
{
	*(unsigned *)context += rect->width * rect->height;
}

static unsigned compose(struct bench *bench)
{
	unsigned pixels = 0;

	seat_compose(bench->seat, screen[0], sizeof(screen[0]), count_pixels, &pixels);
	return pixels;
}

static int setup(void **state)
{
	static const struct seat_window_ops ops = { .key = on_key,
						    .pointer = on_pointer,
						    .resize = on_resize };
	static struct bench bench;
	const struct seat_options options = { .width = WIDTH, .height = HEIGHT };
	const struct seat_window_options window = { .name = "alice", .colour = 0xc02020 };

	bench.asked = 0;
	assert_int_equal(seat_create(&options, &bench.seat), 0);
	assert_int_equal(seat_window_open(bench.seat, &window, &bench.window), 0);
	seat_window_listen(bench.window, &ops, &bench);
	seat_set_focus(bench.seat, bench.window);
	*state = &bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	seat_window_close(bench->window);
	seat_destroy(bench->seat);
	return 0;
}

static void press(struct bench *bench, unsigned code)
{
	seat_key(bench->seat, KEY_LEFTCTRL, true);
	seat_key(bench->seat, KEY_LEFTALT, true);
	seat_key(bench->seat, code, true);
	seat_keys_up(bench->seat);
}

static void scales_that_are_none(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(seat_window_scale(bench->window), 100);
	assert_int_equal(seat_window_set_scale(bench->window, SEAT_SCALE_MIN - 1), -EINVAL);
	assert_int_equal(seat_window_set_scale(bench->window, SEAT_SCALE_MAX + 1), -EINVAL);
	assert_int_equal(seat_window_set_scale(bench->window, UINT32_MAX), -EINVAL);
	assert_int_equal(seat_window_scale(bench->window), 100);
}

static void assert_shown(struct bench *bench, unsigned width, unsigned height)
{
	struct seat_rect shown = seat_window_picture(bench->window);

	if (shown.width != width || shown.height != height)
		fail_msg("%ux%u instead of %ux%u", shown.width, shown.height, width, height);
}

static void windows_have_the_size_that_is_asked_for(void **state)
{
	static const struct {
		unsigned width, height, percent, shown_width, shown_height;
	} rows[] = {
		{ 640, 480, 50, 320, 240 },
		{ 640, 480, 200, 1280, 960 },
		{ 1, 3, 10, 1, 1 },
		{ 333, 10, 50, 167, 5 },
		{ 8192, 8192, 400, 32768, 32768 },
		/* As it is, or as large as has room in a frame. */
		{ 640, 480, SEAT_SCALE_FIT, 640, 480 },
		{ WIDTH - 6, BELOW - 25, SEAT_SCALE_FIT, WIDTH - 6, BELOW - 25 },
		{ 2 * (WIDTH - 6), 100, SEAT_SCALE_FIT, WIDTH - 6, 50 },
		{ 8192, 1, SEAT_SCALE_FIT, WIDTH - 6, 1 },
		{ 1, 8192, SEAT_SCALE_FIT, 1, BELOW - 25 },
	};
	struct bench *bench = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(seat_window_resize(bench->window, rows[i].width, rows[i].height), 0);
		assert_int_equal(seat_window_set_scale(bench->window, rows[i].percent), 0);
		assert_shown(bench, rows[i].shown_width, rows[i].shown_height);
		compose(bench);
	}
}

/* The whole frame of one that fits is on the screen, wherever it was, and also when its picture grows. */
static void what_fits_is_on_the_screen(void **state)
{
	struct bench *bench = *state;
	struct seat_rect frame;

	seat_window_move(bench->window, 1000, 700);
	assert_int_equal(seat_window_set_scale(bench->window, SEAT_SCALE_FIT), 0);
	frame = seat_window_frame(bench->window);
	assert_int_equal(frame.x + (int)frame.width, WIDTH);
	assert_int_equal(frame.y + (int)frame.height, HEIGHT);
	assert_int_equal(seat_window_resize(bench->window, 4000, 3000), 0);
	frame = seat_window_frame(bench->window);
	assert_true(frame.x >= 0 && frame.x + (int)frame.width <= (int)WIDTH);
	assert_int_equal(frame.y, SEAT_BAR_PIXELS);
	assert_int_equal(frame.height, BELOW);
}

static void full_screen_fits(void **state)
{
	static const struct {
		unsigned width, height, shown_width, shown_height;
	} rows[] = {
		{ WIDTH, BELOW, WIDTH, BELOW },
		{ WIDTH / 2, BELOW / 2, WIDTH, BELOW },
		{ WIDTH / 4, 10, WIDTH, 40 },
		/* A little larger would not be worth its blur: whole multiples. */
		{ 1200, 700, 1200, 700 },
		{ 600, 350, 1200, 700 },
		/* As large as has room, with the same ratio. */
		{ 640, 480, 1035, BELOW },
		{ 2 * WIDTH, 2 * BELOW, WIDTH, BELOW },
		{ 1280, 800, 1242, BELOW },
		{ 8192, 8192, BELOW, BELOW },
		{ 8192, 1, WIDTH, 1 },
		{ 1, 8192, 1, BELOW },
		{ 1, 1, BELOW, BELOW },
	};
	struct bench *bench = *state;

	assert_int_equal(seat_window_set_scale(bench->window, 50), 0);
	seat_set_full_screen(bench->seat, bench->window);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct seat_rect shown;

		assert_int_equal(seat_window_resize(bench->window, rows[i].width, rows[i].height), 0);
		assert_shown(bench, rows[i].shown_width, rows[i].shown_height);
		shown = seat_window_picture(bench->window);
		assert_true(abs(2 * shown.x + (int)shown.width - (int)WIDTH) <= 1);
		assert_true(abs(2 * shown.y + (int)shown.height - (int)(HEIGHT + SEAT_BAR_PIXELS)) <= 1);
	}
	/* And back. */
	assert_int_equal(seat_window_resize(bench->window, 100, 100), 0);
	seat_set_full_screen(bench->seat, NULL);
	assert_shown(bench, 50, 50);
}

static void point(struct bench *bench, unsigned x, unsigned y)
{
	struct seat_rect shown = seat_window_picture(bench->window);

	seat_pointer(bench->seat, shown.x + (int)x, shown.y + (int)y, 0, 0);
}

/* The middle of each of the screen's pixels. */
static void the_pointer_is_where_it_is_in_the_picture(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(seat_window_resize(bench->window, 600, 300), 0);
	seat_window_move(bench->window, 0, 0);
	point(bench, 599, 1);
	assert_true(bench->x == 599 && bench->y == 1);
	assert_int_equal(seat_window_set_scale(bench->window, 200), 0);
	for (unsigned i = 0; i < 300; i++) {
		point(bench, 2 * i + 1, 2 * i);
		assert_true(bench->x == i && bench->y == i);
	}
	point(bench, 1199, 599);
	assert_true(bench->x == 599 && bench->y == 299);
	assert_int_equal(seat_window_set_scale(bench->window, 10), 0);
	point(bench, 0, 29);
	assert_true(bench->x == 5 && bench->y == 295);
	point(bench, 59, 0);
	assert_true(bench->x == 595 && bench->y == 5);
}

/* What is drawn into a picture costs as much of the screen as it changes. */
static void damage_is_as_large_as_it_is_shown(void **state)
{
	static const uint32_t pixels[64 * 64];
	struct bench *bench = *state;
	const struct seat_rect inside = { 64, 64, 64, 64 }, crooked = { 65, 66, 2, 3 };

	assert_int_equal(seat_window_resize(bench->window, 640, 400), 0);
	assert_int_equal(seat_window_set_scale(bench->window, 25), 0);
	compose(bench);
	assert_int_equal(seat_window_draw(bench->window, &inside, pixels, 256), 0);
	assert_int_equal(compose(bench), 16 * 16);
	assert_int_equal(seat_window_draw(bench->window, &crooked, pixels, 256), 0);
	assert_int_equal(compose(bench), 1 * 2);
	assert_int_equal(seat_window_set_scale(bench->window, 150), 0);
	compose(bench);
	assert_int_equal(seat_window_draw(bench->window, &inside, pixels, 256), 0);
	assert_int_equal(compose(bench), 96 * 96);
	assert_int_equal(seat_window_draw(bench->window, &crooked, pixels, 256), 0);
	assert_int_equal(compose(bench), 4 * 5);
}

static void a_key_makes_it_fit(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(seat_window_set_scale(bench->window, 50), 0);
	press(bench, KEY_0);
	assert_int_equal(seat_window_scale(bench->window), SEAT_SCALE_FIT);
	press(bench, KEY_0);
	assert_int_equal(seat_window_scale(bench->window), 100);
	seat_set_focus(bench->seat, NULL);
	press(bench, KEY_0);
	assert_int_equal(seat_window_scale(bench->window), 100);
}

/* ---- what the guest is asked for ---- */

static void assert_asked(struct bench *bench, unsigned width, unsigned height)
{
	compose(bench);
	assert_int_equal(bench->asked, 1);
	assert_int_equal(bench->width, width);
	assert_int_equal(bench->height, height);
	bench->asked = 0;
	compose(bench);
	assert_int_equal(bench->asked, 0);
}

static void a_guest_is_asked_for_a_size(void **state)
{
	struct bench *bench = *state;

	compose(bench);
	assert_int_equal(bench->asked, 0);
	assert_int_equal(seat_window_ask_size(bench->window, 0, 1), -EINVAL);
	assert_int_equal(seat_window_ask_size(bench->window, 1, SEAT_SIDE_MAX + 1), -EINVAL);
	for (unsigned side = 1; side <= 1000; side++)
		assert_int_equal(seat_window_ask_size(bench->window, side, 2 * side), 0);
	assert_asked(bench, 1000, 2000);
	/* Whatever it answers, and however often. */
	for (unsigned side = 1; side <= 100; side++) {
		assert_int_equal(seat_window_resize(bench->window, side, side), 0);
		compose(bench);
	}
	assert_int_equal(bench->asked, 0);
	seat_window_listen(bench->window, NULL, NULL);
	assert_int_equal(seat_window_ask_size(bench->window, 100, 100), -ENOTCONN);
}

static void full_screen_asks(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(seat_window_resize(bench->window, 720, 400), 0);
	press(bench, KEY_ENTER);
	assert_asked(bench, WIDTH, BELOW);
	/* It does not follow, and nothing has to be taken back. */
	press(bench, KEY_ENTER);
	compose(bench);
	assert_int_equal(bench->asked, 0);
	/* It does. */
	press(bench, KEY_ENTER);
	assert_asked(bench, WIDTH, BELOW);
	assert_int_equal(seat_window_resize(bench->window, WIDTH, BELOW), 0);
	assert_shown(bench, WIDTH, BELOW);
	press(bench, KEY_ENTER);
	assert_asked(bench, 720, 400);
	/* Another size is asked for meanwhile, which is the one that it keeps. */
	press(bench, KEY_ENTER);
	assert_int_equal(seat_window_ask_size(bench->window, 800, 600), 0);
	assert_asked(bench, 800, 600);
	press(bench, KEY_ENTER);
	assert_asked(bench, 800, 600);
	/* To and fro at once. */
	press(bench, KEY_ENTER);
	press(bench, KEY_ENTER);
	compose(bench);
	assert_int_equal(bench->asked, 0);
}

#define SCALE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCALE_TEST(scales_that_are_none),
		SCALE_TEST(windows_have_the_size_that_is_asked_for),
		SCALE_TEST(what_fits_is_on_the_screen),
		SCALE_TEST(full_screen_fits),
		SCALE_TEST(the_pointer_is_where_it_is_in_the_picture),
		SCALE_TEST(damage_is_as_large_as_it_is_shown),
		SCALE_TEST(a_key_makes_it_fit),
		SCALE_TEST(a_guest_is_asked_for_a_size),
		SCALE_TEST(full_screen_asks),
	};

	return cmocka_run_group_tests_name("seat_scale", tests, NULL, NULL);
}
