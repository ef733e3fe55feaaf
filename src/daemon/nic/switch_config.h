/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The section [switch NAME]: a virtual switch and its uplink. */
#ifndef VIADUCT_DAEMON_NIC_SWITCH_CONFIG_H
#define VIADUCT_DAEMON_NIC_SWITCH_CONFIG_H

#include "arbiter/switch/vswitch.h"
#include "daemon/config/config.h"
#include "daemon/nic/nic_text.h"

extern const struct config_section config_section_switch;

struct config_switch {
	struct config_object object;
	char *uplink; /* "none", "user", "vxlan", "tap:NAME", "packet:NAME" */
	uint64_t ageing_s, flood_limit;
	uint64_t capacity_bandwidth; /* 0: as the card says */
	bool offload; /* tap */
	/* user */
	char *network, *network6; /* "10.0.2.0/24"; "fd00::/64" or "none" */
	char *hostname;		  /* NULL: DHCP tells none */
	char *forward;		  /* NULL: none; a list */
	uint64_t sockets;
	bool host_loopback, restricted;
	/* vxlan */
	uint64_t vni, port;
	char *peers; /* "192.0.2.1, 192.0.2.2" */
	char *local; /* NULL: any address of the host's */
	/* user and vxlan; 0: the default */
	uint64_t mtu;
};

/* What a switch's uplink is; the section was checked. The options borrow its texts. */
struct uplink_name switch_uplink_name(const struct config_switch *settings);
struct nic_user_options switch_user_options(const struct config_switch *settings);
/* `peers` is room that the options borrow. */
struct nic_vxlan_options switch_vxlan_options(const struct config_switch *settings,
					      union nic_vxlan_address peers[NIC_VXLAN_PEERS_MAX]);
struct port_settings switch_uplink_settings(const struct config_switch *settings);

/* Is it the same uplink, made the same way? Forwards and limits change under a running one. */
bool switch_same_uplink(const struct config_switch *one, const struct config_switch *other);

#endif
