/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The display's life, its queues' and its configuration space. */
#include "devices/display/virtio_gpu.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop_blame.h"
#include "devices/display/virtio_gpu_private.h"

#define QUEUES	     2u /* commands, and those of the cursor */
#define CURSOR_QUEUE 1u
/* Of a scanout before anything else is said. */
#define FIRST_WIDTH  1024u
#define FIRST_HEIGHT 768u

/* ---- the driver is gone ---- */

void gpu_forget_all(struct virtio_gpu *device)
{
	gpu_cursors_hide(device);
	gpu_scanouts_darken(device, UINT32_MAX);
	gpu_resources_drop(device);
	assert(device->entries == 0);
}

/* ---- queues ---- */

static void free_queue(struct gpu_queue *queue)
{
	free(queue->chunk);
	free(queue);
}

static int gpu_queue_start(void *opaque, const struct virtio_queue_setup *setup, void **ret_queue)
{
	struct virtio_gpu *device = opaque;
	struct gpu_queue *queue;

	/* They share the resources. */
	if (device->queues > 0 && device->loop != setup->loop)
		return -EBUSY;
	queue = calloc(1, sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	queue->device = device;
	queue->ring = setup->queue;
	queue->loop = setup->loop;
	queue->held = loop_blame_flag(setup->loop);
	queue->is_cursor = setup->index == CURSOR_QUEUE;
	queue->chunk = malloc(queue->is_cursor ? CURSOR_BYTES : CHUNK_BYTES);
	if (!queue->chunk) {
		free_queue(queue);
		return -ENOMEM;
	}
	/* The cursor's queue may run already. */
	if (setup->anew && !queue->is_cursor)
		gpu_forget_all(device);
	device->loop = setup->loop;
	device->queues++;
	*ret_queue = queue;
	return 0;
}

static void gpu_queue_stop(void *opaque)
{
	struct gpu_queue *queue = opaque;

	assert(!queue->chain && !queue->attached && !queue->canvas.pixels && queue->device->queues > 0);
	queue->device->queues--;
	free_queue(queue);
}

/* The next driver asks for the windows' sizes when it begins. */
static void gpu_reset(void *opaque)
{
	struct virtio_gpu *device = opaque;

	assert(device->queues == 0);
	gpu_forget_all(device);
	__atomic_store_n(&device->events, 0, __ATOMIC_RELAXED);
	device->output->absent(device->context);
}

/* ---- configuration ---- */

static uint64_t gpu_features(void *opaque)
{
	return 1ull << VIRTIO_GPU_F_EDID | 1ull << VIRTIO_GPU_F_RESOURCE_BLOB;
}

static unsigned gpu_queue_count(void *opaque)
{
	return QUEUES;
}

static size_t gpu_config_size(void *opaque)
{
	return sizeof(struct virtio_gpu_config);
}

static void gpu_config_read(void *opaque, size_t offset, void *buffer, size_t bytes)
{
	const struct virtio_gpu *device = opaque;
	struct virtio_gpu_config config = {
		.events_read = __atomic_load_n(&device->events, __ATOMIC_RELAXED),
		.num_scanouts = device->scanouts,
	};

	assert(offset <= sizeof(config) && bytes <= sizeof(config) - offset);
	memcpy(buffer, (const uint8_t *)&config + offset, bytes);
}

/* Some front ends write all of it, whatever the driver wrote: what is not the driver's to set is ignored. */
static int gpu_config_write(void *opaque, uint64_t features, size_t offset, const void *buffer, size_t bytes)
{
	struct virtio_gpu *device = opaque;
	struct virtio_gpu_config config = { 0 };

	assert(offset <= sizeof(config) && bytes <= sizeof(config) - offset);
	memcpy((uint8_t *)&config + offset, buffer, bytes);
	__atomic_fetch_and(&device->events, ~config.events_clear, __ATOMIC_RELAXED);
	return 0;
}

static int gpu_message(void *opaque, enum virtio_model_message message, uint64_t number, int *fd)
{
	const struct virtio_gpu *device = opaque;

	if (message != VIRTIO_MODEL_DISPLAY_SOCKET || !device->output->front_end_socket)
		return -EOPNOTSUPP;
	device->output->front_end_socket(device->context, *fd);
	*fd = -1;
	return 0;
}

/*
 * Not repeatable: resources do not survive the process, and commands are answered in their order, so that the
 * used index says all there is to say of what is in flight.
 */
const struct virtio_model_ops virtio_gpu_model = {
	.name = "virtio-gpu",
	.virtio_id = 16,
	.outlives_status = true,
	.features = gpu_features,
	.queue_count = gpu_queue_count,
	.config_size = gpu_config_size,
	.config_read = gpu_config_read,
	.config_write = gpu_config_write,
	.reset = gpu_reset,
	.queue_start = gpu_queue_start,
	.queue_stop = gpu_queue_stop,
	.queue_drain = gpu_queue_drain,
	.queue_abandon = gpu_queue_abandon,
	.ready = gpu_ready,
	.messages = 1u << VIRTIO_MODEL_DISPLAY_SOCKET,
	.message = gpu_message,
};

/* ---- life ---- */

static void set_limits(struct virtio_gpu *device, const struct virtio_gpu_options *options)
{
	uint64_t bytes = options->pixel_bytes_max ? options->pixel_bytes_max : VIRTIO_GPU_PIXEL_BYTES_MAX;

	device->resources_max = options->resources_max ? options->resources_max : VIRTIO_GPU_RESOURCES_MAX;
	device->entries_max =
		options->all_entries_max ? options->all_entries_max : VIRTIO_GPU_ALL_ENTRIES_MAX;
	device->resources = calloc(device->resources_max, sizeof(struct gpu_resource *));
	device->budget = gpu_budget_create(bytes);
}

int virtio_gpu_create(const struct virtio_gpu_options *options, struct virtio_gpu **ret_device)
{
	struct virtio_gpu *device;

	if (options->scanouts == 0 || options->scanouts > VIRTIO_GPU_SCANOUTS_MAX)
		return -EINVAL;
	device = calloc(1, sizeof(*device) + options->scanouts * sizeof(device->scanout[0]));
	if (!device)
		return -ENOMEM;
	device->scanouts = options->scanouts;
	device->output = options->output;
	device->context = options->context;
	snprintf(device->serial, sizeof(device->serial), "%s", options->serial ? options->serial : "0");
	set_limits(device, options);
	if (!device->resources || !device->budget) {
		virtio_gpu_destroy(device);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < device->scanouts; i++)
		virtio_gpu_set_size(device, i, FIRST_WIDTH, FIRST_HEIGHT, i == 0);
	device->events = 0;
	*ret_device = device;
	return 0;
}

void virtio_gpu_destroy(struct virtio_gpu *device)
{
	if (!device)
		return;
	assert(device->queues == 0);
	gpu_forget_all(device);
	gpu_budget_put(device->budget);
	free(device->resources);
	free(device);
}
