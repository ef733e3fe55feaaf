/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/table.h"

static const struct table_column columns[] = {
	{ "NAME", false, false },
	{ "SIZE", true, false },
	{ "PATH", false, true },
};

static struct table *sample(void)
{
	struct table *table = table_create(columns, 3);

	table_row(table);
	table_cell(table, TABLE_BOLD, "alice/root");
	table_cell(table, TABLE_PLAIN, "%d GiB", 1);
	table_cell(table, TABLE_PLAIN, "/var/lib/somewhere/far/away");
	table_row(table);
	table_cell(table, TABLE_BAD, "bob");
	table_cell(table, TABLE_PLAIN, "128 MiB");
	return table;
}

static char *print(const struct table *table, size_t width, bool colour)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	table_print(table, out, width, colour);
	fclose(out);
	return text;
}

static void test_alignment(void **state)
{
	struct table *table = sample();
	char *text = print(table, 0, false);

	assert_string_equal(text, "NAME           SIZE  PATH\n"
				  "alice/root    1 GiB  /var/lib/somewhere/far/away\n"
				  "bob         128 MiB  \n");
	free(text);
	table_destroy(table);
}

static void test_narrow_terminal_cuts(void **state)
{
	struct table *table = sample();
	char *text = print(table, 32, false);

	assert_string_equal(text, "NAME           SIZE  PATH\n"
				  "alice/root    1 GiB  /var/lib/s…\n"
				  "bob         128 MiB  \n");
	free(text);
	/* Too narrow for anything: the shrinkable column keeps 10, the others stay whole. */
	text = print(table, 5, false);
	assert_non_null(strstr(text, "alice/root    1 GiB  /var/lib/…\n"));
	free(text);
	table_destroy(table);
}

/* Takes escape sequences out. */
static void strip(char *text)
{
	char *out = text;

	while (*text) {
		if (*text == '\033') {
			text += strcspn(text, "m") + 1;
			continue;
		}
		*out++ = *text++;
	}
	*out = '\0';
}

static void test_colour_keeps_alignment(void **state)
{
	struct table *table = sample();
	char *plain = print(table, 40, false), *colour = print(table, 40, true);

	assert_null(strchr(plain, '\033'));
	assert_non_null(strstr(colour, "\033[1;31mbob\033[0m"));
	strip(colour);
	assert_string_equal(plain, colour);
	free(plain);
	free(colour);
	table_destroy(table);
}

static void test_empty(void **state)
{
	struct table *table = table_create(columns, 3);
	char *text = print(table, 0, false);

	assert_string_equal(text, "NAME  SIZE  PATH\n");
	assert_int_equal(table_row_count(table), 0);
	free(text);
	table_destroy(table);
	table_destroy(NULL);
}

static void test_unicode_width(void **state)
{
	static const struct table_column two[] = { { "A", false, false }, { "B", false, false } };
	struct table *table = table_create(two, 2);
	char *text;

	table_row(table);
	table_cell(table, TABLE_PLAIN, "é");
	table_cell(table, TABLE_PLAIN, "x");
	table_row(table);
	table_cell(table, TABLE_PLAIN, "ab");
	table_cell(table, TABLE_PLAIN, "y");
	text = print(table, 0, false);
	assert_string_equal(text, "A   B\né   x\nab  y\n");
	free(text);
	table_destroy(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alignment),	       cmocka_unit_test(test_narrow_terminal_cuts),
		cmocka_unit_test(test_colour_keeps_alignment), cmocka_unit_test(test_empty),
		cmocka_unit_test(test_unicode_width),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
