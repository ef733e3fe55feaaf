/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gate of a switch: which guest's frames go to the uplink when, and how fast the uplink is. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/switch/uplink_meter.h"
#include "daemon/nic/nic_device.h"
#include "daemon/nic/switch.h"

/* The workers' time for a card's frames is shared out by the same weights. */
static void weights_changed(struct share_gate *gate)
{
	const struct daemon_switch *owner = container_of(gate, struct daemon_switch, gate);

	device_for_each(owner->daemon, &nic_device_kind, device)
	{
		const struct nic_device *nic = nic_device_of(device);

		if (nic->plugged == owner && nic->share && device->endpoint)
			endpoint_set_weight(device->endpoint, share_guest_weight(nic->share));
	}
}

int switch_gate_open(struct daemon_switch *owner)
{
	char path[CONFIG_NAME_SIZE + 32];

	snprintf(path, sizeof(path), "the uplink of switch %s", owner->name);
	owner->gate.path = strdup(path);
	if (!owner->gate.path)
		return -ENOMEM;
	owner->gate.resource = SHARE_NICS;
	owner->gate.changed = weights_changed;
	owner->gate.gate = uplink_meter_gate(vswitch_meter(owner->vswitch));
	share_gate_add(owner->daemon, &owner->gate);
	return 0;
}

void switch_gate_close(struct daemon_switch *owner)
{
	share_gate_remove(owner->daemon, &owner->gate);
	free(owner->gate.path);
}

void switch_gate_update(struct daemon_switch *owner, const struct config_switch *settings)
{
	struct uplink_meter *meter = vswitch_meter(owner->vswitch);
	const struct host_nic *nic = owner->uplink.nic;
	uint64_t bandwidth = settings->capacity_bandwidth, before = uplink_meter_bandwidth(meter);

	if (bandwidth == 0 && nic)
		bandwidth = nic->bandwidth;
	/* An interface may say anything. */
	if (bandwidth < UPLINK_BANDWIDTH_MIN)
		bandwidth = UPLINK_BANDWIDTH_DEFAULT;
	if (bandwidth > UPLINK_BANDWIDTH_MAX)
		bandwidth = UPLINK_BANDWIDTH_MAX;
	uplink_meter_set_bandwidth(meter, bandwidth, settings->capacity_bandwidth > 0);
	/* Bytes a second that are reserved are another part of it now. */
	if (bandwidth != before)
		share_gate_reserve_anew(owner->daemon, &owner->gate);
}
