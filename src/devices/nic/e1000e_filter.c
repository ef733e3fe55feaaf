/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which frames the driver wants (7.1.1): by their destination, then by their VLAN. */
#include <string.h>

#include "devices/nic/e1000e_private.h"

static bool is_exact(const struct e1000e_function *function, const uint8_t *destination)
{
	for (unsigned i = 0; i < E1000E_ADDRESSES; i++) {
		uint32_t low = e1000e_value(function, E1000E_RAL + 8 * i);
		uint32_t high = e1000e_value(function, E1000E_RAL + 8 * i + 4);

		if (high & E1000E_RAH_VALID && memcmp(destination, &low, 4) == 0 &&
		    memcmp(destination + 4, &high, 2) == 0)
			return true;
	}
	return false;
}

/* Twelve bits of the last two bytes choose a bit of the table; RCTL.MO says which twelve. */
static bool is_hashed(const struct e1000e_function *function, const uint8_t *destination)
{
	static const uint8_t shifts[] = { 4, 3, 2, 0 };
	uint32_t last = (uint32_t)destination[5] << 8 | destination[4];
	uint32_t hash = last >> shifts[E1000E_RCTL_HASH(e1000e_value(function, E1000E_RCTL))] & 0xfff;

	return e1000e_value(function, E1000E_MTA + 4 * (hash / 32)) >> hash % 32 & 1;
}

static bool wants_destination(const struct e1000e_function *function, const uint8_t *destination)
{
	static const uint8_t broadcast[FRAME_ADDRESS_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	uint32_t rctl = e1000e_value(function, E1000E_RCTL);

	if (is_exact(function, destination))
		return true;
	if (!(destination[0] & 1))
		return rctl & E1000E_RCTL_UNICAST;
	if (memcmp(destination, broadcast, sizeof(broadcast)) == 0 && rctl & E1000E_RCTL_BROADCAST)
		return true;
	return rctl & E1000E_RCTL_MULTICAST || is_hashed(function, destination);
}

static bool wants_vlan(const struct e1000e_function *function, int tag)
{
	unsigned vlan = (unsigned)tag & 0xfff;

	if (tag == E1000E_NO_TAG || !(e1000e_value(function, E1000E_RCTL) & E1000E_RCTL_VLAN_FILTER))
		return true;
	return e1000e_value(function, E1000E_VFTA + 4 * (vlan / 32)) >> vlan % 32 & 1;
}

bool e1000e_wants(const struct e1000e_function *function, const uint8_t *destination, int tag)
{
	return wants_destination(function, destination) && wants_vlan(function, tag);
}
