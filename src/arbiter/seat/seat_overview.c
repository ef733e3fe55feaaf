/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All windows side by side, each as a tile with its frame and name, to choose one of. No guest has the focus
 * meanwhile. Windows keep their places; only what seat_window_frame() and seat_window_picture() say is the
 * tile's, so that what guests draw is seen in it at once.
 */
#include "arbiter/seat/seat_private.h"

/* Around each tile, and between one and the ring around the chosen one, at most. */
#define MARGIN_PIXELS 8u
#define RING_PIXELS   4u
/* In both directions, of a cell in which something can be seen. */
#define CELL_WIDTH_MIN	(2 * SEAT_FRAME_PIXELS + 3)
#define CELL_HEIGHT_MIN (SEAT_TITLE_PIXELS + SEAT_FRAME_PIXELS + 3)

/* ---- where tiles are ---- */

static unsigned lower(unsigned one, unsigned other)
{
	return one < other ? one : other;
}

/* As many columns as rows, or one more; fewer rows where the screen is too low for them. */
static unsigned columns_for(const struct seat *seat, unsigned tiles)
{
	unsigned side = 1, rows, rows_max = (seat->height - SEAT_BAR_PIXELS) / CELL_HEIGHT_MIN;

	while (side * side < tiles)
		side++;
	rows = lower((tiles + side - 1) / side, rows_max);
	return rows > 0 ? (tiles + rows - 1) / rows : 1;
}

/* In the order in which they were opened, so that each is found where it was. */
static void number_tiles(struct seat *seat)
{
	seat->tiles = 0;
	for (struct seat_window *window = seat->top; window; window = window->below) {
		window->tile = 0;
		for (const struct seat_window *other = seat->top; other; other = other->below)
			window->tile += other->serial < window->serial;
		seat->tiles++;
	}
	seat->tile_columns = columns_for(seat, seat->tiles);
}

/* The part of the screen in which the tile is, with some room around it. Empty: there are too many. */
static struct seat_rect cell_of(const struct seat_window *window)
{
	const struct seat *seat = window->seat;
	unsigned columns = lower(seat->tile_columns, seat->width / CELL_WIDTH_MIN),
		 rows = (seat->tiles + seat->tile_columns - 1) / seat->tile_columns,
		 column = window->tile % seat->tile_columns, row = window->tile / seat->tile_columns,
		 width = seat->width / columns, height = (seat->height - SEAT_BAR_PIXELS) / rows;

	if (column >= columns)
		return (struct seat_rect){ .width = 0 };
	return (struct seat_rect){ (int)(column * width), (int)(SEAT_BAR_PIXELS + row * height), width,
				   height };
}

static unsigned margin(unsigned cell, unsigned least)
{
	return lower((cell - least) / 2, MARGIN_PIXELS);
}

void seat_tile(const struct seat_window *window, struct seat_rect *ret_frame, struct seat_rect *ret_picture)
{
	struct seat_rect cell = cell_of(window), frame = cell, picture;
	unsigned across = 2 * SEAT_FRAME_PIXELS, down = SEAT_TITLE_PIXELS + SEAT_FRAME_PIXELS;

	*ret_frame = *ret_picture = cell;
	if (cell.width == 0)
		return;
	picture = (struct seat_rect){
		.width = cell.width - across - 2 * margin(cell.width, CELL_WIDTH_MIN),
		.height = cell.height - down - 2 * margin(cell.height, CELL_HEIGHT_MIN),
	};
	seat_shrink(window, &picture.width, &picture.height);
	frame.width = picture.width + across;
	frame.height = picture.height + down;
	frame.x += (int)(cell.width - frame.width) / 2;
	frame.y += (int)(cell.height - frame.height) / 2;
	picture.x = frame.x + (int)SEAT_FRAME_PIXELS;
	picture.y = frame.y + (int)SEAT_TITLE_PIXELS;
	*ret_frame = frame;
	*ret_picture = picture;
}

struct seat_rect seat_tile_ring(const struct seat_window *window)
{
	struct seat_rect ring = seat_window_frame(window);

	if (ring.width == 0)
		return ring;
	return (struct seat_rect){ ring.x - (int)RING_PIXELS, ring.y - (int)RING_PIXELS,
				   ring.width + 2 * RING_PIXELS, ring.height + 2 * RING_PIXELS };
}

/* ---- to and fro ---- */

void seat_set_overview(struct seat *seat, bool overview)
{
	struct seat_window *focus = seat->overview ? seat->focus_before : seat->focus;

	if (seat->overview == overview)
		return;
	if (overview) {
		seat_set_focus(seat, NULL);
		seat->dragged = NULL;
		seat->focus_before = focus;
		seat->chosen = focus ? focus : seat->top;
		number_tiles(seat);
	}
	seat->overview = overview;
	if (!overview)
		seat_set_focus(seat, focus);
	seat_change_all(seat);
}

bool seat_has_overview(const struct seat *seat)
{
	return seat->overview;
}

const struct seat_window *seat_overview_chosen(const struct seat *seat)
{
	return seat->overview ? seat->chosen : NULL;
}

void seat_overview_end(struct seat *seat)
{
	seat->focus_before = NULL;
	seat_set_overview(seat, false);
}

void seat_overview_arrange(struct seat *seat)
{
	if (!seat->overview)
		return;
	number_tiles(seat);
	if (!seat->chosen)
		seat->chosen = seat->top;
	seat_change_all(seat);
}

void seat_overview_forget(struct seat *seat, const struct seat_window *window)
{
	if (seat->focus_before == window)
		seat->focus_before = NULL;
	if (seat->chosen == window)
		seat->chosen = NULL;
}

/* ---- choosing ---- */

static void mark(struct seat *seat, unsigned tile)
{
	for (struct seat_window *window = seat->top; window; window = window->below) {
		if (window->tile != tile)
			continue;
		seat_rect_changed(seat, seat_tile_ring(seat->chosen));
		seat->chosen = window;
		seat_rect_changed(seat, seat_tile_ring(window));
		return;
	}
}

void seat_overview_choose(struct seat *seat, struct seat_window *window)
{
	seat_set_focus(seat, window);
	seat_window_raise(window);
}

/* By so many tiles, beyond the last one to the first. */
static void step(struct seat *seat, unsigned tiles)
{
	mark(seat, (seat->chosen->tile + tiles) % seat->tiles);
}

/* To the row above or below, if there is a tile there. */
static void step_row(struct seat *seat, int rows)
{
	int tile = (int)seat->chosen->tile + rows * (int)seat->tile_columns;

	if (tile >= 0 && tile < (int)seat->tiles)
		mark(seat, (unsigned)tile);
}

void seat_overview_key(struct seat *seat, unsigned code, bool shift)
{
	if (code == KEY_ESC)
		seat_set_overview(seat, false);
	if (code == KEY_ESC || !seat->chosen)
		return;
	switch (code) {
	case KEY_TAB:
		step(seat, shift ? seat->tiles - 1 : 1);
		break;
	case KEY_RIGHT:
		step(seat, 1);
		break;
	case KEY_LEFT:
		step(seat, seat->tiles - 1);
		break;
	case KEY_UP:
		step_row(seat, -1);
		break;
	case KEY_DOWN:
		step_row(seat, 1);
		break;
	case KEY_ENTER:
	case KEY_KPENTER:
		seat_overview_choose(seat, seat->chosen);
		break;
	default:
		break;
	}
}
