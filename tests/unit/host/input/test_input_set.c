/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which devices are wanted, and folders in which there are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/log.h"
#include "core/loop.h"
#include "host/input/input_set.h"

static void test_texts(void **state)
{
	static const struct {
		const char *text;
		bool fine;
	} cases[] = {
		{ "none", true },
		{ "all", true },
		{ "/dev/input/event3", true },
		{ " /dev/input/event3 ,/dev/input/by-path/pci-0000:00:14.0-usb-0:1:1.0-event-kbd", true },
		{ "", false },
		{ " , ,", false },
		{ "event3", false },
		{ "/dev/input/event3, all", false },
		{ "All", false },
	};
	char many[40 * 24] = "", longer[INPUT_PATH_SIZE + 1] = "/";

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(input_check_wanted(cases[i].text) == NULL, cases[i].fine);
	for (unsigned i = 0; i < 32; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many), "/dev/input/event%u,", i);
	assert_null(input_check_wanted(many));
	strcat(many, "/dev/input/event99");
	assert_non_null(input_check_wanted(many));
	memset(longer + 1, 'x', INPUT_PATH_SIZE - 3);
	assert_null(input_check_wanted(longer));
	longer[INPUT_PATH_SIZE - 2] = 'x';
	assert_non_null(input_check_wanted(longer));
}

static void test_paths_of_a_list(void **state)
{
	const char *list = " /a b , /c,,  /d";
	char path[INPUT_PATH_SIZE];

	assert_true(input_next_path(&list, path));
	assert_string_equal(path, "/a b");
	assert_true(input_next_path(&list, path));
	assert_string_equal(path, "/c");
	assert_true(input_next_path(&list, path));
	assert_string_equal(path, "/d");
	assert_false(input_next_path(&list, path));
	assert_false(input_next_path(&list, path));
}

static const struct input_reader_ops no_ops;

/* Files that are no input devices, whatever they are called; and a folder that is not there. */
static void test_no_devices(void **state)
{
	char folder[] = "/tmp/viaduct-input-XXXXXX", path[64];
	struct loop_options options = { .name = "test" };
	struct loop *loop;

	log_set_level(LOG_LEVEL_ERROR);
	assert_int_equal(loop_create(&options, &loop), 0);
	assert_non_null(mkdtemp(folder));
	for (unsigned kind = 0; kind < 3; kind++) {
		struct input_set set = { .wanted = "all", .folder = folder, .ops = &no_ops };

		snprintf(path, sizeof(path), "%s/event%u", folder, kind);
		if (kind == 0)
			assert_int_equal(mkdir(path, 0700), 0);
		else if (kind == 1)
			assert_int_equal(symlink("/dev/null", path), 0);
		else
			assert_int_equal(mkfifo(path, 0600), 0);
		input_set_adopt(&set, open("/dev/null", O_RDONLY | O_CLOEXEC));
		input_set_open(&set);
		assert_int_equal(set.count, 0);
		assert_int_equal(set.handed_count, 0);
		assert_int_equal(input_set_start(&set, loop), 0);
		assert_int_equal(loop_turn(loop, 0), 0);
		input_set_stop(&set);
		input_set_close(&set);
		if (kind == 0)
			rmdir(path);
		else
			unlink(path);
	}
	rmdir(folder);
	for (unsigned all = 0; all < 2; all++) {
		struct input_set set = { .wanted = all ? "all" : path, .folder = folder, .ops = &no_ops };

		input_set_open(&set);
		assert_int_equal(set.count, 0);
		assert_int_equal(input_set_start(&set, loop), 0);
		input_set_stop(&set);
		input_set_close(&set);
	}
	loop_destroy(loop);
}

static void test_what_can_be_done(void **state)
{
	struct evdev_device *device;

	assert_non_null(strstr(input_advice(-EACCES), "group input"));
	assert_string_equal(input_advice(-ENOENT), "");
	assert_int_equal(evdev_device_open("/dev/null", -1, true, &device), -ENODEV);
	assert_int_equal(evdev_device_open("/no/such/device", -1, true, &device), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_paths_of_a_list),
		cmocka_unit_test(test_no_devices),
		cmocka_unit_test(test_what_can_be_done),
	};

	return cmocka_run_group_tests_name("input_set", tests, NULL, NULL);
}
