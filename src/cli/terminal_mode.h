/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mode that the terminal is in while the program runs, and signals as events. However the program ends (a
 * signal, a failed assertion too), the terminal is given back as it was found. One at a time in a process.
 */
#ifndef VIADUCT_CLI_TERMINAL_MODE_H
#define VIADUCT_CLI_TERMINAL_MODE_H

#include <stdbool.h>

struct terminal_mode;

enum terminal_mode_kind {
	TERMINAL_WIRE,	 /* each key is a byte, and none of them means anything here */
	TERMINAL_SCREEN, /* a screen to draw on; keys come at once and are not shown, ^C and ^Z are signals */
};

enum terminal_event {
	TERMINAL_NOTHING,
	TERMINAL_RESIZED,
	TERMINAL_ENDED, /* a signal wants the program to end */
};

/*
 * Standard input gets the mode if it is a terminal, and stays what it is otherwise. Returns 0 or -errno. From
 * now on signals are events.
 */
int terminal_mode_create(enum terminal_mode_kind kind, struct terminal_mode **ret_terminal);
/* Gives the terminal back. NULL is allowed. */
void terminal_mode_destroy(struct terminal_mode *terminal);

/* Is standard input a terminal? */
bool terminal_mode_is_on(const struct terminal_mode *terminal);
/* Readable when there is an event. */
int terminal_mode_fd(const struct terminal_mode *terminal);
/* The next event. One that stops the program does so inside, with the terminal given back meanwhile. */
enum terminal_event terminal_mode_take(struct terminal_mode *terminal);
/* The signal behind TERMINAL_ENDED; 0: none, or an interrupt from the keyboard. */
int terminal_mode_end_signal(const struct terminal_mode *terminal);
/* Writes all of a string to standard output, whatever interrupts it. Async-signal-safe. */
void terminal_mode_write(const char *bytes);

#endif
