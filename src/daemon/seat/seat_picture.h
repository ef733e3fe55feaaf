/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is on a seat's screen, or in a display's window, copied at one moment. Control thread. */
#ifndef VIADUCT_DAEMON_SEAT_SEAT_PICTURE_H
#define VIADUCT_DAEMON_SEAT_SEAT_PICTURE_H

#include <stdint.h>

struct daemon_seat;
struct display_window;

struct seat_picture {
	unsigned width, height;
	uint32_t *pixels; /* 0xRRGGBB and a byte that means nothing; lines follow each other */
};

/* Return 0 or -ENOMEM. */
int seat_picture_of_screen(struct daemon_seat *owner, struct seat_picture *ret_picture);
int seat_picture_of_display(const struct display_window *window, struct seat_picture *ret_picture);
void seat_picture_finish(struct seat_picture *picture);

#endif
