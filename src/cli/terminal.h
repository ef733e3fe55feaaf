/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The terminal as a screen to draw on: alternate screen, keys without echo, signals as events. Whatever ends
 * the program (a signal, a failed assertion too), the terminal is given back as it was found. One at a time
 * in a process.
 */
#ifndef VIADUCT_CLI_TERMINAL_H
#define VIADUCT_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct terminal;

/* What terminal_wait() returns: a printable ASCII character or one of these. */
enum terminal_key {
	KEY_NONE = 0x100,	/* time is over, or a key without a name here */
	KEY_UP, KEY_DOWN, KEY_LEFT, KEY_RIGHT, KEY_PAGE_UP, KEY_PAGE_DOWN, KEY_HOME, KEY_END,
	KEY_REDRAW,		/* another size, or back from the background */
	KEY_ENDED,		/* a signal wants us to end, or the terminal is gone */
};

/*
 * Standard input and output must be a terminal. Returns 0, -ENOTTY (also: one that cannot be drawn on), or
 * -errno.
 */
int terminal_create(struct terminal **ret_terminal);
/* Gives the terminal back. NULL is allowed. */
void terminal_destroy(struct terminal *terminal);

void terminal_size(const struct terminal *terminal, size_t *ret_width, size_t *ret_height);
/* Shows as many lines as the screen has. */
void terminal_show(struct terminal *terminal, const char *lines);

/* Waits for a key or event, at most until clock_now_ns() is until_ns. */
int terminal_wait(struct terminal *terminal, uint64_t until_ns);
/* Would terminal_wait() return something at once? */
bool terminal_pending(const struct terminal *terminal);
/* The signal behind KEY_ENDED, 0 for none or for an interrupt from the keyboard. */
int terminal_end_signal(const struct terminal *terminal);

/*
 * The first key in `bytes`, and how many of them it took: 0 when the sequence is not complete. Pure; unknown
 * sequences are KEY_NONE.
 */
int terminal_key_decode(const char *bytes, size_t length, size_t *ret_used);

#endif
