/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of the guests' frames libslirp gets to see. It connects wherever a packet says, and what it is told
 * of the host's loopback concerns one address only (10.0.2.2): the others, which no honest guest sends to,
 * are stopped here. Pure: bytes in, verdict out.
 */
#ifndef VIADUCT_HOST_NIC_USER_FILTER_H
#define VIADUCT_HOST_NIC_USER_FILTER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* flags */
#define USER_FRAME_PASS	    1u
#define USER_FRAME_OPENS    2u /* it may make libslirp open a socket */
#define USER_FRAME_FRAGMENT 4u /* a part of an IPv4 packet, which libslirp keeps until the others come */

/*
 * 0 or flags. Passed are ARP, and IPv4 and IPv6 to any destination but
 *   0.0.0.0/8, 127.0.0.0/8, ::/16	the host itself: 0.0.0.0, ::1, ::ffff:127.0.0.1 and their like
 *   224.0.0.0/4			multicast: it would be sent in the host's name, also to the host
 *   ff00::/8				the same; the guest's neighbour discovery and DHCPv6 aside
 */
unsigned nic_user_frame_verdict(const uint8_t *frame, size_t bytes);

/*
 * Is it an ICMPv6 echo request to another address than the gateway's and the name server's, ::2 and ::3 of
 * `network6` and fe80::/64? libslirp answers no others.
 */
bool nic_user_is_ping6_abroad(const uint8_t *frame, size_t bytes, const struct in6_addr *network6);

#endif
