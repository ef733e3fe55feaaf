/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct nic list` and `nic show`. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/device_model.h"
#include "cli/listing.h"
#include "cli/nic/nic_names.h"
#include "cli/nic/port_cells.h"
#include "cli/text.h"

static uint64_t dropped(const json_t *nic)
{
	const json_t *count;
	const char *reason;
	uint64_t sum = 0;

	json_object_foreach(json_object_get(nic, "dropped"), reason, count) sum +=
		(uint64_t)json_integer_value(count);
	return sum;
}

static void nic_row(struct table *table, const json_t *nic)
{
	const json_t *sent = json_object_get(nic, "sent"), *received = json_object_get(nic, "received");
	bool connected = api_flag(nic, "connected"), link = api_flag(nic, "link");
	const char *dhcp = api_text(nic, "dhcp_address");
	char text[TEXT_NUMBER_MAX];

	table_row(table);
	table_cell(table, TABLE_BOLD, "%s", api_text(nic, "name"));
	table_cell(table, TABLE_PLAIN, "%s", api_text(nic, "switch"));
	table_cell(table, TABLE_PLAIN, "%s", api_text(nic, "mac"));
	table_cell(table, TABLE_PLAIN, "%s", dhcp[0] ? dhcp : "-");
	device_model_cell(table, nic);
	table_cell(table, TABLE_PLAIN, "%llu", (unsigned long long)api_number(nic, "mtu"));
	table_cell(table, link ? TABLE_GOOD : TABLE_WARNING, link ? "up" : "down");
	table_cell(table, connected ? TABLE_GOOD : TABLE_DIM, connected ? "connected" : "waiting");
	table_cell(table, TABLE_PLAIN, "%s", text_size(text, api_number(sent, "bytes")));
	table_cell(table, TABLE_PLAIN, "%s", text_size(text, api_number(received, "bytes")));
	table_cell(table, dropped(nic) ? TABLE_WARNING : TABLE_DIM, "%s", text_count(text, dropped(nic)));
	port_watch_cell(table, nic);
	table_cell(table, TABLE_PLAIN, "%s", api_text(nic, "socket"));
}

int command_nic_list(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	static const struct table_column columns[] = {
		{ "NIC", false, false },     { "SWITCH", false, true },	 { "MAC", false, false },
		{ "DHCP", false, true },     { "MODEL", false, true },	 { "MTU", true, false },
		{ "LINK", false, false },    { "STATE", false, false },	 { "SENT", true, false },
		{ "RECEIVED", true, false }, { "DROPPED", true, false }, { "WATCHED BY", false, true },
		{ "SOCKET", false, true },
	};
	static const struct listing listing = {
		"/v1/devices", "devices", columns, sizeof(columns) / sizeof(columns[0]), nic_row, "nic",
	};

	return listing_run(cli, command, argc, argv, &listing);
}

/* ---- show ---- */

int nic_name_check(const struct cli_command *command, const char *name)
{
	const char *slash = strchr(name, '/');

	if (slash && slash != name && slash[1] != '\0')
		return CLI_OK;
	return cli_usage(command, "\"%s\" is no card's name; write GUEST/NIC, for example alice/eth0", name);
}

static void text_row(struct table *table, const char *title, const char *text)
{
	if (!text[0])
		return;
	table_row(table);
	table_cell(table, TABLE_PLAIN, "%s", title);
	table_cell(table, TABLE_PLAIN, "%s", text);
}

static void number_row(struct table *table, const char *title, uint64_t number)
{
	char text[TEXT_NUMBER_MAX];

	text_row(table, title, text_count(text, number));
}

static void traffic_row(struct table *table, const char *title, const json_t *traffic)
{
	char frames[TEXT_NUMBER_MAX], bytes[TEXT_NUMBER_MAX];

	table_row(table);
	table_cell(table, TABLE_PLAIN, "%s", title);
	table_cell(table, TABLE_PLAIN, "%s frames, %s", text_count(frames, api_number(traffic, "frames")),
		   text_size(bytes, api_number(traffic, "bytes")));
}

static void print_nic(struct cli *cli, const json_t *nic)
{
	const struct table_column columns[] = { { "NIC", false, false },
						{ api_text(nic, "name"), false, true } };
	struct table *table = table_create(columns, 2);
	const json_t *mirror = json_object_get(nic, "mirror");

	text_row(table, "ERROR", api_text(nic, "error"));
	text_row(table, "SWITCH", api_text(nic, "switch"));
	text_row(table, "STATE", api_flag(nic, "connected") ? "connected" : "waiting");
	table_row(table);
	table_cell(table, TABLE_PLAIN, "MODEL");
	device_model_cell(table, nic);
	table_row(table);
	table_cell(table, TABLE_PLAIN, "LINK");
	port_link_cell(table, nic);
	text_row(table, "MAC", api_text(nic, "mac"));
	text_row(table, "DHCP", api_text(nic, "dhcp_address"));
	number_row(table, "MTU", api_number(nic, "mtu"));
	number_row(table, "QUEUE PAIRS", api_number(nic, "queues"));
	traffic_row(table, "SENT", json_object_get(nic, "sent"));
	traffic_row(table, "RECEIVED", json_object_get(nic, "received"));
	table_row(table);
	table_cell(table, TABLE_PLAIN, "DROPPED");
	port_drops_cell(table, nic);
	table_row(table);
	table_cell(table, TABLE_PLAIN, "WATCHED BY");
	port_watch_cell(table, nic);
	if (mirror) {
		text_row(table, "MIRROR", api_text(mirror, "path"));
		number_row(table, "MIRRORED", api_number(mirror, "frames"));
		number_row(table, "NOT MIRRORED", api_number(mirror, "lost"));
	}
	text_row(table, "SOCKET", api_text(nic, "socket"));
	table_print(table, stdout, cli_terminal_width(STDOUT_FILENO), cli->colour);
	table_destroy(table);
}

int command_nic_show(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct cli_arguments arguments;
	json_t *answer;
	char *path;
	int result = cli_parse(cli, command, argc, argv, NULL, 1, 1, &arguments);

	if (result == CLI_OK)
		result = nic_name_check(command, arguments.words[0]);
	if (result != CLI_OK)
		return result;
	path = cli_api_path("/v1/devices/nic", arguments.words[0]);
	result = cli_get(cli, command, path, &answer);
	free(path);
	if (result != CLI_OK)
		return result;
	if (cli->json)
		cli_print_json(answer);
	else
		print_nic(cli, answer);
	json_decref(answer);
	return CLI_OK;
}
