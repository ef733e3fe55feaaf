/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The compositor of tests/model/test_seat.c, which knows no better than to paint everything, pixel by pixel,
 * from the lowest window to the highest.
 */
#ifndef VIADUCT_TESTS_NAIVE_SEAT_H
#define VIADUCT_TESTS_NAIVE_SEAT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>

#include "arbiter/seat/seat.h"

#define WIDTH	   320u
#define HEIGHT	   240u
#define WINDOWS	   6u
#define SIDE_MAX   400u
#define CURSOR_MAX 40u
#define SHOWN_MAX  2560u
#define BACKGROUND 0x202428u
#define NOBODY	   0x505860u

struct model_window {
	struct seat_window *window; /* NULL: not open */
	uint32_t colour, *pixels;
	unsigned width, height;
	int x, y;
	/* The cursor. */
	uint32_t cursor[CURSOR_MAX][CURSOR_MAX];
	unsigned cursor_width, cursor_height, hot_x, hot_y; /* width 0: none */
	int cursor_x, cursor_y;
	bool cursor_visible;
};

struct model {
	struct seat *seat;
	uint64_t seed;
	bool scales; /* windows are shown at other sizes, too */
	struct model_window windows[WINDOWS];
	struct model_window *order[WINDOWS]; /* the lowest first */
	unsigned count;
	struct model_window *full_screen, *focus;
	bool overview;
	struct model_window *focus_before; /* the overview */
	uint32_t screen[HEIGHT][WIDTH], before[HEIGHT][WIDTH], wanted[HEIGHT][WIDTH];
	bool told[HEIGHT][WIDTH];
};

/* ---- what is wanted ---- */

static inline void put(struct model *model, int x, int y, uint32_t colour)
{
	if (x >= 0 && x < (int)WIDTH && y >= 0 && y < (int)HEIGHT)
		model->wanted[y][x] = colour;
}

static inline void fill(struct model *model, int left, int top, unsigned width, unsigned height,
			uint32_t colour)
{
	for (unsigned y = 0; y < height; y++)
		for (unsigned x = 0; x < width; x++)
			put(model, left + (int)x, top + (int)y, colour);
}

/* Of one channel; the result does not overflow, even where the cursor is brighter than its alpha lets it be.
 */
static inline uint32_t over(uint32_t cursor, uint32_t picture, unsigned shift)
{
	uint32_t through = 255 - (cursor >> 24), sum = (picture >> shift & 0xff) * through;

	sum = (sum + 127) / 255 + (cursor >> shift & 0xff);
	return (sum > 255 ? 255 : sum) << shift;
}

static inline void paint_cursor(struct model *model, const struct model_window *one, int left, int top)
{
	for (unsigned row = 0; one->cursor_visible && row < one->cursor_height; row++)
		for (unsigned column = 0; column < one->cursor_width; column++) {
			int x = one->cursor_x - (int)one->hot_x + (int)column;
			int y = one->cursor_y - (int)one->hot_y + (int)row;
			uint32_t ink = one->cursor[row][column], below;

			if (x < 0 || y < 0 || x >= (int)one->width || y >= (int)one->height)
				continue;
			below = one->pixels[(unsigned)y * one->width + (unsigned)x];
			put(model, left + x, top + y,
			    over(ink, below, 16) | over(ink, below, 8) | over(ink, below, 0));
		}
}

/* Which pixels of the picture each of the screen touches, by trying: the first, and the one after the last.
 */
static inline void try_touching(unsigned shown, unsigned whole, unsigned count, unsigned from[],
				unsigned to[])
{
	unsigned first = 0, end = 0;

	for (unsigned at = 0; at < count; at++) {
		while ((first + 1) * shown <= at * whole)
			first++;
		while (end < whole && end * shown < (at + 1) * whole)
			end++;
		from[at] = first;
		to[at] = end;
	}
}

static inline uint32_t cursor_at(const struct model_window *one, unsigned x, unsigned y)
{
	int column = (int)x - one->cursor_x + (int)one->hot_x, row = (int)y - one->cursor_y + (int)one->hot_y;

	if (!one->cursor_visible || column < 0 || row < 0 || column >= (int)one->cursor_width ||
	    row >= (int)one->cursor_height)
		return 0;
	return one->cursor[row][column];
}

/* Of those between, each channel rounded; of the cursor instead of the picture. */
static inline uint32_t mean(const struct model_window *one, const unsigned x[2], const unsigned y[2],
			    bool cursor)
{
	uint64_t sums[4] = { 0 }, count = (uint64_t)(x[1] - x[0]) * (y[1] - y[0]);
	uint32_t result = 0;

	for (unsigned row = y[0]; row < y[1]; row++)
		for (unsigned column = x[0]; column < x[1]; column++) {
			uint32_t pixel =
				cursor ? cursor_at(one, column, row) : one->pixels[row * one->width + column];

			for (unsigned channel = 0; channel < 4; channel++)
				sums[channel] += pixel >> 8 * channel & 0xff;
		}
	for (unsigned channel = 0; channel < 4; channel++)
		result |= (uint32_t)((sums[channel] + count / 2) / count) << 8 * channel;
	return result;
}

static inline uint32_t mean_pixel(const struct model_window *one, const unsigned x[2], const unsigned y[2])
{
	uint32_t picture = mean(one, x, y, false), ink;

	if (!one->cursor_visible || (int)x[1] + (int)one->hot_x <= one->cursor_x ||
	    (int)x[0] + (int)one->hot_x >= one->cursor_x + (int)CURSOR_MAX)
		return picture & 0xffffff;
	ink = mean(one, x, y, true);
	return over(ink, picture, 0) | over(ink, picture, 8) | over(ink, picture, 16);
}

static inline void paint_scaled(struct model *model, const struct model_window *one, int left, int top,
				struct seat_rect shown)
{
	static unsigned x_from[SHOWN_MAX], x_to[SHOWN_MAX], y_from[SHOWN_MAX], y_to[SHOWN_MAX];

	assert_true(shown.width <= SHOWN_MAX && shown.height <= SHOWN_MAX);
	try_touching(shown.width, one->width, shown.width, x_from, x_to);
	try_touching(shown.height, one->height, shown.height, y_from, y_to);
	for (int y = top < 0 ? -top : 0; y < (int)shown.height && top + y < (int)HEIGHT; y++)
		for (int x = left < 0 ? -left : 0; x < (int)shown.width && left + x < (int)WIDTH; x++)
			put(model, left + x, top + y,
			    mean_pixel(one, (unsigned[]){ x_from[x], x_to[x] },
				       (unsigned[]){ y_from[y], y_to[y] }));
}

static inline void paint_picture(struct model *model, const struct model_window *one, int left, int top)
{
	struct seat_rect shown = seat_window_picture(one->window);

	if (shown.width != one->width || shown.height != one->height) {
		paint_scaled(model, one, left, top, shown);
		return;
	}
	for (int y = top < 0 ? -top : 0; y < (int)one->height && top + y < (int)HEIGHT; y++)
		for (int x = left < 0 ? -left : 0; x < (int)one->width && left + x < (int)WIDTH; x++)
			put(model, left + x, top + y,
			    one->pixels[(unsigned)y * one->width + (unsigned)x] & 0xffffff);
	paint_cursor(model, one, left, top);
}

/* Where it is in full screen, and how large in a window, is for others to prove. */
static inline void paint_window(struct model *model, const struct model_window *one)
{
	struct seat_rect shown = seat_window_picture(one->window);

	fill(model, one->x, one->y, shown.width + 2 * SEAT_FRAME_PIXELS,
	     shown.height + SEAT_TITLE_PIXELS + SEAT_FRAME_PIXELS, one->colour);
	paint_picture(model, one, one->x + (int)SEAT_FRAME_PIXELS, one->y + (int)SEAT_TITLE_PIXELS);
}

/* Side by side; around one is a ring. Where, is for others to prove. */
static inline void paint_bar(struct model *model, uint32_t colour)
{
	fill(model, 0, 0, WIDTH, SEAT_BAR_PIXELS, colour);
	fill(model, 0, SEAT_BAR_PIXELS - SEAT_LINE_PIXELS, WIDTH, SEAT_LINE_PIXELS, BACKGROUND);
}

static inline void paint_overview(struct model *model)
{
	const struct seat_window *chosen = seat_overview_chosen(model->seat);

	fill(model, 0, 0, WIDTH, HEIGHT, BACKGROUND);
	if (chosen) {
		struct seat_rect frame = seat_window_frame(chosen);

		fill(model, frame.x - 4, frame.y - 4, frame.width + 8, frame.height + 8, 0xffffff);
	}
	for (unsigned i = 0; i < model->count; i++) {
		const struct model_window *one = model->order[i];
		struct seat_rect frame = seat_window_frame(one->window),
				 shown = seat_window_picture(one->window);

		fill(model, frame.x, frame.y, frame.width, frame.height, one->colour);
		paint_picture(model, one, shown.x, shown.y);
	}
	paint_bar(model, NOBODY);
}

static inline void paint_all(struct model *model)
{
	if (model->overview) {
		paint_overview(model);
		return;
	}
	fill(model, 0, 0, WIDTH, HEIGHT, BACKGROUND);
	for (unsigned i = 0; i < model->count && !model->full_screen; i++)
		paint_window(model, model->order[i]);
	if (model->full_screen) {
		const struct model_window *one = model->full_screen;
		struct seat_rect shown = seat_window_picture(one->window);

		fill(model, 0, 0, WIDTH, HEIGHT, 0);
		paint_picture(model, one, shown.x, shown.y);
	}
	paint_bar(model, model->focus ? model->focus->colour : NOBODY);
}

#endif
