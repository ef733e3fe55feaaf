/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takeover: all that a function is, while it rests. Rings are numbers; what waits in them is found there
 * again. What is read is checked where it would be used as an index, or with another field.
 */
#include <assert.h>

#include "core/checked.h"
#include "core/handover.h"
#include "devices/input/xhci_private.h"

#define FORMAT_VERSION 1u
#define STATUS_BITS    (XHCI_STS_CLEARABLE | XHCI_STS_CONTROLLER_ERROR)

static void save_endpoint(struct handover *handover, const struct xhci_endpoint *endpoint)
{
	handover_put_u64(handover, endpoint->state);
	if (endpoint->state == XHCI_ENDPOINT_DISABLED)
		return;
	handover_put_u64(handover, endpoint->ring.dequeue);
	handover_put_u64(handover, endpoint->ring.cycle);
	handover_put_bytes(handover, endpoint->words, sizeof(endpoint->words));
	handover_put_u64(handover, endpoint->stale);
	handover_put_u64(handover, endpoint->in_td);
	handover_put_u64(handover, endpoint->is_short);
	handover_put_u64(handover, endpoint->reported);
	handover_put_u64(handover, endpoint->transferred);
	handover_put_bytes(handover, endpoint->packet, sizeof(endpoint->packet));
	handover_put_u64(handover, endpoint->packet_bytes);
	handover_put_u64(handover, endpoint->packet_at);
}

static void save_slot(struct handover *handover, const struct xhci_slot *slot)
{
	handover_put_u64(handover, slot->enabled);
	if (!slot->enabled)
		return;
	handover_put_u64(handover, slot->state);
	handover_put_u64(handover, slot->context);
	handover_put_bytes(handover, slot->words, sizeof(slot->words));
	save_endpoint(handover, &slot->endpoint[0]);
	save_endpoint(handover, &slot->endpoint[1]);
}

static void save_control(struct handover *handover, const struct xhci_control *control)
{
	handover_put_u64(handover, control->has_setup);
	if (!control->has_setup)
		return;
	handover_put_u64(handover, control->refused);
	handover_put_bytes(handover, &control->setup, sizeof(control->setup));
	handover_put_bytes(handover, control->data, sizeof(control->data));
	handover_put_u64(handover, control->bytes);
	handover_put_u64(handover, control->at);
}

static void save_events(struct handover *handover, const struct xhci_event_ring *events)
{
	handover_put_u64(handover, events->table_entries);
	handover_put_u64(handover, events->table);
	handover_put_u64(handover, events->dequeue);
	handover_put_u64(handover, events->told_full);
	handover_put_u64(handover, events->segments);
	for (unsigned i = 0; i < events->segments; i++) {
		handover_put_u64(handover, events->segment[i].address);
		handover_put_u64(handover, events->segment[i].trbs);
	}
	handover_put_u64(handover, events->enqueue);
	handover_put_u64(handover, events->cycle);
}

void xhci_save(const void *opaque, struct handover *handover)
{
	const struct xhci_function *function = opaque;

	assert(function->quiescing);
	handover_put_u64(handover, FORMAT_VERSION);
	/* The same device: a driver does not expect a keyboard to become a tablet. */
	handover_put_u64(handover, function->device->options.kind);
	handover_put_u64(handover, function->usbcmd);
	handover_put_u64(handover, function->usbsts);
	handover_put_u64(handover, function->dnctrl);
	handover_put_u64(handover, function->config);
	handover_put_u64(handover, function->dcbaap);
	handover_put_u64(handover, function->iman);
	handover_put_u64(handover, function->imod);
	handover_put_u64(handover, function->started_ns);
	for (unsigned i = 0; i < XHCI_PORT_COUNT; i++) {
		handover_put_u64(handover, function->port[i].sc);
		handover_put_u64(handover, function->port[i].pmsc);
		handover_put_u64(handover, function->port[i].hlpmc);
		handover_put_u64(handover, function->port[i].event_due);
	}
	save_events(handover, &function->events);
	handover_put_u64(handover, function->commands.dequeue);
	handover_put_u64(handover, function->commands.cycle);
	handover_put_u64(handover, function->commands_run);
	handover_put_u64(handover, function->commands_stop);
	handover_put_u64(handover, function->crcr_closed);
	for (unsigned i = 0; i < XHCI_SLOTS; i++)
		save_slot(handover, &function->slot[i]);
	handover_put_u64(handover, function->device_slot);
	save_control(handover, &function->control);
	hid_device_save(&function->hid, handover);
	usb_input_save(function->device, handover);
}

/* ---- restore ---- */

static uint32_t get_u32(struct handover *handover)
{
	return (uint32_t)handover_get_at_most(handover, UINT32_MAX);
}

static void restore_endpoint(struct handover *handover, struct xhci_endpoint *endpoint)
{
	endpoint->state = (enum xhci_endpoint_state)handover_get_at_most(handover, XHCI_ENDPOINT_STOPPED);
	if (endpoint->state == XHCI_ENDPOINT_DISABLED)
		return;
	endpoint->ring.dequeue = handover_get_u64(handover);
	endpoint->ring.cycle = handover_get_flag(handover);
	handover_get_exactly(handover, endpoint->words, sizeof(endpoint->words));
	endpoint->stale = handover_get_flag(handover);
	endpoint->in_td = handover_get_flag(handover);
	endpoint->is_short = handover_get_flag(handover);
	endpoint->reported = handover_get_flag(handover);
	endpoint->transferred = get_u32(handover);
	handover_get_exactly(handover, endpoint->packet, sizeof(endpoint->packet));
	endpoint->packet_bytes = (uint8_t)handover_get_at_most(handover, HID_REPORT_BYTES_MAX);
	endpoint->packet_at = (uint8_t)handover_get_at_most(handover, endpoint->packet_bytes);
	handover_fail_if(handover, !is_aligned(endpoint->ring.dequeue, XHCI_TRB_BYTES) ||
					   (endpoint->stale && endpoint->state != XHCI_ENDPOINT_RUNNING));
}

/* A slot without a device context has no endpoints. */
static void restore_slot(struct handover *handover, struct xhci_slot *slot)
{
	bool has_control;

	slot->enabled = handover_get_flag(handover);
	if (!slot->enabled)
		return;
	slot->state = (enum xhci_slot_state)handover_get_at_most(handover, XHCI_SLOT_CONFIGURED);
	slot->context = handover_get_u64(handover);
	handover_get_exactly(handover, slot->words, sizeof(slot->words));
	restore_endpoint(handover, &slot->endpoint[0]);
	restore_endpoint(handover, &slot->endpoint[1]);
	has_control = slot->endpoint[0].state != XHCI_ENDPOINT_DISABLED;
	handover_fail_if(handover, has_control != (slot->state != XHCI_SLOT_ENABLED) ||
					   (slot->endpoint[1].state != XHCI_ENDPOINT_DISABLED) !=
						   (slot->state == XHCI_SLOT_CONFIGURED));
}

static void restore_control(struct handover *handover, struct xhci_control *control)
{
	uint32_t most;

	control->has_setup = handover_get_flag(handover);
	if (!control->has_setup)
		return;
	control->refused = handover_get_flag(handover);
	handover_get_exactly(handover, &control->setup, sizeof(control->setup));
	handover_get_exactly(handover, control->data, sizeof(control->data));
	most = control->setup.length;
	if (control->setup.type & USB_IN && most > sizeof(control->data))
		most = sizeof(control->data);
	control->bytes = (uint32_t)handover_get_at_most(handover, most);
	control->at = (uint32_t)handover_get_at_most(handover, control->bytes);
}

static void restore_segments(struct handover *handover, struct xhci_event_ring *events)
{
	events->segments = (unsigned)handover_get_at_most(handover, XHCI_SEGMENTS_MAX);
	for (unsigned i = 0; i < events->segments && !handover->error; i++) {
		events->segment[i].address = handover_get_u64(handover);
		events->segment[i].trbs = (uint16_t)handover_get_at_most(handover, UINT16_MAX);
		handover_fail_if(handover, !xhci_segment_is_sound(&events->segment[i]));
		events->trbs += events->segment[i].trbs;
	}
	events->enqueue = get_u32(handover);
	handover_fail_if(handover,
			 events->segments > 0 ? events->enqueue >= events->trbs : events->enqueue > 0);
}

static void restore_events(struct handover *handover, struct xhci_event_ring *events)
{
	events->table_entries = (uint32_t)handover_get_at_most(handover, UINT16_MAX);
	events->table = handover_get_u64(handover);
	events->dequeue = handover_get_u64(handover);
	events->told_full = handover_get_flag(handover);
	restore_segments(handover, events);
	events->cycle = handover_get_flag(handover);
}

static void restore_registers(struct handover *handover, struct xhci_function *function)
{
	function->usbcmd = get_u32(handover);
	function->usbsts = get_u32(handover);
	function->dnctrl = get_u32(handover);
	function->config = get_u32(handover);
	function->dcbaap = handover_get_u64(handover);
	function->iman = get_u32(handover);
	function->imod = get_u32(handover);
	function->started_ns = handover_get_u64(handover);
	for (unsigned i = 0; i < XHCI_PORT_COUNT; i++) {
		function->port[i].sc = get_u32(handover);
		function->port[i].pmsc = get_u32(handover);
		function->port[i].hlpmc = get_u32(handover);
		function->port[i].event_due = handover_get_flag(handover);
	}
	handover_fail_if(handover, function->usbcmd & ~XHCI_CMD_KEPT || function->usbsts & ~STATUS_BITS ||
					   function->iman & ~(XHCI_IMAN_PENDING | XHCI_IMAN_ENABLE));
}

/* Does what belongs together fit together? */
static bool is_sound(const struct xhci_function *function)
{
	const struct xhci_slot *slot;

	if (function->commands_stop && !function->commands_run)
		return false;
	if (function->commands_run && !(function->usbcmd & XHCI_CMD_RUN))
		return false;
	if (function->device_slot == 0)
		return !function->control.has_setup;
	slot = &function->slot[function->device_slot - 1];
	return slot->enabled && slot->state != XHCI_SLOT_ENABLED;
}

void xhci_restore(void *opaque, struct handover *handover)
{
	struct xhci_function *function = opaque;

	handover_fail_if(handover, handover_get_u64(handover) != FORMAT_VERSION);
	handover_fail_if(handover, handover_get_u64(handover) != function->device->options.kind);
	restore_registers(handover, function);
	restore_events(handover, &function->events);
	function->commands.dequeue = handover_get_u64(handover);
	function->commands.cycle = handover_get_flag(handover);
	function->commands_run = handover_get_flag(handover);
	function->commands_stop = handover_get_flag(handover);
	function->crcr_closed = handover_get_flag(handover);
	for (unsigned i = 0; i < XHCI_SLOTS; i++)
		restore_slot(handover, &function->slot[i]);
	function->device_slot = (unsigned)handover_get_at_most(handover, XHCI_SLOTS);
	restore_control(handover, &function->control);
	handover_fail_if(handover,
			 !is_aligned(function->commands.dequeue, XHCI_TRB_BYTES) || !is_sound(function));
	if (handover->error)
		return;
	hid_device_restore(&function->hid, handover);
	xhci_update_heard(function);
	usb_input_restore(function->device, handover);
}
