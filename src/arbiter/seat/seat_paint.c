/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has changed is drawn from the top to the bottom: each window where nothing above it is, and what is
 * left is the background. So no pixel is drawn twice, however many windows lie on each other.
 */
#include <string.h>

#include "arbiter/seat/seat_mean.h"
#include "arbiter/seat/seat_private.h"

#define BACKGROUND 0x202428u
#define NOBODY	   0x505860u /* the bar, while no guest has the focus */
#define CHOSEN	   0xffffffu /* around a tile of the overview */
#define TEXT_LEFT  8	     /* of a frame's or the bar's edge */

static pixman_color_t colour_of(uint32_t rgb)
{
	return (pixman_color_t){ (uint16_t)((rgb >> 16 & 0xff) * 0x101),
				 (uint16_t)((rgb >> 8 & 0xff) * 0x101), (uint16_t)((rgb & 0xff) * 0x101),
				 0xffff };
}

/* What can be read on it: black or white, by how bright it looks (ITU-R BT.601). */
static uint32_t text_colour(uint32_t on)
{
	unsigned brightness = (299 * (on >> 16 & 0xff) + 587 * (on >> 8 & 0xff) + 114 * (on & 0xff)) / 1000;

	return brightness < 128 ? 0xffffff : 0;
}

/* Of what is left, the part in this rectangle; it is no longer left. */
static void take_part(pixman_region32_t *left, struct seat_rect rect, pixman_region32_t *ret_part)
{
	seat_region_init(ret_part, rect);
	pixman_region32_intersect(ret_part, ret_part, left);
	pixman_region32_subtract(left, left, ret_part);
}

static void fill(pixman_image_t *screen, pixman_region32_t *region, uint32_t rgb)
{
	pixman_color_t colour = colour_of(rgb);
	int count;
	pixman_box32_t *boxes = pixman_region32_rectangles(region, &count);

	if (count > 0)
		pixman_image_fill_boxes(PIXMAN_OP_SRC, screen, &colour, count, boxes);
}

/* A name on the colour, in what `region` has of its rectangle. */
static void write_name(pixman_image_t *screen, pixman_region32_t *region, pixman_image_t *name,
		       struct seat_rect rect, uint32_t on)
{
	pixman_color_t colour = colour_of(text_colour(on));
	pixman_image_t *ink = pixman_image_create_solid_fill(&colour);
	int width = pixman_image_get_width(name), height = pixman_image_get_height(name),
	    room = (int)rect.width - 2 * TEXT_LEFT;

	if (width > room)
		width = room;
	if (ink && width > 0) {
		pixman_image_set_clip_region32(screen, region);
		pixman_image_composite32(PIXMAN_OP_OVER, ink, name, screen, 0, 0, 0, 0, rect.x + TEXT_LEFT,
					 rect.y + ((int)rect.height - height) / 2, width, height);
		pixman_image_set_clip_region32(screen, NULL);
	}
	if (ink)
		pixman_image_unref(ink);
}

/* What the bar is for comes first: a name alone could be the title of a window around all others. */
static void write_bar(const struct seat *seat, pixman_image_t *screen, pixman_region32_t *region,
		      struct seat_rect bar)
{
	const struct seat_window *focus = seat->focus;
	uint32_t colour = focus ? focus->colour : NOBODY;
	pixman_image_t *text = focus ? seat->keyboard : seat->overview ? seat->question : seat->no_guest;
	int width = text ? pixman_image_get_width(text) : 0;

	if (text)
		write_name(screen, region, text, bar, colour);
	if (!focus || !focus->title || (int)bar.width <= width)
		return;
	bar.x += width;
	bar.width -= (unsigned)width;
	write_name(screen, region, focus->title, bar, colour);
}

/* A line keeps it apart from a window right below it, whose title has the same name and colour. */
static void paint_bar(const struct seat *seat, pixman_image_t *screen, pixman_region32_t *left)
{
	struct seat_rect bar = seat_bar(seat), line = bar;
	pixman_region32_t part;

	bar.height -= SEAT_LINE_PIXELS;
	line.y += (int)bar.height;
	line.height = SEAT_LINE_PIXELS;
	take_part(left, line, &part);
	fill(screen, &part, BACKGROUND);
	pixman_region32_fini(&part);
	take_part(left, bar, &part);
	fill(screen, &part, seat->focus ? seat->focus->colour : NOBODY);
	write_bar(seat, screen, &part, bar);
	pixman_region32_fini(&part);
}

/* Over the picture, where the screen is clipped to. */
static void paint_cursor(const struct seat_window *window, pixman_image_t *screen, struct seat_rect picture)
{
	struct seat_rect rect = seat_cursor_rect(window);

	if (rect.width > 0)
		pixman_image_composite32(PIXMAN_OP_OVER, window->cursor, NULL, screen, 0, 0, 0, 0,
					 picture.x + rect.x, picture.y + rect.y, (int)rect.width,
					 (int)rect.height);
}

/* At another size. */
static void paint_scaled(const struct seat_window *window, pixman_image_t *screen, pixman_region32_t *part,
			 struct seat_rect picture)
{
	struct seat_rect cursor = seat_cursor_rect(window), shown = seat_window_shown(window, cursor);
	struct seat_mean drawn = { .image = window->picture,
				   .at = { 0, 0, window->width, window->height },
				   .width = window->width,
				   .height = window->height,
				   .shown = picture };

	seat_mean_draw(&drawn, screen, part);
	if (shown.width == 0)
		return;
	drawn.image = window->cursor;
	drawn.at = cursor;
	drawn.over = true;
	pixman_region32_intersect_rect(part, part, shown.x, shown.y, shown.width, shown.height);
	seat_mean_draw(&drawn, screen, part);
}

static bool is_scaled(const struct seat_window *window, struct seat_rect picture)
{
	return picture.width != window->width || picture.height != window->height;
}

static void paint_picture(const struct seat_window *window, pixman_image_t *screen, pixman_region32_t *left)
{
	struct seat_rect picture = seat_window_picture(window);
	pixman_region32_t part;

	take_part(left, picture, &part);
	if (is_scaled(window, picture)) {
		paint_scaled(window, screen, &part, picture);
	} else if (pixman_region32_not_empty(&part)) {
		pixman_image_set_clip_region32(screen, &part);
		pixman_image_composite32(PIXMAN_OP_SRC, window->picture, NULL, screen, 0, 0, 0, 0, picture.x,
					 picture.y, (int)picture.width, (int)picture.height);
		paint_cursor(window, screen, picture);
		pixman_image_set_clip_region32(screen, NULL);
	}
	pixman_region32_fini(&part);
}

/* Is something left to be drawn where the window is? */
static bool is_left(pixman_region32_t *left, const struct seat_window *window)
{
	struct seat_rect frame = seat_window_frame(window);
	pixman_box32_t box = { frame.x, frame.y, frame.x + (int)frame.width, frame.y + (int)frame.height };

	return pixman_region32_contains_rectangle(left, &box) != PIXMAN_REGION_OUT;
}

static void tell_painting(const struct seat_window *window, bool begins)
{
	if (window->ops && window->ops->painting)
		window->ops->painting(window->context, begins);
}

static void paint_window(const struct seat_window *window, pixman_image_t *screen, pixman_region32_t *left)
{
	struct seat_rect frame = seat_window_frame(window), title = frame;
	bool full_screen = window == window->seat->full_screen && !window->seat->overview;
	pixman_region32_t part;

	paint_picture(window, screen, left);
	take_part(left, frame, &part);
	fill(screen, &part, full_screen ? 0 : window->colour);
	title.height = SEAT_TITLE_PIXELS;
	if (window->title && !full_screen)
		write_name(screen, &part, window->title, title, window->colour);
	pixman_region32_fini(&part);
}

/* Around the tile, which is painted already. */
static void paint_ring(pixman_image_t *screen, struct seat_rect ring, pixman_region32_t *left)
{
	pixman_region32_t part;

	take_part(left, ring, &part);
	fill(screen, &part, CHOSEN);
	pixman_region32_fini(&part);
}

static void tell(pixman_region32_t *region, void (*changed)(void *context, const struct seat_rect *rect),
		 void *context)
{
	int count;
	const pixman_box32_t *boxes = pixman_region32_rectangles(region, &count);

	for (int i = 0; i < count; i++)
		changed(context,
			&(struct seat_rect){ boxes[i].x1, boxes[i].y1, (unsigned)(boxes[i].x2 - boxes[i].x1),
					     (unsigned)(boxes[i].y2 - boxes[i].y1) });
}

void seat_compose(struct seat *seat, uint32_t *pixels, size_t stride,
		  void (*changed)(void *context, const struct seat_rect *rect), void *context)
{
	pixman_image_t *screen = pixman_image_create_bits_no_clear(PIXMAN_x8r8g8b8, (int)seat->width,
								   (int)seat->height, pixels, (int)stride);
	pixman_region32_t left;

	/* Out of memory: what has changed is drawn the next time. */
	if (!screen)
		return;
	pixman_region32_init(&left);
	pixman_region32_copy(&left, &seat->changed);
	paint_bar(seat, screen, &left);
	for (const struct seat_window *window = seat->top; window; window = window->below) {
		if (!is_left(&left, window))
			continue;
		tell_painting(window, true);
		paint_window(window, screen, &left);
		tell_painting(window, false);
	}
	if (seat->overview && seat->chosen)
		paint_ring(screen, seat_tile_ring(seat->chosen), &left);
	fill(screen, &left, BACKGROUND);
	pixman_region32_fini(&left);
	pixman_image_unref(screen);
	tell(&seat->changed, changed, context);
	pixman_region32_clear(&seat->changed);
	seat_tell_shown(seat);
}
