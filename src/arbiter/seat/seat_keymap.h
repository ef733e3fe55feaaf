/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The layout of the keyboard that a seat's guests are set to. A guest is given keys, not characters, and what
 * a key means is the guest's own setting. A viewer that tells X11's keysyms needs that setting to find the
 * key, and so does text that is to be typed.
 *
 * All of it is read from the host's layouts (xkb-data) at creation, into tables that never change: later no
 * file is opened and nothing is allocated, and any thread may look up.
 */
#ifndef VIADUCT_ARBITER_SEAT_SEAT_KEYMAP_H
#define VIADUCT_ARBITER_SEAT_SEAT_KEYMAP_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of the name of a layout, and of a variant. */
#define SEAT_LAYOUT_MAX 31u
/* Of one character. */
#define SEAT_STROKES_MAX 2u

struct seat_keymap;

struct seat_layout {
	char name[SEAT_LAYOUT_MAX + 1], variant[SEAT_LAYOUT_MAX + 1]; /* no variant: "" */
};

/* A key that is pressed, and which modifiers are held around it: Shift, and the right Alt as AltGr. */
struct seat_stroke {
	uint16_t code; /* linux/input-event-codes.h */
	bool shift, altgr;
};

/*
 * Reads `LAYOUT` or `LAYOUT:VARIANT`, each of letters, digits, "_" and "-". Returns false when it is
 * something else. Whether there is such a layout is not asked.
 */
bool seat_layout_parse(const char *text, struct seat_layout *ret_layout);

/*
 * Of `LAYOUT` or `LAYOUT:VARIANT`. Returns 0, -EINVAL (there is no such layout, or it has no characters),
 * -ENOENT (the host has no layouts at all) or -ENOMEM. Neither the environment nor the user's home changes
 * what is read. Opens files.
 */
int seat_keymap_create(const char *layout, struct seat_keymap **ret_keymap);
/* NULL is allowed. */
void seat_keymap_destroy(struct seat_keymap *keymap);

/*
 * The key that has this X11 keysym, with the fewest modifiers; or that types its character, as a character
 * has several keysyms. Those of the keypad are found whatever Num Lock must be for them, as that is the
 * guest's own and a key like others. Returns false when there is none.
 */
bool seat_keymap_find(const struct seat_keymap *keymap, uint32_t keysym, struct seat_stroke *ret_stroke);

/*
 * How a character is typed: by one stroke, or a dead key and then a letter or a space. '\n' is Enter and '\t'
 * is Tab; no other control character can be typed. Returns the count of strokes, 0: it cannot be typed with
 * this layout.
 */
unsigned seat_keymap_spell(const struct seat_keymap *keymap, uint32_t codepoint,
			   struct seat_stroke ret_strokes[SEAT_STROKES_MAX]);

/*
 * The character of an X11 keysym, 0: it has none, as those of the keypad. For seat_keymap_spell(), when no
 * key alone has the keysym.
 */
uint32_t seat_keysym_codepoint(uint32_t keysym);

#endif
