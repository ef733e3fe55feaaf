/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the seat share. */
#ifndef VIADUCT_ARBITER_SEAT_SEAT_PRIVATE_H
#define VIADUCT_ARBITER_SEAT_SEAT_PRIVATE_H

#include <linux/input-event-codes.h>
#include <pixman.h>

#include "arbiter/seat/seat.h"
#include "arbiter/seat/seat_text.h"

/* By which seat a guest is told of keys and buttons. */
enum seat_from { SEAT_FROM_ITS_OWN, SEAT_FROM_BARE, SEAT_FROMS };

struct seat_window {
	struct seat *seat;
	struct seat_window *twin; /* its like on a bare seat; NULL: there is none */
	struct seat_window *below, *above;
	char name[SEAT_NAME_MAX + 1];
	uint32_t colour;
	const struct seat_window_ops *ops; /* NULL: nothing hears its keys */
	void *context;
	uint64_t serial; /* by when it was opened */
	unsigned tile;	 /* of the overview; as of the last arrangement */
	bool hidden;	 /* in none of the lists */
	bool placed;	 /* it has its place */
	bool moved;	 /* which is where it was moved to */
	bool drawn;	 /* waits for shown() */
	struct seat_window *next_drawn;
	int x, y;		/* of the frame */
	unsigned scale;		/* percent, or SEAT_SCALE_FIT */
	unsigned width, height; /* of the picture */
	/* What the guest is to be asked for; and what it had before full screen. 0: nothing. */
	unsigned wanted_width, wanted_height, width_before, height_before;
	pixman_image_t *picture, *title; /* title: the name, a mask; NULL: none */
	pixman_image_t *cursor;		 /* NULL: none */
	unsigned hot_x, hot_y;		 /* in the cursor */
	int cursor_x, cursor_y;		 /* the hot spot in the picture */
	bool cursor_visible;
	/* What is down at the guest: of a key, a bit for each enum seat_from; of each of these, buttons. */
	uint8_t keys_from[KEY_CNT];
	unsigned buttons_from[SEAT_FROMS];
	unsigned lights; /* of its keyboard */
};

struct seat {
	unsigned width, height;
	struct seat_window *original; /* a bare seat's: the window that it shows; NULL: it is none */
	struct seat_font *font;	      /* NULL: no names */
	struct seat_window *top, *bottom;
	unsigned cascaded; /* windows for which there was no free place */
	struct seat_window *full_screen, *focus;
	uint64_t focus_changes; /* so many: a window that got it back, or has the place of one that closed */
	/* All windows side by side; and what has the focus after that, the one that is marked, and the tiles.
	 */
	bool overview;
	struct seat_window *focus_before, *chosen;
	unsigned tiles, tile_columns;
	uint64_t serials; /* of windows, so far */
	/* What the bar says, as masks: before the name, without one, in the overview. NULL: nothing. */
	pixman_image_t *keyboard, *no_guest, *question;
	pixman_region32_t changed;
	struct seat_window *drawn; /* those that wait for shown() */
	void (*tell_changed)(void *context);
	void (*tell_paste)(void *context);
	void (*tell_lights)(void *context, unsigned lights);
	void *context; /* of all three */
	unsigned lights_told;
	/* Keys: held at the keyboard, held by the typist, and down at the guest with the focus. */
	bool held[KEY_CNT], typed[KEY_CNT], down[KEY_CNT];
	/* The pointer, and what it does since a button is down. */
	int pointer_x, pointer_y;
	unsigned buttons;
	struct seat_window *dragged;
	int drag_x, drag_y; /* from the frame's corner */
	bool grabbed;	    /* by the guest with the focus */
};

/* An empty one when the rectangle is, which pixman would call a fault. */
void seat_region_init(pixman_region32_t *region, struct seat_rect rect);

/* What a guest has drawn, or a window has uncovered: `rect` of the screen, without what windows above cover.
 */
void seat_window_changed(struct seat_window *window, struct seat_rect rect);
void seat_rect_changed(struct seat *seat, struct seat_rect rect);
/* `rect` of the picture, of which nothing need be inside of it. */
/* All of its frame, and what is around it in the overview. */
void seat_window_frame_changed(struct seat_window *window);
void seat_window_picture_changed(struct seat_window *window, struct seat_rect rect);
/* The window is told by shown(). */
void seat_remember_drawn(struct seat_window *window);
/* Where the cursor is in the picture, or partly or wholly outside of it; empty when it is not seen. */
struct seat_rect seat_cursor_rect(const struct seat_window *window);
/* A bare seat's is empty. */
struct seat_rect seat_bar(const struct seat *seat);

/* `rect` of the picture as it is on the screen, what of it is outside of the picture cut off; or empty. */
struct seat_rect seat_window_shown(const struct seat_window *window, struct seat_rect rect);
/* Its frame when it does not have all of the screen. */
struct seat_rect seat_window_own_frame(const struct seat_window *window);
/* And without the overview. */
struct seat_rect seat_window_usual_frame(const struct seat_window *window);
/* The size at which its picture has room there, at most its own. */
void seat_shrink(const struct seat_window *window, unsigned *width, unsigned *height);
/* Where a place on the screen is in the picture, or at its edge. */
void seat_window_point(const struct seat_window *window, int x, int y, unsigned *ret_x, unsigned *ret_y);
/* One that is made to fit is wholly on the screen. */
void seat_window_keep_on_screen(struct seat_window *window);
int seat_between(int value, int low, int high);

/* ---- seat_size.c ---- */

/* Asks the guest, if it is to be. */
void seat_window_tell_size(struct seat_window *window);
/* It gets all of the screen, or loses it. */
void seat_window_enlarged(struct seat_window *window, bool full_screen);

/* ---- seat_overview.c ---- */

/* Its frame and its picture in the overview; empty when there is no room for it. */
void seat_tile(const struct seat_window *window, struct seat_rect *ret_frame, struct seat_rect *ret_picture);
/* What is marked around the one that is chosen. */
struct seat_rect seat_tile_ring(const struct seat_window *window);
/* Nothing gets the focus by that. */
void seat_overview_end(struct seat *seat);
/* Windows have come or gone. */
void seat_overview_arrange(struct seat *seat);
void seat_overview_forget(struct seat *seat, const struct seat_window *window);
void seat_overview_choose(struct seat *seat, struct seat_window *window);
/* A key went down. */
void seat_overview_key(struct seat *seat, unsigned code, bool shift);

/* ---- seat_bare.c: of a window that may have a twin ---- */

/* It has another picture, or another cursor. */
void seat_twin_follow(struct seat_window *window);
/* It is hidden, or seen again. */
void seat_twin_hide(struct seat_window *window);
/* `rect` of its picture has changed. */
void seat_twin_changed(struct seat_window *window, struct seat_rect rect);
/* The bare seat is to be destroyed. */
void seat_twin_end(struct seat *bare);

void seat_window_free(struct seat_window *window);

/* ---- seat_place.c ---- */

/* Where it appears first. */
void seat_window_place(struct seat_window *window);
/* It has another size: nothing for one that was moved, or still covers no other. */
void seat_window_place_again(struct seat_window *window);

/* The window whose frame is there, or NULL. */
struct seat_window *seat_window_at(const struct seat *seat, int x, int y);
bool seat_rect_holds(const struct seat_rect *rect, int x, int y);

/* seat_has_changed() may be true from now on, and was `before`. */
void seat_tell_changed(struct seat *seat, bool before);

/* After all else of seat_compose(). */
void seat_tell_shown(struct seat *seat);

/* A window goes: it has neither keys nor the pointer. */
void seat_forget_window(struct seat *seat, const struct seat_window *window);

/* Is a key of the keyboard held? What the typist holds is none. */
bool seat_holds_keys(const struct seat *seat);
/*
 * A key of the typist's goes down or comes up at the guest with the focus, which hears one key, whether it is
 * held here, at the keyboard or at both. It is never the seat's own, whatever is held. Those that are down
 * come up with the focus.
 */
void seat_type_key(struct seat *seat, unsigned code, bool down);
/* Of the window with the focus, if there is one. */
enum seat_pace seat_focus_pace(const struct seat *seat);

#endif
