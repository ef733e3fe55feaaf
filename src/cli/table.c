/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/text.h"

#define GAP	   2	/* columns between two cells */
#define SHRUNK_MIN 10	/* a shrunk column keeps at least this much */

struct cell {
	char *text;
	enum table_style style;
};

struct table {
	struct table_column *columns;
	size_t column_count;
	struct cell *cells;	/* row by row */
	size_t row_count, filled;	/* cells set in the last row */
};

static void *need(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

struct table *table_create(const struct table_column *columns, size_t column_count)
{
	struct table *table = need(calloc(1, sizeof(*table)));

	table->columns = need(calloc(column_count, sizeof(*columns)));
	memcpy(table->columns, columns, column_count * sizeof(*columns));
	table->column_count = column_count;
	return table;
}

void table_destroy(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->row_count * table->column_count; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table->columns);
	free(table);
}

void table_row(struct table *table)
{
	size_t row_bytes = table->column_count * sizeof(*table->cells);

	table->cells = need(realloc(table->cells, (table->row_count + 1) * row_bytes));
	memset((char *)table->cells + table->row_count * row_bytes, 0, row_bytes);
	table->row_count++;
	table->filled = 0;
}

void table_cell(struct table *table, enum table_style style, const char *format, ...)
{
	struct cell *cell;
	va_list arguments;

	assert(table->row_count > 0 && table->filled < table->column_count);
	cell = &table->cells[(table->row_count - 1) * table->column_count + table->filled++];
	va_start(arguments, format);
	if (vasprintf(&cell->text, format, arguments) < 0)
		abort();
	va_end(arguments);
	cell->style = style;
}

size_t table_row_count(const struct table *table)
{
	return table->row_count;
}

const char *table_style_begin(enum table_style style, bool colour)
{
	static const char *const sequence[] = {
		[TABLE_PLAIN] = "",
		[TABLE_BOLD] = "\033[1m",
		[TABLE_DIM] = "\033[2m",
		[TABLE_GOOD] = "\033[32m",
		[TABLE_WARNING] = "\033[33m",
		[TABLE_BAD] = "\033[1;31m",
	};

	return colour ? sequence[style] : "";
}

const char *table_style_end(bool colour)
{
	return colour ? "\033[0m" : "";
}

static void measure(const struct table *table, size_t *widths)
{
	for (size_t c = 0; c < table->column_count; c++)
		widths[c] = text_columns(table->columns[c].title);
	for (size_t i = 0; i < table->row_count * table->column_count; i++) {
		size_t columns = table->cells[i].text ? text_columns(table->cells[i].text) : 0;

		if (columns > widths[i % table->column_count])
			widths[i % table->column_count] = columns;
	}
}

/* Takes columns away from the widest shrinkable one, one by one, until the table fits or nothing is left. */
static void shrink(const struct table *table, size_t *widths, size_t width)
{
	size_t total = GAP * (table->column_count - 1);

	for (size_t c = 0; c < table->column_count; c++)
		total += widths[c];
	while (total > width) {
		size_t widest = table->column_count;

		for (size_t c = 0; c < table->column_count; c++) {
			if (table->columns[c].shrink && widths[c] > SHRUNK_MIN &&
			    (widest == table->column_count || widths[c] > widths[widest]))
				widest = c;
		}
		if (widest == table->column_count)
			return;
		widths[widest]--;
		total--;
	}
}

static void print_cell(FILE *out, const char *text, size_t width, bool right, bool last, const char *begin,
		       const char *end)
{
	size_t columns = text_columns(text), bytes = strlen(text);
	bool cut = columns > width;
	int padding;

	if (cut) {
		bytes = text_cut(text, width - 1);
		columns = width;
	}
	padding = (int)(width - columns);
	fprintf(out, "%*s%s%.*s%s%s", right ? padding : 0, "", begin, (int)bytes, text, cut ? "…" : "", end);
	if (!last)
		fprintf(out, "%*s", (right ? 0 : padding) + GAP, "");
}

void table_print(const struct table *table, FILE *out, size_t width, bool colour)
{
	size_t *widths = need(calloc(table->column_count, sizeof(*widths)));

	measure(table, widths);
	if (width > 0)
		shrink(table, widths, width);
	for (size_t c = 0; c < table->column_count; c++)
		print_cell(out, table->columns[c].title, widths[c], table->columns[c].right,
			   c + 1 == table->column_count, table_style_begin(TABLE_BOLD, colour),
			   table_style_end(colour));
	fputc('\n', out);
	for (size_t i = 0; i < table->row_count * table->column_count; i++) {
		size_t c = i % table->column_count;
		const struct cell *cell = &table->cells[i];
		bool styled = colour && cell->style != TABLE_PLAIN;

		print_cell(out, cell->text ? cell->text : "", widths[c], table->columns[c].right,
			   c + 1 == table->column_count, table_style_begin(cell->style, styled),
			   table_style_end(styled));
		if (c + 1 == table->column_count)
			fputc('\n', out);
	}
	free(widths);
}
