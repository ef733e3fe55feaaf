/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct status` and `viaduct reload`. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/text.h"

static const json_t *operation(const json_t *disk, const char *name)
{
	return json_object_get(json_object_get(disk, "operations"), name);
}

static uint64_t violations(const json_t *disk)
{
	json_t *reasons = json_object_get(disk, "violations");
	uint64_t sum = 0;
	const char *key;
	json_t *value;

	json_object_foreach(reasons, key, value)
		sum += (uint64_t)json_integer_value(value);
	return sum;
}

static void state_cell(struct table *table, const json_t *disk)
{
	if (api_text(disk, "error")[0])
		table_cell(table, TABLE_BAD, "%s", api_text(disk, "error"));
	else if (api_flag(disk, "broken"))
		table_cell(table, TABLE_BAD, "broken");
	else if (api_flag(disk, "connected"))
		table_cell(table, TABLE_GOOD, "connected");
	else
		table_cell(table, TABLE_DIM, "waiting");
}

static void bytes_cell(struct table *table, const json_t *disk, const char *name)
{
	char text[TEXT_NUMBER_MAX];

	table_cell(table, TABLE_PLAIN, "%s", text_size(text, api_number(operation(disk, name), "bytes")));
}

static void latency_cell(struct table *table, const json_t *disk, const char *name)
{
	const json_t *latency = json_object_get(operation(disk, name), "latency_ns");
	char p50[TEXT_NUMBER_MAX], p99[TEXT_NUMBER_MAX];

	if (api_number(operation(disk, name), "operations") == 0)
		table_cell(table, TABLE_DIM, "-");
	else
		table_cell(table, TABLE_PLAIN, "%s / %s", text_duration(p50, api_number(latency, "p50")),
			   text_duration(p99, api_number(latency, "p99")));
}

static void count_cell(struct table *table, uint64_t count, enum table_style style)
{
	char text[TEXT_NUMBER_MAX];

	table_cell(table, count > 0 ? style : TABLE_DIM, "%s", text_count(text, count));
}

static void disk_row(struct table *table, const json_t *disk)
{
	char text[TEXT_NUMBER_MAX];
	const char *pool = api_text(disk, "pool");

	table_row(table);
	table_cell(table, TABLE_BOLD, "%s", api_text(disk, "name"));
	state_cell(table, disk);
	table_cell(table, TABLE_PLAIN, "%s", text_size(text, api_number(disk, "size_bytes")));
	table_cell(table, TABLE_PLAIN, "%s", pool[0] ? pool : api_text(disk, "path"));
	bytes_cell(table, disk, "read");
	bytes_cell(table, disk, "write");
	latency_cell(table, disk, "read");
	latency_cell(table, disk, "write");
	count_cell(table, api_number(disk, "errors"), TABLE_BAD);
	count_cell(table, api_number(disk, "refused"), TABLE_WARNING);
	count_cell(table, violations(disk), TABLE_BAD);
}

int command_status(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	static const struct table_column columns[] = {
		{ "DISK", false, false },     { "STATE", false, true },	    { "SIZE", true, false },
		{ "ON", false, true },	      { "READ", true, false },	    { "WRITTEN", true, false },
		{ "READ p50/p99", true, false }, { "WRITE p50/p99", true, false }, { "ERRORS", true, false },
		{ "REFUSED", true, false },   { "VIOLATIONS", true, false },
	};
	struct cli_arguments arguments;
	struct table *table;
	const json_t *disk;
	json_t *answer;
	size_t index;
	int result = cli_parse(cli, command, argc, argv, NULL, 0, 0, &arguments);

	if (result == CLI_OK)
		result = cli_get(cli, command, "/v1/status", &answer);
	if (result != CLI_OK)
		return result;
	if (cli->json) {
		cli_print_json(answer);
	} else {
		table = table_create(columns, sizeof(columns) / sizeof(columns[0]));
		json_array_foreach(cli_list(answer, "disks"), index, disk)
			disk_row(table, disk);
		table_print(table, stdout, cli_terminal_width(STDOUT_FILENO), cli->colour);
		table_destroy(table);
	}
	json_decref(answer);
	return CLI_OK;
}

int command_reload(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct cli_arguments arguments;
	const json_t *line;
	json_t *answer;
	size_t index;
	int result = cli_parse(cli, command, argc, argv, NULL, 0, 0, &arguments);

	if (result == CLI_OK)
		result = cli_call(cli, command, "POST", "/v1/reload", NULL, &answer, NULL);
	if (result != CLI_OK)
		return result;
	if (cli->json) {
		cli_print_json(answer);
	} else {
		puts("configuration read again");
		json_array_foreach(json_object_get(answer, "changes"), index, line)
			printf("  %s\n", json_string_value(line) ? json_string_value(line) : "");
	}
	json_decref(answer);
	return CLI_OK;
}
