/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a keyboard to the tables of a keymap: the keyboard is asked once what each key gives, alone and with
 * modifiers.
 */
#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <xkbcommon/xkbcommon.h>

#include "arbiter/seat/seat_accents.h"
#include "arbiter/seat/seat_keymap_private.h"

/* XKB counts keys from here. */
#define XKB_FIRST 8u
/* There are files beside the layouts that define a few keys only; the smallest alphabets have more. */
#define CHARACTERS_MIN 20u

/*
 * The cheapest way to type is taken. Modifiers cost, AltGr more than Shift. The keys that only some keyboards
 * have cost, too: on a US keyboard "<" is Shift and the comma, although its layout also gives it to the key
 * that is not there.
 */
#define COST_SHIFT    1u
#define COST_ODD_KEY  2u
#define COST_ALTGR    4u
#define COST_FAR_KEY  16u /* what few guests know, such as a key for "(" */
#define COST_DEAD_KEY 32u

/* What is asked for. Num Lock only for the keys of the keypad, which have two keysyms each. */
static const struct level {
	bool shift, altgr, num_lock;
} levels[] = {
	{ .shift = false },
	{ .num_lock = true },
	{ .shift = true },
	{ .altgr = true },
	{ .shift = true, .altgr = true },
};
#define LEVELS (sizeof(levels) / sizeof(levels[0]))

/* ---- keys ---- */

static bool is_keypad(uint32_t keysym)
{
	return keysym >= XKB_KEY_KP_Space && keysym <= XKB_KEY_KP_Equal;
}

static bool is_modifier(uint32_t keysym)
{
	return keysym >= XKB_KEY_Shift_L && keysym <= XKB_KEY_Hyper_R;
}

/* Keys that only keyboards of some countries have. */
static bool is_odd(unsigned code)
{
	return code == KEY_102ND || code == KEY_RO || code == KEY_YEN;
}

/* Codes without a key, by which XKB has virtual modifiers on all keyboards. */
static bool is_virtual(unsigned code)
{
	return code == 84 || (code >= 195 && code <= 199);
}

static unsigned stroke_cost(const struct seat_stroke *stroke)
{
	unsigned cost = 0;

	if (stroke->shift)
		cost += COST_SHIFT;
	if (stroke->altgr)
		cost += COST_ALTGR;
	if (is_odd(stroke->code))
		cost += COST_ODD_KEY;
	else if (stroke->code > KEY_SPACE)
		cost += COST_FAR_KEY;
	return cost;
}

/* ---- tables ---- */

/* The cheapest of one keysym comes first, and of equals the one with the lower code. */
static int rank_keysyms(const void *a, const void *b)
{
	const struct keysym_row *left = a, *right = b;
	int order = (left->keysym > right->keysym) - (left->keysym < right->keysym);

	if (order == 0)
		order = (left->cost > right->cost) - (left->cost < right->cost);
	return order ? order : (int)left->stroke.code - (int)right->stroke.code;
}

static int rank_characters(const void *a, const void *b)
{
	const struct character_row *left = a, *right = b;
	int order = (left->codepoint > right->codepoint) - (left->codepoint < right->codepoint);

	if (order == 0)
		order = (left->cost > right->cost) - (left->cost < right->cost);
	return order ? order : (int)left->strokes[0].code - (int)right->strokes[0].code;
}

static void settle_keysyms(struct seat_keymap *keymap)
{
	struct keysym_row *rows = keymap->keysyms;
	size_t kept = 0;

	qsort(rows, keymap->keysym_count, sizeof(*rows), rank_keysyms);
	for (size_t i = 0; i < keymap->keysym_count; i++) {
		if (kept == 0 || rows[kept - 1].keysym != rows[i].keysym)
			rows[kept++] = rows[i];
	}
	keymap->keysym_count = kept;
}

static void settle_characters(struct seat_keymap *keymap)
{
	struct character_row *rows = keymap->characters;
	size_t kept = 0;

	qsort(rows, keymap->character_count, sizeof(*rows), rank_characters);
	for (size_t i = 0; i < keymap->character_count; i++) {
		if (kept == 0 || rows[kept - 1].codepoint != rows[i].codepoint)
			rows[kept++] = rows[i];
	}
	keymap->character_count = kept;
}

/* ---- from a keyboard to the tables ---- */

static void add_key(struct seat_keymap *keymap, uint32_t keysym, const struct level *level, unsigned code)
{
	const struct seat_stroke stroke = { .code = (uint16_t)code,
					    .shift = level->shift,
					    .altgr = level->altgr };
	uint32_t codepoint = seat_keysym_codepoint(keysym);
	unsigned cost = stroke_cost(&stroke);

	if (level->num_lock && !is_keypad(keysym))
		return;
	/* A modifier is not another one because of those that are held. */
	if (is_modifier(keysym) && (stroke.shift || stroke.altgr))
		return;
	keymap->keysyms[keymap->keysym_count++] =
		(struct keysym_row){ .keysym = keysym, .cost = cost, .stroke = stroke };
	if (codepoint && cost < COST_FAR_KEY)
		keymap->characters[keymap->character_count++] = (struct character_row){
			.codepoint = codepoint, .cost = cost, .stroke_count = 1, .strokes = { stroke }
		};
}

static void press(struct xkb_state *keyboard, unsigned code)
{
	xkb_state_update_key(keyboard, XKB_FIRST + code, XKB_KEY_DOWN);
}

/* Returns 0 or -ENOMEM. */
static int read_level(struct seat_keymap *keymap, struct xkb_keymap *source, const struct level *level)
{
	struct xkb_state *keyboard = xkb_state_new(source);
	xkb_keycode_t first = xkb_keymap_min_keycode(source), last = xkb_keymap_max_keycode(source);

	if (!keyboard)
		return -ENOMEM;
	if (level->shift)
		press(keyboard, KEY_LEFTSHIFT);
	if (level->altgr)
		press(keyboard, KEY_RIGHTALT);
	if (level->num_lock)
		press(keyboard, KEY_NUMLOCK);
	for (xkb_keycode_t key = first; key <= last && key < XKB_FIRST + KEY_CNT; key++) {
		const xkb_keysym_t *keysyms;

		if (key <= XKB_FIRST || is_virtual(key - XKB_FIRST))
			continue;
		if (xkb_state_key_get_syms(keyboard, key, &keysyms) == 1 && keysyms[0] != XKB_KEY_NoSymbol)
			add_key(keymap, keysyms[0], level, key - XKB_FIRST);
	}
	xkb_state_unref(keyboard);
	return 0;
}

/* Otherwise the right Alt is an Alt, and is never held for a character. */
static bool has_altgr(struct xkb_keymap *source)
{
	const xkb_keysym_t *keysyms;

	return xkb_keymap_key_get_syms_by_level(source, XKB_FIRST + KEY_RIGHTALT, 0, 0, &keysyms) == 1 &&
	       keysyms[0] == XKB_KEY_ISO_Level3_Shift;
}

static void add_function(struct seat_keymap *keymap, uint32_t codepoint, uint32_t keysym)
{
	const struct keysym_row *row = seat_keymap_keysym(keymap, keysym);

	if (row)
		keymap->characters[keymap->character_count++] =
			(struct character_row){ .codepoint = codepoint,
						.cost = row->cost,
						.stroke_count = 1,
						.strokes = { row->stroke } };
}

static void add_accent(struct seat_keymap *keymap, size_t settled, const struct seat_accent *accent)
{
	const struct keysym_row *dead = seat_keymap_keysym(keymap, accent->dead_keysym);

	for (const char16_t *pair = accent->pairs; dead && *pair; pair += 2) {
		const struct character_row *letter = seat_keymap_character(keymap, settled, pair[0]);

		if (letter)
			keymap->characters[keymap->character_count++] = (struct character_row){
				.codepoint = pair[1],
				.cost = COST_DEAD_KEY + dead->cost + letter->cost,
				.stroke_count = 2,
				.strokes = { dead->stroke, letter->strokes[0] },
			};
	}
}

static size_t accented_count(void)
{
	const struct seat_accent *accent;
	size_t count = 0;

	for (size_t i = 0; (accent = seat_accent_at(i)); i++)
		for (const char16_t *pair = accent->pairs; *pair; pair += 2)
			count++;
	return count;
}

int seat_keymap_read(struct seat_keymap *keymap, struct xkb_keymap *source)
{
	size_t rows_max = LEVELS * KEY_CNT, settled;
	bool altgr = has_altgr(source);
	int code = 0;

	keymap->keysyms = calloc(rows_max, sizeof(*keymap->keysyms));
	/* Two more for Enter and Tab. */
	keymap->characters = calloc(rows_max + 2 + accented_count(), sizeof(*keymap->characters));
	if (!keymap->keysyms || !keymap->characters)
		return -ENOMEM;
	for (size_t i = 0; i < LEVELS && !code; i++) {
		if (altgr || !levels[i].altgr)
			code = read_level(keymap, source, &levels[i]);
	}
	if (code)
		return code;
	settle_keysyms(keymap);
	settle_characters(keymap);
	settled = keymap->character_count;
	if (settled < CHARACTERS_MIN)
		return -EINVAL;
	add_function(keymap, '\n', XKB_KEY_Return);
	add_function(keymap, '\t', XKB_KEY_Tab);
	for (size_t i = 0; seat_accent_at(i); i++)
		add_accent(keymap, settled, seat_accent_at(i));
	settle_characters(keymap);
	return 0;
}
