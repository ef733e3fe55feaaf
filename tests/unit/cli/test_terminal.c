/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys; the rest needs a terminal: tests/cli/test_top.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/terminal.h"

static void expect(const char *bytes, int key, size_t used)
{
	size_t taken = 99;

	assert_int_equal(terminal_key_decode(bytes, strlen(bytes), &taken), key);
	assert_int_equal(taken, used);
}

static void test_keys(void **state)
{
	expect("q", 'q', 1);
	expect("+-", '+', 1);
	expect("\033[A", KEY_UP, 3);
	expect("\033OB", KEY_DOWN, 3);
	expect("\033[C\033[D", KEY_RIGHT, 3);
	expect("\033[D", KEY_LEFT, 3);
	expect("\033[5~q", KEY_PAGE_UP, 4);
	expect("\033[6~", KEY_PAGE_DOWN, 4);
	expect("\033[1~", KEY_HOME, 4);
	expect("\033[H", KEY_HOME, 3);
	expect("\033[4~", KEY_END, 4);
	expect("\033[1;5A", KEY_UP, 6);
}

static void test_incomplete(void **state)
{
	expect("", KEY_NONE, 0);
	expect("\033", KEY_NONE, 0);
	expect("\033[", KEY_NONE, 0);
	expect("\033[5", KEY_NONE, 0);
}

static void test_unknown(void **state)
{
	expect("\001", KEY_NONE, 1);
	expect("\303\251", KEY_NONE, 1);
	expect("\033q", KEY_NONE, 1);	/* the escape key, then q */
	expect("\033[2~q", KEY_NONE, 4);
	expect("\033[200;100Z", KEY_NONE, 10);
	expect("\033[~", KEY_NONE, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_incomplete),
		cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
