/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct forward list`, `forward add`, `forward remove`: connections to the host that lead to a guest. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/table.h"

static void add_rows(struct table *table, const json_t *forwards)
{
	const json_t *forward;
	size_t i;

	json_array_foreach((json_t *)forwards, i, forward)
	{
		const char *error = api_text(forward, "error");

		table_row(table);
		table_cell(table, TABLE_BOLD, "%s", api_text(forward, "switch"));
		table_cell(table, TABLE_PLAIN, "%s", api_text(forward, "forward"));
		table_cell(table, TABLE_DIM, api_flag(forward, "configured") ? "configured" : "added");
		table_cell(table, error[0] ? TABLE_BAD : TABLE_GOOD, "%s", error[0] ? error : "works");
	}
}

/* The forwards of all switches, or of one, in one list. */
static json_t *gather(const json_t *answer)
{
	json_t *all = json_array();
	const json_t *shown;
	size_t i;

	if (json_object_get(answer, "forwards"))
		json_array_extend(all, json_object_get(answer, "forwards"));
	json_array_foreach(json_object_get(answer, "switches"), i, shown)
		json_array_extend(all, json_object_get(shown, "forwards"));
	return all;
}

static void print_forwards(struct cli *cli, const json_t *answer)
{
	static const struct table_column columns[] = {
		{ "SWITCH", false, false },
		{ "FORWARD", false, false },
		{ "FROM", false, false },
		{ "STATE", false, true },
	};
	json_t *forwards = gather(answer);
	struct table *table;

	if (cli->json) {
		cli_print_json(forwards);
	} else {
		table = table_create(columns, sizeof(columns) / sizeof(columns[0]));
		add_rows(table, forwards);
		table_print(table, stdout, cli_terminal_width(STDOUT_FILENO), cli->colour);
		table_destroy(table);
	}
	json_decref(forwards);
}

/* The path of a switch's forwards, to be freed. */
static char *forwards_path(const char *switch_name)
{
	char *one = cli_api_path("/v1/switches", switch_name), *path;

	if (asprintf(&path, "%s/forwards", one) < 0)
		abort();
	free(one);
	return path;
}

int command_forward_list(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct cli_arguments arguments;
	json_t *answer;
	char *path;
	int result = cli_parse(cli, command, argc, argv, NULL, 0, 1, &arguments);

	if (result != CLI_OK)
		return result;
	path = arguments.count > 0 ? forwards_path(arguments.words[0]) : cli_api_path("/v1", "switches");
	result = cli_get(cli, command, path, &answer);
	free(path);
	if (result != CLI_OK)
		return result;
	print_forwards(cli, answer);
	json_decref(answer);
	return CLI_OK;
}

static int change(struct cli *cli, const struct cli_command *command, int argc, char **argv,
		  const char *method)
{
	struct cli_arguments arguments;
	json_t *answer;
	char *path;
	int result = cli_parse(cli, command, argc, argv, NULL, 2, 2, &arguments);

	if (result != CLI_OK)
		return result;
	path = forwards_path(arguments.words[0]);
	result = cli_call(cli, command, method, path, json_pack("{s:s}", "forward", arguments.words[1]),
			  &answer, NULL);
	free(path);
	if (result != CLI_OK)
		return result;
	print_forwards(cli, answer);
	json_decref(answer);
	return CLI_OK;
}

int command_forward_add(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	return change(cli, command, argc, argv, "POST");
}

int command_forward_remove(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	return change(cli, command, argc, argv, "DELETE");
}
