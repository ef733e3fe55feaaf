/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts (4.17): one at the end of a turn tells of all its events, and no other follows until the driver
 * has consumed them (the handler is busy, ERDP.EHB). So there is no more to moderate: IMOD is remembered.
 */
#include "core/container.h"
#include "devices/input/xhci_private.h"

#define VECTOR 0u

/* A function that rests tells when it goes on. */
void xhci_interrupt_news(struct xhci_function *function)
{
	if (!function->quiescing)
		loop_defer_for(function->bus->loop, &function->interrupt_task, function->bus->account);
}

/* A message is sent once, and is pending no longer; the pin is held until the driver clears what pends. */
void xhci_interrupt_refresh(struct xhci_function *function)
{
	struct register_bus *bus = function->bus;
	bool is_due = function->iman & XHCI_IMAN_PENDING && function->iman & XHCI_IMAN_ENABLE &&
		      function->usbcmd & XHCI_CMD_INTE;

	if (!is_due) {
		bus->ops->lower(bus, VECTOR);
		return;
	}
	bus->ops->raise(bus, VECTOR);
	if (bus->ops->has_vectors(bus))
		function->iman &= ~XHCI_IMAN_PENDING;
}

static void set_pending(struct xhci_function *function)
{
	function->events.dequeue |= XHCI_ERDP_BUSY;
	function->iman |= XHCI_IMAN_PENDING;
	function->usbsts |= XHCI_STS_EVENT;
}

void xhci_interrupt(struct loop_task *task)
{
	struct xhci_function *function = container_of(task, struct xhci_function, interrupt_task);

	if (!(function->events.dequeue & XHCI_ERDP_BUSY)) {
		set_pending(function);
		xhci_interrupt_refresh(function);
	}
	xhci_check_quiet(function);
}

void xhci_interrupt_again(struct xhci_function *function)
{
	if (xhci_events_unread(function))
		set_pending(function);
	xhci_interrupt_refresh(function);
}
