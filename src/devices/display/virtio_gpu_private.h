/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the display share.
 *
 *   virtio_gpu.c           life, configuration space
 *   virtio_gpu_queue.c     commands: taken, answered, in turns
 *   virtio_gpu_resource.c  resources and the guest memory that backs them
 *   virtio_gpu_blob.c      resources that are guest memory
 *   virtio_gpu_transfer.c  guest memory into pixels of ours
 *   virtio_gpu_scanout.c   what is shown; the monitors' sizes
 *   virtio_gpu_cursor.c    the cursor queue's commands
 *   virtio_gpu_picture.c   pixels and who refers to them
 *   virtio_gpu_handover.c  what a successor gets
 */
#ifndef VIADUCT_DEVICES_DISPLAY_VIRTIO_GPU_PRIVATE_H
#define VIADUCT_DEVICES_DISPLAY_VIRTIO_GPU_PRIVATE_H

#include "devices/display/display_edid.h"
#include "devices/display/virtio_gpu.h"
#include "devices/display/virtio_gpu_format.h"
#include "devices/display/virtio_gpu_picture.h"

/*
 * What is copied before the time is asked, and is held privately meanwhile: two of the longest lines. That
 * takes about 4 us, a sixth of a slice.
 */
#define CHUNK_BYTES (2ul * VIRTIO_GPU_SIDE_MAX * PIXEL_BYTES)
#define CURSOR_BYTES ((size_t)VIRTIO_GPU_CURSOR_SIDE * VIRTIO_GPU_CURSOR_SIDE * PIXEL_BYTES)
/* The answer of a command that needs another turn; no type of the specification. */
#define GPU_LATER 0u

struct gpu_queue;

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
	unsigned width, height;	     /* of a blob: the largest that a picture in it can have */
	uint32_t format_name;	     /* enum virtio_gpu_format */
	pixman_format_code_t format; /* in the backing; here it is a8r8g8b8 */
	struct gpu_canvas canvas;    /* of a blob: none */
	uint64_t blob_bytes;	     /* 0: it is no blob */
	struct gpu_backing *backing; /* NULL: none */
	uint32_t scanouts;	     /* that show it, a bit each */
};

/* What a scanout shows of a blob: one picture, as SET_SCANOUT_BLOB says. */
struct gpu_view {
	uint32_t width, height, format_name, stride_bytes, offset_bytes;
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
	/* Of a blob: where it shows it from, and our copy of the part that is shown */
	struct gpu_view view;
	struct gpu_canvas canvas;
	struct virtio_gpu_cursor cursor; /* its pixels are NULL, or cursor_pixels */
	uint32_t cursor_pixels[VIRTIO_GPU_CURSOR_SIDE * VIRTIO_GPU_CURSOR_SIDE];
};

struct virtio_gpu {
	const struct virtio_gpu_output_ops *output;
	void *context;
	char serial[DISPLAY_SERIAL_BYTES];
	uint32_t events; /* atomic: of the configuration */
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
	struct virtio_gpu_create_blob create_blob;
	struct virtio_gpu_set_scanout_blob set_scanout_blob;
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
	uint32_t scanouts_done;	  /* that show what is flushed, a bit each */
	struct gpu_canvas canvas; /* to be a scanout's when it is complete */
	size_t chunk_bytes;	  /* of the lines at hand, so much is in `chunk` */
	uint8_t *chunk;		  /* CHUNK_BYTES; the cursor's queue has CURSOR_BYTES */
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
uint32_t gpu_create_blob(struct gpu_queue *queue);
uint32_t gpu_set_scanout_blob(struct gpu_queue *queue);
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
/*
 * Reads the entries of a backing, which follow so many bytes of the request, into queue->attached. Returns
 * the type of an answer, or GPU_LATER; OK_NODATA: they are complete, and to be taken.
 */
uint32_t gpu_read_entries(struct gpu_queue *queue, uint32_t head_bytes, uint32_t count);
struct gpu_backing *gpu_take_entries(struct gpu_queue *queue);
/* What was read by now is forgotten. */
void gpu_attach_cancel(struct gpu_queue *queue);
/* No scanout shows any. */
void gpu_resources_drop(struct virtio_gpu *device);
/* As the command says. Returns the type of its answer. */
uint32_t gpu_resource_create(struct virtio_gpu *device, const struct virtio_gpu_create_2d *request);
/* A blob without a backing. Returns the type of an answer. */
uint32_t gpu_resource_create_blob(struct virtio_gpu *device, uint32_t id, uint64_t bytes);
/* Is there room for one more, and is the id free? Returns the type of an answer. */
uint32_t gpu_resource_check_new(const struct virtio_gpu *device, uint32_t id);
/* False: there is no such format. */
bool gpu_find_format(uint32_t format_name, pixman_format_code_t *ret_format);
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
/* What the two have in common, from the corner of `in`; false: nothing. No side is beyond a resource's. */
bool gpu_rect_intersect(const struct virtio_gpu_rect *rect, const struct virtio_gpu_rect *in,
			struct virtio_gpu_rect *ret_common);
/*
 * The scanout shows a picture of this resource, which the caller has made for it and which is its from now
 * on; what it copied of a blob goes. Both NULL: it is dark.
 */
void gpu_scanout_set(struct virtio_gpu *device, unsigned number, struct gpu_resource *resource,
		     struct virtio_gpu_picture *picture);
/* Scanouts of the mask show nothing any more. */
void gpu_scanouts_darken(struct virtio_gpu *device, uint32_t mask);

/* ---- virtio_gpu_blob.c ---- */

/* A picture that there can be, and a part that lies in it; not, whether it lies in the blob. */
bool gpu_view_is_valid(const struct gpu_view *view, const struct virtio_gpu_rect *rect);
/* Shows the copy of the part, which is the scanout's from now on. False: out of memory. */
bool gpu_view_show(struct virtio_gpu *device, unsigned number, struct gpu_resource *blob,
		   const struct gpu_view *view, const struct virtio_gpu_rect *rect,
		   struct gpu_canvas *canvas);
/* RESOURCE_FLUSH of a blob. */
uint32_t gpu_flush_blob(struct gpu_queue *queue, struct gpu_resource *blob);
/* The pixels of a cursor, into the queue's chunk. Returns the type of an answer, or GPU_LATER. */
uint32_t gpu_read_cursor(struct gpu_queue *queue, const struct gpu_resource *blob);

/* ---- virtio_gpu_transfer.c ---- */

/* Pixels that lie in a backing, all of them, and where they are to be. */
struct gpu_copy {
	const struct gpu_backing *backing;
	uint64_t offset_bytes; /* of the first one */
	size_t stride_bytes;   /* between lines */
	pixman_format_code_t format;
	unsigned width, height; /* at most VIRTIO_GPU_SIDE_MAX; the width is not 0 */
	pixman_image_t *to;	/* a8r8g8b8 */
	unsigned x, y;
};

/* The bytes from the first pixel on to behind the last one; no overflow. */
uint64_t gpu_extent_bytes(size_t stride_bytes, unsigned width, unsigned height);
/* In as many turns as it needs. Returns the type of an answer, or GPU_LATER. */
uint32_t gpu_copy(struct gpu_queue *queue, const struct gpu_copy *copy);
/* Gathers `lines` lines from the one that is next on in queue->chunk. The same. */
uint32_t gpu_gather(struct gpu_queue *queue, const struct gpu_copy *copy, unsigned lines);

/* ---- virtio_gpu_cursor.c ---- */

void gpu_cursors_hide(struct virtio_gpu *device);
/* Tells the output of the scanout's cursor. */
void gpu_cursor_tell(const struct virtio_gpu *device, unsigned number);

#endif
