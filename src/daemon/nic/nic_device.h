/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual network cards, plugged into switches (switch.h). Control thread.
 *
 *   nic_text.c        what users write: addresses, VLANs, uplinks, forwards
 *   nic_config.c      the section [nic]
 *   nic_device.c      the kind: cards, and its place in the daemon's life
 *   nic_capture.c     a port's frames as pcapng
 *   nic_mirror.c      the file or pipe that they go to as configured
 *   network_state.c   what was set at run time
 *   nic_report.c      what is told of cards: status, metrics
 */
#ifndef VIADUCT_DAEMON_NIC_NIC_DEVICE_H
#define VIADUCT_DAEMON_NIC_NIC_DEVICE_H

#include "core/container.h"
#include "daemon/device/device.h"
#include "daemon/nic/network_state.h"
#include "daemon/nic/nic_config.h"

struct daemon_switch;
struct e1000e_device;
struct nic_mirror;
struct share_node;
struct virtio_net;
struct virtio_pci;

extern const struct device_kind nic_device_kind;

struct nic_device {
	struct device base;
	struct daemon_switch *plugged; /* NULL: not served */
	struct port *port;
	struct share_node *share;
	struct virtio_pci *pci;	       /* a virtio card by registers */
	struct virtio_net *virtio;     /* what the guest sees: one of these */
	struct e1000e_device *e1000e;
	struct nic_mirror *mirror; /* NULL: none */
	/* As configured */
	char switch_name[CONFIG_NAME_SIZE];
	uint8_t address[FRAME_ADDRESS_BYTES];
	unsigned model_kind; /* enum config_nic_model */
	unsigned interface;  /* enum config_interface: of a virtio card */
	unsigned mtu, queues;
	bool packed, checksum, tso, uso;
	struct port_settings settings;
};

static inline struct nic_device *nic_device_of(const struct device *device)
{
	return container_of((struct device *)device, struct nic_device, base);
}

/* Plugs the cable in or out, so to speak; kept over restarts. */
void nic_set_link(struct nic_device *nic, enum link_choice choice);

/* ---- nic_report.c ---- */

void nic_describe(const struct device *device, json_t *object);
/* Of its port: the traffic, and who looks on. */
void nic_describe_port(const struct nic_device *nic, json_t *object);
void nic_status(const struct device *device, json_t *object);
void nics_print_metrics(struct daemon *daemon, FILE *out);

#endif
