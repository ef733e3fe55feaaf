/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/nic/port_report.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "arbiter/switch/mirror.h"
#include "daemon/base/metrics.h"

#define METRIC_NAME_MAX 96
#define LABELS_MAX	512

const char *port_format_mac(const uint8_t address[FRAME_ADDRESS_BYTES], char text[MAC_TEXT])
{
	snprintf(text, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", address[0], address[1], address[2],
		 address[3], address[4], address[5]);
	return text;
}

/* ---- status ---- */

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *traffic_json(uint64_t frames, uint64_t bytes)
{
	return json_pack("{s:o, s:o}", "frames", number(frames), "bytes", number(bytes));
}

void port_describe(struct port *port, json_t *object)
{
	struct port_totals totals = { .learned = 0 };
	json_t *drops = json_object();

	if (port)
		port_totals(port, &totals);
	json_object_set_new(object, "link", json_boolean(port && port_link(port)));
	json_object_set_new(object, "sent", traffic_json(totals.sent_frames, totals.sent_bytes));
	json_object_set_new(object, "received", traffic_json(totals.received_frames, totals.received_bytes));
	json_object_set_new(object, "learned", number(totals.learned));
	for (unsigned i = 0; i < PORT_DROPS; i++)
		json_object_set_new(drops, port_drop_text(i), number(totals.dropped[i]));
	json_object_set_new(object, "dropped", drops);
	json_object_set_new(object, "captures", number(port ? port_mirror_count(port) : 0));
}

/* ---- metrics ---- */

static const struct row {
	const char *name, *help;
	size_t offset; /* of the number in struct port_totals */
} rows[] = {
	{ "sent_frames_total", "Frames that came in through the port and were forwarded.",
	  offsetof(struct port_totals, sent_frames) },
	{ "sent_bytes_total", "Their bytes.", offsetof(struct port_totals, sent_bytes) },
	{ "received_frames_total", "Frames that went out through the port.",
	  offsetof(struct port_totals, received_frames) },
	{ "received_bytes_total", "Their bytes.", offsetof(struct port_totals, received_bytes) },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

bool port_metric_head(FILE *out, const char *prefix, unsigned row)
{
	const char *name = row < ROWS ? rows[row].name : "dropped_frames_total";
	char full[METRIC_NAME_MAX];

	if (row > ROWS)
		return false;
	snprintf(full, sizeof(full), "%s_%s", prefix, name);
	metrics_head(out, full, "counter",
		     row < ROWS ? rows[row].help
				: "Frames that were lost, by reason: the first ones came in through the "
				  "port, full and too_large were to go out.");
	return true;
}

static void sample_drops(FILE *out, const char *name, const char *labels, const struct port_totals *totals)
{
	char with_reason[LABELS_MAX];

	for (unsigned i = 0; i < PORT_DROPS; i++) {
		snprintf(with_reason, sizeof(with_reason), "%s,reason=\"%s\"", labels, port_drop_text(i));
		metrics_sample(out, name, with_reason, totals->dropped[i], false);
	}
}

void port_metric_sample(FILE *out, const char *prefix, unsigned row, const char *labels,
			const struct port *port)
{
	struct port_totals totals = { .learned = 0 };
	char name[METRIC_NAME_MAX];

	assert(row <= ROWS);
	if (port)
		port_totals(port, &totals);
	snprintf(name, sizeof(name), "%s_%s", prefix, row < ROWS ? rows[row].name : "dropped_frames_total");
	if (row == ROWS)
		sample_drops(out, name, labels, &totals);
	else
		metrics_sample(out, name, labels,
			       *(const uint64_t *)((const char *)&totals + rows[row].offset), false);
}
