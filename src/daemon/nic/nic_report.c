/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is told of network cards, as JSON and as metrics. */
#include <stdio.h>

#include "daemon/nic/nic_device.h"
#include "daemon/nic/port_report.h"

#define METRIC_PREFIX "viaduct_nic"
#define LABELS_MAX    (2 * CONFIG_NAME_SIZE + 64)

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

void nic_describe(const struct device *device, json_t *object)
{
	const struct nic_device *nic = nic_device_of(device);
	char mac[MAC_TEXT];

	json_object_set_new(object, "switch", json_string(nic->switch_name));
	json_object_set_new(object, "mac", json_string(port_format_mac(nic->address, mac)));
	json_object_set_new(object, "mtu", number(nic->mtu));
	json_object_set_new(object, "queues", number(nic->queues));
	json_object_set_new(object, "packed", json_boolean(nic->packed));
}

void nic_status(const struct device *device, json_t *object)
{
	port_describe(nic_device_of(device)->port, object);
}

/* ---- metrics ---- */

static void print_row(struct daemon *daemon, FILE *out, unsigned row)
{
	device_for_each(daemon, &nic_device_kind, device)
	{
		const struct nic_device *nic = nic_device_of(device);
		char labels[LABELS_MAX];

		snprintf(labels, sizeof(labels), "guest=\"%s\",nic=\"%s\",switch=\"%s\"", device->guest->name,
			 device->short_name, nic->switch_name);
		port_metric_sample(out, METRIC_PREFIX, row, labels, nic->port);
	}
}

void nics_print_metrics(struct daemon *daemon, FILE *out)
{
	if (!device_of_kind(daemon->devices, &nic_device_kind))
		return;
	for (unsigned row = 0; port_metric_head(out, METRIC_PREFIX, row); row++)
		print_row(daemon, out, row);
}
