/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers as people write and read them: sizes in powers of 1024, durations, and the nearest of some words.
 */
#ifndef VIADUCT_CLI_TEXT_H
#define VIADUCT_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for every number below. */
#define TEXT_NUMBER_MAX 32

/* "0", "512 B", "1.4 MiB", "8 GiB": exact values without a fraction. Returns `buffer`. */
char *text_size(char buffer[TEXT_NUMBER_MAX], uint64_t bytes);

/* "640 ns", "12.3 us", "4.5 ms", "1.2 s", "3 min 20 s". Returns `buffer`. */
char *text_duration(char buffer[TEXT_NUMBER_MAX], uint64_t ns);

/* "12345" as "12 345": digits in groups of three. Returns `buffer`. */
char *text_count(char buffer[TEXT_NUMBER_MAX], uint64_t count);

/*
 * Parses "4096", "512K", "1.5G", "8GiB" (K, M, G, T, P: powers of 1024; lower case too). -EINVAL: not a size;
 * -ERANGE: more than 2^63 - 1.
 */
int text_size_parse(const char *text, uint64_t *ret_bytes);

/* How many letters to insert, remove, change or swap with a neighbour to make `a` of `b`. */
unsigned text_distance(const char *a, const char *b);

/* Columns that UTF-8 text takes on a terminal, one a code point. */
size_t text_columns(const char *text);

/* Bytes of the longest beginning of `text` that is at most `columns` wide and ends with a whole character. */
size_t text_cut(const char *text, size_t columns);

#endif
