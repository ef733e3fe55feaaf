/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is told of network cards, as JSON and as metrics. */
#include <stdio.h>

#include "arbiter/share/gate.h"
#include "arbiter/switch/mirror.h"
#include "daemon/base/metrics.h"
#include "daemon/device/virtio_endpoint.h"
#include "daemon/nic/nic_device.h"
#include "daemon/nic/nic_mirror.h"
#include "daemon/nic/port_report.h"
#include "daemon/nic/switch.h"
#include "daemon/share/share_json.h"
#include "daemon/share/shares.h"

#define METRIC_PREFIX "viaduct_nic"
#define LABELS_MAX    (2 * CONFIG_NAME_SIZE + 64)

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

void nic_describe(const struct device *device, json_t *object)
{
	const struct nic_device *nic = nic_device_of(device);
	char mac[MAC_TEXT], dhcp[INET_ADDRSTRLEN];

	json_object_set_new(object, "switch", json_string(nic->switch_name));
	json_object_set_new(object, "mac", json_string(port_format_mac(nic->address, mac)));
	if (nic->plugged && lease_text(nic->plugged, nic->address, dhcp))
		json_object_set_new(object, "dhcp_address", json_string(dhcp));
	json_object_set_new(object, "model",
			    json_string(nic->model_kind == CONFIG_NIC_E1000E ? "e1000e" : "virtio"));
	json_object_set_new(object, "interface",
			    json_string(device_interface_text(nic->model_kind != CONFIG_NIC_E1000E,
							      nic->interface)));
	json_object_set_new(object, "mtu", number(nic->mtu));
	json_object_set_new(object, "queues", number(nic->queues));
	json_object_set_new(object, "packed", json_boolean(nic->packed));
}

void nic_describe_port(const struct nic_device *nic, json_t *object)
{
	bool open;
	json_t *mirror = nic_mirror_json(nic, &open);

	port_describe(nic->port, object);
	if (open)
		json_object_set_new(object, "captures", number(port_mirror_count(nic->port) - 1));
	if (mirror)
		json_object_set_new(object, "mirror", mirror);
}

void nic_status(const struct device *device, json_t *object)
{
	const struct port *port = nic_device_of(device)->port;
	struct gate_counters time = { .device_ns = { 0 } };

	nic_describe_port(nic_device_of(device), object);
	if (port)
		port_time(port, &time);
	json_object_set_new(object, "time", share_time_json(&time, device_status(device).cpu_ns));
	share_set_json(object, device->daemon, SHARE_OF_NIC, device->name);
}

/* ---- metrics ---- */

static void format_labels(const struct device *device, char labels[LABELS_MAX])
{
	snprintf(labels, LABELS_MAX, "guest=\"%s\",nic=\"%s\",switch=\"%s\"", device->guest->name,
		 device->short_name, nic_device_of(device)->switch_name);
}

static void print_row(struct daemon *daemon, FILE *out, unsigned row)
{
	device_for_each(daemon, &nic_device_kind, device)
	{
		const struct nic_device *nic = nic_device_of(device);
		char labels[LABELS_MAX];

		format_labels(device, labels);
		port_metric_sample(out, METRIC_PREFIX, row, labels, nic->port);
	}
}

/* Of a card's time: in seconds, or of frames that wait. */
static const struct time_row {
	const char *name, *type, *help;
	size_t offset; /* of the counter in struct gate_counters */
	bool ns;
} time_rows[] = {
	{ "uplink_seconds_total", "counter", "Time of the uplink that its frames took.",
	  offsetof(struct gate_counters, device_ns), true },
	{ "throttled_seconds_total", "counter", "Waits for limits, added up.",
	  offsetof(struct gate_counters, throttled_ns), true },
	{ "contended_seconds_total", "counter", "Waits for other cards' frames, added up.",
	  offsetof(struct gate_counters, contended_ns), true },
	{ "waiting", "gauge", "Queues that wait for their turn at the uplink.",
	  offsetof(struct gate_counters, waiting), false },
};

static void print_time_row(struct daemon *daemon, FILE *out, const struct time_row *row)
{
	char name[LABELS_MAX], labels[LABELS_MAX];

	snprintf(name, sizeof(name), METRIC_PREFIX "_%s", row->name);
	metrics_head(out, name, row->type, row->help);
	device_for_each(daemon, &nic_device_kind, device)
	{
		const struct port *port = nic_device_of(device)->port;
		struct gate_counters time = { .device_ns = { 0 } };

		if (port)
			port_time(port, &time);
		format_labels(device, labels);
		metrics_sample(out, name, labels,
			       counter_read((const struct counter *)((const char *)&time + row->offset)),
			       row->ns);
	}
}

static void print_shares(struct daemon *daemon, FILE *out)
{
	struct share_id id = { SHARE_OF_NIC, SHARE_NICS, NULL };
	struct share_metric metric;

	for (unsigned i = 0; i < SHARE_KEYS; i++) {
		if (!share_metric_head(out, id, i, &metric))
			continue;
		device_for_each(daemon, &nic_device_kind, device)
		{
			struct share_settings share;
			char labels[LABELS_MAX];

			id.name = device->name;
			share = share_effective(daemon, id, NULL);
			format_labels(device, labels);
			fprintf(out, "%s{%s} %.12g\n", metric.name, labels,
				(double)share.value[i] * metric.unit);
		}
	}
}

void nics_print_metrics(struct daemon *daemon, FILE *out)
{
	if (!device_of_kind(daemon->devices, &nic_device_kind))
		return;
	for (unsigned row = 0; port_metric_head(out, METRIC_PREFIX, row); row++)
		print_row(daemon, out, row);
	for (unsigned i = 0; i < sizeof(time_rows) / sizeof(time_rows[0]); i++)
		print_time_row(daemon, out, &time_rows[i]);
	print_shares(daemon, out);
}
