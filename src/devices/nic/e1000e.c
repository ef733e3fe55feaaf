/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The function: power, quiet and memory; and the device behind it. Nothing of it is ever in flight: a frame
 * is done with when the switch has taken it, or when it lies in the driver's buffers.
 */
#include "devices/nic/e1000e.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/container.h"
#include "core/loop_blame.h"
#include "devices/nic/e1000e_private.h"

/* ---- the poller ---- */

static bool can_receive(const struct e1000e_function *function)
{
	return function->waits_buffer && function->looks && !e1000e_is_still(function);
}

/* Perhaps there are buffers for frames that wait: one look for each time that there is a reason to. */
static bool receive(struct e1000e_function *function)
{
	if (!can_receive(function))
		return false;
	function->waits_buffer = function->looks = false;
	port_sink_resume(function->sink);
	return !function->waits_buffer;
}

static bool poll(struct loop_poller *poller)
{
	struct e1000e_function *function = container_of(poller, struct e1000e_function, poller);
	bool received = receive(function);

	return e1000e_transmit(function) || received;
}

static bool park(struct loop_poller *poller)
{
	return !e1000e_can_transmit(container_of(poller, struct e1000e_function, poller));
}

void e1000e_wake(struct e1000e_function *function)
{
	function->looks = true;
	if (can_receive(function) || e1000e_can_transmit(function))
		loop_poller_wake(function->bus->loop, &function->poller);
}

/* ---- rest ---- */

static void e1000e_quiesce(void *opaque, void (*quiet)(void *context), void *context)
{
	struct e1000e_function *function = opaque;

	assert(!function->quiescing);
	function->quiescing = true;
	e1000e_interrupts_stop(function);
	quiet(context);
}

static void e1000e_resume(void *opaque)
{
	struct e1000e_function *function = opaque;

	assert(function->quiescing);
	function->quiescing = function->frozen = false;
	e1000e_link_check(function);
	/* One that was due may not have been told of. */
	e1000e_interrupts_again(function);
	memset(function->waits_tail, 0, sizeof(function->waits_tail));
	e1000e_wake(function);
}

static void e1000e_freeze(void *opaque)
{
	struct e1000e_function *function = opaque;

	function->frozen = true;
}

static void e1000e_reset(void *opaque)
{
	struct e1000e_function *function = opaque;

	assert(function->quiescing);
	e1000e_phy_reset(function);
	function->link = port_link(function->device->port);
	e1000e_registers_reset(function);
	e1000e_resume(function);
}

/* ---- power ---- */

static int e1000e_power_on(void *opaque, struct register_bus *bus, void **ret_function)
{
	struct e1000e_function *function = calloc(1, sizeof(*function));

	if (!function)
		return -ENOMEM;
	function->device = opaque;
	function->bus = bus;
	function->quiescing = true;
	function->interrupt_task.run = e1000e_interrupt;
	function->interrupt_timer.expired = e1000e_interrupt_later;
	function->sender.resume = e1000e_sender_resume;
	function->receiver.deliver = e1000e_deliver;
	e1000e_nvm_init(function);
	e1000e_phy_reset(function);
	function->link = port_link(function->device->port);
	e1000e_registers_init(function);
	*ret_function = function;
	return 0;
}

static void e1000e_leave(void *opaque)
{
	struct e1000e_function *function = opaque;

	assert(function->quiescing);
	loop_poller_remove(function->bus->loop, &function->poller);
	e1000e_interrupts_stop(function);
	port_source_close(function->source);
	port_sink_close(function->sink);
	function->source = NULL;
	function->sink = NULL;
	function->waits_turn = function->waits_buffer = false;
}

static void e1000e_power_off(void *opaque)
{
	struct e1000e_function *function = opaque;

	if (function->source)
		e1000e_leave(function);
	free(function);
}

static int e1000e_arrive(void *opaque)
{
	/* What is left to do for a checksum is done while the frame is copied. */
	static const struct frame_abilities takes = { .csum = 1 };
	struct e1000e_function *function = opaque;
	struct port *port = function->device->port;
	struct loop *loop = function->bus->loop;
	int error = port_source_open(port, loop, &function->sender, &function->source);

	if (error)
		return error;
	function->held = loop_blame_flag(loop);
	function->poller = (struct loop_poller){
		.poll = poll,
		.park = park,
		.account = function->bus->account,
	};
	error = port_sink_open(port, loop, &function->receiver, &takes, &function->sink);
	if (error) {
		port_source_close(function->source);
		function->source = NULL;
	}
	return error;
}

/* ---- changes ---- */

static void e1000e_memory_changed(void *opaque)
{
	struct e1000e_function *function = opaque;

	/* It may be what a frame has waited for. */
	memset(function->waits_tail, 0, sizeof(function->waits_tail));
	if (!e1000e_is_still(function))
		e1000e_wake(function);
}

static void e1000e_vectors_changed(void *opaque)
{
	e1000e_interrupts_again(opaque);
}

static void e1000e_config_changed(void *opaque)
{
	e1000e_link_check(opaque);
}

/* ---- the device ---- */

int e1000e_create(const struct e1000e_options *options, struct e1000e_device **ret_device)
{
	struct e1000e_device *device = calloc(1, sizeof(*device));

	if (!device)
		return -ENOMEM;
	device->port = options->port;
	*ret_device = device;
	return 0;
}

void e1000e_destroy(struct e1000e_device *device)
{
	free(device);
}

static const char *const violations[] = {
	[E1000E_VIOLATION_RING] = "ring-register",
	[E1000E_VIOLATION_RING_MEMORY] = "ring-memory",
	[E1000E_VIOLATION_DESCRIPTOR] = "transmit-descriptor",
	[E1000E_VIOLATION_TRANSMIT_BUFFER] = "transmit-buffer",
	[E1000E_VIOLATION_OFFLOAD] = "transmit-offload",
	[E1000E_VIOLATION_RECEIVE_BUFFER] = "receive-buffer",
	NULL,
};

/*
 * The numbers of Intel's Gigabit CT Desktop Adapter. There is no flash, whose BAR would be the second: no
 * driver needs it.
 */
const struct register_model_ops e1000e_model = {
	.name = "e1000e",
	.identity = { .vendor = 0x8086,
		      .device = 0x10d3,
		      .subsystem_vendor = 0x8086,
		      .subsystem = 0xa01f,
		      .class_code = 0x020000 },
	.bars[0] = { REGISTER_BAR_MEMORY_32, E1000E_REGISTER_BYTES },
	.bars[2] = { REGISTER_BAR_IO, E1000E_IO_BYTES },
	.bars[3] = { REGISTER_BAR_MEMORY_32, E1000E_MSIX_BYTES },
	.vectors = E1000E_VECTORS,
	.msix_bar = 3,
	.msix_table_offset = 0,
	.msix_pending_offset = 0x2000,
	.violations = violations,
	.power_on = e1000e_power_on,
	.power_off = e1000e_power_off,
	.arrive = e1000e_arrive,
	.leave = e1000e_leave,
	.read = e1000e_read,
	.write = e1000e_write,
	.memory_changed = e1000e_memory_changed,
	.vectors_changed = e1000e_vectors_changed,
	.quiesce = e1000e_quiesce,
	.resume = e1000e_resume,
	.freeze = e1000e_freeze,
	.reset = e1000e_reset,
	.config_changed = e1000e_config_changed,
	.save = e1000e_save,
	.restore = e1000e_restore,
};
