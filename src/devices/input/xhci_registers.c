/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers (5), and the life of the controller that they steer. */
#include "core/checked.h"
#include "devices/input/xhci_private.h"

#define VERSION		 0x0100u     /* of the specification, as QEMU's controller says */
#define ADDRESSES_64	 1u	     /* HCCPARAMS1.AC64; contexts of 32 bytes, ports with power */
#define SCHEDULING	 0xfu	     /* HCSPARAMS2.IST */
#define USB_NAME	 0x20425355u /* "USB " */
#define MICROFRAME_NS	 125000u
#define MICROFRAMES_MASK 0x3fffu
#define INTERRUPT_PAUSE	 4000u	/* IMOD after a reset: 1 ms */
#define SLOTS_MASK	 0x3ffu /* of CONFIG, with what is remembered */

/* Two extended capabilities (7.2): which protocol each port has. */
static const uint32_t protocols[] = {
	0x02000402, USB_NAME, 1u << 8 | XHCI_DEVICE_PORT,	0, /* USB 2.0; the next one is 4 words on */
	0x03000002, USB_NAME, 1u << 8 | (XHCI_DEVICE_PORT + 1), 0, /* USB 3.0; the last one */
};

/* ---- reading ---- */

static uint32_t read_capability(uint32_t offset)
{
	if (offset >= XHCI_PROTOCOLS)
		return protocols[(offset - XHCI_PROTOCOLS) / sizeof(protocols[0])];
	switch (offset) {
	case XHCI_CAPLENGTH:
		return VERSION << 16 | XHCI_OPERATIONAL;
	case XHCI_HCSPARAMS1:
		return XHCI_PORT_COUNT << 24 | 1u << 8 | XHCI_SLOTS;
	case XHCI_HCSPARAMS2:
		return XHCI_SEGMENTS_SHIFT << 4 | SCHEDULING;
	case XHCI_HCCPARAMS1:
		return XHCI_PROTOCOLS / 4 << 16 | ADDRESSES_64;
	case XHCI_DBOFF:
		return XHCI_DOORBELLS;
	case XHCI_RTSOFF:
		return XHCI_RUNTIME;
	default:
		return 0;
	}
}

static uint32_t read_operational(const struct xhci_function *function, uint32_t offset)
{
	switch (offset) {
	case XHCI_USBCMD:
		return function->usbcmd;
	case XHCI_USBSTS:
		return function->usbsts | (xhci_runs(function) ? 0 : XHCI_STS_HALTED);
	case XHCI_PAGESIZE:
		return 1; /* 4 KiB */
	case XHCI_DNCTRL:
		return function->dnctrl;
	case XHCI_CRCR:
		return function->commands_run ? XHCI_CRCR_RUNNING : 0;
	case XHCI_DCBAAP:
		return (uint32_t)function->dcbaap;
	case XHCI_DCBAAP + 4:
		return (uint32_t)(function->dcbaap >> 32);
	case XHCI_CONFIG:
		return function->config;
	default:
		return 0;
	}
}

static uint32_t microframe(const struct xhci_function *function)
{
	if (!xhci_runs(function))
		return 0;
	return (uint32_t)((loop_now_ns(function->bus->loop) - function->started_ns) / MICROFRAME_NS) &
	       MICROFRAMES_MASK;
}

static uint32_t read_runtime(const struct xhci_function *function, uint32_t offset)
{
	const struct xhci_event_ring *events = &function->events;

	switch (offset) {
	case XHCI_MFINDEX:
		return microframe(function);
	case XHCI_IMAN:
		return function->iman;
	case XHCI_IMOD:
		return function->imod;
	case XHCI_ERSTSZ:
		return events->table_entries;
	case XHCI_ERSTBA:
		return (uint32_t)events->table;
	case XHCI_ERSTBA + 4:
		return (uint32_t)(events->table >> 32);
	case XHCI_ERDP:
		return (uint32_t)events->dequeue;
	case XHCI_ERDP + 4:
		return (uint32_t)(events->dequeue >> 32);
	default:
		return 0;
	}
}

static uint32_t read_32(const struct xhci_function *function, uint32_t offset)
{
	if (offset < XHCI_OPERATIONAL)
		return read_capability(offset);
	if (offset < XHCI_PORTS)
		return read_operational(function, offset);
	if (offset < XHCI_RUNTIME)
		return xhci_port_read(function, offset);
	return offset < XHCI_DOORBELLS ? read_runtime(function, offset) : 0;
}

uint64_t xhci_read(void *opaque, unsigned bar, uint32_t offset, unsigned bytes)
{
	uint64_t value;

	if (bar != 0 || !checked_range(offset, bytes, XHCI_BAR_BYTES) || offset % bytes != 0)
		return 0;
	value = read_32(opaque, offset & ~3u);
	if (bytes == 8)
		return value | (uint64_t)read_32(opaque, offset + 4) << 32;
	value >>= 8 * (offset & 3);
	return bytes == 4 ? value : value & ((1u << 8 * bytes) - 1);
}

/* ---- the controller's life ---- */

void xhci_registers_reset(struct xhci_function *function)
{
	function->usbcmd = function->usbsts = function->dnctrl = function->config = 0;
	function->dcbaap = function->started_ns = 0;
	function->iman = 0;
	function->imod = INTERRUPT_PAUSE;
	function->events = (struct xhci_event_ring){ .cycle = true };
	function->commands = (struct xhci_ring){ .dequeue = 0 };
	function->commands_run = function->commands_stop = function->crcr_closed = false;
	function->device_slot = 0;
	memset(function->slot, 0, sizeof(function->slot));
	function->control = (struct xhci_control){ .has_setup = false };
	hid_device_reset(&function->hid);
	xhci_update_heard(function);
	xhci_ports_reset(function);
}

/* Transfers and commands go on where they were, but for the command ring, which waits for its doorbell. */
static void run_or_halt(struct xhci_function *function, bool runs)
{
	if (runs && !(function->usbcmd & XHCI_CMD_RUN))
		function->started_ns = loop_now_ns(function->bus->loop);
	if (!runs)
		function->commands_run = function->commands_stop = false;
}

static void write_usbcmd(struct xhci_function *function, uint32_t value)
{
	if (value & XHCI_CMD_RESET) {
		xhci_registers_reset(function);
		xhci_interrupt_refresh(function);
		return;
	}
	run_or_halt(function, value & XHCI_CMD_RUN);
	/* Nothing is ever saved: a driver that restores begins anew (4.23.2). */
	if (value & XHCI_CMD_RESTORE)
		function->usbsts |= XHCI_STS_RESTORE_ERROR;
	function->usbcmd = value & XHCI_CMD_KEPT;
	xhci_interrupt_refresh(function);
	xhci_wake(function);
}

/* ---- writing ---- */

static void set_half(uint64_t *value, bool upper, uint32_t half)
{
	if (upper)
		*value = (*value & 0xffffffffu) | (uint64_t)half << 32;
	else
		*value = (*value & ~0xffffffffull) | half;
}

/* While the ring runs it is stopped at most, and the upper half that follows says nothing (5.4.5). */
static void write_crcr(struct xhci_function *function, uint32_t value)
{
	function->crcr_closed = function->commands_run;
	if (function->commands_run) {
		if (value & (XHCI_CRCR_STOP | XHCI_CRCR_ABORT))
			function->commands_stop = true;
		xhci_wake(function);
		return;
	}
	set_half(&function->commands.dequeue, false, value & (uint32_t)XHCI_CRCR_POINTER);
	function->commands.cycle = value & XHCI_CRCR_CYCLE;
}

static void write_operational(struct xhci_function *function, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case XHCI_USBCMD:
		write_usbcmd(function, value);
		break;
	case XHCI_USBSTS:
		function->usbsts &= ~(value & XHCI_STS_CLEARABLE);
		break;
	case XHCI_DNCTRL:
		function->dnctrl = value & 0xffff;
		break;
	case XHCI_CRCR:
		write_crcr(function, value);
		break;
	case XHCI_CRCR + 4:
		if (!function->crcr_closed)
			set_half(&function->commands.dequeue, true, value);
		break;
	case XHCI_DCBAAP:
	case XHCI_DCBAAP + 4:
		set_half(&function->dcbaap, offset > XHCI_DCBAAP, value);
		function->dcbaap &= ~0x3full;
		break;
	case XHCI_CONFIG:
		function->config = value & SLOTS_MASK;
		break;
	default:
		break;
	}
}

static void write_iman(struct xhci_function *function, uint32_t value)
{
	function->iman &= ~(value & XHCI_IMAN_PENDING);
	function->iman = (function->iman & ~XHCI_IMAN_ENABLE) | (value & XHCI_IMAN_ENABLE);
	xhci_interrupt_refresh(function);
}

/* The handler's flag stays but when a 1 is written (5.5.2.3.3). */
static void write_erdp(struct xhci_function *function, uint32_t value)
{
	uint32_t busy = (uint32_t)function->events.dequeue & XHCI_ERDP_BUSY & ~value;

	set_half(&function->events.dequeue, false, (value & ~XHCI_ERDP_BUSY) | busy);
	xhci_events_consumed(function, value);
}

static void write_runtime(struct xhci_function *function, uint32_t offset, uint32_t value)
{
	struct xhci_event_ring *events = &function->events;

	switch (offset) {
	case XHCI_IMAN:
		write_iman(function, value);
		break;
	case XHCI_IMOD:
		function->imod = value;
		break;
	case XHCI_ERSTSZ:
		events->table_entries = value & 0xffff;
		break;
	case XHCI_ERSTBA:
	case XHCI_ERSTBA + 4:
		set_half(&events->table, offset > XHCI_ERSTBA, value);
		events->table &= ~0x3full;
		xhci_events_restart(function);
		break;
	case XHCI_ERDP:
		write_erdp(function, value);
		break;
	case XHCI_ERDP + 4:
		set_half(&events->dequeue, true, value);
		xhci_events_consumed(function, 0);
		break;
	default:
		break;
	}
}

static void ring_doorbell(struct xhci_function *function, uint32_t offset, uint32_t value)
{
	unsigned slot = (offset - XHCI_DOORBELLS) / sizeof(uint32_t);

	if (!xhci_runs(function))
		return;
	if (slot == 0) {
		function->commands_run = function->commands.rung = true;
		xhci_wake(function);
	} else if (slot <= XHCI_SLOTS && function->slot[slot - 1].enabled) {
		xhci_transfer_ring(function, slot, value);
	} else {
		xhci_violate(function, XHCI_VIOLATION_DOORBELL, (uint64_t)slot << 32 | value);
	}
}

static void write_32(struct xhci_function *function, uint32_t offset, uint32_t value)
{
	if (offset < XHCI_PORTS)
		write_operational(function, offset, value);
	else if (offset < XHCI_RUNTIME)
		xhci_port_write(function, offset, value);
	else if (offset < XHCI_DOORBELLS)
		write_runtime(function, offset, value);
	else if (offset < XHCI_MSIX_TABLE)
		ring_doorbell(function, offset, value);
}

/* Registers are written in words, or one of 64 bits as a whole, lower half first (5.1). Else: nowhere. */
void xhci_write(void *opaque, unsigned bar, uint32_t offset, unsigned bytes, uint64_t value)
{
	if (bar != 0 || !checked_range(offset, bytes, XHCI_BAR_BYTES) || bytes < 4 || offset % bytes != 0)
		return;
	write_32(opaque, offset, (uint32_t)value);
	if (bytes == 8)
		write_32(opaque, offset + 4, (uint32_t)(value >> 32));
}
