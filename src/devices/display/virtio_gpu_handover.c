/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a successor needs so that the driver sees no change: resources with their pixels and backings, and
 * what the scanouts show of them. The file begins with a handover (core/handover.h) and its length,
 *
 *     u64 GPU_STATE_VERSION, u64 events
 *     u64 resources, { u64 id, u64 format, u64 width, u64 height, flag, bytes pieces } …
 *     u64 scanouts, { u64 shape, u64 resource, bytes rect, bytes cursor, flag, bytes pixels of the cursor } …
 *
 * and the pixels of the resources follow in the same order.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/handover.h"
#include "devices/display/virtio_gpu_private.h"

#define GPU_STATE_VERSION 1u
/* Of the handover: the pieces of all backings, and what the rest needs at most. */
#define STATE_BYTES_MAX ((size_t)8 << 20)

/* Where a cursor is, as it is saved. */
struct saved_cursor {
	int32_t x, y;
	uint32_t hot_x, hot_y;
};

static size_t pixel_bytes(const struct gpu_resource *resource)
{
	return gpu_stride_bytes(resource) * resource->height;
}

/* ---- the predecessor ---- */

static void save_resource(struct handover *state, const struct gpu_resource *resource)
{
	const struct gpu_backing *backing = resource->backing;

	handover_put_u64(state, resource->id);
	handover_put_u64(state, resource->format_name);
	handover_put_u64(state, resource->width);
	handover_put_u64(state, resource->height);
	handover_put_u64(state, backing != NULL);
	handover_put_u64(state, backing ? backing->count : 0);
	if (backing)
		handover_put_bytes(state, backing->piece, backing->count * sizeof(backing->piece[0]));
}

static void save_scanout(struct handover *state, const struct gpu_scanout *scanout)
{
	const struct virtio_gpu_cursor *cursor = &scanout->cursor;
	const struct saved_cursor saved = { cursor->x, cursor->y, cursor->hot_x, cursor->hot_y };

	handover_put_u64(state, scanout->shape);
	handover_put_u64(state, scanout->resource ? scanout->resource->id : 0);
	handover_put_bytes(state, &scanout->rect, sizeof(scanout->rect));
	handover_put_bytes(state, &saved, sizeof(saved));
	handover_put_u64(state, cursor->pixels != NULL);
	if (cursor->pixels)
		handover_put_bytes(state, scanout->cursor_pixels, sizeof(scanout->cursor_pixels));
}

static void save_all(struct handover *state, const struct virtio_gpu *device)
{
	handover_put_u64(state, GPU_STATE_VERSION);
	handover_put_u64(state, device->events);
	handover_put_u64(state, device->resource_count);
	for (unsigned i = 0; i < device->resource_count; i++)
		save_resource(state, device->resources[i]);
	handover_put_u64(state, device->scanouts);
	for (unsigned i = 0; i < device->scanouts; i++)
		save_scanout(state, &device->scanout[i]);
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

	for (unsigned i = 0; written && i < device->resource_count; i++)
		written = write_at(file, gpu_pixels_at(device->resources[i]->pixels),
				   pixel_bytes(device->resources[i]), &offset);
	return written;
}

static size_t file_bytes(const struct handover *state, const struct virtio_gpu *device)
{
	size_t bytes = sizeof(uint64_t) + state->length;

	for (unsigned i = 0; i < device->resource_count; i++)
		bytes += pixel_bytes(device->resources[i]);
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

static void restore_resource(struct handover *state, struct virtio_gpu *device)
{
	struct virtio_gpu_create_2d request = {
		.resource_id = (uint32_t)handover_get_at_most(state, UINT32_MAX),
		.format = (uint32_t)handover_get_at_most(state, UINT32_MAX),
		.width = (uint32_t)handover_get_at_most(state, VIRTIO_GPU_SIDE_MAX),
		.height = (uint32_t)handover_get_at_most(state, VIRTIO_GPU_SIDE_MAX),
	};
	uint32_t answer;

	if (state->error)
		return;
	answer = gpu_resource_create(device, &request);
	if (answer == VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY)
		state->error = -ENOMEM;
	handover_fail_if(state, answer != VIRTIO_GPU_RESP_OK_NODATA);
	if (!state->error)
		restore_backing(state, device, gpu_resource_find(device, request.resource_id));
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

static void restore_scanout(struct handover *state, struct virtio_gpu *device, unsigned number)
{
	struct gpu_scanout *scanout = &device->scanout[number];
	uint64_t shape = handover_get_u64(state);
	uint32_t id = (uint32_t)handover_get_at_most(state, UINT32_MAX);
	struct gpu_resource *resource = id ? gpu_resource_find(device, id) : NULL;
	struct virtio_gpu_rect rect = { 0 };

	handover_get_exactly(state, &rect, sizeof(rect));
	restore_cursor(state, scanout);
	handover_fail_if(state, id && !resource);
	handover_fail_if(state, virtio_gpu_set_size(device, number, shape & 0xffff, shape >> 16 & 0xffff,
						    shape >> 32 & 1) != 0);
	if (state->error)
		return;
	if (resource)
		handover_fail_if(state, gpu_scanout_show(device, number, resource, &rect) !=
						VIRTIO_GPU_RESP_OK_NODATA);
	if (scanout->cursor.pixels)
		gpu_cursor_tell(device, number);
}

static void restore_all(struct handover *state, struct virtio_gpu *device, int file, uint64_t offset)
{
	uint32_t events;
	unsigned resources;

	handover_fail_if(state, handover_get_u64(state) != GPU_STATE_VERSION);
	events = (uint32_t)handover_get_at_most(state, UINT32_MAX);
	resources = (unsigned)handover_get_at_most(state, device->resources_max);
	for (unsigned i = 0; i < resources && !state->error; i++)
		restore_resource(state, device);
	/* They ascend by id, there as here. */
	for (unsigned i = 0; i < device->resource_count && !state->error; i++)
		handover_fail_if(state, !read_at(file, gpu_pixels_at(device->resources[i]->pixels),
						 pixel_bytes(device->resources[i]), &offset));
	handover_fail_if(state, handover_get_u64(state) != device->scanouts);
	for (unsigned i = 0; i < device->scanouts && !state->error; i++)
		restore_scanout(state, device, i);
	device->events = events;
}

int virtio_gpu_restore(struct virtio_gpu *device, int file)
{
	struct handover state = { 0 };
	uint64_t offset = 0;
	int code = read_state(file, &state, &offset);

	if (!code) {
		restore_all(&state, device, file, offset);
		code = state.error;
	}
	if (code)
		gpu_forget_all(device);
	handover_finish(&state);
	return code;
}
