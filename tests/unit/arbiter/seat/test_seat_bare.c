/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One guest alone: its pixels and no others, and keys that two seats hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/seat/seat.h"
#include "test_disk.h"

#define WIDTH	   300u
#define HEIGHT	   200u
#define SIDE_MAX   400u
#define BACKGROUND 0x202428u
#define STEPS	   200000u

struct guest {
	struct seat_window *window;
	bool down[KEY_CNT];
	unsigned buttons, x, y, shown;
};

struct bench {
	struct seat *seat, *bare;
	struct guest alice, bob;
	uint32_t screen[SIDE_MAX * SIDE_MAX];
	uint32_t picture[SIDE_MAX * SIDE_MAX]; /* alice's, as she drew it */
	unsigned told, pastes;
	unsigned long drawn; /* pixels of the bare seat's since it was asked last */
};

static void on_key(void *context, unsigned code, bool down)
{
	struct guest *guest = context;

	assert_true(guest->down[code] != down);
	guest->down[code] = down;
}

static void on_pointer(void *context, unsigned x, unsigned y, unsigned buttons, int wheel)
{
	struct guest *guest = context;

	guest->x = x;
	guest->y = y;
	guest->buttons = buttons;
}

static void on_shown(void *context)
{
	((struct guest *)context)->shown++;
}

static const struct seat_window_ops ops = { .key = on_key, .pointer = on_pointer, .shown = on_shown };

static void on_changed(void *context)
{
	((struct bench *)context)->told++;
}

static void on_paste(void *context)
{
	((struct bench *)context)->pastes++;
}

static void open_guest(struct bench *bench, struct guest *guest, bool hidden)
{
	const struct seat_window_options options = { .name = "guest", .hidden = hidden };

	memset(guest, 0, sizeof(*guest));
	assert_int_equal(seat_window_open(bench->seat, &options, &guest->window), 0);
	seat_window_listen(guest->window, &ops, guest);
	assert_int_equal(seat_window_resize(guest->window, 100, 60), 0);
}

static int setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	const struct seat_options options = { .width = WIDTH, .height = HEIGHT, .context = bench },
				  bare = { .changed = on_changed, .paste = on_paste, .context = bench };

	assert_int_equal(seat_create(&options, &bench->seat), 0);
	open_guest(bench, &bench->alice, false);
	open_guest(bench, &bench->bob, false);
	assert_int_equal(seat_create_bare(bench->alice.window, &bare, &bench->bare), 0);
	*state = bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	seat_destroy(bench->bare);
	seat_window_close(bench->alice.window);
	seat_window_close(bench->bob.window);
	seat_destroy(bench->seat);
	free(bench);
	return 0;
}

/* ---- pixels ---- */

static void on_rect(void *context, const struct seat_rect *rect)
{
	struct bench *bench = context;
	unsigned width, height;

	seat_size(bench->bare, &width, &height);
	assert_true(rect->x >= 0 && rect->y >= 0 && (unsigned)rect->x + rect->width <= width &&
		    (unsigned)rect->y + rect->height <= height);
	bench->drawn += (unsigned long)rect->width * rect->height;
}

static void compose(struct bench *bench)
{
	unsigned width, height;

	seat_size(bench->bare, &width, &height);
	bench->drawn = 0;
	seat_compose(bench->bare, bench->screen, (size_t)width * 4, on_rect, bench);
}

/* A picture of one colour, but for a pixel. */
static void draw(struct bench *bench, struct guest *guest, unsigned width, unsigned height, uint32_t colour)
{
	const struct seat_rect all = { 0, 0, width, height };

	for (unsigned i = 0; i < width * height; i++)
		bench->picture[i] = colour;
	bench->picture[width * height - 1] = colour ^ 0xffffff;
	assert_int_equal(seat_window_resize(guest->window, width, height), 0);
	assert_int_equal(seat_window_draw(guest->window, &all, bench->picture, (size_t)width * 4), 0);
}

static void assert_shows_picture(const struct bench *bench, unsigned width, unsigned height)
{
	unsigned own_width, own_height;

	seat_size(bench->bare, &own_width, &own_height);
	assert_int_equal(own_width, width);
	assert_int_equal(own_height, height);
	for (unsigned i = 0; i < width * height; i++)
		assert_int_equal(bench->screen[i] & 0xffffff, bench->picture[i]);
}

static void assert_shows_nothing(const struct bench *bench)
{
	unsigned width, height;

	seat_size(bench->bare, &width, &height);
	for (unsigned i = 0; i < width * height; i++)
		assert_int_equal(bench->screen[i] & 0xffffff, BACKGROUND);
}

static void test_its_picture_and_nothing_else(void **state)
{
	struct bench *bench = *state;

	draw(bench, &bench->bob, 250, 150, 0x0000ff);
	draw(bench, &bench->alice, 100, 60, 0xff0000);
	seat_window_raise(bench->bob.window);
	seat_window_move(bench->bob.window, 0, 0);
	compose(bench);
	assert_shows_picture(bench, 100, 60);
	seat_set_full_screen(bench->seat, bench->bob.window);
	seat_set_overview(bench->seat, true);
	assert_int_equal(seat_window_set_scale(bench->alice.window, 20), 0);
	compose(bench);
	assert_shows_picture(bench, 100, 60);
	/* What another guest does changes nothing here. */
	bench->told = 0;
	draw(bench, &bench->bob, 200, 200, 0x00ff00);
	assert_int_equal(bench->told, 0);
	assert_false(seat_has_changed(bench->bare));
}

/* As much is drawn as has changed, also beyond what was the picture before. */
static void test_other_sizes(void **state)
{
	static const struct {
		unsigned width, height;
	} sizes[] = { { 400, 300 }, { 1, 1 }, { 33, 400 }, { 400, 2 } };
	static const struct seat_rect pixel = { 7, 0, 1, 1 };
	struct bench *bench = *state;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		draw(bench, &bench->alice, sizes[i].width, sizes[i].height, 0x123456 << i & 0xffffff);
		compose(bench);
		assert_shows_picture(bench, sizes[i].width, sizes[i].height);
		assert_int_equal(bench->drawn, sizes[i].width * sizes[i].height);
	}
	bench->picture[7] = 0xabcdef;
	assert_int_equal(seat_window_draw(bench->alice.window, &pixel, bench->picture + 7, 4), 0);
	assert_int_equal(bench->told, sizeof(sizes) / sizeof(sizes[0]) + 1);
	compose(bench);
	assert_int_equal(bench->drawn, 1);
	assert_shows_picture(bench, 400, 2);
}

static void test_hidden(void **state)
{
	struct bench *bench = *state;

	draw(bench, &bench->alice, 90, 50, 0xff8000);
	compose(bench);
	seat_window_set_hidden(bench->alice.window, true);
	compose(bench);
	assert_shows_nothing(bench);
	/* It is not heard of what happens meanwhile. */
	seat_key(bench->bare, KEY_A, true);
	seat_pointer(bench->bare, 5, 5, 1, 0);
	assert_false(bench->alice.down[KEY_A]);
	assert_int_equal(bench->alice.buttons, 0);
	seat_window_set_hidden(bench->alice.window, false);
	compose(bench);
	assert_shows_picture(bench, 90, 50);
	seat_key(bench->bare, KEY_A, false);
	seat_key(bench->bare, KEY_A, true);
	assert_true(bench->alice.down[KEY_A]);
	seat_window_set_hidden(bench->alice.window, true);
	assert_false(bench->alice.down[KEY_A]);
}

static void test_cursor(void **state)
{
	static const uint32_t red[4] = { 0xffff0000, 0xffff0000, 0xffff0000, 0xffff0000 };
	const struct seat_cursor cursor = { red, 2, 2, 0, 0 };
	struct bench *bench = *state;

	draw(bench, &bench->alice, 40, 40, 0x000080);
	compose(bench);
	assert_int_equal(seat_window_set_cursor(bench->alice.window, &cursor), 0);
	seat_window_move_cursor(bench->alice.window, 39, 10, true);
	compose(bench);
	bench->picture[10 * 40 + 39] = bench->picture[11 * 40 + 39] = 0xff0000;
	assert_shows_picture(bench, 40, 40);
	seat_window_move_cursor(bench->alice.window, 39, 10, false);
	compose(bench);
	bench->picture[10 * 40 + 39] = bench->picture[11 * 40 + 39] = 0x000080;
	assert_shows_picture(bench, 40, 40);
}

/* A guest may draw on when the seat's own screen was drawn: what it draws more often is seen on neither. */
static void test_the_seat_says_when_it_is_shown(void **state)
{
	struct bench *bench = *state;
	static uint32_t pixels[WIDTH * HEIGHT];

	draw(bench, &bench->alice, 40, 40, 0x000080);
	compose(bench);
	assert_int_equal(bench->alice.shown, 0);
	seat_compose(bench->seat, pixels, WIDTH * 4, on_rect, &(struct bench){ .bare = bench->seat });
	assert_int_equal(bench->alice.shown, 1);
}

/* ---- keys and the pointer ---- */

static void test_keys_of_the_seat_are_the_guest_s(void **state)
{
	static const unsigned codes[] = { KEY_TAB, KEY_ENTER, KEY_0, KEY_SPACE, KEY_ESC };
	struct bench *bench = *state;

	seat_set_focus(bench->seat, bench->bob.window);
	seat_key(bench->bare, KEY_LEFTCTRL, true);
	seat_key(bench->bare, KEY_LEFTALT, true);
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		seat_key(bench->bare, codes[i], true);
		assert_true(bench->alice.down[codes[i]]);
		seat_key(bench->bare, codes[i], false);
		assert_false(bench->alice.down[codes[i]]);
	}
	assert_ptr_equal(seat_focus(bench->seat), bench->bob.window);
	assert_null(seat_full_screen(bench->seat));
	assert_false(seat_has_overview(bench->seat) || seat_has_overview(bench->bare));
	assert_int_equal(seat_window_scale(bench->alice.window), 100);
	seat_key(bench->bare, KEY_V, true);
	assert_false(bench->alice.down[KEY_V]);
	assert_int_equal(bench->pastes, 1);
}

static void test_pointer(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(seat_window_resize(bench->alice.window, 400, 300), 0);
	seat_pointer(bench->bare, 399, 299, 1, 0);
	assert_int_equal(bench->alice.x, 399);
	assert_int_equal(bench->alice.y, 299);
	assert_int_equal(bench->alice.buttons, 1);
	seat_pointer(bench->bare, 5000, -3, 1, 0);
	assert_int_equal(bench->alice.x, 399);
	assert_int_equal(bench->alice.y, 0);
	seat_buttons_up(bench->bare);
	assert_int_equal(bench->alice.buttons, 0);
}

/* What the guest has down is what either seat holds there: both press and let up anything, at any time. */
static void test_two_seats_hold_keys(void **state)
{
	struct bench *bench = *state;
	bool held[2][8] = { { false } };
	uint64_t random = 4711;

	seat_set_focus(bench->seat, bench->alice.window);
	for (unsigned i = 0; i < STEPS; i++) {
		uint64_t dice = test_random(&random);
		unsigned by = dice & 1, code = dice >> 1 & 7;

		if ((dice >> 4 & 63) == 0) {
			/* The focus goes and comes: what the seat holds is not heard any more. */
			seat_set_focus(bench->seat, NULL);
			seat_keys_up(bench->seat);
			memset(held[0], 0, sizeof(held[0]));
			seat_set_focus(bench->seat, bench->alice.window);
		} else {
			held[by][code] = dice >> 10 & 1;
			seat_key(by ? bench->bare : bench->seat, KEY_Q + code, held[by][code]);
		}
		for (unsigned each = 0; each < 8; each++)
			assert_int_equal(bench->alice.down[KEY_Q + each], held[0][each] || held[1][each]);
	}
	/* Another listener takes over from nothing. */
	seat_key(bench->bare, KEY_A, true);
	seat_key(bench->seat, KEY_S, true);
	seat_window_listen(bench->alice.window, NULL, NULL);
	for (unsigned code = 0; code < KEY_CNT; code++)
		assert_false(bench->alice.down[code]);
	seat_window_listen(bench->alice.window, &ops, &bench->alice);
	seat_key(bench->bare, KEY_A, false);
	seat_key(bench->seat, KEY_S, false);
}

static void test_two_seats_hold_buttons(void **state)
{
	struct bench *bench = *state;
	struct seat_rect picture = seat_window_picture(bench->alice.window);

	seat_window_raise(bench->alice.window);
	seat_pointer(bench->seat, picture.x + 1, picture.y + 1, 1, 0);
	assert_int_equal(bench->alice.buttons, 1);
	seat_pointer(bench->bare, 3, 3, 5, 0);
	assert_int_equal(bench->alice.buttons, 5);
	seat_set_focus(bench->seat, NULL);
	assert_int_equal(bench->alice.buttons, 5);
	seat_pointer(bench->bare, 3, 3, 4, 0);
	assert_int_equal(bench->alice.buttons, 4);
	seat_pointer(bench->bare, 3, 3, 0, 0);
	assert_int_equal(bench->alice.buttons, 0);
	seat_buttons_up(bench->seat);
}

/* Whatever has the focus on the seat. */
static void test_lights(void **state)
{
	struct bench *bench = *state;

	seat_window_set_lights(bench->alice.window, 1u << LED_CAPSL);
	assert_int_equal(seat_lights(bench->seat), 0);
	assert_int_equal(seat_lights(bench->bare), 1u << LED_CAPSL);
	seat_set_focus(bench->seat, bench->bob.window);
	seat_window_set_lights(bench->bob.window, 1u << LED_NUML);
	assert_int_equal(seat_lights(bench->bare), 1u << LED_CAPSL);
	seat_window_set_hidden(bench->alice.window, true);
	assert_int_equal(seat_lights(bench->bare), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_its_picture_and_nothing_else, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hidden, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cursor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_seat_says_when_it_is_shown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_of_the_seat_are_the_guest_s, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pointer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_seats_hold_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_seats_hold_buttons, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lights, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
