/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A cost model as text: what is printed is read again, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/disk/disk_cost.h"

static const char right[] = "viaduct-disk-cost 2\nwindow 250000\n"
			    "read-random 8000 1900\nread-sequential 6000 1900\n"
			    "write-random 10000 2100\nwrite-sequential 6000 2100\n"
			    "flush 500000 0\ndiscard 50000 0\n";

/* From a block of exactly that size, so that a byte too many is noticed by the sanitizer. */
static int parse(const char *text, size_t bytes, struct disk_cost *cost)
{
	char *copy = malloc(bytes ? bytes : 1);
	int error;

	assert_non_null(copy);
	memcpy(copy, text, bytes);
	error = disk_cost_parse(copy, bytes, cost);
	free(copy);
	return error;
}

static void test_what_is_printed_is_read(void **state)
{
	struct disk_cost largest = { .window_ns = COST_WINDOW_MAX_NS }, cost;
	char text[COST_TEXT_MAX];

	assert_int_equal(disk_cost_print(&disk_cost_default, text, sizeof(text)), strlen(right));
	assert_string_equal(text, right);
	assert_int_equal(parse(text, strlen(text), &cost), 0);
	assert_memory_equal(&cost, &disk_cost_default, sizeof(cost));
	for (unsigned kind = 0; kind < COST_KINDS; kind++)
		largest.line[kind] = (struct cost_line){ UINT32_MAX, UINT32_MAX };
	assert_true(disk_cost_print(&largest, text, sizeof(text)) > 0);
	assert_int_equal(parse(text, strlen(text), &cost), 0);
	assert_memory_equal(&cost, &largest, sizeof(cost));
}

static void test_a_small_buffer_is_refused(void **state)
{
	for (size_t bytes = 1; bytes < sizeof(right); bytes++) {
		char *buffer = malloc(bytes);

		assert_non_null(buffer);
		assert_int_equal(disk_cost_print(&disk_cost_default, buffer, bytes), -ENOSPC);
		free(buffer);
	}
}

static void test_every_part_of_the_text_counts(void **state)
{
	struct disk_cost cost, untouched;

	memset(&cost, 0x5a, sizeof(cost));
	untouched = cost;
	for (size_t bytes = 0; bytes < strlen(right); bytes++)
		assert_int_equal(parse(right, bytes, &cost), -EINVAL);
	/* The NUL is not part of it, and neither is anything else behind. */
	assert_int_equal(parse(right, sizeof(right), &cost), -EINVAL);
	for (size_t at = 0; at < strlen(right); at++) {
		char text[sizeof(right)];

		memcpy(text, right, sizeof(right));
		text[at] = '\t';
		assert_int_equal(parse(text, strlen(right), &cost), -EINVAL);
	}
	assert_memory_equal(&cost, &untouched, sizeof(cost));
}

static void test_numbers_are_checked(void **state)
{
	static const char *const wrong[] = { "0",
					     "1000000001",
					     "08",
					     "-1",
					     "+1",
					     "",
					     "4294967297",
					     "18446744073709551617",
					     "99999999999999999999999999999999999",
					     "1e3",
					     "0x8" };
	const char *rest = strstr(right, "250000\n") + 6;
	struct disk_cost cost;
	char text[sizeof(right) + 64];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(text, sizeof(text), "viaduct-disk-cost 2\nwindow %s%s", wrong[i], rest);
		assert_int_equal(parse(text, strlen(text), &cost), -EINVAL);
	}
	snprintf(text, sizeof(text), "viaduct-disk-cost 2\nwindow %s%s", "1000000000", rest);
	assert_int_equal(parse(text, strlen(text), &cost), 0);
	assert_int_equal(cost.window_ns, 1000000000);
	snprintf(text, sizeof(text), "viaduct-disk-cost 1\nwindow 16%s", rest);
	assert_int_equal(parse(text, strlen(text), &cost), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_printed_is_read),
		cmocka_unit_test(test_a_small_buffer_is_refused),
		cmocka_unit_test(test_every_part_of_the_text_counts),
		cmocka_unit_test(test_numbers_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
