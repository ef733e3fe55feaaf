/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which peer of a VXLAN network an Ethernet address is behind, as frames from there have taught. An address
 * moves with its newest frame, and is forgotten when none came for VXLAN_AGEING_NS. The table has room for
 * the same number of addresses of each peer, so that a peer whose guests make addresses up fills its own part
 * only. (The switch has a table of its own, of ports: arbiter/switch/mac_table.h. It has one uplink, whatever
 * the number of peers behind it.)
 *
 * Not thread-safe. A search is bounded by how addresses spread over the buckets; a factor that is chosen at
 * random for each table keeps others from choosing addresses that meet.
 */
#ifndef VIADUCT_HOST_NIC_VXLAN_TABLE_H
#define VIADUCT_HOST_NIC_VXLAN_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/frame.h"
#include "host/nic_vxlan.h"

/* Addresses of each peer. */
#define VXLAN_LEARNED_MAX 1024u
/* As bridges do (IEEE 802.1Q, 8.8.3). */
#define VXLAN_AGEING_NS (300 * NS_PER_S)
/* Old addresses are looked for when there is no room, and no more often than this: the whole table is read.
 */
#define VXLAN_SWEEP_NS	(10 * NS_PER_S)
#define VXLAN_PEER_NONE NIC_VXLAN_PEERS_MAX

struct vxlan_entry {
	uint64_t address; /* 0: none */
	uint64_t seen_ns;
	unsigned peer;
};

struct vxlan_table {
	struct vxlan_entry *entries; /* owned; at least twice as many as can be in use */
	unsigned bits;		     /* 1 << bits of them */
	uint64_t factor;	     /* odd */
	uint64_t swept_ns;
	unsigned learned[NIC_VXLAN_PEERS_MAX]; /* how many of each peer are in the table */
};

/* Returns 0 or -ENOMEM. With 0 peers nothing can be learned. */
int vxlan_table_init(struct vxlan_table *table, unsigned peers);
/* Zeroed is allowed. */
void vxlan_table_finish(struct vxlan_table *table);

/* The peer, or VXLAN_PEER_NONE. */
unsigned vxlan_table_find(const struct vxlan_table *table, const uint8_t address[FRAME_ADDRESS_BYTES],
			  uint64_t now_ns);
/*
 * A frame with this source address came from the peer. An address that none can have (zero, or of a group)
 * is not learned. False: the peer's part is full, and the address is behind none.
 */
bool vxlan_table_learn(struct vxlan_table *table, const uint8_t address[FRAME_ADDRESS_BYTES], unsigned peer,
		       uint64_t now_ns);

#endif
