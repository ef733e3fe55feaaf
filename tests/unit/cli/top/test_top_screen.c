/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/text.h"
#include "cli/top/top_resource.h"
#include "cli/top/top_screen.h"
#include "core/clock.h"
#include "top_fixture.h"

static struct top_sample *before, *now;
static struct top_view *view;

static int setup(void **state)
{
	before = top_look(0);
	now = top_look(1);
	view = top_view_create(before, now, TOP_DISKS);
	return 0;
}

static int teardown(void **state)
{
	top_view_destroy(view);
	top_sample_destroy(before);
	top_sample_destroy(now);
	return 0;
}

static struct top_screen screen_of(size_t width, size_t height)
{
	return (struct top_screen){
		.width = width, .height = height, .sort = top_column_find("dev"), .interval_ns = NS_PER_S
	};
}

/* Not inlined: gcc 12 takes what the stream allocated for a part of the frame then (-Wdangling-pointer). */
__attribute__((noinline)) static char *draw(const struct top_screen *screen)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	top_sort(view, screen);
	top_draw(view, screen, out);
	fclose(out);
	return text;
}

static void expect(const struct top_screen *screen, const char *expected)
{
	char *text = draw(screen);

	assert_string_equal(text, expected);
	free(text);
}

/* Of a drawing: how many lines, and that none is wider than `width`. */
static size_t check_lines(const char *text, size_t width)
{
	size_t lines = 0;
	char *copy = strdup(text), *rest = copy, *line;

	while ((line = strsep(&rest, "\n")) && rest) {
		assert_true(text_columns(line) <= width);
		lines++;
	}
	free(copy);
	return lines;
}

/* Of the line that has `words`. */
static size_t line_columns(const char *text, const char *words)
{
	const char *found = strstr(text, words);
	char *line;
	size_t columns;

	assert_non_null(found);
	line = strndup(found, strcspn(found, "\n"));
	columns = text_columns(line);
	free(line);
	return columns;
}

static void test_80_columns(void **state)
{
	struct top_screen screen = screen_of(80, 9);

	expect(&screen,
	       "viaduct top  4 disks, 3 connected  CPU 8%  every 1 s  by dev\n"
	       "main          85% busy ##[######.  8500/10000 IOPS  35/1000 MB/s  rate 1.00\n"
	       "  DISK        IOPS  MB/s DEV% [min  max]     GOT% DUE% CPU% THR% CON%   P99  ERR\n"
	       "+ alice/root  5000  20.5   50 #######.......   59   50  5.0    0  5.0 4.2ms  321\n"
	       "+ carol/root  2000   8.2   20 ###]             24   33  2.0   90  5.0 4.2ms  321\n"
	       "+ bob/root    1500   6.1   15 ##............   18   17  1.5    0  5.0 4.2ms  321\n"
	       "- alice/data     0   0.0    0 ..............    0    0    0    0  5.0     -  321\n"
	       "\n"
	       "q quit  n cards  g guests  s sort  r reverse  p pause  +- pace\n");
}

static void test_132_columns(void **state)
{
	struct top_screen screen = screen_of(132, 8);

	screen.kind = TOP_GUESTS;
	top_view_destroy(view);
	view = top_view_create(before, now, TOP_GUESTS);
	expect(&screen, "viaduct top  4 disks, 3 connected  CPU 8%  every 1 s  by dev\n"
			"main          85% busy ####[#########..  8500/10000 IOPS  35/1000 MB/s  rate 1.00\n"
			"  GUEST       IOPS  MB/s DEV% [min  max]           GOT% DUE% CPU% THR% CON%   P99  "
			"ERR  REF  WAIT WEIGHT"
			"   MIN   MAX RD MB/s WR MB/s\n"
			"+ alice       5000  20.5   50 #####[####..........   59   50  5.0    0  5.0 4.2ms  "
			"642  640     3    300"
			"  3000     -    20.5     0.0\n"
			"+ carol       2000   8.2   20 ####................   24   33  2.0   90  5.0 4.2ms  "
			"321  320    64    100"
			"     -     -     8.2     0.0\n"
			"+ bob         1500   6.1   15 ###.................   18   17  1.5    0  5.0 4.2ms  "
			"321  320    32    100"
			"     -     -     6.1     0.0\n"
			"\n"
			"q quit  n cards  g groups  s sort  r reverse  p pause  +- pace\n");
}

/* For scripts: every column and row, nothing of the keyboard. */
static void test_without_a_terminal(void **state)
{
	struct top_screen screen = screen_of(0, 0);
	char *text;

	screen.sort = top_column_find("name");
	text = draw(&screen);
	assert_int_equal(check_lines(text, 140), 7);
	assert_non_null(strstr(text, "WR MB/s\n- alice/data "));
	assert_null(strstr(text, "quit"));
	assert_null(strchr(text, '\033'));
	free(text);
}

/* What is not known yet, and what went wrong. */
static void test_states(void **state)
{
	struct top_screen screen = screen_of(80, 6);
	char *text;

	view->measured = false;
	screen.paused = true;
	text = draw(&screen);
	assert_non_null(strstr(text, "by dev  paused\n"));
	assert_non_null(strstr(text, "+ alice/root     -     -    - "));
	free(text);
	screen.trouble = "viaductd is not running";
	text = draw(&screen);
	assert_ptr_equal(strstr(text, "viaduct top  reconnecting: viaductd is not running\nmain "), text);
	free(text);
}

static void test_scrolling(void **state)
{
	struct top_screen screen = screen_of(80, 6);
	char *text;

	assert_int_equal(top_rows_shown(view, &screen), 2);
	screen.scroll = 1;
	text = draw(&screen);
	assert_null(strstr(text, "alice/root"));
	assert_non_null(strstr(text, "carol/root"));
	assert_non_null(strstr(text, "↑↓ 2-3 of 4  q quit"));
	free(text);
	screen.scroll = SIZE_MAX;	/* rows have gone since */
	text = draw(&screen);
	assert_non_null(strstr(text, "alice/data"));
	assert_non_null(strstr(text, "↑↓ 3-4 of 4  q quit"));
	free(text);
}

static void test_order(void **state)
{
	static const struct { const char *key; bool reverse; const char *first;
	} rules[] = {
		{ "name", false, "alice/data" }, { "name", true, "carol/root" },
		{ "thr", false, "carol/root" },	 { "wait", true, "alice/data" },
		{ "err", false, "alice/root" },	 { "due", false, "alice/root" },
		{ "iops", true, "alice/data" },
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		struct top_screen screen = { .sort = top_column_find(rules[i].key),
					     .reverse = rules[i].reverse };

		top_sort(view, &screen);
		assert_string_equal(view->rows[0].name, rules[i].first);
	}
	assert_int_equal(top_column_find("nonsense"), TOP_COLUMNS);
	assert_int_equal(top_column_find("tx"), TOP_COLUMN_TX);
	assert_true(top_resource_shows(TOP_RESOURCE_NIC, TOP_COLUMN_TX));
	assert_false(top_resource_shows(TOP_RESOURCE_DISK, TOP_COLUMN_TX));
	assert_false(top_resource_shows(TOP_RESOURCE_NIC, TOP_COLUMN_IOPS));
}

/* Every column's value. */
static void fill_row(struct top_row *row, double value)
{
	*row = (struct top_row){ .reservation = value, .limit = value };
	for (enum top_column_id id = 0; id < TOP_COLUMNS; id++) {
		if (top_columns[id].member != TOP_BY_NAME)
			*(double *)((char *)row + top_columns[id].member) = value;
	}
}

/* The columns of each resource. */
static const struct { enum top_kind kind; const char *titles; } resources[] = {
	{ TOP_DISKS, "  DISK" },
	{ TOP_NICS, "  CARD" },
};
#define RESOURCES (sizeof(resources) / sizeof(resources[0]))

/* The right edge of every row stays where the titles end. */
static void test_huge_values_keep_their_columns(void **state)
{
	static const size_t widths[] = { 80, 100, 120, 132, 250 };
	static const double values[] = { 1e-9,  0.0994,	0.0999, 0.9996, 9.949,
					9.995, 99999.7, 1e9,	1e18,	1e300 };

	for (size_t v = 0; v < RESOURCES * sizeof(values) / sizeof(values[0]); v++) {
		struct top_row *row = &view->rows[0];
		const char *titles = resources[v % RESOURCES].titles;

		fill_row(row, values[v / RESOURCES]);
		memset(row->name, 'x', sizeof(row->name) - 1);
		view->kind = resources[v % RESOURCES].kind;
		for (size_t w = 0; w < sizeof(widths) / sizeof(widths[0]); w++) {
			struct top_screen screen = screen_of(widths[w], 0);
			char *text = draw(&screen);

			assert_int_equal(line_columns(text, "- xxxx"), line_columns(text, titles));
			assert_true(line_columns(text, titles) <= widths[w]);
			free(text);
		}
	}
}

static void test_small_screens(void **state)
{
	for (size_t size = 0; size < RESOURCES * 12 * 12; size++) {
		size_t height = 1 + size / RESOURCES / 12, width = 1 + 8 * (size / RESOURCES % 12);
		struct top_screen screen = screen_of(width, height);
		char *text;

		view->kind = resources[size % RESOURCES].kind;
		text = draw(&screen);
		assert_int_equal(check_lines(text, width), height);
		free(text);
	}
}

/* Many physical disks leave room for the rows. */
static void test_many_devices(void **state)
{
	struct top_screen screen = screen_of(80, 20);
	char *text;

	view->devices = realloc(view->devices, 300 * sizeof(*view->devices));
	for (size_t i = 1; i < 300; i++)
		view->devices[i] = view->devices[0];
	view->device_count = 300;
	text = draw(&screen);
	assert_int_equal(check_lines(text, 80), 20);
	assert_non_null(strstr(text, "alice/data"));
	free(text);
}

static void test_colour_changes_no_letter(void **state)
{
	struct top_screen screen = screen_of(80, 9);
	char *plain = draw(&screen), *coloured, *out;

	screen.colour = true;
	coloured = out = draw(&screen);
	assert_non_null(strstr(coloured, "\033[33m   90\033[0m"));
	for (const char *in = coloured; *in; in++) {
		if (*in == '\033')
			in += strcspn(in, "m");
		else
			*out++ = *in;
	}
	*out = '\0';
	assert_string_equal(plain, coloured);
	free(plain);
	free(coloured);
}

static void test_bar(void **state)
{
	static const struct { double part, reservation, limit; const char *bar; } bars[] = {
		{ 0, 0, 0, ".........." },    { 0.5, 0, 0, "#####....." },   { 1, 0, 0, "##########" },
		{ 7, 0, 0, "##########" },    { 0.3, 0.5, 0, "###.[....." }, { 0.2, 0, 0.5, "##...]    " },
		{ 0.6, 0.25, 0.6, "##[##]    " }, { 0, 1, 1, ".........[" }, { 0, 0, 9, ".........." },
		{ 0.8, 3, 0, "########.." },
	};

	for (size_t i = 0; i < sizeof(bars) / sizeof(bars[0]); i++) {
		char cell[TOP_CELL_MAX];

		top_bar(cell, 10, bars[i].part, bars[i].reservation, bars[i].limit);
		assert_string_equal(cell, bars[i].bar);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_80_columns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_132_columns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_a_terminal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_states, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scrolling, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_huge_values_keep_their_columns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_small_screens, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_devices, setup, teardown),
		cmocka_unit_test_setup_teardown(test_colour_changes_no_letter, setup, teardown),
		cmocka_unit_test(test_bar),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
