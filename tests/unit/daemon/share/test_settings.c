/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was set at run time: what is written is read again, and nothing but that is accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/share/settings.h"
#include "daemon/base/state.h"

static struct setting *add(struct setting **list, enum share_kind kind, const char *name)
{
	struct setting *setting = calloc(1, sizeof(*setting));

	assert_non_null(setting);
	setting->kind = kind;
	snprintf(setting->name, sizeof(setting->name), "%s", name);
	setting->next = *list;
	*list = setting;
	return setting;
}

static void give(struct setting *setting, enum share_resource resource, enum share_key key, uint64_t value)
{
	setting->part[resource].given[key] = true;
	setting->part[resource].share.value[key] = value;
}

static struct setting *sample(void)
{
	struct setting *list = NULL, *setting = add(&list, SHARE_OF_DISK, "alice/root");

	give(setting, SHARE_DISKS, SHARE_WEIGHT, 300);
	give(setting, SHARE_DISKS, SHARE_MAX_BANDWIDTH, 1500000);	/* no whole KiB */
	give(setting, SHARE_DISKS, SHARE_LATENCY_TARGET, 0);
	setting = add(&list, SHARE_OF_GUEST, "alice");
	give(setting, SHARE_NICS, SHARE_MIN_BANDWIDTH, 20 << 20);
	give(setting, SHARE_DISKS, SHARE_MIN_BANDWIDTH, 10 << 20);
	give(add(&list, SHARE_OF_GUEST, "bob"), SHARE_NICS, SHARE_MAX_IOPS, 0);
	give(add(&list, SHARE_OF_GROUP, "alice"), SHARE_DISKS, SHARE_BURST, 60000);
	setting = add(&list, SHARE_OF_NIC, "alice/root");
	give(setting, SHARE_NICS, SHARE_MAX_IOPS, 5000);
	give(setting, SHARE_NICS, SHARE_WEIGHT, 1);
	return list;
}

static void assert_same(const struct setting *list, struct setting *other)
{
	unsigned count = 0;

	for (const struct setting *setting = list; setting; setting = setting->next, count++) {
		const struct setting *found = settings_find(other, setting->kind, setting->name);

		assert_non_null(found);
		for (unsigned i = 0; i < SHARE_RESOURCES * SHARE_KEYS; i++) {
			const struct setting_part *part = &setting->part[i / SHARE_KEYS],
						  *other_part = &found->part[i / SHARE_KEYS];
			enum share_key key = i % SHARE_KEYS;

			assert_int_equal(other_part->given[key], part->given[key]);
			if (part->given[key])
				assert_int_equal(other_part->share.value[key], part->share.value[key]);
		}
	}
	for (const struct setting *setting = other; setting; setting = setting->next)
		count--;
	assert_int_equal(count, 0);
}

static void test_written_is_read(void **state)
{
	const char *directory = *state;
	struct config_messages messages = { .count = 0 };
	struct setting *list = sample(), *again;

	assert_null(settings_load(directory, &messages));	/* no file is no mistake */
	assert_int_equal(messages.count, 0);
	assert_int_equal(settings_save(directory, list), 0);
	again = settings_load(directory, &messages);
	assert_int_equal(messages.count, 0);
	assert_same(list, again);
	settings_free(again);
	assert_int_equal(settings_save(directory, NULL), 0);
	assert_null(settings_load(directory, &messages));
	assert_int_equal(messages.count, 0);
	settings_free(list);
}

/* A section for each object, with the keys of both resources. */
static void test_one_section_each(void **state)
{
	struct setting *list = NULL, *setting = add(&list, SHARE_OF_GUEST, "alice");
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	assert_non_null(out);
	give(setting, SHARE_NICS, SHARE_MAX_IOPS, 5000);
	give(setting, SHARE_DISKS, SHARE_WEIGHT, 7);
	settings_print(list, out);
	assert_int_equal(fclose(out), 0);
	assert_non_null(strstr(text, "\n[guest alice]\ndisk_weight = 7\nnic_max_pps = 5000\n"));
	settings_free(list);
	free(text);
}

/* As it was written before cards had shares, and before the keys of groups and guests named the resource. */
static void test_old_files_are_read(void **state)
{
	static const char text[] = "[group gold]\nweight = 400\n[guest alice]\ndisk_min_iops = 5\n";
	struct config_messages messages = { .count = 0 };
	struct setting *list = settings_parse("s", text, strlen(text), &messages);
	const struct setting *group = settings_find(list, SHARE_OF_GROUP, "gold"),
			     *guest = settings_find(list, SHARE_OF_GUEST, "alice");

	assert_int_equal(messages.count, 0);
	assert_non_null(group);
	assert_non_null(guest);
	assert_int_equal(group->part[SHARE_DISKS].share.value[SHARE_WEIGHT], 400);
	assert_true(guest->part[SHARE_DISKS].given[SHARE_MIN_IOPS]);
	assert_true(setting_has_part(guest, SHARE_DISKS));
	assert_false(setting_has_part(guest, SHARE_NICS));
	settings_free(list);
}

static const struct {
	const char *text, *message;
} damages[] = {
	{ "[disk alice/root]\nweight = 0\n",
	  "s:2: weight = 0 is out of range: give a number from 1 to 10000" },
	{ "[disk alice/root]\nweigh", "s:2: expected '[section name]' or 'key = value'" },
	{ "[disk alice/root]\nweight = 1\npool = main\n",
	  "s:3: pool cannot be set at run time; set it in the configuration" },
	{ "[guest alice]\ngroup = gold\n",
	  "s:2: group cannot be set at run time; set it in the configuration" },
	{ "[daemon]\nworkers = 2\n", "s:2: workers cannot be set at run time; set it in the configuration" },
	{ "[pool main]\n", "s:1: a pool cannot be set at run time" },
	{ "[switch lan]\n", "s:1: a switch cannot be set at run time" },
	{ "[nic alice/eth0]\nmax_pps = 1\nvlan = 5\n",
	  "s:3: vlan cannot be set at run time; set it in the configuration" },
	{ "\x7f"
	  "ELF\n",
	  "s:1: expected '[section name]' or 'key = value'" },
};

static void test_damage_is_told(void **state)
{
	for (unsigned i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct config_messages messages = { .count = 0 };

		assert_null(settings_parse("s", damages[i].text, strlen(damages[i].text), &messages));
		assert_int_equal(messages.count, 1);
		assert_string_equal(messages.text[0], damages[i].message);
		config_messages_finish(&messages);
	}
}

static void test_damaged_file_is_kept(void **state)
{
	static const char text[] = "[disk alice/root]\nweight = a lot\n";
	const char *directory = *state;
	struct config_messages messages = { .count = 0 };
	size_t length;
	char *bytes;

	assert_int_equal(state_write(directory, SETTINGS_FILE, text, strlen(text), false), 0);
	assert_null(settings_load(directory, &messages));
	assert_int_equal(messages.count, 2);
	assert_non_null(strstr(messages.text[0], "settings.conf:2: weight = a lot is not a whole number"));
	assert_non_null(strstr(messages.text[1], "settings.conf.bad"));
	config_messages_finish(&messages);
	assert_int_equal(state_read(directory, SETTINGS_FILE, &bytes, &length), -ENOENT);
	assert_int_equal(state_read(directory, SETTINGS_FILE ".bad", &bytes, &length), 0);
	assert_int_equal(length, strlen(text));
	assert_memory_equal(bytes, text, length);
	free(bytes);
}

/* A file that cannot be replaced stays what it was, and nothing half-written is left. */
static void test_failed_write(void **state)
{
	char path[256], *bytes;
	const char *directory = *state;
	size_t length;

	assert_int_equal(state_write(directory, "one", "old", 3, true), 0);
	snprintf(path, sizeof(path), "%s/two", directory);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(state_write(directory, "two", "new", 3, true), -EISDIR); /* a name that is taken */
	assert_int_equal(state_read(directory, "two.new", &bytes, &length), -ENOENT);
	assert_int_equal(state_write("/nonexistent", "one", "new", 3, true), -ENOENT);
	assert_int_equal(state_read(directory, "one", &bytes, &length), 0);
	assert_int_equal(length, 3);
	assert_memory_equal(bytes, "old", 3);
	free(bytes);
}

static int make_directory(void **state)
{
	char name[] = "/tmp/viaduct-settings-XXXXXX";

	*state = mkdtemp(name) ? strdup(name) : NULL;
	return *state ? 0 : -1;
}

static int remove_directory(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r '%s'", (char *)*state);
	free(*state);
	return system(command); /* NOLINT(cert-env33-c): of a directory that we made */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_written_is_read, make_directory, remove_directory),
		cmocka_unit_test(test_one_section_each),
		cmocka_unit_test(test_old_files_are_read),
		cmocka_unit_test(test_damage_is_told),
		cmocka_unit_test_setup_teardown(test_damaged_file_is_kept, make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(test_failed_write, make_directory, remove_directory),
	};

	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
