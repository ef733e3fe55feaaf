/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/top/top_screen.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/table.h"
#include "cli/text.h"
#include "cli/top/top_resource.h"
#include "core/clock.h"

#define NAME_MIN   10u
#define NAME_MAX   40u
#define BAR_MIN	   12u
#define BAR_MAX	   40u
#define MARK_WIDTH 2u	/* before a name: "+ " connected, "- " idle, "! " broken */
#define BAR_LESS   4u	/* bars of physical devices are shorter: there is more to say of them */
#define TEXT_MAX   512

/* ---- order ---- */

static int descending(double a, double b)
{
	return (a < b) - (a > b);
}

static int compare_rows(const void *left, const void *right, void *context)
{
	const struct top_screen *screen = context;
	size_t member = top_columns[screen->sort].member;
	const struct top_row *a = left, *b = right;
	int by_name = strcmp(a->name, b->name), order = by_name;

	if (member != TOP_BY_NAME)
		order = descending(top_row_value(a, member), top_row_value(b, member));

	if (screen->reverse)
		order = -order;
	if (order == 0)
		order = descending(a->operations, b->operations);
	return order ? order : by_name;
}

void top_sort(struct top_view *view, const struct top_screen *screen)
{
	struct top_screen context = *screen;

	qsort_r(view->rows, view->row_count, sizeof(*view->rows), compare_rows, &context);
}

/* ---- writing: nothing passes the screen's edges ---- */

struct pen {
	const struct top_screen *screen;
	FILE *out;
	size_t columns;		/* left in this line */
	size_t lines;		/* left on the screen */
};

static size_t line_width(const struct top_screen *screen)
{
	return screen->width ? screen->width : SIZE_MAX;
}

static void put(struct pen *pen, enum table_style style, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void put(struct pen *pen, enum table_style style, const char *format, ...)
{
	bool colour = pen->screen->colour && style != TABLE_PLAIN;
	char text[TEXT_MAX];
	va_list arguments;

	if (pen->lines == 0)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	text[text_cut(text, pen->columns)] = '\0';
	pen->columns -= text_columns(text);
	fprintf(pen->out, "%s%s%s", table_style_begin(style, colour), text, table_style_end(colour));
}

static void end_line(struct pen *pen)
{
	if (pen->lines == 0)
		return;
	fputc('\n', pen->out);
	pen->lines--;
	pen->columns = line_width(pen->screen);
}

/* ---- how wide the columns are ---- */

struct layout {
	size_t name, bar;
};

static const struct top_resource_ops *ops_of(const struct top_view *view)
{
	return top_resources[top_kinds[view->kind].resource];
}

static bool has_room(const struct top_screen *screen, const struct top_shown *shown)
{
	return screen->width == 0 || screen->width >= shown->from_width;
}

static size_t longest_name(const struct top_view *view)
{
	size_t longest = NAME_MIN;

	for (size_t i = 0; i < view->row_count; i++) {
		size_t length = strlen(view->rows[i].name);

		if (length > longest)
			longest = length;
	}
	return longest;
}

static size_t clamp(size_t value, size_t min, size_t max)
{
	return value < min ? min : value > max ? max : value;
}

/* The name grows first, then the bar; the numbers are as wide as they are. */
static struct layout lay_out(const struct top_view *view, const struct top_screen *screen)
{
	struct layout layout;
	const struct top_shown *first = ops_of(view)->shown;
	size_t used = MARK_WIDTH, left, longest = longest_name(view);

	for (const struct top_shown *shown = first; !top_shown_ends(shown); shown++) {
		const struct top_column *column = &top_columns[shown->column];

		if (has_room(screen, shown))
			used += (shown > first) + (column->print ? column->width : 0);
	}
	if (screen->width == 0) {
		layout.name = longest;
		layout.bar = BAR_MAX / 2;
		return layout;
	}
	left = screen->width > used ? screen->width - used : 0;
	layout.name =
		clamp(longest, NAME_MIN, clamp(left > BAR_MIN ? left - BAR_MIN : 0, NAME_MIN, NAME_MAX));
	layout.bar = clamp(left > layout.name ? left - layout.name : 0, BAR_MIN, BAR_MAX);
	return layout;
}

/* ---- head ---- */

static void draw_title(struct pen *pen, const struct top_view *view)
{
	const struct top_screen *screen = pen->screen;
	const struct top_resource_ops *ops = ops_of(view);

	put(pen, TABLE_BOLD, "viaduct top");
	if (screen->trouble) {
		put(pen, TABLE_BAD, "  reconnecting: %s", screen->trouble);
	} else {
		put(pen, TABLE_PLAIN, "  %zu %s, %zu connected  CPU %.0f%%  every %g s  by %s%s",
		    view->leaf_count, view->leaf_count == 1 ? ops->one : ops->many, view->connected_count,
		    view->cpu * 100, (double)screen->interval_ns / (double)NS_PER_S,
		    top_columns[screen->sort].key, screen->reverse ? " reversed" : "");
		if (screen->paused)
			put(pen, TABLE_WARNING, "  paused");
		else if (!view->measured)
			put(pen, TABLE_DIM, "  measuring");
	}
	end_line(pen);
}

static void draw_device(struct pen *pen, const struct top_view *view, const struct top_device_row *row,
			const struct layout *layout)
{
	const struct top_device *device = row->device;
	char bar[TOP_CELL_MAX], figures[TOP_TEXT_MAX], remark[TOP_TEXT_MAX];

	top_bar(bar, layout->bar - BAR_LESS, row->busy, (double)device->reserved_ppb / 1e9, 0);
	put(pen, device->failed ? TABLE_BAD : TABLE_BOLD, "%-*.*s", (int)(layout->name + MARK_WIDTH),
	    (int)(layout->name + MARK_WIDTH), device->name);
	put(pen, TABLE_PLAIN, " %3.0f%% busy ", row->busy * 100);
	put(pen, row->busy > 0.95 ? TABLE_WARNING : TABLE_GOOD, "%s", bar);
	ops_of(view)->print_device(row, figures, remark);
	put(pen, TABLE_PLAIN, "%s", figures);
	put(pen, TABLE_DIM, "%s", remark);
	end_line(pen);
}

/* A fifth of the screen is for physical devices, the busiest first. */
static size_t device_lines(const struct top_view *view, const struct top_screen *screen)
{
	return screen->height ? clamp(view->device_count, 0, 1 + screen->height / 5) : view->device_count;
}

/* ---- rows ---- */

static void draw_titles(struct pen *pen, const struct top_view *view, const struct layout *layout)
{
	put(pen, TABLE_BOLD, "%*s%-*s", (int)MARK_WIDTH, "", (int)layout->name, top_kinds[view->kind].title);
	for (const struct top_shown *shown = ops_of(view)->shown + 1; !top_shown_ends(shown); shown++) {
		const struct top_column *column = &top_columns[shown->column];

		if (!has_room(pen->screen, shown))
			continue;
		put(pen, TABLE_PLAIN, " ");
		if (shown->column == TOP_COLUMN_BAR)
			put(pen, TABLE_DIM, "%-*s", (int)layout->bar, column->title);
		else
			put(pen, shown->column == pen->screen->sort ? TABLE_GOOD : TABLE_BOLD, "%*s",
			    (int)column->width, column->title);
	}
	end_line(pen);
}

static void draw_name(struct pen *pen, const struct top_row *row, size_t width)
{
	static const char mark[] = { [TOP_IDLE] = '-', [TOP_CONNECTED] = '+', [TOP_BROKEN] = '!' };
	static const enum table_style style[] = {
		[TOP_IDLE] = TABLE_DIM, [TOP_CONNECTED] = TABLE_BOLD, [TOP_BROKEN] = TABLE_BAD
	};
	bool cut = strlen(row->name) > width;

	put(pen, style[row->state], "%c %-*.*s%s", mark[row->state], (int)(width - cut), (int)(width - cut),
	    row->name, cut ? "…" : "");
}

static void draw_bar(struct pen *pen, const struct top_row *row, size_t width)
{
	char bar[TOP_CELL_MAX];

	top_bar(bar, width, row->device, row->reservation, row->limit);
	put(pen, row->throttled > 0.01 ? TABLE_WARNING : TABLE_GOOD, " %s", bar);
}

static void draw_cell(struct pen *pen, const struct top_row *row, const struct top_column *column,
		      bool measured)
{
	double value = top_row_value(row, column->member);
	char cell[TOP_CELL_MAX] = "-";

	if (measured || !column->rate)
		column->print(cell, column->width, value);
	put(pen, value > 0 ? column->alarm : TABLE_PLAIN, " %*s", (int)column->width, cell);
}

static void draw_row(struct pen *pen, const struct top_view *view, const struct top_row *row,
		     const struct layout *layout)
{
	draw_name(pen, row, layout->name);
	for (const struct top_shown *shown = ops_of(view)->shown + 1; !top_shown_ends(shown); shown++) {
		if (!has_room(pen->screen, shown))
			continue;
		if (shown->column == TOP_COLUMN_BAR)
			draw_bar(pen, row, layout->bar);
		else
			draw_cell(pen, row, &top_columns[shown->column], view->measured);
	}
	end_line(pen);
}

size_t top_rows_shown(const struct top_view *view, const struct top_screen *screen)
{
	size_t others = 1 + device_lines(view, screen) + 1 + 1;	/* title, devices, column titles, keys */

	if (screen->height == 0)
		return view->row_count;
	return screen->height > others ? clamp(view->row_count, 0, screen->height - others) : 0;
}

/* ---- foot ---- */

static void draw_keys(struct pen *pen, const struct top_view *view, size_t first, size_t shown)
{
	enum top_kind resource = top_next_resource(view->kind), level = top_next_level(view->kind);
	const char *const keys[][2] = {
		{ "q", "quit" },
		{ "n", top_resources[top_kinds[resource].resource]->many },
		{ "g", top_kinds[level].many },
		{ "s", "sort" },
		{ "r", "reverse" },
		{ "p", "pause" },
		{ "+-", "pace" },
	};

	/* The place comes first: on a narrow screen a key may be missing, but no digit. */
	if (shown < view->row_count)
		put(pen, TABLE_PLAIN, "↑↓ %zu-%zu of %zu  ", first + 1, first + shown, view->row_count);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		put(pen, TABLE_BOLD, "%s%s", i > 0 ? "  " : "", keys[i][0]);
		put(pen, TABLE_PLAIN, " %s", keys[i][1]);
	}
}

/* ---- the whole ---- */

void top_draw(const struct top_view *view, const struct top_screen *screen, FILE *out)
{
	struct layout layout = lay_out(view, screen);
	struct pen pen = { screen, out, line_width(screen), screen->height ? screen->height - 1 : SIZE_MAX };
	size_t shown = top_rows_shown(view, screen),
	       first = clamp(screen->scroll, 0, view->row_count - shown);

	draw_title(&pen, view);
	for (size_t i = 0; i < device_lines(view, screen); i++)
		draw_device(&pen, view, &view->devices[i], &layout);
	draw_titles(&pen, view, &layout);
	for (size_t i = first; i < first + shown; i++)
		draw_row(&pen, view, &view->rows[i], &layout);
	if (screen->height == 0)
		return;
	while (pen.lines > 0)
		end_line(&pen);
	pen.lines = 1;
	draw_keys(&pen, view, first, shown);
	end_line(&pen);
}
