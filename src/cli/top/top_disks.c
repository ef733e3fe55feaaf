/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtual disks and the physical disks below them. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cli/api_client.h"
#include "cli/top/top_json.h"
#include "cli/top/top_ratio.h"
#include "cli/top/top_resource.h"

#define RATE_MIN     0.001 /* a rate is divided by */
#define RATE_MAX     1000.0
#define FIGURE_WIDTH 5u
#define OF_MAX	     (2 * FIGURE_WIDTH + 2)

/* ---- reading ---- */

static void parse_device(struct top_device *device, const json_t *object)
{
	const json_t *capacity = json_object_get(object, "capacity");
	double rate = json_number_value(json_object_get(capacity, "rate"));

	device->capacity_operations = api_number(capacity, "iops");
	device->capacity_bandwidth = api_number(capacity, "bandwidth");
	device->reserved_ppb = api_number(capacity, "reserved_ppb");
	if (rate >= RATE_MIN && rate <= RATE_MAX)
		device->rate = rate;
	device->failed = api_text(object, "error")[0] != '\0';
}

/* [[limit_ns, count], …]: how many requests took less than limit_ns, and not less than the entry before. */
static void parse_histogram(struct histogram *histogram, const json_t *buckets)
{
	const json_t *entry;
	size_t index;

	json_array_foreach(buckets, index, entry)
	{
		json_int_t limit_ns = json_integer_value(json_array_get(entry, 0));
		json_int_t count = json_integer_value(json_array_get(entry, 1));

		if (limit_ns > 0 && count > 0)
			counter_add(&histogram->bucket[histogram_bucket((uint64_t)limit_ns - 1)],
				    (uint64_t)count);
	}
}

static void parse_traffic(struct top_traffic *traffic, const json_t *operation)
{
	traffic->count = api_number(operation, "operations");
	traffic->bytes = api_number(operation, "bytes");
}

/* Sums over all kinds of operations; the leaf's p99 is the worst of them. */
static void parse_leaf(struct top_leaf *leaf, const json_t *object)
{
	struct top_counters *counters = &leaf->counters;
	json_t *operations = json_object_get(object, "operations");
	const char *kind;
	json_t *operation;

	json_object_foreach(operations, kind, operation)
	{
		const json_t *latency = json_object_get(operation, "latency_ns");
		uint64_t p99_ns = api_number(latency, "p99");

		counters->operations += api_number(operation, "operations");
		counters->latency_ns += api_number(latency, "sum");
		parse_histogram(&counters->latency, json_object_get(latency, "buckets"));
		if (strcmp(kind, "read") == 0)
			parse_traffic(&counters->in, operation);
		else if (strcmp(kind, "write") == 0)
			parse_traffic(&counters->out, operation);
		if (p99_ns > leaf->p99_ns)
			leaf->p99_ns = p99_ns;
	}
}

/* ---- rates ---- */

/* Of the time that requests took. */
static struct top_waits waits(const struct top_counters *delta, double wall_ns)
{
	return (struct top_waits){ (double)delta->throttled_ns, (double)delta->contended_ns,
				   (double)delta->latency_ns };
}

/* A reservation is granted for requests as the capacity is told in, whatever the guest sends. */
static double reservation(const struct top_row *row, const struct top_device *device)
{
	double by_iops = ratio(row->share.min_operations, (double)device->capacity_operations);
	double by_bandwidth = ratio(row->share.min_bandwidth, (double)device->capacity_bandwidth);

	return by_iops > by_bandwidth ? by_iops : by_bandwidth;
}

/*
 * A limit is reached where requests as they are sent now reach it; without any, as the capacity is told in.
 */
static double limit(const struct top_row *row, const struct top_device *device)
{
	bool busy = row->device > 0;
	double part_of_one =
		busy ? ratio(row->device, row->operations) : ratio(1, (double)device->capacity_operations);
	double part_of_byte =
		busy ? ratio(row->device, row->bytes) : ratio(1, (double)device->capacity_bandwidth);

	return lower_limit(row->share.max_operations * part_of_one, row->share.max_bandwidth * part_of_byte);
}

/* ---- what is shown ---- */

/* On 80 columns the numbers and the gaps take 56; 24 are left for the name and the bar. */
static const struct top_shown shown[] = {
	{ TOP_COLUMN_NAME, 0 },	   { TOP_COLUMN_IOPS, 0 },   { TOP_COLUMN_MBS, 0 },
	{ TOP_COLUMN_DEV, 0 },	   { TOP_COLUMN_BAR, 0 },    { TOP_COLUMN_GOT, 0 },
	{ TOP_COLUMN_DUE, 0 },	   { TOP_COLUMN_CPU, 0 },    { TOP_COLUMN_THR, 0 },
	{ TOP_COLUMN_CON, 0 },	   { TOP_COLUMN_P99, 0 },    { TOP_COLUMN_ERR, 0 },
	{ TOP_COLUMN_REF, 100 },   { TOP_COLUMN_WAIT, 100 }, { TOP_COLUMN_WEIGHT, 100 },
	{ TOP_COLUMN_MIN, 120 },   { TOP_COLUMN_MAX, 120 },  { TOP_COLUMN_READ, 132 },
	{ TOP_COLUMN_WRITE, 132 }, { TOP_COLUMNS, 0 },
};

static const struct top_field fields[] = {
	{ "iops", TOP_MEMBER(operations), false },
	{ "read_bandwidth", TOP_MEMBER(in_bytes), false },
	{ "write_bandwidth", TOP_MEMBER(out_bytes), false },
	{ "device_part", TOP_MEMBER(device), false },
	{ "reservation_part", TOP_MEMBER(reservation), false },
	{ "limit_part", TOP_MEMBER(limit), false },
	{ "got_part", TOP_MEMBER(got), false },
	{ "due_part", TOP_MEMBER(due), false },
	{ "cpu_part", TOP_MEMBER(cpu), false },
	{ "throttled_part", TOP_MEMBER(throttled), false },
	{ "contended_part", TOP_MEMBER(contended), false },
	{ "waiting", TOP_MEMBER(waiting), true },
	{ "p99_ns", TOP_MEMBER(p99_ns), true },
	{ "errors", TOP_MEMBER(errors), true },
	{ "refused", TOP_MEMBER(refused), true },
	{ "weight", TOP_MEMBER(share.weight), true },
	{ 0 },
};

/* "52310/60000": with what the device is said to be capable of, when that is known. */
static void print_of(char text[OF_MAX], double value, double capacity)
{
	char done[FIGURE_WIDTH + 1], possible[FIGURE_WIDTH + 1];

	top_number(done, FIGURE_WIDTH, value, 0);
	top_number(possible, FIGURE_WIDTH, capacity, 0);
	snprintf(text, OF_MAX, "%s%s%s", done, capacity > 0 ? "/" : "", capacity > 0 ? possible : "");
}

static void print_device(const struct top_device_row *row, char figures[TOP_TEXT_MAX],
			 char remark[TOP_TEXT_MAX])
{
	const struct top_device *device = row->device;
	char operations[OF_MAX], megabytes[OF_MAX];

	print_of(operations, row->operations, (double)device->capacity_operations);
	print_of(megabytes, (row->in_bytes + row->out_bytes) / 1e6, (double)device->capacity_bandwidth / 1e6);
	snprintf(figures, TOP_TEXT_MAX, "  %s IOPS  %s MB/s", operations, megabytes);
	remark[0] = '\0';
	if (device->capacity_operations)
		snprintf(remark, TOP_TEXT_MAX, "  rate %.2f", device->rate);
}

static json_t *device_json(const struct top_device_row *row)
{
	const struct top_device *device = row->device;

	return json_pack("{s:s, s:f, s:f, s:f, s:o, s:o, s:o, s:f}", "name", device->name, "busy_part",
			 row->busy, "iops", row->operations, "bandwidth", row->in_bytes + row->out_bytes,
			 "capacity_iops", top_json_number((double)device->capacity_operations),
			 "capacity_bandwidth", top_json_number((double)device->capacity_bandwidth),
			 "reserved_ppb", top_json_number((double)device->reserved_ppb), "rate", device->rate);
}

const struct top_resource_ops top_disks = {
	.name = "disk",
	.one = "disk",
	.many = "disks",
	.device_list = "pools",
	.device_member = "pool",
	.share_prefix = "disk_",
	.rate_unit = "iops",
	.parse_device = parse_device,
	.parse_leaf = parse_leaf,
	.waits = waits,
	.reservation = reservation,
	.limit = limit,
	.shown = shown,
	.fields = fields,
	.device_rows_list = "devices",
	.print_device = print_device,
	.device_json = device_json,
};
