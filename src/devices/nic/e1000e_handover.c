/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takeover: registers, and where the transmit queues are. Rings are found in the guest's memory; frames that
 * wait with the switch for buffers are lost, as on a wire. An interrupt that was due follows from ICR and
 * IMS.
 */
#include <assert.h>
#include <string.h>

#include "core/handover.h"
#include "devices/nic/e1000e_private.h"

#define FORMAT_VERSION 1u

void e1000e_save(const void *opaque, struct handover *handover)
{
	const struct e1000e_function *function = opaque;

	assert(function->quiescing);
	handover_put_u64(handover, FORMAT_VERSION);
	handover_put_bytes(handover, port_address(function->device->port), FRAME_ADDRESS_BYTES);
	handover_put_bytes(handover, function->registers, sizeof(function->registers));
	handover_put_bytes(handover, function->phy, sizeof(function->phy));
	handover_put_u64(handover, function->io_address);
	handover_put_u64(handover, function->link);
	for (unsigned i = 0; i < E1000E_TX_QUEUES; i++) {
		handover_put_bytes(handover, &function->tx[i].context, sizeof(function->tx[i].context));
		handover_put_u64(handover, function->tx[i].skipping);
	}
}

/* Of every register, no more than a driver or the card may put there. */
static bool is_sound(const struct e1000e_function *function)
{
	for (uint32_t offset = 0; offset < E1000E_REGISTERS_END; offset += 4)
		if (e1000e_value(function, offset) & ~e1000e_stored(offset))
			return false;
	return true;
}

void e1000e_restore(void *opaque, struct handover *handover)
{
	struct e1000e_function *function = opaque;
	uint8_t address[FRAME_ADDRESS_BYTES];

	handover_fail_if(handover, handover_get_u64(handover) != FORMAT_VERSION);
	/* The driver has read it from the NVM. */
	handover_get_exactly(handover, address, sizeof(address));
	handover_fail_if(handover,
			 memcmp(address, port_address(function->device->port), sizeof(address)) != 0);
	handover_get_exactly(handover, function->registers, sizeof(function->registers));
	handover_get_exactly(handover, function->phy, sizeof(function->phy));
	function->io_address = (uint32_t)handover_get_at_most(handover, UINT32_MAX);
	function->link = handover_get_flag(handover);
	for (unsigned i = 0; i < E1000E_TX_QUEUES; i++) {
		handover_get_exactly(handover, &function->tx[i].context, sizeof(function->tx[i].context));
		function->tx[i].skipping = handover_get_flag(handover);
	}
	handover_fail_if(handover, !is_sound(function));
}
