/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The size that a guest is asked for. Only users ask, never the seat by itself when a guest answers: so a
 * guest whose picture has ever other sizes starts nothing.
 */
#include <errno.h>

#include "arbiter/seat/seat_private.h"

static bool can_be_asked(const struct seat_window *window)
{
	return window->ops && window->ops->resize;
}

static bool has_side(unsigned pixels)
{
	return pixels >= 1 && pixels <= SEAT_SIDE_MAX;
}

static void want(struct seat_window *window, unsigned width, unsigned height)
{
	window->wanted_width = width;
	window->wanted_height = height;
	seat_remember_drawn(window);
}

void seat_window_tell_size(struct seat_window *window)
{
	unsigned width = window->wanted_width, height = window->wanted_height;

	window->wanted_width = window->wanted_height = 0;
	if (width > 0 && can_be_asked(window))
		window->ops->resize(window->context, width, height);
}

int seat_window_ask_size(struct seat_window *window, unsigned width, unsigned height)
{
	if (!has_side(width) || !has_side(height))
		return -EINVAL;
	if (!can_be_asked(window))
		return -ENOTCONN;
	if (window == window->seat->full_screen)
		seat_window_set_size_before(window, width, height);
	want(window, width, height);
	return 0;
}

void seat_window_size_before(const struct seat_window *window, unsigned *ret_width, unsigned *ret_height)
{
	*ret_width = window->width_before;
	*ret_height = window->height_before;
}

void seat_window_set_size_before(struct seat_window *window, unsigned width, unsigned height)
{
	bool good = has_side(width) && has_side(height);

	window->width_before = good ? width : 0;
	window->height_before = good ? height : 0;
}

/*
 * One that did not follow, a firmware for instance, is not asked for the size that it has: the system that
 * starts after it would keep to that.
 */
void seat_window_enlarged(struct seat_window *window, bool full_screen)
{
	const struct seat *seat = window->seat;
	unsigned width = window->width_before, height = window->height_before;

	if (full_screen) {
		seat_window_set_size_before(window, window->width, window->height);
		want(window, seat->width, seat->height - SEAT_BAR_PIXELS);
		return;
	}
	seat_window_set_size_before(window, 0, 0);
	window->wanted_width = window->wanted_height = 0;
	if (width > 0 && (width != window->width || height != window->height))
		want(window, width, height);
}
