/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys and the pointer: each guest hears what is meant for it, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/seat/seat.h"
#include "test_disk.h"

#define WIDTH	800u
#define HEIGHT	600u
#define HEARD	4096
#define GUESTS	3u
#define STROKES 100000u

struct guest {
	struct seat_window *window;
	char heard[HEARD]; /* "+30 -30 @5,6:1 …" since it was asked last */
	bool down[KEY_CNT];
	unsigned strokes, buttons;
	bool has_focus; /* as the test knows */
};

struct bench {
	struct seat *seat;
	struct guest alice, bob;
	unsigned pastes;
	unsigned lights, lights_told;
};

static void on_paste(void *context)
{
	((struct bench *)context)->pastes++;
}

static void on_lights(void *context, unsigned lights)
{
	struct bench *bench = context;

	assert_int_not_equal(bench->lights, lights);
	assert_int_equal(seat_lights(bench->seat), lights);
	bench->lights = lights;
	bench->lights_told++;
}

static void on_key(void *context, unsigned code, bool down)
{
	struct guest *guest = context;
	size_t length = strlen(guest->heard);

	assert_true(guest->down[code] != down);
	guest->down[code] = down;
	guest->strokes += down;
	if (length + 16 < HEARD)
		snprintf(guest->heard + length, HEARD - length, "%c%u ", down ? '+' : '-', code);
}

static void on_pointer(void *context, unsigned x, unsigned y, unsigned buttons, int wheel)
{
	struct guest *guest = context;
	size_t length = strlen(guest->heard);

	guest->buttons = buttons;
	if (length + 40 >= HEARD)
		return;
	length += (size_t)snprintf(guest->heard + length, HEARD - length, "@%u,%u:%u ", x, y, buttons);
	if (wheel && length + 40 < HEARD)
		snprintf(guest->heard + length, HEARD - length, "*%d ", wheel);
}

static const struct seat_window_ops ops = { .key = on_key, .pointer = on_pointer };

static void assert_heard(struct guest *guest, const char *what)
{
	assert_string_equal(guest->heard, what);
	guest->heard[0] = '\0';
}

static void open_guest(struct seat *seat, struct guest *guest, int x, int y)
{
	const struct seat_window_options options = { .name = "guest" };

	memset(guest, 0, sizeof(*guest));
	assert_int_equal(seat_window_open(seat, &options, &guest->window), 0);
	seat_window_listen(guest->window, &ops, guest);
	assert_int_equal(seat_window_resize(guest->window, 200, 100), 0);
	seat_window_move(guest->window, x, y);
}

/* Alice's picture is at 103, 122, and bob's at 203, 172, above hers. */
static int setup(void **state)
{
	static struct bench bench;
	const struct seat_options options = {
		.width = WIDTH, .height = HEIGHT, .paste = on_paste, .lights = on_lights, .context = &bench
	};

	bench.pastes = bench.lights = bench.lights_told = 0;
	assert_int_equal(seat_create(&options, &bench.seat), 0);
	open_guest(bench.seat, &bench.alice, 100, 100);
	open_guest(bench.seat, &bench.bob, 200, 150);
	*state = &bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	if (bench->alice.window)
		seat_window_close(bench->alice.window);
	seat_window_close(bench->bob.window);
	seat_destroy(bench->seat);
	return 0;
}

static void stroke(struct bench *bench, unsigned code)
{
	seat_key(bench->seat, code, true);
	seat_key(bench->seat, code, false);
}

/* ---- keys ---- */

static void keys_go_to_the_focus_only(void **state)
{
	struct bench *bench = *state;

	stroke(bench, KEY_A);
	assert_heard(&bench->alice, "");
	assert_heard(&bench->bob, "");
	seat_set_focus(bench->seat, bench->alice.window);
	stroke(bench, KEY_A);
	seat_set_focus(bench->seat, bench->bob.window);
	stroke(bench, KEY_B);
	assert_heard(&bench->alice, "+30 -30 ");
	assert_heard(&bench->bob, "+48 -48 ");
	assert_ptr_equal(seat_focus(bench->seat), bench->bob.window);
}

static void no_key_sticks(void **state)
{
	struct bench *bench = *state;

	seat_set_focus(bench->seat, bench->alice.window);
	seat_key(bench->seat, KEY_LEFTSHIFT, true);
	seat_key(bench->seat, KEY_A, true);
	seat_set_focus(bench->seat, bench->bob.window);
	assert_heard(&bench->alice, "+42 +30 -30 -42 ");
	/* What is still held was not bob's. */
	seat_key(bench->seat, KEY_A, false);
	seat_key(bench->seat, KEY_B, true);
	seat_key(bench->seat, KEY_LEFTSHIFT, false);
	assert_heard(&bench->bob, "+48 ");
	seat_keys_up(bench->seat);
	assert_heard(&bench->bob, "-48 ");
	stroke(bench, KEY_B);
	assert_heard(&bench->bob, "+48 -48 ");
	assert_heard(&bench->alice, "");
}

static void repeats_and_nonsense_are_ignored(void **state)
{
	struct bench *bench = *state;

	seat_set_focus(bench->seat, bench->alice.window);
	for (unsigned i = 0; i < 3; i++)
		seat_key(bench->seat, KEY_A, true);
	seat_key(bench->seat, KEY_B, false);
	seat_key(bench->seat, KEY_RESERVED, true);
	seat_key(bench->seat, KEY_CNT, true);
	seat_key(bench->seat, UINT32_MAX, true);
	assert_heard(&bench->alice, "+30 ");
}

static void hold_ctrl_alt(struct bench *bench)
{
	seat_key(bench->seat, KEY_RIGHTCTRL, true);
	seat_key(bench->seat, KEY_LEFTALT, true);
}

static void three_keys_are_the_seats(void **state)
{
	struct bench *bench = *state;

	hold_ctrl_alt(bench);
	stroke(bench, KEY_TAB);
	assert_ptr_equal(seat_focus(bench->seat), bench->bob.window);
	stroke(bench, KEY_TAB);
	assert_ptr_equal(seat_focus(bench->seat), bench->alice.window);
	stroke(bench, KEY_TAB);
	assert_ptr_equal(seat_focus(bench->seat), bench->bob.window);
	/* Other keys with Ctrl and Alt are the guest's, without what it did not hear go down. */
	stroke(bench, KEY_F1);
	assert_heard(&bench->bob, "+59 -59 ");
	seat_keys_up(bench->seat);
	hold_ctrl_alt(bench);
	assert_heard(&bench->bob, "+97 +56 ");
	stroke(bench, KEY_ESC);
	assert_null(seat_focus(bench->seat));
	assert_heard(&bench->bob, "-56 -97 ");
	stroke(bench, KEY_A);
	assert_heard(&bench->bob, "");
	assert_heard(&bench->alice, "");
	seat_keys_up(bench->seat);
	seat_set_focus(bench->seat, bench->bob.window);
	/* Without Ctrl and Alt they are the guest's. */
	stroke(bench, KEY_ESC);
	stroke(bench, KEY_TAB);
	stroke(bench, KEY_ENTER);
	assert_heard(&bench->bob, "+1 -1 +15 -15 +28 -28 ");
}

static void pastes_by_keys(void **state)
{
	struct bench *bench = *state;

	seat_set_focus(bench->seat, bench->alice.window);
	stroke(bench, KEY_V);
	assert_heard(&bench->alice, "+47 -47 ");
	assert_int_equal(bench->pastes, 0);
	hold_ctrl_alt(bench);
	stroke(bench, KEY_V);
	seat_keys_up(bench->seat);
	assert_int_equal(bench->pastes, 1);
	assert_heard(&bench->alice, "+97 +56 -56 -97 ");
	assert_ptr_equal(seat_focus(bench->seat), bench->alice.window);
	assert_heard(&bench->bob, "");
}

static void full_screen_by_keys(void **state)
{
	struct bench *bench = *state;
	struct seat_rect before = seat_window_frame(bench->alice.window), frame;

	seat_set_focus(bench->seat, bench->alice.window);
	hold_ctrl_alt(bench);
	stroke(bench, KEY_ENTER);
	frame = seat_window_frame(bench->alice.window);
	assert_int_equal(frame.y, SEAT_BAR_PIXELS);
	assert_int_equal(frame.width, WIDTH);
	assert_int_equal(frame.height, HEIGHT - SEAT_BAR_PIXELS);
	stroke(bench, KEY_ENTER);
	frame = seat_window_frame(bench->alice.window);
	assert_memory_equal(&frame, &before, sizeof(frame));
	assert_heard(&bench->alice, "+97 +56 -56 -97 ");
}

static void a_window_that_closes_loses_its_keys(void **state)
{
	struct bench *bench = *state;

	seat_set_focus(bench->seat, bench->alice.window);
	seat_key(bench->seat, KEY_A, true);
	seat_pointer(bench->seat, 110, 130, 1, 0);
	seat_window_close(bench->alice.window);
	bench->alice.window = NULL;
	assert_heard(&bench->alice, "+30 @7,8:1 -30 @7,8:0 ");
	assert_null(seat_focus(bench->seat));
	seat_pointer(bench->seat, 111, 130, 1, 0);
	seat_pointer(bench->seat, 111, 130, 0, 0);
	seat_key(bench->seat, KEY_A, false);
	assert_heard(&bench->bob, "");
}

/* ---- the pointer ---- */

static void a_click_gives_the_focus(void **state)
{
	struct bench *bench = *state;

	seat_pointer(bench->seat, 110, 130, 0, 0);
	assert_null(seat_focus(bench->seat));
	assert_heard(&bench->alice, "");
	seat_pointer(bench->seat, 110, 130, 1, 0);
	assert_ptr_equal(seat_focus(bench->seat), bench->alice.window);
	assert_heard(&bench->alice, "@7,8:1 ");
	/* It has the pointer until the button is up, wherever that is; bob hears nothing of it. */
	seat_pointer(bench->seat, 700, 550, 1, 0);
	seat_pointer(bench->seat, 700, 550, 0, 0);
	seat_pointer(bench->seat, 701, 551, 0, 0);
	assert_heard(&bench->alice, "@199,99:1 @199,99:0 ");
	/* Alice has been raised: where both are, she is. */
	seat_pointer(bench->seat, 210, 180, 0, 0);
	assert_heard(&bench->alice, "@107,58:0 ");
	/* On the background: nobody. */
	seat_pointer(bench->seat, 700, 550, 4, 0);
	assert_null(seat_focus(bench->seat));
	seat_pointer(bench->seat, 110, 130, 4, 0);
	assert_heard(&bench->alice, "");
	assert_heard(&bench->bob, "");
}

static void a_title_moves_its_window(void **state)
{
	struct bench *bench = *state;
	struct seat_rect frame;

	seat_pointer(bench->seat, 205, 155, 1, 0);
	assert_ptr_equal(seat_focus(bench->seat), bench->bob.window);
	seat_pointer(bench->seat, 305, 255, 1, 0);
	frame = seat_window_frame(bench->bob.window);
	assert_int_equal(frame.x, 300);
	assert_int_equal(frame.y, 250);
	/* Never below the bar, nor where nobody can get it back. */
	seat_pointer(bench->seat, -5000, -5000, 1, 0);
	frame = seat_window_frame(bench->bob.window);
	assert_int_equal(frame.y, SEAT_BAR_PIXELS);
	assert_true(frame.x + (int)frame.width > 0);
	seat_pointer(bench->seat, -5000, -5000, 0, 0);
	seat_pointer(bench->seat, 400, 300, 0, 0);
	frame = seat_window_frame(bench->bob.window);
	assert_int_equal(frame.y, SEAT_BAR_PIXELS);
	assert_heard(&bench->bob, "");
}

static void buttons_come_up_with_the_focus(void **state)
{
	struct bench *bench = *state;

	seat_pointer(bench->seat, 110, 130, 5, 0);
	seat_set_focus(bench->seat, bench->bob.window);
	assert_heard(&bench->alice, "@7,8:5 @7,8:0 ");
	/* Still down: bob was not clicked. */
	seat_pointer(bench->seat, 350, 250, 5, 0);
	assert_heard(&bench->bob, "");
	seat_pointer(bench->seat, 350, 250, 0, 0);
	seat_pointer(bench->seat, 351, 250, 0, 0);
	assert_heard(&bench->bob, "@147,78:0 @148,78:0 ");
	/* Alice is above him, so that is not his. */
	seat_pointer(bench->seat, 250, 200, 0, 0);
	assert_heard(&bench->bob, "");
}

/* ---- at random ---- */

static void random_strokes(void **state)
{
	static struct guest guests[GUESTS];
	const struct seat_options options = { .width = WIDTH, .height = HEIGHT };
	uint64_t seed = test_seed("seat_input");
	unsigned wanted[GUESTS] = { 0 }, nobody = 0, focus = GUESTS;
	struct seat *seat;

	assert_int_equal(seat_create(&options, &seat), 0);
	for (unsigned i = 0; i < GUESTS; i++)
		open_guest(seat, &guests[i], 100 * (int)i, 100);
	for (unsigned i = 0; i < STROKES; i++) {
		/* Not what the seat keeps for itself; keys stay down over changes of the focus. */
		unsigned code = KEY_Q + test_below(&seed, 10);

		if (test_below(&seed, 5) == 0) {
			focus = test_below(&seed, GUESTS + 1);
			seat_set_focus(seat, focus < GUESTS ? guests[focus].window : NULL);
		}
		seat_key(seat, code, false);
		if (focus < GUESTS)
			wanted[focus]++;
		else
			nobody++;
		seat_key(seat, code, true);
	}
	for (unsigned i = 0; i < GUESTS; i++)
		assert_int_equal(guests[i].strokes, wanted[i]);
	assert_true(nobody > STROKES / 10);
	seat_set_focus(seat, NULL);
	for (unsigned i = 0; i < GUESTS; i++) {
		for (unsigned code = 0; code < KEY_CNT; code++)
			assert_false(guests[i].down[code]);
		seat_window_close(guests[i].window);
	}
	seat_destroy(seat);
}

/* Only the guest with the focus, above its picture. */
static void the_wheel_is_the_focus_s(void **state)
{
	struct bench *bench = *state;

	seat_pointer(bench->seat, 110, 130, 0, 1);
	assert_heard(&bench->alice, "");
	seat_set_focus(bench->seat, bench->alice.window);
	seat_pointer(bench->seat, 110, 130, 0, -2);
	assert_heard(&bench->alice, "@7,8:0 *-2 ");
	seat_pointer(bench->seat, 350, 250, 0, 3);
	assert_heard(&bench->alice, "");
	assert_heard(&bench->bob, "");
}

/* What heard of a key going down hears of its coming up, also from another who listens then. */
static void another_listens(void **state)
{
	struct bench *bench = *state;
	struct guest other = { .window = NULL };

	seat_set_focus(bench->seat, bench->alice.window);
	seat_key(bench->seat, KEY_A, true);
	seat_window_listen(bench->alice.window, &ops, &other);
	assert_heard(&bench->alice, "+30 -30 ");
	seat_key(bench->seat, KEY_A, false);
	seat_key(bench->seat, KEY_B, true);
	seat_window_listen(bench->alice.window, NULL, NULL);
	assert_heard(&other, "+48 -48 ");
	seat_key(bench->seat, KEY_B, false);
	seat_key(bench->seat, KEY_B, true);
	seat_pointer(bench->seat, 110, 130, 1, 0);
	seat_window_listen(bench->alice.window, &ops, &bench->alice);
	assert_heard(&bench->alice, "");
}

static void a_hidden_window_has_no_focus(void **state)
{
	struct bench *bench = *state;

	seat_set_focus(bench->seat, bench->alice.window);
	seat_key(bench->seat, KEY_A, true);
	seat_window_set_hidden(bench->alice.window, true);
	assert_heard(&bench->alice, "+30 -30 ");
	assert_null(seat_focus(bench->seat));
	seat_set_focus(bench->seat, bench->alice.window);
	assert_null(seat_focus(bench->seat));
	seat_pointer(bench->seat, 110, 130, 1, 0);
	seat_key(bench->seat, KEY_B, true);
	assert_heard(&bench->alice, "");
}

/* ---- lights ---- */

static void the_lights_are_those_of_the_focus(void **state)
{
	struct bench *bench = *state;
	const unsigned num = 1u << LED_NUML, caps = 1u << LED_CAPSL, scroll = 1u << LED_SCROLLL;

	seat_window_set_lights(bench->alice.window, caps);
	seat_window_set_lights(bench->bob.window, num | scroll);
	assert_int_equal(bench->lights_told, 0);
	seat_set_focus(bench->seat, bench->alice.window);
	assert_int_equal(bench->lights, caps);
	/* Those of another change nothing; nor does what is lit already, or is no light of a keyboard. */
	seat_window_set_lights(bench->bob.window, num);
	seat_window_set_lights(bench->alice.window, caps);
	seat_window_set_lights(bench->alice.window, caps | 0xfff8);
	assert_int_equal(bench->lights_told, 1);
	assert_int_equal(seat_window_lights(bench->alice.window), caps);
	seat_set_focus(bench->seat, bench->bob.window);
	assert_int_equal(bench->lights, num);
	seat_set_overview(bench->seat, true);
	assert_int_equal(bench->lights, 0);
	seat_set_overview(bench->seat, false);
	assert_int_equal(bench->lights, num);
	seat_window_set_hidden(bench->bob.window, true);
	assert_int_equal(bench->lights, 0);
	seat_set_focus(bench->seat, bench->alice.window);
	assert_int_equal(bench->lights, caps);
	seat_window_close(bench->alice.window);
	bench->alice.window = NULL;
	assert_int_equal(bench->lights, 0);
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(keys_go_to_the_focus_only),
		BENCH_TEST(no_key_sticks),
		BENCH_TEST(repeats_and_nonsense_are_ignored),
		BENCH_TEST(three_keys_are_the_seats),
		BENCH_TEST(pastes_by_keys),
		BENCH_TEST(full_screen_by_keys),
		BENCH_TEST(a_window_that_closes_loses_its_keys),
		BENCH_TEST(a_click_gives_the_focus),
		BENCH_TEST(a_title_moves_its_window),
		BENCH_TEST(buttons_come_up_with_the_focus),
		BENCH_TEST(the_wheel_is_the_focus_s),
		BENCH_TEST(another_listens),
		BENCH_TEST(a_hidden_window_has_no_focus),
		BENCH_TEST(the_lights_are_those_of_the_focus),
		cmocka_unit_test(random_strokes),
	};

	return cmocka_run_group_tests_name("seat_input", tests, NULL, NULL);
}
