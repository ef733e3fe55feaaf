/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What another program says of itself. */
#ifndef VIADUCT_CLI_PROGRAM_OUTPUT_H
#define VIADUCT_CLI_PROGRAM_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Runs the program at that path with one argument ("--version"), or an option and its value (NULL: without
 * one), and waits for its end. `text`: what it printed on standard output, as far as there is room. False: it
 * could not be started at all.
 */
bool program_output(const char *program, const char *argument, const char *value, char *text, size_t room);

#endif
