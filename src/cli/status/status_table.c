/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/status/status_table.h"

#include <string.h>

#include "cli/api_client.h"
#include "cli/device_model.h"
#include "cli/table.h"
#include "cli/text.h"

static const json_t *operation(const json_t *disk, const char *name)
{
	return json_object_get(json_object_get(disk, "operations"), name);
}

static uint64_t violations(const json_t *disk)
{
	json_t *reasons = json_object_get(disk, "violations");
	uint64_t sum = 0;
	const char *key;
	json_t *value;

	json_object_foreach(reasons, key, value) sum += (uint64_t)json_integer_value(value);
	return sum;
}

static void state_cell(struct table *table, const json_t *disk)
{
	if (api_text(disk, "error")[0])
		table_cell(table, TABLE_BAD, "%s", api_text(disk, "error"));
	else if (api_flag(disk, "broken"))
		table_cell(table, TABLE_BAD, "broken");
	else if (api_flag(disk, "quarantine"))
		table_cell(table, TABLE_BAD, "quarantine");
	else if (api_flag(disk, "connected"))
		table_cell(table, TABLE_GOOD, "connected");
	else
		table_cell(table, TABLE_DIM, "waiting");
}

/* What a guest read from a disk or received through a card, or wrote or sent. */
static void bytes_cell(struct table *table, const json_t *device, const char *of_disk, const char *of_nic)
{
	const json_t *nic = json_object_get(device, of_nic);
	char text[TEXT_NUMBER_MAX];

	table_cell(table, TABLE_PLAIN, "%s",
		   text_size(text, api_number(nic ? nic : operation(device, of_disk), "bytes")));
}

/* A disk's size, a card's MTU, or the size of a display's picture. */
static void size_cell(struct table *table, const json_t *device)
{
	char text[TEXT_NUMBER_MAX];
	uint64_t mtu = api_number(device, "mtu");
	const json_t *picture = json_object_get(device, "picture");

	if (picture)
		table_cell(table, TABLE_PLAIN, "%ux%u", (unsigned)api_number(picture, "width"),
			   (unsigned)api_number(picture, "height"));
	else if (mtu)
		table_cell(table, TABLE_PLAIN, "MTU %llu", (unsigned long long)mtu);
	else
		table_cell(table, TABLE_PLAIN, "%s", text_size(text, api_number(device, "size_bytes")));
}

/* The pool, path or switch that it is a part of. */
static const char *host_side(const json_t *device)
{
	static const char *const keys[] = { "pool", "switch", "path" };
	const char *found = "";

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && !found[0]; i++)
		found = api_text(device, keys[i]);
	return found;
}

static void latency_cell(struct table *table, const json_t *disk, const char *name)
{
	const json_t *latency = json_object_get(operation(disk, name), "latency_ns");
	char p50[TEXT_NUMBER_MAX], p99[TEXT_NUMBER_MAX];

	if (api_number(operation(disk, name), "operations") == 0)
		table_cell(table, TABLE_DIM, "-");
	else
		table_cell(table, TABLE_PLAIN, "%s / %s", text_duration(p50, api_number(latency, "p50")),
			   text_duration(p99, api_number(latency, "p99")));
}

static void count_cell(struct table *table, uint64_t count, enum table_style style)
{
	char text[TEXT_NUMBER_MAX];

	table_cell(table, count > 0 ? style : TABLE_DIM, "%s", text_count(text, count));
}

/* "300 min 500/s max 2 000/s, 10 MiB/s": the weight, and what else is set; requests, or a card's frames. */
static void append_rate(char *text, size_t size, const char *word, uint64_t count, uint64_t bandwidth)
{
	char count_text[TEXT_NUMBER_MAX], bytes[TEXT_NUMBER_MAX];
	size_t used = strlen(text);

	if (count > 0)
		used += (size_t)snprintf(text + used, size - used, " %s %s/s", word,
					 text_count(count_text, count));
	if (bandwidth > 0)
		snprintf(text + used, size - used, "%s%s %s/s", count ? "," : " ", count ? "" : word,
			 text_size(bytes, bandwidth));
}

static void share_cell(struct table *table, const json_t *device)
{
	const json_t *share = json_object_get(device, "share");
	bool refused = api_text(device, "share_error")[0] != '\0';
	char text[192];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)api_number(share, "weight"));
	append_rate(text, sizeof(text), "min", api_number(share, "min_iops"),
		    api_number(share, "min_bandwidth"));
	append_rate(text, sizeof(text), "max",
		    api_number(share, json_object_get(share, "max_pps") ? "max_pps" : "max_iops"),
		    api_number(share, "max_bandwidth"));
	if (refused)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ", no reservation");
	table_cell(table,
		   refused ? TABLE_WARNING
		   : share ? TABLE_PLAIN
			   : TABLE_DIM,
		   "%s", share ? text : "-");
}

static void device_row(struct table *table, const json_t *device, bool wide)
{
	table_row(table);
	table_cell(table, TABLE_BOLD, "%s", api_text(device, "name"));
	if (wide) {
		table_cell(table, TABLE_PLAIN, "%s", api_text(device, "kind"));
		device_model_cell(table, device);
	}
	state_cell(table, device);
	size_cell(table, device);
	if (wide)
		table_cell(table, TABLE_PLAIN, "%s", host_side(device));
	share_cell(table, device);
	bytes_cell(table, device, "read", "received");
	bytes_cell(table, device, "write", "sent");
	if (wide) {
		latency_cell(table, device, "read");
		latency_cell(table, device, "write");
	}
	count_cell(table, api_number(device, "errors"), TABLE_BAD);
	count_cell(table, api_number(device, "refused"), TABLE_WARNING);
	count_cell(table, violations(device), TABLE_BAD);
}

/* Narrower terminals get the table without the kinds, models, pools and latencies. */
#define WIDE_COLUMNS 120

void status_table_print(const json_t *devices, FILE *out, size_t width, bool colour)
{
	static const struct table_column wide_columns[] = {
		{ "DEVICE", false, false },	 { "KIND", false, true },	   { "MODEL", false, true },
		{ "STATE", false, true },	 { "SIZE", true, false },	   { "ON", false, true },
		{ "SHARE", false, true },	 { "READ", true, false },	   { "WRITE", true, false },
		{ "READ p50/p99", true, false }, { "WRITE p50/p99", true, false }, { "ERRORS", true, false },
		{ "REFUSED", true, false },	 { "VIOLATIONS", true, false },
	};
	static const struct table_column narrow_columns[] = {
		{ "DEVICE", false, false }, { "STATE", false, true },	{ "SIZE", true, false },
		{ "SHARE", false, true },   { "READ", true, false },	{ "WRITE", true, false },
		{ "ERRORS", true, false },  { "REFUSED", true, false }, { "VIOLATIONS", true, false },
	};
	bool wide = width == 0 || width >= WIDE_COLUMNS;
	struct table *table =
		wide ? table_create(wide_columns, sizeof(wide_columns) / sizeof(wide_columns[0]))
		     : table_create(narrow_columns, sizeof(narrow_columns) / sizeof(narrow_columns[0]));
	const json_t *device;
	size_t index;

	json_array_foreach(devices, index, device) device_row(table, device, wide);
	table_print(table, out, width, colour);
	table_destroy(table);
}
