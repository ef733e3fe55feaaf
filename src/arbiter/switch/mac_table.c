/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Open addressing with linear probing. An entry that goes keeps its key, so that those behind it are found;
 * when too many such keys have gathered, the table is made anew.
 */
#include "arbiter/switch/mac_table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define SEEN_FIXED UINT64_MAX

static unsigned first_bucket(mac_key key)
{
	/* Fibonacci hashing: the upper bits of the product depend on all of the key. */
	return (unsigned)((key * 0x9e3779b97f4a7c15u) >> 51) & (MAC_TABLE_SIZE - 1);
}

int mac_table_init(struct mac_table *table)
{
	*table = (struct mac_table){ .entries = calloc(MAC_TABLE_SIZE, sizeof(struct mac_entry)) };
	return table->entries ? 0 : -ENOMEM;
}

void mac_table_finish(struct mac_table *table)
{
	free(table->entries);
	table->entries = NULL;
}

/* The bucket with this key, or the first free one behind where it would be. */
static struct mac_entry *bucket_of(const struct mac_table *table, mac_key key)
{
	unsigned index = first_bucket(key);

	assert(key != 0 && table->used <= MAC_TABLE_SIZE / 4 * 3);
	while (table->entries[index].key != 0 && table->entries[index].key != key)
		index = (index + 1) & (MAC_TABLE_SIZE - 1);
	return &table->entries[index];
}

struct mac_entry *mac_table_entry(const struct mac_table *table, mac_key key)
{
	struct mac_entry *entry = bucket_of(table, key);

	return entry->key != 0 && entry->port ? entry : NULL;
}

const struct mac_entry *mac_table_find(const struct mac_table *table, const uint8_t address[6], unsigned vlan)
{
	const struct mac_entry *fixed = mac_table_entry(table, mac_key_of(address, MAC_ANY_VLAN));

	return fixed ? fixed : mac_table_entry(table, mac_key_of(address, vlan));
}

/* Made anew without the keys of entries that are gone. False: out of memory. */
static bool make_room(struct mac_table *table)
{
	struct mac_table larger;

	if (table->used < MAC_TABLE_SIZE / 4 * 3)
		return true;
	if (mac_table_init(&larger) != 0)
		return false;
	for (unsigned i = 0; i < MAC_TABLE_SIZE; i++) {
		if (!table->entries[i].port)
			continue;
		*bucket_of(&larger, table->entries[i].key) = table->entries[i];
		larger.used = ++larger.live;
	}
	assert(larger.live == table->live);
	mac_table_finish(table);
	*table = larger;
	return true;
}

/* The entry of a key, made when there is none and there are fewer than `most`. NULL: no room. */
static struct mac_entry *make_entry(struct mac_table *table, mac_key key, unsigned most)
{
	struct mac_entry *entry = mac_table_entry(table, key);

	if (entry)
		return entry;
	if (table->live >= most || !make_room(table))
		return NULL;
	entry = bucket_of(table, key);
	if (entry->key == 0)
		table->used++;
	table->live++;
	entry->key = key;
	return entry;
}

int mac_table_fix(struct mac_table *table, const uint8_t address[6], struct port *port)
{
	mac_key key = mac_key_of(address, MAC_ANY_VLAN);
	struct mac_entry *entry = mac_table_entry(table, key);

	if (entry && entry->port != port)
		return -EEXIST;
	entry = make_entry(table, key, MAC_TABLE_ENTRIES);
	if (!entry)
		return -ENOSPC;
	entry->port = port;
	entry->seen_ns = SEEN_FIXED;
	return 0;
}

bool mac_table_learn(struct mac_table *table, mac_key key, struct port *port, uint64_t now_ns)
{
	struct mac_entry *entry = make_entry(table, key, MAC_TABLE_ENTRIES - MAC_TABLE_FIXED);

	if (!entry)
		return false;
	assert(entry->seen_ns != SEEN_FIXED);
	entry->port = port;
	entry->seen_ns = now_ns;
	return true;
}

static void drop(struct mac_table *table, struct mac_entry *entry)
{
	assert(entry->port && table->live > 0);
	entry->port = NULL;
	entry->seen_ns = 0;
	table->live--;
}

void mac_table_age(struct mac_table *table, uint64_t before_ns, void (*gone)(struct port *port))
{
	for (unsigned i = 0; i < MAC_TABLE_SIZE; i++) {
		struct mac_entry *entry = &table->entries[i];
		struct port *port = entry->port;

		if (!port || __atomic_load_n(&entry->seen_ns, __ATOMIC_RELAXED) >= before_ns)
			continue;
		drop(table, entry);
		gone(port);
	}
}

void mac_table_forget(struct mac_table *table, const struct port *port)
{
	for (unsigned i = 0; i < MAC_TABLE_SIZE; i++) {
		if (table->entries[i].port == port)
			drop(table, &table->entries[i]);
	}
}

void mac_table_forget_learned(struct mac_table *table, const struct port *port)
{
	for (unsigned i = 0; i < MAC_TABLE_SIZE; i++) {
		if (table->entries[i].port == port && table->entries[i].seen_ns != SEEN_FIXED)
			drop(table, &table->entries[i]);
	}
}
