/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What dead keys make of the letter that is typed after them: "^" and then "e" is "ê". Guests decide that by
 * tables of their own. This one holds what Linux makes of the letters of Europe; Windows does the same where
 * a layout's languages have the letter.
 */
#ifndef VIADUCT_ARBITER_SEAT_SEAT_ACCENTS_H
#define VIADUCT_ARBITER_SEAT_SEAT_ACCENTS_H

#include <stddef.h>
#include <stdint.h>
#include <uchar.h>

struct seat_accent {
	uint32_t dead_keysym;  /* of X11 */
	const char16_t *pairs; /* a letter, and what the dead key makes of it; the next letter … */
};

/* The accents from index 0 on; NULL: there are no more. */
const struct seat_accent *seat_accent_at(size_t index);

#endif
