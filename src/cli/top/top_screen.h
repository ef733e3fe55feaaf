/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A view (top_rates.h) as lines of text: what `viaduct top` shows. Pure. */
#ifndef VIADUCT_CLI_TOP_TOP_SCREEN_H
#define VIADUCT_CLI_TOP_TOP_SCREEN_H

#include <stdio.h>

#include "cli/top/top_columns.h"

struct top_screen {
	size_t width;		/* no line is wider; 0: as wide as everything needs */
	size_t height;		/* as many lines, the last one with the keys; 0: all rows and no keys */
	bool colour;
	enum top_kind kind;
	enum top_column_id sort;
	bool reverse;
	size_t scroll;		/* rows above the first one shown */
	bool paused;
	uint64_t interval_ns;
	const char *trouble;	/* why there are no newer figures, or NULL */
};

/*
 * By the screen's column, the largest first, names from A; reversed when asked. Equal rows: by operations,
 * then name.
 */
void top_sort(struct top_view *view, const struct top_screen *screen);

/* Rows that the screen has room for; all when it has no height. */
size_t top_rows_shown(const struct top_view *view, const struct top_screen *screen);

/* Writes the lines, each ended by a line break. The view is sorted already. */
void top_draw(const struct top_view *view, const struct top_screen *screen, FILE *out);

#endif
