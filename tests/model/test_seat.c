/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A seat whose windows open, close, move, change size and are drawn into at random, against a compositor that
 * knows no better than to paint everything, from the lowest window to the highest, each time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <string.h>

#include "naive_seat.h"
#include "test_disk.h"

#define STEPS	     2500u
#define SCALED_STEPS 500u /* means take the model long */

/* ---- what is there ---- */

static void on_changed(void *context, const struct seat_rect *rect)
{
	struct model *model = context;

	for (unsigned y = 0; y < rect->height; y++)
		for (unsigned x = 0; x < rect->width; x++) {
			assert_false(model->told[rect->y + (int)y][rect->x + (int)x]);
			model->told[rect->y + (int)y][rect->x + (int)x] = true;
		}
}

static void compare(struct model *model, unsigned step)
{
	memset(model->told, 0, sizeof(model->told));
	memcpy(model->before, model->screen, sizeof(model->screen));
	seat_compose(model->seat, model->screen[0], sizeof(model->screen[0]), on_changed, model);
	assert_false(seat_has_changed(model->seat));
	paint_all(model);
	for (unsigned y = 0; y < HEIGHT; y++)
		for (unsigned x = 0; x < WIDTH; x++) {
			uint32_t is = model->screen[y][x] & 0xffffff, wanted = model->wanted[y][x];

			if (is != wanted)
				fail_msg("step %u: %06x at %u, %u instead of %06x", step, is, x, y, wanted);
			if (!model->told[y][x] && model->screen[y][x] != model->before[y][x])
				fail_msg("step %u: %u, %u changed and nobody was told", step, x, y);
		}
}

/* ---- what happens ---- */

static unsigned below(struct model *model, unsigned limit)
{
	return test_below(&model->seed, limit);
}

static unsigned position(const struct model *model, const struct model_window *one)
{
	unsigned at = 0;

	while (model->order[at] != one)
		at++;
	return at;
}

static void raise_one(struct model *model, struct model_window *one)
{
	unsigned at = position(model, one);

	if (at == model->count - 1)
		return;
	for (; at < model->count - 1; at++)
		model->order[at] = model->order[at + 1];
	model->order[at] = one;
	if (model->full_screen != one)
		model->full_screen = NULL;
}

static void make_black(struct model_window *one, unsigned width, unsigned height)
{
	free(one->pixels);
	one->width = width;
	one->height = height;
	one->pixels = calloc((size_t)width * height, sizeof(uint32_t));
	assert_non_null(one->pixels);
}

static void no_key(void *context, unsigned code, bool down)
{
	fail_msg("a key came from nowhere");
}

static void no_pointer(void *context, unsigned x, unsigned y, unsigned buttons, int wheel)
{
	fail_msg("the pointer came from nowhere");
}

static void open_one(struct model *model, struct model_window *one)
{
	static const struct seat_window_ops ops = { .key = no_key, .pointer = no_pointer };
	const struct seat_window_options options = { .name = "guest", .colour = one->colour };

	assert_int_equal(seat_window_open(model->seat, &options, &one->window), 0);
	seat_window_listen(one->window, &ops, one);
	seat_window_corner(one->window, &one->x, &one->y);
	make_black(one, 640, 480);
	one->cursor_width = 0;
	one->cursor_visible = false;
	model->order[model->count++] = one;
	/* What has all of the screen stays above. */
	if (model->full_screen) {
		model->order[model->count - 2] = one;
		model->order[model->count - 1] = model->full_screen;
	}
}

static void close_one(struct model *model, struct model_window *one)
{
	unsigned at = position(model, one);

	seat_window_close(one->window);
	one->window = NULL;
	model->count--;
	for (; at < model->count; at++)
		model->order[at] = model->order[at + 1];
	if (model->full_screen == one)
		model->full_screen = NULL;
	if (model->focus == one)
		model->focus = NULL;
	if (model->focus_before == one)
		model->focus_before = NULL;
}

static void draw(struct model *model, struct model_window *one)
{
	struct seat_rect rect = { .x = (int)below(model, one->width), .y = (int)below(model, one->height) };
	uint32_t pixels[32 * 32], stride = 1 + below(model, 32);

	rect.width = below(
		model, (one->width - (unsigned)rect.x < stride ? one->width - (unsigned)rect.x : stride) + 1);
	rect.height =
		below(model, (one->height - (unsigned)rect.y < 32 ? one->height - (unsigned)rect.y : 32) + 1);
	for (unsigned i = 0; i < sizeof(pixels) / sizeof(pixels[0]); i++)
		pixels[i] = (uint32_t)test_random(&model->seed);
	assert_int_equal(seat_window_draw(one->window, &rect, pixels, stride * 4), 0);
	for (unsigned y = 0; y < rect.height; y++)
		memcpy(one->pixels + ((unsigned)rect.y + y) * one->width + rect.x, pixels + y * stride,
		       rect.width * 4);
}

static void move(struct model *model, struct model_window *one)
{
	int x = (int)below(model, 3 * WIDTH) - (int)WIDTH, y = (int)below(model, 3 * HEIGHT) - (int)HEIGHT;
	struct seat_rect frame;

	if (model->full_screen == one)
		return;
	seat_window_move(one->window, x, y);
	if (model->overview) {
		seat_window_corner(one->window, &one->x, &one->y);
		return;
	}
	frame = seat_window_frame(one->window);
	/* As wanted, or such that its title can be seen and reached. */
	assert_true(frame.x == x || frame.x > (int)WIDTH - 32 || frame.x + (int)frame.width < 32);
	assert_true(frame.y == y || frame.y == (int)SEAT_BAR_PIXELS || frame.y > (int)HEIGHT - 32);
	assert_true(frame.x < (int)WIDTH && frame.x + (int)frame.width > 0);
	assert_true(frame.y >= (int)SEAT_BAR_PIXELS && frame.y < (int)HEIGHT);
	one->x = frame.x;
	one->y = frame.y;
}

static void resize(struct model *model, struct model_window *one)
{
	unsigned width = 1 + below(model, SIDE_MAX), height = 1 + below(model, SIDE_MAX);

	assert_int_equal(seat_window_resize(one->window, width, height), 0);
	make_black(one, width, height);
	seat_window_corner(one->window, &one->x, &one->y);
}

/* Mostly near the picture or in it, and also where no picture reaches. */
static int cursor_place(struct model *model, unsigned side)
{
	static const int far[] = { INT32_MIN, INT32_MAX, -1000, 10000, -256, 0 };

	if (below(model, 8) == 0)
		return far[below(model, sizeof(far) / sizeof(far[0]))];
	return (int)below(model, side + 2 * CURSOR_MAX) - (int)CURSOR_MAX;
}

static void move_cursor(struct model *model, struct model_window *one)
{
	one->cursor_x = cursor_place(model, one->width);
	one->cursor_y = cursor_place(model, one->height);
	one->cursor_visible = below(model, 4) > 0;
	seat_window_move_cursor(one->window, one->cursor_x, one->cursor_y, one->cursor_visible);
	/* No cursor reaches from there, and the model's sums shall not overflow. */
	if (abs(one->cursor_x / 2) > (int)SIDE_MAX || abs(one->cursor_y / 2) > (int)SIDE_MAX)
		one->cursor_x = one->cursor_y = -1000;
}

static void set_cursor(struct model *model, struct model_window *one)
{
	uint32_t pixels[CURSOR_MAX * CURSOR_MAX];
	struct seat_cursor cursor = { .pixels = pixels };

	cursor.width = one->cursor_width = 1 + below(model, CURSOR_MAX);
	cursor.height = one->cursor_height = 1 + below(model, CURSOR_MAX);
	cursor.hot_x = one->hot_x = below(model, cursor.width);
	cursor.hot_y = one->hot_y = below(model, cursor.height);
	for (unsigned i = 0; i < cursor.width * cursor.height; i++) {
		pixels[i] = (uint32_t)test_random(&model->seed);
		one->cursor[i / cursor.width][i % cursor.width] = pixels[i];
	}
	if (below(model, 8) == 0) {
		cursor.pixels = NULL;
		one->cursor_width = 0;
	}
	assert_int_equal(seat_window_set_cursor(one->window, &cursor), 0);
}

static void scale(struct model *model, struct model_window *one)
{
	static const unsigned scales[] = {
		SEAT_SCALE_FIT, SEAT_SCALE_MIN, SEAT_SCALE_MAX, 50, 100, 100, 200
	};
	unsigned choice = below(model, 9),
		 percent = choice < 7 ? scales[choice] : SEAT_SCALE_MIN + below(model, 200);

	assert_int_equal(seat_window_set_scale(one->window, percent), 0);
	seat_window_corner(one->window, &one->x, &one->y);
}

static void overview(struct model *model)
{
	if (model->overview && below(model, 2) > 0) {
		/* Which one is marked is for others to prove. */
		seat_key(model->seat, KEY_TAB, true);
		seat_key(model->seat, KEY_TAB, false);
		return;
	}
	if (model->overview) {
		model->focus = model->focus_before;
	} else {
		model->focus_before = model->focus;
		model->focus = NULL;
	}
	model->overview = !model->overview;
	seat_set_overview(model->seat, model->overview);
}

static void focus(struct model *model, struct model_window *one)
{
	model->overview = false;
	model->focus = one;
	seat_set_focus(model->seat, one ? one->window : NULL);
}

static void full_screen(struct model *model, struct model_window *one)
{
	if (model->overview)
		model->focus = model->focus_before;
	model->overview = false;
	raise_one(model, one);
	model->full_screen = one;
	seat_set_full_screen(model->seat, one->window);
}

static void act_on(struct model *model, struct model_window *one)
{
	switch (below(model, 20)) {
	case 0:
		close_one(model, one);
		break;
	case 1:
		resize(model, one);
		break;
	case 2:
		raise_one(model, one);
		seat_window_raise(one->window);
		break;
	case 3:
		full_screen(model, one);
		break;
	case 4:
		model->full_screen = NULL;
		seat_set_full_screen(model->seat, NULL);
		break;
	case 5:
		focus(model, below(model, 4) > 0 ? one : NULL);
		break;
	case 6:
	case 7:
	case 8:
		move(model, one);
		break;
	case 9:
		set_cursor(model, one);
		break;
	case 10:
	case 11:
		move_cursor(model, one);
		break;
	case 12:
	case 13:
		if (model->scales)
			scale(model, one);
		break;
	case 14:
		if (model->scales)
			overview(model);
		break;
	default:
		draw(model, one);
	}
}

static void random_windows(const char *name, unsigned steps, bool scales)
{
	static struct model model;
	const struct seat_options options = { .width = WIDTH, .height = HEIGHT };

	memset(&model, 0, sizeof(model));
	model.seed = test_seed(name);
	model.scales = scales;
	assert_int_equal(seat_create(&options, &model.seat), 0);
	for (unsigned i = 0; i < WINDOWS; i++)
		model.windows[i].colour = 0x100000 + i * 0x112233;
	for (unsigned step = 0; step < steps; step++) {
		struct model_window *one = &model.windows[below(&model, WINDOWS)];

		if (!one->window)
			open_one(&model, one);
		else
			act_on(&model, one);
		if (below(&model, 4) == 0)
			compare(&model, step);
	}
	for (unsigned i = 0; i < WINDOWS; i++) {
		if (model.windows[i].window)
			close_one(&model, &model.windows[i]);
		free(model.windows[i].pixels);
	}
	compare(&model, steps);
	seat_destroy(model.seat);
}

static void test_random_windows(void **state)
{
	random_windows("seat", STEPS, false);
}

static void test_random_scales(void **state)
{
	random_windows("seat scales", SCALED_STEPS, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_windows),
		cmocka_unit_test(test_random_scales),
	};

	return cmocka_run_group_tests_name("seat", tests, NULL, NULL);
}
