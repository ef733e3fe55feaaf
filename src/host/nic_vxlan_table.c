/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Open addressing with linear probing. An entry that goes leaves no mark: those behind it that would not be
 * found any more move up.
 */
#include "host/nic_vxlan_table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* 0 for an address that is not learned. */
static uint64_t number_of(const uint8_t address[FRAME_ADDRESS_BYTES])
{
	uint64_t number = 0;

	if (address[0] & 1)
		return 0;
	memcpy(&number, address, FRAME_ADDRESS_BYTES);
	return number;
}

static unsigned mask_of(const struct vxlan_table *table)
{
	return (1u << table->bits) - 1;
}

static unsigned first_bucket(const struct vxlan_table *table, uint64_t number)
{
	return (unsigned)(number * table->factor >> (64 - table->bits));
}

int vxlan_table_init(struct vxlan_table *table, unsigned peers)
{
	assert(peers <= NIC_VXLAN_PEERS_MAX);
	*table = (struct vxlan_table){ .bits = 1 };
	while (1u << table->bits < 2 * VXLAN_LEARNED_MAX * peers)
		table->bits++;
	table->entries = calloc(1u << table->bits, sizeof(*table->entries));
	if (!table->entries)
		return -ENOMEM;
	/* Early at boot there may be no randomness yet: then the clock has to do. */
	if (getrandom(&table->factor, sizeof(table->factor), GRND_NONBLOCK) != sizeof(table->factor))
		table->factor = clock_now_ns() * 0x9e3779b97f4a7c15u;
	table->factor |= 1;
	return 0;
}

void vxlan_table_finish(struct vxlan_table *table)
{
	free(table->entries);
	table->entries = NULL;
}

/* The bucket of an address, or the free one where it would be. */
static unsigned bucket_of(const struct vxlan_table *table, uint64_t number)
{
	unsigned index = first_bucket(table, number);

	while (table->entries[index].address != 0 && table->entries[index].address != number)
		index = (index + 1) & mask_of(table);
	return index;
}

static bool is_old(const struct vxlan_entry *entry, uint64_t now_ns)
{
	return now_ns > entry->seen_ns && now_ns - entry->seen_ns > VXLAN_AGEING_NS;
}

unsigned vxlan_table_find(const struct vxlan_table *table, const uint8_t address[FRAME_ADDRESS_BYTES],
			  uint64_t now_ns)
{
	uint64_t number = number_of(address);
	const struct vxlan_entry *entry = &table->entries[bucket_of(table, number)];

	return number == 0 || entry->address == 0 || is_old(entry, now_ns) ? VXLAN_PEER_NONE : entry->peer;
}

static void drop(struct vxlan_table *table, unsigned index)
{
	unsigned mask = mask_of(table), hole = index, at = index;

	table->learned[table->entries[index].peer]--;
	for (;;) {
		unsigned first;

		at = (at + 1) & mask;
		if (table->entries[at].address == 0)
			break;
		/* It stays when its search begins behind the hole. */
		first = first_bucket(table, table->entries[at].address);
		if (((at - first) & mask) < ((at - hole) & mask))
			continue;
		table->entries[hole] = table->entries[at];
		hole = at;
	}
	table->entries[hole] = (struct vxlan_entry){ 0 };
}

static void sweep(struct vxlan_table *table, uint64_t now_ns)
{
	unsigned index = 0;

	/* Another entry may have moved to where one was dropped. */
	while (index <= mask_of(table)) {
		const struct vxlan_entry *entry = &table->entries[index];

		if (entry->address != 0 && is_old(entry, now_ns))
			drop(table, index);
		else
			index++;
	}
	table->swept_ns = now_ns;
}

static bool has_room(struct vxlan_table *table, unsigned peer, uint64_t now_ns)
{
	if (table->learned[peer] < VXLAN_LEARNED_MAX)
		return true;
	if (table->swept_ns != 0 && now_ns - table->swept_ns < VXLAN_SWEEP_NS)
		return false;
	sweep(table, now_ns);
	return table->learned[peer] < VXLAN_LEARNED_MAX;
}

bool vxlan_table_learn(struct vxlan_table *table, const uint8_t address[FRAME_ADDRESS_BYTES], unsigned peer,
		       uint64_t now_ns)
{
	uint64_t number = number_of(address);
	unsigned index = bucket_of(table, number);
	struct vxlan_entry *entry = &table->entries[index];

	if (number == 0)
		return true;
	if (entry->address != 0 && entry->peer == peer) {
		entry->seen_ns = now_ns;
		return true;
	}
	/* The peer where it was has it no longer. */
	if (entry->address != 0)
		drop(table, index);
	if (!has_room(table, peer, now_ns))
		return false;
	/* Dropping entries has moved others. */
	table->entries[bucket_of(table, number)] = (struct vxlan_entry){ number, now_ns, peer };
	table->learned[peer]++;
	return true;
}
