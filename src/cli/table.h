/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Aligned tables on a terminal or in a file. Numbers stand right, words left. Colours appear only when asked
 * for, and never change the alignment. When a table is wider than the terminal, its widest shrinkable
 * columns are cut and end in "…"; into a file nothing is cut.
 */
#ifndef VIADUCT_CLI_TABLE_H
#define VIADUCT_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum table_style { TABLE_PLAIN, TABLE_BOLD, TABLE_DIM, TABLE_GOOD, TABLE_WARNING, TABLE_BAD };

struct table_column {
	const char *title;
	bool right;	/* align right: numbers */
	bool shrink;	/* may be cut when the terminal is too narrow */
};

struct table;

/* Columns are copied, titles are not. Aborts when memory is exhausted, as everything here. */
struct table *table_create(const struct table_column *columns, size_t column_count);
void table_destroy(struct table *table);

/* Starts a row; cells that are not set stay empty. */
void table_row(struct table *table);
/* Sets the next cell of the current row; the text is formatted and copied. */
void table_cell(struct table *table, enum table_style style, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
size_t table_row_count(const struct table *table);

/* width 0: unlimited. Nothing is printed but the titles when there are no rows. */
void table_print(const struct table *table, FILE *out, size_t width, bool colour);

/* The escape sequence of a style, or "" without colour. table_style_end() ends it. */
const char *table_style_begin(enum table_style style, bool colour);
const char *table_style_end(bool colour);

#endif
