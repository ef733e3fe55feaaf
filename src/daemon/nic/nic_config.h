/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The section [nic GUEST/NAME]. */
#ifndef VIADUCT_DAEMON_NIC_NIC_CONFIG_H
#define VIADUCT_DAEMON_NIC_NIC_CONFIG_H

#include "arbiter/switch/vswitch.h"
#include "daemon/config/config.h"
#include "daemon/nic/nic_text.h"

extern const struct config_section config_section_nic;

enum config_nic_model { CONFIG_NIC_VIRTIO, CONFIG_NIC_E1000E };

struct config_nic {
	union {
		struct config_object object;
		struct config_device device;
	};
	char *vswitch;
	char *mac; /* NULL: made of the card's name */
	unsigned model; /* enum config_nic_model */
	uint64_t mtu, queues;
	bool packed, checksum, tso, uso;
	uint64_t vlan;
	char *trunk; /* NULL: no trunk; "10, 20-29" */
	bool link, isolated, learn, promiscuous;
	uint64_t flood_limit;
	char *allowed_ips; /* NULL: any; "192.0.2.1, 2001:db8::/64" */
	char *mirror;	   /* NULL: none */
	uint64_t mirror_limit;
	struct share_settings share;
};

/* The address of a card: as configured, or locally administered, always the same for one name. */
void nic_address(const char *name, const struct config_nic *settings,
		 uint8_t ret_address[FRAME_ADDRESS_BYTES]);

/* What the switch is told; NULL: the defaults. The texts were checked. */
struct port_settings nic_port_settings(const struct config_nic *settings);
bool nic_same_settings(const struct port_settings *one, const struct port_settings *other);

#endif
