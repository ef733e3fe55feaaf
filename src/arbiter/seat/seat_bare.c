/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bare seat has one window, a twin of the one that it shows: its picture and cursor are the original's own,
 * so that nothing is copied, and what changes there has changed here.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "arbiter/seat/seat_private.h"

/* ---- the picture ---- */

/* NULL: none. */
static void refer(pixman_image_t **to, pixman_image_t *from)
{
	if (*to == from)
		return;
	if (from)
		pixman_image_ref(from);
	if (*to)
		pixman_image_unref(*to);
	*to = from;
}

/* What had changed may be outside of it. */
static void take_size(struct seat *bare, unsigned width, unsigned height)
{
	bool before = seat_has_changed(bare);

	bare->width = width;
	bare->height = height;
	pixman_region32_reset(&bare->changed, &(pixman_box32_t){ 0, 0, (int)width, (int)height });
	seat_tell_changed(bare, before);
}

void seat_twin_follow(struct seat_window *window)
{
	struct seat_window *twin = window->twin;
	bool is_other;

	if (!twin)
		return;
	is_other = twin->picture != window->picture;
	refer(&twin->picture, window->picture);
	refer(&twin->cursor, window->cursor);
	twin->width = window->width;
	twin->height = window->height;
	twin->hot_x = window->hot_x;
	twin->hot_y = window->hot_y;
	twin->cursor_x = window->cursor_x;
	twin->cursor_y = window->cursor_y;
	twin->cursor_visible = window->cursor_visible;
	if (is_other)
		take_size(twin->seat, window->width, window->height);
}

void seat_twin_changed(struct seat_window *window, struct seat_rect rect)
{
	if (window->twin)
		seat_window_picture_changed(window->twin, rect);
}

void seat_twin_hide(struct seat_window *window)
{
	struct seat_window *twin = window->twin;

	if (!twin)
		return;
	seat_window_set_hidden(twin, window->hidden);
	if (!window->hidden)
		seat_set_focus(twin->seat, twin);
}

/* ---- life ---- */

int seat_create_bare(struct seat_window *window, const struct seat_options *options, struct seat **ret_seat)
{
	struct seat *seat = calloc(1, sizeof(*seat));
	struct seat_window *twin = calloc(1, sizeof(*twin));

	assert(!window->twin && !window->seat->original);
	if (!seat || !twin) {
		free(seat);
		free(twin);
		return -ENOMEM;
	}
	seat->original = window;
	seat->tell_changed = options->changed;
	seat->tell_paste = options->paste;
	seat->tell_lights = options->lights;
	seat->context = options->context;
	pixman_region32_init(&seat->changed);
	twin->seat = seat;
	twin->scale = 100;
	twin->hidden = true;
	twin->placed = true;
	window->twin = twin;
	seat_twin_follow(window);
	seat_twin_hide(window);
	*ret_seat = seat;
	return 0;
}

struct seat_window *seat_bare_window(const struct seat *seat)
{
	return seat->original;
}

void seat_twin_end(struct seat *bare)
{
	struct seat_window *twin = bare->original->twin;

	/* Keys that are down come up with the focus. */
	seat_window_set_hidden(twin, true);
	bare->original->twin = NULL;
	seat_window_free(twin);
}
