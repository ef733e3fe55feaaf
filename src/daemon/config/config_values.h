/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values of the configuration: text in, number out, or -EINVAL/-ERANGE. Pure. */
#ifndef VIADUCT_DAEMON_CONFIG_CONFIG_VALUES_H
#define VIADUCT_DAEMON_CONFIG_CONFIG_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits only. -EINVAL: not a number; -ERANGE: beyond 64 bits. */
int value_parse_number(const char *text, uint64_t *ret_number);

/* A number of bytes, or with K, M, G or T (powers of 1024; an optional "iB" or "B" behind it). */
int value_parse_size(const char *text, uint64_t *ret_bytes);

/* yes, no, true, false, on, off, 1, 0. */
int value_parse_boolean(const char *text, bool *ret_value);

/* Octal permission bits, 0 … 0777. */
int value_parse_mode(const char *text, unsigned *ret_mode);

/* "8G", "1536M", "512": exact, in the largest unit that divides. Returns the buffer. */
#define VALUE_SIZE_TEXT 32
const char *value_format_size(uint64_t bytes, char buffer[VALUE_SIZE_TEXT]);

/*
 * A guest's, pool's or disk's own name: 1 … max characters of [A-Za-z0-9._-], not starting with '.' or '-'.
 */
bool value_is_name(const char *text, size_t length, size_t max);

/* Both may be NULL: no text. */
bool value_same_text(const char *one, const char *other);

/* The candidate that `text` was probably meant to be (few edits away), or NULL. */
struct value_nearest {
	const char *text, *best;
	unsigned best_distance;
};
void value_nearest_init(struct value_nearest *nearest, const char *text);
void value_nearest_offer(struct value_nearest *nearest, const char *candidate);

#endif
