/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/nic/port_cells.h"

#include <stdio.h>

#include "cli/api_client.h"
#include "cli/text.h"

void port_link_cell(struct table *table, const json_t *port)
{
	if (!json_object_get(port, "link"))
		table_cell(table, TABLE_DIM, "-");
	else if (api_flag(port, "link"))
		table_cell(table, TABLE_GOOD, "up");
	else
		table_cell(table, TABLE_WARNING, "down");
}

void port_drops_cell(struct table *table, const json_t *port)
{
	char text[256] = "", number[TEXT_NUMBER_MAX];
	const json_t *count;
	const char *reason;
	size_t used = 0;

	json_object_foreach(json_object_get(port, "dropped"), reason, count)
	{
		if (json_integer_value(count) > 0 && used < sizeof(text))
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s %s",
						 used ? ", " : "", reason,
						 text_count(number, (uint64_t)json_integer_value(count)));
	}
	table_cell(table, used ? TABLE_WARNING : TABLE_DIM, "%s", used ? text : "none");
}

void port_watch_cell(struct table *table, const json_t *port)
{
	const json_t *mirror = json_object_get(port, "mirror");
	unsigned long long captures = api_number(port, "captures");
	const char *mirrored = !mirror ? "" : api_flag(mirror, "open") ? "mirror" : "[mirror]";

	if (captures > 0)
		table_cell(table, TABLE_WARNING, "%s%s%llu capture%s", mirrored, mirror ? ", " : "", captures,
			   captures == 1 ? "" : "s");
	else
		table_cell(table, mirror ? TABLE_PLAIN : TABLE_DIM, "%s", mirror ? mirrored : "-");
}
