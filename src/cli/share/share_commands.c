/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `viaduct disk set`, `guest set`, `group set`: shares of the physical disks' time, shown and changed at run
 * time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/disk/disk_names.h"
#include "cli/table.h"
#include "cli/text.h"

/*
 * What a user writes and what the API calls it; latency targets are for disks. A guest or a group has one
 * share for each resource: there, both begin with "disk_".
 */
static const struct setting {
	const char *word, *field;
	enum { SETTING_COUNT, SETTING_BYTES, SETTING_MS, SETTING_US } unit;
	bool zero_is_none;
} settings[] = {
	{ "weight", "weight", SETTING_COUNT, false },
	{ "min_iops", "min_iops", SETTING_COUNT, true },
	{ "max_iops", "max_iops", SETTING_COUNT, true },
	{ "min_bandwidth", "min_bandwidth", SETTING_BYTES, true },
	{ "max_bandwidth", "max_bandwidth", SETTING_BYTES, true },
	{ "burst", "burst", SETTING_MS, false },
	{ "latency_target", "latency_target_us", SETTING_US, true },
};
#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

#define NAME_MAX_BYTES 32

/* Whose shares a command sets. */
struct scope {
	const char *path;	/* of the API */
	const char *prefix;	/* of words and fields */
};
static const struct scope of_disk = { "/v1/disks", "" }, of_guest = { "/v1/guests", "disk_" },
			  of_group = { "/v1/groups", "disk_" };

static const char *prefixed(const struct scope *scope, const char *name, char buffer[NAME_MAX_BYTES])
{
	snprintf(buffer, NAME_MAX_BYTES, "%s%s", scope->prefix, name);
	return buffer;
}

/* ---- KEY=VALUE ---- */

static const struct setting *find_setting(const struct cli_command *command, const struct scope *scope,
					  const char *word, size_t length)
{
	char typed[64], words[SETTINGS][NAME_MAX_BYTES];
	const char *names[SETTINGS + 1] = { NULL }, *nearest;

	snprintf(typed, sizeof(typed), "%.*s", (int)(length < 60 ? length : 60), word);
	for (size_t i = 0; i < SETTINGS; i++) {
		names[i] = prefixed(scope, settings[i].word, words[i]);
		if (strcmp(names[i], typed) == 0)
			return &settings[i];
		if (strcmp(settings[i].word, typed) == 0) {
			fprintf(stderr,
				"viaduct %s: %s is called %s now; the old name is read until version 1.0\n",
				command->name, typed, names[i]);
			return &settings[i];
		}
	}
	nearest = cli_nearest(typed, names);
	if (nearest)
		cli_usage(command, "there is no setting \"%s\"; did you mean %s?", typed, nearest);
	else
		cli_usage(
			command,
			"there is no setting \"%s\"; there are %sweight, min_iops, max_iops, min_bandwidth, "
			"max_bandwidth and burst%s",
			typed, scope->prefix[0] ? "those that begin with disk_: " : "",
			scope->prefix[0] ? "" : ", and latency_target");
	return NULL;
}

/* A number of the API; NULL when the text is none. */
static json_t *parse_value(const struct setting *setting, const char *text)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t bytes;

	if (strcmp(text, "default") == 0)
		return json_null();
	if (setting->zero_is_none && strcmp(text, "none") == 0)
		return json_integer(0);
	if (setting->unit == SETTING_BYTES)
		return text_size_parse(text, &bytes) == 0 ? json_integer((json_int_t)bytes) : NULL;
	if (digits == 0 || digits > 18 || text[digits])
		return NULL;
	return json_integer(strtoll(text, NULL, 10));
}

static int add_setting(const struct cli_command *command, const struct scope *scope, const char *word,
		       json_t *body)
{
	char field[NAME_MAX_BYTES];
	const char *equals = strchr(word, '=');
	const struct setting *setting;
	json_t *value;

	if (!equals)
		return cli_usage(command, "\"%s\" sets nothing; write KEY=VALUE, for example %sweight=300",
				 word, scope->prefix);
	setting = find_setting(command, scope, word, (size_t)(equals - word));
	if (!setting)
		return CLI_USAGE;
	prefixed(scope, setting->field, field);
	if (json_object_get(body, field))
		return cli_usage(command, "%s is given twice", setting->word);
	value = parse_value(setting, equals + 1);
	if (!value)
		return cli_usage(
			command,
			"\"%s\" is not %s; write a number%s, or \"default\" for what the configuration says",
			word, setting->unit == SETTING_BYTES ? "a size" : "a whole number",
			setting->zero_is_none ? ", \"none\"" : "");
	json_object_set_new(body, field, value);
	return CLI_OK;
}

/* ---- showing ---- */

static void value_cell(struct table *table, const struct setting *setting, uint64_t value)
{
	char text[TEXT_NUMBER_MAX];

	if (setting->zero_is_none && value == 0)
		table_cell(table, TABLE_DIM, "none");
	else if (setting->unit == SETTING_BYTES)
		table_cell(table, TABLE_PLAIN, "%s/s", text_size(text, value));
	else if (setting->unit == SETTING_MS)
		table_cell(table, TABLE_PLAIN, "%llu ms", (unsigned long long)value);
	else if (setting->unit == SETTING_US)
		table_cell(table, TABLE_PLAIN, "%s us", text_count(text, value));
	else
		table_cell(table, TABLE_PLAIN, "%s", text_count(text, value));
}

static int print_share(struct cli *cli, const struct scope *scope, const json_t *object)
{
	static const struct table_column columns[] = { { "SETTING", false, false },
						       { "VALUE", true, false } };
	const json_t *share = json_object_get(object, "share");
	struct table *table;

	if (cli->json)
		return cli_print_json(share);
	table = table_create(columns, 2);
	for (size_t i = 0; i < SETTINGS; i++) {
		char field[NAME_MAX_BYTES], word[NAME_MAX_BYTES];

		if (!json_object_get(share, prefixed(scope, settings[i].field, field)))
			continue;
		table_row(table);
		table_cell(table, TABLE_BOLD, "%s", prefixed(scope, settings[i].word, word));
		value_cell(table, &settings[i], api_number(share, field));
	}
	table_print(table, stdout, cli_terminal_width(STDOUT_FILENO), cli->colour);
	table_destroy(table);
	if (api_text(object, "share_error")[0])
		printf("not as asked for: %s\n", api_text(object, "share_error"));
	return CLI_OK;
}

/* ---- the commands ---- */

static int set(struct cli *cli, const struct cli_command *command, const struct scope *scope,
	       const struct cli_arguments *arguments)
{
	json_t *body = json_object(), *answer = NULL;
	int result = CLI_OK;
	char *path;

	for (int i = 1; i < arguments->count && result == CLI_OK; i++)
		result = add_setting(command, scope, arguments->words[i], body);
	if (result != CLI_OK) {
		json_decref(body);
		return result;
	}
	path = cli_api_path(scope->path, arguments->words[0]);
	if (json_object_size(body) > 0)
		result = cli_call(cli, command, "PATCH", path, json_incref(body), &answer, NULL);
	else
		result = cli_get(cli, command, path, &answer);
	if (result == CLI_OK)
		result = print_share(cli, scope, answer);
	json_decref(answer);
	json_decref(body);
	free(path);
	return result;
}

int command_disk_set(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct cli_arguments arguments;
	int result = cli_parse(cli, command, argc, argv, NULL, 1, CLI_WORDS_MAX, &arguments);

	if (result == CLI_OK)
		result = disk_name_check(command, arguments.words[0]);
	return result == CLI_OK ? set(cli, command, &of_disk, &arguments) : result;
}

int command_guest_set(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct cli_arguments arguments;
	int result = cli_parse(cli, command, argc, argv, NULL, 1, CLI_WORDS_MAX, &arguments);

	return result == CLI_OK ? set(cli, command, &of_guest, &arguments) : result;
}

int command_group_set(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct cli_arguments arguments;
	int result = cli_parse(cli, command, argc, argv, NULL, 1, CLI_WORDS_MAX, &arguments);

	return result == CLI_OK ? set(cli, command, &of_group, &arguments) : result;
}
