/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/top/top_columns.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define VALUE_MAX 9e23	/* what the last suffix can show */

/* ---- cells ---- */

void top_number(char *cell, size_t width, double value, unsigned decimals)
{
	static const char *const suffix[] = { "", "k", "M", "G", "T", "P", "E", "Z" };
	char text[TOP_CELL_MAX];
	unsigned unit = 0;

	if (!(value > 0))
		value = 0;
	if (value > VALUE_MAX)
		value = VALUE_MAX;
	for (;;) {
		for (unsigned shown = unit == 0 ? decimals + 1 : 1; shown-- > 0;) {
			size_t length = (size_t)snprintf(text, sizeof(text), "%.*f%s", (int)shown, value,
							 suffix[unit]);

			if (length <= width) {
				memcpy(cell, text, length + 1);
				return;
			}
		}
		value /= 1000;
		unit++;
	}
}

void top_bar(char *cell, size_t width, double part, double reservation, double limit)
{
	double columns = (double)width;

	for (size_t i = 0; i < width; i++) {
		bool full = (double)i + 0.5 <= part * columns;
		bool beyond = limit > 0 && (double)i >= limit * columns;

		cell[i] = full ? '#' : beyond ? ' ' : '.';
	}
	if (reservation > 0 && reservation <= 1)
		cell[(size_t)(reservation * (columns - 1))] = '[';
	if (limit > 0 && limit < 1)
		cell[(size_t)(limit * (columns - 1) + 0.5)] = ']';
	cell[width] = '\0';
}

static void print_count(char cell[TOP_CELL_MAX], size_t width, double value)
{
	top_number(cell, width, value, 0);
}

/* Of something that matters also when it is rare. */
static void print_rare(char cell[TOP_CELL_MAX], size_t width, double value)
{
	top_number(cell, width, value, value > 0 && value < 9.95 ? 1 : 0);
}

static void print_megabytes(char cell[TOP_CELL_MAX], size_t width, double bytes)
{
	top_number(cell, width, bytes / 1e6, 1);
}

static void print_percent(char cell[TOP_CELL_MAX], size_t width, double part)
{
	top_number(cell, width, part * 100, part > 0 && part < 0.0995 ? 1 : 0);
}

static void print_nothing(char cell[TOP_CELL_MAX])
{
	snprintf(cell, TOP_CELL_MAX, "-");
}

static void print_seconds(char cell[TOP_CELL_MAX], size_t width, double seconds)
{
	char number[TOP_CELL_MAX];

	top_number(number, width - 1, seconds, 1);
	snprintf(cell, TOP_CELL_MAX, "%.*ss", TOP_CELL_MAX - 2, number);
}

static void print_duration(char cell[TOP_CELL_MAX], size_t width, double ns)
{
	static const char *const unit[] = { "ns", "us", "ms" };
	unsigned power = 0;

	while (ns >= 999.5 && power < 3) {
		ns /= 1000;
		power++;
	}
	if (!(ns > 0))
		print_nothing(cell);
	else if (power < 3)
		snprintf(cell, TOP_CELL_MAX, "%.*f%s", power > 0 && ns < 9.95, ns, unit[power]);
	else
		print_seconds(cell, width, ns);
}

static void print_limit(char cell[TOP_CELL_MAX], size_t width, double value)
{
	if (value > 0)
		top_number(cell, width, value, 0);
	else
		print_nothing(cell);
}

static void print_limit_megabytes(char cell[TOP_CELL_MAX], size_t width, double bytes)
{
	if (bytes > 0)
		print_megabytes(cell, width, bytes);
	else
		print_nothing(cell);
}

/* ---- the columns ---- */

const struct top_column top_columns[TOP_COLUMNS] = {
	[TOP_COLUMN_NAME] = { "name", "NAME", 10, TOP_BY_NAME, NULL, false },
	[TOP_COLUMN_IOPS] = { "iops", "IOPS", 5, TOP_MEMBER(operations), print_count, true },
	[TOP_COLUMN_MBS] = { "mbs", "MB/s", 5, TOP_MEMBER(bytes), print_megabytes, true },
	[TOP_COLUMN_TX] = { "tx", "TX/s", 5, TOP_MEMBER(out_count), print_count, true },
	[TOP_COLUMN_RX] = { "rx", "RX/s", 5, TOP_MEMBER(in_count), print_count, true },
	[TOP_COLUMN_TXMB] = { "txmb", "TX MB", 5, TOP_MEMBER(out_bytes), print_megabytes, true },
	[TOP_COLUMN_RXMB] = { "rxmb", "RX MB", 5, TOP_MEMBER(in_bytes), print_megabytes, true },
	[TOP_COLUMN_DEV] = { "dev", "DEV%", 4, TOP_MEMBER(device), print_percent, true },
	[TOP_COLUMN_BAR] = { "bar", "[min  max]", 10, TOP_MEMBER(device), NULL, true },
	[TOP_COLUMN_GOT] = { "got", "GOT%", 4, TOP_MEMBER(got), print_percent, true },
	[TOP_COLUMN_DUE] = { "due", "DUE%", 4, TOP_MEMBER(due), print_percent, true },
	[TOP_COLUMN_CPU] = { "cpu", "CPU%", 4, TOP_MEMBER(cpu), print_percent, true },
	[TOP_COLUMN_THR] = { "thr", "THR%", 4, TOP_MEMBER(throttled), print_percent, true, TABLE_WARNING },
	[TOP_COLUMN_CON] = { "con", "CON%", 4, TOP_MEMBER(contended), print_percent, true },
	[TOP_COLUMN_P99] = { "p99", "P99", 5, TOP_MEMBER(p99_ns), print_duration, true },
	[TOP_COLUMN_ERR] = { "err", "ERR", 4, TOP_MEMBER(bad), print_count, false, TABLE_BAD },
	[TOP_COLUMN_REF] = { "ref", "REF", 4, TOP_MEMBER(refused), print_count, false, TABLE_WARNING },
	[TOP_COLUMN_DROP] = { "drop", "DROP", 4, TOP_MEMBER(dropped), print_rare, true, TABLE_WARNING },
	[TOP_COLUMN_WAIT] = { "wait", "WAIT", 5, TOP_MEMBER(waiting), print_count, false },
	[TOP_COLUMN_WEIGHT] = { "weight", "WEIGHT", 6, TOP_MEMBER(share.weight), print_count, false },
	[TOP_COLUMN_MIN] = { "min", "MIN", 5, TOP_MEMBER(share.min_operations), print_limit, false },
	[TOP_COLUMN_MAX] = { "max", "MAX", 5, TOP_MEMBER(share.max_operations), print_limit, false },
	[TOP_COLUMN_MINMB] = { "minmb", "MIN MB", 6, TOP_MEMBER(share.min_bandwidth), print_limit_megabytes,
			       false },
	[TOP_COLUMN_MAXMB] = { "maxmb", "MAX MB", 6, TOP_MEMBER(share.max_bandwidth), print_limit_megabytes,
			       false },
	[TOP_COLUMN_PPS] = { "pps", "MAX/s", 5, TOP_MEMBER(share.max_operations), print_limit, false },
	[TOP_COLUMN_READ] = { "read", "RD MB/s", 7, TOP_MEMBER(in_bytes), print_megabytes, true },
	[TOP_COLUMN_WRITE] = { "write", "WR MB/s", 7, TOP_MEMBER(out_bytes), print_megabytes, true },
};

enum top_column_id top_column_find(const char *key)
{
	enum top_column_id id = 0;

	while (id < TOP_COLUMNS && strcmp(top_columns[id].key, key) != 0)
		id++;
	return id;
}
