/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A seat: a physical screen, keyboard and pointer that guests share. Each guest's display is a window on the
 * screen, in a frame of the seat's: the guest's name and colour, which no guest can change or cover. Keys and
 * the pointer are one guest's at a time, that which has the focus.
 *
 *     +- Keyboard: bob ---------------------------------------+
 *     |   +- alice ------------+                              |
 *     |   | her picture   +- bob ----------+                  |
 *     |   |               | his picture    |                  |
 *     |   +---------------|                |                  |
 *     |                   +----------------+                  |
 *     +-------------------------------------------------------+
 *
 * A window can have all of the screen but the bar, so that it is never in doubt whose the picture is. One
 * thread at a time. Pixels are 32 bits, 0xRRGGBB and a byte that means nothing; x to the right and y down,
 * from the upper left corner.
 */
#ifndef VIADUCT_ARBITER_SEAT_SEAT_H
#define VIADUCT_ARBITER_SEAT_SEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the screen, and of a guest's picture: pixels. */
#define SEAT_SIDE_MAX 8192u
#define SEAT_SIDE_MIN 64u /* of the screen */
/* Around a picture, above it, and above all windows: pixels. */
#define SEAT_FRAME_PIXELS 3u
#define SEAT_TITLE_PIXELS 22u
#define SEAT_BAR_PIXELS	  24u
#define SEAT_LINE_PIXELS  2u /* of the bar: its lower edge, which keeps it apart from a window below */
#define SEAT_NAME_MAX	  63u
/* Of its picture's size, a window is shown at so many percent; or smaller, as far as it would not fit. */
#define SEAT_SCALE_FIT 0u
#define SEAT_SCALE_MIN 10u
#define SEAT_SCALE_MAX 400u
/* Of a guest's cursor: pixels. */
#define SEAT_CURSOR_SIDE_MAX 256u
/* A keyboard's lights: a bit each for LED_NUML, LED_CAPSL and LED_SCROLLL of linux/input-event-codes.h. */
#define SEAT_LIGHTS_ALL 0x7u

struct seat;
struct seat_window;

struct seat_rect {
	int x, y;
	unsigned width, height;
};

/* ---- the screen ---- */

struct seat_options {
	unsigned width, height; /* SEAT_SIDE_MIN to SEAT_SIDE_MAX */
	const char *font;	/* a file that FreeType reads; NULL: frames have colours and no names */
	/* seat_has_changed() is true, and was not since seat_compose(). May be NULL. Draws nothing itself. */
	void (*changed)(void *context);
	/* The user wants what was copied pasted into the window with the focus. May be NULL. */
	void (*paste)(void *context);
	/* seat_lights() says something else than before; at first there are none. May be NULL. */
	void (*lights)(void *context, unsigned lights);
	void *context;
};

/* Returns 0, -EINVAL (sizes), -ENOENT (no such font, or it cannot be read) or -ENOMEM. */
int seat_create(const struct seat_options *options, struct seat **ret_seat);
/* No window is left, and none has a bare seat. NULL is allowed. */
void seat_destroy(struct seat *seat);

/*
 * A bare seat: one window of another seat and nothing else, without its frame. The screen is the window's
 * picture, with the cursor, whatever covers the window on its own seat and at which scale it is there; while
 * the window is hidden, the screen is empty. Its keys and pointer go to the window's guest alone, whatever
 * has the focus on the other seat; Ctrl-Alt-V pastes, and no other key is the seat's.
 *
 * Both seats can have keys down at the guest. For the guest a key is down from the first press to the last
 * release, and so is a button; the pointer is where it was moved to last.
 *
 * The screen has the picture's size, which seat_size() says: it changes with the picture, and all of it has
 * changed then. A window has one bare seat at most, which is destroyed before the window is closed. Both are
 * the same thread's. No windows can be opened on it. Of `options`, width, height and font are not used.
 * Returns 0 or -ENOMEM.
 */
int seat_create_bare(struct seat_window *window, const struct seat_options *options, struct seat **ret_seat);

/* The window that a bare seat shows. */
struct seat_window *seat_bare_window(const struct seat *seat);

/* Of the screen. */
void seat_size(const struct seat *seat, unsigned *ret_width, unsigned *ret_height);

/*
 * Draws what has changed since the last time into `pixels`, of the screen's size, which the caller has left
 * as they were; and calls changed() for each rectangle drawn, none of which overlap. Lines are `stride` bytes
 * apart, a multiple of 4.
 */
void seat_compose(struct seat *seat, uint32_t *pixels, size_t stride,
		  void (*changed)(void *context, const struct seat_rect *rect), void *context);
/* Is there something to draw, or a window that waits to be told that it was? */
bool seat_has_changed(const struct seat *seat);
/* The next seat_compose() draws everything. */
void seat_change_all(struct seat *seat);

/* ---- windows ---- */

enum seat_pace {
	SEAT_PACE_UNKNOWN, /* it may take the next key, or lose it */
	SEAT_PACE_GO,	   /* it takes the next */
	SEAT_PACE_WAIT,	   /* it has not yet taken those of before */
};

struct seat_window_ops {
	/* A key of linux/input-event-codes.h. Each that went down comes up. */
	void (*key)(void *context, unsigned code, bool down);
	/* How the guest takes its keys. For text that is typed, of which some waits. NULL: unknown. */
	enum seat_pace (*pace)(void *context);
	/*
	 * Where the pointer is in the picture, and which buttons are down: bit 0 left, 1 middle, 2 right; and
	 * by how many notches the wheel turned, away from the user if positive.
	 */
	void (*pointer)(void *context, unsigned x, unsigned y, unsigned buttons, int wheel);
	/*
	 * In seat_compose(): what was drawn into the picture since the last time is on the screen, as far as
	 * nothing covers it; and so is the cursor that was set or moved. What is done more often than that is
	 * not seen. May be NULL.
	 */
	void (*shown)(void *context);
	/*
	 * In seat_compose(): the user would like a picture of this size, at most SEAT_SIDE_MAX. A guest that
	 * cannot, or does not want to, keeps its own, which is scaled where it must. May be NULL.
	 */
	void (*resize)(void *context, unsigned width, unsigned height);
	/*
	 * In seat_compose(): it begins to paint what is seen of the window, or has done so. For accounts of
	 * time; draws nothing. May be NULL.
	 */
	void (*painting)(void *context, bool begins);
};

struct seat_window_options {
	const char *name; /* of the guest, at most SEAT_NAME_MAX bytes */
	uint32_t colour;
	bool hidden; /* until seat_window_set_hidden() */
};

/*
 * Opens a window above the others, but for one that has all of the screen, with a black picture of 640 to
 * 480. It is where it covers no other, if there is such a place. Nothing hears its keys yet. Returns 0,
 * -EINVAL (the name) or -ENOMEM.
 */
int seat_window_open(struct seat *seat, const struct seat_window_options *options,
		     struct seat_window **ret_window);
/* It has no keys down any more. */
void seat_window_close(struct seat_window *window);

/*
 * What hears of the window's keys from now on. What heard of them before is told that they came up. NULL:
 * nothing.
 */
void seat_window_listen(struct seat_window *window, const struct seat_window_ops *ops, void *context);

/*
 * A hidden window is not on the screen, and has no focus. It keeps its picture, which can be drawn into, and
 * its place, and comes back as a new one does.
 */
void seat_window_set_hidden(struct seat_window *window, bool hidden);
bool seat_window_is_hidden(const struct seat_window *window);

/*
 * A picture of another size, which is black. A window that was never moved goes where it covers no other, if
 * it does now and there is such a place. Returns 0, -EINVAL (a side is 0 or too large) or -ENOMEM.
 */
int seat_window_resize(struct seat_window *window, unsigned width, unsigned height);
/*
 * Draws into the picture: `rect` of it, from pixels whose lines are `stride` bytes apart. Returns 0, or
 * -ERANGE: the rectangle is not inside the picture; nothing is drawn. An empty one is fine.
 */
int seat_window_draw(struct seat_window *window, const struct seat_rect *rect, const void *pixels,
		     size_t stride);

/* The picture, without its cursor or anything that covers it, until it is drawn into or resized. */
struct seat_pixels {
	const void *pixels;
	unsigned width, height;
	size_t stride; /* bytes from line to line */
};
struct seat_pixels seat_window_pixels(const struct seat_window *window);

/* Of a guest that draws its cursor beside its picture. */
struct seat_cursor {
	const uint32_t *pixels; /* 0xAARRGGBB, multiplied by alpha, line after line; NULL: there is none */
	unsigned width, height; /* 1 to SEAT_CURSOR_SIDE_MAX */
	unsigned hot_x, hot_y;	/* the hot spot, inside of it */
};

/*
 * The cursor looks like this from now on; the pixels are copied. Returns 0, -EINVAL (a side, or the hot spot)
 * or -ENOMEM: then it is as it was.
 */
int seat_window_set_cursor(struct seat_window *window, const struct seat_cursor *cursor);
/*
 * Its hot spot is there in the picture, and it is seen or not; a new window's is not. What of it lies outside
 * of the picture is never seen.
 */
void seat_window_move_cursor(struct seat_window *window, int x, int y, bool visible);

/* Moves the frame's upper left corner there, or as near as leaves some of its title on the screen. */
void seat_window_move(struct seat_window *window, int x, int y);
/* Above all others; nothing for a hidden one. */
void seat_window_raise(struct seat_window *window);
/* The next above that is not hidden; of NULL: the lowest. NULL: there is none. */
struct seat_window *seat_window_above(const struct seat *seat, const struct seat_window *window);
/* The frame on the screen, whatever covers it. */
struct seat_rect seat_window_frame(const struct seat_window *window);
/* Where it was moved to, also while it has all of the screen. */
void seat_window_corner(const struct seat_window *window, int *ret_x, int *ret_y);
/* Its picture there, at the size at which it is shown. */
struct seat_rect seat_window_picture(const struct seat_window *window);

/*
 * Shows the picture at `percent`, or SEAT_SCALE_FIT: at its own size, or the largest at which all of the
 * window is on the screen, where it moves then. A new window has 100. Returns 0 or -EINVAL.
 */
int seat_window_set_scale(struct seat_window *window, unsigned percent);
unsigned seat_window_scale(const struct seat_window *window);

/*
 * Asks the guest for a picture of this size, once with the next picture of the screen, however often that is
 * said until then. What the guest answers is never asked for again by itself. Returns 0, -EINVAL (a side is 0
 * or too large) or -ENOTCONN: nothing listens that could be asked.
 */
int seat_window_ask_size(struct seat_window *window, unsigned width, unsigned height);
/* What a window in full screen had before, and is asked for again after that; 0, 0: nothing. */
void seat_window_size_before(const struct seat_window *window, unsigned *ret_width, unsigned *ret_height);
void seat_window_set_size_before(struct seat_window *window, unsigned width, unsigned height);

/*
 * All of the screen but the bar is this window's picture, in its middle and as large as has room there,
 * whatever its scale is otherwise. NULL, or a hidden one: no window's. The guest is asked for a picture of
 * that size, and after it for the one before, if it followed.
 */
void seat_set_full_screen(struct seat *seat, struct seat_window *window);
struct seat_window *seat_full_screen(const struct seat *seat);

/*
 * All windows side by side, small enough for that, each with its guest's name and colour; to choose the one
 * that gets the focus, by a click, or the keys Tab, the arrows and Enter; Esc leaves it as it was. No guest
 * has the focus meanwhile. seat_set_focus() and seat_set_full_screen() end it. seat_window_frame() and
 * seat_window_picture() say where things are in it.
 */
void seat_set_overview(struct seat *seat, bool overview);
bool seat_has_overview(const struct seat *seat);
/* The window that Enter chooses, which has a ring around it. NULL: there is none. */
const struct seat_window *seat_overview_chosen(const struct seat *seat);

/* ---- keys and the pointer ---- */

/*
 * Who has the keys. Keys that are down come up at the guest that loses them, and those that are still held
 * are not heard by the one that gets them. NULL, or a hidden window: none.
 */
void seat_set_focus(struct seat *seat, struct seat_window *window);
struct seat_window *seat_focus(const struct seat *seat);

/*
 * A key of the keyboard went down or came up (linux/input-event-codes.h); what is not one is ignored, and so
 * is one that is down already. With Ctrl and Alt, some keys are the seat's and never a guest's: Tab gives
 * the focus to the next window and raises it, Enter makes its picture full screen and back, 0 makes it fit
 * and back to its own size, Space shows all windows side by side, Esc takes the focus from all,
 * V pastes.
 */
void seat_key(struct seat *seat, unsigned code, bool down);
/* All keys came up: the keyboard is gone. */
void seat_keys_up(struct seat *seat);

/*
 * The window's guest has these of its keyboard's lights on, SEAT_LIGHTS_ALL at most; other bits are ignored.
 * A new window has none.
 */
void seat_window_set_lights(struct seat_window *window, unsigned lights);
unsigned seat_window_lights(const struct seat_window *window);
/* What the keyboard is to show: the lights of the guest that has it, or none. */
unsigned seat_lights(const struct seat *seat);

/*
 * The pointer is there, outside of the screen at its edge, these buttons are down, and the wheel turned by so
 * many notches. A button that goes
 * down gives the focus to the window below, and raises it; on a title it moves the window until it comes up.
 * The guest with the focus hears of what is above its picture, and of all until the buttons are up again.
 */
void seat_pointer(struct seat *seat, int x, int y, unsigned buttons, int wheel);
/* All buttons came up: the pointer's device is gone. */
void seat_buttons_up(struct seat *seat);

#endif
