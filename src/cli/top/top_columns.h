/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The columns of `viaduct top`: what each shows, and in how few characters. Pure. */
#ifndef VIADUCT_CLI_TOP_TOP_COLUMNS_H
#define VIADUCT_CLI_TOP_TOP_COLUMNS_H

#include "cli/table.h"
#include "cli/top/top_rates.h"

#define TOP_CELL_MAX 64	/* room for every cell but names */

struct top_column {
	const char *key;	/* for --sort */
	const char *title;
	size_t width;		/* the least that it needs; exact for numbers */
	size_t from_width;	/* shown on screens as wide as this */
	/* What is sorted by; NULL: names. */
	double (*value)(const struct top_row *row);
	/*
	 * Writes the cell, at most `width` characters, all ASCII. NULL: the bar and the name, whose width
	 * varies.
	 */
	void (*print)(char cell[TOP_CELL_MAX], size_t width, double value);
	bool rate;		/* unknown until measured */
	enum table_style alarm;	/* style of a value above 0 */
};

#define TOP_COLUMNS    19
#define TOP_COLUMN_BAR 4

/* In the order of the screen, the name first; ended by a zero entry. */
extern const struct top_column top_columns[TOP_COLUMNS + 1];

/* The column that --sort calls `key`, or TOP_NO_COLUMN. */
#define TOP_NO_COLUMN ((unsigned)-1)
unsigned top_column_find(const char *key);

/* "98765", "1234k", "12M": `width` characters at most (4 or more), `decimals` when there is room. */
void top_number(char *cell, size_t width, double value, unsigned decimals);

/*
 * `width` characters (below TOP_CELL_MAX): '#' for `part` of 1, '[' where the reservation ends, ']' where the
 * limit is, blank behind the limit. Marks of 0 are left out.
 */
void top_bar(char *cell, size_t width, double part, double reservation, double limit);

#endif
