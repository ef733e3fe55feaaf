/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TRB rings (4.9) and contexts (6.2) in the guest's memory. */
#include "core/guest_memory.h"
#include "core/iov.h"
#include "core/shared.h"
#include "devices/input/xhci_private.h"

/* Segments that follow each other without a TRB of their own between them: a driver has no use for any. */
#define LINKS_MAX 8u
/* A range of less than a page lies in so many regions at most. */
#define PIECES_MAX 2u

/* ---- memory ---- */

bool xhci_memory_read(const struct xhci_function *function, uint64_t address, void *buffer, size_t bytes)
{
	return guest_memory_read(function->bus->memory, address, buffer, bytes) == 0;
}

bool xhci_memory_write(const struct xhci_function *function, uint64_t address, const void *from, size_t bytes)
{
	struct iovec iov[PIECES_MAX];
	int count = guest_memory_iov(function->bus->memory, address, bytes, iov, PIECES_MAX);

	if (count < 0)
		return false;
	iov_copy_in(iov, (unsigned)count, 0, from, bytes);
	return true;
}

bool xhci_memory_holds(const struct xhci_function *function, uint64_t address, size_t bytes)
{
	struct iovec iov[PIECES_MAX];

	return guest_memory_iov(function->bus->memory, address, bytes, iov, PIECES_MAX) > 0;
}

/*
 * A driver that has not made the function a bus master is not to blame, and neither is one whose VMM is just
 * moving its memory: with the next range of that, all rings are looked at again.
 */
void xhci_memory_missed(struct xhci_function *function, uint64_t address)
{
	if (function->bus->memory->count > 0 && !function->bus->memory_moves)
		xhci_violate(function, XHCI_VIOLATION_RING_MEMORY, address);
}

/* The word with the cycle bit, of a TRB at a multiple of its size. NULL: it is not in the guest's memory. */
static uint32_t *cycle_word(const struct xhci_function *function, uint64_t address)
{
	return guest_memory_at(function->bus->memory, address + offsetof(struct xhci_trb, control),
			       sizeof(uint32_t));
}

/* The driver finds the TRB by its cycle bit, which is written last (4.9.4). */
void xhci_trb_publish(const struct xhci_function *function, uint64_t address, const struct xhci_trb *trb)
{
	uint32_t *control = cycle_word(function, address);

	xhci_memory_write(function, address, trb, offsetof(struct xhci_trb, control));
	/* Pairs with the driver's load of the cycle bit. */
	if (control)
		shared_write_release(control, trb->control);
}

/* ---- consuming ---- */

/* The driver may just be writing it: what its cycle bit shows is whole. The copy is all that is looked at. */
static bool read_trb(struct xhci_function *function, const struct xhci_ring *ring, struct xhci_trb *trb)
{
	const uint32_t *control = cycle_word(function, ring->dequeue);

	if (!control) {
		xhci_memory_missed(function, ring->dequeue);
		return false;
	}
	/* Pairs with the driver's store of the cycle bit. */
	if ((shared_read_acquire(control) & XHCI_TRB_CYCLE) != ring->cycle)
		return false;
	return xhci_memory_read(function, ring->dequeue, trb, sizeof(*trb)) &&
	       (trb->control & XHCI_TRB_CYCLE) == ring->cycle;
}

bool xhci_ring_peek(struct xhci_function *function, struct xhci_ring *ring, struct xhci_trb *ret_trb)
{
	for (unsigned links = 0; links <= LINKS_MAX; links++) {
		struct xhci_trb trb;

		if (!read_trb(function, ring, &trb)) {
			ring->rung = false;
			return false;
		}
		if (XHCI_TRB_TYPE_OF(&trb) != XHCI_TRB_LINK) {
			*ret_trb = trb;
			return true;
		}
		ring->dequeue = trb.parameter & ~0xfull;
		if (trb.control & XHCI_TRB_TOGGLE)
			ring->cycle = !ring->cycle;
	}
	xhci_violate(function, XHCI_VIOLATION_RING_LINKS, ring->dequeue);
	ring->rung = false;
	return false;
}

/* ---- contexts ---- */

bool xhci_slot_write(const struct xhci_function *function, const struct xhci_slot *slot)
{
	uint32_t words[XHCI_CONTEXT_WORDS];

	memcpy(words, slot->words, sizeof(words));
	words[3] = (words[3] & 0xff) | (uint32_t)slot->state << 27;
	return xhci_memory_write(function, slot->context, words, sizeof(words));
}

bool xhci_endpoint_write(const struct xhci_function *function, const struct xhci_slot *slot, unsigned dci)
{
	const struct xhci_endpoint *endpoint = xhci_endpoint_of((struct xhci_slot *)slot, dci);
	uint32_t words[XHCI_CONTEXT_WORDS];
	uint64_t address = slot->context + (uint64_t)dci * XHCI_CONTEXT_BYTES;

	memcpy(words, endpoint->words, sizeof(words));
	words[0] = (words[0] & ~7u) | endpoint->state;
	words[2] = (uint32_t)endpoint->ring.dequeue | endpoint->ring.cycle;
	words[3] = (uint32_t)(endpoint->ring.dequeue >> 32);
	return xhci_memory_write(function, address, words, sizeof(words));
}

void xhci_endpoint_set(const struct xhci_function *function, struct xhci_slot *slot, unsigned dci,
		       enum xhci_endpoint_state state)
{
	struct xhci_endpoint *endpoint = xhci_endpoint_of(slot, dci);

	endpoint->state = state;
	endpoint->stale = false;
	xhci_endpoint_write(function, slot, dci);
}
