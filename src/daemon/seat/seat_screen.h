/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The picture of a seat in memory, drawn when something has changed, as often as a screen is refreshed; and
 * the viewers that look at it. On the seat's thread, but for the two functions that say otherwise.
 */
#ifndef VIADUCT_DAEMON_SEAT_SEAT_SCREEN_H
#define VIADUCT_DAEMON_SEAT_SEAT_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arbiter/seat/seat.h"
#include "core/error.h"
#include "core/loop.h"
#include "core/stats.h"
#include "daemon/seat/seat_clipboard.h"
#include "daemon/seat/seat_viewer.h"

/*
 * From one picture to the next: 60 a second, and two or three more, for those that a busy host misses; and
 * while neither a viewer nor a monitor shows it.
 */
#define SEAT_FRAME_NS	     16000000u
#define SEAT_FRAME_UNSEEN_NS 200000000u

struct loop_account;
struct loop_guest;
struct seat_hardware;
struct seat_keymap;
struct seat_typist;

struct seat_screen {
	struct loop *loop;
	struct loop_guest *payer;     /* the seat, which pays as a guest does, */
	struct loop_account *account; /* for what is not done for one guest's sake */
	struct seat *seat;
	const char *name;
	unsigned width, height;
	size_t stride_bytes, bytes;
	uint32_t *pixels;
	int file; /* of the pixels; another mapping of it can only be read */
	struct loop_timer frame;
	uint64_t drawn_ns; /* when the last picture was due */
	uint64_t from_ns;  /* none is drawn before; UINT64_MAX: not started */
	struct seat_viewer *viewers;
	struct seat_hardware *hardware; /* that shows it, or steers; NULL: none */
	struct seat_hand *steering;	/* whose keys and pointer count; NULL: none's */
	uint64_t steered_ns;		/* when it last did something */
	struct counter frames, drawn_pixels;
	struct counter events; /* keys and moves of the pointer that counted */
	struct seat_keymap *keymap;
	struct seat_typist *typist;
	struct loop_timer typing;
	size_t typing_left;			       /* atomic: strokes */
	struct counter typed_strokes, dropped_strokes; /* of texts */
	struct seat_clipboard clipboard;
};

struct seat_screen_options {
	const char *name; /* stays the caller's */
	const char *layout;
	struct seat_options seat; /* but for changed() and its context */
};

/*
 * Control thread, before the seat's knows of the screen: makes the seat and its picture, and reads the
 * layout. Returns 0 or -errno with *error.
 */
int seat_screen_init(struct seat_screen *screen, struct loop *loop, const struct seat_screen_options *options,
		     struct error *error);
/*
 * Control thread, when the seat's knows of it no more: it has no windows and no viewers. Zeroed is allowed.
 */
void seat_screen_finish(struct seat_screen *screen);

/* Draws now what has changed. */
void seat_screen_draw(struct seat_screen *screen);

/* Types the text into the window with the focus: as seat_typist_add(). */
int seat_screen_type(struct seat_screen *screen, const char *utf8, size_t bytes, size_t *ret_bad_offset);

/* The first picture is drawn after this time; or no more are. */
void seat_screen_start(struct seat_screen *screen, uint64_t after_ns);
void seat_screen_stop(struct seat_screen *screen);

#endif
