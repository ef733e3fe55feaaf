/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each scanout shows, and the window that it has. */
#include <errno.h>
#include <string.h>

#include "devices/display/virtio_gpu_private.h"

/* ---- the windows ---- */

struct window {
	unsigned width, height;
	bool enabled;
};

/* The control thread may change it meanwhile: it is read as a whole. */
static struct window window_of(const struct gpu_scanout *scanout)
{
	uint64_t shape = __atomic_load_n(&scanout->shape, __ATOMIC_RELAXED);

	return (struct window){ shape & 0xffff, shape >> 16 & 0xffff, shape >> 32 & 1 };
}

int virtio_gpu_set_size(struct virtio_gpu *device, unsigned scanout, unsigned width, unsigned height,
			bool enabled)
{
	uint64_t shape = (uint64_t)enabled << 32 | height << 16 | width;

	if (scanout >= device->scanouts || width == 0 || width > VIRTIO_GPU_SIDE_MAX || height == 0 ||
	    height > VIRTIO_GPU_SIDE_MAX)
		return -EINVAL;
	if (shape == __atomic_load_n(&device->scanout[scanout].shape, __ATOMIC_RELAXED))
		return 0;
	__atomic_store_n(&device->scanout[scanout].shape, shape, __ATOMIC_RELAXED);
	__atomic_fetch_or(&device->events, VIRTIO_GPU_EVENT_DISPLAY, __ATOMIC_RELAXED);
	return 0;
}

/* Side by side, in the order of their numbers. */
uint32_t gpu_get_display_info(struct gpu_queue *queue)
{
	const struct virtio_gpu *device = queue->device;
	struct virtio_gpu_display_info *info = &queue->answer.display_info;
	uint32_t x = 0;

	memset(info->mode, 0, sizeof(info->mode));
	for (unsigned i = 0; i < device->scanouts; i++) {
		struct window window = window_of(&device->scanout[i]);

		info->mode[i].rect = (struct virtio_gpu_rect){ x, 0, window.width, window.height };
		info->mode[i].enabled = window.enabled;
		x += window.enabled ? window.width : 0;
	}
	queue->answer_bytes = sizeof(*info);
	return VIRTIO_GPU_RESP_OK_DISPLAY_INFO;
}

/* Also of a scanout that is disabled: some drivers ask all before they look which are enabled. */
uint32_t gpu_get_edid(struct gpu_queue *queue)
{
	const struct virtio_gpu *device = queue->device;
	struct virtio_gpu_edid *edid = &queue->answer.edid;
	uint32_t number = queue->request.get_edid.scanout_id;
	struct window window;

	if (number >= device->scanouts)
		return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
	window = window_of(&device->scanout[number]);
	memset(edid->edid, 0, sizeof(edid->edid));
	edid->padding = 0;
	edid->size_bytes = (uint32_t)display_edid_make(
		&(struct display_monitor){ window.width, window.height, number, device->serial }, edid->edid);
	queue->answer_bytes = sizeof(*edid);
	return VIRTIO_GPU_RESP_OK_EDID;
}

/* ---- what is shown ---- */

void gpu_scanout_set(struct virtio_gpu *device, unsigned number, struct gpu_resource *resource,
		     struct virtio_gpu_picture *picture)
{
	struct gpu_scanout *scanout = &device->scanout[number];

	if (scanout->resource)
		scanout->resource->scanouts &= ~(1u << number);
	if (resource)
		resource->scanouts |= 1u << number;
	scanout->resource = resource;
	device->output->show(device->context, number, picture);
	virtio_gpu_picture_put(scanout->picture);
	scanout->picture = picture;
	gpu_canvas_drop(&scanout->canvas);
}

void gpu_scanouts_darken(struct virtio_gpu *device, uint32_t mask)
{
	for (unsigned i = 0; i < device->scanouts; i++)
		if (mask & 1u << i && device->scanout[i].resource)
			gpu_scanout_set(device, i, NULL, NULL);
}

static bool shows_that(const struct gpu_scanout *scanout, const struct gpu_resource *resource,
		       const struct virtio_gpu_rect *rect)
{
	return scanout->resource == resource && memcmp(&scanout->rect, rect, sizeof(*rect)) == 0;
}

uint32_t gpu_scanout_show(struct virtio_gpu *device, unsigned number, struct gpu_resource *resource,
			  const struct virtio_gpu_rect *rect)
{
	struct virtio_gpu_picture *picture;

	if (rect->width == 0 || rect->height == 0 ||
	    !gpu_rect_inside(rect, resource->width, resource->height))
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	if (shows_that(&device->scanout[number], resource, rect))
		return VIRTIO_GPU_RESP_OK_NODATA;
	picture = gpu_picture_create(resource->canvas.pixels, gpu_stride_bytes(resource), rect);
	if (!picture)
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	device->scanout[number].rect = *rect;
	gpu_scanout_set(device, number, resource, picture);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_set_scanout(struct gpu_queue *queue)
{
	const struct virtio_gpu_set_scanout *request = &queue->request.set_scanout;
	struct virtio_gpu *device = queue->device;
	struct gpu_resource *resource;

	if (request->scanout_id >= device->scanouts)
		return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
	if (request->resource_id == 0) {
		gpu_scanouts_darken(device, 1u << request->scanout_id);
		return VIRTIO_GPU_RESP_OK_NODATA;
	}
	resource = gpu_resource_find(device, request->resource_id);
	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	/* A blob has no size by itself. */
	if (resource->blob_bytes)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	return gpu_scanout_show(device, request->scanout_id, resource, &request->rect);
}

/* ---- flush ---- */

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

bool gpu_rect_intersect(const struct virtio_gpu_rect *rect, const struct virtio_gpu_rect *in,
			struct virtio_gpu_rect *ret_common)
{
	uint32_t left = larger(rect->x, in->x), right = smaller(rect->x + rect->width, in->x + in->width),
		 top = larger(rect->y, in->y), bottom = smaller(rect->y + rect->height, in->y + in->height);

	if (left >= right || top >= bottom)
		return false;
	*ret_common = (struct virtio_gpu_rect){ left - in->x, top - in->y, right - left, bottom - top };
	return true;
}

uint32_t gpu_flush(struct gpu_queue *queue)
{
	const struct virtio_gpu_flush *request = &queue->request.flush;
	struct virtio_gpu *device = queue->device;
	struct gpu_resource *resource = gpu_resource_find(device, request->resource_id);

	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (!gpu_rect_inside(&request->rect, resource->width, resource->height))
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	if (resource->blob_bytes)
		return gpu_flush_blob(queue, resource);
	for (uint32_t left = resource->scanouts; left != 0; left &= left - 1) {
		unsigned number = (unsigned)__builtin_ctz(left);
		struct virtio_gpu_rect common;

		if (gpu_rect_intersect(&request->rect, &device->scanout[number].rect, &common))
			device->output->damage(device->context, number, &common);
	}
	return VIRTIO_GPU_RESP_OK_NODATA;
}
