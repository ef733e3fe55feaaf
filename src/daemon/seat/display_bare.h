/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Viewers that see one guest's display alone: its bare screen (seat_screen.h), and the socket at which they
 * arrive, RUNTIME/display-GUEST-NAME.vnc, if the display is to have one. A console in the browser finds the
 * screen by the display's name, without that socket. Control thread.
 */
#ifndef VIADUCT_DAEMON_SEAT_DISPLAY_BARE_H
#define VIADUCT_DAEMON_SEAT_DISPLAY_BARE_H

#include <stdbool.h>

#include "daemon/seat/seat_room.h"

struct display_device;
struct handover;

struct display_bare {
	struct seat_screen screen;
	struct seat_door door;
	bool open;
};

/*
 * The display has a window. What fails is logged: it is a display without such viewers then, or without that
 * socket. Between the two it does not move.
 */
void display_bare_open(struct display_device *display);
/* Its viewers leave. Idempotent. */
void display_bare_close(struct display_device *display);

/* How many see it alone. */
unsigned display_bare_viewers(const struct display_device *display);
/* CPU time of the seats' thread for them. */
uint64_t display_bare_cpu_ns(const struct display_device *display);

/* Takeover: nobody arrives, or they do again; what a successor gets; and those of the predecessor go on. */
void display_bare_stand_still(struct display_device *display, bool still);
void display_bare_hand_over(struct display_device *display, struct handover *header);
void display_bare_take_over(struct display_device *display);

#endif
