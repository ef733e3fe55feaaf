/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cursor that a guest has beside its picture. It is painted over the picture and never into it, so that
 * it moves without the guest's drawing anything anew; and only inside of the picture, as all of a guest's.
 */
#include <errno.h>
#include <string.h>

#include "arbiter/seat/seat_private.h"

static bool is_good(const struct seat_cursor *cursor)
{
	return cursor->width >= 1 && cursor->width <= SEAT_CURSOR_SIDE_MAX && cursor->height >= 1 &&
	       cursor->height <= SEAT_CURSOR_SIDE_MAX && cursor->hot_x < cursor->width &&
	       cursor->hot_y < cursor->height;
}

static pixman_image_t *copy_of(const struct seat_cursor *cursor)
{
	pixman_image_t *image = pixman_image_create_bits_no_clear(PIXMAN_a8r8g8b8, (int)cursor->width,
								  (int)cursor->height, NULL, 0);
	size_t line_bytes = (size_t)cursor->width * 4;

	for (unsigned y = 0; image && y < cursor->height; y++)
		memcpy((uint8_t *)pixman_image_get_data(image) + y * (size_t)pixman_image_get_stride(image),
		       (const uint8_t *)cursor->pixels + y * line_bytes, line_bytes);
	return image;
}

struct seat_rect seat_cursor_rect(const struct seat_window *window)
{
	if (!window->cursor || !window->cursor_visible)
		return (struct seat_rect){ .width = 0 };
	return (struct seat_rect){ window->cursor_x - (int)window->hot_x,
				   window->cursor_y - (int)window->hot_y,
				   (unsigned)pixman_image_get_width(window->cursor),
				   (unsigned)pixman_image_get_height(window->cursor) };
}

int seat_window_set_cursor(struct seat_window *window, const struct seat_cursor *cursor)
{
	pixman_image_t *image = NULL;

	if (cursor->pixels && !is_good(cursor))
		return -EINVAL;
	if (cursor->pixels)
		image = copy_of(cursor);
	if (cursor->pixels && !image)
		return -ENOMEM;
	seat_window_picture_changed(window, seat_cursor_rect(window));
	if (window->cursor)
		pixman_image_unref(window->cursor);
	window->cursor = image;
	window->hot_x = image ? cursor->hot_x : 0;
	window->hot_y = image ? cursor->hot_y : 0;
	seat_twin_follow(window);
	seat_window_picture_changed(window, seat_cursor_rect(window));
	seat_remember_drawn(window);
	return 0;
}

/* As far outside as makes no difference any more. */
static int clamp(int value)
{
	const int least = -(int)SEAT_CURSOR_SIDE_MAX, most = (int)(SEAT_SIDE_MAX + SEAT_CURSOR_SIDE_MAX);

	if (value > most)
		return most;
	return value < least ? least : value;
}

void seat_window_move_cursor(struct seat_window *window, int x, int y, bool visible)
{
	seat_window_picture_changed(window, seat_cursor_rect(window));
	window->cursor_x = clamp(x);
	window->cursor_y = clamp(y);
	window->cursor_visible = visible;
	seat_twin_follow(window);
	seat_window_picture_changed(window, seat_cursor_rect(window));
	seat_remember_drawn(window);
}
