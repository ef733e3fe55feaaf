/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is told of network cards, as JSON and as metrics. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/metrics.h"
#include "daemon/nic/nic_device.h"

#define LABELS_MAX (2 * CONFIG_NAME_SIZE + 64)

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

void nic_describe(const struct device *device, json_t *object)
{
	const struct nic_device *nic = nic_device_of(device);
	char mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", nic->address[0], nic->address[1],
		 nic->address[2], nic->address[3], nic->address[4], nic->address[5]);
	json_object_set_new(object, "switch", json_string(nic->switch_name));
	json_object_set_new(object, "mac", json_string(mac));
	json_object_set_new(object, "mtu", number(nic->mtu));
	json_object_set_new(object, "queues", number(nic->queues));
	json_object_set_new(object, "packed", json_boolean(nic->packed));
}

void nic_status(const struct device *device, json_t *object)
{
	const struct nic_device *nic = nic_device_of(device);
	struct port_totals totals = { .learned = 0 };
	json_t *drops = json_object();

	if (nic->port)
		port_totals(nic->port, &totals);
	json_object_set_new(object, "link", json_boolean(nic->port && port_link(nic->port)));
	json_object_set_new(object, "sent",
			    json_pack("{s:o, s:o}", "frames", number(totals.sent_frames), "bytes",
				      number(totals.sent_bytes)));
	json_object_set_new(object, "received",
			    json_pack("{s:o, s:o}", "frames", number(totals.received_frames), "bytes",
				      number(totals.received_bytes)));
	json_object_set_new(object, "learned", number(totals.learned));
	for (unsigned i = 0; i < PORT_DROPS; i++)
		json_object_set_new(drops, port_drop_text(i), number(totals.dropped[i]));
	json_object_set_new(object, "dropped", drops);
}

/* ---- metrics ---- */

struct row {
	const char *name, *type, *help;
	size_t offset; /* of the number in struct port_totals */
};

static const struct row rows[] = {
	{ "viaduct_nic_sent_frames_total", "counter", "Frames that the guest sent and the switch took.",
	  offsetof(struct port_totals, sent_frames) },
	{ "viaduct_nic_sent_bytes_total", "counter", "Their bytes.",
	  offsetof(struct port_totals, sent_bytes) },
	{ "viaduct_nic_received_frames_total", "counter", "Frames that the guest received.",
	  offsetof(struct port_totals, received_frames) },
	{ "viaduct_nic_received_bytes_total", "counter", "Their bytes.",
	  offsetof(struct port_totals, received_bytes) },
};

static void print_labels(char labels[LABELS_MAX], const struct device *device)
{
	snprintf(labels, LABELS_MAX, "guest=\"%s\",nic=\"%s\",switch=\"%s\"", device->guest->name,
		 device->short_name, nic_device_of(device)->switch_name);
}

static void print_row(struct daemon *daemon, FILE *out, const struct row *row)
{
	char labels[LABELS_MAX];

	metrics_head(out, row->name, row->type, row->help);
	device_for_each(daemon, &nic_device_kind, device)
	{
		struct port_totals totals = { .learned = 0 };

		if (nic_device_of(device)->port)
			port_totals(nic_device_of(device)->port, &totals);
		print_labels(labels, device);
		metrics_sample(out, row->name, labels,
			       *(const uint64_t *)((const char *)&totals + row->offset), false);
	}
}

static void print_drops(FILE *out, const struct device *device, const struct port_totals *totals)
{
	char labels[LABELS_MAX];
	size_t length;

	print_labels(labels, device);
	length = strlen(labels);
	for (unsigned i = 0; i < PORT_DROPS; i++) {
		snprintf(labels + length, sizeof(labels) - length, ",reason=\"%s\"", port_drop_text(i));
		metrics_sample(out, "viaduct_nic_dropped_frames_total", labels, totals->dropped[i], false);
	}
}

void nics_print_metrics(struct daemon *daemon, FILE *out)
{
	if (!device_of_kind(daemon->devices, &nic_device_kind))
		return;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		print_row(daemon, out, &rows[i]);
	metrics_head(
		out, "viaduct_nic_dropped_frames_total", "counter",
		"Frames that were lost, by reason: the first ones from the guest, full and too_large to it.");
	device_for_each(daemon, &nic_device_kind, device)
	{
		struct port_totals totals = { .learned = 0 };

		if (nic_device_of(device)->port)
			port_totals(nic_device_of(device)->port, &totals);
		print_drops(out, device, &totals);
	}
}
