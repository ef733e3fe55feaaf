/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/pool/pool_map.h"

static json_t *pool_of(const char *map)
{
	json_error_t error;
	json_t *json = json_loads(map, JSON_DECODE_ANY, &error);

	assert_non_null(json);
	return json_pack("{s:s, s:s, s:i, s:i, s:i, s:o}", "name", "main", "path", "/p", "total_bytes", 8000,
			 "used_bytes", 4000, "free_bytes", 4000, "map", json);
}

static void test_picture_is_in_proportion(void **state)
{
	json_t *pool = pool_of("[{\"offset_bytes\": 0, \"length_bytes\": 1000, \"owner\": null},"
			       " {\"offset_bytes\": 1000, \"length_bytes\": 2000, \"owner\": \"bob/root\"},"
			       " {\"offset_bytes\": 3000, \"length_bytes\": 1000, \"owner\": \"alice/root\"},"
			       " {\"offset_bytes\": 4000, \"length_bytes\": 1000, \"owner\": \"bob/data\"},"
			       " {\"offset_bytes\": 5000, \"length_bytes\": 3000, \"owner\": null}]");
	char picture[17];

	pool_map_picture(pool, 8, picture);
	assert_string_equal(picture, ".aaba...");
	pool_map_picture(pool, 16, picture);
	assert_string_equal(picture, "..aaaabbaa......");
	pool_map_picture(pool, 1, picture);
	assert_string_equal(picture, "a");
	json_decref(pool);
}

static void test_empty_map(void **state)
{
	json_t *pool = pool_of("[]");
	char picture[5];

	pool_map_picture(pool, 4, picture);
	assert_string_equal(picture, "....");
	json_decref(pool);
}

static void test_more_guests_than_letters(void **state)
{
	json_t *map = json_array(), *pool;
	char picture[31], owner[16];

	for (unsigned i = 0; i < 30; i++) {
		snprintf(owner, sizeof(owner), "g%u/root", i);
		json_array_append_new(map, json_pack("{s:i, s:i, s:s}", "offset_bytes", i * 100,
						     "length_bytes", 100, "owner", owner));
	}
	pool = json_pack("{s:o}", "map", map);
	pool_map_picture(pool, 30, picture);
	assert_string_equal(picture, "abcdefghijklmnopqrstuvwxyzzzzz");
	json_decref(pool);
}

static void test_table_lists_every_run(void **state)
{
	json_t *pool =
		pool_of("[{\"offset_bytes\": 4096, \"length_bytes\": 1048576, \"owner\": \"alice/root\","
			"  \"disk_offset_bytes\": 0, \"written_bytes\": 65536}]");
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	pool_map_print(pool, out, 0, false);
	fclose(out);
	assert_non_null(strstr(text, "0x1000"));
	assert_non_null(strstr(text, "0x101000"));
	assert_non_null(strstr(text, "alice/root"));
	assert_non_null(strstr(text, "64 KiB"));
	assert_null(strchr(text, '\033'));
	free(text);
	json_decref(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_picture_is_in_proportion), cmocka_unit_test(test_empty_map),
		cmocka_unit_test(test_more_guests_than_letters), cmocka_unit_test(test_table_lists_every_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
