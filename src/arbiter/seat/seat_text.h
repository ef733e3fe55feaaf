/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names in the frames of windows, by FreeType. */
#ifndef VIADUCT_ARBITER_SEAT_SEAT_TEXT_H
#define VIADUCT_ARBITER_SEAT_SEAT_TEXT_H

#include <pixman.h>

struct seat_font;

/* Letters of so many pixels. Returns 0, -ENOENT (the file is no font, or cannot be read) or -ENOMEM. */
int seat_font_open(const char *path, unsigned pixels, struct seat_font **ret_font);
/* NULL is allowed. */
void seat_font_close(struct seat_font *font);

/*
 * The text as a mask (a8), as wide as it needs and `height` pixels high, the letters in the middle; bytes
 * that are no printable ASCII are drawn as "?". The caller's, to be given to pixman_image_unref(). NULL: out
 * of memory.
 */
pixman_image_t *seat_font_draw(struct seat_font *font, const char *text, unsigned height);

#endif
