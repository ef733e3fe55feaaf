/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/top/top_columns.h"

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

static void print_megabytes(char cell[TOP_CELL_MAX], size_t width, double value)
{
	top_number(cell, width, value / 1e6, 1);
}

static void print_percent(char cell[TOP_CELL_MAX], size_t width, double value)
{
	top_number(cell, width, value * 100, value > 0 && value < 0.0995 ? 1 : 0);
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

/* ---- values ---- */

static double value_iops(const struct top_row *row)
{
	return row->iops;
}

static double value_bytes(const struct top_row *row)
{
	return row->read_bytes + row->written_bytes;
}

static double value_read(const struct top_row *row)
{
	return row->read_bytes;
}

static double value_written(const struct top_row *row)
{
	return row->written_bytes;
}

static double value_device(const struct top_row *row)
{
	return row->device;
}

static double value_got(const struct top_row *row)
{
	return row->got;
}

static double value_due(const struct top_row *row)
{
	return row->due;
}

static double value_cpu(const struct top_row *row)
{
	return row->cpu;
}

static double value_throttled(const struct top_row *row)
{
	return row->throttled;
}

static double value_contended(const struct top_row *row)
{
	return row->contended;
}

static double value_p99(const struct top_row *row)
{
	return (double)row->p99_ns;
}

static double value_bad(const struct top_row *row)
{
	return (double)row->errors + (double)row->refused;
}

static double value_refused(const struct top_row *row)
{
	return (double)row->refused;
}

static double value_waiting(const struct top_row *row)
{
	return (double)row->waiting;
}

static double value_weight(const struct top_row *row)
{
	return (double)row->share.weight;
}

static double value_min(const struct top_row *row)
{
	return (double)row->share.min_iops;
}

static double value_max(const struct top_row *row)
{
	return (double)row->share.max_iops;
}

/* On 80 columns the numbers and the gaps take 56; 24 are left for the name and the bar. */
const struct top_column top_columns[TOP_COLUMNS + 1] = {
	{ "name", "NAME", 10, 0, NULL, NULL, false, TABLE_PLAIN },
	{ "iops", "IOPS", 5, 0, value_iops, print_count, true, TABLE_PLAIN },
	{ "mbs", "MB/s", 5, 0, value_bytes, print_megabytes, true, TABLE_PLAIN },
	{ "dev", "DEV%", 4, 0, value_device, print_percent, true, TABLE_PLAIN },
	{ "bar", "[min  max]", 10, 0, value_device, NULL, true, TABLE_PLAIN },
	{ "got", "GOT%", 4, 0, value_got, print_percent, true, TABLE_PLAIN },
	{ "due", "DUE%", 4, 0, value_due, print_percent, true, TABLE_PLAIN },
	{ "cpu", "CPU%", 4, 0, value_cpu, print_percent, true, TABLE_PLAIN },
	{ "thr", "THR%", 4, 0, value_throttled, print_percent, true, TABLE_WARNING },
	{ "con", "CON%", 4, 0, value_contended, print_percent, true, TABLE_PLAIN },
	{ "p99", "P99", 5, 0, value_p99, print_duration, true, TABLE_PLAIN },
	{ "err", "ERR", 4, 0, value_bad, print_count, false, TABLE_BAD },
	{ "ref", "REF", 4, 100, value_refused, print_count, false, TABLE_WARNING },
	{ "wait", "WAIT", 5, 100, value_waiting, print_count, false, TABLE_PLAIN },
	{ "weight", "WEIGHT", 6, 100, value_weight, print_count, false, TABLE_PLAIN },
	{ "min", "MIN", 5, 120, value_min, print_limit, false, TABLE_PLAIN },
	{ "max", "MAX", 5, 120, value_max, print_limit, false, TABLE_PLAIN },
	{ "read", "RD MB/s", 7, 132, value_read, print_megabytes, true, TABLE_PLAIN },
	{ "write", "WR MB/s", 7, 132, value_written, print_megabytes, true, TABLE_PLAIN },
	{ 0 },
};

unsigned top_column_find(const char *key)
{
	for (unsigned i = 0; i < TOP_COLUMNS; i++) {
		if (strcmp(top_columns[i].key, key) == 0)
			return i;
	}
	return TOP_NO_COLUMN;
}
