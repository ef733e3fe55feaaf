/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blobs (virtio 1.2, 5.7.6.8): resources that are guest memory, and nothing of ours. A scanout that shows one
 * has a copy of the part that is shown, which is read when SET_SCANOUT_BLOB names it and when it is flushed:
 *
 *    guest memory ──SET_SCANOUT_BLOB, RESOURCE_FLUSH──▶ the scanout's canvas ──show()──▶ output
 *
 * So an output never touches memory that the VMM can take away, and what a guest draws without a flush is
 * not seen. The copies count as pixels of the device. Linux has its pictures and cursors in blobs where they
 * are offered, and saves the transfers.
 */
#include <string.h>

#include "devices/display/virtio_gpu_private.h"

/* ---- resources ---- */

/* The id of a blob is of no use in guest memory, and its flags say what the driver does with it. */
static uint32_t check_new(const struct gpu_queue *queue)
{
	const struct virtio_gpu_create_blob *request = &queue->request.create_blob;
	uint32_t answer = gpu_resource_check_new(queue->device, request->resource_id);

	if (answer != VIRTIO_GPU_RESP_OK_NODATA)
		return answer;
	if (request->memory != VIRTIO_GPU_BLOB_MEM_GUEST || request->flags & ~VIRTIO_GPU_BLOB_FLAGS ||
	    request->size_bytes == 0)
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	return answer;
}

uint32_t gpu_create_blob(struct gpu_queue *queue)
{
	const struct virtio_gpu_create_blob *request = &queue->request.create_blob;
	uint32_t answer = check_new(queue);

	if (answer == VIRTIO_GPU_RESP_OK_NODATA)
		answer = gpu_read_entries(queue, sizeof(*request), request->entry_count);
	if (answer != VIRTIO_GPU_RESP_OK_NODATA)
		return answer;
	/* What is too small for it goes with the command. */
	if (queue->attached->bytes < request->size_bytes)
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	answer = gpu_resource_create_blob(queue->device, request->resource_id, request->size_bytes);
	if (answer == VIRTIO_GPU_RESP_OK_NODATA)
		gpu_resource_find(queue->device, request->resource_id)->backing = gpu_take_entries(queue);
	return answer;
}

/* ---- views ---- */

/* The memory that backs a blob may be gone, or be less than it was made of. */
static bool lies_in(const struct gpu_resource *blob, uint64_t offset_bytes, uint64_t bytes)
{
	return blob->backing && bytes <= blob->blob_bytes && offset_bytes <= blob->blob_bytes - bytes &&
	       bytes <= blob->backing->bytes && offset_bytes <= blob->backing->bytes - bytes;
}

static bool picture_lies_in(const struct gpu_resource *blob, const struct gpu_view *view)
{
	return lies_in(blob, view->offset_bytes,
		       gpu_extent_bytes(view->stride_bytes, view->width, view->height));
}

bool gpu_view_is_valid(const struct gpu_view *view, const struct virtio_gpu_rect *rect)
{
	pixman_format_code_t format;

	return view->width <= VIRTIO_GPU_SIDE_MAX && view->height <= VIRTIO_GPU_SIDE_MAX &&
	       gpu_find_format(view->format_name, &format) &&
	       view->stride_bytes >= (uint64_t)view->width * PIXEL_BYTES && rect->width > 0 &&
	       rect->height > 0 && gpu_rect_inside(rect, view->width, view->height);
}

static uint32_t check_view(const struct gpu_view *view, const struct virtio_gpu_rect *rect,
			   const struct gpu_resource *blob)
{
	if (!blob->blob_bytes || !blob->backing)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	return gpu_view_is_valid(view, rect) && picture_lies_in(blob, view)
		       ? VIRTIO_GPU_RESP_OK_NODATA
		       : VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
}

/* Of the part of the picture that a canvas is the copy of: `rect` of it, from its corner. */
static struct gpu_copy copy_of(const struct gpu_resource *blob, const struct gpu_view *view,
			       const struct virtio_gpu_rect *part, const struct virtio_gpu_rect *rect,
			       const struct gpu_canvas *canvas)
{
	struct gpu_copy copy = {
		.backing = blob->backing,
		.stride_bytes = view->stride_bytes,
		.width = rect->width,
		.height = rect->height,
		.to = canvas->image,
		.x = rect->x,
		.y = rect->y,
	};

	copy.offset_bytes = view->offset_bytes + (uint64_t)(part->y + rect->y) * view->stride_bytes +
			    (uint64_t)(part->x + rect->x) * PIXEL_BYTES;
	gpu_find_format(view->format_name, &copy.format);
	return copy;
}

/* ---- what is shown ---- */

bool gpu_view_show(struct virtio_gpu *device, unsigned number, struct gpu_resource *blob,
		   const struct gpu_view *view, const struct virtio_gpu_rect *rect, struct gpu_canvas *canvas)
{
	const struct virtio_gpu_rect all = { 0, 0, rect->width, rect->height };
	struct virtio_gpu_picture *picture =
		gpu_picture_create(canvas->pixels, (size_t)rect->width * PIXEL_BYTES, &all);
	struct gpu_scanout *scanout = &device->scanout[number];

	if (!picture)
		return false;
	gpu_scanout_set(device, number, blob, picture);
	scanout->canvas = *canvas;
	*canvas = (struct gpu_canvas){ NULL, NULL };
	scanout->rect = *rect;
	scanout->view = *view;
	return true;
}

/* Most drivers show two pictures of one size in turn: the copy of the one becomes that of the other. */
static bool can_stay(const struct gpu_scanout *scanout, const struct virtio_gpu_rect *rect)
{
	return scanout->canvas.pixels && scanout->rect.width == rect->width &&
	       scanout->rect.height == rect->height;
}

static void show_in_place(struct virtio_gpu *device, unsigned number, struct gpu_resource *blob,
			  const struct gpu_view *view, const struct virtio_gpu_rect *rect)
{
	const struct virtio_gpu_rect all = { 0, 0, rect->width, rect->height };
	struct gpu_scanout *scanout = &device->scanout[number];

	scanout->resource->scanouts &= ~(1u << number);
	blob->scanouts |= 1u << number;
	scanout->resource = blob;
	scanout->rect = *rect;
	scanout->view = *view;
	device->output->damage(device->context, number, &all);
}

/* Of a view that was checked. */
static uint32_t set_view(struct gpu_queue *queue, unsigned number, struct gpu_resource *blob,
			 const struct gpu_view *view, const struct virtio_gpu_rect *rect)
{
	const struct virtio_gpu_rect all = { 0, 0, rect->width, rect->height };
	struct virtio_gpu *device = queue->device;
	struct gpu_scanout *scanout = &device->scanout[number];
	bool stays = can_stay(scanout, rect);
	struct gpu_copy copy;
	uint32_t answer;

	if (!stays && !queue->canvas.pixels &&
	    !gpu_canvas_create(device->budget, rect->width, rect->height, &queue->canvas))
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	copy = copy_of(blob, view, rect, &all, stays ? &scanout->canvas : &queue->canvas);
	answer = gpu_copy(queue, &copy);
	if (answer != VIRTIO_GPU_RESP_OK_NODATA)
		return answer;
	if (stays)
		show_in_place(device, number, blob, view, rect);
	else if (!gpu_view_show(device, number, blob, view, rect, &queue->canvas))
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	return answer;
}

uint32_t gpu_set_scanout_blob(struct gpu_queue *queue)
{
	const struct virtio_gpu_set_scanout_blob *request = &queue->request.set_scanout_blob;
	const struct gpu_view view = { request->width, request->height, request->format,
				       request->stride_bytes[0], request->offset_bytes[0] };
	struct virtio_gpu *device = queue->device;
	struct gpu_resource *blob;
	uint32_t answer;

	if (request->scanout_id >= device->scanouts)
		return VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
	if (request->resource_id == 0) {
		gpu_scanouts_darken(device, 1u << request->scanout_id);
		return VIRTIO_GPU_RESP_OK_NODATA;
	}
	blob = gpu_resource_find(device, request->resource_id);
	if (!blob)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	answer = check_view(&view, &request->rect, blob);
	return answer == VIRTIO_GPU_RESP_OK_NODATA
		       ? set_view(queue, request->scanout_id, blob, &view, &request->rect)
		       : answer;
}

uint32_t gpu_flush_blob(struct gpu_queue *queue, struct gpu_resource *blob)
{
	struct virtio_gpu *device = queue->device;

	for (uint32_t left = blob->scanouts & ~queue->scanouts_done; left != 0; left &= left - 1) {
		unsigned number = (unsigned)__builtin_ctz(left);
		const struct gpu_scanout *scanout = &device->scanout[number];
		struct virtio_gpu_rect common;
		struct gpu_copy copy;
		uint32_t answer;

		if (!gpu_rect_intersect(&queue->request.flush.rect, &scanout->rect, &common))
			continue;
		if (!picture_lies_in(blob, &scanout->view))
			return VIRTIO_GPU_RESP_ERR_UNSPEC;
		copy = copy_of(blob, &scanout->view, &scanout->rect, &common, &scanout->canvas);
		answer = gpu_copy(queue, &copy);
		if (answer != VIRTIO_GPU_RESP_OK_NODATA)
			return answer;
		device->output->damage(device->context, number, &common);
		queue->scanouts_done |= 1u << number;
	}
	return VIRTIO_GPU_RESP_OK_NODATA;
}

/* ---- cursors ---- */

/* 5.7.6.10 leaves open how a cursor lies in a blob: from its beginning, in the one format that has alpha. */
uint32_t gpu_read_cursor(struct gpu_queue *queue, const struct gpu_resource *blob)
{
	const struct gpu_copy copy = {
		.backing = blob->backing,
		.stride_bytes = CURSOR_BYTES / VIRTIO_GPU_CURSOR_SIDE,
		.width = VIRTIO_GPU_CURSOR_SIDE,
	};

	if (!lies_in(blob, 0, CURSOR_BYTES))
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	return gpu_gather(queue, &copy, VIRTIO_GPU_CURSOR_SIDE);
}
