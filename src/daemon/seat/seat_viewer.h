/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A viewer of a screen, a seat's or one guest's, which may steer: a process of its own speaks the viewer's
 * protocol (host/viewer/), and its keys and pointer are one of the screen's hands. On the seat's thread.
 */
#ifndef VIADUCT_DAEMON_SEAT_SEAT_VIEWER_H
#define VIADUCT_DAEMON_SEAT_SEAT_VIEWER_H

#include <pixman.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/loop.h"
#include "daemon/seat/seat_hand.h"
#include "host/viewer/viewer_message.h"

#define SEAT_VIEWERS_MAX 16u /* of each seat */

struct seat_guard;
struct seat_rect;
struct seat_screen;

struct seat_viewer {
	struct seat_viewer *next; /* of the screen's */
	struct seat_screen *screen; /* a console's may change until it looks: seat_viewer_looks_at() */
	int socket; /* to its process; stays the caller's */
	/* A browser's: what it proves before it can be a viewer, in WEB_TOKEN_SIZE bytes. NULL: nothing. */
	const char *token;
	/* What a viewer from another machine is let in by. NULL: it needs to prove nothing. */
	const struct seat_guard *guard;
	/* One of those below is true now, which are atomic. */
	void (*changed)(struct seat_viewer *viewer);
	bool looks;	 /* it sees the screen; until then it is not a viewer */
	bool asks_state; /* it wants to be told what is on the seat; until it is set to false */
	bool asks_focus; /* for the display named in `focus`; the same */
	bool dead;	 /* it has ended, and does nothing until it is stopped */
	const char *why; /* then: what it did; NULL: it left */
	/* Read when it is stopped: it may look; it gave a wrong password. */
	bool proven, wrong;
	char focus[VIEWER_NAME_BYTES];
	char guest[VIEWER_NAME_BYTES]; /* private: the display that a console wants to see alone; "": all */

	/* private */
	struct loop_watch watch;
	struct loop_task more;
	struct loop_timer patience; /* while the guest is asked for another size */
	pixman_region32_t unseen; /* what was drawn and not told */
	bool has_signature, has_verdict; /* a guarded one */
	bool has_screen, ready, running;
	struct seat_hand hand;
};

/* From now on it is heard. again: it looked before, and gets the screen unasked. Returns 0 or -ENOMEM. */
int seat_viewer_start(struct seat_viewer *viewer, bool again);
/* What it holds comes up. Idempotent. */
void seat_viewer_stop(struct seat_viewer *viewer);

/* What it looks at, or would. Any thread. */
static inline struct seat_screen *seat_viewer_looks_at(const struct seat_viewer *viewer)
{
	return __atomic_load_n(&viewer->screen, __ATOMIC_RELAXED);
}

/* Its screen has other memory, of which it is told when it is ready; error: or has none. */
void seat_viewer_change_screen(struct seat_viewer *viewer, int error);
/* These pixels of the screen are others; seat_viewer_flush() tells the process, when that is ready. */
void seat_viewer_damage(struct seat_viewer *viewer, const struct seat_rect *rect);
void seat_viewer_flush(struct seat_viewer *viewer);

#endif
