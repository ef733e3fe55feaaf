/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command ring (4.6): each command is carried out at once, and answered. */
#include "devices/input/xhci_private.h"

#define CODE(code)     ((uint32_t)(code) << 24)
#define SLOT_OF(trb)   ((trb)->control >> 24)
#define DCI_OF(trb)    ((trb)->control >> 16 & 0x1f)
#define STREAM_OF(trb) ((trb)->status >> 16)
#define DEQUEUE_CYCLE  1u
/* Context entries (6.2.2). */
#define ONE_ENTRY(word) (((word) & ~(0x1fu << 27)) | 1u << 27)

/* ---- slots ---- */

/* Sets *ret_id. */
static enum xhci_code enable_slot(struct xhci_function *function, unsigned *ret_id)
{
	unsigned enabled = function->config & 0xff;

	for (unsigned i = 0; i < XHCI_SLOTS && i < enabled; i++) {
		if (function->slot[i].enabled)
			continue;
		function->slot[i] = (struct xhci_slot){ .enabled = true };
		*ret_id = i + 1;
		return XHCI_SUCCESS;
	}
	return XHCI_NO_SLOTS;
}

void xhci_slot_disable(struct xhci_function *function, unsigned id)
{
	if (function->device_slot == id) {
		function->device_slot = 0;
		function->control.has_setup = false;
	}
	function->slot[id - 1] = (struct xhci_slot){ .enabled = false };
	xhci_update_heard(function);
}

static enum xhci_code disable_slot(struct xhci_function *function, struct xhci_slot *slot, unsigned id)
{
	if (slot->state != XHCI_SLOT_ENABLED) {
		slot->state = XHCI_SLOT_ENABLED; /* which is as good as disabled, in a context */
		xhci_slot_write(function, slot);
	}
	xhci_slot_disable(function, id);
	return XHCI_SUCCESS;
}

/* The driver has reset the device's port (4.6.11). */
static enum xhci_code reset_device(struct xhci_function *function, struct xhci_slot *slot, unsigned id)
{
	if (slot->state != XHCI_SLOT_ADDRESSED && slot->state != XHCI_SLOT_CONFIGURED)
		return XHCI_CONTEXT_STATE_ERROR;
	if (function->device_slot == id)
		function->device_slot = 0;
	slot->state = XHCI_SLOT_DEFAULT;
	slot->words[0] = ONE_ENTRY(slot->words[0]);
	slot->words[3] = 0;
	xhci_slot_write(function, slot);
	xhci_transfer_forget(function, &slot->endpoint[0]);
	slot->endpoint[1] = (struct xhci_endpoint){ .state = XHCI_ENDPOINT_DISABLED };
	xhci_endpoint_set(function, slot, XHCI_DCI_INTERRUPT, XHCI_ENDPOINT_DISABLED);
	xhci_update_heard(function);
	return XHCI_SUCCESS;
}

/* ---- endpoints ---- */

static enum xhci_code reset_endpoint(struct xhci_function *function, struct xhci_slot *slot, unsigned dci)
{
	if (xhci_endpoint_of(slot, dci)->state != XHCI_ENDPOINT_HALTED)
		return XHCI_CONTEXT_STATE_ERROR;
	xhci_endpoint_set(function, slot, dci, XHCI_ENDPOINT_STOPPED);
	return XHCI_SUCCESS;
}

/* Of a TD that it stops in, or before, the driver is told (4.6.9). */
static enum xhci_code stop_endpoint(struct xhci_function *function, const struct xhci_trb *command,
				    struct xhci_slot *slot)
{
	unsigned dci = DCI_OF(command);
	struct xhci_endpoint *endpoint = xhci_endpoint_of(slot, dci);
	struct xhci_trb trb, event = {
		.control = XHCI_TRB_SLOT(SLOT_OF(command)) | XHCI_TRB_ENDPOINT(dci) |
			   XHCI_TRB_TYPE(XHCI_TRB_TRANSFER_EVENT),
	};

	if (endpoint->state != XHCI_ENDPOINT_RUNNING)
		return XHCI_CONTEXT_STATE_ERROR;
	if (xhci_ring_peek(function, &endpoint->ring, &trb)) {
		event.parameter = endpoint->ring.dequeue;
		event.status = CODE(XHCI_STOPPED) | XHCI_TRB_LENGTH(&trb);
		xhci_event_put(function, &event, true);
	}
	endpoint->ring.rung = false;
	xhci_endpoint_set(function, slot, dci, XHCI_ENDPOINT_STOPPED);
	return XHCI_SUCCESS;
}

static enum xhci_code set_dequeue(struct xhci_function *function, const struct xhci_trb *command,
				  struct xhci_slot *slot)
{
	unsigned dci = DCI_OF(command);
	struct xhci_endpoint *endpoint = xhci_endpoint_of(slot, dci);

	if (endpoint->state != XHCI_ENDPOINT_STOPPED)
		return XHCI_CONTEXT_STATE_ERROR;
	if (STREAM_OF(command) != 0)
		return XHCI_TRB_ERROR;
	endpoint->ring.dequeue = command->parameter & ~0xfull;
	endpoint->ring.cycle = command->parameter & DEQUEUE_CYCLE;
	endpoint->ring.rung = false;
	xhci_transfer_forget(function, endpoint);
	xhci_endpoint_set(function, slot, dci, XHCI_ENDPOINT_STOPPED);
	return XHCI_SUCCESS;
}

static enum xhci_code endpoint_command(struct xhci_function *function, const struct xhci_trb *command,
				       struct xhci_slot *slot)
{
	unsigned dci = DCI_OF(command);

	if (dci != XHCI_DCI_CONTROL && dci != XHCI_DCI_INTERRUPT)
		return XHCI_ENDPOINT_NOT_ENABLED;
	if (xhci_endpoint_of(slot, dci)->state == XHCI_ENDPOINT_DISABLED)
		return XHCI_ENDPOINT_NOT_ENABLED;
	switch (XHCI_TRB_TYPE_OF(command)) {
	case XHCI_TRB_RESET_ENDPOINT:
		return reset_endpoint(function, slot, dci);
	case XHCI_TRB_STOP_ENDPOINT:
		return stop_endpoint(function, command, slot);
	default:
		return set_dequeue(function, command, slot);
	}
}

/* ---- all ---- */

static enum xhci_code slot_command(struct xhci_function *function, const struct xhci_trb *command)
{
	unsigned id = SLOT_OF(command);
	struct xhci_slot *slot = &function->slot[(id - 1) % XHCI_SLOTS];

	if (id == 0 || id > XHCI_SLOTS || !slot->enabled)
		return XHCI_SLOT_NOT_ENABLED;
	switch (XHCI_TRB_TYPE_OF(command)) {
	case XHCI_TRB_DISABLE_SLOT:
		return disable_slot(function, slot, id);
	case XHCI_TRB_ADDRESS_DEVICE:
		return xhci_address_device(function, command, id);
	case XHCI_TRB_CONFIGURE_ENDPOINT:
		return xhci_configure_endpoint(function, command, slot);
	case XHCI_TRB_EVALUATE_CONTEXT:
		return xhci_evaluate_context(function, command, slot);
	case XHCI_TRB_RESET_DEVICE:
		return reset_device(function, slot, id);
	default:
		return endpoint_command(function, command, slot);
	}
}

/* Returns the code; *ret_id is what a command that makes a slot has made. */
static enum xhci_code execute(struct xhci_function *function, const struct xhci_trb *command,
			      unsigned *ret_id)
{
	switch (XHCI_TRB_TYPE_OF(command)) {
	case XHCI_TRB_ENABLE_SLOT:
		return enable_slot(function, ret_id);
	case XHCI_TRB_NO_OP_COMMAND:
		return XHCI_SUCCESS;
	case XHCI_TRB_DISABLE_SLOT:
	case XHCI_TRB_ADDRESS_DEVICE:
	case XHCI_TRB_CONFIGURE_ENDPOINT:
	case XHCI_TRB_EVALUATE_CONTEXT:
	case XHCI_TRB_RESET_ENDPOINT:
	case XHCI_TRB_STOP_ENDPOINT:
	case XHCI_TRB_SET_DEQUEUE:
	case XHCI_TRB_RESET_DEVICE:
		*ret_id = SLOT_OF(command);
		return slot_command(function, command);
	default:
		return XHCI_TRB_ERROR;
	}
}

static void answer(struct xhci_function *function, uint64_t address, enum xhci_code code, unsigned id)
{
	const struct xhci_trb event = {
		.parameter = address,
		.status = CODE(code),
		.control = XHCI_TRB_TYPE(XHCI_TRB_COMMAND_EVENT) | XHCI_TRB_SLOT(id),
	};

	xhci_event_put(function, &event, true);
}

bool xhci_command_has_step(const struct xhci_function *function)
{
	return function->commands_run && (function->commands_stop || function->commands.rung);
}

bool xhci_command_step(struct xhci_function *function)
{
	struct xhci_trb command;
	enum xhci_code code;
	unsigned id = 0;
	uint64_t address;

	if (!xhci_command_has_step(function) || !xhci_events_fit(function, XHCI_STEP_EVENTS))
		return false;
	if (function->commands_stop) {
		function->commands_stop = function->commands_run = function->commands.rung = false;
		answer(function, function->commands.dequeue, XHCI_COMMAND_RING_STOPPED, 0);
		return true;
	}
	if (!xhci_ring_peek(function, &function->commands, &command))
		return false;
	address = function->commands.dequeue;
	xhci_ring_advance(&function->commands);
	code = execute(function, &command, &id);
	answer(function, address, code, id);
	return true;
}
