/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/listing.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"

/* The objects that are listed, in an answer of their own. */
static json_t *chosen(const struct listing *listing, const json_t *answer)
{
	json_t *list = json_array(), *object;
	size_t index;

	json_array_foreach(cli_list(answer, listing->key), index,
			   object) if (!listing->kind || strcmp(api_text(object, "kind"), listing->kind) == 0)
		json_array_append(list, object);
	return json_pack("{s:o}", listing->key, list);
}

static void print(const struct cli *cli, const struct listing *listing, const json_t *answer)
{
	struct table *table = table_create(listing->columns, listing->column_count);
	const json_t *object;
	size_t index;

	json_array_foreach(cli_list(answer, listing->key), index, object) listing->row(table, object);
	table_print(table, stdout, cli_terminal_width(STDOUT_FILENO), cli->colour);
	table_destroy(table);
}

int listing_run(struct cli *cli, const struct cli_command *command, int argc, char **argv,
		const struct listing *listing)
{
	struct cli_arguments arguments;
	json_t *answer, *list;
	int result = cli_parse(cli, command, argc, argv, NULL, 0, 0, &arguments);

	if (result == CLI_OK)
		result = cli_get(cli, command, listing->path, &answer);
	if (result != CLI_OK)
		return result;
	list = chosen(listing, answer);
	if (cli->json)
		cli_print_json(list);
	else
		print(cli, listing, list);
	json_decref(list);
	json_decref(answer);
	return CLI_OK;
}
