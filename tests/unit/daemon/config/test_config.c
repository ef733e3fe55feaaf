/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Good configurations are understood, and each mistake gets the message that says what would be right. */
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

#include "core/log.h"
#include "daemon/config/config.h"
#include "daemon/config/config_values.h"
#include "host/host_disk.h"

#define GOOD_POOL  "[pool main]\npath = /p\nsize = 8G\n"
#define GOOD_GUEST "[guest alice]\n"

struct mistake {
	const char *text;
	const char *message;	/* the whole of it */
};

static struct config *parse(const char *text, struct config_messages *messages)
{
	struct config *config = config_create();

	assert_non_null(config);
	config_parse(config, "t.conf", text, strlen(text), messages);
	config_check(config, messages);
	return config;
}

static void expect_one(const struct mistake *mistake)
{
	struct config_messages messages = { .count = 0 };
	struct config *config = parse(mistake->text, &messages);

	if (messages.count != 1) {
		for (unsigned i = 0; i < messages.kept; i++)
			print_message("%s\n", messages.text[i]);
		print_message("for: %s\n", mistake->text);
	}
	assert_int_equal(messages.count, 1);
	assert_string_equal(messages.text[0], mistake->message);
	config_destroy(config);
	config_messages_finish(&messages);
}

static const struct mistake syntax_mistakes[] = {
	{ "[pol main]\n", "t.conf:1: unknown section [pol main]; did you mean [pool main]?" },
	{ "[network x]\n", "t.conf:1: unknown section [network x]; known sections: [daemon], [pool NAME], "
			   "[switch NAME], [group NAME], [guest NAME], [disk GUEST/NAME], "
			   "[nic GUEST/NAME], [seat NAME], [display GUEST/NAME], "
			   "[keyboard GUEST/NAME], [tablet GUEST/NAME], "
			   "[console GUEST/NAME]" },
	{ "[daemon]\n\n# c\nworker = 2\n",
	  "t.conf:4: unknown key 'worker' in [daemon]; did you mean 'workers'?" },
	{ GOOD_POOL "sise = 1G\n", "t.conf:4: unknown key 'sise' in [pool main]; did you mean 'size'?" },
	{ GOOD_GUEST "colour = red\n",
	  "t.conf:2: unknown key 'colour' in [guest alice]; known keys: socket_owner, "
	  "socket_group, socket_mode, memory, group, own_worker, disk_weight, disk_min_iops, "
	  "disk_max_iops, disk_min_bandwidth, disk_max_bandwidth, disk_burst, nic_weight, "
	  "nic_min_bandwidth, nic_max_bandwidth, nic_max_pps, nic_burst" },
	{ "workers = 2\n",
	  "t.conf:1: 'workers' stands before the first section; start with one, for example [daemon]" },
	{ "[daemon\n", "t.conf:1: ']' is missing at the end of the section's name" },
	{ "[daemon] workers = 2\n", "t.conf:1: there is text after the ']' of the section's name" },
	{ "[daemon]\nworkers 2\n", "t.conf:2: expected '[section name]' or 'key = value'" },
	{ "[daemon]\n= 2\n", "t.conf:2: there is no key before the '='" },
	{ "[daemon x]\n", "t.conf:1: bad name 'x' for a section of kind daemon: write it like [daemon]" },
	{ "[guest]\n",
	  "t.conf:1: bad name '' for a section of kind guest: write it like [guest alice], with letters, "
	  "digits, '.', '_' and '-' (not first), at most 63 characters" },
	{ "[disk root]\n",
	  "t.conf:1: bad name 'root' for a section of kind disk: write it like [disk alice/root], with "
	  "letters, digits, '.', '_' and '-' (not first), at most 63 characters" },
	{ "[guest ../etc]\n",
	  "t.conf:1: bad name '../etc' for a section of kind guest: write it like [guest alice], with "
	  "letters, digits, '.', '_' and '-' (not first), at most 63 characters" },
};

static const struct mistake value_mistakes[] = {
	{ "[daemon]\nworkers = two\n", "t.conf:2: workers = two is not a whole number" },
	{ "[daemon]\nworkers = 0\n", "t.conf:2: workers = 0 is out of range: give a number from 1 to 64" },
	{ "[daemon]\nworkers = 99999999999999999999\n",
	  "t.conf:2: workers = 99999999999999999999 is out of range: give a number from 1 to 64" },
	{ "[daemon]\nsandbox = maybe\n", "t.conf:2: sandbox = maybe is neither yes nor no" },
	{ "[daemon]\nlog_level = loud\n",
	  "t.conf:2: log_level = loud is none of: error, warning, info, debug" },
	{ "[daemon]\nruntime_dir = run\n",
	  "t.conf:2: runtime_dir = run is not an absolute path: it must start with '/'" },
	{ "[daemon]\nuser =\n", "t.conf:2: user =  is empty: give a name, or leave the line out" },
	{ "[pool main]\npath = /p\nsize = 8Q\n",
	  "t.conf:3: size = 8Q is not a size: give a number of bytes, or with K, M, G or T, for example 8G" },
	{ "[pool main]\npath = /p\nsize = 0\n", "t.conf:3: size = 0 is out of range: give 16M to 1024T" },
	{ "[pool main]\npath = /p\nsize = -1\n",
	  "t.conf:3: size = -1 is not a size: give a number of bytes, or with K, M, G or T, for example 8G" },
	{ "[pool main]\npath = /p\nsize = 18446744073709551615T\n",
	  "t.conf:3: size = 18446744073709551615T is out of range: give 16M to 1024T" },
	{ GOOD_GUEST "socket_mode = 9\n",
	  "t.conf:2: socket_mode = 9 is not an octal mode, for example 0660" },
	{ GOOD_GUEST "socket_mode = 1777\n",
	  "t.conf:2: socket_mode = 1777 is out of range: give an octal mode up to 0777" },
	{ GOOD_GUEST "[disk alice/a]\npath = /a\nserial = 123456789012345678901\n",
	  "t.conf:4: serial = 123456789012345678901 is not a serial number: give 1 to 20 printable ASCII "
	  "characters" },
	{ "[daemon]\npoll_us = 1\npoll_us = 2\n", "t.conf:3: poll_us is already given at t.conf:2" },
};

static const struct mistake object_mistakes[] = {
	{ GOOD_GUEST "[guest alice]\n", "t.conf:2: [guest alice] is already declared at t.conf:1" },
	{ GOOD_POOL GOOD_GUEST "[disk alice/r]\npool = main\nsize = 1G\n[disk alice/r]\npool = main\n",
	  "t.conf:8: [disk alice/r] is already declared at t.conf:5" },
	{ GOOD_POOL GOOD_GUEST "[disk alcie/r]\npool = main\nsize = 1G\n",
	  "t.conf:5: the guest 'alcie' of [disk alcie/r] is not declared; did you mean [disk alice/r]? or "
	  "add a section "
	  "[guest alcie]" },
	{ GOOD_POOL "[disk bob/r]\npool = main\nsize = 1G\n",
	  "t.conf:4: the guest 'bob' of [disk bob/r] is not declared; add a section [guest bob]" },
	{ GOOD_POOL GOOD_GUEST "[disk alice/r]\nsize = 1G\npool = mian\n",
	  "t.conf:7: the pool 'mian' of [disk alice/r] is not declared; did you mean pool = main?" },
	{ GOOD_POOL GOOD_GUEST "[disk alice/r]\nsize = 1G\npool = fast\n",
	  "t.conf:7: the pool 'fast' of [disk alice/r] is not declared; add a section [pool fast]" },
	{ GOOD_POOL GOOD_GUEST "[disk alice/r]\npool = main\n",
	  "t.conf:5: [disk alice/r] has no size; add for example size = 4G" },
	{ GOOD_POOL GOOD_GUEST "[disk alice/r]\npool = main\npath = /x\nsize = 1G\n",
	  "t.conf:7: [disk alice/r] has both pool and path; keep pool for a part of a pool, or path for a "
	  "file of its "
	  "own" },
	{ GOOD_GUEST "[disk alice/r]\n",
	  "t.conf:2: [disk alice/r] has neither pool nor path; add for example pool = main" },
	{ GOOD_GUEST "[disk alice/r]\npath = /x\nsize = 1G\n",
	  "t.conf:4: size does not go with path: [disk alice/r] is as large as its file; take size out" },
	{ GOOD_POOL GOOD_GUEST "[disk alice/r]\npool = main\nsize = 1G\ncache = direct\n",
	  "t.conf:8: cache belongs to the pool of [disk alice/r]; set it in [pool main] and take it out "
	  "here" },
	{ "[pool main]\nsize = 8G\n",
	  "t.conf:1: [pool main] has no path; add for example path = /var/lib/viaduct/main.pool" },
	{ "[pool main]\npath = /p\n", "t.conf:1: [pool main] has no size; add for example size = 8G" },
	{ GOOD_POOL "[pool other]\npath = /p\nsize = 1G\n",
	  "t.conf:5: [pool other] uses /p, which [pool main] at t.conf:1 uses already; give each a path of "
	  "its own" },
	{ GOOD_POOL GOOD_GUEST "[disk alice/r]\npath = /p\n",
	  "t.conf:6: [disk alice/r] uses /p, which [pool main] at t.conf:1 uses already; give each a path of "
	  "its own" },
	{ GOOD_GUEST "[disk alice/r]\npath = /x\nsocket = /s\nconnect = /c\n",
	  "t.conf:5: [disk alice/r] has both socket and connect; keep socket to listen, or connect for "
	  "client mode" },
	{ GOOD_GUEST "[disk alice/a]\npath = /a\nsocket = /s\n[disk alice/b]\npath = /b\nsocket = /s\n",
	  "t.conf:7: socket /s is that of [disk alice/a] at t.conf:2 already; give each device its own" },
};

#define EXPECT_EACH(mistakes)                                                                                \
	for (unsigned i = 0; i < sizeof(mistakes) / sizeof((mistakes)[0]); i++)                             \
		expect_one(&(mistakes)[i])

static void test_syntax_mistakes(void **state)
{
	EXPECT_EACH(syntax_mistakes);
}

static void test_value_mistakes(void **state)
{
	EXPECT_EACH(value_mistakes);
}

static void test_object_mistakes(void **state)
{
	EXPECT_EACH(object_mistakes);
}

static void test_good(void **state)
{
	static const char text[] =
		"\xef\xbb\xbf# a comment\n[daemon]\r\n  workers = 3   # inline\npoll_us=0\nsandbox = off\n"
		"log_level = debug ; other comment\n\n"
		"[pool main]\npath = /var/lib/a#b.pool\nsize = 8GiB\ncache = direct\n"
		"[pool raw]\npath = /dev/vdb\n"
		"[guest alice]\nsocket_mode = 0660\n[guest bob]\n"
		"[disk alice/root]\npool = main\nsize = 4G\nqueues = 2\nserial = A b\n"
		"[disk bob/cd]\npath = /srv/cd.iso\nread_only = yes\npacked = no\nconnect = /run/x.sock";
	struct config_messages messages = { .count = 0 };
	struct config *config = parse(text, &messages);
	const struct config_disk *disk;
	const struct config_pool *pool;

	assert_int_equal(messages.count, 0);
	assert_int_equal(config_daemon(config)->workers, 3);
	assert_int_equal(config_daemon(config)->poll_us, 0);
	assert_false(config_daemon(config)->sandbox);
	assert_int_equal(config_daemon(config)->log_level, LOG_LEVEL_DEBUG);
	pool = (const struct config_pool *)config_find(config_pools(config), "main");
	assert_string_equal(pool->path, "/var/lib/a#b.pool");
	assert_int_equal(pool->size_bytes, 8ull << 30);
	assert_int_equal(pool->cache, HOST_DISK_CACHE_DIRECT);
	assert_int_equal(
		((const struct config_guest *)config_find(config_guests(config), "alice"))->socket_mode,
		0660);
	disk = (const struct config_disk *)config_find(config_disks(config), "alice/root");
	assert_string_equal(disk->pool, "main");
	assert_int_equal(disk->size_bytes, 4ull << 30);
	assert_int_equal(disk->queues, 2);
	assert_string_equal(disk->serial, "A b");
	disk = (const struct config_disk *)config_find(config_disks(config), "bob/cd");
	assert_true(disk->read_only);
	assert_false(disk->packed);
	assert_string_equal(disk->device.connect, "/run/x.sock");
	config_destroy(config);
	config_messages_finish(&messages);
}

static void test_defaults(void **state)
{
	struct config *config = config_create();

	assert_int_equal(config_daemon(config)->workers, 0);
	assert_true(config_daemon(config)->sandbox);
	assert_int_equal(config_daemon(config)->log_level, LOG_LEVEL_INFO);
	assert_null(config_daemon(config)->runtime_dir);
	config_destroy(config);
}

static void test_several_messages_in_one_run(void **state)
{
	struct config_messages messages = { .count = 0 };
	struct config *config =
		parse("[daemon]\nx = 1\n[pool main]\npath = p\n[disk a/b]\npool = q\nsize = 0\n", &messages);

	assert_int_equal(messages.count, 5);
	assert_string_equal(messages.text[1],
			    "t.conf:4: path = p is not an absolute path: it must start with '/'");
	config_destroy(config);
	config_messages_finish(&messages);
}

static void test_rubbish_is_bounded(void **state)
{
	struct config_messages messages = { .count = 0 };
	struct config *config = config_create();
	char *text = malloc(20000);

	for (unsigned i = 0; i < 20000; i++)
		text[i] = i % 2 ? '\n' : 'x';
	config_parse(config, "t.conf", text, 20000, &messages);
	assert_int_equal(messages.count, 10000);
	assert_int_equal(messages.kept, CONFIG_MESSAGES_MAX);
	memset(text, 'y', 20000);
	config_messages_finish(&messages);
	config_parse(config, "t.conf", text, 20000, &messages);
	assert_string_equal(messages.text[0], "t.conf:1: the line is too long (more than 4351 bytes)");
	config_messages_finish(&messages);
	config_parse(config, "t.conf", "a\0b\n", 4, &messages);
	assert_string_equal(messages.text[0], "t.conf:1: the line holds a NUL byte: this is not a text file");
	config_messages_finish(&messages);
	config_destroy(config);
	free(text);
}

static void test_split_name(void **state)
{
	char guest[CONFIG_GUEST_MAX + 1];
	const char *rest;

	assert_true(config_split_name("alice/root", guest, &rest));
	assert_string_equal(guest, "alice");
	assert_string_equal(rest, "root");
	assert_false(config_split_name("alice", guest, &rest));
	assert_false(config_split_name("alice/", guest, &rest));
	assert_false(config_split_name("/root", guest, &rest));
	assert_false(config_split_name("a/b/c", guest, &rest));
	assert_false(config_split_name("../b", guest, &rest));
	assert_false(config_split_name("a/-b", guest, &rest));
}

static void test_sizes(void **state)
{
	char text[VALUE_SIZE_TEXT];
	uint64_t bytes;

	assert_int_equal(value_parse_size("1k", &bytes), 0);
	assert_int_equal(bytes, 1024);
	assert_int_equal(value_parse_size("3 MiB", &bytes), 0);
	assert_int_equal(bytes, 3 << 20);
	assert_int_equal(value_parse_size("16777215T", &bytes), 0);
	assert_int_equal(value_parse_size("16777216T", &bytes), -ERANGE);
	assert_int_equal(value_parse_size("", &bytes), -EINVAL);
	assert_int_equal(value_parse_size("1GG", &bytes), -EINVAL);
	assert_int_equal(value_parse_size("1.5G", &bytes), -EINVAL);
	assert_string_equal(value_format_size(1536ull << 20, text), "1536M");
	assert_string_equal(value_format_size(0, text), "0");
	assert_string_equal(value_format_size(4097, text), "4097");
}

/* ---- files ---- */

static void write_file(const char *directory, const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void test_drop_ins(void **state)
{
	char directory[] = "/tmp/viaduct-config-XXXXXX", path[256], command[300], expected[512];
	struct config_messages messages = { .count = 0 };
	struct config *config;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/conf.d", directory);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/v.conf", directory);
	write_file(directory, "v.conf", "[daemon]\nworkers = 2\n");
	write_file(directory, "conf.d/10-a.conf", GOOD_POOL "[daemon]\npoll_us = 7\n");
	write_file(directory, "conf.d/20-b.conf", GOOD_GUEST "[disk alice/r]\npool = main\nsize = 1M\n");
	write_file(directory, "conf.d/ignored.txt", "rubbish\n");
	assert_int_equal(config_load(path, &config, &messages), 0);
	assert_int_equal(config_daemon(config)->workers, 2);
	assert_int_equal(config_daemon(config)->poll_us, 7);
	assert_non_null(config_find(config_disks(config), "alice/r"));
	config_destroy(config);

	write_file(directory, "conf.d/30-c.conf",
		   "\n[guest alice]\n[guest bob]\nsocket_owner = no-such-user-here\n");
	assert_int_equal(config_load(path, &config, &messages), -EINVAL);
	assert_int_equal(messages.count, 2);
	snprintf(expected, sizeof(expected),
		 "%s/conf.d/30-c.conf:2: [guest alice] is already declared at %s/conf.d/20-b.conf:1",
		 directory, directory);
	assert_string_equal(messages.text[0], expected);
	snprintf(expected, sizeof(expected),
		 "%s/conf.d/30-c.conf:4: socket_owner = no-such-user-here in [guest bob]: this host has no "
		 "such user",
		 directory);
	assert_string_equal(messages.text[1], expected);
	config_messages_finish(&messages);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): of a directory that we made */
}

static void test_unreadable_file(void **state)
{
	struct config_messages messages = { .count = 0 };
	struct config *config;

	assert_int_equal(config_load("/no/such.conf", &config, &messages), -ENOENT);
	assert_string_equal(messages.text[0],
			    "/no/such.conf: cannot read the configuration: there is no such file; write "
			    "one, or name another with --config");
	config_messages_finish(&messages);
	assert_int_equal(config_load("/tmp", &config, &messages), -EISDIR);
	assert_string_equal(messages.text[0], "/tmp: cannot read the configuration: Is a directory");
	config_messages_finish(&messages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_syntax_mistakes), cmocka_unit_test(test_value_mistakes),
		cmocka_unit_test(test_object_mistakes), cmocka_unit_test(test_good),
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_several_messages_in_one_run),
		cmocka_unit_test(test_rubbish_is_bounded), cmocka_unit_test(test_split_name),
		cmocka_unit_test(test_sizes), cmocka_unit_test(test_drop_ins),
		cmocka_unit_test(test_unreadable_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
