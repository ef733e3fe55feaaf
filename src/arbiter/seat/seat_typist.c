/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/seat/seat_typist.h"

#include <assert.h>
#include <errno.h>

#include "arbiter/seat/seat_keymap.h"
#include "arbiter/seat/seat_private.h"

/* A stroke in the ring: the code, and above it the modifiers. */
#define RING_SHIFT 0x4000u
#define RING_ALTGR 0x8000u
#define RING_CODE  0x3fffu
static_assert(KEY_CNT <= RING_CODE, "a code leaves room for the modifiers");

static const unsigned modifiers[] = { KEY_LEFTSHIFT, KEY_RIGHTALT };
#define MODIFIER_COUNT (sizeof(modifiers) / sizeof(modifiers[0]))

void seat_typist_init(struct seat_typist *typist, struct seat *seat, const struct seat_keymap *keymap)
{
	typist->seat = seat;
	typist->keymap = keymap;
	/* The ring is not touched, so that one that is never used costs no memory. */
	typist->focus_changes = 0;
	typist->code = 0;
	typist->waited_ns = 0;
	typist->first = typist->count = 0;
	typist->typed = typist->dropped = 0;
}

size_t seat_typist_left(const struct seat_typist *typist)
{
	return typist->count;
}

/* ---- what waits ---- */

static void drop(struct seat_typist *typist)
{
	typist->dropped += typist->count;
	typist->first = 0;
	typist->count = 0;
}

/* Returns false when the focus has gone: the seat has let the keys up, and the rest is dropped. */
static bool keep_focus(struct seat_typist *typist)
{
	if (typist->focus_changes == typist->seat->focus_changes)
		return true;
	typist->code = 0;
	drop(typist);
	return false;
}

/* Returns the bytes of the first character (RFC 3629, 4), 0: it is none. */
static size_t utf8_take(const unsigned char *text, size_t bytes, uint32_t *ret_codepoint)
{
	static const struct {
		unsigned char mask, mark;
		uint32_t least;
	} forms[] = {
		{ 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 }
	};
	size_t more = 0;
	uint32_t codepoint;

	while (more < 4 && (text[0] & forms[more].mask) != forms[more].mark)
		more++;
	if (more == 4 || more >= bytes)
		return 0;
	codepoint = text[0] & (unsigned char)~forms[more].mask;
	for (size_t i = 1; i <= more; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		codepoint = codepoint << 6 | (text[i] & 0x3fu);
	}
	/* Written longer than need be, a surrogate, or more than there are. */
	if (codepoint < forms[more].least || (codepoint >> 11) == 0x1b || codepoint > 0x10ffff)
		return 0;
	*ret_codepoint = codepoint;
	return more + 1;
}

/* Writes behind what waits and `added` more strokes, which do not count yet. */
static void put(struct seat_typist *typist, size_t added, const struct seat_stroke *stroke)
{
	size_t place = (typist->first + typist->count + added) % SEAT_TYPE_MAX;

	typist->ring[place] = (uint16_t)(stroke->code | (stroke->shift ? RING_SHIFT : 0) |
					 (stroke->altgr ? RING_ALTGR : 0));
}

int seat_typist_add(struct seat_typist *typist, const char *utf8, size_t bytes, size_t *ret_bad_offset)
{
	const unsigned char *text = (const unsigned char *)utf8;
	struct seat_stroke strokes[SEAT_STROKES_MAX];
	size_t added = 0, length;
	uint32_t codepoint;

	keep_focus(typist);
	if (!seat_focus(typist->seat))
		return -ENOENT;
	for (size_t offset = 0; offset < bytes; offset += length) {
		unsigned stroke_count;

		length = utf8_take(text + offset, bytes - offset, &codepoint);
		stroke_count = length ? seat_keymap_spell(typist->keymap, codepoint, strokes) : 0;
		if (stroke_count == 0) {
			*ret_bad_offset = offset;
			return length ? -ENOTSUP : -EILSEQ;
		}
		if (stroke_count > SEAT_TYPE_MAX - typist->count - added)
			return -ENOSPC;
		for (unsigned i = 0; i < stroke_count; i++)
			put(typist, added++, &strokes[i]);
	}
	typist->count += added;
	typist->focus_changes = typist->seat->focus_changes;
	return 0;
}

/* ---- keys ---- */

/* Moves one modifier that is not as the stroke wants it. Returns false when all are. */
static bool move_modifier(struct seat_typist *typist, unsigned stroke)
{
	const bool wanted[MODIFIER_COUNT] = { stroke & RING_SHIFT, stroke & RING_ALTGR };

	for (size_t i = 0; i < MODIFIER_COUNT; i++) {
		if (typist->seat->typed[modifiers[i]] == wanted[i])
			continue;
		seat_type_key(typist->seat, modifiers[i], wanted[i]);
		return true;
	}
	return false;
}

static void press(struct seat_typist *typist)
{
	unsigned stroke = typist->ring[typist->first];

	if (move_modifier(typist, stroke))
		return;
	typist->code = stroke & RING_CODE;
	seat_type_key(typist->seat, typist->code, true);
	typist->first = (typist->first + 1) % SEAT_TYPE_MAX;
	typist->count--;
	typist->typed++;
}

static void let_up(struct seat_typist *typist)
{
	seat_type_key(typist->seat, typist->code, false);
	typist->code = 0;
}

static bool is_idle(const struct seat_typist *typist)
{
	const bool *typed = typist->seat->typed;

	return typist->count == 0 && typist->code == 0 && !typed[KEY_LEFTSHIFT] && !typed[KEY_RIGHTALT];
}

bool seat_typist_step(struct seat_typist *typist)
{
	if (!keep_focus(typist))
		return false;
	if (seat_focus_pace(typist->seat) == SEAT_PACE_WAIT) {
		typist->waited_ns += seat_typist_step_ns(typist);
		return true;
	}
	typist->waited_ns = 0;
	if (typist->code)
		let_up(typist);
	else if (typist->count && !seat_holds_keys(typist->seat))
		press(typist);
	else
		move_modifier(typist, 0);
	return !is_idle(typist);
}

uint64_t seat_typist_step_ns(const struct seat_typist *typist)
{
	enum seat_pace pace = seat_focus_pace(typist->seat);
	uint64_t wait_ns = typist->waited_ns / 8;

	if (pace == SEAT_PACE_UNKNOWN)
		return SEAT_TYPE_STEP_NS;
	if (pace == SEAT_PACE_GO || wait_ns < SEAT_TYPE_PACED_STEP_NS)
		return SEAT_TYPE_PACED_STEP_NS;
	return wait_ns < SEAT_TYPE_WAIT_NS ? wait_ns : SEAT_TYPE_WAIT_NS;
}

void seat_typist_stop(struct seat_typist *typist)
{
	if (!keep_focus(typist))
		return;
	drop(typist);
	if (typist->code)
		let_up(typist);
	while (move_modifier(typist, 0))
		;
}
