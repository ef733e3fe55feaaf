/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where windows and their pictures are on the screen, and what a place on the screen is in a picture. */
#include <errno.h>

#include "arbiter/seat/seat_private.h"

struct size {
	unsigned width, height;
};

bool seat_rect_holds(const struct seat_rect *rect, int x, int y)
{
	return x >= rect->x && y >= rect->y && x - rect->x < (int)rect->width &&
	       y - rect->y < (int)rect->height;
}

struct seat_rect seat_bar(const struct seat *seat)
{
	if (seat->original)
		return (struct seat_rect){ .width = 0 };
	return (struct seat_rect){ 0, 0, seat->width, SEAT_BAR_PIXELS };
}

int seat_between(int value, int low, int high)
{
	if (value > high)
		value = high;
	return value < low ? low : value;
}

/* ---- sizes ---- */

/* value * times / over, rounded, and at least 1. */
static unsigned scaled(unsigned value, unsigned times, unsigned over)
{
	uint64_t result = ((uint64_t)value * times + over / 2) / over;

	return result > 0 ? (unsigned)result : 1;
}

/*
 * The largest size of the picture that has room there, with the same ratio. What is not much larger than a
 * whole multiple is that multiple, whose pixels are all of one size.
 */
static struct size fit(struct size picture, struct size room)
{
	unsigned across = room.width / picture.width, down = room.height / picture.height,
		 times = across < down ? across : down;
	struct size most = room;

	if ((uint64_t)picture.width * room.height >= (uint64_t)picture.height * room.width)
		most.height = scaled(picture.height, room.width, picture.width);
	else
		most.width = scaled(picture.width, room.height, picture.height);
	if (times > 0 && most.width * 8 < picture.width * times * 9 &&
	    most.height * 8 < picture.height * times * 9)
		return (struct size){ picture.width * times, picture.height * times };
	return most;
}

/* The same, and never larger than it is. */
static struct size shrink(struct size picture, struct size room)
{
	if (picture.width <= room.width && picture.height <= room.height)
		return picture;
	return fit(picture, room);
}

static struct size picture_of(const struct seat_window *window)
{
	return (struct size){ window->width, window->height };
}

void seat_shrink(const struct seat_window *window, unsigned *width, unsigned *height)
{
	struct size size = shrink(picture_of(window), (struct size){ *width, *height });

	*width = size.width;
	*height = size.height;
}

/* Of a window that does not have all of the screen. */
static struct size shown_size(const struct seat_window *window)
{
	const struct seat *seat = window->seat;
	struct size room = { seat->width - 2 * SEAT_FRAME_PIXELS,
			     seat->height - SEAT_BAR_PIXELS - SEAT_TITLE_PIXELS - SEAT_FRAME_PIXELS };

	if (window->scale == SEAT_SCALE_FIT)
		return shrink(picture_of(window), room);
	return (struct size){ scaled(window->width, window->scale, 100),
			      scaled(window->height, window->scale, 100) };
}

/* ---- places ---- */

static struct seat_rect full_screen_frame(const struct seat *seat)
{
	return (struct seat_rect){ 0, SEAT_BAR_PIXELS, seat->width, seat->height - SEAT_BAR_PIXELS };
}

/* What the picture on a bare seat has. */
static struct seat_rect whole(const struct seat *seat)
{
	return (struct seat_rect){ 0, 0, seat->width, seat->height };
}

struct seat_rect seat_window_picture(const struct seat_window *window)
{
	const struct seat *seat = window->seat;
	struct seat_rect frame = full_screen_frame(seat), tile, picture;
	struct size size;

	if (seat->original)
		return whole(seat);
	if (seat->overview && !window->hidden) {
		seat_tile(window, &tile, &picture);
		return picture;
	}
	if (window == seat->full_screen) {
		size = fit(picture_of(window), (struct size){ frame.width, frame.height });
		return (struct seat_rect){ frame.x + (int)(frame.width - size.width) / 2,
					   frame.y + (int)(frame.height - size.height) / 2, size.width,
					   size.height };
	}
	size = shown_size(window);
	return (struct seat_rect){ window->x + (int)SEAT_FRAME_PIXELS, window->y + (int)SEAT_TITLE_PIXELS,
				   size.width, size.height };
}

struct seat_rect seat_window_frame(const struct seat_window *window)
{
	struct seat_rect tile, picture;

	if (!window->seat->overview || window->hidden)
		return seat_window_usual_frame(window);
	seat_tile(window, &tile, &picture);
	return tile;
}

/* In full screen, all below the bar. */
struct seat_rect seat_window_usual_frame(const struct seat_window *window)
{
	const struct seat *seat = window->seat;

	if (seat->original)
		return whole(seat);
	return window == seat->full_screen ? full_screen_frame(seat) : seat_window_own_frame(window);
}

struct seat_rect seat_window_own_frame(const struct seat_window *window)
{
	struct size size = shown_size(window);

	return (struct seat_rect){ window->x, window->y, size.width + 2 * SEAT_FRAME_PIXELS,
				   size.height + SEAT_TITLE_PIXELS + SEAT_FRAME_PIXELS };
}

struct seat_window *seat_window_at(const struct seat *seat, int x, int y)
{
	struct seat_rect bar = seat_bar(seat);

	if (seat_rect_holds(&bar, x, y))
		return NULL;
	for (struct seat_window *window = seat->top; window; window = window->below) {
		struct seat_rect frame = seat_window_frame(window);

		if (seat_rect_holds(&frame, x, y))
			return window;
	}
	return NULL;
}

/* ---- between picture and screen ---- */

/* The first and the last pixel of the screen that touch some of the picture's, as seat_mean.h draws them. */
static void touched(int from, unsigned count, unsigned whole, unsigned shown, int *ret_from,
		    unsigned *ret_count)
{
	uint64_t first = (uint64_t)from * shown / whole,
		 end = (((uint64_t)from + count) * shown + whole - 1) / whole;

	*ret_from += (int)first;
	*ret_count = (unsigned)(end - first);
}

struct seat_rect seat_window_shown(const struct seat_window *window, struct seat_rect rect)
{
	struct seat_rect picture = seat_window_picture(window), shown = picture;
	int left = seat_between(rect.x, 0, (int)window->width),
	    right = seat_between(rect.x + (int)rect.width, 0, (int)window->width),
	    top = seat_between(rect.y, 0, (int)window->height),
	    bottom = seat_between(rect.y + (int)rect.height, 0, (int)window->height);

	if (left >= right || top >= bottom)
		return (struct seat_rect){ .width = 0 };
	touched(left, (unsigned)(right - left), window->width, picture.width, &shown.x, &shown.width);
	touched(top, (unsigned)(bottom - top), window->height, picture.height, &shown.y, &shown.height);
	return shown;
}

/* The pixel of the picture below the middle of the screen's; outside of the picture: at its edge. */
static unsigned below(int at, unsigned shown, unsigned whole)
{
	unsigned inside = (unsigned)seat_between(at, 0, (int)shown - 1);

	return (unsigned)((2 * (uint64_t)inside + 1) * whole / (2 * (uint64_t)shown));
}

void seat_window_point(const struct seat_window *window, int x, int y, unsigned *ret_x, unsigned *ret_y)
{
	struct seat_rect picture = seat_window_picture(window);

	*ret_x = below(x - picture.x, picture.width, window->width);
	*ret_y = below(y - picture.y, picture.height, window->height);
}

/* ---- the scale ---- */

void seat_window_keep_on_screen(struct seat_window *window)
{
	const struct seat *seat = window->seat;
	struct seat_rect frame = seat_window_own_frame(window);

	if (window->scale != SEAT_SCALE_FIT)
		return;
	window->x = seat_between(window->x, 0, (int)seat->width - (int)frame.width);
	window->y = seat_between(window->y, SEAT_BAR_PIXELS, (int)seat->height - (int)frame.height);
}

int seat_window_set_scale(struct seat_window *window, unsigned percent)
{
	if (percent != SEAT_SCALE_FIT && (percent < SEAT_SCALE_MIN || percent > SEAT_SCALE_MAX))
		return -EINVAL;
	if (window->scale == percent)
		return 0;
	seat_window_frame_changed(window);
	window->scale = percent;
	seat_window_place_again(window);
	seat_window_keep_on_screen(window);
	seat_window_frame_changed(window);
	return 0;
}

unsigned seat_window_scale(const struct seat_window *window)
{
	return window->scale;
}
