/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A picture in memory, shown on a monitor of the host, with a pointer on it.
 *
 * Theory of operation. There are two buffers: one is shown, the other is drawn into. Of each is known where
 * it differs from the picture. When some of the picture has changed and the monitor has shown the last flip,
 * those rectangles are copied into the buffer that is not shown, and the monitor is told to show it next. So
 * a monitor costs what changes, at most once for each of its own pictures, and nothing while nothing changes.
 *
 * The pointer is drawn into the buffer after the picture, and is no part of the picture: viewers draw their
 * own. A picture that is smaller than the monitor's mode is in its middle; of a larger one the upper left
 * part is seen.
 *
 * Once a second it is asked whether the monitor is still the same, or whether the card is free again that
 * another program had. To ask a monitor for its modes takes time, and so does a mode that cannot be set:
 * what fails is tried again after a second, then after twice as long each time.
 */
#ifndef VIADUCT_HOST_SCREEN_SCREEN_H
#define VIADUCT_HOST_SCREEN_SCREEN_H

#include <pixman.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/log.h"
#include "core/loop.h"
#include "core/stats.h"
#include "host/screen/screen_device.h"

#define SCREEN_POINTER_WIDTH  11u
#define SCREEN_POINTER_HEIGHT 17u
/* From one look at the monitor to the next; and a flip that takes longer is given up. */
#define SCREEN_LOOK_NS 1000000000u
/* After so many asks in vain it is looked no more seldom: each 32 s. */
#define SCREEN_ASKS_MAX 5u

enum screen_state {
	SCREEN_OFF,  /* no monitor is connected */
	SCREEN_ON,   /* the picture is shown */
	SCREEN_LOST, /* another program has the card, or the card refuses */
};

struct screen {
	/* Set before screen_start(), like the picture and its size; all else is zero. */
	struct screen_device *device;
	const struct log_subject *subject;
	const uint32_t *picture;
	size_t stride_bytes;
	unsigned width, height;

	/* For who asks. */
	enum screen_state state;
	struct screen_output output; /* may be set before, by a look() of the device's that asked */
	struct screen_mode mode;     /* of SCREEN_ON */
	struct counter frames;	     /* flips */
	struct counter copied_pixels;

	/* private */
	struct loop *loop; /* NULL: stopped */
	struct loop_watch watch;
	struct loop_timer look;
	int error;		 /* why it is lost: told once */
	unsigned fruitless_asks; /* since it was on */
	struct screen_buffer buffers[SCREEN_BUFFERS];
	pixman_region32_t
		stale[SCREEN_BUFFERS]; /* where the buffer differs from the picture, in its pixels */
	unsigned shown;		       /* the buffer that is, or is about to be */
	bool waits;		       /* for a flip */
	uint64_t flipped_ns;
	bool changed;  /* the picture or the pointer has, since the last flip */
	int left, top; /* of the picture in the buffer */
	bool has_pointer;
	int pointer_x, pointer_y; /* in the picture */
};

/*
 * The mode for a picture of this size (0: any): of the same size if there is one, else what the monitor
 * prefers, else its first. Returns its index, or -1: it has none that can be used.
 */
int screen_choose_mode(const struct screen_output *output, unsigned width, unsigned height);

/* Shows the picture from now on, when that is possible. Returns 0 or -ENOMEM. */
int screen_start(struct screen *screen, struct loop *loop);
/* What is on the monitor stays there. Idempotent. */
void screen_stop(struct screen *screen);

/* The picture has changed there; screen_flush() shows it, now or as soon as the monitor can. */
void screen_damage(struct screen *screen, const struct screen_rect *rect);
void screen_flush(struct screen *screen);

/* The pointer's tip is there in the picture, or nowhere. Shown by screen_flush(). */
void screen_point(struct screen *screen, int x, int y);
void screen_hide_pointer(struct screen *screen);

#endif
