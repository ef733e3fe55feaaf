/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A picture that is shown at another size than its own. A pixel of the screen has the mean of all those of
 * the picture that it touches, each counted once. So twice the size is each pixel twice, in both directions,
 * and what is smaller than a pixel of the screen still leaves a trace.
 */
#ifndef VIADUCT_ARBITER_SEAT_SEAT_MEAN_H
#define VIADUCT_ARBITER_SEAT_SEAT_MEAN_H

#include <pixman.h>
#include <stdbool.h>

#include "arbiter/seat/seat.h"

struct seat_mean {
	pixman_image_t *image;	/* the picture, or a cursor over it: 32 bits, alpha above */
	struct seat_rect at;	/* where the image is in the picture, of which it may reach out */
	unsigned width, height; /* of the picture: at most SEAT_SIDE_MAX */
	struct seat_rect
		shown; /* where that is on the screen: at most SEAT_SCALE_MAX % of it, or the screen */
	bool over;     /* the image is seen through, as far as its alpha says */
};

/* Draws what of it lies in `part`, which is inside of both the screen and `shown`. */
void seat_mean_draw(const struct seat_mean *drawn, pixman_image_t *screen, pixman_region32_t *part);

#endif
