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
static bool find_format(uint32_t format, struct gpu_resource *resource)
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
		if (formats[i].name != format)
			continue;
		resource->format_name = format;
		resource->format = formats[i].format;
		resource->has_alpha = PIXMAN_FORMAT_A(formats[i].format) > 0;
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
	if (resource->image)
		pixman_image_unref(resource->image);
	gpu_pixels_put(resource->pixels);
	free(resource);
}

static bool make_pixels(struct virtio_gpu *device, struct gpu_resource *resource)
{
	size_t stride_bytes = gpu_stride_bytes(resource);

	resource->pixels = gpu_pixels_create(device->budget, stride_bytes * resource->height);
	if (!resource->pixels)
		return false;
	resource->image = pixman_image_create_bits_no_clear(
		PIXMAN_a8r8g8b8, (int)resource->width, (int)resource->height, gpu_pixels_at(resource->pixels),
		(int)stride_bytes);
	return resource->image != NULL;
}

static bool side_is_valid(uint32_t side)
{
	return side > 0 && side <= VIRTIO_GPU_SIDE_MAX;
}

uint32_t gpu_resource_create(struct virtio_gpu *device, const struct virtio_gpu_create_2d *request)
{
	struct gpu_resource wanted = { .id = request->resource_id,
				       .width = request->width,
				       .height = request->height };
	struct gpu_resource *resource;

	if (request->resource_id == 0 || gpu_resource_find(device, request->resource_id))
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (!side_is_valid(request->width) || !side_is_valid(request->height) ||
	    !find_format(request->format, &wanted))
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	if (device->resource_count == device->resources_max)
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	resource = malloc(sizeof(*resource));
	if (!resource)
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	*resource = wanted;
	if (!make_pixels(device, resource)) {
		release(device, resource);
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	}
	insert(device, resource);
	return VIRTIO_GPU_RESP_OK_NODATA;
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

static bool read_batch(struct gpu_queue *queue, unsigned count)
{
	struct virtio_gpu_entry entries[ENTRIES_BATCH];
	size_t from = sizeof(queue->request.attach) + (size_t)queue->entries_read * sizeof(entries[0]);

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

static uint32_t check_attach(const struct gpu_queue *queue, const struct gpu_resource *resource)
{
	const struct virtio_gpu_attach *request = &queue->request.attach;

	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (resource->backing)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	if (request->entry_count == 0 || request->entry_count > VIRTIO_GPU_ENTRIES_MAX ||
	    request->entry_count * sizeof(struct virtio_gpu_entry) > queue->request_bytes - sizeof(*request))
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_attach(struct gpu_queue *queue)
{
	const struct virtio_gpu_attach *request = &queue->request.attach;
	struct gpu_resource *resource = gpu_resource_find(queue->device, request->resource_id);
	uint32_t answer = check_attach(queue, resource);

	if (answer != VIRTIO_GPU_RESP_OK_NODATA)
		return answer;
	if (!queue->attached)
		queue->attached = gpu_backing_reserve(queue->device, request->entry_count);
	if (!queue->attached)
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	while (queue->entries_read < request->entry_count) {
		unsigned left = request->entry_count - queue->entries_read;

		if (!read_batch(queue, left < ENTRIES_BATCH ? left : ENTRIES_BATCH)) {
			gpu_attach_cancel(queue);
			return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
		}
		if (queue->entries_read < request->entry_count && gpu_turn_over(queue))
			return GPU_LATER;
	}
	resource->backing = queue->attached;
	queue->attached = NULL;
	gpu_attach_cancel(queue);
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
