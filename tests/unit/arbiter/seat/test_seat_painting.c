/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which window is painted when: what is told between the beginning and the end is what its guest pays for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "arbiter/seat/seat.h"

#define WIDTH  320u
#define HEIGHT 240u
#define SIDE   40u

static uint32_t screen[HEIGHT][WIDTH];

/* What a window was told, and the screen as it was when the last painting of it began. */
struct told {
	const struct seat_window *window;
	unsigned paintings;
	bool is_painting;
	uint32_t before[HEIGHT][WIDTH];
};

static struct told alice, bob;
static unsigned painting; /* windows, now */

static bool is_inside(const struct seat_rect *rect, int x, int y)
{
	return x >= rect->x && y >= rect->y && x < rect->x + (int)rect->width &&
	       y < rect->y + (int)rect->height;
}

/* Nothing else is painted meanwhile. */
static void assert_only_frame_changed(const struct told *told)
{
	struct seat_rect frame = seat_window_frame(told->window);

	for (int y = 0; y < (int)HEIGHT; y++)
		for (int x = 0; x < (int)WIDTH; x++)
			if (!is_inside(&frame, x, y))
				assert_int_equal(screen[y][x], told->before[y][x]);
}

static void on_painting(void *context, bool begins)
{
	struct told *told = context;

	assert_true(told->is_painting != begins);
	told->is_painting = begins;
	painting += begins ? 1 : -1u;
	assert_true(painting <= 1);
	if (begins) {
		told->paintings++;
		memcpy(told->before, screen, sizeof(screen));
		return;
	}
	assert_only_frame_changed(told);
	assert_memory_not_equal(told->before, screen, sizeof(screen));
}

static void on_key(void *context, unsigned code, bool down)
{
}

static void on_pointer(void *context, unsigned x, unsigned y, unsigned buttons, int wheel)
{
}

static const struct seat_window_ops ops = { .key = on_key, .pointer = on_pointer, .painting = on_painting };

static struct seat_window *open_window(struct seat *seat, const char *name, int x, struct told *told)
{
	const struct seat_window_options options = { .name = name, .colour = 0xc02020 };
	struct seat_window *window;

	*told = (struct told){ .window = NULL };
	assert_int_equal(seat_window_open(seat, &options, &window), 0);
	assert_int_equal(seat_window_resize(window, SIDE, SIDE), 0);
	seat_window_move(window, x, SEAT_BAR_PIXELS);
	seat_window_listen(window, &ops, told);
	told->window = window;
	return window;
}

static void draw(struct seat_window *window, uint32_t colour)
{
	uint32_t pixels[SIDE][SIDE];

	for (unsigned i = 0; i < SIDE * SIDE; i++)
		pixels[i / SIDE][i % SIDE] = colour;
	assert_int_equal(seat_window_draw(window, &(struct seat_rect){ 0, 0, SIDE, SIDE }, pixels, SIDE * 4),
			 0);
}

static void ignore(void *context, const struct seat_rect *rect)
{
}

/* What has been painted since: alice's window so often, and bob's. */
static void assert_painted(struct seat *seat, unsigned of_alice, unsigned of_bob)
{
	alice.paintings = bob.paintings = 0;
	seat_compose(seat, screen[0], sizeof(screen[0]), ignore, NULL);
	assert_int_equal(alice.paintings, of_alice);
	assert_int_equal(bob.paintings, of_bob);
	assert_int_equal(painting, 0);
}

static void only_who_is_painted_is_told(void **state)
{
	const struct seat_options options = { .width = WIDTH, .height = HEIGHT };
	struct seat_window *of_alice, *of_bob;
	struct seat *seat;

	assert_int_equal(seat_create(&options, &seat), 0);
	of_alice = open_window(seat, "alice", 0, &alice);
	of_bob = open_window(seat, "bob", 100, &bob);
	assert_painted(seat, 1, 1);
	draw(of_alice, 1);
	assert_painted(seat, 1, 0);
	draw(of_bob, 2);
	assert_painted(seat, 0, 1);
	draw(of_alice, 3);
	draw(of_bob, 4);
	assert_painted(seat, 1, 1);
	assert_painted(seat, 0, 0);
	/* The bar is the seat's. */
	seat_set_focus(seat, of_bob);
	assert_painted(seat, 0, 0);
	/* What is behind another window is not painted. */
	seat_window_move(of_bob, 0, SEAT_BAR_PIXELS);
	assert_painted(seat, 0, 1);
	draw(of_alice, 5);
	assert_painted(seat, 0, 0);
	seat_set_full_screen(seat, of_alice);
	assert_painted(seat, 1, 0);
	seat_window_close(of_alice);
	seat_window_close(of_bob);
	seat_destroy(seat);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(only_who_is_painted_is_told) };

	return cmocka_run_group_tests_name("seat_painting", tests, NULL, NULL);
}
