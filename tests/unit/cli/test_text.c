/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/text.h"

static void test_sizes(void **state)
{
	char text[TEXT_NUMBER_MAX];

	assert_string_equal(text_size(text, 0), "0");
	assert_string_equal(text_size(text, 1023), "1023 B");
	assert_string_equal(text_size(text, 1024), "1 KiB");
	assert_string_equal(text_size(text, 1536), "1.5 KiB");
	assert_string_equal(text_size(text, 8ull << 30), "8 GiB");
	assert_string_equal(text_size(text, UINT64_MAX), "16.0 EiB");
}

static void test_size_parse(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0", 0 },
		{ "4096", 4096 },
		{ "512K", 512 << 10 },
		{ "64M", 64 << 20 },
		{ "8G", 8ull << 30 },
		{ "8GiB", 8ull << 30 },
		{ "8gb", 8ull << 30 },
		{ "1.5T", 3ull << 39 },
		{ "0.5k", 512 },
		{ "9223372036854775807", INT64_MAX },
	};
	static const char *const bad[] = { "", "G", "-1", "1.5", "1.G", "8Q", "8GG", "8 G x", "0x10" };
	uint64_t bytes = 7;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(text_size_parse(good[i].text, &bytes), 0);
		assert_true(bytes == good[i].bytes);
	}
	bytes = 7;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(text_size_parse(bad[i], &bytes), -EINVAL);
	assert_int_equal(text_size_parse("9223372036854775808", &bytes), -ERANGE);
	assert_int_equal(text_size_parse("99999999999999999999999", &bytes), -ERANGE);
	assert_int_equal(text_size_parse("8388608T", &bytes), -ERANGE);
	assert_true(bytes == 7);
}

static void test_durations(void **state)
{
	char text[TEXT_NUMBER_MAX];

	assert_string_equal(text_duration(text, 999), "999 ns");
	assert_string_equal(text_duration(text, 12300), "12.3 us");
	assert_string_equal(text_duration(text, 4500000), "4.5 ms");
	assert_string_equal(text_duration(text, 1200000000), "1.2 s");
	assert_string_equal(text_duration(text, 200000000000), "3 min 20 s");
}

static void test_counts(void **state)
{
	char text[TEXT_NUMBER_MAX];

	assert_string_equal(text_count(text, 0), "0");
	assert_string_equal(text_count(text, 999), "999");
	assert_string_equal(text_count(text, 1000), "1 000");
	assert_string_equal(text_count(text, 1234567), "1 234 567");
}

static void test_distance(void **state)
{
	assert_int_equal(text_distance("status", "status"), 0);
	assert_int_equal(text_distance("stauts", "status"), 1);
	assert_int_equal(text_distance("statu", "status"), 1);
	assert_int_equal(text_distance("", "abc"), 3);
	assert_int_equal(text_distance("disk creat", "disk create"), 1);
}

static void test_columns(void **state)
{
	assert_int_equal(text_columns("ab…c"), 4);
	assert_int_equal(text_cut("ab…cd", 3), 5);
	assert_int_equal(text_cut("abc", 9), 3);
	assert_int_equal(text_cut("abc", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),	  cmocka_unit_test(test_size_parse),
		cmocka_unit_test(test_durations), cmocka_unit_test(test_counts),
		cmocka_unit_test(test_distance),  cmocka_unit_test(test_columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
