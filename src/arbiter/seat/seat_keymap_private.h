/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a keymap is made of: two sorted tables, which are read from a keyboard of xkbcommon's. */
#ifndef VIADUCT_ARBITER_SEAT_SEAT_KEYMAP_PRIVATE_H
#define VIADUCT_ARBITER_SEAT_SEAT_KEYMAP_PRIVATE_H

#include <stddef.h>

#include "arbiter/seat/seat_keymap.h"

struct xkb_keymap;

struct keysym_row {
	uint32_t keysym;
	unsigned cost;
	struct seat_stroke stroke;
};

struct character_row {
	uint32_t codepoint;
	unsigned cost, stroke_count;
	struct seat_stroke strokes[SEAT_STROKES_MAX];
};

struct seat_keymap {
	struct keysym_row *keysyms; /* sorted, one row a keysym */
	size_t keysym_count;
	struct character_row *characters; /* likewise */
	size_t character_count;
};

/* The row of a keysym, or NULL. */
const struct keysym_row *seat_keymap_keysym(const struct seat_keymap *keymap, uint32_t keysym);
/* The row of a character among the first `count`, or NULL. */
const struct character_row *seat_keymap_character(const struct seat_keymap *keymap, size_t count,
						  uint32_t codepoint);

/*
 * Fills the tables of a zeroed keymap. Returns 0, -ENOMEM or -EINVAL: the keyboard has too few characters.
 * What the tables hold is for seat_keymap_destroy() in any case.
 */
int seat_keymap_read(struct seat_keymap *keymap, struct xkb_keymap *source);

#endif
