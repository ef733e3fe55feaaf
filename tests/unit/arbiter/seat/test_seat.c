/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the random windows of tests/model/test_seat.c do not do: mistakes, names, and how often is drawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "arbiter/seat/seat.h"

#define WIDTH  800u
#define HEIGHT 600u
#define FONT   "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
#define RED    0xc02020u

static uint32_t screen[HEIGHT][WIDTH];
static unsigned rectangles; /* of the last time */

static void on_key(void *context, unsigned code, bool down)
{
}

static void on_pointer(void *context, unsigned x, unsigned y, unsigned buttons, int wheel)
{
}

static void on_shown(void *context)
{
	++*(unsigned *)context;
}

static const struct seat_window_ops ops = { .key = on_key, .pointer = on_pointer, .shown = on_shown };
static unsigned shown; /* how often a window was told so */

static void count_pixels(void *context, const struct seat_rect *rect)
{
	*(unsigned *)context += rect->width * rect->height;
	rectangles++;
}

/* Returns how many pixels were drawn. */
static unsigned compose(struct seat *seat)
{
	unsigned pixels = 0;

	rectangles = 0;
	seat_compose(seat, screen[0], sizeof(screen[0]), count_pixels, &pixels);
	return pixels;
}

static int setup(void **state)
{
	const struct seat_options options = { .width = WIDTH, .height = HEIGHT };
	struct seat *seat;

	assert_int_equal(seat_create(&options, &seat), 0);
	*state = seat;
	return 0;
}

static int teardown(void **state)
{
	seat_destroy(*state);
	return 0;
}

static struct seat_window *open_window(struct seat *seat, const char *name)
{
	const struct seat_window_options options = { .name = name, .colour = RED };
	struct seat_window *window;

	assert_int_equal(seat_window_open(seat, &options, &window), 0);
	seat_window_listen(window, &ops, &shown);
	return window;
}

static void sizes_of_the_screen(void **state)
{
	const struct seat_options wrong[] = {
		{ .width = 0, .height = 600 },
		{ .width = 800, .height = SEAT_SIDE_MIN - 1 },
		{ .width = SEAT_SIDE_MAX + 1, .height = 600 },
		{ .width = 800, .height = UINT32_MAX },
	};
	struct seat *seat;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(seat_create(&wrong[i], &seat), -EINVAL);
	seat_destroy(NULL);
}

static void names_of_windows(void **state)
{
	char name[SEAT_NAME_MAX + 2];
	struct seat_window_options options = { .name = "" };
	struct seat_window *window;

	assert_int_equal(seat_window_open(*state, &options, &window), -EINVAL);
	memset(name, 'a', sizeof(name));
	name[SEAT_NAME_MAX + 1] = '\0';
	options.name = name;
	assert_int_equal(seat_window_open(*state, &options, &window), -EINVAL);
	name[SEAT_NAME_MAX] = '\0';
	assert_int_equal(seat_window_open(*state, &options, &window), 0);
	seat_window_close(window);
}

static void sizes_of_pictures(void **state)
{
	struct seat_window *window = open_window(*state, "alice");
	struct seat_rect before = seat_window_frame(window), after;

	assert_int_equal(seat_window_resize(window, 0, 1), -EINVAL);
	assert_int_equal(seat_window_resize(window, 1, 0), -EINVAL);
	assert_int_equal(seat_window_resize(window, SEAT_SIDE_MAX + 1, 1), -EINVAL);
	assert_int_equal(seat_window_resize(window, 1, UINT32_MAX), -EINVAL);
	after = seat_window_frame(window);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(seat_window_resize(window, SEAT_SIDE_MAX, 1), 0);
	seat_window_close(window);
}

/* As a guest may say it: beyond its picture, by one pixel or by all that there are. */
static void rectangles_outside_of_the_picture(void **state)
{
	static const struct seat_rect wrong[] = {
		{ 1, 0, 100, 1 },
		{ 0, 1, 1, 50 },
		{ -1, 0, 2, 2 },
		{ 0, -1, 2, 2 },
		{ 0, 0, 101, 1 },
		{ 0, 0, 1, 51 },
		{ 100, 0, 1, 1 },
		{ 0, 50, 1, 1 },
		{ INT32_MAX, 0, 1, 1 },
		{ INT32_MIN, 0, 1, 1 },
		{ 1, 0, UINT32_MAX, 1 },
		{ 0, 1, 1, UINT32_MAX },
		{ INT32_MAX, INT32_MAX, UINT32_MAX, UINT32_MAX },
	};
	static const struct seat_rect right[] = {
		{ 0, 0, 100, 50 },
		{ 99, 49, 1, 1 },
		{ 100, 50, 0, 0 },
		{ 5, 5, 0, 3 },
	};
	static const uint32_t pixels[100 * 50];
	struct seat_window *window = open_window(*state, "alice");

	assert_int_equal(seat_window_resize(window, 100, 50), 0);
	compose(*state);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(seat_window_draw(window, &wrong[i], pixels, 400), -ERANGE);
	assert_false(seat_has_changed(*state));
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
		assert_int_equal(seat_window_draw(window, &right[i], pixels, 400), 0);
	seat_window_close(window);
}

static void cursors_that_are_none(void **state)
{
	static const uint32_t pixels[SEAT_CURSOR_SIDE_MAX * (SEAT_CURSOR_SIDE_MAX + 1)];
	const struct seat_cursor wrong[] = {
		{ pixels, 0, 1, 0, 0 },
		{ pixels, 1, 0, 0, 0 },
		{ pixels, SEAT_CURSOR_SIDE_MAX + 1, 1, 0, 0 },
		{ pixels, 1, SEAT_CURSOR_SIDE_MAX + 1, 0, 0 },
		{ pixels, UINT32_MAX, UINT32_MAX, 0, 0 },
		{ pixels, 16, 16, 16, 0 },
		{ pixels, 16, 16, 0, UINT32_MAX },
	};
	struct seat_window *window = open_window(*state, "alice");

	compose(*state);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(seat_window_set_cursor(window, &wrong[i]), -EINVAL);
	assert_false(seat_has_changed(*state));
	seat_window_close(window);
}

/* Only where it was and where it is; and what is not seen costs nothing. */
static void cursors_are_drawn_where_they_are(void **state)
{
	static const uint32_t pixels[16 * 16] = { 0xff00ff00, 0x80400000 };
	const struct seat_cursor cursor = { pixels, 16, 16, 3, 4 }, none = { NULL, 0, 0, 0, 0 };
	struct seat_window *window = open_window(*state, "alice");
	struct seat_rect picture = seat_window_picture(window);
	const uint32_t *corner = &screen[picture.y + 16][picture.x + 17];

	compose(*state);
	assert_int_equal(seat_window_set_cursor(window, &cursor), 0);
	seat_window_move_cursor(window, 20, 20, false);
	assert_int_equal(compose(*state), 0);
	seat_window_move_cursor(window, 20, 20, true);
	assert_int_equal(compose(*state), 16 * 16);
	assert_int_equal(corner[0] & 0xffffff, 0x00ff00);
	assert_int_equal(corner[1] & 0xffffff, 0x400000);
	seat_window_move_cursor(window, 200, 200, true);
	assert_int_equal(compose(*state), 2 * 16 * 16);
	assert_int_equal(corner[0] & 0xffffff, 0);
	/* Partly outside, and wholly. */
	seat_window_move_cursor(window, 0, 0, true);
	assert_int_equal(compose(*state), 16 * 16 + 13 * 12);
	seat_window_move_cursor(window, INT32_MAX, INT32_MIN, true);
	assert_int_equal(compose(*state), 13 * 12);
	seat_window_move_cursor(window, 50, 50, true);
	compose(*state);
	assert_int_equal(seat_window_set_cursor(window, &none), 0);
	assert_int_equal(compose(*state), 16 * 16);
	seat_window_close(window);
}

/* However often a guest draws between two looks, and wherever: no more than its window is drawn again. */
static void storms_are_drawn_once(void **state)
{
	static const uint32_t pixel = 0x00ff00;
	struct seat_window *window = open_window(*state, "alice");

	assert_int_equal(seat_window_resize(window, 200, 200), 0);
	assert_true(compose(*state) > 0);
	for (unsigned i = 0; i < 100000; i++) {
		const struct seat_rect rect = { (int)(i * 7 % 200), (int)(i * 13 % 200), 1, 1 };

		assert_int_equal(seat_window_draw(window, &rect, &pixel, 4), 0);
	}
	assert_in_range(compose(*state), 1, 200 * 200);
	assert_in_range(rectangles, 1, 64);
	assert_int_equal(compose(*state), 0);
	seat_window_close(window);
}

static void what_is_covered_is_not_drawn(void **state)
{
	static const uint32_t pixels[200 * 200];
	const struct seat_rect all = { 0, 0, 200, 200 };
	struct seat_window *below = open_window(*state, "alice"), *above = open_window(*state, "bob");

	assert_int_equal(seat_window_resize(below, 200, 200), 0);
	assert_int_equal(seat_window_resize(above, 300, 300), 0);
	seat_window_move(above, 0, (int)SEAT_BAR_PIXELS);
	seat_window_move(below, 0, (int)SEAT_BAR_PIXELS);
	compose(*state);
	assert_int_equal(seat_window_draw(below, &all, pixels, 800), 0);
	assert_int_equal(compose(*state), 0);
	seat_set_full_screen(*state, above);
	compose(*state);
	seat_window_move(below, 400, 300);
	assert_int_equal(seat_window_draw(below, &all, pixels, 800), 0);
	assert_int_equal(compose(*state), 0);
	seat_window_close(below);
	seat_window_close(above);
}

/* ---- names ---- */

static void fonts_that_are_none(void **state)
{
	struct seat_options options = { .width = WIDTH, .height = HEIGHT, .font = "/nonexistent.ttf" };
	struct seat *seat;

	assert_int_equal(seat_create(&options, &seat), -ENOENT);
	options.font = "/etc/passwd";
	assert_int_equal(seat_create(&options, &seat), -ENOENT);
}

static void count_change(void *context)
{
	++*(unsigned *)context;
}

/* A window hears once for each time that the screen is drawn, however often it was drawn into. */
static void windows_hear_that_they_were_shown(void **state)
{
	unsigned changes = 0;
	const struct seat_options options = {
		.width = WIDTH, .height = HEIGHT, .changed = count_change, .context = &changes
	};
	const struct seat_rect rect = { 1, 1, 1, 1 };
	struct seat_window *one, *covered;
	struct seat *seat;
	uint32_t pixel = 0;

	assert_int_equal(seat_create(&options, &seat), 0);
	covered = open_window(seat, "covered");
	one = open_window(seat, "one");
	seat_window_move(one, 0, SEAT_BAR_PIXELS);
	compose(seat);
	shown = changes = 0;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(seat_window_draw(one, &rect, &pixel, 4), 0);
	assert_int_equal(changes, 1);
	assert_int_equal(shown, 0);
	assert_int_equal(compose(seat), 1);
	assert_int_equal(shown, 1);
	assert_false(seat_has_changed(seat));
	/* Nothing of it is seen, and it waits to hear that all the same. */
	assert_int_equal(seat_window_draw(covered, &rect, &pixel, 4), 0);
	assert_int_equal(changes, 2);
	seat_window_set_hidden(covered, true);
	compose(seat);
	assert_int_equal(seat_window_draw(covered, &rect, &pixel, 4), 0);
	assert_int_equal(compose(seat), 0);
	assert_int_equal(shown, 3);
	/* One that has gone hears nothing. */
	assert_int_equal(seat_window_draw(one, &rect, &pixel, 4), 0);
	assert_int_equal(seat_window_draw(covered, &rect, &pixel, 4), 0);
	seat_window_close(covered);
	compose(seat);
	assert_int_equal(shown, 4);
	seat_window_close(one);
	seat_destroy(seat);
}

static void assert_at(const struct seat_window *window, int x, int y)
{
	struct seat_rect frame = seat_window_frame(window);

	assert_int_equal(frame.x, x);
	assert_int_equal(frame.y, y);
}

/* Beside and below others as long as there is room; then in steps. What was moved stays where it is. */
static void windows_appear_where_they_cover_nothing(void **state)
{
	const struct seat_window_options options = { .name = "window", .hidden = true };
	struct seat *seat = *state;
	struct seat_window *windows[7];

	for (unsigned i = 0; i < 7; i++) {
		assert_int_equal(seat_window_open(seat, &options, &windows[i]), 0);
		assert_int_equal(seat_window_resize(windows[i], 394, i == 1 ? 350 : 250), 0);
		if (i == 5)
			seat_window_move(windows[i], 77, 99);
		seat_window_set_hidden(windows[i], false);
	}
	assert_at(windows[0], 0, 24);
	assert_at(windows[1], 400, 24);
	assert_at(windows[2], 0, 24 + 275);
	/* 400, 399 would reach below the screen. */
	assert_at(windows[3], 32, 56);
	assert_at(windows[4], 64, 88);
	assert_at(windows[5], 77, 99);
	assert_at(windows[6], 96, 120);
	seat_window_set_hidden(windows[0], true);
	seat_window_set_hidden(windows[0], false);
	assert_at(windows[0], 0, 24);
	assert_ptr_equal(seat_window_above(seat, NULL), windows[1]);
	assert_ptr_equal(seat_window_above(seat, windows[6]), windows[0]);
	assert_null(seat_window_above(seat, windows[0]));
	for (unsigned i = 0; i < 7; i++)
		seat_window_close(windows[i]);
}

/* As guests do when firmware gives way to a kernel; a window that the user moved stays. */
static void windows_that_grow_make_room(void **state)
{
	struct seat *seat = *state;
	struct seat_window *one = open_window(seat, "one"), *other;

	assert_int_equal(seat_window_resize(one, 200, 100), 0);
	other = open_window(seat, "other");
	assert_int_equal(seat_window_resize(other, 200, 100), 0);
	assert_at(one, 0, 24);
	assert_at(other, 206, 24);
	assert_int_equal(seat_window_resize(one, 300, 100), 0);
	assert_at(other, 206, 24);
	/* There is room at the right of the other. */
	assert_at(one, 412, 24);
	assert_int_equal(seat_window_resize(other, 210, 100), 0);
	assert_at(other, 0, 24);
	/* There is none for so large a one, and it stays. */
	assert_int_equal(seat_window_resize(one, 780, 500), 0);
	assert_at(one, 412, 24);
	assert_int_equal(seat_window_resize(one, 300, 100), 0);
	seat_window_move(other, 1, 30);
	assert_int_equal(seat_window_resize(other, 600, 100), 0);
	assert_at(other, 1, 30);
	seat_window_close(one);
	seat_window_close(other);
}

static void hidden_windows_are_not_seen(void **state)
{
	struct seat *seat = *state;
	struct seat_window *window = open_window(seat, "window");
	struct seat_rect frame = seat_window_frame(window);
	uint32_t before;

	seat_window_set_hidden(window, true);
	assert_true(seat_window_is_hidden(window));
	compose(seat);
	before = screen[frame.y][frame.x];
	seat_set_full_screen(seat, window);
	seat_window_raise(window);
	assert_int_equal(compose(seat), 0);
	assert_int_equal(seat_window_resize(window, 100, 50), 0);
	seat_window_move(window, 10, 100);
	assert_int_equal(compose(seat), 0);
	seat_window_set_hidden(window, false);
	assert_int_equal(compose(seat),
			 (100 + 2 * SEAT_FRAME_PIXELS) * (50 + SEAT_TITLE_PIXELS + SEAT_FRAME_PIXELS));
	assert_int_equal(screen[100][10] & 0xffffff, RED);
	seat_window_set_hidden(window, true);
	compose(seat);
	assert_int_equal(screen[100][10], before);
	seat_window_close(window);
}

static unsigned letters_in(const struct seat_rect *rect, uint32_t on)
{
	unsigned count = 0;

	for (unsigned y = 0; y < rect->height; y++)
		for (unsigned x = 0; x < rect->width; x++)
			count += ((screen[rect->y + (int)y][rect->x + (int)x] ^ on) & 0xffffff) != 0;
	return count;
}

/*
 * The name is in the title, and in the bar of the one with the focus, behind what the bar is for; the bar
 * also says so when none has it. A long name ends within its frame.
 */
static void names_are_written_in_frames(void **state)
{
	const struct seat_options options = { .width = WIDTH, .height = HEIGHT, .font = FONT };
	const struct seat_rect bar = { 0, 0, WIDTH, SEAT_BAR_PIXELS - SEAT_LINE_PIXELS };
	const struct seat_rect line = { 0, SEAT_BAR_PIXELS - SEAT_LINE_PIXELS, WIDTH, SEAT_LINE_PIXELS };
	const struct seat_rect beside = { 300, SEAT_BAR_PIXELS, 400, 200 };
	struct seat_rect title;
	struct seat_window *window;
	struct seat *seat;
	unsigned letters;

	assert_int_equal(seat_create(&options, &seat), 0);
	window = open_window(seat, "alice");
	assert_int_equal(seat_window_resize(window, 200, 100), 0);
	compose(seat);
	title = seat_window_frame(window);
	title.height = SEAT_TITLE_PIXELS;
	letters = letters_in(&title, RED);
	assert_in_range(letters, 50, 2000);
	assert_in_range(letters_in(&bar, screen[0][0]), 1000, 10000);
	seat_set_focus(seat, window);
	compose(seat);
	assert_in_range(letters_in(&bar, RED), letters + 100, letters + 2000);
	assert_int_equal(letters_in(&line, screen[400][700]), 0);
	assert_int_equal(letters_in(&beside, screen[400][700]), 0);
	seat_window_close(window);

	window = open_window(seat, "a-name-that-is-much-longer-than-the-frame-it-is-written-in");
	assert_int_equal(seat_window_resize(window, 200, 100), 0);
	compose(seat);
	assert_true(letters_in(&title, RED) > letters);
	assert_int_equal(letters_in(&beside, screen[400][700]), 0);
	seat_window_close(window);
	seat_destroy(seat);
}

#define SEAT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_of_the_screen),
		SEAT_TEST(names_of_windows),
		SEAT_TEST(sizes_of_pictures),
		SEAT_TEST(rectangles_outside_of_the_picture),
		SEAT_TEST(cursors_that_are_none),
		SEAT_TEST(cursors_are_drawn_where_they_are),
		SEAT_TEST(storms_are_drawn_once),
		SEAT_TEST(what_is_covered_is_not_drawn),
		cmocka_unit_test(fonts_that_are_none),
		cmocka_unit_test(names_are_written_in_frames),
		cmocka_unit_test(windows_hear_that_they_were_shown),
		SEAT_TEST(hidden_windows_are_not_seen),
		SEAT_TEST(windows_appear_where_they_cover_nothing),
		SEAT_TEST(windows_that_grow_make_room),
	};

	return cmocka_run_group_tests_name("seat", tests, NULL, NULL);
}
