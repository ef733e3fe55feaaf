/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/seat/seat.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/seat/seat_private.h"

#define LETTER_PIXELS 14u
#define FIRST_WIDTH   640u
#define FIRST_HEIGHT  480u
/* In the bar: before the name of the guest that has it, while none has, and in the overview. */
#define KEYBOARD "Keyboard: "
#define NO_GUEST "No guest has the keyboard: click a window, or press Ctrl-Alt-Tab"
#define QUESTION "Which guest shall have the keyboard?"
/* Of a title, in either direction, stay on the screen. */
#define REACHABLE_PIXELS 16
/* A guest that draws in very many places has all between them drawn: no list grows with what it does. */
#define CHANGED_RECTS_MAX 64

/* ---- the screen ---- */

int seat_create(const struct seat_options *options, struct seat **ret_seat)
{
	struct seat *seat;
	int error = 0;

	if (options->width < SEAT_SIDE_MIN || options->width > SEAT_SIDE_MAX ||
	    options->height < SEAT_SIDE_MIN || options->height > SEAT_SIDE_MAX)
		return -EINVAL;
	seat = calloc(1, sizeof(*seat));
	if (!seat)
		return -ENOMEM;
	if (options->font)
		error = seat_font_open(options->font, LETTER_PIXELS, &seat->font);
	if (error) {
		free(seat);
		return error;
	}
	seat->width = options->width;
	seat->height = options->height;
	seat->tell_changed = options->changed;
	seat->tell_paste = options->paste;
	seat->tell_lights = options->lights;
	seat->context = options->context;
	pixman_region32_init_rect(&seat->changed, 0, 0, options->width, options->height);
	if (seat->font) {
		seat->keyboard = seat_font_draw(seat->font, KEYBOARD, SEAT_BAR_PIXELS);
		seat->no_guest = seat_font_draw(seat->font, NO_GUEST, SEAT_BAR_PIXELS);
		seat->question = seat_font_draw(seat->font, QUESTION, SEAT_BAR_PIXELS);
	}
	*ret_seat = seat;
	return 0;
}

static void forget_text(pixman_image_t *text)
{
	if (text)
		pixman_image_unref(text);
}

void seat_destroy(struct seat *seat)
{
	if (!seat)
		return;
	if (seat->original)
		seat_twin_end(seat);
	assert(!seat->top && !seat->bottom);
	pixman_region32_fini(&seat->changed);
	forget_text(seat->keyboard);
	forget_text(seat->no_guest);
	forget_text(seat->question);
	seat_font_close(seat->font);
	free(seat);
}

/* ---- what is to be drawn ---- */

void seat_tell_changed(struct seat *seat, bool before)
{
	if (!before && seat_has_changed(seat) && seat->tell_changed)
		seat->tell_changed(seat->context);
}

static void add_changed(struct seat *seat, pixman_region32_t *region)
{
	bool before = seat_has_changed(seat);
	pixman_box32_t *extents;

	pixman_region32_intersect_rect(region, region, 0, 0, seat->width, seat->height);
	pixman_region32_union(&seat->changed, &seat->changed, region);
	seat_tell_changed(seat, before);
	if (pixman_region32_n_rects(&seat->changed) <= CHANGED_RECTS_MAX)
		return;
	extents = pixman_region32_extents(&seat->changed);
	pixman_region32_reset(&seat->changed,
			      &(pixman_box32_t){ extents->x1, extents->y1, extents->x2, extents->y2 });
}

void seat_region_init(pixman_region32_t *region, struct seat_rect rect)
{
	if (rect.width > 0 && rect.height > 0)
		pixman_region32_init_rect(region, rect.x, rect.y, rect.width, rect.height);
	else
		pixman_region32_init(region);
}

void seat_rect_changed(struct seat *seat, struct seat_rect rect)
{
	pixman_region32_t region;

	seat_region_init(&region, rect);
	add_changed(seat, &region);
	pixman_region32_fini(&region);
}

static void subtract(pixman_region32_t *region, struct seat_rect rect)
{
	pixman_region32_t covered;

	seat_region_init(&covered, rect);
	pixman_region32_subtract(region, region, &covered);
	pixman_region32_fini(&covered);
}

void seat_window_changed(struct seat_window *window, struct seat_rect rect)
{
	struct seat *seat = window->seat;
	pixman_region32_t region;

	if (window->hidden)
		return;
	seat_region_init(&region, rect);
	subtract(&region, seat_bar(seat));
	for (const struct seat_window *above = window->above; above; above = above->above)
		subtract(&region, seat_window_frame(above));
	add_changed(seat, &region);
	pixman_region32_fini(&region);
}

void seat_window_frame_changed(struct seat_window *window)
{
	seat_window_changed(window,
			    window->seat->overview ? seat_tile_ring(window) : seat_window_frame(window));
}

void seat_window_picture_changed(struct seat_window *window, struct seat_rect rect)
{
	struct seat_rect shown = seat_window_shown(window, rect);

	if (shown.width > 0)
		seat_window_changed(window, shown);
	seat_twin_changed(window, rect);
}

bool seat_has_changed(const struct seat *seat)
{
	return seat->drawn || pixman_region32_not_empty((pixman_region32_t *)&seat->changed);
}

void seat_change_all(struct seat *seat)
{
	seat_rect_changed(seat, (struct seat_rect){ 0, 0, seat->width, seat->height });
}

void seat_size(const struct seat *seat, unsigned *ret_width, unsigned *ret_height)
{
	*ret_width = seat->width;
	*ret_height = seat->height;
}

/* ---- the order of windows ---- */

static void take_out(struct seat_window *window)
{
	struct seat *seat = window->seat;

	if (window->above)
		window->above->below = window->below;
	else
		seat->top = window->below;
	if (window->below)
		window->below->above = window->above;
	else
		seat->bottom = window->above;
	window->above = window->below = NULL;
}

static void put_on_top(struct seat_window *window)
{
	struct seat *seat = window->seat;

	window->below = seat->top;
	if (seat->top)
		seat->top->above = window;
	else
		seat->bottom = window;
	seat->top = window;
}

/* What appears does so below the one that has all of the screen. */
static void keep_full_screen(struct seat *seat)
{
	struct seat_window *window = seat->full_screen;

	take_out(window);
	put_on_top(window);
}

void seat_window_raise(struct seat_window *window)
{
	struct seat *seat = window->seat;

	if (seat->top == window || window->hidden)
		return;
	if (seat->full_screen && seat->full_screen != window)
		seat_set_full_screen(seat, NULL);
	take_out(window);
	put_on_top(window);
	seat_window_frame_changed(window);
}

/* ---- windows ---- */

static pixman_image_t *create_picture(unsigned width, unsigned height)
{
	return pixman_image_create_bits(PIXMAN_x8r8g8b8, (int)width, (int)height, NULL, 0);
}

void seat_window_free(struct seat_window *window)
{
	if (window->picture)
		pixman_image_unref(window->picture);
	if (window->title)
		pixman_image_unref(window->title);
	if (window->cursor)
		pixman_image_unref(window->cursor);
	free(window);
}

int seat_window_open(struct seat *seat, const struct seat_window_options *options,
		     struct seat_window **ret_window)
{
	size_t length = strlen(options->name);
	struct seat_window *window;

	assert(!seat->original);
	if (length == 0 || length > SEAT_NAME_MAX)
		return -EINVAL;
	window = calloc(1, sizeof(*window));
	if (!window)
		return -ENOMEM;
	memcpy(window->name, options->name, length);
	window->seat = seat;
	window->colour = options->colour & 0xffffff;
	window->serial = seat->serials++;
	window->hidden = true;
	window->scale = 100;
	window->width = FIRST_WIDTH;
	window->height = FIRST_HEIGHT;
	window->picture = create_picture(window->width, window->height);
	window->title = seat->font ? seat_font_draw(seat->font, window->name, SEAT_TITLE_PIXELS) : NULL;
	if (!window->picture || (seat->font && !window->title)) {
		seat_window_free(window);
		return -ENOMEM;
	}
	seat_window_set_hidden(window, options->hidden);
	*ret_window = window;
	return 0;
}

/* ---- what was drawn, and is to be told so ---- */

void seat_remember_drawn(struct seat_window *window)
{
	struct seat *seat = window->seat;
	bool before = seat_has_changed(seat);

	if (window->drawn)
		return;
	window->drawn = true;
	window->next_drawn = seat->drawn;
	seat->drawn = window;
	seat_tell_changed(seat, before);
}

static void forget_drawn(struct seat_window *window)
{
	struct seat_window **link = &window->seat->drawn;

	if (!window->drawn)
		return;
	while (*link != window)
		link = &(*link)->next_drawn;
	*link = window->next_drawn;
	window->drawn = false;
}

void seat_tell_shown(struct seat *seat)
{
	struct seat_window *window = seat->drawn;

	seat->drawn = NULL;
	while (window) {
		struct seat_window *next = window->next_drawn;

		window->drawn = false;
		seat_window_tell_size(window);
		if (window->ops && window->ops->shown)
			window->ops->shown(window->context);
		window = next;
	}
}

void seat_window_close(struct seat_window *window)
{
	assert(!window->twin);
	seat_window_set_hidden(window, true);
	forget_drawn(window);
	seat_window_free(window);
}

void seat_window_set_hidden(struct seat_window *window, bool hidden)
{
	struct seat *seat = window->seat;

	if (window->hidden == hidden)
		return;
	if (hidden && seat->full_screen == window)
		seat_set_full_screen(seat, NULL);
	if (hidden) {
		seat_forget_window(seat, window);
		seat_window_frame_changed(window);
		take_out(window);
		window->hidden = true;
		seat_overview_arrange(seat);
	} else {
		window->hidden = false;
		if (!window->placed)
			seat_window_place(window);
		window->placed = true;
		put_on_top(window);
		if (seat->full_screen)
			keep_full_screen(seat);
		seat_overview_arrange(seat);
		seat_window_frame_changed(window);
	}
	seat_twin_hide(window);
}

bool seat_window_is_hidden(const struct seat_window *window)
{
	return window->hidden;
}

int seat_window_resize(struct seat_window *window, unsigned width, unsigned height)
{
	pixman_image_t *picture;

	if (width == 0 || width > SEAT_SIDE_MAX || height == 0 || height > SEAT_SIDE_MAX)
		return -EINVAL;
	picture = create_picture(width, height);
	if (!picture)
		return -ENOMEM;
	seat_window_frame_changed(window);
	pixman_image_unref(window->picture);
	window->picture = picture;
	window->width = width;
	window->height = height;
	seat_window_place_again(window);
	seat_window_keep_on_screen(window);
	seat_window_frame_changed(window);
	seat_twin_follow(window);
	return 0;
}

int seat_window_draw(struct seat_window *window, const struct seat_rect *rect, const void *pixels,
		     size_t stride)
{
	size_t to_stride = (size_t)pixman_image_get_stride(window->picture);
	uint8_t *to = (uint8_t *)pixman_image_get_data(window->picture);

	if (rect->x < 0 || rect->y < 0 || rect->width > window->width || rect->height > window->height ||
	    (unsigned)rect->x > window->width - rect->width ||
	    (unsigned)rect->y > window->height - rect->height)
		return -ERANGE;
	to += (size_t)rect->y * to_stride + (size_t)rect->x * 4;
	for (unsigned y = 0; y < rect->height; y++)
		memcpy(to + y * to_stride, (const uint8_t *)pixels + y * stride, (size_t)rect->width * 4);
	seat_window_picture_changed(window, *rect);
	seat_remember_drawn(window);
	return 0;
}

void seat_window_corner(const struct seat_window *window, int *ret_x, int *ret_y)
{
	*ret_x = window->x;
	*ret_y = window->y;
}

struct seat_window *seat_window_above(const struct seat *seat, const struct seat_window *window)
{
	return window ? window->above : seat->bottom;
}

struct seat_pixels seat_window_pixels(const struct seat_window *window)
{
	return (struct seat_pixels){
		.pixels = pixman_image_get_data(window->picture),
		.width = window->width,
		.height = window->height,
		.stride = (size_t)pixman_image_get_stride(window->picture),
	};
}

void seat_window_move(struct seat_window *window, int x, int y)
{
	const struct seat *seat = window->seat;
	int width = (int)seat_window_own_frame(window).width;

	window->placed = window->moved = true;
	seat_window_frame_changed(window);
	window->x = seat_between(x, REACHABLE_PIXELS - width, (int)seat->width - REACHABLE_PIXELS);
	window->y = seat_between(y, SEAT_BAR_PIXELS, (int)seat->height - REACHABLE_PIXELS);
	seat_window_frame_changed(window);
}

void seat_set_full_screen(struct seat *seat, struct seat_window *window)
{
	if (window && window->hidden)
		window = NULL;
	if (window)
		seat_set_overview(seat, false);
	if (seat->full_screen == window)
		return;
	if (seat->full_screen)
		seat_window_enlarged(seat->full_screen, false);
	seat->full_screen = NULL;
	if (window) {
		seat_window_raise(window);
		seat_window_enlarged(window, true);
	}
	seat->full_screen = window;
	seat_change_all(seat);
}

struct seat_window *seat_full_screen(const struct seat *seat)
{
	return seat->full_screen;
}
