/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/console/console_names.h"

#include <stdio.h>
#include <string.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/listing.h"
#include "cli/text.h"

/* ---- by name ---- */

/* How many consoles the guest has: `name` is the last of them, and `all` names each. */
static unsigned consoles_of(const json_t *answer, const char *guest, char name[CONSOLE_NAME_SIZE], char *all,
			    size_t size)
{
	const json_t *device;
	unsigned count = 0;
	size_t index, used = 0;

	all[0] = '\0';
	json_array_foreach(cli_list(answer, "devices"), index, device)
	{
		if (strcmp(api_text(device, "kind"), "console") != 0 ||
		    strcmp(api_text(device, "guest"), guest) != 0)
			continue;
		snprintf(name, CONSOLE_NAME_SIZE, "%s", api_text(device, "name"));
		if (used < size)
			used += (size_t)snprintf(all + used, size - used, "%s%s", count ? ", " : "", name);
		count++;
	}
	return count;
}

int console_name_find(struct cli *cli, const struct cli_command *command, const char *word,
		      char ret_name[CONSOLE_NAME_SIZE])
{
	json_t *answer = NULL;
	char all[1024];
	unsigned count;
	int result;

	if (strchr(word, '/')) {
		snprintf(ret_name, CONSOLE_NAME_SIZE, "%s", word);
		return CLI_OK;
	}
	result = cli_get(cli, command, "/v1/devices", &answer);
	if (result != CLI_OK)
		return result;
	count = consoles_of(answer, word, ret_name, all, sizeof(all));
	json_decref(answer);
	if (count == 0)
		return cli_fail(command,
				"guest %s has no console; [console %s/0] in the configuration makes one",
				word, word);
	if (count > 1)
		return cli_fail(command, "guest %s has %u consoles; name one: %s", word, count, all);
	return CLI_OK;
}

/* ---- the list ---- */

static void console_row(struct table *table, const json_t *console)
{
	bool connected = api_flag(console, "connected");
	char text[TEXT_NUMBER_MAX];

	table_row(table);
	table_cell(table, TABLE_BOLD, "%s", api_text(console, "name"));
	table_cell(table, connected ? TABLE_GOOD : TABLE_DIM, connected ? "connected" : "waiting");
	table_cell(table, TABLE_PLAIN, "%s", text_size(text, api_number(console, "output_bytes")));
	table_cell(table, TABLE_PLAIN, "%s", text_size(text, api_number(console, "input_bytes")));
	table_cell(table, TABLE_PLAIN, "%s", text_size(text, api_number(console, "scrollback_bytes")));
	table_cell(table, TABLE_PLAIN, "%llu", (unsigned long long)api_number(console, "readers"));
	table_cell(table, TABLE_PLAIN, "%s", api_text(console, "socket"));
}

int console_list(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	static const struct table_column columns[] = {
		{ "CONSOLE", false, false }, { "STATE", false, false },	    { "OUTPUT", true, false },
		{ "INPUT", true, false },    { "SCROLLBACK", true, false }, { "ATTACHED", true, false },
		{ "SOCKET", false, true },
	};
	static const struct listing listing = {
		"/v1/devices", "devices", columns, sizeof(columns) / sizeof(columns[0]),
		console_row,   "console",
	};

	return listing_run(cli, command, argc, argv, &listing);
}
