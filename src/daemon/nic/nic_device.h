/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual network cards and the switches that they are plugged into. Control thread.
 *
 *   nic_config.c   the sections [switch] and [nic]
 *   nic_device.c   the kind: cards, and its place in the daemon's life
 *   nic_report.c   what is told of cards and switches: status, metrics
 */
#ifndef VIADUCT_DAEMON_NIC_NIC_DEVICE_H
#define VIADUCT_DAEMON_NIC_NIC_DEVICE_H

#include "core/container.h"
#include "core/loop.h"
#include "daemon/device/device.h"
#include "daemon/nic/nic_config.h"

struct virtio_net;

extern const struct device_kind nic_device_kind;

struct daemon_switch {
	struct daemon_switch *next; /* in daemon.switches */
	struct daemon *daemon;
	char name[CONFIG_NAME_SIZE];
	struct vswitch *vswitch;
	/* Its cards' first queues are served here, so that frames between them are copied once */
	unsigned first_worker;
	unsigned cards; /* that are plugged in */
	struct loop_timer ageing;
};

struct nic_device {
	struct device base;
	struct daemon_switch *plugged; /* NULL: not served */
	struct port *port;
	struct virtio_net *model;
	/* As configured */
	char switch_name[CONFIG_NAME_SIZE];
	uint8_t address[FRAME_ADDRESS_BYTES];
	unsigned mtu, queues;
	bool packed, checksum, tso, uso;
	struct port_settings settings;
};

static inline struct nic_device *nic_device_of(const struct device *device)
{
	return container_of((struct device *)device, struct nic_device, base);
}

/* NULL: there is none. */
struct daemon_switch *daemon_switch_find(const struct daemon *daemon, const char *name);

/* ---- nic_report.c ---- */

void nic_describe(const struct device *device, json_t *object);
void nic_status(const struct device *device, json_t *object);
void nics_print_metrics(struct daemon *daemon, FILE *out);

#endif
