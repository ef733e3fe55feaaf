/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records come out as they went in, in order, whatever their sizes and wherever the memory's end is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "arbiter/switch/backlog.h"
#include "test_disk.h"

#define SIZE 1024u

static void put(struct backlog *backlog, uint8_t mark, uint32_t bytes)
{
	uint8_t *record = backlog_reserve(backlog, bytes);

	assert_non_null(record);
	assert_int_equal((uintptr_t)record % 8, 0);
	memset(record, mark, bytes);
	backlog_ready(record);
}

static void take(struct backlog *backlog, uint8_t mark, uint32_t bytes)
{
	struct backlog_cursor cursor = backlog_begin(backlog);
	uint32_t got;
	const uint8_t *record = backlog_next(backlog, &cursor, &got);

	assert_non_null(record);
	assert_int_equal(got, bytes);
	for (uint32_t i = 0; i < bytes; i++)
		assert_int_equal(record[i], mark);
	backlog_release(backlog, &cursor);
}

static void test_order_round_and_round(void **state)
{
	struct backlog backlog;
	uint64_t seed = 1;
	uint32_t sizes[256];
	uint8_t first = 0, next = 0;

	assert_int_equal(backlog_init(&backlog, SIZE), 0);
	for (unsigned turn = 0; turn < 20000; turn++) {
		if ((uint8_t)(next - first) < 3) {
			sizes[next] = (uint32_t)test_below(&seed, 200);
			put(&backlog, next, sizes[next]);
			next++;
		}
		if (first != next && test_below(&seed, 2)) {
			take(&backlog, first, sizes[first]);
			first++;
		}
	}
	assert_int_equal(counter_read(&backlog.full), 0);
	backlog_finish(&backlog);
}

static void test_full(void **state)
{
	struct backlog backlog;
	unsigned held = 0;

	assert_int_equal(backlog_init(&backlog, SIZE), 0);
	assert_true(backlog_empty(&backlog));
	for (; backlog_reserve(&backlog, 100); held++)
		assert_false(backlog_empty(&backlog));
	assert_int_equal(held, SIZE / (100 + 16 + 4));
	assert_int_equal(counter_read(&backlog.full), 1);
	assert_null(backlog_reserve(&backlog, SIZE));
	assert_int_equal(counter_read(&backlog.full), 2);
	backlog_finish(&backlog);
}

static void test_one_that_is_not_written_holds_up_the_rest(void **state)
{
	struct backlog backlog;
	struct backlog_cursor cursor;
	uint32_t bytes;
	uint8_t *slow;

	assert_int_equal(backlog_init(&backlog, SIZE), 0);
	slow = backlog_reserve(&backlog, 3);
	put(&backlog, 2, 30);
	cursor = backlog_begin(&backlog);
	assert_null(backlog_next(&backlog, &cursor, &bytes));
	memset(slow, 1, 3);
	backlog_ready(slow);
	take(&backlog, 1, 3);
	take(&backlog, 2, 30);
	assert_true(backlog_empty(&backlog));
	backlog_finish(&backlog);
}

/* What was looked at is still there until it is released, and what came meanwhile too. */
static void test_looking_takes_nothing(void **state)
{
	struct backlog backlog;
	struct backlog_cursor cursor;
	uint32_t bytes;

	assert_int_equal(backlog_init(&backlog, SIZE), 0);
	put(&backlog, 1, 10);
	cursor = backlog_begin(&backlog);
	assert_non_null(backlog_next(&backlog, &cursor, &bytes));
	put(&backlog, 2, 20);
	assert_null(backlog_next(&backlog, &cursor, &bytes));
	take(&backlog, 1, 10);
	take(&backlog, 2, 20);
	backlog_finish(&backlog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_round_and_round),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_one_that_is_not_written_holds_up_the_rest),
		cmocka_unit_test(test_looking_takes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
