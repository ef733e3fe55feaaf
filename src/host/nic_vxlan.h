/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The uplink `vxlan`: Ethernet frames in UDP datagrams (RFC 7348) to a list of peers, which are other hosts'
 * VXLAN devices: Linux's, Open vSwitch's, or this one. Guests of several hosts so share one network over any
 * IP network. Every host has all the others as peers: what comes from one peer is not sent to another.
 *
 * A frame to one address goes to the peer that the address was learned from. One to many, or to an address
 * that is behind no peer that is known, goes to each peer. The switch does not limit frames to unknown
 * addresses, as it does those to many; so this NIC lets NIC_VXLAN_UNKNOWN_PER_S of them pass in a second.
 *
 * VXLAN proves nothing: a datagram counts as a peer's when its IP source address is the peer's and the VNI is
 * right. The network between the hosts must not let others send with such addresses. Peers believe each
 * other: each can claim any guest's address of another host.
 *
 * The NIC has one channel and no address. What it sends has no checksum to fill in and no segment to cut;
 * what it receives may have (nic_vxlan_offload.h). It has a link when it has peers, whether they answer or
 * not. Frames are refused and counted while there is no route, or while the local address is gone from the
 * host; when that is back, frames pass again.
 *
 * Two NICs need different ports or local addresses, also for different networks.
 *
 * Datagrams are sent without the IP flag DF, and are not fragmented on this host, as the RFC demands (4.3):
 * one that is larger than the MTU of the interface that it is to leave by is refused. The default MTU of the
 * frames fits interfaces of 1500 bytes. A VLAN tag counts besides: where frames have one, either the frames'
 * MTU has to be 4 less than the default or that of the interfaces 4 more. Routers that have to may fragment
 * IPv4; those of IPv6 drop what is too large.
 *
 * UDP checksums are sent and verified; with IPv4, one that is missing is accepted. All datagrams to one peer
 * have the same source port, which the kernel chooses: networks that spread traffic by ports over several
 * links see one flow for each peer.
 */
#ifndef VIADUCT_HOST_NIC_VXLAN_H
#define VIADUCT_HOST_NIC_VXLAN_H

#include <netinet/in.h>
#include <stdint.h>

#include "core/stats.h"

struct host_nic;

#define NIC_VXLAN_PORT	    4789u
#define NIC_VXLAN_PEERS_MAX 64u
#define NIC_VXLAN_VNI_MAX   0xffffffu
/* What an interface of 1500 bytes leaves behind IP, UDP, VXLAN and Ethernet headers. */
#define NIC_VXLAN_MTU_IPV4 1450u
#define NIC_VXLAN_MTU_IPV6 1430u
/* The least that IPv4 works with (RFC 791), and what IP's 64 KiB leave with a VLAN tag. */
#define NIC_VXLAN_MTU_MIN 68u
#define NIC_VXLAN_MTU_MAX 65481u
/* Frames to addresses that are behind no peer that is known. */
#define NIC_VXLAN_UNKNOWN_PER_S 1000u

union nic_vxlan_address {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6; /* link-local ones with their scope */
};

/* All of this is copied. The ports in addresses are not looked at. */
struct nic_vxlan_options {
	uint32_t vni;
	uint16_t port; /* at which all hosts listen; 0: NIC_VXLAN_PORT */
	uint16_t mtu;  /* of frames; 0: the default for the family of addresses */
	/*
	 * Which of the host's addresses receives, and is the source of what is sent. 0.0.0.0 or ::, all
	 * receive, and the route decides. AF_UNSPEC: the same for the peers' family, or IPv4 without peers.
	 */
	union nic_vxlan_address local;
	/*
	 * Of one family. The local address may be among them, so that all hosts have one list, and is left
	 * out.
	 */
	const union nic_vxlan_address *peers;
	unsigned peer_count;
	int fd; /* >= 0: a predecessor's, or a copy of its, from ops->channel_fd(); -1: none */
};

/* Beside those of host_nic. Written by the channel's worker, read by anyone. */
struct nic_vxlan_counters {
	/* Received, and counted as malformed, too: */
	struct counter strangers; /* from an address that is no peer's */
	struct counter other_vni; /* of another network */
	/* Received frames whose sender's address was not learned: too many are behind that peer */
	struct counter unlearned;
	struct counter flooded;	  /* frames sent to each peer */
	struct counter held_back; /* frames to unknown addresses beyond the limit; refused */
	/* Datagrams to a peer whose socket is full and is not waited for; refused */
	struct counter no_room;
	struct counter unreachable; /* errors that routers and peers sent back (ICMP) */
};

/*
 * Control thread. Opens all that the NIC needs: afterwards it makes no sockets. Needs no privileges for a
 * port from 1024 on; with CAP_NET_ADMIN its buffers are as large as it wants them. With fd: takes it on
 * success; one that is not bound to this local address and port is closed then, and a new socket is made.
 *
 * host_nic's counter `sent` counts a frame once that went to several peers; `refused` counts each datagram
 * that the kernel did not take.
 *
 * Returns 0 and *ret_nic (closed with ops->close), or -errno: -EINVAL: the options make no sense (a VNI, MTU
 * or number of peers that is too large; addresses of different families; a peer twice, or one that is no
 * host's address); -EADDRINUSE: another socket has the port, a VXLAN device of the kernel's or a
 * predecessor's for one; -EADDRNOTAVAIL: the host does not have the local address; -EACCES: a port that needs
 * privileges; -ENOMEM, -EMFILE, or as socket(2) otherwise.
 */
int nic_vxlan_open(const struct nic_vxlan_options *options, struct host_nic **ret_nic);

/* Any thread. */
const struct nic_vxlan_counters *nic_vxlan_get_counters(const struct host_nic *nic);

#endif
