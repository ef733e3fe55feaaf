/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event ring (4.9.4): in segments that a table lists, which is read when the first event is put, and not
 * again until its register is written. One place stays empty, and the one before it is for the event that
 * tells of a full ring: what has no room waits where it came from.
 */
#include <assert.h>

#include "core/checked.h"
#include "devices/input/xhci_private.h"

#define SEGMENT_TRBS_MIN 16u
#define SEGMENT_TRBS_MAX 4096u
#define ADDRESS_MAX	 (UINT64_MAX - 0x10000) /* of a segment, which is not longer than that */

/* ---- the table ---- */

bool xhci_segment_is_sound(const struct xhci_segment *segment)
{
	return segment->trbs >= SEGMENT_TRBS_MIN && segment->trbs <= SEGMENT_TRBS_MAX &&
	       is_aligned(segment->address, 64) && segment->address <= ADDRESS_MAX;
}

/* With a table that cannot be, the controller can go no further until it is reset. */
static bool refuse_table(struct xhci_function *function, uint64_t value)
{
	xhci_violate(function, XHCI_VIOLATION_EVENT_RING, value);
	function->usbsts |= XHCI_STS_CONTROLLER_ERROR;
	return false;
}

static bool load_table(struct xhci_function *function)
{
	struct xhci_event_ring *events = &function->events;

	if (events->table_entries == 0 || events->table_entries > XHCI_SEGMENTS_MAX)
		return refuse_table(function, events->table_entries);
	if (!xhci_memory_read(function, events->table, events->segment,
			      events->table_entries * sizeof(events->segment[0]))) {
		xhci_memory_missed(function, events->table);
		return false;
	}
	events->trbs = 0;
	for (unsigned i = 0; i < events->table_entries; i++) {
		if (!xhci_segment_is_sound(&events->segment[i]))
			return refuse_table(function, events->segment[i].address);
		events->trbs += events->segment[i].trbs;
	}
	events->segments = events->table_entries;
	return true;
}

/* ---- positions ---- */

static uint64_t address_of(const struct xhci_event_ring *events, uint32_t position)
{
	const struct xhci_segment *segment = events->segment;

	while (position >= segment->trbs)
		position -= segment++->trbs;
	return segment->address + (uint64_t)position * XHCI_TRB_BYTES;
}

/* Where the driver has got to; false: it names no place of the ring. */
static bool find_dequeue(const struct xhci_event_ring *events, uint32_t *ret_position)
{
	uint64_t dequeue = events->dequeue & XHCI_ERDP_POINTER;
	uint32_t before = 0;

	for (unsigned i = 0; i < events->segments; i++) {
		const struct xhci_segment *segment = &events->segment[i];

		if (dequeue >= segment->address &&
		    dequeue - segment->address < (uint64_t)segment->trbs * XHCI_TRB_BYTES) {
			*ret_position = before + (uint32_t)((dequeue - segment->address) / XHCI_TRB_BYTES);
			return true;
		}
		before += segment->trbs;
	}
	return false;
}

static uint32_t free_places(const struct xhci_event_ring *events)
{
	uint32_t dequeue;

	if (events->trbs == 0 || !find_dequeue(events, &dequeue))
		return 0;
	return (dequeue + events->trbs - events->enqueue - 1) % events->trbs;
}

bool xhci_events_unread(const struct xhci_function *function)
{
	uint32_t dequeue;

	return find_dequeue(&function->events, &dequeue) && dequeue != function->events.enqueue;
}

/* ---- events ---- */

void xhci_event_put(struct xhci_function *function, const struct xhci_trb *event, bool interrupts)
{
	struct xhci_event_ring *events = &function->events;
	struct xhci_trb trb = *event;

	if (events->cycle)
		trb.control |= XHCI_TRB_CYCLE;
	xhci_trb_publish(function, address_of(events, events->enqueue), &trb);
	if (++events->enqueue == events->trbs) {
		events->enqueue = 0;
		events->cycle = !events->cycle;
	}
	if (interrupts)
		xhci_interrupt_news(function);
}

/* Are the next places in memory that there is? */
static bool has_memory(struct xhci_function *function, unsigned places)
{
	const struct xhci_event_ring *events = &function->events;

	assert(events->trbs > 0);
	for (unsigned i = 0; i < places; i++) {
		uint64_t address = address_of(events, (events->enqueue + i) % events->trbs);

		if (!xhci_memory_holds(function, address, XHCI_TRB_BYTES)) {
			xhci_memory_missed(function, address);
			return false;
		}
	}
	return true;
}

static bool fit(struct xhci_function *function, unsigned count)
{
	static const struct xhci_trb full = {
		.status = (uint32_t)XHCI_EVENT_RING_FULL << 24,
		.control = XHCI_TRB_TYPE(XHCI_TRB_CONTROLLER_EVENT),
	};
	struct xhci_event_ring *events = &function->events;
	uint32_t places;

	if (events->segments == 0 && !load_table(function))
		return false;
	places = free_places(events);
	if (!has_memory(function, count + 1))
		return false;
	if (places > count)
		return true;
	if (places > 0 && !events->told_full) {
		events->told_full = true;
		xhci_event_put(function, &full, true);
	}
	return false;
}

bool xhci_events_fit(struct xhci_function *function, unsigned count)
{
	function->events.blocked = !fit(function, count);
	return !function->events.blocked;
}

/* ---- registers ---- */

void xhci_events_restart(struct xhci_function *function)
{
	struct xhci_event_ring *events = &function->events;

	events->told_full = events->blocked = false;
	events->segments = events->trbs = events->enqueue = 0;
	events->cycle = true;
	xhci_wake(function);
}

/* What came while the driver was busy is told of now (4.17.2). */
void xhci_events_consumed(struct xhci_function *function, uint32_t erdp_low)
{
	struct xhci_event_ring *events = &function->events;

	events->told_full = events->blocked = false;
	if (erdp_low & XHCI_ERDP_BUSY && xhci_events_unread(function))
		xhci_interrupt_news(function);
	xhci_wake(function);
}
