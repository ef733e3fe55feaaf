/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The root hub (4.19): a port of USB 2 with the device, and an empty one of USB 3. */
#include "devices/input/xhci_private.h"

#define PORT_BYTES 16u

static struct xhci_port *device_port(struct xhci_function *function)
{
	return &function->port[XHCI_DEVICE_PORT - 1];
}

static void set_link(struct xhci_port *port, enum xhci_link link)
{
	port->sc = (port->sc & ~XHCI_PORT_LINK_MASK) | XHCI_PORT_LINK(link);
}

/* One event tells of all that changes until the driver has cleared it (4.19.2). */
static void note_change(struct xhci_function *function, struct xhci_port *port, uint32_t change)
{
	if (port->sc & change)
		return;
	port->sc |= change;
	port->event_due = true;
	function->usbsts |= XHCI_STS_PORT;
	xhci_wake(function);
}

void xhci_ports_reset(struct xhci_function *function)
{
	memset(function->port, 0, sizeof(function->port));
	for (unsigned i = 0; i < XHCI_PORT_COUNT; i++) {
		function->port[i].sc = XHCI_PORT_POWER;
		set_link(&function->port[i], XHCI_LINK_RX_DETECT);
	}
	device_port(function)->sc |= XHCI_PORT_CONNECTED | XHCI_PORT_SPEED(XHCI_SPEED_HIGH);
	set_link(device_port(function), XHCI_LINK_POLLING);
	note_change(function, device_port(function), XHCI_PORT_CSC);
}

/* ---- the device's link ---- */

bool xhci_port_is_active(const struct xhci_function *function)
{
	uint32_t sc = function->port[XHCI_DEVICE_PORT - 1].sc;

	return sc & XHCI_PORT_ENABLED && XHCI_PORT_LINK_OF(sc) == XHCI_LINK_U0;
}

/* The device forgets its address, and all that it was told (USB 2.0, 9.1.1.3). */
static void reset_device(struct xhci_function *function)
{
	struct xhci_port *port = device_port(function);

	if (function->device_slot > 0) {
		struct xhci_slot *slot = &function->slot[function->device_slot - 1];

		xhci_transfer_forget(function, &slot->endpoint[0]);
		xhci_transfer_forget(function, &slot->endpoint[1]);
	}
	function->device_slot = 0;
	function->control.has_setup = false;
	hid_device_reset(&function->hid);
	port->sc |= XHCI_PORT_ENABLED;
	set_link(port, XHCI_LINK_U0);
	xhci_update_heard(function);
	note_change(function, port, XHCI_PORT_PRC);
}

static void disable(struct xhci_port *port)
{
	port->sc &= ~XHCI_PORT_ENABLED;
	set_link(port, XHCI_LINK_POLLING);
}

/* A resumed link comes up at once (4.15.2). */
static void write_link(struct xhci_function *function, unsigned link)
{
	struct xhci_port *port = device_port(function);
	unsigned before = XHCI_PORT_LINK_OF(port->sc);

	if (!(port->sc & XHCI_PORT_ENABLED))
		return;
	if (link == XHCI_LINK_U3 && before == XHCI_LINK_U0) {
		set_link(port, XHCI_LINK_U3);
		xhci_port_wake(function);
	} else if (link == XHCI_LINK_RESUME && before == XHCI_LINK_U3) {
		set_link(port, XHCI_LINK_RESUME);
	} else if (link == XHCI_LINK_U0 && before != XHCI_LINK_U0) {
		set_link(port, XHCI_LINK_U0);
		note_change(function, port, XHCI_PORT_PLC);
		xhci_wake(function);
	}
}

void xhci_port_wake(struct xhci_function *function)
{
	struct xhci_port *port = device_port(function);

	if (!(port->sc & XHCI_PORT_ENABLED) || XHCI_PORT_LINK_OF(port->sc) != XHCI_LINK_U3 ||
	    !function->hid.wakes || !usb_input_has_report(function->device))
		return;
	set_link(port, XHCI_LINK_RESUME);
	note_change(function, port, XHCI_PORT_PLC);
}

/* ---- registers ---- */

static bool find(uint32_t offset, unsigned *ret_port, unsigned *ret_register)
{
	*ret_port = (offset - XHCI_PORTS) / PORT_BYTES;
	*ret_register = (offset - XHCI_PORTS) % PORT_BYTES;
	return *ret_port < XHCI_PORT_COUNT;
}

uint32_t xhci_port_read(const struct xhci_function *function, uint32_t offset)
{
	unsigned index, at;

	if (!find(offset, &index, &at))
		return 0;
	switch (at) {
	case XHCI_PORTSC:
		return function->port[index].sc;
	case XHCI_PORTPMSC:
		return function->port[index].pmsc;
	case XHCI_PORTHLPMC:
		return function->port[index].hlpmc;
	default:
		return 0;
	}
}

/* The order is that of what excludes the rest: changes are cleared first, so that new ones are told of. */
static void write_status(struct xhci_function *function, struct xhci_port *port, uint32_t value)
{
	port->sc &= ~(value & XHCI_PORT_CHANGES);
	port->sc = (port->sc & ~XHCI_PORT_WAKES) | (value & XHCI_PORT_WAKES);
	if (!(port->sc & XHCI_PORT_CONNECTED))
		return;
	if (value & XHCI_PORT_RESET)
		reset_device(function);
	else if (value & XHCI_PORT_ENABLED)
		disable(port);
	else if (value & XHCI_PORT_LINK_WRITE)
		write_link(function, XHCI_PORT_LINK_OF(value));
}

void xhci_port_write(struct xhci_function *function, uint32_t offset, uint32_t value)
{
	unsigned index, at;

	if (!find(offset, &index, &at))
		return;
	if (at == XHCI_PORTSC)
		write_status(function, &function->port[index], value);
	else if (at == XHCI_PORTPMSC)
		function->port[index].pmsc = value;
	else if (at == XHCI_PORTHLPMC)
		function->port[index].hlpmc = value;
}

/* ---- events ---- */

bool xhci_port_has_step(const struct xhci_function *function)
{
	for (unsigned i = 0; i < XHCI_PORT_COUNT; i++)
		if (function->port[i].event_due)
			return true;
	return false;
}

bool xhci_port_step(struct xhci_function *function)
{
	for (unsigned i = 0; i < XHCI_PORT_COUNT; i++) {
		const struct xhci_trb event = {
			.parameter = (uint64_t)(i + 1) << 24,
			.status = (uint32_t)XHCI_SUCCESS << 24,
			.control = XHCI_TRB_TYPE(XHCI_TRB_PORT_EVENT),
		};

		if (!function->port[i].event_due)
			continue;
		if (!xhci_events_fit(function, 1))
			return false;
		function->port[i].event_due = false;
		xhci_event_put(function, &event, true);
		return true;
	}
	return false;
}
