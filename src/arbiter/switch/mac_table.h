/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which port of a switch an Ethernet address is behind. Fixed entries (a virtual NIC's own address) hold in
 * every VLAN and never go. Learned ones hold in one VLAN, age, and are few: each port has a quota, so that a
 * guest that makes addresses up fills its own part and no other's.
 *
 * Not thread-safe but for lookups beside each other: the switch's lock is held, for writing where something
 * changes.
 */
#ifndef VIADUCT_ARBITER_SWITCH_MAC_TABLE_H
#define VIADUCT_ARBITER_SWITCH_MAC_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/big_endian.h"

struct port;

/* Buckets, a power of two; entries are at most half as many. */
#define MAC_TABLE_SIZE	  8192u
#define MAC_TABLE_ENTRIES (MAC_TABLE_SIZE / 2)
/* Learned ones leave room for so many: a card can be plugged in whatever guests make up. */
#define MAC_TABLE_FIXED (MAC_TABLE_ENTRIES / 4)

/* An address and its VLAN in one word, never 0. */
typedef uint64_t mac_key;

/* VLAN of fixed entries. */
#define MAC_ANY_VLAN 4095u

static inline mac_key mac_key_of(const uint8_t address[6], unsigned vlan)
{
	uint64_t key = 1ull << 48 | (uint64_t)big32_get(address) << 16 | big16_get(address + 4);

	return key << 12 | vlan;
}

struct mac_entry {
	mac_key key; /* 0: never used; a port of NULL: used once */
	struct port *port;
	uint64_t seen_ns; /* learned ones: when a frame came from there last; UINT64_MAX: fixed */
};

struct mac_table {
	struct mac_entry *entries;
	unsigned used; /* keys that are not 0, also of entries that are gone */
	unsigned live;
};

/* Returns 0 or -ENOMEM. */
int mac_table_init(struct mac_table *table);
void mac_table_finish(struct mac_table *table);

/* The entry for a frame to `address` in `vlan`: a fixed one, else a learned one, else NULL. */
const struct mac_entry *mac_table_find(const struct mac_table *table, const uint8_t address[6],
				       unsigned vlan);
/* The learned or fixed entry of exactly this key, or NULL. */
struct mac_entry *mac_table_entry(const struct mac_table *table, mac_key key);

/* Returns 0, -EEXIST (the address is another port's) or -ENOSPC. */
int mac_table_fix(struct mac_table *table, const uint8_t address[6], struct port *port);
/* The address was seen at a port, which was not known or is another. False: there is no room. */
bool mac_table_learn(struct mac_table *table, mac_key key, struct port *port, uint64_t now_ns);
/* Forgets learned entries that were not seen since, and tells of each. */
void mac_table_age(struct mac_table *table, uint64_t before_ns, void (*gone)(struct port *port));
/* Forgets all of a port, or what was learned there. */
void mac_table_forget(struct mac_table *table, const struct port *port);
void mac_table_forget_learned(struct mac_table *table, const struct port *port);

#endif
