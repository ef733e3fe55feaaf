/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TRANSFER_TO_HOST_2D: lines of the rectangle, as many as fit into a chunk, are gathered from the pieces of
 * guest memory into memory of our own, each byte once, and from there converted into the resource. A chunk is
 * what one turn does at least; a guest whose memory is in very small pieces gathers it over several turns.
 */
#include <string.h>

#include "devices/display/virtio_gpu_private.h"

/* Pieces that are gathered before the time is asked: about a slice's worth, however small they are. */
#define PIECES_BATCH 256u
/* Of a guest whose memory waits, one access waits: it is blamed before the next page is touched. */
#define PAGE_BYTES 4096u

/*
 * The bytes from the first pixel on to behind the last one. No overflow: the rectangle lies in a resource, so
 * this is at most 256 MiB.
 */
static uint64_t extent_bytes(const struct gpu_resource *resource, const struct virtio_gpu_rect *rect)
{
	if (rect->width == 0 || rect->height == 0)
		return 0;
	return (rect->height - 1) * (uint64_t)gpu_stride_bytes(resource) +
	       (uint64_t)rect->width * PIXEL_BYTES;
}

static uint32_t check(const struct virtio_gpu_transfer *request, const struct gpu_resource *resource)
{
	uint64_t extent;

	if (!resource)
		return VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (!gpu_rect_inside(&request->rect, resource->width, resource->height))
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	if (!resource->backing)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	extent = extent_bytes(resource, &request->rect);
	if (extent > resource->backing->bytes || request->offset_bytes > resource->backing->bytes - extent)
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	return VIRTIO_GPU_RESP_OK_NODATA;
}

/* The piece that holds this byte of the backing, which has it. */
static const struct gpu_piece *piece_at(const struct gpu_backing *backing, uint64_t offset)
{
	unsigned low = 0, high = backing->count - 1;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (backing->piece[middle].end_bytes <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return &backing->piece[low];
}

/*
 * Reads up to `bytes` bytes of the backing, as many as lie in one place and are no more than a page. 0:
 * outside guest memory.
 */
static size_t read_piece(struct gpu_queue *queue, const struct gpu_backing *backing, uint64_t offset,
			 size_t bytes, uint8_t *to)
{
	const struct gpu_piece *piece = piece_at(backing, offset);
	uint64_t start = piece == backing->piece ? 0 : piece[-1].end_bytes, left = piece->end_bytes - offset;
	const void *from;

	if (bytes > PAGE_BYTES)
		bytes = PAGE_BYTES;
	if (left < bytes)
		bytes = (size_t)left;
	bytes = queue->ring->ops->reach(queue->ring, piece->gpa + (offset - start), bytes, &from);
	if (bytes > 0)
		memcpy(to, from, bytes);
	return bytes;
}

/* Gathers `lines` lines from the one that is next on. OK_NODATA: all are there. */
static uint32_t gather(struct gpu_queue *queue, const struct gpu_resource *resource, unsigned lines)
{
	const struct virtio_gpu_transfer *request = &queue->request.transfer;
	size_t line_bytes = (size_t)request->rect.width * PIXEL_BYTES,
	       stride_bytes = gpu_stride_bytes(resource);
	size_t run_bytes = line_bytes == stride_bytes ? lines * line_bytes : line_bytes;
	unsigned pieces = 0;

	while (queue->chunk_bytes < lines * line_bytes) {
		size_t line = queue->chunk_bytes / line_bytes, within = queue->chunk_bytes % run_bytes, got;
		uint64_t offset = request->offset_bytes + (queue->lines_done + line) * stride_bytes;

		offset += queue->chunk_bytes % line_bytes;
		got = read_piece(queue, resource->backing, offset, run_bytes - within,
				 queue->chunk + queue->chunk_bytes);
		if (got == 0)
			return VIRTIO_GPU_RESP_ERR_UNSPEC;
		queue->chunk_bytes += got;
		if (gpu_has_waited(queue) || (++pieces % PIECES_BATCH == 0 && gpu_turn_over(queue)))
			return GPU_LATER;
	}
	queue->chunk_bytes = 0;
	return VIRTIO_GPU_RESP_OK_NODATA;
}

/* Guests' pixels without alpha get an opaque one. */
static uint32_t convert(struct gpu_queue *queue, const struct gpu_resource *resource, unsigned lines)
{
	const struct virtio_gpu_rect *rect = &queue->request.transfer.rect;
	pixman_image_t *from;

	from = pixman_image_create_bits_no_clear(resource->format, (int)rect->width, (int)lines,
						 (uint32_t *)(void *)queue->chunk,
						 (int)(rect->width * PIXEL_BYTES));
	if (!from)
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	pixman_image_composite32(PIXMAN_OP_SRC, from, NULL, resource->image, 0, 0, 0, 0, (int)rect->x,
				 (int)(rect->y + queue->lines_done), (int)rect->width, (int)lines);
	pixman_image_unref(from);
	queue->lines_done += lines;
	return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_transfer(struct gpu_queue *queue)
{
	const struct virtio_gpu_transfer *request = &queue->request.transfer;
	struct gpu_resource *resource = gpu_resource_find(queue->device, request->resource_id);
	uint32_t answer = check(request, resource);
	size_t line_bytes = (size_t)request->rect.width * PIXEL_BYTES;
	unsigned lines_max;

	if (answer != VIRTIO_GPU_RESP_OK_NODATA || request->rect.width == 0)
		return answer;
	lines_max = (unsigned)(CHUNK_BYTES / line_bytes);
	while (queue->lines_done < request->rect.height) {
		unsigned left = request->rect.height - queue->lines_done,
			 lines = left < lines_max ? left : lines_max;

		answer = gather(queue, resource, lines);
		if (answer == VIRTIO_GPU_RESP_OK_NODATA)
			answer = convert(queue, resource, lines);
		if (answer != VIRTIO_GPU_RESP_OK_NODATA)
			return answer;
		if (queue->lines_done < request->rect.height && gpu_turn_over(queue))
			return GPU_LATER;
	}
	return answer;
}
