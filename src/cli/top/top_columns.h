/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The columns of `viaduct top`: what each shows, and in how few characters. Pure. */
#ifndef VIADUCT_CLI_TOP_TOP_COLUMNS_H
#define VIADUCT_CLI_TOP_TOP_COLUMNS_H

#include "cli/table.h"
#include "cli/top/top_rates.h"

#define TOP_CELL_MAX 64	/* room for every cell but names */

/* Those of all resources. Which ones a resource has, and where: struct top_shown. */
enum top_column_id {
	TOP_COLUMN_NAME,
	TOP_COLUMN_IOPS,
	TOP_COLUMN_MBS,
	TOP_COLUMN_TX,
	TOP_COLUMN_RX,
	TOP_COLUMN_TXMB,
	TOP_COLUMN_RXMB,
	TOP_COLUMN_DEV,
	TOP_COLUMN_BAR,
	TOP_COLUMN_GOT,
	TOP_COLUMN_DUE,
	TOP_COLUMN_CPU,
	TOP_COLUMN_THR,
	TOP_COLUMN_CON,
	TOP_COLUMN_P99,
	TOP_COLUMN_ERR,
	TOP_COLUMN_REF,
	TOP_COLUMN_DROP,
	TOP_COLUMN_WAIT,
	TOP_COLUMN_WEIGHT,
	TOP_COLUMN_MIN,
	TOP_COLUMN_MAX,
	TOP_COLUMN_MINMB,
	TOP_COLUMN_MAXMB,
	TOP_COLUMN_PPS,
	TOP_COLUMN_READ,
	TOP_COLUMN_WRITE,
	TOP_COLUMNS
};

struct top_column {
	const char *key;	/* for --sort */
	const char *title;
	size_t width;		/* the least that it needs; exact for numbers */
	size_t member;		/* what is sorted by: TOP_MEMBER() or TOP_BY_NAME */
	/*
	 * Writes the cell, at most `width` characters, all ASCII. NULL: the bar and the name, whose width
	 * varies.
	 */
	void (*print)(char cell[TOP_CELL_MAX], size_t width, double value);
	bool rate;		/* unknown until measured */
	enum table_style alarm;	/* style of a value above 0; 0 is plain */
};

#define TOP_BY_NAME SIZE_MAX

extern const struct top_column top_columns[TOP_COLUMNS];

/* A column on the screen. Tables of these are in the screen's order. */
struct top_shown {
	enum top_column_id column;	/* TOP_COLUMNS ends a table */
	size_t from_width;		/* on screens as wide as this */
};

static inline bool top_shown_ends(const struct top_shown *shown)
{
	return shown->column == TOP_COLUMNS;
}

/* The column that --sort calls `key`, or TOP_COLUMNS: there is none. */
enum top_column_id top_column_find(const char *key);

/* "98765", "1234k", "12M": `width` characters at most (4 or more), `decimals` when there is room. */
void top_number(char *cell, size_t width, double value, unsigned decimals);

/*
 * `width` characters (below TOP_CELL_MAX): '#' for `part` of 1, '[' where the reservation ends, ']' where the
 * limit is, blank behind the limit. Marks of 0 are left out.
 */
void top_bar(char *cell, size_t width, double part, double reservation, double limit);

#endif
