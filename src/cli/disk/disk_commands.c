/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct disk list`, `create`, `resize`, `rename`, `delete`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/device_model.h"
#include "cli/disk/disk_names.h"
#include "cli/listing.h"
#include "cli/text.h"

int disk_name_check(const struct cli_command *command, const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t guest = strspn(name, allowed), disk;

	if (guest == 0 || name[guest] != '/')
		return cli_usage(command, "\"%s\" is no disk name; write GUEST/NAME, for example alice/root",
				 name);
	disk = strspn(name + guest + 1, allowed);
	if (disk == 0 || name[guest + 1 + disk] != '\0')
		return cli_usage(command,
				 "\"%s\" is no disk name; letters, digits, '.', '_' and '-' are allowed",
				 name);
	return CLI_OK;
}

static void disk_row(struct table *table, const json_t *disk)
{
	const char *pool = api_text(disk, "pool");
	char text[TEXT_NUMBER_MAX];

	table_row(table);
	table_cell(table, TABLE_BOLD, "%s", api_text(disk, "name"));
	table_cell(table, TABLE_PLAIN, "%s", text_size(text, api_number(disk, "size_bytes")));
	table_cell(table, TABLE_PLAIN, "%s", pool[0] ? pool : api_text(disk, "path"));
	device_model_cell(table, disk);
	table_cell(table, api_flag(disk, "read_only") ? TABLE_WARNING : TABLE_PLAIN,
		   api_flag(disk, "read_only") ? "read" : "write");
	table_cell(table, api_flag(disk, "connected") ? TABLE_GOOD : TABLE_DIM,
		   api_flag(disk, "connected") ? "connected" : "waiting");
	table_cell(table, TABLE_PLAIN, "%s", api_text(disk, "socket"));
}

int command_disk_list(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	static const struct table_column columns[] = {
		{ "DISK", false, false },  { "SIZE", true, false },    { "ON", false, true },
		{ "MODEL", false, true },  { "ACCESS", false, false }, { "STATE", false, false },
		{ "SOCKET", false, true },
	};
	static const struct listing listing = {
		"/v1/disks", "disks", columns, sizeof(columns) / sizeof(columns[0]), disk_row,
	};

	return listing_run(cli, command, argc, argv, &listing);
}

/* Prints what a change left behind: the disk's JSON, or one sentence. */
static int report(struct cli *cli, json_t *answer, const char *sentence)
{
	char text[TEXT_NUMBER_MAX];

	if (cli->json)
		cli_print_json(answer);
	else if (api_text(answer, "status")[0]) /* accepted, but not done yet */
		printf("%s\n", api_text(answer, "status"));
	else
		printf("%s %s (%s)\n", sentence, api_text(answer, "name"),
		       text_size(text, api_number(answer, "size_bytes")));
	json_decref(answer);
	return CLI_OK;
}

int command_disk_create(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	const char *pool = NULL, *size = NULL;
	const struct cli_option options[] = { { "pool", &pool, NULL }, { "size", &size, NULL }, { 0 } };
	struct cli_arguments arguments;
	json_t *answer = NULL;
	uint64_t bytes = 0;
	int result = cli_parse(cli, command, argc, argv, options, 1, 1, &arguments);

	if (result == CLI_OK)
		result = disk_name_check(command, arguments.words[0]);
	if (result == CLI_OK && (!pool || !size))
		result = cli_usage(command, "%s is missing", !pool ? "--pool POOL" : "--size SIZE");
	if (result == CLI_OK)
		result = cli_parse_size(command, "--size", size, &bytes);
	if (result == CLI_OK)
		result = cli_call(cli, command, "POST", "/v1/disks",
				  json_pack("{s:s, s:s, s:I}", "name", arguments.words[0], "pool", pool,
					    "size_bytes", (json_int_t)bytes),
				  &answer, NULL);
	return result == CLI_OK ? report(cli, answer, "created") : result;
}

/* "+1G" is relative to the size now. */
static int wanted_size(struct cli *cli, const struct cli_command *command, const char *name, const char *size,
		       uint64_t *ret_bytes)
{
	json_t *answer = NULL;
	char *path;
	int result = cli_parse_size(command, "--size", size[0] == '+' ? size + 1 : size, ret_bytes);

	if (result != CLI_OK || size[0] != '+')
		return result;
	path = cli_api_path("/v1/disks", name);
	result = cli_get(cli, command, path, &answer);
	free(path);
	if (result == CLI_OK)
		*ret_bytes += api_number(answer, "size_bytes");
	json_decref(answer);
	return result;
}

static int patch(struct cli *cli, const struct cli_command *command, const char *name, json_t *body,
		 const char *sentence)
{
	char *path = cli_api_path("/v1/disks", name);
	json_t *answer = NULL;
	int result = cli_call(cli, command, "PATCH", path, body, &answer, NULL);

	free(path);
	return result == CLI_OK ? report(cli, answer, sentence) : result;
}

int command_disk_resize(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	const char *size = NULL;
	const struct cli_option options[] = { { "size", &size, NULL }, { 0 } };
	struct cli_arguments arguments;
	uint64_t bytes = 0;
	int result = cli_parse(cli, command, argc, argv, options, 1, 1, &arguments);

	if (result == CLI_OK)
		result = disk_name_check(command, arguments.words[0]);
	if (result == CLI_OK && !size)
		result = cli_usage(command, "--size SIZE is missing");
	if (result == CLI_OK && size)
		result = wanted_size(cli, command, arguments.words[0], size, &bytes);
	if (result != CLI_OK)
		return result;
	return patch(cli, command, arguments.words[0], json_pack("{s:I}", "size_bytes", (json_int_t)bytes),
		     "grown:");
}

int command_disk_rename(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct cli_arguments arguments;
	int result = cli_parse(cli, command, argc, argv, NULL, 2, 2, &arguments);

	if (result == CLI_OK)
		result = disk_name_check(command, arguments.words[0]);
	if (result == CLI_OK)
		result = disk_name_check(command, arguments.words[1]);
	if (result != CLI_OK)
		return result;
	return patch(cli, command, arguments.words[0], json_pack("{s:s}", "name", arguments.words[1]),
		     "renamed to");
}

int command_disk_delete(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	bool yes = false;
	const struct cli_option options[] = { { "yes", NULL, &yes }, { 0 } };
	struct cli_arguments arguments;
	json_t *answer = NULL;
	char *path;
	int result = cli_parse(cli, command, argc, argv, options, 1, 1, &arguments);

	if (result == CLI_OK)
		result = disk_name_check(command, arguments.words[0]);
	if (result == CLI_OK && !yes)
		result = cli_usage(command, "the data of %s will be gone; add --yes to go on",
				   arguments.words[0]);
	if (result != CLI_OK)
		return result;
	path = cli_api_path("/v1/disks", arguments.words[0]);
	result = cli_call(cli, command, "DELETE", path, NULL, &answer, NULL);
	free(path);
	if (result != CLI_OK)
		return result;
	if (cli->json)
		cli_print_json(answer);
	else
		printf("deleted %s\n", arguments.words[0]);
	json_decref(answer);
	return CLI_OK;
}
