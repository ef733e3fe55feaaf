/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct nic link`: the cable of a virtual card, so to speak. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/nic/nic_names.h"

int command_nic_link(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct cli_arguments arguments;
	json_t *link = NULL, *answer;
	int result = cli_parse(cli, command, argc, argv, NULL, 2, 2, &arguments);
	char *path;

	if (result == CLI_OK)
		result = nic_name_check(command, arguments.words[0]);
	if (result != CLI_OK)
		return result;
	if (strcmp(arguments.words[1], "default") == 0)
		link = json_null();
	else if (strcmp(arguments.words[1], "up") == 0 || strcmp(arguments.words[1], "down") == 0)
		link = json_boolean(arguments.words[1][0] == 'u');
	if (!link)
		return cli_usage(command, "\"%s\" is no state of a link; give up, down or default",
				 arguments.words[1]);
	path = cli_api_path("/v1/nics", arguments.words[0]);
	result = cli_call(cli, command, "PATCH", path, json_pack("{s:o}", "link", link), &answer, NULL);
	free(path);
	if (result != CLI_OK)
		return result;
	if (cli->json)
		cli_print_json(answer);
	else
		printf("%s: the link is %s\n", api_text(answer, "name"),
		       api_flag(answer, "link") ? "up" : "down");
	json_decref(answer);
	return CLI_OK;
}
