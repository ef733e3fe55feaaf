/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The picture of a seat in memory, drawn when something has changed, as often as a screen is refreshed; and
 * the viewers that look at it. On the seat's thread, but for the functions that say otherwise.
 *
 * A bare screen is that of one guest alone (seat_create_bare()), beside its seat's. It has the size of the
 * guest's picture, memory only while a viewer looks at it, and viewers, hands, typing and a clipboard of its
 * own. What is done for it, its guest pays for.
 */
#ifndef VIADUCT_DAEMON_SEAT_SEAT_SCREEN_H
#define VIADUCT_DAEMON_SEAT_SEAT_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arbiter/seat/seat.h"
#include "core/error.h"
#include "core/log.h"
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
/* After a takeover, guests have their pictures again so soon: until then the predecessor's is shown. */
#define SEAT_PICTURES_NS 100000000u

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
	struct log_subject *subject; /* of what is logged of its viewers: the control thread's */
	struct log_subject typing_subject; /* of what is logged on this thread */
	unsigned width, height;
	size_t stride_bytes, bytes;
	uint32_t *pixels;
	int file; /* of the pixels; another mapping of it can only be read. -1: a bare one without viewers */
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
	/* A bare screen's: that of its seat, from which it has the layout; NULL: it is none. */
	struct seat_screen *whole;
	/* Of a seat's screen: the first of its bare screens, by their names; and how many look at these. */
	struct seat_screen *bare, *next_bare;
	unsigned bare_viewers;
};

struct seat_screen_options {
	const char *name; /* stays the caller's, as the subject does */
	struct log_subject *subject;
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

/* Which viewers there are; each of them is told of what is drawn from now on. */
void seat_screen_add_viewer(struct seat_screen *screen, struct seat_viewer *viewer);
void seat_screen_remove_viewer(struct seat_screen *screen, struct seat_viewer *viewer);

/* Types the text into the window with the focus: as seat_typist_add(). */
int seat_screen_type(struct seat_screen *screen, const char *utf8, size_t bytes, size_t *ret_bad_offset);

/* The first picture is drawn after this time; or no more are. */
void seat_screen_start(struct seat_screen *screen, uint64_t after_ns);
void seat_screen_stop(struct seat_screen *screen);

/* ---- bare screens ---- */

/*
 * Control thread: a bare screen beside `whole`, of which `options` say the name and the subject. `guest`
 * pays. Returns 0 or -ENOMEM. seat_screen_finish() when the seat's thread knows of it no more.
 */
int seat_screen_init_bare(struct seat_screen *screen, struct seat_screen *whole,
			  const struct seat_screen_options *options, struct loop_guest *guest);
/*
 * From now on it shows the window, and can be found; the first picture is drawn after this time. Returns 0 or
 * -ENOMEM.
 */
int seat_screen_open_bare(struct seat_screen *screen, struct seat_window *window, uint64_t after_ns);

/* ---- seat_screen_bare.c ---- */

/* It can be found. */
void seat_screen_list_bare(struct seat_screen *screen);
/* It cannot be found any more, and draws nothing. Its viewers stay until they are stopped. Idempotent. */
void seat_screen_leave_bare(struct seat_screen *screen);
/* It left, has no viewers, and shows the window no more. Idempotent. */
void seat_screen_close_bare(struct seat_screen *screen);
/* NULL: the seat has no bare screen that is called so. */
struct seat_screen *seat_screen_find_bare(const struct seat_screen *whole, const char *name);
/* Asks the guest for a picture of this size: as seat_window_ask_size(). */
int seat_screen_ask_size(const struct seat_screen *screen, unsigned width, unsigned height);

/* ---- between the two ---- */

/* Memory for a picture of this size. Returns 0 or -errno. */
int seat_screen_make_pixels(struct seat_screen *screen, unsigned width, unsigned height);
void seat_screen_drop_pixels(struct seat_screen *screen);
/*
 * It has memory for a picture of the guest's size, of which its viewers are told. False: it has none, as
 * nobody looks; or there is none, and the viewers have ended.
 */
bool seat_screen_fit(struct seat_screen *screen);

#endif
