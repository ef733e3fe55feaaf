/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the display share.
 *
 *   virtio_gpu.c           life, configuration space
 *   virtio_gpu_queue.c     commands: taken, answered, in turns
 *   virtio_gpu_resource.c  resources and the guest memory that backs them
 *   virtio_gpu_transfer.c  guest memory into resources
 *   virtio_gpu_scanout.c   what is shown; the monitors' sizes
 *   virtio_gpu_cursor.c    the cursor queue's commands
 *   virtio_gpu_picture.c   pixels and who refers to them
 *   virtio_gpu_edid.c      what a monitor says of itself
 *   virtio_gpu_handover.c  what a successor gets
 */
#ifndef VIADUCT_DEVICES_DISPLAY_VIRTIO_GPU_PRIVATE_H
#define VIADUCT_DEVICES_DISPLAY_VIRTIO_GPU_PRIVATE_H

#include <pixman.h>

#include "devices/display/virtio_gpu.h"
#include "devices/display/virtio_gpu_format.h"

#define PIXEL_BYTES  4u
#define SERIAL_BYTES 11u
/*
 * What is copied before the time is asked, and is held privately meanwhile: two of the longest lines. That
 * takes about 4 us, a sixth of a slice.
 */
#define CHUNK_BYTES (2ul * VIRTIO_GPU_SIDE_MAX * PIXEL_BYTES)
/* The answer of a command that needs another turn; no type of the specification. */
#define GPU_LATER 0u

struct gpu_queue;

/* ---- virtio_gpu_picture.c ---- */

/* All pixels of a device that are referred to: outlives it. */
struct gpu_budget;

struct gpu_budget *gpu_budget_create(uint64_t bytes_max);
void gpu_budget_put(struct gpu_budget *budget);

/* Zeroes, one reference; NULL: over the budget, or out of memory. Written by the worker. */
struct gpu_pixels *gpu_pixels_create(struct gpu_budget *budget, size_t bytes);
void gpu_pixels_put(struct gpu_pixels *pixels);
uint32_t *gpu_pixels_at(const struct gpu_pixels *pixels);

/* A part of pixels whose lines are stride_bytes apart; NULL when out of memory. */
struct virtio_gpu_picture *gpu_picture_create(struct gpu_pixels *pixels, size_t stride_bytes,
					      const struct virtio_gpu_rect *rect);

/* ---- resources ---- */

/* A piece of guest memory, and where it ends in the backing. */
struct gpu_piece {
	uint64_t gpa, end_bytes;
};

struct gpu_backing {
	unsigned reserved, count; /* pieces: room, and those there */
	uint64_t bytes;
	struct gpu_piece piece[];
};

struct gpu_resource {
	uint32_t id;
	unsigned width, height;
	bool has_alpha;
	uint32_t format_name;	     /* enum virtio_gpu_format */
	pixman_format_code_t format; /* in the backing; here it is a8r8g8b8 */
	struct gpu_pixels *pixels;
	pixman_image_t *image;	     /* of the pixels */
	struct gpu_backing *backing; /* NULL: none */
	uint32_t scanouts;	     /* that show it, a bit each */
};

static inline size_t gpu_stride_bytes(const struct gpu_resource *resource)
{
	return (size_t)resource->width * PIXEL_BYTES;
}

/* Of a resource: not empty, and all of it inside. */
static inline bool gpu_rect_inside(const struct virtio_gpu_rect *rect, unsigned width, unsigned height)
{
	return (uint64_t)rect->x + rect->width <= width && (uint64_t)rect->y + rect->height <= height;
}

/* ---- the device ---- */

struct gpu_scanout {
	uint64_t shape;		       /* width, height << 16, enabled << 32; atomic: the control thread's */
	struct gpu_resource *resource; /* NULL: dark */
	struct virtio_gpu_rect rect;
	struct virtio_gpu_picture *picture;
	struct virtio_gpu_cursor cursor; /* its pixels are NULL, or cursor_pixels */
	uint32_t cursor_pixels[VIRTIO_GPU_CURSOR_SIDE * VIRTIO_GPU_CURSOR_SIDE];
};

struct virtio_gpu {
	const struct virtio_gpu_output_ops *output;
	void *context;
	char serial[SERIAL_BYTES];
	uint32_t events; /* of the configuration; the control thread's */
	/* Where the queues run, while there are any. */
	struct loop *loop;
	unsigned queues;
	/* Resources by id, which ascends. */
	struct gpu_resource **resources;
	unsigned resource_count, resources_max;
	unsigned entries, entries_max; /* of all backings */
	struct gpu_budget *budget;
	unsigned scanouts;
	struct gpu_scanout scanout[];
};

/* ---- one command ---- */

union gpu_request {
	struct virtio_gpu_header header;
	struct virtio_gpu_get_edid get_edid;
	struct virtio_gpu_create_2d create_2d;
	struct virtio_gpu_name_resource name;
	struct virtio_gpu_set_scanout set_scanout;
	struct virtio_gpu_flush flush;
	struct virtio_gpu_transfer transfer;
	struct virtio_gpu_attach attach;
	struct virtio_gpu_update_cursor cursor;
};

union gpu_answer {
	struct virtio_gpu_header header;
	struct virtio_gpu_display_info display_info;
	struct virtio_gpu_edid edid;
};

/* A queue and the command that it is at. The request is our copy: what is checked is what is used. */
struct gpu_queue {
	struct virtio_gpu *device;
	struct virtio_queue *ring;
	struct loop *loop;
	const unsigned *held; /* loop_blame_flag() */
	bool is_cursor;
	struct virtio_chain *chain; /* NULL: none is under way */
	uint32_t request_bytes;	    /* that can be read, those of the backing's entries, too */
	uint32_t answer_room_bytes;
	union gpu_request request;
	union gpu_answer answer;
	uint32_t answer_bytes;
	/* How far a command is that takes several turns. */
	struct gpu_backing *attached; /* to be the resource's when it is complete */
	unsigned entries_read;
	unsigned lines_done;
	size_t chunk_bytes; /* of the lines at hand, so much is in `chunk` */
	uint8_t *chunk;	    /* CHUNK_BYTES; the control queue's */
};

/*
 * The commands: each returns the type of its answer, or GPU_LATER. One that returned GPU_LATER is called
 * again in a later turn, with what it has noted in the queue.
 */
uint32_t gpu_get_display_info(struct gpu_queue *queue);
uint32_t gpu_get_edid(struct gpu_queue *queue);
uint32_t gpu_create_2d(struct gpu_queue *queue);
uint32_t gpu_unref(struct gpu_queue *queue);
uint32_t gpu_set_scanout(struct gpu_queue *queue);
uint32_t gpu_flush(struct gpu_queue *queue);
uint32_t gpu_transfer(struct gpu_queue *queue);
uint32_t gpu_attach(struct gpu_queue *queue);
uint32_t gpu_detach(struct gpu_queue *queue);
uint32_t gpu_update_cursor(struct gpu_queue *queue);
uint32_t gpu_move_cursor(struct gpu_queue *queue);

/* ---- virtio_gpu.c ---- */

/* All that the driver has made. */
void gpu_forget_all(struct virtio_gpu *device);

/* ---- virtio_gpu_queue.c ---- */

/* The guest's memory made the worker stand still: not a page more of it is touched in this turn. */
bool gpu_has_waited(const struct gpu_queue *queue);
/* What is left is done in the next turn. */
bool gpu_turn_over(const struct gpu_queue *queue);

/* The model's slots that have to do with chains. */
void gpu_ready(void *queue);
void gpu_queue_drain(void *queue, bool drain);
void gpu_queue_abandon(void *queue);

/* ---- virtio_gpu_resource.c ---- */

/* NULL: there is none. */
struct gpu_resource *gpu_resource_find(const struct virtio_gpu *device, uint32_t id);
/* What an attach had read by now is forgotten. */
void gpu_attach_cancel(struct gpu_queue *queue);
/* No scanout shows any. */
void gpu_resources_drop(struct virtio_gpu *device);
/* As the command says. Returns the type of its answer. */
uint32_t gpu_resource_create(struct virtio_gpu *device, const struct virtio_gpu_create_2d *request);
/* Room for the pieces of a backing, which count from now on; NULL: over the limit, or out of memory. */
struct gpu_backing *gpu_backing_reserve(struct virtio_gpu *device, unsigned entries);
/* One more: false: it wraps around. Whether it lies in guest memory is asked when it is read. */
bool gpu_backing_add(struct gpu_backing *backing, uint64_t gpa, uint64_t bytes);

/* ---- virtio_gpu_scanout.c ---- */

/*
 * The scanout shows this part of the resource. Returns the type of an answer; a part of another size than the
 * resource has is refused.
 */
uint32_t gpu_scanout_show(struct virtio_gpu *device, unsigned number, struct gpu_resource *resource,
			  const struct virtio_gpu_rect *rect);
/* Scanouts of the mask show nothing any more. */
void gpu_scanouts_darken(struct virtio_gpu *device, uint32_t mask);

/* ---- virtio_gpu_cursor.c ---- */

void gpu_cursors_hide(struct virtio_gpu *device);
/* Tells the output of the scanout's cursor. */
void gpu_cursor_tell(const struct virtio_gpu *device, unsigned number);

/* ---- virtio_gpu_edid.c ---- */

#define EDID_BYTES_MAX 256u

struct gpu_monitor {
	unsigned width, height; /* 1 to VIRTIO_GPU_SIDE_MAX */
	unsigned number;	/* of the scanout */
	const char *serial;	/* at most SERIAL_BYTES - 1 characters */
};

/* Describes the monitor (VESA E-EDID A.2). Returns the bytes: 128, or 256 where that has no room for a side.
 */
size_t gpu_edid_make(const struct gpu_monitor *monitor, uint8_t edid[EDID_BYTES_MAX]);

#endif
