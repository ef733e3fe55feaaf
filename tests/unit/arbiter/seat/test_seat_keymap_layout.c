/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which layouts there are: hostile names, unknown ones, and hosts and environments that are unusual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arbiter/seat/seat_keymap.h"
#include "namespaces.h"

/* ---- names ---- */

static void names_are_read(void **state)
{
	struct seat_layout layout;

	assert_true(seat_layout_parse("us", &layout));
	assert_string_equal(layout.name, "us");
	assert_string_equal(layout.variant, "");
	assert_true(seat_layout_parse("us:dvorak-alt-intl", &layout));
	assert_string_equal(layout.variant, "dvorak-alt-intl");
	assert_true(seat_layout_parse("abcdefghijklmnopqrstuvwxyz_-123:Z23456789012345678901234567890B",
				      &layout));
	assert_int_equal(strlen(layout.name), SEAT_LAYOUT_MAX);
	assert_int_equal(strlen(layout.variant), SEAT_LAYOUT_MAX);
}

static const char *const nonsense[] = {
	"",
	":",
	"de:",
	":nodeadkeys",
	"de:a:b",
	"de:nodeadkeys:",
	"../symbols/us",
	"/us",
	"us,de",
	"us(dvorak)",
	"us+de",
	"us ",
	" us",
	"us\n",
	"%S",
	"us.",
	"d\xc3\xa9",
	"de:\xff",
	"us:../x",
	"us:dvorak,",
	"us\"",
	"abcdefghijklmnopqrstuvwxyz_-1234",
	"us:abcdefghijklmnopqrstuvwxyz_-1234",
};

static void nonsense_is_no_layout(void **state)
{
	struct seat_keymap *keymap = NULL;
	struct seat_layout layout = { .name = "kept" };

	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		assert_false(seat_layout_parse(nonsense[i], &layout));
		assert_int_equal(seat_keymap_create(nonsense[i], &keymap), -EINVAL);
	}
	assert_string_equal(layout.name, "kept");
	assert_null(keymap);
	seat_keymap_destroy(NULL);
}

/* No such file, no such variant, a folder, and files that define a few keys only. */
static const char *const unknown[] = { "xx",   "us:nosuch", "DE",	"digital_vndr",
				       "inet", "pc",	    "capslock", "brai" };

/* Whatever there is to say about them, it is said by the result alone. */
static void unknown_layouts_are_refused_silently(void **state)
{
	int words = memfd_create("words", MFD_CLOEXEC), errors = dup(STDERR_FILENO);
	struct seat_keymap *keymap = NULL;
	int codes[sizeof(unknown) / sizeof(unknown[0])];

	assert_true(words >= 0 && errors >= 0);
	dup2(words, STDERR_FILENO);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		codes[i] = seat_keymap_create(unknown[i], &keymap);
	dup2(errors, STDERR_FILENO);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		assert_int_equal(codes[i], -EINVAL);
	assert_int_equal(lseek(words, 0, SEEK_END), 0);
	assert_null(keymap);
	close(words);
	close(errors);
}

/* ---- hosts ---- */

/* With the names of another layout, and folders that have none. */
static void the_environment_changes_nothing(void **state)
{
	static const char *const names[] = { "XKB_CONFIG_ROOT", "XKB_CONFIG_EXTRA_PATH", "XDG_CONFIG_HOME",
					     "HOME" };
	struct seat_stroke strokes[SEAT_STROKES_MAX];
	struct seat_keymap *keymap;
	pid_t child = fork();
	int status;

	if (child == 0) {
		setenv("XKB_DEFAULT_LAYOUT", "fr", 1);
		setenv("XKB_DEFAULT_VARIANT", "nosuch", 1);
		setenv("XKB_DEFAULT_OPTIONS", "ctrl:swapcaps", 1);
		setenv("XKB_LOG_LEVEL", "debug", 1);
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			setenv(names[i], "/nonexistent", 1);
		if (seat_keymap_create("us", &keymap) || seat_keymap_spell(keymap, 'q', strokes) != 1)
			_exit(1);
		_exit(strokes[0].code == KEY_Q ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* In a process that sees an empty folder there. */
static void a_host_without_layouts_is_told_apart(void **state)
{
	struct seat_keymap *keymap;
	pid_t child = fork();
	int status;

	if (child == 0) {
		if (namespaces_enter(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		    mount("none", "/usr/share/X11", "tmpfs", 0, NULL))
			_exit(1);
		if (seat_keymap_create("us", &keymap) != -ENOENT ||
		    seat_keymap_create("us:", &keymap) != -EINVAL)
			_exit(2);
		if (mkdir("/usr/share/X11/xkb", 0755))
			_exit(3);
		_exit(seat_keymap_create("de", &keymap) == -ENOENT ? 0 : 4);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_read),
		cmocka_unit_test(nonsense_is_no_layout),
		cmocka_unit_test(unknown_layouts_are_refused_silently),
		cmocka_unit_test(the_environment_changes_nothing),
		cmocka_unit_test(a_host_without_layouts_is_told_apart),
	};

	return cmocka_run_group_tests_name("seat_keymap_layout", tests, NULL, NULL);
}
