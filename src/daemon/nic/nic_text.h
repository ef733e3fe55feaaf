/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a user writes of cards, uplinks and forwards, as the text stands in the configuration and in commands.
 * Pure. Each parser returns false, and sets nothing, when the text is not what it should be.
 */
#ifndef VIADUCT_DAEMON_NIC_NIC_TEXT_H
#define VIADUCT_DAEMON_NIC_NIC_TEXT_H

#include "arbiter/switch/vswitch.h"
#include "host/host_nic.h"
#include "host/nic_user.h"
#include "host/nic_vxlan.h"

/* "52:54:00:12:34:56". False: it is no unicast address. */
bool nic_parse_mac(const char *text, uint8_t ret_address[FRAME_ADDRESS_BYTES]);
/* VLANs and ranges of them, 1 to 4094. */
bool nic_parse_vlans(const char *text, uint64_t ret_vlans[4096 / 64]);
/* Addresses and networks. False: one is neither, or there are more than PORT_ALLOWED_MAX. */
bool nic_parse_ips(const char *text, struct ip_prefix ret_prefixes[PORT_ALLOWED_MAX], unsigned *ret_count);

/* ---- uplinks ---- */

enum uplink_kind { UPLINK_NONE, UPLINK_USER, UPLINK_TAP, UPLINK_PACKET, UPLINK_VXLAN, UPLINK_KINDS };

struct uplink_name {
	enum uplink_kind kind;
	char interface[NIC_NAME_BYTES]; /* tap and packet */
};

/* "none", "user", "vxlan", "tap:NAME", "packet:NAME". */
bool nic_parse_uplink(const char *text, struct uplink_name *ret_uplink);

/* "10.0.2.0/24": a network that the uplink `user` can have. */
bool nic_parse_network(const char *text, struct in_addr *ret_network, unsigned *ret_bits);
/* "fd00::/64". */
bool nic_parse_network6(const char *text, struct in6_addr *ret_network);

/* "192.0.2.1", "2001:db8::1". */
bool nic_parse_host(const char *text, union nic_vxlan_address *ret_address);
/* A list of them, all of one family. False also: there are more than NIC_VXLAN_PEERS_MAX. */
bool nic_parse_peers(const char *text, union nic_vxlan_address ret_peers[NIC_VXLAN_PEERS_MAX],
		     unsigned *ret_count);

/* ---- forwards ---- */

#define FORWARD_TEXT_MAX 168

/*
 * "tcp:127.0.0.1:2222-10.0.2.15:22", as QEMU's hostfwd: the address of the host, and where it leads to. The
 * first may be left out ("tcp::2222-10.0.2.15:22"): then it is the host's loopback. IPv6 addresses stand in
 * brackets.
 */
bool nic_parse_forward(const char *text, struct nic_user_forward *ret_forward);
/* A list of them with commas; each() may be NULL. False: at least one is wrong, and those behind it are not
 * told. */
bool nic_parse_forwards(const char *text, void (*each)(void *context, const struct nic_user_forward *forward),
			void *context);
/* In the same form, with both addresses. Returns the buffer. */
const char *nic_format_forward(const struct nic_user_forward *forward, char text[FORWARD_TEXT_MAX]);

#endif
