/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts (7.4). A cause is remembered in ICR at once, for drivers that poll it; what is not masked by IMS
 * is told of at the end of the turn, and no earlier than the moderation of its vector allows. With MSI-X the
 * upper five causes go to the vectors that IVAR says; otherwise all share the pin, which follows ICR and IMS.
 *
 * A message may clear its causes (EIAC) and mask them (CTRL_EXT.EIAME): it is sent again when they come anew
 * and the driver has unmasked them.
 */
#include "core/container.h"
#include "devices/nic/e1000e_private.h"

#define PIN_VECTOR	   0u
#define FIRST_SOURCE_SHIFT 20u /* of RXQ0, and the others of IVAR behind it */

static bool by_vectors(const struct e1000e_function *function)
{
	return function->bus->ops->has_vectors(function->bus);
}

static uint32_t asserted(const struct e1000e_function *function)
{
	return e1000e_value(function, E1000E_ICR) & e1000e_value(function, E1000E_IMS);
}

/* The causes that have this vector; `causes` narrows them. */
static uint32_t causes_of(const struct e1000e_function *function, unsigned vector, uint32_t causes)
{
	uint32_t ivar = e1000e_value(function, E1000E_IVAR), found = 0;

	for (unsigned i = 0; i < E1000E_IVAR_SOURCES; i++, ivar >>= 4)
		if ((ivar & 15) == (E1000E_IVAR_VALID | vector))
			found |= 1u << (FIRST_SOURCE_SHIFT + i);
	return found & causes;
}

/* Of causes that are not masked. */
static void tell(struct e1000e_function *function, uint32_t causes)
{
	if (causes == 0)
		return;
	if (!by_vectors(function))
		function->due |= 1u << PIN_VECTOR;
	for (unsigned i = 0; i < E1000E_VECTORS && by_vectors(function); i++)
		if (causes_of(function, i, causes))
			function->due |= 1u << i;
	if (function->due && !e1000e_is_still(function))
		loop_defer_for(function->bus->loop, &function->interrupt_task, function->bus->account);
}

/* The pin falls as soon as there is no reason for it. */
static void check_pin(struct e1000e_function *function)
{
	if (by_vectors(function) || asserted(function))
		return;
	function->due = 0;
	function->bus->ops->lower(function->bus, PIN_VECTOR);
}

/* ---- registers ---- */

void e1000e_cause(struct e1000e_function *function, uint32_t causes)
{
	causes &= E1000E_CAUSES;
	if (causes & E1000E_CAUSES_OTHER)
		causes |= E1000E_CAUSE_OTHER;
	*e1000e_register(function, E1000E_ICR) |= causes;
	tell(function, causes & e1000e_value(function, E1000E_IMS));
}

uint32_t e1000e_icr_read(struct e1000e_function *function)
{
	uint32_t value = e1000e_value(function, E1000E_ICR);

	if (asserted(function)) {
		value |= E1000E_CAUSE_ASSERTED;
		if (e1000e_value(function, E1000E_CTRL_EXT) & E1000E_CTRL_EXT_IAME)
			*e1000e_register(function, E1000E_IMS) &= ~e1000e_value(function, E1000E_IAM);
	}
	*e1000e_register(function, E1000E_ICR) = 0;
	check_pin(function);
	return value;
}

void e1000e_icr_clear(struct e1000e_function *function, uint32_t causes)
{
	if (asserted(function) && e1000e_value(function, E1000E_CTRL_EXT) & E1000E_CTRL_EXT_IAME)
		*e1000e_register(function, E1000E_IMS) &= ~e1000e_value(function, E1000E_IAM);
	*e1000e_register(function, E1000E_ICR) &= ~causes;
	check_pin(function);
}

void e1000e_mask_set(struct e1000e_function *function, uint32_t causes)
{
	*e1000e_register(function, E1000E_IMS) |= causes & E1000E_CAUSES;
	tell(function, causes & e1000e_value(function, E1000E_ICR));
}

void e1000e_mask_clear(struct e1000e_function *function, uint32_t causes)
{
	*e1000e_register(function, E1000E_IMS) &= ~causes;
	check_pin(function);
}

/* ---- sending ---- */

static uint32_t interval_ns(const struct e1000e_function *function, unsigned vector)
{
	uint32_t at = by_vectors(function) ? E1000E_EITR + 4 * vector : E1000E_ITR;

	return e1000e_value(function, at) * E1000E_ITR_UNIT_NS;
}

static void interrupt_driver(struct e1000e_function *function, unsigned vector)
{
	bool message = by_vectors(function);
	uint32_t causes = message ? causes_of(function, vector, asserted(function)) : asserted(function);

	function->due &= ~(1u << vector);
	if (!causes)
		return;
	function->next_ns[vector] = loop_now_ns(function->bus->loop) + interval_ns(function, vector);
	function->bus->ops->raise(function->bus, vector);
	if (!message)
		return;
	*e1000e_register(function, E1000E_ICR) &= ~(causes & e1000e_value(function, E1000E_EIAC));
	if (e1000e_value(function, E1000E_CTRL_EXT) & E1000E_CTRL_EXT_EIAME)
		*e1000e_register(function, E1000E_IMS) &= ~causes;
}

void e1000e_interrupt(struct loop_task *task)
{
	struct e1000e_function *function = container_of(task, struct e1000e_function, interrupt_task);
	uint64_t now_ns = loop_now_ns(function->bus->loop), first_ns = UINT64_MAX;

	for (unsigned i = 0; i < E1000E_VECTORS; i++) {
		if (!(function->due >> i & 1))
			continue;
		if (function->next_ns[i] <= now_ns)
			interrupt_driver(function, i);
		else if (function->next_ns[i] < first_ns)
			first_ns = function->next_ns[i];
	}
	if (first_ns != UINT64_MAX)
		loop_timer_start(function->bus->loop, &function->interrupt_timer, first_ns);
}

void e1000e_interrupt_later(struct loop_timer *timer)
{
	struct e1000e_function *function = container_of(timer, struct e1000e_function, interrupt_timer);

	loop_defer_for(function->bus->loop, &function->interrupt_task, function->bus->account);
}

void e1000e_interrupts_again(struct e1000e_function *function)
{
	function->due = 0;
	if (by_vectors(function) || !asserted(function))
		function->bus->ops->lower(function->bus, PIN_VECTOR);
	tell(function, asserted(function));
}

void e1000e_interrupts_stop(struct e1000e_function *function)
{
	loop_defer_cancel(function->bus->loop, &function->interrupt_task);
	loop_timer_stop(function->bus->loop, &function->interrupt_timer);
}

void e1000e_interrupts_forget(struct e1000e_function *function)
{
	e1000e_interrupts_stop(function);
	function->due = 0;
	for (unsigned i = 0; i < E1000E_VECTORS; i++) {
		function->next_ns[i] = 0;
		function->bus->ops->lower(function->bus, i);
	}
}
