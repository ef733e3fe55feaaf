/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/progress.h"
#include "cli/text.h"
#include "core/clock.h"

#define MIB (1ull << 20)

static void test_format_on_terminal(void **state)
{
	char line[PROGRESS_LINE_MAX];
	struct progress progress;

	progress_start(&progress, stderr, true, 80, "alice/root", 100 * MIB, 0);
	progress.done_bytes = 50 * MIB;
	progress_format(&progress, 10 * NS_PER_S, line);
	assert_string_equal(
		line, "alice/root [##########..........]  50%  50 MiB of 100 MiB  5 MiB/s  10.0 s left");
	assert_true(text_columns(line) < 80);
}

static void test_narrow_terminal_has_no_bar(void **state)
{
	char line[PROGRESS_LINE_MAX];
	struct progress progress;

	progress_start(&progress, stderr, true, 40, "alice/root", 100 * MIB, 0);
	progress_format(&progress, 10 * NS_PER_S, line);
	assert_null(strchr(line, '['));
}

/* Holes are not work: they must not make the rate look better than it is. */
static void test_left_ignores_holes(void **state)
{
	struct progress progress;

	progress_start(&progress, stderr, true, 80, "x", 100 * MIB, 0);
	assert_true(progress_left_ns(&progress, NS_PER_S) == UINT64_MAX);
	progress.done_bytes = 60 * MIB;
	progress.skipped_bytes = 50 * MIB;
	assert_true(progress_left_ns(&progress, 1 * NS_PER_S) == 4 * NS_PER_S);
	progress.done_bytes = 100 * MIB;
	assert_true(progress_left_ns(&progress, 1 * NS_PER_S) == 0);
}

static unsigned count_lines(const char *text, char separator)
{
	unsigned lines = 0;

	for (; *text; text++)
		lines += *text == separator;
	return lines;
}

static char *run(bool terminal)
{
	struct progress progress;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	progress_start(&progress, out, terminal, 80, "x", 100 * MIB, 0);
	for (unsigned i = 1; i <= 100; i++)
		progress_update(&progress, i * MIB, 0, i * 10 * NS_PER_MS);
	progress_finish(&progress, NS_PER_S);
	fclose(out);
	return text;
}

static void test_plain_lines(void **state)
{
	char *text = run(false);

	assert_null(strchr(text, '\r'));
	assert_int_equal(count_lines(text, '\n'), 11);
	assert_non_null(strstr(text, "x: 100 MiB in 1.0 s, 100 MiB/s\n"));
	free(text);
}

static void test_terminal_redraws_seldom(void **state)
{
	char *text = run(true);

	/* 100 updates within a second, a redraw every 100 ms, and one that clears the line. */
	assert_in_range(count_lines(text, '\r'), 9, 12);
	assert_int_equal(count_lines(text, '\n'), 1);
	free(text);
}

static void test_nothing_to_do(void **state)
{
	char line[PROGRESS_LINE_MAX];
	struct progress progress;

	progress_start(&progress, stderr, false, 0, "x", 0, 5);
	progress_format(&progress, 5, line);
	assert_non_null(strstr(line, "100%"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format_on_terminal),
		cmocka_unit_test(test_narrow_terminal_has_no_bar),
		cmocka_unit_test(test_left_ignores_holes),
		cmocka_unit_test(test_plain_lines),
		cmocka_unit_test(test_terminal_redraws_seldom),
		cmocka_unit_test(test_nothing_to_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
