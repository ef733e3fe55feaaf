/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct nic list`. */
#include "cli/api_client.h"
#include "cli/commands.h"
#include "cli/listing.h"
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
	table_cell(table, TABLE_PLAIN, "%llu", (unsigned long long)api_number(nic, "mtu"));
	table_cell(table, link ? TABLE_GOOD : TABLE_WARNING, link ? "up" : "down");
	table_cell(table, connected ? TABLE_GOOD : TABLE_DIM, connected ? "connected" : "waiting");
	table_cell(table, TABLE_PLAIN, "%s", text_size(text, api_number(sent, "bytes")));
	table_cell(table, TABLE_PLAIN, "%s", text_size(text, api_number(received, "bytes")));
	table_cell(table, dropped(nic) ? TABLE_WARNING : TABLE_DIM, "%s", text_count(text, dropped(nic)));
	table_cell(table, TABLE_PLAIN, "%s", api_text(nic, "socket"));
}

int command_nic_list(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	static const struct table_column columns[] = {
		{ "NIC", false, false },    { "SWITCH", false, true }, { "MAC", false, false },
		{ "DHCP", false, true },    { "MTU", true, false },    { "LINK", false, false },
		{ "STATE", false, false },  { "SENT", true, false },   { "RECEIVED", true, false },
		{ "DROPPED", true, false }, { "SOCKET", false, true },
	};
	static const struct listing listing = {
		"/v1/devices", "devices", columns, sizeof(columns) / sizeof(columns[0]), nic_row, "nic",
	};

	return listing_run(cli, command, argc, argv, &listing);
}
