/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transfers (4.10, 4.11.2), one TRB at a time: of the control endpoint, and of the one that reports come
 * from. A TD of the latter waits in its ring until there is a report; then it is answered with that one.
 */
#include "devices/input/xhci_private.h"

#define EVENT_LENGTH_MASK 0xffffffu
#define BLOCK_INTERRUPT	  (1u << 9)

/* What there is of a TRB to be done, and what came of it. */
struct step {
	struct xhci_function *function;
	unsigned slot, dci;
	struct xhci_endpoint *endpoint;
	struct xhci_trb trb;
	uint32_t left; /* of its length: what was not transferred */
};

/* ---- the end of a TRB ---- */

static void tell(const struct step *step, enum xhci_code code)
{
	struct xhci_trb event = {
		.parameter = step->endpoint->ring.dequeue,
		.status = (uint32_t)code << 24 | step->left,
		.control = XHCI_TRB_SLOT(step->slot) | XHCI_TRB_ENDPOINT(step->dci) |
			   XHCI_TRB_TYPE(XHCI_TRB_TRANSFER_EVENT),
	};

	if (XHCI_TRB_TYPE_OF(&step->trb) == XHCI_TRB_DATA_EVENT) {
		event.parameter = step->trb.parameter;
		event.status = (uint32_t)code << 24 | (step->endpoint->transferred & EVENT_LENGTH_MASK);
		event.control |= XHCI_TRB_EVENT_DATA;
		step->endpoint->transferred = 0;
	}
	step->endpoint->reported = true;
	xhci_event_put(step->function, &event, !(step->trb.control & BLOCK_INTERRUPT));
}

/* It was done; a TD that was short, or of which its driver was told, is told of once (4.10.1.1). */
static bool succeed(const struct step *step)
{
	struct xhci_endpoint *endpoint = step->endpoint;
	bool is_data = XHCI_TRB_TYPE_OF(&step->trb) != XHCI_TRB_DATA_EVENT;
	bool is_told = step->trb.control & XHCI_TRB_IOC ||
		       (is_data && endpoint->is_short && step->trb.control & XHCI_TRB_ISP);

	if (is_told && !(endpoint->is_short && endpoint->reported))
		tell(step, endpoint->is_short ? XHCI_SHORT_PACKET : XHCI_SUCCESS);
	if (!(step->trb.control & XHCI_TRB_CHAIN)) {
		endpoint->in_td = endpoint->is_short = endpoint->reported = false;
		endpoint->transferred = 0;
	}
	xhci_ring_advance(&endpoint->ring);
	return true;
}

/* The endpoint halts at the TRB, whether or not it asks for an event (4.10.2.1). */
static bool fail(const struct step *step, enum xhci_code code)
{
	struct xhci_slot *slot = &step->function->slot[step->slot - 1];

	tell(step, code);
	xhci_transfer_forget(step->function, step->endpoint);
	step->endpoint->ring.rung = false;
	xhci_endpoint_set(step->function, slot, step->dci, XHCI_ENDPOINT_HALTED);
	return true;
}

/* Its buffer is nowhere: until it is, or the ring is rung. */
static bool wait_for_memory(const struct step *step)
{
	xhci_memory_missed(step->function, step->trb.parameter);
	step->endpoint->ring.rung = false;
	return false;
}

void xhci_transfer_forget(struct xhci_function *function, struct xhci_endpoint *endpoint)
{
	endpoint->in_td = endpoint->is_short = endpoint->reported = false;
	endpoint->transferred = 0;
	/* A report that did not arrive is sent again: a key that it lets up must not stick. */
	endpoint->packet_at = 0;
	if (function->device_slot > 0 && endpoint == &function->slot[function->device_slot - 1].endpoint[0])
		function->control.has_setup = false;
}

/* So many bytes of the TRB's buffer were transferred, of those that it is for. */
static void count(struct step *step, uint32_t bytes)
{
	step->left = XHCI_TRB_LENGTH(&step->trb) - bytes;
	step->endpoint->transferred += bytes;
	if (step->left > 0)
		step->endpoint->is_short = true;
}

/* ---- the control endpoint (4.11.2.2) ---- */

static bool setup_stage(struct step *step)
{
	struct xhci_control *control = &step->function->control;

	if (!(step->trb.control & XHCI_TRB_IDT) || XHCI_TRB_LENGTH(&step->trb) != sizeof(control->setup))
		return fail(step, XHCI_TRB_ERROR);
	*control = (struct xhci_control){ .has_setup = true };
	memcpy(&control->setup, &step->trb.parameter, sizeof(control->setup));
	control->bytes = control->setup.length;
	if (control->setup.type & USB_IN) {
		int bytes = hid_device_answer(&step->function->hid, &control->setup, control->data);

		control->refused = bytes < 0;
		if (bytes < (int)control->bytes)
			control->bytes = bytes < 0 ? 0 : (uint32_t)bytes;
	}
	step->endpoint->is_short = step->endpoint->reported = false;
	step->endpoint->transferred = 0;
	step->left = 0;
	return succeed(step);
}

/* What is longer than any report is taken, and not kept. */
static bool receive(const struct step *step, struct xhci_control *control, uint32_t bytes)
{
	uint32_t room =
		control->at < sizeof(control->data) ? (uint32_t)sizeof(control->data) - control->at : 0;
	uint32_t kept = bytes < room ? bytes : room;

	if (kept == 0)
		return true;
	if (!(step->trb.control & XHCI_TRB_IDT))
		return xhci_memory_read(step->function, step->trb.parameter, control->data + control->at,
					kept);
	/* 8 at most: the length was looked at. */
	memcpy(control->data + control->at, &step->trb.parameter, kept);
	return true;
}

static bool data_stage(struct step *step)
{
	struct xhci_control *control = &step->function->control;
	bool is_in = control->setup.type & USB_IN, is_immediate = step->trb.control & XHCI_TRB_IDT;
	uint32_t length = XHCI_TRB_LENGTH(&step->trb), bytes = control->bytes - control->at;

	if (!control->has_setup ||
	    (XHCI_TRB_TYPE_OF(&step->trb) == XHCI_TRB_DATA && is_in != !!(step->trb.control & XHCI_TRB_IN)) ||
	    (is_immediate && (is_in || length > sizeof(step->trb.parameter))))
		return fail(step, XHCI_TRB_ERROR);
	if (control->refused)
		return fail(step, XHCI_STALL);
	bytes = bytes < length ? bytes : length;
	if (is_in ? bytes > 0 && !xhci_memory_write(step->function, step->trb.parameter,
						    control->data + control->at, bytes)
		  : !receive(step, control, bytes))
		return wait_for_memory(step);
	control->at += bytes;
	count(step, bytes);
	return succeed(step);
}

static bool status_stage(struct step *step)
{
	struct xhci_control *control = &step->function->control;
	uint32_t kept = control->at < sizeof(control->data) ? control->at : (uint32_t)sizeof(control->data);

	step->left = 0;
	if (!control->has_setup)
		return fail(step, XHCI_TRB_ERROR);
	if (control->refused)
		return fail(step, XHCI_STALL);
	control->has_setup = false;
	if (!(control->setup.type & USB_IN) &&
	    !hid_device_obey(&step->function->hid, &control->setup, control->data, kept))
		return fail(step, XHCI_STALL);
	step->endpoint->is_short = step->endpoint->reported = false;
	succeed(step);
	xhci_update_heard(step->function);
	return true;
}

/* A device that is not there, or sleeps, answers nothing. */
static bool is_answered(const struct step *step)
{
	return step->slot == step->function->device_slot && xhci_port_is_active(step->function);
}

static bool control_step(struct step *step)
{
	switch (XHCI_TRB_TYPE_OF(&step->trb)) {
	case XHCI_TRB_SETUP:
		return is_answered(step) ? setup_stage(step) : fail(step, XHCI_TRANSACTION_ERROR);
	case XHCI_TRB_DATA:
	case XHCI_TRB_NORMAL:
		return is_answered(step) ? data_stage(step) : fail(step, XHCI_TRANSACTION_ERROR);
	case XHCI_TRB_STATUS:
		return is_answered(step) ? status_stage(step) : fail(step, XHCI_TRANSACTION_ERROR);
	case XHCI_TRB_DATA_EVENT:
	case XHCI_TRB_NO_OP:
		step->left = 0;
		return succeed(step);
	default:
		return fail(step, XHCI_TRB_ERROR);
	}
}

/* ---- the endpoint of reports ---- */

static void take_packet(struct xhci_function *function, struct xhci_endpoint *endpoint)
{
	struct hid_device *hid = &function->hid;

	hid->wheel = 0;
	usb_input_take_report(function->device, hid);
	endpoint->packet_bytes = (uint8_t)hid_device_report(hid, endpoint->packet);
	endpoint->packet_at = 0;
	/* It turned once. */
	hid->wheel = 0;
}

static bool report_data(struct step *step)
{
	struct xhci_endpoint *endpoint = step->endpoint;
	uint32_t length = XHCI_TRB_LENGTH(&step->trb), bytes;

	if (step->trb.control & XHCI_TRB_IDT)
		return fail(step, XHCI_TRB_ERROR);
	if (step->function->hid.halted)
		return fail(step, XHCI_STALL);
	if (!endpoint->in_td && endpoint->packet_bytes == 0)
		take_packet(step->function, endpoint);
	endpoint->in_td = true;
	bytes = endpoint->packet_bytes - endpoint->packet_at;
	bytes = bytes < length ? bytes : length;
	if (bytes > 0 && !xhci_memory_write(step->function, step->trb.parameter,
					    endpoint->packet + endpoint->packet_at, bytes))
		return wait_for_memory(step);
	endpoint->packet_at = (uint8_t)(endpoint->packet_at + bytes);
	count(step, bytes);
	if (!(step->trb.control & XHCI_TRB_CHAIN) && endpoint->packet_at < endpoint->packet_bytes)
		return fail(step, XHCI_BABBLE);
	if (endpoint->packet_at == endpoint->packet_bytes)
		endpoint->packet_bytes = endpoint->packet_at = 0;
	return succeed(step);
}

static bool report_step(struct step *step)
{
	switch (XHCI_TRB_TYPE_OF(&step->trb)) {
	case XHCI_TRB_NORMAL:
		return report_data(step);
	case XHCI_TRB_DATA_EVENT:
	case XHCI_TRB_NO_OP:
		step->left = 0;
		return succeed(step);
	default:
		return fail(step, XHCI_TRB_ERROR);
	}
}

/* Is there anything to answer with? Without a configuration the endpoint is none (USB 2.0, 9.1.1.5). */
static bool has_report(const struct xhci_function *function, unsigned slot,
		       const struct xhci_endpoint *endpoint)
{
	if (function->device_slot != slot || !function->hid.configuration || !xhci_port_is_active(function))
		return false;
	return endpoint->in_td || endpoint->packet_bytes > 0 || function->hid.halted ||
	       usb_input_has_report(function->device);
}

/* ---- all endpoints ---- */

static bool can_step(const struct xhci_function *function, unsigned slot, unsigned dci)
{
	const struct xhci_endpoint *endpoint =
		xhci_endpoint_of((struct xhci_slot *)&function->slot[slot - 1], dci);

	if (endpoint->state != XHCI_ENDPOINT_RUNNING)
		return false;
	if (endpoint->stale)
		return true;
	return endpoint->ring.rung && (dci == XHCI_DCI_CONTROL || has_report(function, slot, endpoint));
}

static bool endpoint_step(struct xhci_function *function, unsigned slot, unsigned dci)
{
	struct step step = {
		.function = function,
		.slot = slot,
		.dci = dci,
		.endpoint = xhci_endpoint_of(&function->slot[slot - 1], dci),
	};

	if (step.endpoint->stale) {
		xhci_endpoint_set(function, &function->slot[slot - 1], dci, XHCI_ENDPOINT_RUNNING);
		return true;
	}
	if (!xhci_events_fit(function, 1) || !xhci_ring_peek(function, &step.endpoint->ring, &step.trb))
		return false;
	step.left = XHCI_TRB_LENGTH(&step.trb);
	return dci == XHCI_DCI_CONTROL ? control_step(&step) : report_step(&step);
}

bool xhci_transfer_has_step(const struct xhci_function *function)
{
	for (unsigned slot = 1; slot <= XHCI_SLOTS; slot++)
		if (can_step(function, slot, XHCI_DCI_CONTROL) ||
		    can_step(function, slot, XHCI_DCI_INTERRUPT))
			return true;
	return false;
}

bool xhci_transfer_step(struct xhci_function *function)
{
	static const unsigned dcis[] = { XHCI_DCI_CONTROL, XHCI_DCI_INTERRUPT };

	for (unsigned slot = 1; slot <= XHCI_SLOTS; slot++)
		for (unsigned i = 0; i < 2; i++)
			if (can_step(function, slot, dcis[i]) && endpoint_step(function, slot, dcis[i]))
				return true;
	return false;
}

/* 5.6 */
void xhci_transfer_ring(struct xhci_function *function, unsigned slot, uint32_t value)
{
	unsigned dci = value & 0xff;
	struct xhci_endpoint *endpoint = xhci_endpoint_of(&function->slot[slot - 1], dci);

	if ((dci != XHCI_DCI_CONTROL && dci != XHCI_DCI_INTERRUPT) ||
	    endpoint->state == XHCI_ENDPOINT_DISABLED) {
		xhci_violate(function, XHCI_VIOLATION_DOORBELL, (uint64_t)slot << 32 | value);
		return;
	}
	if (endpoint->state == XHCI_ENDPOINT_HALTED)
		return;
	/* A stop that follows finds it running; its context is written in a turn. */
	endpoint->stale = endpoint->stale || endpoint->state == XHCI_ENDPOINT_STOPPED;
	endpoint->state = XHCI_ENDPOINT_RUNNING;
	endpoint->ring.rung = true;
	xhci_wake(function);
}
