/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cuts the text of a configuration file into its lines: [section name], key = value, blank and comment
 * lines. Pure: bytes in, lines out; this is what the fuzzer calls.
 *
 * A comment starts with # or ; at the start of a line or after white space. White space around names and
 * values does not count. There are no quotes, escapes or continued lines. Own code, because the inih that
 * Debian packages tells neither line numbers nor empty sections, which good error messages need.
 */
#ifndef VIADUCT_DAEMON_CONFIG_CONFIG_LINES_H
#define VIADUCT_DAEMON_CONFIG_CONFIG_LINES_H

#include <stdbool.h>
#include <stddef.h>

/* A line holds at most a path (PATH_MAX is 4096) and its key. */
#define CONFIG_LINE_MAX 4352

enum config_line_kind {
	CONFIG_LINE_SECTION,	/* name: the section's word, value: the object's name or "" */
	CONFIG_LINE_KEY,	/* name, value */
	CONFIG_LINE_BAD,	/* problem: a sentence */
};

struct config_line {
	enum config_line_kind kind;
	unsigned number;	/* from 1 */
	const char *name, *value;	/* into text[] */
	const char *problem;
	char text[CONFIG_LINE_MAX];
};

struct config_lines {
	const char *bytes;
	size_t length, position;
	unsigned number;
};

/* The bytes need no final NUL and outlive the reader. */
void config_lines_init(struct config_lines *lines, const char *bytes, size_t length);

/* The next line that is neither blank nor a comment; false at the end. */
bool config_lines_next(struct config_lines *lines, struct config_line *ret_line);

#endif
