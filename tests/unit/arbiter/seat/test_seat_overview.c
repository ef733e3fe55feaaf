/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All windows side by side: where they are, and how one of them is chosen. No guest hears of any of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/input-event-codes.h>
#include <string.h>

#include "arbiter/seat/seat.h"

#define WIDTH	    640u
#define HEIGHT	    480u
#define WINDOWS_MAX 40u

struct guest {
	struct seat_window *window;
	unsigned keys, pointers; /* that it heard */
	bool down[KEY_CNT];
};

struct bench {
	struct seat *seat;
	struct guest guests[WINDOWS_MAX];
	unsigned count;
};

static uint32_t screen[HEIGHT][WIDTH];

static void on_key(void *context, unsigned code, bool down)
{
	struct guest *guest = context;

	assert_true(guest->down[code] != down);
	guest->down[code] = down;
	guest->keys++;
}

static void on_pointer(void *context, unsigned x, unsigned y, unsigned buttons, int wheel)
{
	struct guest *guest = context;

	guest->pointers++;
	assert_int_equal(buttons, 0);
}

static void ignore(void *context, const struct seat_rect *rect)
{
}

static void open_guest(struct bench *bench)
{
	static const struct seat_window_ops ops = { .key = on_key, .pointer = on_pointer };
	const struct seat_window_options options = { .name = "guest", .colour = 0xc02020 };
	struct guest *guest = &bench->guests[bench->count++];

	assert_int_equal(seat_window_open(bench->seat, &options, &guest->window), 0);
	seat_window_listen(guest->window, &ops, guest);
}

static int setup(void **state)
{
	static struct bench bench;
	const struct seat_options options = { .width = WIDTH, .height = HEIGHT };

	memset(&bench, 0, sizeof(bench));
	assert_int_equal(seat_create(&options, &bench.seat), 0);
	for (unsigned i = 0; i < 5; i++)
		open_guest(&bench);
	*state = &bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	for (unsigned i = 0; i < bench->count; i++)
		seat_window_close(bench->guests[i].window);
	seat_compose(bench->seat, screen[0], sizeof(screen[0]), ignore, NULL);
	seat_destroy(bench->seat);
	return 0;
}

static void stroke(struct bench *bench, unsigned code)
{
	seat_key(bench->seat, code, true);
	seat_key(bench->seat, code, false);
}

static void toggle(struct bench *bench)
{
	seat_key(bench->seat, KEY_LEFTCTRL, true);
	seat_key(bench->seat, KEY_LEFTALT, true);
	stroke(bench, KEY_SPACE);
	seat_key(bench->seat, KEY_LEFTALT, false);
	seat_key(bench->seat, KEY_LEFTCTRL, false);
}

static void assert_unheard(struct bench *bench)
{
	for (unsigned i = 0; i < bench->count; i++)
		assert_int_equal(bench->guests[i].keys + bench->guests[i].pointers, 0);
}

static void forget_heard(struct bench *bench)
{
	for (unsigned i = 0; i < bench->count; i++)
		bench->guests[i].keys = bench->guests[i].pointers = 0;
}

static unsigned chosen(const struct bench *bench)
{
	const struct seat_window *window = seat_overview_chosen(bench->seat);

	for (unsigned i = 0; i < bench->count; i++)
		if (bench->guests[i].window == window)
			return i;
	fail_msg("none is chosen");
	return 0;
}

static bool apart(const struct seat_rect *one, const struct seat_rect *other)
{
	return one->x + (int)one->width <= other->x || other->x + (int)other->width <= one->x ||
	       one->y + (int)one->height <= other->y || other->y + (int)other->height <= one->y;
}

/* On the screen, below the bar, none above another, and none larger than it is. */
static void assert_tiles(struct bench *bench)
{
	for (unsigned i = 0; i < bench->count; i++) {
		struct seat_rect tile = seat_window_frame(bench->guests[i].window),
				 picture = seat_window_picture(bench->guests[i].window);

		assert_true(tile.x >= 0 && tile.x + (int)tile.width <= (int)WIDTH);
		assert_true(tile.y >= (int)SEAT_BAR_PIXELS && tile.y + (int)tile.height <= (int)HEIGHT);
		assert_true(picture.width >= 1 && picture.width <= 640);
		assert_int_equal(tile.width, picture.width + 2 * SEAT_FRAME_PIXELS);
		assert_int_equal(tile.height, picture.height + SEAT_TITLE_PIXELS + SEAT_FRAME_PIXELS);
		for (unsigned other = 0; other < i; other++) {
			struct seat_rect second = seat_window_frame(bench->guests[other].window);

			assert_true(apart(&tile, &second));
		}
	}
}

static void tiles_are_side_by_side(void **state)
{
	struct bench *bench = *state;
	struct seat_rect before = seat_window_frame(bench->guests[2].window), after;

	assert_int_equal(seat_window_resize(bench->guests[0].window, 20, 30), 0);
	assert_int_equal(seat_window_resize(bench->guests[1].window, 3000, 10), 0);
	seat_set_full_screen(bench->seat, bench->guests[4].window);
	seat_set_overview(bench->seat, true);
	assert_true(seat_has_overview(bench->seat));
	assert_tiles(bench);
	assert_int_equal(seat_window_picture(bench->guests[0].window).width, 20);
	while (bench->count < WINDOWS_MAX) {
		open_guest(bench);
		assert_tiles(bench);
		seat_compose(bench->seat, screen[0], sizeof(screen[0]), ignore, NULL);
	}
	seat_set_overview(bench->seat, false);
	assert_ptr_equal(seat_full_screen(bench->seat), bench->guests[4].window);
	after = seat_window_frame(bench->guests[2].window);
	assert_memory_equal(&before, &after, sizeof(before));
}

/* On a screen with no room for all of them the first ones are shown, and nothing goes wrong. */
static void a_small_screen(void **state)
{
	const struct seat_options options = { .width = SEAT_SIDE_MIN, .height = SEAT_SIDE_MIN };
	struct bench bench = { .count = 0 };
	unsigned shown = 0;

	assert_int_equal(seat_create(&options, &bench.seat), 0);
	for (unsigned i = 0; i < WINDOWS_MAX; i++)
		open_guest(&bench);
	seat_set_overview(bench.seat, true);
	for (unsigned i = 0; i < WINDOWS_MAX; i++) {
		stroke(&bench, KEY_TAB);
		shown += seat_window_picture(bench.guests[i].window).width > 0;
		seat_compose(bench.seat, screen[0], sizeof(screen[0]), ignore, NULL);
	}
	assert_int_equal(shown, 7);
	for (unsigned i = 0; i < WINDOWS_MAX; i++)
		seat_window_close(bench.guests[i].window);
	seat_destroy(bench.seat);
}

static void keys_choose(void **state)
{
	static const struct {
		unsigned code, chosen;
	} strokes[] = {
		{ KEY_TAB, 3 }, { KEY_TAB, 4 },	  { KEY_TAB, 0 },  { KEY_LEFT, 4 },
		{ KEY_UP, 1 },	{ KEY_DOWN, 4 },  { KEY_DOWN, 4 }, { KEY_LEFT, 3 },
		{ KEY_A, 3 },	{ KEY_SPACE, 3 }, { KEY_UP, 0 },   { KEY_RIGHT, 1 },
	};
	struct bench *bench = *state;

	seat_set_focus(bench->seat, bench->guests[2].window);
	seat_key(bench->seat, KEY_B, true);
	toggle(bench);
	assert_false(bench->guests[2].down[KEY_B] || bench->guests[2].down[KEY_LEFTCTRL]);
	assert_null(seat_focus(bench->seat));
	forget_heard(bench);
	assert_int_equal(chosen(bench), 2);
	for (size_t i = 0; i < sizeof(strokes) / sizeof(strokes[0]); i++) {
		stroke(bench, strokes[i].code);
		assert_int_equal(chosen(bench), strokes[i].chosen);
	}
	seat_key(bench->seat, KEY_RIGHTSHIFT, true);
	stroke(bench, KEY_TAB);
	seat_key(bench->seat, KEY_RIGHTSHIFT, false);
	assert_int_equal(chosen(bench), 0);
	seat_key(bench->seat, KEY_ENTER, true);
	assert_false(seat_has_overview(bench->seat));
	assert_ptr_equal(seat_focus(bench->seat), bench->guests[0].window);
	seat_key(bench->seat, KEY_ENTER, false);
	assert_unheard(bench);
	stroke(bench, KEY_A);
	assert_int_equal(bench->guests[0].keys, 2);
	assert_ptr_equal(seat_window_above(bench->seat, bench->guests[0].window), NULL);
}

static void it_can_be_left(void **state)
{
	struct bench *bench = *state;

	seat_set_focus(bench->seat, bench->guests[1].window);
	for (unsigned i = 0; i < 2; i++) {
		toggle(bench);
		assert_true(seat_has_overview(bench->seat));
		if (i == 0)
			stroke(bench, KEY_ESC);
		else
			toggle(bench);
		assert_false(seat_has_overview(bench->seat));
		assert_ptr_equal(seat_focus(bench->seat), bench->guests[1].window);
	}
	/* What is chosen by other ways ends it. */
	seat_set_overview(bench->seat, true);
	seat_set_focus(bench->seat, bench->guests[3].window);
	assert_false(seat_has_overview(bench->seat));
	assert_ptr_equal(seat_focus(bench->seat), bench->guests[3].window);
	seat_set_overview(bench->seat, true);
	seat_set_focus(bench->seat, NULL);
	assert_false(seat_has_overview(bench->seat));
	assert_null(seat_focus(bench->seat));
}

/* The button is not heard, nor what the pointer does meanwhile. */
static void a_click_chooses(void **state)
{
	struct bench *bench = *state;
	struct seat_rect tile;

	seat_set_focus(bench->seat, bench->guests[0].window);
	forget_heard(bench);
	seat_set_overview(bench->seat, true);
	tile = seat_window_frame(bench->guests[3].window);
	seat_pointer(bench->seat, tile.x + 5, tile.y + 30, 0, 1);
	seat_pointer(bench->seat, 0, (int)HEIGHT - 1, 1, 0);
	seat_pointer(bench->seat, 0, (int)HEIGHT - 1, 0, 0);
	assert_true(seat_has_overview(bench->seat));
	seat_pointer(bench->seat, tile.x + 5, tile.y + 30, 1, 0);
	assert_false(seat_has_overview(bench->seat));
	assert_ptr_equal(seat_focus(bench->seat), bench->guests[3].window);
	assert_unheard(bench);
	seat_pointer(bench->seat, tile.x + 6, tile.y + 30, 1, 0);
	seat_pointer(bench->seat, tile.x + 6, tile.y + 30, 0, 0);
	assert_false(bench->guests[0].pointers);
}

/* They take their tile with them, the mark moves on, and the focus is not theirs any more. */
static void windows_go_meanwhile(void **state)
{
	struct bench *bench = *state;

	seat_set_focus(bench->seat, bench->guests[4].window);
	seat_set_overview(bench->seat, true);
	assert_int_equal(chosen(bench), 4);
	seat_window_set_hidden(bench->guests[4].window, true);
	assert_non_null(seat_overview_chosen(bench->seat));
	stroke(bench, KEY_TAB);
	stroke(bench, KEY_ESC);
	assert_null(seat_focus(bench->seat));
	seat_set_overview(bench->seat, true);
	for (unsigned i = 0; i < 4; i++)
		seat_window_set_hidden(bench->guests[i].window, true);
	assert_null(seat_overview_chosen(bench->seat));
	stroke(bench, KEY_TAB);
	stroke(bench, KEY_ENTER);
	assert_true(seat_has_overview(bench->seat));
	seat_compose(bench->seat, screen[0], sizeof(screen[0]), ignore, NULL);
	seat_window_set_hidden(bench->guests[2].window, false);
	assert_int_equal(chosen(bench), 2);
	stroke(bench, KEY_KPENTER);
	assert_ptr_equal(seat_focus(bench->seat), bench->guests[2].window);
}

#define OVERVIEW_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		OVERVIEW_TEST(tiles_are_side_by_side),
		cmocka_unit_test(a_small_screen),
		OVERVIEW_TEST(keys_choose),
		OVERVIEW_TEST(it_can_be_left),
		OVERVIEW_TEST(a_click_chooses),
		OVERVIEW_TEST(windows_go_meanwhile),
	};

	return cmocka_run_group_tests_name("seat_overview", tests, NULL, NULL);
}
