/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The uplink `user`: a NAT that needs no privileges. libslirp ends the guests' connections and opens
 * sockets of the daemon's user instead; guests get addresses by DHCP and router advertisements
 * (docs/decisions/0010). The NIC has one channel and no address. TCP segments pass uncut in either direction:
 * a guest's as it left them, and libslirp's joined again (nic_user_join.h).
 *
 *   10.0.2.2   the gateway; answers pings, and stands for the host's loopback if options.loopback says so
 *   10.0.2.3   forwards DNS to the first server of the host's /etc/resolv.conf
 *   10.0.2.15  the first of 16 addresses that DHCP gives
 *   fd00::/64  the same for IPv6: ::2 and ::3; guests choose their addresses
 *
 * libslirp keeps the address that a guest asked for first: nic_user_lease() asks in a guest's name before the
 * guest does. libslirp tells guests no MTU; a virtual NIC can.
 *
 * Pings of other hosts work for IPv4 only, and where the user may open ping sockets (the host's
 * net.ipv4.ping_group_range) or the process has CAP_NET_RAW.
 *
 * Guests reach what the daemon's user reaches: also services of the host that listen on its other
 * addresses, and the host's neighbours. options.restricted leaves them TCP connections that forwards bring,
 * DHCP, and pings of the gateway.
 */
#ifndef VIADUCT_HOST_NIC_USER_H
#define VIADUCT_HOST_NIC_USER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/frame.h"
#include "core/stats.h"

struct host_nic;

#define NIC_USER_MTU_DEFAULT 1500u
#define NIC_USER_MTU_MIN     1280u  /* IPv6 wants it */
#define NIC_USER_MTU_MAX     65521u /* libslirp's */
/* The network has room for the addresses above. */
#define NIC_USER_NETWORK_BITS_MIN 8u
#define NIC_USER_NETWORK_BITS_MAX 27u
#define NIC_USER_HOSTNAME_MAX	  32u /* libslirp's */
#define NIC_USER_FORWARDS_MAX	  256u
/* Of all guests together. Descriptors are the daemon's, and libslirp opens as many as it is asked to. */
#define NIC_USER_SOCKETS_DEFAULT 1024u
#define NIC_USER_SOCKETS_MAX	 65536u

/* Zeroed is valid. */
struct nic_user_options {
	const char *name;	/* for logs; all of this is copied. NULL: "user" */
	struct in_addr network; /* zero: 10.0.2.0/24 */
	unsigned network_bits;	/* with `network` only */
	bool ipv4_only;
	struct in6_addr network6; /* a /64; zero: fd00:: */
	uint16_t mtu;		  /* zero: NIC_USER_MTU_DEFAULT */
	const char *hostname;	  /* what DHCP tells guests; NULL: nothing */
	/*
	 * The gateway's addresses (for IPv6, all of the network) lead to the host's loopback. To be set
	 * when the administrator has written down such an address, never by default.
	 */
	bool loopback;
	bool restricted;      /* guests connect to nowhere */
	unsigned sockets_max; /* zero: NIC_USER_SOCKETS_DEFAULT */
};

/* Beside those of host_nic. Written by the NIC's thread, read by anyone. */
struct nic_user_counters {
	struct counter no_socket;   /* frames dropped because sockets_max of them were open */
	struct counter no_fragment; /* fragments dropped because too many came in half a minute */
};

/*
 * Control thread. Returns 0 or -errno: -EINVAL: the options make no sense; -ENOMEM, -EMFILE. Closed by
 * (*ret_nic)->ops->close(). May be called again for another network.
 */
int nic_user_open(const struct nic_user_options *options, struct host_nic **ret_nic);

/* Any thread. */
const struct nic_user_counters *nic_user_get_counters(const struct host_nic *nic);

/* ---- leases: the addresses that DHCP gives ---- */

#define NIC_USER_LEASE_FIRST 15u /* in the network */
#define NIC_USER_LEASES_MAX  16u /* libslirp's */

/*
 * From now on DHCP gives the guest with the Ethernet address `mac` the network's address NIC_USER_LEASE_FIRST
 * + index (below NIC_USER_LEASES_MAX), if addresses before that are other guests', and nobody else. A guest
 * may still ask for another one that is nobody's. There is no way to take it back. Control thread; waits for
 * the NIC's thread. Returns 0 or -EADDRINUSE: it is another guest's.
 */
int nic_user_lease(struct host_nic *nic, const uint8_t mac[FRAME_ADDRESS_BYTES], unsigned index);

/* ---- forwards: connections to the host that lead to a guest ---- */

union nic_user_address {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
};

/*
 * What comes to `host` (0.0.0.0 and :: are all of the host's addresses of that family) goes on to `guest`,
 * an address of the NIC's network. It is never learned from a guest's frames. Both are of one family, and
 * neither port is 0. Guests see the client's address; clients on the host's loopback have the gateway's,
 * and what a guest answers to their datagrams is sent only with options.loopback.
 */
struct nic_user_forward {
	bool udp;
	union nic_user_address host, guest;
};

/*
 * These three: control thread. The first two wait for the NIC's thread.
 * Adding returns 0 or -errno: -EINVAL: against the above; -EEXIST: `host` is forwarded already; -ENOSPC:
 * NIC_USER_FORWARDS_MAX; or what the kernel says (-EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -EMFILE).
 */
int nic_user_forward_add(struct host_nic *nic, const struct nic_user_forward *forward);
/*
 * Removes the forward of that protocol from that host address; `guest` is not looked at. Connections that
 * were made stay. Returns 0 or -ENOENT.
 */
int nic_user_forward_remove(struct host_nic *nic, const struct nic_user_forward *forward);
/* The forwards in the order of adding; valid until the next is added or removed. */
const struct nic_user_forward *nic_user_forward_list(const struct host_nic *nic, unsigned *ret_count);

#endif
