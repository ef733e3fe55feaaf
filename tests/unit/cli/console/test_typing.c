/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys; the rest needs a terminal: tests/cli/test_console.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/console/typing.h"

static void keys_have_names(void **state)
{
	static const struct {
		const char *text, *name;
		int key;
	} good[] = { { "^]", "Ctrl-]", 29 }, { "^a", "Ctrl-A", 1 },   { "^A", "Ctrl-A", 1 },
		     { "^@", "Ctrl-@", 0 },  { "^?", "Ctrl-?", 127 }, { "~", "~", '~' },
		     { "^", "^", '^' } };
	char name[TYPING_KEY_SIZE];
	int key;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(typing_parse_key(good[i].text, &key));
		assert_int_equal(key, good[i].key);
		assert_string_equal(typing_key_name(key, name), good[i].name);
	}
	assert_true(typing_parse_key("none", &key));
	assert_int_equal(key, -1);
}

static void other_texts_are_no_keys(void **state)
{
	static const char *const bad[] = { "", "ab", "^ab", "^1", "^{", "nothing" };
	int key;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(typing_parse_key(bad[i], &key));
}

static void the_key_ends_it(void **state)
{
	static struct typing typing;

	typing = (struct typing){ .terminal = true, .detach_key = 29 };
	assert_int_equal(typing_take_keys(&typing, "ls\r", 3), 3);
	assert_false(typing.detached);
	assert_int_equal(typing_take_keys(&typing, "rm\035 -r", 6), 2);
	assert_true(typing.detached);
	assert_int_equal(typing.bytes, 5);
	assert_memory_equal(typing.buffer, "ls\rrm", 5);
	/* Without one, it is a key like others. */
	typing = (struct typing){ .terminal = true, .detach_key = -1 };
	assert_int_equal(typing_take_keys(&typing, "a\035b", 3), 3);
	assert_false(typing.detached);
}

/* A guest that takes nothing does not keep the key from being heard. */
static void the_key_is_heard_behind_a_full_buffer(void **state)
{
	static struct typing typing;
	char keys[1000];

	memset(keys, 'x', sizeof(keys));
	typing = (struct typing){ .terminal = true, .detach_key = 29 };
	for (unsigned i = 0; i < 3 * TYPING_MAX / sizeof(keys); i++)
		typing_take_keys(&typing, keys, sizeof(keys));
	assert_int_equal(typing.bytes, TYPING_MAX);
	assert_true(typing_has_room(&typing));
	typing_take_keys(&typing, "\035", 1);
	assert_true(typing.detached);
	/* A file is not read any further meanwhile. */
	typing.terminal = false;
	assert_false(typing_has_room(&typing));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_have_names),
		cmocka_unit_test(other_texts_are_no_keys),
		cmocka_unit_test(the_key_ends_it),
		cmocka_unit_test(the_key_is_heard_behind_a_full_buffer),
	};

	return cmocka_run_group_tests_name("typing", tests, NULL, NULL);
}
