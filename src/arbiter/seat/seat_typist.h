/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The typist types text into the window that has the focus, as a way for text into a guest that has nothing
 * to receive it with. The guest's layout must be the keymap's, and its Caps Lock off: a seat cannot see
 * either.
 *
 * Text is for the window that had the focus when it was added. When that loses the focus, if only for a
 * moment, the rest is dropped. While the user holds a key, typing waits: a Ctrl that is held would make
 * commands of letters. Keys of the typist's are never the seat's own (seat.h), and a key that the user
 * holds, too, stays down until the user lets it up.
 *
 * It has neither a thread nor a timer: its owner calls seat_typist_step() until that returns false, as often
 * as seat_typist_step_ns() says. One thread at a time, which is the seat's.
 */
#ifndef VIADUCT_ARBITER_SEAT_SEAT_TYPIST_H
#define VIADUCT_ARBITER_SEAT_SEAT_TYPIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A stroke is two steps, down and up, and one more for each modifier that changes. Guests' queues for input
 * hold as little as two events (QEMU), and slow guests drop what comes faster: so this is the pace, unless
 * the window tells how the guest takes its keys. Then the guest sets it, up to twice as fast.
 */
#define SEAT_TYPE_NS		10000000ull
#define SEAT_TYPE_STEP_NS	(SEAT_TYPE_NS / 2)
#define SEAT_TYPE_PACED_STEP_NS (SEAT_TYPE_STEP_NS / 2)
/* A guest that takes nothing is looked at after an eighth of the time that it has not, up to this. */
#define SEAT_TYPE_WAIT_NS 50000000ull
/* Strokes that wait: 11 minutes of typing. */
#define SEAT_TYPE_MAX 65536u

struct seat;
struct seat_keymap;

/* Large: not for a stack. All is private but the counters. */
struct seat_typist {
	struct seat *seat;
	const struct seat_keymap *keymap;
	uint64_t focus_changes; /* the seat's, when the text was added */
	unsigned code;		/* the key that is down, 0: none */
	uint64_t waited_ns;	/* since the guest took a key */
	size_t first, count;	/* what waits in the ring */
	uint16_t ring[SEAT_TYPE_MAX];

	uint64_t typed, dropped; /* strokes since the beginning */
};

/* Both outlive the typist; of a seat there is one. */
void seat_typist_init(struct seat_typist *typist, struct seat *seat, const struct seat_keymap *keymap);

/*
 * Appends a text to what waits, all of it or nothing. Returns 0, or
 * -EILSEQ: it is not UTF-8, from *ret_bad_offset on (bytes);
 * -ENOTSUP: the character there cannot be typed, as all control characters but '\n' and '\t';
 * -ENOSPC: there is no room for so many strokes;
 * -ENOENT: no window has the focus.
 */
int seat_typist_add(struct seat_typist *typist, const char *utf8, size_t bytes, size_t *ret_bad_offset);

/*
 * One key goes down or comes up; or none, as the user holds one, or the guest has not taken those of before.
 * Returns false when nothing is left to do.
 */
bool seat_typist_step(struct seat_typist *typist);
/* From now to the next step. */
uint64_t seat_typist_step_ns(const struct seat_typist *typist);

/*
 * Drops the rest and lets all keys up. A guest that was given a dead key last applies it to what the user
 * types next.
 */
void seat_typist_stop(struct seat_typist *typist);

/* Strokes that wait. */
size_t seat_typist_left(const struct seat_typist *typist);

#endif
