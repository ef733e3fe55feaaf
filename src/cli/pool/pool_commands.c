/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct pool list` and `pool show`. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/pool/pool_map.h"
#include "cli/listing.h"
#include "cli/text.h"

static void pool_row(struct table *table, const json_t *pool)
{
	char text[TEXT_NUMBER_MAX];

	table_row(table);
	table_cell(table, TABLE_BOLD, "%s", api_text(pool, "name"));
	if (api_text(pool, "error")[0]) {
		for (int i = 0; i < 3; i++)
			table_cell(table, TABLE_DIM, "-");
		table_cell(table, TABLE_BAD, "%s: %s", api_text(pool, "path"), api_text(pool, "error"));
		return;
	}
	table_cell(table, TABLE_PLAIN, "%s", text_size(text, api_number(pool, "total_bytes")));
	table_cell(table, TABLE_PLAIN, "%s", text_size(text, api_number(pool, "used_bytes")));
	table_cell(table, api_number(pool, "free_bytes") ? TABLE_GOOD : TABLE_WARNING, "%s",
		   text_size(text, api_number(pool, "free_bytes")));
	if (api_number(pool, "silent_ns") > 0)
		table_cell(table, TABLE_BAD, "%s: has not answered for %s", api_text(pool, "path"),
			   text_duration(text, api_number(pool, "silent_ns")));
	else
		table_cell(table, TABLE_PLAIN, "%s", api_text(pool, "path"));
}

int command_pool_list(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	static const struct table_column columns[] = {
		{ "POOL", false, false }, { "SIZE", true, false }, { "USED", true, false },
		{ "FREE", true, false },  { "PATH", false, true },
	};
	static const struct listing listing = {
		"/v1/pools", "pools", columns, sizeof(columns) / sizeof(columns[0]), pool_row,
	};

	return listing_run(cli, command, argc, argv, &listing);
}

int command_pool_show(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct cli_arguments arguments;
	json_t *answer;
	char *path;
	int result = cli_parse(cli, command, argc, argv, NULL, 1, 1, &arguments);

	if (result != CLI_OK)
		return result;
	path = cli_api_path("/v1/pools", arguments.words[0]);
	result = cli_get(cli, command, path, &answer);
	free(path);
	if (result != CLI_OK)
		return result;
	if (cli->json)
		cli_print_json(answer);
	else
		pool_map_print(answer, stdout, cli_terminal_width(STDOUT_FILENO), cli->colour);
	json_decref(answer);
	return CLI_OK;
}
