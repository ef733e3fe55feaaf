/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The function: power, memory, rest; and the device behind it. */
#include "devices/display/bochs_display.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/checked.h"
#include "core/container.h"
#include "core/fd.h"
#include "core/loop_blame.h"
#include "devices/display/bochs_display_private.h"

/*
 * Of the copies: the one that is drawn into, one that the output has, and one that it is about to let go. A
 * driver that changes its mode faster than pictures are shown waits for them.
 */
#define COPIES 3ull

/* ---- the memory ---- */

struct bochs_memory *bochs_memory_create(int fd, size_t size)
{
	struct bochs_memory *memory = calloc(1, sizeof(*memory));
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (memory && bytes != MAP_FAILED) {
		memory->fd = fd;
		memory->bytes = bytes;
		memory->size = size;
		return memory;
	}
	if (bytes != MAP_FAILED)
		munmap(bytes, size);
	free(memory);
	reaper_close(&fd);
	return NULL;
}

static void give_back(struct reaper_job *job)
{
	struct bochs_memory *memory = container_of(job, struct bochs_memory, job);

	munmap(memory->bytes, memory->size);
	fd_close(&memory->fd);
	free(memory);
}

void bochs_memory_drop(struct bochs_memory *memory)
{
	if (!memory)
		return;
	memory->job.run = give_back;
	reaper_give(&memory->job);
}

/* Another seal would keep a successor from mapping it: the VMM can set none. */
static struct bochs_memory *new_memory(size_t size)
{
	int fd = fd_memfd("viaduct-display", size);

	if (fd >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL) < 0)
		fd_close(&fd);
	return fd < 0 ? NULL : bochs_memory_create(fd, size);
}

static int bochs_bar_memory(void *opaque, unsigned bar)
{
	const struct bochs_function *function = opaque;

	assert(bar == BOCHS_BAR_MEMORY);
	return function->memory->fd;
}

/* ---- power ---- */

static int bochs_power_on(void *opaque, struct register_bus *bus, void **ret_function)
{
	struct bochs_display *display = opaque;
	struct bochs_function *function = calloc(1, sizeof(*function));

	if (!function)
		return -ENOMEM;
	function->display = display;
	function->bus = bus;
	function->memory = new_memory(bochs_memory_bytes(display));
	if (!function->memory) {
		free(function);
		return -ENOMEM;
	}
	function->timer.expired = bochs_on_time;
	bochs_registers_reset(function);
	*ret_function = function;
	return 0;
}

static void bochs_power_off(void *opaque)
{
	struct bochs_function *function = opaque;

	bochs_looks_stop(function);
	bochs_picture_forget(function);
	bochs_memory_drop(function->memory);
	free(function);
}

static int bochs_arrive(void *opaque)
{
	struct bochs_function *function = opaque;

	function->held = loop_blame_flag(function->bus->loop);
	function->poller = (struct loop_poller){
		.poll = bochs_poll,
		.park = bochs_park,
		.account = function->bus->account,
	};
	return 0;
}

static void bochs_leave(void *opaque)
{
	bochs_looks_stop(opaque);
}

/* ---- rest: a look can end anywhere ---- */

static void bochs_quiesce(void *opaque, void (*quiet)(void *context), void *context)
{
	bochs_looks_stop(opaque);
	quiet(context);
}

static void bochs_resume(void *opaque)
{
	bochs_looks_start(opaque);
}

/* Its pages may be slow to come, as any memory of the guest's. */
static void bochs_freeze(void *opaque)
{
	bochs_looks_stop(opaque);
}

static void bochs_reset(void *opaque)
{
	struct bochs_function *function = opaque;

	bochs_registers_reset(function);
	bochs_picture_forget(function);
	bochs_looks_start(function);
}

/* ---- changes ---- */

static void bochs_config_changed(void *opaque)
{
	bochs_edid_refresh(opaque);
}

/* It reaches none of the guest's, and has no interrupts. */
static void bochs_memory_changed(void *function)
{
}

static void bochs_vectors_changed(void *function)
{
}

/* ---- the device ---- */

static const char *const violations[] = { [BOCHS_VIOLATION_MODE] = "mode", NULL };

static const struct register_model_ops bochs_model = {
	.name = "bochs-display",
	.identity = { .vendor = 0x1234,
		      .device = 0x1111,
		      .subsystem_vendor = 0x1af4,
		      .subsystem = 0x1100,
		      .revision = 2,
		      .class_code = 0x038000 },
	/* Drivers want 32 bits: firmware maps it below 4 GiB. */
	.bars[BOCHS_BAR_MEMORY] = { REGISTER_BAR_MEMORY_32 },
	.bars[BOCHS_BAR_REGISTERS] = { REGISTER_BAR_MEMORY_32, 0x1000 },
	.vectors = 0,
	.violations = violations,
	.power_on = bochs_power_on,
	.power_off = bochs_power_off,
	.arrive = bochs_arrive,
	.leave = bochs_leave,
	.read = bochs_read,
	.write = bochs_write,
	.bar_memory = bochs_bar_memory,
	.memory_changed = bochs_memory_changed,
	.vectors_changed = bochs_vectors_changed,
	.quiesce = bochs_quiesce,
	.resume = bochs_resume,
	.freeze = bochs_freeze,
	.reset = bochs_reset,
	.config_changed = bochs_config_changed,
	.save = bochs_save,
	.restore = bochs_restore,
};

int bochs_display_set_size(struct bochs_display *display, unsigned width, unsigned height)
{
	if (width == 0 || height == 0 || width > DISPLAY_SIDE_MAX || height > DISPLAY_SIDE_MAX)
		return -EINVAL;
	__atomic_store_n(&display->shape, width | height << 16, __ATOMIC_RELAXED);
	return 0;
}

int bochs_display_create(const struct bochs_display_options *options, struct bochs_display **ret_display)
{
	uint32_t bytes = options->memory_bytes ? options->memory_bytes : BOCHS_MEMORY_BYTES;
	struct bochs_display *display;
	int error;

	if (!is_power_of_two(bytes) || bytes < BOCHS_MEMORY_BYTES_MIN || bytes > BOCHS_MEMORY_BYTES_MAX)
		return -EINVAL;
	display = calloc(1, sizeof(*display));
	if (!display)
		return -ENOMEM;
	display->model = bochs_model;
	display->model.bars[BOCHS_BAR_MEMORY].bytes = bytes;
	display->model.bars[BOCHS_BAR_MEMORY].mapped_bytes = bytes;
	display->output = options->output;
	display->has_shown = options->has_shown;
	display->context = options->context;
	snprintf(display->serial, sizeof(display->serial), "%s", options->serial ? options->serial : "0");
	display->budget = gpu_budget_create(COPIES * bytes);
	error = display->budget ? bochs_display_set_size(display, options->width, options->height) : -ENOMEM;
	if (error) {
		bochs_display_destroy(display);
		return error;
	}
	*ret_display = display;
	return 0;
}

void bochs_display_destroy(struct bochs_display *display)
{
	if (!display)
		return;
	gpu_budget_put(display->budget);
	free(display);
}

const struct register_model_ops *bochs_display_model(const struct bochs_display *display)
{
	return &display->model;
}
