/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cursor queue's commands (virtio 1.2, 5.7.6.10). */
#include <string.h>

#include "devices/display/virtio_gpu_private.h"

void gpu_cursor_tell(const struct virtio_gpu *device, unsigned number)
{
	device->output->cursor(device->context, number, &device->scanout[number].cursor);
}

/* A cursor of a format without alpha is opaque already: that is how it was converted. */
static void take_pixels(struct gpu_scanout *scanout, const void *pixels)
{
	memcpy(scanout->cursor_pixels, pixels, sizeof(scanout->cursor_pixels));
	scanout->cursor.pixels = scanout->cursor_pixels;
}

static uint32_t check(const struct virtio_gpu_update_cursor *request, const struct gpu_resource *resource)
{
	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if ((!resource->blob_bytes && (resource->width != VIRTIO_GPU_CURSOR_SIDE ||
				       resource->height != VIRTIO_GPU_CURSOR_SIDE)) ||
	    request->hot_x >= VIRTIO_GPU_CURSOR_SIDE || request->hot_y >= VIRTIO_GPU_CURSOR_SIDE)
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	return VIRTIO_GPU_RESP_OK_NODATA;
}

/* Resource 0: there is no cursor. */
uint32_t gpu_update_cursor(struct gpu_queue *queue)
{
	const struct virtio_gpu_update_cursor *request = &queue->request.cursor;
	struct virtio_gpu *device = queue->device;
	struct gpu_resource *resource = gpu_resource_find(device, request->resource_id);
	struct gpu_scanout *scanout;
	uint32_t answer = request->resource_id ? check(request, resource) : VIRTIO_GPU_RESP_OK_NODATA;

	if (request->scanout_id >= device->scanouts)
		return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
	if (answer == VIRTIO_GPU_RESP_OK_NODATA && resource && resource->blob_bytes)
		answer = gpu_read_cursor(queue, resource);
	if (answer != VIRTIO_GPU_RESP_OK_NODATA)
		return answer;
	scanout = &device->scanout[request->scanout_id];
	scanout->cursor = (struct virtio_gpu_cursor){ .x = request->x, .y = request->y };
	if (resource) {
		scanout->cursor.hot_x = request->hot_x;
		scanout->cursor.hot_y = request->hot_y;
		take_pixels(scanout, resource->blob_bytes
					     ? (const void *)queue->chunk
					     : gpu_pixels_at(resource->canvas.pixels));
	}
	gpu_cursor_tell(device, request->scanout_id);
	return answer;
}

uint32_t gpu_move_cursor(struct gpu_queue *queue)
{
	const struct virtio_gpu_update_cursor *request = &queue->request.cursor;
	struct virtio_gpu *device = queue->device;
	struct gpu_scanout *scanout;

	if (request->scanout_id >= device->scanouts)
		return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
	scanout = &device->scanout[request->scanout_id];
	scanout->cursor.x = request->x;
	scanout->cursor.y = request->y;
	scanout->cursor.moved_only = true;
	gpu_cursor_tell(device, request->scanout_id);
	return VIRTIO_GPU_RESP_OK_NODATA;
}

void gpu_cursors_hide(struct virtio_gpu *device)
{
	for (unsigned i = 0; i < device->scanouts; i++) {
		bool visible = device->scanout[i].cursor.pixels;

		device->scanout[i].cursor = (struct virtio_gpu_cursor){ 0 };
		if (visible)
			gpu_cursor_tell(device, i);
	}
}
