/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Resources by id, and the pieces of guest memory that back them (virtio 1.2, 5.7.6.8). */
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/iov.h"
#include "devices/display/virtio_gpu_private.h"

/* Entries that are read before the time is asked: 16 KiB. */
#define ENTRIES_BATCH 1024u

/* ---- by id ---- */

/* Where the id is, or belongs. */
static unsigned place_of(const struct virtio_gpu *device, uint32_t id)
{
	unsigned low = 0, high = device->resource_count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (device->resources[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct gpu_resource *gpu_resource_find(const struct virtio_gpu *device, uint32_t id)
{
	unsigned place = place_of(device, id);

	if (place == device->resource_count || device->resources[place]->id != id)
		return NULL;
	return device->resources[place];
}

static void insert(struct virtio_gpu *device, struct gpu_resource *resource)
{
	unsigned place = place_of(device, resource->id);
	struct gpu_resource **at = device->resources + place;

	memmove(at + 1, at, (device->resource_count - place) * sizeof(struct gpu_resource *));
	*at = resource;
	device->resource_count++;
}

static void take_out(struct virtio_gpu *device, const struct gpu_resource *resource)
{
	unsigned place = place_of(device, resource->id);
	struct gpu_resource **at = device->resources + place;

	device->resource_count--;
	memmove(at, at + 1, (device->resource_count - place) * sizeof(struct gpu_resource *));
}

/* ---- life ---- */

/* What pixman calls a format is the bits of a number, which the host stores with its lowest byte first. */
bool gpu_find_format(uint32_t format_name, pixman_format_code_t *ret_format)
{
	static const struct {
		enum virtio_gpu_format name;
		pixman_format_code_t format;
	} formats[] = {
		{ VIRTIO_GPU_FORMAT_B8G8R8A8, PIXMAN_a8r8g8b8 },
		{ VIRTIO_GPU_FORMAT_B8G8R8X8, PIXMAN_x8r8g8b8 },
		{ VIRTIO_GPU_FORMAT_A8R8G8B8, PIXMAN_b8g8r8a8 },
		{ VIRTIO_GPU_FORMAT_X8R8G8B8, PIXMAN_b8g8r8x8 },
		{ VIRTIO_GPU_FORMAT_R8G8B8A8, PIXMAN_a8b8g8r8 },
		{ VIRTIO_GPU_FORMAT_X8B8G8R8, PIXMAN_r8g8b8x8 },
		{ VIRTIO_GPU_FORMAT_A8B8G8R8, PIXMAN_r8g8b8a8 },
		{ VIRTIO_GPU_FORMAT_R8G8B8X8, PIXMAN_x8b8g8r8 },
	};

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (formats[i].name != format_name)
			continue;
		*ret_format = formats[i].format;
		return true;
	}
	return false;
}

static void release_backing(struct virtio_gpu *device, struct gpu_backing *backing)
{
	if (backing)
		device->entries -= backing->reserved;
	free(backing);
}

/* Pixels that an output still shows stay until it lets go. */
static void release(struct virtio_gpu *device, struct gpu_resource *resource)
{
	release_backing(device, resource->backing);
	gpu_canvas_drop(&resource->canvas);
	free(resource);
}

static bool side_is_valid(uint32_t side)
{
	return side > 0 && side <= VIRTIO_GPU_SIDE_MAX;
}

uint32_t gpu_resource_check_new(const struct virtio_gpu *device, uint32_t id)
{
	if (id == 0 || gpu_resource_find(device, id))
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	return device->resource_count == device->resources_max ? VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY
							       : VIRTIO_GPU_RESP_OK_NODATA;
}

/* What `wanted` says, and with pixels unless it is a blob. */
static uint32_t create(struct virtio_gpu *device, const struct gpu_resource *wanted)
{
	struct gpu_resource *resource = malloc(sizeof(*resource));

	if (!resource)
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	*resource = *wanted;
	if (!wanted->blob_bytes &&
	    !gpu_canvas_create(device->budget, wanted->width, wanted->height, &resource->canvas)) {
		release(device, resource);
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	}
	insert(device, resource);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_resource_create(struct virtio_gpu *device, const struct virtio_gpu_create_2d *request)
{
	struct gpu_resource wanted = { .id = request->resource_id,
				       .width = request->width,
				       .height = request->height,
				       .format_name = request->format };
	uint32_t answer = gpu_resource_check_new(device, wanted.id);

	if (answer == VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID)
		return answer;
	if (!side_is_valid(request->width) || !side_is_valid(request->height) ||
	    !gpu_find_format(request->format, &wanted.format))
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	return answer == VIRTIO_GPU_RESP_OK_NODATA ? create(device, &wanted) : answer;
}

uint32_t gpu_resource_create_blob(struct virtio_gpu *device, uint32_t id, uint64_t bytes)
{
	const struct gpu_resource wanted = {
		.id = id, .width = VIRTIO_GPU_SIDE_MAX, .height = VIRTIO_GPU_SIDE_MAX, .blob_bytes = bytes
	};
	uint32_t answer = gpu_resource_check_new(device, id);

	return answer == VIRTIO_GPU_RESP_OK_NODATA ? create(device, &wanted) : answer;
}

uint32_t gpu_create_2d(struct gpu_queue *queue)
{
	return gpu_resource_create(queue->device, &queue->request.create_2d);
}

uint32_t gpu_unref(struct gpu_queue *queue)
{
	struct virtio_gpu *device = queue->device;
	struct gpu_resource *resource = gpu_resource_find(device, queue->request.name.resource_id);

	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	gpu_scanouts_darken(device, resource->scanouts);
	take_out(device, resource);
	release(device, resource);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

void gpu_resources_drop(struct virtio_gpu *device)
{
	while (device->resource_count > 0)
		release(device, device->resources[--device->resource_count]);
}

/* ---- backing ---- */

struct gpu_backing *gpu_backing_reserve(struct virtio_gpu *device, unsigned entries)
{
	struct gpu_backing *backing;

	if (entries > device->entries_max - device->entries)
		return NULL;
	backing = malloc(sizeof(*backing) + entries * sizeof(backing->piece[0]));
	if (!backing)
		return NULL;
	*backing = (struct gpu_backing){ .reserved = entries };
	device->entries += entries;
	return backing;
}

bool gpu_backing_add(struct gpu_backing *backing, uint64_t gpa, uint64_t bytes)
{
	uint64_t end;

	if (bytes > UINT32_MAX || !checked_add(gpa, bytes, &end))
		return false;
	if (bytes == 0)
		return true;
	/* So many entries of 4 GiB do not add up to 2^64. */
	backing->bytes += bytes;
	backing->piece[backing->count++] = (struct gpu_piece){ gpa, backing->bytes };
	return true;
}

static bool read_batch(struct gpu_queue *queue, uint32_t head_bytes, unsigned count)
{
	struct virtio_gpu_entry entries[ENTRIES_BATCH];
	size_t from = head_bytes + (size_t)queue->entries_read * sizeof(entries[0]);

	iov_copy_out(queue->chain->iov, queue->chain->readable_count, from, entries,
		     count * sizeof(entries[0]));
	for (unsigned i = 0; i < count; i++)
		if (!gpu_backing_add(queue->attached, entries[i].gpa, entries[i].length_bytes))
			return false;
	queue->entries_read += count;
	return true;
}

void gpu_attach_cancel(struct gpu_queue *queue)
{
	release_backing(queue->device, queue->attached);
	queue->attached = NULL;
	queue->entries_read = 0;
}

uint32_t gpu_read_entries(struct gpu_queue *queue, uint32_t head_bytes, uint32_t count)
{
	if (count == 0 || count > VIRTIO_GPU_ENTRIES_MAX ||
	    count * sizeof(struct virtio_gpu_entry) > queue->request_bytes - head_bytes)
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	if (!queue->attached)
		queue->attached = gpu_backing_reserve(queue->device, count);
	if (!queue->attached)
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	while (queue->entries_read < count) {
		unsigned left = count - queue->entries_read;

		if (!read_batch(queue, head_bytes, left < ENTRIES_BATCH ? left : ENTRIES_BATCH)) {
			gpu_attach_cancel(queue);
			return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
		}
		if (queue->entries_read < count && gpu_turn_over(queue))
			return GPU_LATER;
	}
	return VIRTIO_GPU_RESP_OK_NODATA;
}

struct gpu_backing *gpu_take_entries(struct gpu_queue *queue)
{
	struct gpu_backing *backing = queue->attached;

	queue->attached = NULL;
	gpu_attach_cancel(queue);
	return backing;
}

uint32_t gpu_attach(struct gpu_queue *queue)
{
	const struct virtio_gpu_attach *request = &queue->request.attach;
	struct gpu_resource *resource = gpu_resource_find(queue->device, request->resource_id);
	uint32_t answer;

	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (resource->backing)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	answer = gpu_read_entries(queue, sizeof(*request), request->entry_count);
	if (answer == VIRTIO_GPU_RESP_OK_NODATA)
		resource->backing = gpu_take_entries(queue);
	return answer;
}

uint32_t gpu_detach(struct gpu_queue *queue)
{
	struct gpu_resource *resource = gpu_resource_find(queue->device, queue->request.name.resource_id);

	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (!resource->backing)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	release_backing(queue->device, resource->backing);
	resource->backing = NULL;
	return VIRTIO_GPU_RESP_OK_NODATA;
}
