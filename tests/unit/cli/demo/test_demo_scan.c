/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The demo's last check must catch what it claims to catch: patterns are planted where they do not belong. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/demo/demo_scan.h"

#define MIB (1ull << 20)

static const char map_text[] = "{\"name\": \"main\", \"map\": ["
			       " {\"offset_bytes\": 1048576, \"length_bytes\": 2097152, \"owner\": "
			       "\"alice/root\", \"disk_offset_bytes\": 0},"
			       " {\"offset_bytes\": 3145728, \"length_bytes\": 1048576, \"owner\": "
			       "\"bob/root\", \"disk_offset_bytes\": 0},"
			       " {\"offset_bytes\": 4194304, \"length_bytes\": 4194304, \"owner\": null}]}";

struct fixture {
	char path[32];
	int fd;
	json_t *pool;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	strcpy(fixture->path, "/tmp/viaduct-scan-XXXXXX");
	fixture->fd = mkstemp(fixture->path);
	fixture->pool = json_loads(map_text, 0, NULL);
	*state = fixture;
	return fixture->fd < 0 || !fixture->pool || ftruncate(fixture->fd, 8 * MIB) < 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	close(fixture->fd);
	unlink(fixture->path);
	json_decref(fixture->pool);
	free(fixture);
	return 0;
}

static void plant(struct fixture *fixture, const char *token, const char *guest, uint64_t offset,
		  unsigned lines)
{
	char line[SCAN_PATTERN_BYTES];

	scan_pattern_line(line, token, guest, 7);
	for (unsigned i = 0; i < lines; i++, offset += sizeof(line))
		assert_int_equal(pwrite(fixture->fd, line, sizeof(line), (off_t)offset), sizeof(line));
}

static const struct scan_guest *scan(struct fixture *fixture, struct scan_result *result, const char *guest)
{
	assert_int_equal(scan_pool_file(fixture->path, fixture->pool, "t0", result), 0);
	return scan_find(result, guest);
}

static void test_everything_at_home(void **state)
{
	struct scan_result result;

	plant(*state, "t0", "alice", 1 * MIB, 16384);
	plant(*state, "t0", "alice", 3 * MIB - 4096, 64);
	plant(*state, "t0", "bob", 3 * MIB, 100);
	assert_int_equal(scan(*state, &result, "alice")->own, 16384 + 64);
	assert_int_equal(scan_find(&result, "bob")->own, 100);
	assert_int_equal(scan_find(&result, "alice")->foreign + scan_find(&result, "bob")->foreign, 0);
	assert_int_equal(scan_find(&result, "alice")->outside + scan_find(&result, "bob")->outside, 0);
	assert_null(scan_find(&result, "mallory"));
}

static void test_foreign_line_is_caught(void **state)
{
	const struct scan_guest *bob;
	struct scan_result result;

	plant(*state, "t0", "bob", 3 * MIB, 100);
	plant(*state, "t0", "bob", 2 * MIB + 512, 1);
	bob = scan(*state, &result, "bob");
	assert_int_equal(bob->own, 100);
	assert_int_equal(bob->foreign, 1);
	assert_int_equal(bob->first_bad_bytes, 2 * MIB + 512);
	assert_string_equal(bob->first_bad_owner, "alice/root");
}

static void test_line_in_free_space_is_caught(void **state)
{
	struct scan_result result;

	plant(*state, "t0", "alice", 6 * MIB, 1);
	plant(*state, "t0", "bob", 0, 1);	/* where the pool's metadata is */
	assert_int_equal(scan(*state, &result, "alice")->outside, 1);
	assert_int_equal(scan_find(&result, "bob")->outside, 1);
	assert_string_equal(scan_find(&result, "bob")->first_bad_owner, "");
}

/* A line that begins at home and ends at the neighbour's. */
static void test_line_across_the_border_is_caught(void **state)
{
	struct scan_result result;

	plant(*state, "t0", "alice", 3 * MIB - 32, 1);
	assert_int_equal(scan(*state, &result, "alice")->own, 0);
	assert_int_equal(scan_find(&result, "alice")->foreign, 1);
}

/* A line across the border of two windows of the reader is found, once. */
static void test_line_across_windows(void **state)
{
	struct scan_result result;

	plant(*state, "t0", "alice", 2 * MIB - 32, 1);
	assert_int_equal(scan(*state, &result, "alice")->own, 1);
}

/* "alic" must not pass for "alice", nor "alice2". */
static void test_name_prefix(void **state)
{
	struct scan_result result;

	plant(*state, "t0", "alic", 1 * MIB, 1);
	plant(*state, "t0", "alice2", 1 * MIB + 64, 1);
	assert_int_equal(scan(*state, &result, "alic")->foreign, 1);
	assert_int_equal(scan_find(&result, "alice2")->foreign, 1);
}

static void test_other_token_does_not_count(void **state)
{
	struct scan_result result;

	plant(*state, "t1", "bob", 1 * MIB, 5);
	assert_null(scan(*state, &result, "bob"));
	assert_int_equal(scan_pool_file(((struct fixture *)*state)->path, ((struct fixture *)*state)->pool,
					NULL, &result),
			 0);
	assert_int_equal(scan_find(&result, "bob")->foreign, 5);
}

static void test_missing_file(void **state)
{
	struct fixture *fixture = *state;
	struct scan_result result;

	assert_int_equal(scan_pool_file("/nonexistent/pool", fixture->pool, NULL, &result), -ENOENT);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_everything_at_home),	       TEST(test_foreign_line_is_caught),
		TEST(test_line_in_free_space_is_caught), TEST(test_line_across_the_border_is_caught),
		TEST(test_line_across_windows),	       TEST(test_name_prefix),
		TEST(test_other_token_does_not_count), TEST(test_missing_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
