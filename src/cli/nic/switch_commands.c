/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct switch list` and `switch show`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/nic/port_cells.h"
#include "cli/text.h"

/* ---- list ---- */

static uint64_t traffic(const json_t *port, const char *way)
{
	return api_number(json_object_get(port, way), "bytes");
}

/* "tap:vm0". */
static void uplink_cell(struct table *table, const json_t *uplink)
{
	const char *interface = api_text(uplink, "interface");

	table_cell(table, TABLE_PLAIN, "%s%s%s", api_text(uplink, "kind"), interface[0] ? ":" : "",
		   interface);
}

static void switch_row(struct table *table, const json_t *shown)
{
	const json_t *uplink = json_object_get(shown, "uplink");
	char text[TEXT_NUMBER_MAX];

	table_row(table);
	table_cell(table, TABLE_BOLD, "%s", api_text(shown, "name"));
	table_cell(table, TABLE_PLAIN, "%s", text_count(text, api_number(shown, "cards")));
	uplink_cell(table, uplink);
	port_link_cell(table, uplink);
	table_cell(table, TABLE_PLAIN, "%s", text_size(text, traffic(uplink, "received")));
	table_cell(table, TABLE_PLAIN, "%s", text_size(text, traffic(uplink, "sent")));
	table_cell(table, TABLE_BAD, "%s", api_text(uplink, "error"));
}

int command_switch_list(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	static const struct table_column columns[] = {
		{ "SWITCH", false, false }, { "NICS", true, false }, { "UPLINK", false, false },
		{ "LINK", false, false },   { "OUT", true, false },  { "IN", true, false },
		{ "", false, true },
	};
	static const struct listing listing = {
		"/v1/switches", "switches", columns, sizeof(columns) / sizeof(columns[0]), switch_row,
	};

	return listing_run(cli, command, argc, argv, &listing);
}

/* ---- show ---- */

static void port_row(struct table *table, const char *name, const json_t *port)
{
	const json_t *sent = json_object_get(port, "sent"), *received = json_object_get(port, "received");
	char text[TEXT_NUMBER_MAX];

	table_row(table);
	table_cell(table, TABLE_BOLD, "%s", name);
	table_cell(table, TABLE_PLAIN, "%s", api_text(port, "mac"));
	if (api_number(port, "vlan"))
		table_cell(table, TABLE_PLAIN, "%llu", (unsigned long long)api_number(port, "vlan"));
	else
		table_cell(table, TABLE_DIM, "-");
	port_link_cell(table, port);
	table_cell(table, TABLE_PLAIN, "%s", text_count(text, api_number(sent, "frames")));
	table_cell(table, TABLE_PLAIN, "%s", text_size(text, api_number(sent, "bytes")));
	table_cell(table, TABLE_PLAIN, "%s", text_count(text, api_number(received, "frames")));
	table_cell(table, TABLE_PLAIN, "%s", text_size(text, api_number(received, "bytes")));
	port_drops_cell(table, port);
	port_watch_cell(table, port);
}

static void print_table(struct cli *cli, struct table *table)
{
	table_print(table, stdout, cli_terminal_width(STDOUT_FILENO), cli->colour);
	table_destroy(table);
}

static void print_ports(struct cli *cli, const json_t *shown)
{
	static const struct table_column columns[] = {
		{ "PORT", false, false },      { "MAC", false, false },	 { "VLAN", true, false },
		{ "LINK", false, false },      { "SENT", true, false },	 { "BYTES", true, false },
		{ "RECEIVED", true, false },   { "BYTES", true, false }, { "DROPPED", false, true },
		{ "WATCHED BY", false, true },
	};
	struct table *table = table_create(columns, sizeof(columns) / sizeof(columns[0]));
	const json_t *uplink = json_object_get(shown, "uplink"), *port;
	size_t i;

	if (json_object_get(uplink, "link"))
		port_row(table, "uplink", uplink);
	json_array_foreach(json_object_get(shown, "ports"), i, port)
		port_row(table, api_text(port, "name"), port);
	print_table(cli, table);
}

static void print_addresses(struct cli *cli, const json_t *shown)
{
	static const struct table_column columns[] = {
		{ "ADDRESS", false, false },
		{ "PORT", false, false },
		{ "KNOWN", false, false },
	};
	struct table *table = table_create(columns, sizeof(columns) / sizeof(columns[0]));
	const json_t *address;
	size_t i;

	json_array_foreach(json_object_get(shown, "table"), i, address)
	{
		table_row(table);
		table_cell(table, TABLE_PLAIN, "%s", api_text(address, "mac"));
		table_cell(table, TABLE_BOLD, "%s", api_text(address, "port"));
		if (api_flag(address, "learned"))
			table_cell(table, TABLE_PLAIN, "learned, VLAN %llu, seen %llu s ago",
				   (unsigned long long)api_number(address, "vlan"),
				   (unsigned long long)api_number(address, "age_s"));
		else
			table_cell(table, TABLE_PLAIN, "configured");
	}
	print_table(cli, table);
}

static void print_uplink(const json_t *shown)
{
	const json_t *uplink = json_object_get(shown, "uplink"), *count;
	const char *interface = api_text(uplink, "interface"), *reason;

	printf("switch %s, uplink %s%s%s", api_text(shown, "name"), api_text(uplink, "kind"),
	       interface[0] ? ":" : "", interface);
	if (api_number(uplink, "mtu"))
		printf(", MTU %llu", (unsigned long long)api_number(uplink, "mtu"));
	json_object_foreach(json_object_get(uplink, "lost"), reason, count) if (json_integer_value(count) > 0)
		printf(", %s %lld", reason, (long long)json_integer_value(count));
	puts("");
	if (api_text(uplink, "error")[0])
		printf("%s\n", api_text(uplink, "error"));
	if (api_number(uplink, "retry_s"))
		printf("it is tried again in %llu s\n", (unsigned long long)api_number(uplink, "retry_s"));
}

int command_switch_show(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct cli_arguments arguments;
	json_t *answer;
	char *path;
	int result = cli_parse(cli, command, argc, argv, NULL, 1, 1, &arguments);

	if (result != CLI_OK)
		return result;
	path = cli_api_path("/v1/switches", arguments.words[0]);
	result = cli_get(cli, command, path, &answer);
	free(path);
	if (result != CLI_OK)
		return result;
	if (cli->json) {
		cli_print_json(answer);
	} else {
		print_uplink(answer);
		print_ports(cli, answer);
		puts("");
		print_addresses(cli, answer);
	}
	json_decref(answer);
	return CLI_OK;
}
