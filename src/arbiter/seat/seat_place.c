/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a window appears: where it covers no other, if there is such a place beside or below those that are
 * there, the topmost and of these the leftmost. Else each new one is a little further to the right and
 * down, so that all their titles can be seen.
 */
#include "arbiter/seat/seat_private.h"

/* Then from the corner again. */
#define CASCADE_PIXELS 32
#define CASCADE_STEPS  8

static bool overlap(const struct seat_rect *one, const struct seat_rect *other)
{
	return one->x < other->x + (int)other->width && other->x < one->x + (int)one->width &&
	       one->y < other->y + (int)other->height && other->y < one->y + (int)one->height;
}

/* For the window, wherever it is now. */
static bool is_free(const struct seat_window *placed, const struct seat_rect *place)
{
	const struct seat *seat = placed->seat;

	if (place->x + (int)place->width > (int)seat->width ||
	    place->y + (int)place->height > (int)seat->height)
		return false;
	for (const struct seat_window *window = seat->top; window; window = window->below) {
		struct seat_rect frame = seat_window_usual_frame(window);

		if (window != placed && overlap(place, &frame))
			return false;
	}
	return true;
}

/* Takes the place if it is free, and before the one that was found until now. */
static void try_place(const struct seat_window *window, const struct seat_rect *place, struct seat_rect *best,
		      bool *found)
{
	bool before = !*found || place->y < best->y || (place->y == best->y && place->x < best->x);

	if (!before || !is_free(window, place))
		return;
	*best = *place;
	*found = true;
}

/* At the left edge of the screen and at the right of each window; below the bar and below each window. */
static bool find_free(const struct seat_window *window, struct seat_rect *place)
{
	const struct seat *seat = window->seat;
	struct seat_rect best = *place;
	bool found = false;

	for (const struct seat_window *left = seat->top;; left = left->below) {
		struct seat_rect beside = left ? seat_window_usual_frame(left) : (struct seat_rect){ .x = 0 };

		place->x = beside.x + (int)beside.width;
		for (const struct seat_window *upper = seat->top;; upper = upper->below) {
			struct seat_rect above = upper ? seat_window_usual_frame(upper) : seat_bar(seat);

			place->y = above.y + (int)above.height;
			try_place(window, place, &best, &found);
			if (!upper)
				break;
		}
		if (!left)
			break;
	}
	*place = best;
	return found;
}

void seat_window_place(struct seat_window *window)
{
	struct seat *seat = window->seat;
	struct seat_rect place = seat_window_usual_frame(window);
	int step;

	if (find_free(window, &place)) {
		window->x = place.x;
		window->y = place.y;
		return;
	}
	seat->cascaded++;
	step = CASCADE_PIXELS * (int)(seat->cascaded % CASCADE_STEPS);
	window->x = step;
	window->y = (int)SEAT_BAR_PIXELS + step;
}

void seat_window_place_again(struct seat_window *window)
{
	struct seat_rect frame = seat_window_usual_frame(window);

	if (window->hidden || window->moved || window == window->seat->full_screen || is_free(window, &frame))
		return;
	if (find_free(window, &frame)) {
		window->x = frame.x;
		window->y = frame.y;
	}
}
