/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses that the DHCP of an uplink `user` gives cards. A card keeps the one that it had; others get the
 * first free ones, in the order of their sections. libslirp gives a guest the first address that is nobody's,
 * or its own, so none may be free before a card's: what a card that is gone has left goes to a card that does
 * not exist.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "daemon/nic/network_state.h"
#include "daemon/nic/nic_config.h"
#include "daemon/nic/switch.h"

static const uint8_t nobody[FRAME_ADDRESS_BYTES];

/* Of a group, so that it is no guest's. */
static void fill_placeholder(uint8_t address[FRAME_ADDRESS_BYTES], unsigned index)
{
	memcpy(address, (const uint8_t[FRAME_ADDRESS_BYTES]){ 3, 0, 0, 0, 0, (uint8_t)index },
	       FRAME_ADDRESS_BYTES);
}

/* The index of its lease; negative: it has none. */
static int find(const struct daemon_switch *owner, const uint8_t address[FRAME_ADDRESS_BYTES])
{
	for (unsigned i = 0; i < NIC_USER_LEASES_MAX; i++)
		if (memcmp(owner->leases[i], address, FRAME_ADDRESS_BYTES) == 0)
			return (int)i;
	return -ENOENT;
}

/* An address that somebody else asked for meanwhile is taken as well. */
static bool take(struct daemon_switch *owner, const uint8_t address[FRAME_ADDRESS_BYTES], unsigned index)
{
	int code = nic_user_lease(owner->uplink.nic, address, index);

	if (code)
		fill_placeholder(owner->leases[index], index);
	else
		memcpy(owner->leases[index], address, FRAME_ADDRESS_BYTES);
	return code == 0;
}

static void take_kept(struct daemon_switch *owner, const char *card, const uint8_t *address)
{
	int kept = network_state_lease(owner->daemon, owner->name, card);

	if (kept >= 0 && kept < (int)NIC_USER_LEASES_MAX &&
	    memcmp(owner->leases[kept], nobody, FRAME_ADDRESS_BYTES) == 0)
		take(owner, address, (unsigned)kept);
}

static void take_free(struct daemon_switch *owner, const char *card, const uint8_t *address)
{
	int index = find(owner, nobody);

	while (index >= 0 && !take(owner, address, (unsigned)index))
		index = find(owner, nobody);
	if (index < 0)
		log_warning(&owner->subject,
			    "DHCP has %u addresses and none for %s; give its guest another one by hand",
			    NIC_USER_LEASES_MAX, card);
}

static void for_cards_without(struct daemon_switch *owner,
			      void (*run)(struct daemon_switch *owner, const char *card,
					  const uint8_t *address))
{
	uint8_t address[FRAME_ADDRESS_BYTES];

	config_for_each(config_list(owner->daemon->config, &config_section_nic), config_nic, card)
	{
		if (strcmp(card->vswitch, owner->name) != 0)
			continue;
		nic_address(card->object.name, card, address);
		if (find(owner, address) < 0)
			run(owner, card->object.name, address);
	}
}

static void fill_holes(struct daemon_switch *owner)
{
	unsigned end = NIC_USER_LEASES_MAX;

	while (end > 0 && memcmp(owner->leases[end - 1], nobody, FRAME_ADDRESS_BYTES) == 0)
		end--;
	for (unsigned i = 0; i < end; i++) {
		uint8_t placeholder[FRAME_ADDRESS_BYTES];

		fill_placeholder(placeholder, i);
		if (memcmp(owner->leases[i], nobody, FRAME_ADDRESS_BYTES) == 0)
			take(owner, placeholder, i);
	}
}

static void keep(const struct daemon_switch *owner)
{
	json_t *leases = json_object();
	uint8_t address[FRAME_ADDRESS_BYTES];

	config_for_each(config_list(owner->daemon->config, &config_section_nic), config_nic, card)
	{
		int index;

		if (strcmp(card->vswitch, owner->name) != 0)
			continue;
		nic_address(card->object.name, card, address);
		index = find(owner, address);
		if (index >= 0)
			json_object_set_new(leases, card->object.name, json_integer(index));
	}
	network_state_set_leases(owner->daemon, owner->name, leases);
}

void leases_apply(struct daemon_switch *owner)
{
	memset(owner->leases, 0, sizeof(owner->leases));
	leases_update(owner);
}

void leases_update(struct daemon_switch *owner)
{
	if (!owner->uplink.nic || owner->uplink.name.kind != UPLINK_USER)
		return;
	for_cards_without(owner, take_kept);
	for_cards_without(owner, take_free);
	fill_holes(owner);
	keep(owner);
}

bool lease_text(const struct daemon_switch *owner, const uint8_t address[FRAME_ADDRESS_BYTES],
		char text[INET_ADDRSTRLEN])
{
	const struct config_switch *settings = (const struct config_switch *)config_find(
		config_list(owner->daemon->config, &config_section_switch), owner->name);
	int index = find(owner, address);
	struct in_addr network;
	unsigned bits;

	if (index < 0 || !owner->uplink.nic || owner->uplink.name.kind != UPLINK_USER || !settings ||
	    !nic_parse_network(settings->network, &network, &bits))
		return false;
	network.s_addr |= htonl(NIC_USER_LEASE_FIRST + (unsigned)index);
	return inet_ntop(AF_INET, &network, text, INET_ADDRSTRLEN) != NULL;
}
