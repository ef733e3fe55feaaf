/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/demo/demo_report.h"

#include <stdio.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli.h"
#include "cli/demo/demo.h"
#include "cli/pool/pool_map.h"
#include "cli/status/status_table.h"
#include "cli/table.h"
#include "cli/text.h"

#define TAIL_LINES 12

static void print_refused(const struct hostile *hostile, bool colour)
{
	static const struct table_column columns[] = {
		{ "WHAT MALLORY ASKED FOR", false, true },
		{ "SENT", true, false },
		{ "REFUSED", true, false },
	};
	struct table *table = table_create(columns, sizeof(columns) / sizeof(columns[0]));
	uint64_t sent, refused;
	const char *what;

	for (size_t i = 0; hostile_kind(hostile, i, &what, &sent, &refused); i++) {
		table_row(table);
		table_cell(table, TABLE_PLAIN, "%s", what);
		table_cell(table, TABLE_PLAIN, "%llu", (unsigned long long)sent);
		table_cell(table, sent == refused ? TABLE_GOOD : TABLE_BAD, "%llu",
			   (unsigned long long)refused);
	}
	table_print(table, stdout, cli_terminal_width(STDOUT_FILENO), colour);
	table_destroy(table);
}

void demo_report_print(const json_t *pool, const json_t *status, const struct hostile *hostile,
		       const struct demo_pauses *pauses, bool colour)
{
	char text[TEXT_NUMBER_MAX];

	puts("\nWho owns which part of the physical disk:");
	pool_map_print(pool, stdout, cli_terminal_width(STDOUT_FILENO), colour);
	puts("\nCounters of each guest, since the last start of the daemon:");
	status_table_print(json_object_get(status, "devices"), stdout, cli_terminal_width(STDOUT_FILENO),
			   colour);
	puts("\nRefused requests (reads, writes, discards, zeroing), in all:");
	print_refused(hostile, colour);
	printf("\nPause seen by a driver's I/O: %s when the daemon was killed and started again",
	       text_duration(text, pauses->kill_ns));
	if (pauses->takeover)
		printf(", %s at the takeover", text_duration(text, pauses->takeover_ns));
	putchar('\n');
	if (api_text(status, "takeover")[0])
		printf("The daemon says of the takeover: %s\n", api_text(status, "takeover"));
}

void demo_report_log_tail(const char *path)
{
	long lines = 0, skip;
	char line[512];
	FILE *log = fopen(path, "re");

	if (!log)
		return;
	while (fgets(line, sizeof(line), log))
		lines++;
	rewind(log);
	skip = lines > TAIL_LINES ? lines - TAIL_LINES : 0;
	fprintf(stderr, "-- %s\n", path);
	while (fgets(line, sizeof(line), log)) {
		if (skip-- <= 0)
			fputs(line, stderr);
	}
	fclose(log);
}
