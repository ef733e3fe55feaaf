/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the VXLAN NIC share. No other file includes this; the contract is nic_vxlan.h.
 *
 *   nic_vxlan_open.c    options and sockets
 *   nic_vxlan.c         the channel: what is received, and when there is room again
 *   nic_vxlan_send.c    which peers a frame goes to, and what becomes of its datagrams
 *   nic_vxlan_offload.c what a frame's sender has left undone
 *   nic_vxlan_table.c   which peer an address is behind
 *   nic_vxlan_format.c  the header
 */
#ifndef VIADUCT_HOST_NIC_VXLAN_PRIVATE_H
#define VIADUCT_HOST_NIC_VXLAN_PRIVATE_H

#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "core/container.h"
#include "core/loop.h"
#include "host/host_nic.h"
#include "host/nic_offload.h"
#include "host/nic_vxlan.h"
#include "host/nic_vxlan_format.h"
#include "host/nic_vxlan_offload.h"
#include "host/nic_vxlan_table.h"

/*
 * Any datagram. A multiple of a cache line, but not of a page: beginnings of frames would compete for the
 * same lines of the cache.
 */
#define VXLAN_BUFFER_BYTES 65600u

static_assert(VXLAN_BUFFER_BYTES > UINT16_MAX && VXLAN_BUFFER_BYTES % 64 == 0 &&
		      VXLAN_BUFFER_BYTES % 4096 != 0,
	      "as said above");
static_assert(VXLAN_VNI_MAX == NIC_VXLAN_VNI_MAX, "one number");

struct vxlan_channel;

struct vxlan_peer {
	union nic_vxlan_address address; /* with the port */
	/*
	 * Sends to this peer; owned. A socket for each: datagrams that wait for one peer (the kernel keeps
	 * some while it looks for a neighbour's Ethernet address) take no room from those to others.
	 */
	int fd;
	uint64_t distrust_until_ns; /* until then its socket is not waited for */
};

struct nic_vxlan {
	struct host_nic base;
	struct nic_vxlan_counters counters;
	uint32_t vni;
	uint8_t header[VXLAN_HEADER_BYTES]; /* of each datagram that is sent */
	socklen_t address_bytes;	    /* of the family */
	int fd;				    /* receives; owned */
	uint32_t lost;			    /* datagrams, as that socket said last */
	struct vxlan_peer peers[NIC_VXLAN_PEERS_MAX];
	unsigned peer_count;
	/* The worker's of the channel */
	struct vxlan_table table;
	unsigned last_peer;	  /* that something came from */
	uint64_t unknown_next_ns; /* when frames to unknown addresses would be due at exactly their limit */
	bool open;		  /* atomic: there is a channel */
};

/* Tells of room in the socket of one peer; runs only while a frame waits for it. */
struct vxlan_room {
	struct vxlan_channel *channel;
	struct loop_watch watch;
};

struct vxlan_control {
	_Alignas(struct cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(uint32_t))];
};

struct vxlan_channel {
	struct host_nic_channel base;
	struct nic_vxlan *nic;
	struct loop *loop;
	struct host_nic_receiver *receiver;

	struct loop_watch input_watch;
	struct loop_task input_task;
	uint8_t *buffers; /* NIC_BATCH_MAX of VXLAN_BUFFER_BYTES; pages are used as datagrams need them */
	struct mmsghdr in[NIC_BATCH_MAX];
	struct iovec in_iov[NIC_BATCH_MAX];
	union nic_vxlan_address in_from[NIC_BATCH_MAX];
	struct vxlan_control in_control[NIC_BATCH_MAX];
	struct frame frames[NIC_BATCH_MAX];
	struct iovec frame_iov[NIC_BATCH_MAX];

	bool waiting; /* for room in the socket of waiting_for */
	unsigned waiting_for;
	struct vxlan_room rooms[NIC_VXLAN_PEERS_MAX];
	struct loop_timer room_timer; /* the longest that is waited */
	struct mmsghdr out[NIC_BATCH_MAX];
	struct iovec out_iov[NIC_BATCH_MAX][FRAME_CUT_IOV_MAX + 1];
};

static inline struct nic_vxlan *nic_vxlan_of(const struct host_nic *nic)
{
	return container_of((struct host_nic *)nic, struct nic_vxlan, base);
}

static inline struct vxlan_channel *vxlan_channel_of(struct host_nic_channel *channel)
{
	return container_of(channel, struct vxlan_channel, base);
}

/* Two addresses of a host are the same, whatever the ports. Only link-local ones have a scope. */
static inline bool vxlan_is_same_host(const union nic_vxlan_address *a, const union nic_vxlan_address *b)
{
	if (a->any.sa_family != b->any.sa_family)
		return false;
	if (a->any.sa_family == AF_INET)
		return a->ipv4.sin_addr.s_addr == b->ipv4.sin_addr.s_addr;
	return memcmp(&a->ipv6.sin6_addr, &b->ipv6.sin6_addr, sizeof(struct in6_addr)) == 0 &&
	       a->ipv6.sin6_scope_id == b->ipv6.sin6_scope_id;
}

/* ---- nic_vxlan.c ---- */

extern const struct host_nic_ops nic_vxlan_ops;

/* The peer's socket is full: writable() follows when it is not, or soon in any case. */
void vxlan_wait_for_room(struct vxlan_channel *channel, unsigned peer);

/* ---- nic_vxlan_send.c ---- */

/* As host_nic_ops has it. */
unsigned vxlan_send(struct host_nic_channel *channel, const struct frame *frames, unsigned count);

/* ---- nic_vxlan_open.c ---- */

void nic_vxlan_close(struct host_nic *nic);

#endif
