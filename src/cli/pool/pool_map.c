/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/pool/pool_map.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api_client.h"
#include "cli/table.h"
#include "cli/text.h"
#include "core/clock.h"

#define LETTERS		26u /* guests beyond share the last letter */
#define PICTURE_COLUMNS 64u

bool pool_map_run(const json_t *pool, size_t index, struct pool_map_run *ret_run)
{
	const json_t *run = json_array_get(json_object_get(pool, "map"), index);

	if (!run)
		return false;
	*ret_run = (struct pool_map_run){
		.offset_bytes = api_number(run, "offset_bytes"),
		.length_bytes = api_number(run, "length_bytes"),
		.owner = api_text(run, "owner"),
		.disk_offset_bytes = api_number(run, "disk_offset_bytes"),
		.written_bytes = api_number(run, "written_bytes"),
	};
	return true;
}

size_t pool_map_guest_length(const char *owner)
{
	return strcspn(owner, "/");
}

/* ---- letters ---- */

struct legend {
	const char *guest[LETTERS];
	size_t count;
};

/* The guest's letter index; guests get one in the order in which they are met. */
static size_t legend_index(struct legend *legend, const char *owner)
{
	size_t length = pool_map_guest_length(owner);

	for (size_t i = 0; i < legend->count; i++) {
		if (pool_map_guest_length(legend->guest[i]) == length &&
		    strncmp(legend->guest[i], owner, length) == 0)
			return i;
	}
	if (legend->count == LETTERS)
		return LETTERS - 1;
	legend->guest[legend->count] = owner;
	return legend->count++;
}

static uint64_t overlap(uint64_t a_begin, uint64_t a_end, uint64_t b_begin, uint64_t b_end)
{
	uint64_t begin = a_begin > b_begin ? a_begin : b_begin, end = a_end < b_end ? a_end : b_end;

	return end > begin ? end - begin : 0;
}

/* Bytes that each guest owns of [begin, end); the owner of most decides. */
static char picture_letter(const json_t *pool, struct legend *legend, uint64_t begin, uint64_t end)
{
	uint64_t owned[LETTERS] = { 0 };
	struct pool_map_run run;
	size_t most = 0;

	for (size_t i = 0; pool_map_run(pool, i, &run); i++) {
		if (run.owner[0])
			owned[legend_index(legend, run.owner)] +=
				overlap(begin, end, run.offset_bytes, run.offset_bytes + run.length_bytes);
	}
	for (size_t i = 1; i < LETTERS; i++) {
		if (owned[i] > owned[most])
			most = i;
	}
	return owned[most] > 0 ? (char)('a' + most) : '.';
}

static uint64_t map_end(const json_t *pool)
{
	uint64_t end = 0;
	struct pool_map_run run;

	for (size_t i = 0; pool_map_run(pool, i, &run); i++) {
		if (run.offset_bytes + run.length_bytes > end)
			end = run.offset_bytes + run.length_bytes;
	}
	return end;
}

static void draw(const json_t *pool, struct legend *legend, size_t columns, char *picture)
{
	uint64_t end = map_end(pool);

	for (size_t c = 0; c < columns; c++)
		picture[c] =
			picture_letter(pool, legend, (uint64_t)((double)end * (double)c / (double)columns),
				       (uint64_t)((double)end * (double)(c + 1) / (double)columns));
	picture[columns] = '\0';
}

void pool_map_picture(const json_t *pool, size_t columns, char *picture)
{
	struct legend legend = { 0 };

	draw(pool, &legend, columns, picture);
}

/* ---- printing ---- */

static void print_head(const json_t *pool, FILE *out, bool colour)
{
	char total[TEXT_NUMBER_MAX], used[TEXT_NUMBER_MAX], unused[TEXT_NUMBER_MAX];

	fprintf(out, "%spool %s%s on %s: %s, %s given to disks, %s free\n",
		table_style_begin(TABLE_BOLD, colour), api_text(pool, "name"), table_style_end(colour),
		api_text(pool, "path"), text_size(total, api_number(pool, "total_bytes")),
		text_size(used, api_number(pool, "used_bytes")),
		text_size(unused, api_number(pool, "free_bytes")));
}

static void print_picture(const json_t *pool, FILE *out, size_t width, bool colour)
{
	static const enum table_style style[] = { TABLE_GOOD, TABLE_WARNING, TABLE_BAD, TABLE_BOLD };
	size_t columns = width > 4 && width - 4 < PICTURE_COLUMNS ? width - 4 : PICTURE_COLUMNS;
	char picture[PICTURE_COLUMNS + 1];
	struct legend legend = { 0 };

	draw(pool, &legend, columns, picture);
	fputs("  [", out);
	for (size_t c = 0; c < columns; c++) {
		enum table_style s = picture[c] == '.' ? TABLE_DIM : style[(picture[c] - 'a') % 4];

		fprintf(out, "%s%c%s", table_style_begin(s, colour), picture[c], table_style_end(colour));
	}
	fputs("]\n  ", out);
	for (size_t i = 0; i < legend.count; i++)
		fprintf(out, "%c = %.*s   ", (char)('a' + i), (int)pool_map_guest_length(legend.guest[i]),
			legend.guest[i]);
	fputs(". = free\n", out);
}

static void print_runs(const json_t *pool, FILE *out, size_t width, bool colour)
{
	static const struct table_column columns[] = {
		{ "FROM", true, false },  { "TO", true, false },	  { "LENGTH", true, false },
		{ "OWNER", false, true }, { "DISK OFFSET", true, false }, { "WRITTEN", true, false },
	};
	struct table *table = table_create(columns, sizeof(columns) / sizeof(columns[0]));
	char text[TEXT_NUMBER_MAX];
	struct pool_map_run run;

	for (size_t i = 0; pool_map_run(pool, i, &run); i++) {
		enum table_style style = run.owner[0] ? TABLE_PLAIN : TABLE_DIM;

		table_row(table);
		table_cell(table, style, "%#" PRIx64, run.offset_bytes);
		table_cell(table, style, "%#" PRIx64, run.offset_bytes + run.length_bytes);
		table_cell(table, style, "%s", text_size(text, run.length_bytes));
		table_cell(table, run.owner[0] ? TABLE_BOLD : TABLE_DIM, "%s",
			   run.owner[0] ? run.owner : "(free)");
		if (run.owner[0]) {
			table_cell(table, style, "%s", text_size(text, run.disk_offset_bytes));
			table_cell(table, style, "%s", text_size(text, run.written_bytes));
		}
	}
	table_print(table, out, width, colour);
	table_destroy(table);
}

/* What the disk below the pool is believed to do, and since when. */
static void print_capacity(const json_t *pool, FILE *out)
{
	static const struct {
		const char *origin, *text;
	} words[] = {
		{ "supposed", "supposed: it has not been busy yet" },
		{ "kept", "as an earlier run saw it" },
		{ "said", "as the configuration says" },
	};
	const json_t *capacity = json_object_get(pool, "capacity");
	const char *origin = json_string_value(json_object_get(capacity, "origin"));
	char bandwidth[TEXT_NUMBER_MAX];

	if (!origin)
		return;
	fprintf(out, "the disk: %llu requests of 4 KiB or %s a second; ",
		(unsigned long long)api_number(capacity, "iops"),
		text_size(bandwidth, api_number(capacity, "bandwidth")));
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].origin, origin) == 0)
			fputs(words[i].text, out);
	if (strcmp(origin, "seen") == 0)
		fprintf(out, "seen at work %llu s ago",
			(unsigned long long)(api_number(capacity, "seen_ago_ns") / NS_PER_S));
	fputc('\n', out);
}

static void print_silence(const json_t *pool, FILE *out, bool colour)
{
	char text[TEXT_NUMBER_MAX];
	uint64_t silent_ns = api_number(pool, "silent_ns");

	if (silent_ns > 0)
		fprintf(out,
			"%sthe disk has not answered for %s%s: until it does, disks there cannot be made, "
			"grown, renamed or deleted\n",
			table_style_begin(TABLE_BAD, colour), text_duration(text, silent_ns),
			table_style_end(colour));
}

void pool_map_print(const json_t *pool, FILE *out, size_t width, bool colour)
{
	print_head(pool, out, colour);
	print_silence(pool, out, colour);
	print_capacity(pool, out);
	print_picture(pool, out, width, colour);
	print_runs(pool, out, width, colour);
}
