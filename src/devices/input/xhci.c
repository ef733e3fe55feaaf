/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The function: power, quiet and memory, and its turns. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/container.h"
#include "core/loop_account.h"
#include "core/loop_blame.h"
#include "devices/input/xhci_private.h"

/* TRBs and events of a turn at most, and after how many the time is asked. */
#define TURN_STEPS  64u
#define TIMED_STEPS 8u

/* ---- turns ---- */

static bool has_step(const struct xhci_function *function)
{
	if (!xhci_runs(function) || function->quiescing || function->frozen || function->events.blocked)
		return false;
	return xhci_port_has_step(function) || xhci_command_has_step(function) ||
	       xhci_transfer_has_step(function);
}

static bool take_step(struct xhci_function *function)
{
	return has_step(function) &&
	       (xhci_port_step(function) || xhci_command_step(function) || xhci_transfer_step(function));
}

static bool xhci_poll(struct loop_poller *poller)
{
	struct xhci_function *function = container_of(poller, struct xhci_function, poller);
	struct loop *loop = function->bus->loop;
	const unsigned *held = loop_blame_flag(loop);
	unsigned steps = 0;

	/* The worker has stood still: who is to blame comes first. */
	while (steps < TURN_STEPS && !__atomic_load_n(held, __ATOMIC_RELAXED)) {
		if (steps > 0 && steps % TIMED_STEPS == 0 && loop_slice_over(loop))
			break;
		if (!take_step(function))
			break;
		steps++;
	}
	if (steps > 0)
		loop_worked(loop, steps < TIMED_STEPS);
	return steps > 0;
}

/* Whatever comes later comes by a register, or by the bell. */
static bool xhci_park(struct loop_poller *poller)
{
	return !has_step(container_of(poller, struct xhci_function, poller));
}

void xhci_wake(struct xhci_function *function)
{
	if (function->quiescing || function->frozen)
		return;
	xhci_port_wake(function);
	if (has_step(function))
		loop_poller_wake(function->bus->loop, &function->poller);
}

void xhci_look_again(struct xhci_function *function)
{
	function->commands.rung = function->commands_run;
	for (unsigned slot = 0; slot < XHCI_SLOTS; slot++)
		for (unsigned i = 0; i < 2; i++) {
			struct xhci_endpoint *endpoint = &function->slot[slot].endpoint[i];

			endpoint->ring.rung = endpoint->state == XHCI_ENDPOINT_RUNNING;
		}
	function->events.blocked = false;
	xhci_wake(function);
}

/* From when its driver has configured the device. What was not heard then is not sent later. */
void xhci_update_heard(struct xhci_function *function)
{
	bool is_heard = function->hid.configuration > 0 && function->device_slot > 0 &&
			function->slot[function->device_slot - 1].endpoint[1].state != XHCI_ENDPOINT_DISABLED;

	if (!is_heard) {
		hid_device_release(&function->hid);
		for (unsigned slot = 0; slot < XHCI_SLOTS; slot++)
			function->slot[slot].endpoint[1].packet_bytes =
				function->slot[slot].endpoint[1].packet_at = 0;
	}
	usb_input_set_heard(function->device, is_heard);
}

/* ---- rest ---- */

/* All is done in turns, and between them nothing is under way, but the interrupt that ends one. */
static bool is_at_rest(const struct xhci_function *function)
{
	return !function->interrupt_task.queued;
}

void xhci_check_quiet(struct xhci_function *function)
{
	void (*quiet)(void *context) = function->quiet;

	if (!is_at_rest(function) || !function->quiescing || !quiet)
		return;
	function->quiet = NULL;
	quiet(function->quiet_context);
}

static void xhci_quiesce(void *opaque, void (*quiet)(void *context), void *context)
{
	struct xhci_function *function = opaque;

	assert(!function->quiescing);
	function->quiescing = true;
	function->quiet = quiet;
	function->quiet_context = context;
	xhci_check_quiet(function);
}

static void xhci_resume(void *opaque)
{
	struct xhci_function *function = opaque;

	assert(function->quiescing && !function->quiet);
	function->quiescing = function->frozen = false;
	xhci_interrupt_again(function);
	xhci_look_again(function);
}

static void xhci_freeze(void *opaque)
{
	struct xhci_function *function = opaque;

	function->frozen = true;
}

static void xhci_reset(void *opaque)
{
	struct xhci_function *function = opaque;

	assert(function->quiescing && is_at_rest(function));
	xhci_registers_reset(function);
	xhci_resume(function);
}

/* ---- power ---- */

static int xhci_power_on(void *opaque, struct register_bus *bus, void **ret_function)
{
	struct usb_input *device = opaque;
	struct xhci_function *function = calloc(1, sizeof(*function));

	if (!function)
		return -ENOMEM;
	function->device = device;
	function->bus = bus;
	function->hid.options = &device->options;
	function->quiescing = true;
	xhci_registers_reset(function);
	usb_input_set_loop(device, function, NULL);
	*ret_function = function;
	return 0;
}

static void leave_loop(struct xhci_function *function)
{
	loop_poller_remove(function->bus->loop, &function->poller);
	loop_defer_cancel(function->bus->loop, &function->interrupt_task);
}

/* Its LEDs go out. */
static void xhci_power_off(void *opaque)
{
	struct xhci_function *function = opaque;

	assert(is_at_rest(function));
	if (function->poller.poll)
		leave_loop(function);
	hid_device_reset(&function->hid);
	usb_input_set_heard(function->device, false);
	usb_input_set_loop(function->device, NULL, NULL);
	free(function);
}

static void xhci_leave(void *opaque)
{
	struct xhci_function *function = opaque;

	assert(function->quiescing && is_at_rest(function));
	usb_input_set_loop(function->device, function, NULL);
	leave_loop(function);
	function->poller.poll = NULL;
}

static int xhci_arrive(void *opaque)
{
	struct xhci_function *function = opaque;

	function->poller = (struct loop_poller){
		.poll = xhci_poll,
		.park = xhci_park,
		.account = function->bus->account,
	};
	function->interrupt_task.run = xhci_interrupt;
	usb_input_set_loop(function->device, function, function->bus->loop);
	return 0;
}

/* ---- changes ---- */

static void xhci_memory_changed(void *opaque)
{
	xhci_look_again(opaque);
}

static void xhci_vectors_changed(void *opaque)
{
	struct xhci_function *function = opaque;

	function->bus->ops->lower(function->bus, 0);
	xhci_interrupt_again(function);
}

/* There is nothing that a driver has read. */
static void xhci_config_changed(void *opaque)
{
}

/* ---- the device ---- */

static const char *const violations[] = {
	[XHCI_VIOLATION_DOORBELL] = "doorbell",
	[XHCI_VIOLATION_EVENT_RING] = "event-ring",
	[XHCI_VIOLATION_RING_MEMORY] = "ring-memory",
	[XHCI_VIOLATION_RING_LINKS] = "ring-links",
	NULL,
};

/* The numbers of the controller that QEMU has, which drivers know to need no workarounds. */
const struct register_model_ops usb_input_model = {
	.name = "xhci",
	.identity = { .vendor = 0x1b36,
		      .device = 0x000d,
		      .subsystem_vendor = 0x1af4,
		      .subsystem = 0x1100,
		      .revision = 1,
		      .class_code = 0x0c0330 },
	.bars[0] = { REGISTER_BAR_MEMORY_64, XHCI_BAR_BYTES },
	.vectors = 1,
	.msix_bar = 0,
	.msix_table_offset = XHCI_MSIX_TABLE,
	.msix_pending_offset = XHCI_MSIX_PBA,
	.violations = violations,
	.power_on = xhci_power_on,
	.power_off = xhci_power_off,
	.read = xhci_read,
	.write = xhci_write,
	.memory_changed = xhci_memory_changed,
	.vectors_changed = xhci_vectors_changed,
	.quiesce = xhci_quiesce,
	.resume = xhci_resume,
	.freeze = xhci_freeze,
	.reset = xhci_reset,
	.leave = xhci_leave,
	.arrive = xhci_arrive,
	.config_changed = xhci_config_changed,
	.save = xhci_save,
	.restore = xhci_restore,
};
