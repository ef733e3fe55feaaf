/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands with an input context (6.2.5): it is copied in once, and what is kept of it here is what counts.
 * The driver's device context is only written.
 */
#include "devices/input/xhci_private.h"

#define DROP_FLAGS 0u /* words of the input control context (6.2.5.1) */
#define ADD_FLAGS  1u
#define FLAG(dci)  (1u << (dci))
#define SLOT_FLAG  FLAG(0)

#define ROUTE(words)	     ((words)[0] & 0xfffff)
#define ROOT_PORT(words)     ((words)[1] >> 16 & 0xff)
#define EXIT_LATENCY	     0xffffu	    /* of word 1 */
#define INTERRUPTER	     (0x3ffu << 22) /* of word 2 */
#define ENTRIES		     (0x1fu << 27)  /* of word 0 */
#define ENDPOINT_TYPE(words) ((words)[1] >> 3 & 7)
#define PACKET_BYTES(words)  ((words)[1] >> 16)
#define PACKET_MASK	     0xffff0000u

struct input_context {
	uint32_t control[XHCI_CONTEXT_WORDS];
	uint32_t slot[XHCI_CONTEXT_WORDS];
	uint32_t endpoint[XHCI_INPUT_CONTEXTS - 2][XHCI_CONTEXT_WORDS]; /* from index 1 on */
};

static bool read_input(const struct xhci_function *function, const struct xhci_trb *command,
		       struct input_context *ret_input)
{
	return xhci_memory_read(function, command->parameter & ~0xfull, ret_input, sizeof(*ret_input));
}

/* As the driver describes it: a ring and all; or, without a description that can be, nothing is changed. */
static bool take_endpoint(struct xhci_endpoint *endpoint, const uint32_t *words, unsigned type,
			  unsigned packet_bytes_min)
{
	if (ENDPOINT_TYPE(words) != type || PACKET_BYTES(words) < packet_bytes_min)
		return false;
	*endpoint = (struct xhci_endpoint){ .state = XHCI_ENDPOINT_RUNNING };
	memcpy(endpoint->words, words, sizeof(endpoint->words));
	endpoint->ring.dequeue = ((uint64_t)words[3] << 32 | words[2]) & ~0xfull;
	endpoint->ring.cycle = words[2] & 1;
	return true;
}

/* ---- Address Device (4.6.5) ---- */

/* Where the driver keeps the slot's device context; false: nowhere. */
static bool find_context(const struct xhci_function *function, unsigned id, uint64_t *ret_address)
{
	uint64_t address;

	if (!xhci_memory_read(function, function->dcbaap + id * sizeof(address), &address, sizeof(address)))
		return false;
	*ret_address = address & ~0x3full;
	return *ret_address != 0;
}

/* Does the device answer there? One that has an address does not take another. */
static bool answers(const struct xhci_function *function, const struct input_context *input, unsigned id)
{
	return ROOT_PORT(input->slot) == XHCI_DEVICE_PORT && ROUTE(input->slot) == 0 &&
	       xhci_port_is_active(function) && (function->device_slot == 0 || function->device_slot == id);
}

static enum xhci_code check_address(const struct xhci_function *function, const struct input_context *input,
				    bool keeps_default, unsigned id)
{
	const struct xhci_slot *slot = &function->slot[id - 1];
	const uint32_t wanted = SLOT_FLAG | FLAG(XHCI_DCI_CONTROL);

	if (slot->state != XHCI_SLOT_ENABLED && (keeps_default || slot->state != XHCI_SLOT_DEFAULT))
		return XHCI_CONTEXT_STATE_ERROR;
	if ((input->control[ADD_FLAGS] & wanted) != wanted || ROOT_PORT(input->slot) == 0 ||
	    ROOT_PORT(input->slot) > XHCI_PORT_COUNT)
		return XHCI_PARAMETER_ERROR;
	return answers(function, input, id) ? XHCI_SUCCESS : XHCI_TRANSACTION_ERROR;
}

enum xhci_code xhci_address_device(struct xhci_function *function, const struct xhci_trb *command,
				   unsigned id)
{
	bool keeps_default = command->control & XHCI_TRB_BSR;
	struct xhci_slot *slot = &function->slot[id - 1], made = { .enabled = true };
	struct input_context input;
	enum xhci_code code;

	if (!read_input(function, command, &input) || !find_context(function, id, &made.context))
		return XHCI_TRB_ERROR;
	code = check_address(function, &input, keeps_default, id);
	if (code != XHCI_SUCCESS)
		return code;
	if (!take_endpoint(&made.endpoint[0], input.endpoint[0], XHCI_ENDPOINT_CONTROL, 8))
		return XHCI_PARAMETER_ERROR;
	memcpy(made.words, input.slot, sizeof(made.words));
	made.words[3] = keeps_default ? 0 : id;
	made.state = keeps_default ? XHCI_SLOT_DEFAULT : XHCI_SLOT_ADDRESSED;
	if (!xhci_slot_write(function, &made) || !xhci_endpoint_write(function, &made, XHCI_DCI_CONTROL))
		return XHCI_TRB_ERROR;
	*slot = made;
	function->device_slot = id;
	function->control.has_setup = false;
	/* A device that gets an address is not configured (USB 2.0, 9.1.1.4). */
	function->hid.configuration = 0;
	xhci_update_heard(function);
	return XHCI_SUCCESS;
}

/* ---- Configure Endpoint (4.6.6) ---- */

static void drop_endpoint(struct xhci_function *function, struct xhci_slot *slot)
{
	slot->endpoint[1] = (struct xhci_endpoint){ .state = XHCI_ENDPOINT_DISABLED };
	xhci_endpoint_set(function, slot, XHCI_DCI_INTERRUPT, XHCI_ENDPOINT_DISABLED);
}

static void configured(struct xhci_function *function, struct xhci_slot *slot)
{
	bool has_endpoint = slot->endpoint[1].state != XHCI_ENDPOINT_DISABLED;

	slot->state = has_endpoint ? XHCI_SLOT_CONFIGURED : XHCI_SLOT_ADDRESSED;
	slot->words[0] &= ~ENTRIES;
	slot->words[0] |= (has_endpoint ? XHCI_DCI_INTERRUPT : XHCI_DCI_CONTROL) << 27;
	xhci_slot_write(function, slot);
	xhci_update_heard(function);
}

enum xhci_code xhci_configure_endpoint(struct xhci_function *function, const struct xhci_trb *command,
				       struct xhci_slot *slot)
{
	bool deconfigures = command->control & XHCI_TRB_BSR;
	struct input_context input;
	uint32_t add, drop;

	if (slot->state != XHCI_SLOT_ADDRESSED && slot->state != XHCI_SLOT_CONFIGURED)
		return XHCI_CONTEXT_STATE_ERROR;
	if (deconfigures) {
		drop_endpoint(function, slot);
		configured(function, slot);
		return XHCI_SUCCESS;
	}
	if (!read_input(function, command, &input))
		return XHCI_TRB_ERROR;
	add = input.control[ADD_FLAGS];
	drop = input.control[DROP_FLAGS];
	/* The device has one endpoint to configure. */
	if (add & ~(SLOT_FLAG | FLAG(XHCI_DCI_INTERRUPT)) || drop & ~FLAG(XHCI_DCI_INTERRUPT))
		return XHCI_PARAMETER_ERROR;
	if (add & FLAG(XHCI_DCI_INTERRUPT)) {
		if (!take_endpoint(&slot->endpoint[1], input.endpoint[XHCI_DCI_INTERRUPT - 1],
				   XHCI_ENDPOINT_INTERRUPT_IN, HID_REPORT_BYTES_MAX))
			return XHCI_PARAMETER_ERROR;
		xhci_endpoint_set(function, slot, XHCI_DCI_INTERRUPT, XHCI_ENDPOINT_RUNNING);
	} else if (drop & FLAG(XHCI_DCI_INTERRUPT)) {
		drop_endpoint(function, slot);
	}
	configured(function, slot);
	return XHCI_SUCCESS;
}

/* ---- Evaluate Context (4.6.7) ---- */

enum xhci_code xhci_evaluate_context(struct xhci_function *function, const struct xhci_trb *command,
				     struct xhci_slot *slot)
{
	struct xhci_endpoint *control = &slot->endpoint[0];
	struct input_context input;

	if (slot->state == XHCI_SLOT_ENABLED)
		return XHCI_CONTEXT_STATE_ERROR;
	if (!read_input(function, command, &input))
		return XHCI_TRB_ERROR;
	if (input.control[ADD_FLAGS] & SLOT_FLAG) {
		slot->words[1] = (slot->words[1] & ~EXIT_LATENCY) | (input.slot[1] & EXIT_LATENCY);
		slot->words[2] = (slot->words[2] & ~INTERRUPTER) | (input.slot[2] & INTERRUPTER);
		xhci_slot_write(function, slot);
	}
	if (input.control[ADD_FLAGS] & FLAG(XHCI_DCI_CONTROL)) {
		control->words[1] = (control->words[1] & ~PACKET_MASK) | (input.endpoint[0][1] & PACKET_MASK);
		xhci_endpoint_set(function, slot, XHCI_DCI_CONTROL, control->state);
	}
	return XHCI_SUCCESS;
}
