/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a successor needs so that the driver sees no change: resources with their pixels and backings, and
 * what the scanouts show of them. The file begins with a handover (core/handover.h) and its length,
 *
 *     u64 version, u64 events
 *     u64 resources, { u64 id, u64 blob, u64 format, u64 width, u64 height, flag, bytes pieces } …
 *     u64 scanouts, { u64 shape, u64 resource, bytes rect, flag, bytes view, bytes cursor, flag,
 *                     bytes pixels of the cursor } …
 *
 * and the pixels of the resources that are no blobs follow in the same order, then those that scanouts have
 * copied of blobs. With version 1 there are no blobs: "u64 blob" and "flag, bytes view" are missing. It is
 * written where it suffices, for a successor that knows no other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/handover.h"
#include "devices/display/virtio_gpu_private.h"

#define GPU_STATE_VERSION	 2u
#define GPU_STATE_VERSION_PLAIN 1u
/* Of the handover: the pieces of all backings, and what the rest needs at most. */
#define STATE_BYTES_MAX ((size_t)8 << 20)

/* Where a cursor is, as it is saved. */
struct saved_cursor {
	int32_t x, y;
	uint32_t hot_x, hot_y;
};

/* A blob has none of ours. */
static size_t pixel_bytes(const struct gpu_resource *resource)
{
	return resource->blob_bytes ? 0 : gpu_stride_bytes(resource) * resource->height;
}

/* Copied of a blob. */
static size_t copied_bytes(const struct gpu_scanout *scanout)
{
	return scanout->canvas.pixels
		       ? (size_t)scanout->rect.width * scanout->rect.height * PIXEL_BYTES
		       : 0;
}

/* ---- the predecessor ---- */

static unsigned version_of(const struct virtio_gpu *device)
{
	for (unsigned i = 0; i < device->resource_count; i++)
		if (device->resources[i]->blob_bytes)
			return GPU_STATE_VERSION;
	return GPU_STATE_VERSION_PLAIN;
}

static void save_resource(struct handover *state, unsigned version, const struct gpu_resource *resource)
{
	const struct gpu_backing *backing = resource->backing;

	handover_put_u64(state, resource->id);
	if (version >= GPU_STATE_VERSION)
		handover_put_u64(state, resource->blob_bytes);
	handover_put_u64(state, resource->format_name);
	handover_put_u64(state, resource->width);
	handover_put_u64(state, resource->height);
	handover_put_u64(state, backing != NULL);
	handover_put_u64(state, backing ? backing->count : 0);
	if (backing)
		handover_put_bytes(state, backing->piece, backing->count * sizeof(backing->piece[0]));
}

static void save_scanout(struct handover *state, unsigned version, const struct gpu_scanout *scanout)
{
	const struct virtio_gpu_cursor *cursor = &scanout->cursor;
	const struct saved_cursor saved = { cursor->x, cursor->y, cursor->hot_x, cursor->hot_y };

	handover_put_u64(state, scanout->shape);
	handover_put_u64(state, scanout->resource ? scanout->resource->id : 0);
	handover_put_bytes(state, &scanout->rect, sizeof(scanout->rect));
	if (version >= GPU_STATE_VERSION) {
		handover_put_u64(state, scanout->canvas.pixels != NULL);
		handover_put_bytes(state, &scanout->view, sizeof(scanout->view));
	}
	handover_put_bytes(state, &saved, sizeof(saved));
	handover_put_u64(state, cursor->pixels != NULL);
	if (cursor->pixels)
		handover_put_bytes(state, scanout->cursor_pixels, sizeof(scanout->cursor_pixels));
}

static void save_all(struct handover *state, const struct virtio_gpu *device)
{
	unsigned version = version_of(device);

	handover_put_u64(state, version);
	handover_put_u64(state, device->events);
	handover_put_u64(state, device->resource_count);
	for (unsigned i = 0; i < device->resource_count; i++)
		save_resource(state, version, device->resources[i]);
	handover_put_u64(state, device->scanouts);
	for (unsigned i = 0; i < device->scanouts; i++)
		save_scanout(state, version, &device->scanout[i]);
}

static bool write_at(int file, const void *bytes, size_t count, uint64_t *offset)
{
	const uint8_t *from = bytes;

	while (count > 0) {
		ssize_t written = pwrite(file, from, count, (off_t)*offset);

		if (written <= 0)
			return false;
		from += written;
		count -= (size_t)written;
		*offset += (uint64_t)written;
	}
	return true;
}

static bool write_all(int file, const struct handover *state, const struct virtio_gpu *device)
{
	uint64_t length = state->length, offset = 0;
	bool written = write_at(file, &length, sizeof(length), &offset) &&
		       write_at(file, state->bytes, state->length, &offset);

	for (unsigned i = 0; written && i < device->resource_count; i++) {
		const struct gpu_resource *resource = device->resources[i];

		if (pixel_bytes(resource) > 0)
			written = write_at(file, gpu_pixels_at(resource->canvas.pixels),
					   pixel_bytes(resource), &offset);
	}
	for (unsigned i = 0; written && i < device->scanouts; i++) {
		const struct gpu_scanout *scanout = &device->scanout[i];

		if (copied_bytes(scanout) > 0)
			written = write_at(file, gpu_pixels_at(scanout->canvas.pixels), copied_bytes(scanout),
					   &offset);
	}
	return written;
}

static size_t file_bytes(const struct handover *state, const struct virtio_gpu *device)
{
	size_t bytes = sizeof(uint64_t) + state->length;

	for (unsigned i = 0; i < device->resource_count; i++)
		bytes += pixel_bytes(device->resources[i]);
	for (unsigned i = 0; i < device->scanouts; i++)
		bytes += copied_bytes(&device->scanout[i]);
	return bytes;
}

int virtio_gpu_save(const struct virtio_gpu *device)
{
	struct handover state = { 0 };
	int file;

	save_all(&state, device);
	file = state.error ? state.error : fd_memfd("viaduct-display", file_bytes(&state, device));
	if (file >= 0 && !write_all(file, &state, device)) {
		fd_close(&file);
		file = -ENOMEM;
	}
	handover_finish(&state);
	return file;
}

/* ---- the successor ---- */

/* The file, what it says and how far its pixels are read. */
struct restoring {
	struct handover state;
	struct virtio_gpu *device;
	unsigned version;
	int file;
	uint64_t offset;
};

static bool read_at(int file, void *bytes, size_t count, uint64_t *offset)
{
	uint8_t *to = bytes;

	while (count > 0) {
		ssize_t got = pread(file, to, count, (off_t)*offset);

		if (got <= 0)
			return false;
		to += got;
		count -= (size_t)got;
		*offset += (uint64_t)got;
	}
	return true;
}

/* Reads the handover at the beginning. Returns 0 or -errno. */
static int read_state(int file, struct handover *ret_state, uint64_t *ret_offset)
{
	uint64_t length, offset = 0;

	if (!read_at(file, &length, sizeof(length), &offset) || length > STATE_BYTES_MAX)
		return -EBADMSG;
	ret_state->bytes = malloc(length > 0 ? length : 1);
	if (!ret_state->bytes)
		return -ENOMEM;
	ret_state->length = length;
	if (!read_at(file, ret_state->bytes, length, &offset))
		return -EBADMSG;
	*ret_offset = offset;
	return 0;
}

static void restore_pieces(struct handover *state, struct gpu_backing *backing, unsigned count)
{
	uint64_t before = 0;
	struct gpu_piece *pieces = calloc(count > 0 ? count : 1, sizeof(*pieces));

	if (!pieces && !state->error)
		state->error = -ENOMEM;
	if (pieces)
		handover_get_exactly(state, pieces, count * sizeof(*pieces));
	for (unsigned i = 0; i < count && !state->error; i++) {
		handover_fail_if(state, pieces[i].end_bytes <= before ||
						!gpu_backing_add(backing, pieces[i].gpa,
								 pieces[i].end_bytes - before));
		before = pieces[i].end_bytes;
	}
	free(pieces);
}

static void restore_backing(struct handover *state, struct virtio_gpu *device, struct gpu_resource *resource)
{
	bool is_there = handover_get_flag(state);
	unsigned count = (unsigned)handover_get_at_most(state, VIRTIO_GPU_ENTRIES_MAX);

	if (state->error || !is_there)
		return;
	resource->backing = gpu_backing_reserve(device, count);
	if (resource->backing)
		restore_pieces(state, resource->backing, count);
	else
		state->error = -ENOMEM;
}

static void restore_resource(struct restoring *restoring)
{
	struct handover *state = &restoring->state;
	struct virtio_gpu *device = restoring->device;
	uint32_t id = (uint32_t)handover_get_at_most(state, UINT32_MAX), answer;
	uint64_t blob_bytes = restoring->version >= GPU_STATE_VERSION ? handover_get_u64(state) : 0;
	struct virtio_gpu_create_2d request = {
		.resource_id = id,
		.format = (uint32_t)handover_get_at_most(state, UINT32_MAX),
		.width = (uint32_t)handover_get_at_most(state, VIRTIO_GPU_SIDE_MAX),
		.height = (uint32_t)handover_get_at_most(state, VIRTIO_GPU_SIDE_MAX),
	};

	if (state->error)
		return;
	answer = blob_bytes ? gpu_resource_create_blob(device, id, blob_bytes)
			    : gpu_resource_create(device, &request);
	if (answer == VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY)
		state->error = -ENOMEM;
	handover_fail_if(state, answer != VIRTIO_GPU_RESP_OK_NODATA);
	if (!state->error)
		restore_backing(state, device, gpu_resource_find(device, id));
}

static void restore_cursor(struct handover *state, struct gpu_scanout *scanout)
{
	struct saved_cursor saved = { 0 };

	handover_get_exactly(state, &saved, sizeof(saved));
	handover_fail_if(state,
			 saved.hot_x >= VIRTIO_GPU_CURSOR_SIDE || saved.hot_y >= VIRTIO_GPU_CURSOR_SIDE);
	if (handover_get_flag(state)) {
		handover_get_exactly(state, scanout->cursor_pixels, sizeof(scanout->cursor_pixels));
		scanout->cursor.pixels = scanout->cursor_pixels;
	}
	scanout->cursor.x = saved.x;
	scanout->cursor.y = saved.y;
	scanout->cursor.hot_x = saved.hot_x;
	scanout->cursor.hot_y = saved.hot_y;
}

/* The copy of a blob that a scanout has, which the driver may have taken the memory from since. */
static void restore_view(struct restoring *restoring, unsigned number, struct gpu_resource *blob,
			 const struct gpu_view *view, const struct virtio_gpu_rect *rect)
{
	struct handover *state = &restoring->state;
	struct virtio_gpu *device = restoring->device;
	struct gpu_canvas canvas = { NULL, NULL };
	size_t bytes = (size_t)rect->width * rect->height * PIXEL_BYTES;

	handover_fail_if(state, !blob->blob_bytes || !gpu_view_is_valid(view, rect));
	if (state->error)
		return;
	if (!gpu_canvas_create(device->budget, rect->width, rect->height, &canvas)) {
		state->error = -ENOMEM;
		return;
	}
	handover_fail_if(state, !read_at(restoring->file, gpu_pixels_at(canvas.pixels), bytes,
					 &restoring->offset));
	if (!state->error && !gpu_view_show(device, number, blob, view, rect, &canvas))
		state->error = -ENOMEM;
	gpu_canvas_drop(&canvas);
}

static void restore_shown(struct restoring *restoring, unsigned number, struct gpu_resource *resource,
			  const struct gpu_view *view, const struct virtio_gpu_rect *rect)
{
	if (view)
		restore_view(restoring, number, resource, view, rect);
	else
		handover_fail_if(&restoring->state,
				 resource->blob_bytes ||
					 gpu_scanout_show(restoring->device, number, resource, rect) !=
						 VIRTIO_GPU_RESP_OK_NODATA);
}

static void restore_scanout(struct restoring *restoring, unsigned number)
{
	struct handover *state = &restoring->state;
	struct virtio_gpu *device = restoring->device;
	struct gpu_scanout *scanout = &device->scanout[number];
	uint64_t shape = handover_get_u64(state);
	uint32_t id = (uint32_t)handover_get_at_most(state, UINT32_MAX);
	struct gpu_resource *resource = id ? gpu_resource_find(device, id) : NULL;
	struct virtio_gpu_rect rect = { 0 };
	struct gpu_view view = { 0 };
	bool is_view = false;

	handover_get_exactly(state, &rect, sizeof(rect));
	if (restoring->version >= GPU_STATE_VERSION) {
		is_view = handover_get_flag(state);
		handover_get_exactly(state, &view, sizeof(view));
	}
	restore_cursor(state, scanout);
	handover_fail_if(state, id && !resource);
	handover_fail_if(state, virtio_gpu_set_size(device, number, shape & 0xffff, shape >> 16 & 0xffff,
						    shape >> 32 & 1) != 0);
	if (!state->error && resource)
		restore_shown(restoring, number, resource, is_view ? &view : NULL, &rect);
	if (!state->error && scanout->cursor.pixels)
		gpu_cursor_tell(device, number);
}

/* They ascend by id, there as here. */
static void restore_pixels(struct restoring *restoring)
{
	const struct virtio_gpu *device = restoring->device;
	struct handover *state = &restoring->state;

	for (unsigned i = 0; i < device->resource_count && !state->error; i++) {
		const struct gpu_canvas *canvas = &device->resources[i]->canvas;
		size_t bytes = pixel_bytes(device->resources[i]);

		if (bytes > 0)
			handover_fail_if(state, !read_at(restoring->file, gpu_pixels_at(canvas->pixels),
							 bytes, &restoring->offset));
	}
}

static void restore_all(struct restoring *restoring)
{
	struct handover *state = &restoring->state;
	struct virtio_gpu *device = restoring->device;
	uint32_t events;
	unsigned resources;

	restoring->version = (unsigned)handover_get_at_most(state, GPU_STATE_VERSION);
	handover_fail_if(state, restoring->version < GPU_STATE_VERSION_PLAIN);
	events = (uint32_t)handover_get_at_most(state, UINT32_MAX);
	resources = (unsigned)handover_get_at_most(state, device->resources_max);
	for (unsigned i = 0; i < resources && !state->error; i++)
		restore_resource(restoring);
	restore_pixels(restoring);
	handover_fail_if(state, handover_get_u64(state) != device->scanouts);
	for (unsigned i = 0; i < device->scanouts && !state->error; i++)
		restore_scanout(restoring, i);
	device->events = events;
}

int virtio_gpu_restore(struct virtio_gpu *device, int file)
{
	struct restoring restoring = { .device = device, .file = file };
	int code = read_state(file, &restoring.state, &restoring.offset);

	if (!code) {
		restore_all(&restoring);
		code = restoring.state.error;
	}
	if (code)
		gpu_forget_all(device);
	handover_finish(&restoring.state);
	return code;
}
