/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors in the guest's memory (7.1, 7.2): the only code of the model that touches rings. */
#include <string.h>

#include "core/shared.h"
#include "devices/nic/e1000e_private.h"

static uint64_t address_of(const struct e1000e_function *function, uint32_t queue)
{
	return (uint64_t)e1000e_value(function, queue + E1000E_QUEUE_BAH) << 32 |
	       e1000e_value(function, queue + E1000E_QUEUE_BAL);
}

bool e1000e_ring_find(const struct e1000e_function *function, uint32_t queue, uint32_t entry_bytes,
		      struct e1000e_ring *ret_ring)
{
	uint32_t bytes = e1000e_value(function, queue + E1000E_QUEUE_LEN);
	struct e1000e_ring ring = {
		.entries = bytes / entry_bytes,
		.entry_bytes = entry_bytes,
		.head = e1000e_value(function, queue + E1000E_QUEUE_HEAD) / (entry_bytes / E1000E_RX_BYTES),
		.tail = e1000e_value(function, queue + E1000E_QUEUE_TAIL) / (entry_bytes / E1000E_RX_BYTES),
	};

	if (ring.head >= ring.entries || ring.tail >= ring.entries)
		return false;
	ring.base = guest_memory_at(function->bus->memory, address_of(function, queue), bytes);
	*ret_ring = ring;
	return ring.base;
}

/*
 * A ring without a length is a driver's that is not ready, and without any memory it is no bus master. Of
 * memory that the VMM is moving, what is missing is not the driver's fault.
 */
void e1000e_ring_check(struct e1000e_function *function, uint32_t queue)
{
	uint32_t bytes = e1000e_value(function, queue + E1000E_QUEUE_LEN);
	uint32_t entries = bytes / E1000E_RX_BYTES;
	uint32_t head = e1000e_value(function, queue + E1000E_QUEUE_HEAD);
	uint32_t tail = e1000e_value(function, queue + E1000E_QUEUE_TAIL);
	uint64_t address = address_of(function, queue);

	if (entries == 0 || function->bus->memory->count == 0)
		return;
	if (head >= entries || tail >= entries)
		e1000e_violate(function, E1000E_VIOLATION_RING, head >= entries ? head : tail);
	else if (!function->bus->memory_moves && !guest_memory_at(function->bus->memory, address, bytes))
		e1000e_violate(function, E1000E_VIOLATION_RING_MEMORY, address);
}

uint32_t e1000e_ring_head(const struct e1000e_ring *ring)
{
	return ring->head * (ring->entry_bytes / E1000E_RX_BYTES);
}

static uint8_t *entry(const struct e1000e_ring *ring, uint32_t index)
{
	return ring->base + (size_t)index * ring->entry_bytes;
}

void e1000e_ring_read(const struct e1000e_ring *ring, uint32_t index, void *descriptor, size_t bytes)
{
	shared_copy_in(descriptor, entry(ring, index), bytes);
}

/*
 * The command is read anew: whatever it is by now, it decides no more than whether one bit of the driver's
 * own descriptor is set. The bit pairs with the driver's load of the status.
 */
bool e1000e_ring_sent(const struct e1000e_ring *ring, uint32_t index)
{
	uint8_t *at = entry(ring, index);
	uint32_t command =
		shared_read((uint32_t *)(void *)(at + offsetof(struct e1000e_tx_descriptor, command)));
	uint8_t *status = at + E1000E_TX_STATUS_AT;

	if (!(command & E1000E_TX_RS))
		return false;
	shared_write_release(status, (uint8_t)(shared_read(status) | E1000E_TX_DONE));
	return true;
}

/* Two halves of 64 bits, of which the driver finds the second by its status. */
static void write_back(uint8_t *at, const void *descriptor)
{
	uint64_t halves[2];

	memcpy(halves, descriptor, sizeof(halves));
	shared_write((uint64_t *)(void *)at, halves[0]);
	/* Pairs with the driver's load of the status. */
	shared_write_release((uint64_t *)(void *)(at + sizeof(halves[0])), halves[1]);
}

void e1000e_ring_received(const struct e1000e_ring *ring, uint32_t index,
			  const struct e1000e_rx_legacy *descriptor)
{
	write_back(entry(ring, index), descriptor);
}

/* The third quarter of one for packet split is a status of the header (none was split) and three lengths. */
void e1000e_ring_received_extended(const struct e1000e_ring *ring, uint32_t index,
				   const struct e1000e_rx_extended *descriptor, const uint16_t *lengths)
{
	uint8_t *at = entry(ring, index);

	if (lengths)
		shared_write((uint64_t *)(void *)(at + E1000E_RX_BYTES), (uint64_t)lengths[0] << 16 |
										 (uint64_t)lengths[1] << 32 |
										 (uint64_t)lengths[2] << 48);
	write_back(at, descriptor);
}
