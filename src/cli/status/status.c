/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct status` and `viaduct reload`. */
#include <stdio.h>
#include <unistd.h>

#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/status/status_table.h"

int command_status(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct cli_arguments arguments;
	json_t *answer;
	int result = cli_parse(cli, command, argc, argv, NULL, 0, 0, &arguments);

	if (result == CLI_OK)
		result = cli_get(cli, command, "/v1/status", &answer);
	if (result != CLI_OK)
		return result;
	if (cli->json)
		cli_print_json(answer);
	else
		status_table_print(cli_list(answer, "devices"), stdout, cli_terminal_width(STDOUT_FILENO),
				   cli->colour);
	json_decref(answer);
	return CLI_OK;
}

static void print_lines(const json_t *lines, const char *prefix)
{
	const json_t *line;
	size_t index;

	json_array_foreach(lines, index, line)
		printf("  %s%s\n", prefix, json_string_value(line) ? json_string_value(line) : "");
}

int command_reload(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct cli_arguments arguments;
	json_t *answer;
	int result = cli_parse(cli, command, argc, argv, NULL, 0, 0, &arguments);

	if (result == CLI_OK)
		result = cli_call(cli, command, "POST", "/v1/reload", NULL, &answer, NULL);
	if (result != CLI_OK)
		return result;
	if (cli->json) {
		cli_print_json(answer);
	} else {
		puts("configuration read again");
		print_lines(json_object_get(answer, "changes"), "");
		print_lines(json_object_get(answer, "refused"), "not done: ");
	}
	json_decref(answer);
	return CLI_OK;
}
