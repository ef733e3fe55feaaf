/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtual network cards and the uplinks of their switches. */
#include <stdio.h>
#include <string.h>

#include "cli/api_client.h"
#include "cli/top/top_json.h"
#include "cli/top/top_ratio.h"
#include "cli/top/top_resource.h"
#include "core/frame.h"

#define FRAMES_WIDTH	5u
#define MEGABYTES_WIDTH 4u
#define FIGURE_MAX	6 /* the wider one and its end */

/* ---- reading ---- */

static void parse_traffic(struct top_traffic *traffic, const json_t *object, const char *direction)
{
	const json_t *counted = json_object_get(object, direction);

	traffic->count = api_number(counted, "frames");
	traffic->bytes = api_number(counted, "bytes");
}

static enum top_link parse_link(const json_t *uplink, const char *kind)
{
	if (api_text(uplink, "error")[0])
		return TOP_LINK_FAILED;
	if (!kind[0] || strcmp(kind, "none") == 0)
		return TOP_LINK_NONE;
	return api_flag(uplink, "link") ? TOP_LINK_UP : TOP_LINK_DOWN;
}

/* To the switch, its uplink is a port: what that port sent came from the world. */
static void parse_device(struct top_device *device, const json_t *object)
{
	const json_t *uplink = json_object_get(object, "uplink");
	const char *kind = api_text(uplink, "kind"), *interface = api_text(uplink, "interface");
	char name[2 * TOP_NAME_MAX];

	device->capacity_bandwidth = api_number(object, "capacity_bandwidth");
	device->reserved_ppb = api_number(object, "reserved_ppb");
	device->link = parse_link(uplink, kind);
	device->failed = device->link == TOP_LINK_DOWN || device->link == TOP_LINK_FAILED;
	snprintf(name, sizeof(name), "%s%s%s", kind, interface[0] ? ":" : "", interface);
	top_copy_name(device->uplink, name);
	parse_traffic(&device->in, uplink, "sent");
	parse_traffic(&device->out, uplink, "received");
}

static void parse_leaf(struct top_leaf *leaf, const json_t *object)
{
	struct top_counters *counters = &leaf->counters;
	json_t *dropped = json_object_get(object, "dropped"), *value;
	const json_t *wait = json_object_get(json_object_get(object, "time"), "wait_ns");
	const char *reason;

	parse_traffic(&counters->in, object, "received");
	parse_traffic(&counters->out, object, "sent");
	counters->operations = counters->in.count + counters->out.count;
	json_object_foreach(dropped, reason, value) counters->dropped += api_number(dropped, reason);
	leaf->p99_ns = api_number(wait, "p99");
	if (api_number(object, "mtu"))
		leaf->largest_bytes = api_number(object, "mtu") + FRAME_HEADER_BYTES;
}

/* ---- rates ---- */

/*
 * Of the time between the samples. Several queues of a card may wait at the same time, and their waits are
 * told as a sum: when that is longer than the time, both waits are cut in proportion. A card that neither
 * moved frames nor waited does not count: in a guest with two cards, the idle one does not halve what the
 * other one waited.
 */
static struct top_waits waits(const struct top_counters *delta, double wall_ns)
{
	double throttled_ns = (double)delta->throttled_ns, contended_ns = (double)delta->contended_ns;
	double waited_ns = throttled_ns + contended_ns;
	double scale = waited_ns > wall_ns ? wall_ns / waited_ns : 1;

	if (waited_ns <= 0 && delta->operations == 0)
		return (struct top_waits){ 0 };
	return (struct top_waits){ throttled_ns * scale, contended_ns * scale, wall_ns };
}

static double reservation(const struct top_row *row, const struct top_device *device)
{
	return ratio(row->share.min_bandwidth, (double)device->capacity_bandwidth);
}

/*
 * A limit of frames is reached where frames as large as those that are sent now reach it. What the uplink or
 * the switch cuts into segments is sent as one frame, and counts against the limit as its segments.
 */
static double limit(const struct top_row *row, const struct top_device *device)
{
	double frame_bytes = ratio(row->out_bytes, row->out_count);

	if (row->largest_bytes > 0)
		frame_bytes = least(frame_bytes, row->largest_bytes);
	return ratio(lower_limit(row->share.max_operations * frame_bytes, row->share.max_bandwidth),
		     (double)device->capacity_bandwidth);
}

/* ---- what is shown ---- */

/* On 80 columns the numbers and the gaps take 57; 23 are left for the name and the bar. */
static const struct top_shown shown[] = {
	{ TOP_COLUMN_NAME, 0 },	    { TOP_COLUMN_TX, 0 },      { TOP_COLUMN_RX, 0 },
	{ TOP_COLUMN_TXMB, 0 },	    { TOP_COLUMN_RXMB, 0 },    { TOP_COLUMN_DEV, 0 },
	{ TOP_COLUMN_BAR, 0 },	    { TOP_COLUMN_GOT, 0 },     { TOP_COLUMN_DUE, 0 },
	{ TOP_COLUMN_CPU, 100 },    { TOP_COLUMN_THR, 0 },     { TOP_COLUMN_CON, 0 },
	{ TOP_COLUMN_P99, 100 },    { TOP_COLUMN_DROP, 0 },    { TOP_COLUMN_WAIT, 100 },
	{ TOP_COLUMN_WEIGHT, 120 }, { TOP_COLUMN_MINMB, 120 }, { TOP_COLUMN_MAXMB, 120 },
	{ TOP_COLUMN_PPS, 132 },    { TOP_COLUMNS, 0 },
};

static const struct top_field fields[] = {
	{ "sent_pps", TOP_MEMBER(out_count), false },
	{ "received_pps", TOP_MEMBER(in_count), false },
	{ "sent_bandwidth", TOP_MEMBER(out_bytes), false },
	{ "received_bandwidth", TOP_MEMBER(in_bytes), false },
	{ "device_part", TOP_MEMBER(device), false },
	{ "reservation_part", TOP_MEMBER(reservation), false },
	{ "limit_part", TOP_MEMBER(limit), false },
	{ "got_part", TOP_MEMBER(got), false },
	{ "due_part", TOP_MEMBER(due), false },
	{ "cpu_part", TOP_MEMBER(cpu), false },
	{ "throttled_part", TOP_MEMBER(throttled), false },
	{ "contended_part", TOP_MEMBER(contended), false },
	{ "waiting", TOP_MEMBER(waiting), true },
	{ "wait_p99_ns", TOP_MEMBER(p99_ns), true },
	{ "dropped_pps", TOP_MEMBER(dropped), false },
	{ "refused", TOP_MEMBER(refused), true },
	{ "weight", TOP_MEMBER(share.weight), true },
	{ "min_bandwidth", TOP_MEMBER(share.min_bandwidth), true },
	{ "max_bandwidth", TOP_MEMBER(share.max_bandwidth), true },
	{ "max_pps", TOP_MEMBER(share.max_operations), true },
	{ 0 },
};

static const char *const link_texts[TOP_LINKS] = {
	[TOP_LINK_NONE] = "none",
	[TOP_LINK_UP] = "up",
	[TOP_LINK_DOWN] = "down",
	[TOP_LINK_FAILED] = "failed",
};

static void print_figures(const struct top_device_row *row, char figures[TOP_TEXT_MAX])
{
	char out[FIGURE_MAX], out_megabytes[FIGURE_MAX], in[FIGURE_MAX], in_megabytes[FIGURE_MAX];

	top_number(out, FRAMES_WIDTH, row->out_count, 0);
	top_number(out_megabytes, MEGABYTES_WIDTH, row->out_bytes / 1e6, 1);
	top_number(in, FRAMES_WIDTH, row->in_count, 0);
	top_number(in_megabytes, MEGABYTES_WIDTH, row->in_bytes / 1e6, 1);
	snprintf(figures, TOP_TEXT_MAX, "  %s  out %s/s %s MB/s  in %s/s %s MB/s",
		 link_texts[row->device->link], out, out_megabytes, in, in_megabytes);
}

static void print_remark(const struct top_device *device, char remark[TOP_TEXT_MAX])
{
	char capacity[FIGURE_MAX];

	top_number(capacity, MEGABYTES_WIDTH, (double)device->capacity_bandwidth / 1e6, 1);
	if (device->capacity_bandwidth)
		snprintf(remark, TOP_TEXT_MAX, "  of %s MB/s  %.40s", capacity, device->uplink);
	else
		snprintf(remark, TOP_TEXT_MAX, "  %.40s", device->uplink);
}

static void print_device(const struct top_device_row *row, char figures[TOP_TEXT_MAX],
			 char remark[TOP_TEXT_MAX])
{
	switch (row->device->link) {
	case TOP_LINK_NONE:
		snprintf(figures, TOP_TEXT_MAX, "  no uplink");
		remark[0] = '\0';
		break;
	case TOP_LINK_FAILED:
		snprintf(figures, TOP_TEXT_MAX, "  failed");
		print_remark(row->device, remark);
		break;
	default:
		print_figures(row, figures);
		print_remark(row->device, remark);
	}
}

static json_t *device_json(const struct top_device_row *row)
{
	const struct top_device *device = row->device;

	return json_pack("{s:s, s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:o, s:o}", "name", device->name, "uplink",
			 device->uplink, "link", link_texts[device->link], "busy_part", row->busy,
			 "to_uplink_pps", row->out_count, "to_uplink_bandwidth", row->out_bytes,
			 "from_uplink_pps", row->in_count, "from_uplink_bandwidth", row->in_bytes,
			 "capacity_bandwidth", top_json_number((double)device->capacity_bandwidth),
			 "reserved_ppb", top_json_number((double)device->reserved_ppb));
}

const struct top_resource_ops top_nics = {
	.name = "nic",
	.one = "card",
	.many = "cards",
	.device_list = "switches",
	.device_member = "switch",
	.share_prefix = "nic_",
	.rate_unit = "pps",
	.parse_device = parse_device,
	.parse_leaf = parse_leaf,
	.devices_count = true,
	.waits = waits,
	.reservation = reservation,
	.limit = limit,
	.shown = shown,
	.fields = fields,
	.device_rows_list = "switches",
	.print_device = print_device,
	.device_json = device_json,
};
