/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The terminal as a wire: each key is a byte, and none of them means anything here. Signals of others come as
 * events. However the program ends, the terminal is given back as it was found. One at a time in a process.
 */
#ifndef VIADUCT_CLI_CONSOLE_RAW_TERMINAL_H
#define VIADUCT_CLI_CONSOLE_RAW_TERMINAL_H

#include <stdbool.h>

struct raw_terminal;

enum raw_terminal_event {
	RAW_TERMINAL_NOTHING,
	RAW_TERMINAL_RESIZED,
	RAW_TERMINAL_ENDED, /* a signal wants the program to end */
};

/*
 * Standard input becomes raw if it is a terminal, and stays what it is otherwise. Returns 0 or -errno. From
 * now on signals are events.
 */
int raw_terminal_create(struct raw_terminal **ret_terminal);
/* Gives the terminal back. NULL is allowed. */
void raw_terminal_destroy(struct raw_terminal *terminal);

/* Is standard input a terminal? */
bool raw_terminal_is_raw(const struct raw_terminal *terminal);
/* Readable when there is an event. */
int raw_terminal_fd(const struct raw_terminal *terminal);
/* The next event. One that stops the program does so inside, with the terminal given back meanwhile. */
enum raw_terminal_event raw_terminal_take(struct raw_terminal *terminal);
/* The signal behind RAW_TERMINAL_ENDED; 0: none, or an interrupt from the keyboard. */
int raw_terminal_end_signal(const struct raw_terminal *terminal);

#endif
