/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory into pixels of ours, for TRANSFER_TO_HOST_2D and for blobs: lines, as many as fit into a
 * chunk, are gathered from the pieces of guest memory into memory of our own, each byte once, and from there
 * converted. A chunk is what one turn does at least; a guest whose memory is in very small pieces gathers it
 * over several turns.
 */
#include <string.h>

#include "devices/display/virtio_gpu_private.h"

/* Pieces that are gathered before the time is asked: about a slice's worth, however small they are. */
#define PIECES_BATCH 256u
/* Of a guest whose memory waits, one access waits: it is blamed before the next page is touched. */
#define PAGE_BYTES 4096u

/* A stride has 32 bits, a side 13. */
uint64_t gpu_extent_bytes(size_t stride_bytes, unsigned width, unsigned height)
{
	if (width == 0 || height == 0)
		return 0;
	return (height - 1) * (uint64_t)stride_bytes + (uint64_t)width * PIXEL_BYTES;
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
	extent = gpu_extent_bytes(gpu_stride_bytes(resource), request->rect.width, request->rect.height);
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

uint32_t gpu_gather(struct gpu_queue *queue, const struct gpu_copy *copy, unsigned lines)
{
	size_t line_bytes = (size_t)copy->width * PIXEL_BYTES;
	size_t run_bytes = line_bytes == copy->stride_bytes ? lines * line_bytes : line_bytes;
	unsigned pieces = 0;

	while (queue->chunk_bytes < lines * line_bytes) {
		size_t line = queue->chunk_bytes / line_bytes, within = queue->chunk_bytes % run_bytes, got;
		uint64_t offset = copy->offset_bytes + (queue->lines_done + line) * copy->stride_bytes;

		offset += queue->chunk_bytes % line_bytes;
		got = read_piece(queue, copy->backing, offset, run_bytes - within,
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
static uint32_t convert(struct gpu_queue *queue, const struct gpu_copy *copy, unsigned lines)
{
	pixman_image_t *from;

	from = pixman_image_create_bits_no_clear(copy->format, (int)copy->width, (int)lines,
						 (uint32_t *)(void *)queue->chunk,
						 (int)(copy->width * PIXEL_BYTES));
	if (!from)
		return VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY;
	pixman_image_composite32(PIXMAN_OP_SRC, from, NULL, copy->to, 0, 0, 0, 0, (int)copy->x,
				 (int)(copy->y + queue->lines_done), (int)copy->width, (int)lines);
	pixman_image_unref(from);
	queue->lines_done += lines;
	return VIRTIO_GPU_RESP_OK_NODATA;
}

uint32_t gpu_copy(struct gpu_queue *queue, const struct gpu_copy *copy)
{
	unsigned lines_max = (unsigned)(CHUNK_BYTES / ((size_t)copy->width * PIXEL_BYTES));

	while (queue->lines_done < copy->height) {
		unsigned left = copy->height - queue->lines_done, lines = left < lines_max ? left : lines_max;
		uint32_t answer = gpu_gather(queue, copy, lines);

		if (answer == VIRTIO_GPU_RESP_OK_NODATA)
			answer = convert(queue, copy, lines);
		if (answer != VIRTIO_GPU_RESP_OK_NODATA)
			return answer;
		if (queue->lines_done < copy->height && gpu_turn_over(queue))
			return GPU_LATER;
	}
	queue->lines_done = 0;
	return VIRTIO_GPU_RESP_OK_NODATA;
}

/* Of a blob nothing is to be done: it is read when it is flushed. Linux asks for it, of cursors. */
uint32_t gpu_transfer(struct gpu_queue *queue)
{
	const struct virtio_gpu_transfer *request = &queue->request.transfer;
	const struct virtio_gpu_rect *rect = &request->rect;
	const struct gpu_resource *resource = gpu_resource_find(queue->device, request->resource_id);
	uint32_t answer;

	if (resource && resource->blob_bytes)
		return VIRTIO_GPU_RESP_OK_NODATA;
	answer = check(request, resource);
	if (answer != VIRTIO_GPU_RESP_OK_NODATA || rect->width == 0)
		return answer;
	return gpu_copy(queue, &(struct gpu_copy){
				       .backing = resource->backing,
				       .offset_bytes = request->offset_bytes,
				       .stride_bytes = gpu_stride_bytes(resource),
				       .format = resource->format,
				       .width = rect->width,
				       .height = rect->height,
				       .to = resource->canvas.image,
				       .x = rect->x,
				       .y = rect->y,
			       });
}
