/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `viaduct disk set`, `nic set`, `guest set`, `group set`: shares of the physical devices' time, shown and
 * changed at run time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/disk/disk_names.h"
#include "cli/nic/nic_names.h"
#include "cli/table.h"
#include "cli/text.h"

/* ---- what there is ---- */

/* What a user writes and what the API calls it. */
struct setting {
	const char *word, *field;
	enum { SETTING_COUNT, SETTING_BYTES, SETTING_MS, SETTING_US } unit;
	bool zero_is_none;
	bool of_device;		/* guests and groups have no such setting */
};

/* The settings of a share of each resource, ended by a zero entry. */
static const struct setting disk_settings[] = {
	{ "weight", "weight", SETTING_COUNT },
	{ "min_iops", "min_iops", SETTING_COUNT, .zero_is_none = true },
	{ "max_iops", "max_iops", SETTING_COUNT, .zero_is_none = true },
	{ "min_bandwidth", "min_bandwidth", SETTING_BYTES, .zero_is_none = true },
	{ "max_bandwidth", "max_bandwidth", SETTING_BYTES, .zero_is_none = true },
	{ "burst", "burst", SETTING_MS },
	{ "latency_target", "latency_target_us", SETTING_US, .zero_is_none = true, .of_device = true },
	{ 0 },
};
static const struct setting nic_settings[] = {
	{ "weight", "weight", SETTING_COUNT },
	{ "min_bandwidth", "min_bandwidth", SETTING_BYTES, .zero_is_none = true },
	{ "max_bandwidth", "max_bandwidth", SETTING_BYTES, .zero_is_none = true },
	{ "max_pps", "max_pps", SETTING_COUNT, .zero_is_none = true },
	{ "burst", "burst", SETTING_MS },
	{ 0 },
};

/* Of one resource, as a command knows them. */
struct part {
	const struct setting *settings;
	const char *prefix;	/* of words and fields; "": the share is a device's */
	bool had_no_prefix;	/* the words without it are read until 1.0 */
};

#define PARTS 2

/* Whose shares a command shows and sets. */
struct scope {
	const char *shown_at, *set_at;	/* paths of the API */
	struct part parts[PARTS];	/* settings NULL: there are no more */
};
static const struct scope of_disk = { "/v1/disks", "/v1/disks", { { disk_settings, "" } } },
			  of_nic = { "/v1/devices/nic", "/v1/nics", { { nic_settings, "" } } },
			  of_guest = { "/v1/guests", "/v1/guests",
				       { { disk_settings, "disk_", true }, { nic_settings, "nic_" } } },
			  of_group = { "/v1/groups", "/v1/groups",
				       { { disk_settings, "disk_", true }, { nic_settings, "nic_" } } };

/* A setting with its names in a scope. */
struct named {
	const struct setting *setting;
	char word[32], field[32];
	const char *old_word;	/* NULL: none */
};
#define NAMED_MAX 16

static size_t name_part(const struct part *part, struct named *ret_list)
{
	size_t count = 0;

	for (const struct setting *setting = part->settings; setting && setting->word; setting++) {
		struct named *named = &ret_list[count];

		if (part->prefix[0] && setting->of_device)
			continue;
		named->setting = setting;
		snprintf(named->word, sizeof(named->word), "%s%s", part->prefix, setting->word);
		snprintf(named->field, sizeof(named->field), "%s%s", part->prefix, setting->field);
		named->old_word = part->had_no_prefix ? setting->word : NULL;
		count++;
	}
	return count;
}

/* All settings of a scope; returns how many. */
static size_t name_settings(const struct scope *scope, struct named ret_list[NAMED_MAX])
{
	size_t count = 0;

	for (unsigned i = 0; i < PARTS; i++)
		count += name_part(&scope->parts[i], ret_list + count);
	return count;
}

/* ---- KEY=VALUE ---- */

static void complain_unknown(const struct cli_command *command, const struct named *list, size_t count,
			     const char *typed)
{
	const char *names[NAMED_MAX + 1] = { NULL }, *nearest;
	char all[NAMED_MAX * 34] = "";

	for (size_t i = 0; i < count; i++) {
		size_t used = strlen(all);

		names[i] = list[i].word;
		snprintf(all + used, sizeof(all) - used, "%s%s", i ? ", " : "", list[i].word);
	}
	nearest = cli_nearest(typed, names);
	if (nearest)
		cli_usage(command, "there is no setting \"%s\"; did you mean %s?", typed, nearest);
	else
		cli_usage(command, "there is no setting \"%s\"; there are %s", typed, all);
}

/* NULL after saying what is wrong. */
static const struct named *find_setting(const struct cli_command *command, const struct named *list,
					size_t count, const char *word, size_t length)
{
	char typed[64];

	snprintf(typed, sizeof(typed), "%.*s", (int)(length < 60 ? length : 60), word);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(list[i].word, typed) == 0)
			return &list[i];
		if (list[i].old_word && strcmp(list[i].old_word, typed) == 0) {
			fprintf(stderr,
				"viaduct %s: %s is called %s now; the old name is read until version 1.0\n",
				command->name, typed, list[i].word);
			return &list[i];
		}
	}
	complain_unknown(command, list, count, typed);
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
	const char *equals = strchr(word, '=');
	struct named list[NAMED_MAX];
	const struct named *named;
	json_t *value;

	if (!equals)
		return cli_usage(command, "\"%s\" sets nothing; write KEY=VALUE, for example %sweight=300",
				 word, scope->parts[0].prefix);
	named = find_setting(command, list, name_settings(scope, list), word, (size_t)(equals - word));
	if (!named)
		return CLI_USAGE;
	if (json_object_get(body, named->field))
		return cli_usage(command, "%s is given twice", named->word);
	value = parse_value(named->setting, equals + 1);
	if (!value)
		return cli_usage(
			command,
			"\"%s\" is not %s; write a number%s, or \"default\" for what the configuration says",
			word, named->setting->unit == SETTING_BYTES ? "a size" : "a whole number",
			named->setting->zero_is_none ? ", \"none\"" : "");
	json_object_set_new(body, named->field, value);
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
	struct named list[NAMED_MAX];
	size_t count = name_settings(scope, list);
	struct table *table;

	if (cli->json)
		return cli_print_json(share);
	table = table_create(columns, 2);
	for (size_t i = 0; i < count; i++) {
		if (!json_object_get(share, list[i].field))
			continue;
		table_row(table);
		table_cell(table, TABLE_BOLD, "%s", list[i].word);
		value_cell(table, list[i].setting, api_number(share, list[i].field));
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
	path = cli_api_path(json_object_size(body) > 0 ? scope->set_at : scope->shown_at,
			    arguments->words[0]);
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

int command_nic_set(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct cli_arguments arguments;
	int result = cli_parse(cli, command, argc, argv, NULL, 1, CLI_WORDS_MAX, &arguments);

	if (result == CLI_OK)
		result = nic_name_check(command, arguments.words[0]);
	return result == CLI_OK ? set(cli, command, &of_nic, &arguments) : result;
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
