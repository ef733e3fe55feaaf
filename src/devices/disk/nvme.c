/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The function: power, quiet and memory; and the device behind it. */
#include "devices/disk/nvme.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/disk/nvme_private.h"

/* ---- rest ---- */

/* What was answered has been told of, too. */
static bool is_at_rest(const struct nvme_function *function)
{
	return function->home.under_way == 0 && function->errands == 0 &&
	       !function->home.interrupt_task.queued && nvme_lanes_asleep(function) &&
	       !function->admin_waits && !function->memory_stale;
}

static bool waits_for_rest(const struct nvme_function *function)
{
	return function->disabling || function->shutting_down || function->quiescing;
}

/* While it waits for rest, the guest's own limits do not hold the disk up. */
void nvme_drain(struct nvme_function *function)
{
	if (function->home.channel)
		disk_channel_drain(function->home.channel, waits_for_rest(function));
}

/* Commands that wait for events wait on: only what is at the disk is under way. */
void nvme_check_quiet(struct nvme_function *function)
{
	void (*quiet)(void *context);

	if (!waits_for_rest(function))
		return;
	/* A frozen one cannot flush, and shuts down when it goes on. */
	if (is_at_rest(function) && (function->disabling || (function->shutting_down && !function->frozen)))
		nvme_controller_rested(function);
	quiet = function->quiet;
	if (!is_at_rest(function) || !function->quiescing || !quiet)
		return;
	function->quiet = NULL;
	quiet(function->quiet_context);
}

static void nvme_quiesce(void *opaque, void (*quiet)(void *context), void *context)
{
	struct nvme_function *function = opaque;

	assert(!function->quiescing);
	function->quiescing = true;
	function->quiet = quiet;
	function->quiet_context = context;
	nvme_drain(function);
	nvme_lanes_steer(function);
	nvme_check_quiet(function);
}

void nvme_channel_renew(struct nvme_function *function)
{
	struct disk_channel *channel;

	if (!function->home.abandoned)
		return;
	if (function->home.under_way > 0 ||
	    disk_channel_open(function->device->disk, function->bus->loop, &channel)) {
		function->csts |= NVME_CSTS_FATAL;
		return;
	}
	disk_channel_close(function->home.channel);
	function->home.channel = channel;
	function->home.abandoned = false;
}

static void nvme_resume(void *opaque)
{
	struct nvme_function *function = opaque;

	assert(function->quiescing && !function->quiet);
	function->quiescing = function->frozen = false;
	nvme_channel_renew(function);
	nvme_drain(function);
	nvme_queues_map(function);
	nvme_lanes_answer_kept(function);
	nvme_events_tell(function);
	/* One that was due may not have been told of. */
	nvme_interrupts_again(function);
	nvme_lanes_steer(function);
	/* A controller that ends may have waited for this. */
	nvme_check_quiet(function);
}

/* What the disk has not begun would touch the guest's memory: it ends, and the driver tries it again. */
static void nvme_freeze(void *opaque)
{
	struct nvme_function *function = opaque;

	function->frozen = function->home.abandoned = true;
	nvme_admin_give_back(function);
	nvme_lanes_steer(function);
	disk_channel_abandon(function->home.channel);
}

static void nvme_reset(void *opaque)
{
	struct nvme_function *function = opaque;

	assert(function->quiescing && is_at_rest(function));
	nvme_registers_reset(function);
	nvme_resume(function);
}

/* ---- power ---- */

static void channel_close(struct nvme_function *function)
{
	struct nvme_lane *home = &function->home;

	loop_poller_remove(home->loop, &home->poller);
	loop_defer_cancel(home->loop, &home->interrupt_task);
	disk_channel_close(home->channel);
	home->channel = NULL;
	home->abandoned = false;
}

static int nvme_power_on(void *opaque, struct register_bus *bus, void **ret_function)
{
	struct nvme_device *device = opaque;
	struct nvme_function *function = calloc(1, sizeof(*function));

	if (!function)
		return -ENOMEM;
	function->device = device;
	function->bus = bus;
	if (nvme_lanes_init(function)) {
		free(function);
		return -ENOMEM;
	}
	function->memory = guest_memory_get(bus->memory);
	function->block_shift = (unsigned)__builtin_ctz(disk_block_bytes(device->disk));
	nvme_features_reset(function);
	function->quiescing = true;
	*ret_function = function;
	return 0;
}

static void nvme_power_off(void *opaque)
{
	struct nvme_function *function = opaque;

	assert(is_at_rest(function));
	if (function->home.channel)
		channel_close(function);
	nvme_lanes_finish(function);
	guest_memory_put(function->memory);
	free(function);
}

static void nvme_leave(void *opaque)
{
	struct nvme_function *function = opaque;

	assert(function->quiescing && is_at_rest(function));
	channel_close(function);
}

static int nvme_arrive(void *opaque)
{
	struct nvme_function *function = opaque;
	struct nvme_lane *home = &function->home;
	int error = nvme_lanes_arrive(function);

	if (!error)
		error = disk_channel_open(function->device->disk, home->loop, &home->channel);
	if (error)
		return error;
	home->poller = (struct loop_poller){ .poll = nvme_poll, .park = nvme_park, .account = home->account };
	return 0;
}

/* ---- changes ---- */

static void nvme_memory_changed(void *opaque)
{
	struct nvme_function *function = opaque;

	function->memory_stale = true;
	nvme_lanes_steer(function);
	/* The set before is the function's, too, until then. */
	if (!function->memory_stale)
		return;
	function->answers_later++;
	function->bus->ops->answer_later(function->bus);
}

static void nvme_vectors_changed(void *opaque)
{
	nvme_interrupts_again(opaque);
	nvme_lanes_deal_again(opaque);
}

static void nvme_config_changed(void *opaque)
{
	struct nvme_function *function = opaque;

	function->namespace_changed = true;
	if (function->features.async_events & NVME_NOTICE_NAMESPACE)
		nvme_event(function, NVME_EVENT_NAMESPACE);
}

/* ---- the device ---- */

static unsigned nvme_queue_count(void *opaque)
{
	const struct nvme_device *device = opaque;

	return device->queues;
}

int nvme_create(const struct nvme_options *options, struct nvme_device **ret_device)
{
	struct nvme_device *device = calloc(1, sizeof(*device));
	const char *serial = options->serial ? options->serial : disk_name(options->disk);
	unsigned queues = options->queues ? options->queues : 1;

	if (!device)
		return -ENOMEM;
	device->disk = options->disk;
	device->queues = queues < NVME_QUEUES_MAX ? queues : NVME_QUEUES_MAX - 1;
	/* ASCII, with spaces behind it (1.5). */
	memset(device->serial, ' ', sizeof(device->serial));
	memcpy(device->serial, serial, strnlen(serial, sizeof(device->serial)));
	*ret_device = device;
	return 0;
}

void nvme_destroy(struct nvme_device *device)
{
	free(device);
}

static const char *const violations[] = {
	[NVME_VIOLATION_DOORBELL] = "doorbell-register",
	[NVME_VIOLATION_DOORBELL_VALUE] = "doorbell-value",
	[NVME_VIOLATION_ENABLE] = "enable",
	[NVME_VIOLATION_QUEUE_MEMORY] = "queue-memory",
	NULL,
};

/*
 * The numbers of the device that QEMU's own controller has (Red Hat's vendor number): drivers and guests'
 * tools know it. Windows wants a BAR of 16 KiB at least.
 */
const struct register_model_ops nvme_model = {
	.name = "nvme",
	.identity = { .vendor = 0x1b36,
		      .device = 0x0010,
		      .subsystem_vendor = 0x1af4,
		      .subsystem = 0x1100,
		      .revision = 2,
		      .class_code = 0x010802 },
	.bars[0] = { REGISTER_BAR_MEMORY_64, 0x4000 },
	.vectors = NVME_QUEUES_MAX,
	.msix_bar = 0,
	.msix_table_offset = 0x2000,
	.msix_pending_offset = 0x3000,
	.runs_errands = true,
	.violations = violations,
	.power_on = nvme_power_on,
	.power_off = nvme_power_off,
	.read = nvme_read,
	.write = nvme_write,
	.queues = nvme_queue_count,
	.lane_freeze = nvme_lane_freeze,
	.memory_changed = nvme_memory_changed,
	.vectors_changed = nvme_vectors_changed,
	.quiesce = nvme_quiesce,
	.resume = nvme_resume,
	.freeze = nvme_freeze,
	.reset = nvme_reset,
	.leave = nvme_leave,
	.arrive = nvme_arrive,
	.config_changed = nvme_config_changed,
	.save = nvme_save,
	.restore = nvme_restore,
};
