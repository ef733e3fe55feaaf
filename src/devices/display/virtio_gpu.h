/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio display in two dimensions (virtio 1.2, 5.7): a driver makes resources, which are pictures in our
 * memory, has parts of its own memory copied into them, and says which of them a scanout shows. Or it makes
 * blobs, which are its own memory, and what a scanout shows of one is copied when it is flushed. The model
 * knows nothing of screens: it tells an output what is to be seen.
 *
 *    guest memory ──TRANSFER──▶ resource ──SET_SCANOUT──▶ picture ──show()──▶ output
 *    guest memory ──SET_SCANOUT_BLOB, FLUSH──▶ copy of the scanout's ──▲
 *
 * All queues of a device run on one worker. The pixels are shared with the output, which reads them on a
 * thread of its own while the guest draws; they are freed when nothing refers to them any more, and may
 * outlive the resource and the device.
 *
 * What it does where the specification is silent:
 * - Each command is answered, in order, whether it is fenced or not. On the cursor queue there need not be
 *   room for an answer.
 * - An answer that has not enough room is cut. A control command with no room for a header in its answer is
 *   not carried out: the ring stops, and so it does for a cursor command that is shorter than a header.
 * - A command that is shorter than its type says is ERR_INVALID_PARAMETER, an unknown one ERR_UNSPEC.
 * - UNREF of a resource that is shown makes its scanouts dark.
 * - A cursor's picture is taken when the command comes; later transfers do not change it. In a blob it lies
 *   at the beginning, as B8G8R8A8.
 * - A transfer of a blob is done at once: there is nothing to do. SET_SCANOUT of one is ERR_UNSPEC.
 * - What SET_SCANOUT_BLOB shows of a blob is as it was then, until it is flushed or set again. A picture's
 *   lines do not overlap, and all of them lie in the blob. Memory that is gone leaves what was shown.
 * - What a driver has made outlives a pause of the device. When the control queue begins elsewhere than where
 *   it stopped, another driver is there, and finds nothing (virtio_queue_setup.anew).
 */
#ifndef VIADUCT_DEVICES_DISPLAY_VIRTIO_GPU_H
#define VIADUCT_DEVICES_DISPLAY_VIRTIO_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/display/display_edid.h"
#include "devices/virtio_model.h"

#define VIRTIO_GPU_SCANOUTS_MAX 16u /* of the specification */
/* Of a resource and of a scanout, in pixels: as much as a seat's window can have. */
#define VIRTIO_GPU_SIDE_MAX DISPLAY_SIDE_MAX
/* A cursor has always this size, in pixels (5.7.6.10). */
#define VIRTIO_GPU_CURSOR_SIDE 64u

/*
 * Limits of one guest, where the options have 0. The pixels of all resources, and what scanouts have copied
 * of blobs: one of the largest, or a screen of 3840 to 2160 with two buffers and all that a desktop has
 * beside it.
 */
#define VIRTIO_GPU_PIXEL_BYTES_MAX (256ull << 20)
/* A desktop has some hundred. */
#define VIRTIO_GPU_RESOURCES_MAX 4096u
/* Pieces of guest memory that back one resource: as many as QEMU takes. */
#define VIRTIO_GPU_ENTRIES_MAX 16384u
/* And all of them: twice what the pixels need in pages; 16 bytes each. */
#define VIRTIO_GPU_ALL_ENTRIES_MAX 131072u

struct virtio_gpu;

struct virtio_gpu_rect {
	uint32_t x, y, width, height; /* pixels */
};

/*
 * What a scanout shows: pixels that the guest draws at any time, 0xRRGGBB and a byte that means nothing. They
 * are read once each, and may be torn.
 */
struct virtio_gpu_picture {
	const uint32_t *pixels;
	unsigned width, height; /* at least 1, at most VIRTIO_GPU_SIDE_MAX */
	size_t stride_bytes;	/* between lines */
	unsigned references;	/* private, atomic */
	struct gpu_pixels *store;
};

/* Any thread. put() accepts NULL. */
struct virtio_gpu_picture *virtio_gpu_picture_get(struct virtio_gpu_picture *picture);
void virtio_gpu_picture_put(struct virtio_gpu_picture *picture);

struct virtio_gpu_cursor {
	/* Where its upper left corner is in the scanout; some of it may be outside */
	int32_t x, y;
	/* The pixel that points, from that corner */
	uint32_t hot_x, hot_y;
	/*
	 * VIRTIO_GPU_CURSOR_SIDE to the square, 0xAARRGGBB, premultiplied; NULL: there is no cursor. Until
	 * the return.
	 */
	const uint32_t *pixels;
	bool moved_only; /* the rest is as it was */
};

/*
 * For implementers of an output. On the worker of the queues, or on the control thread while no queue runs.
 * Must not block; none may be NULL but the last.
 */
struct virtio_gpu_output_ops {
	/*
	 * The scanout shows this from now on; NULL: it is dark. An output that keeps the picture takes a
	 * reference of its own.
	 */
	void (*show)(void *context, unsigned scanout, struct virtio_gpu_picture *picture);
	/* The guest has drawn there, a rectangle inside the picture that is shown. Comes very often, maybe.
	 */
	void (*damage)(void *context, unsigned scanout, const struct virtio_gpu_rect *rect);
	void (*cursor)(void *context, unsigned scanout, const struct virtio_gpu_cursor *cursor);
	/*
	 * All scanouts are dark, and not for a while: the front end is gone, or it reset the device. Control
	 * thread.
	 */
	void (*absent)(void *context);
	/*
	 * A stream socket at which the front end would be told what is shown (vhost-user-gpu protocol). The
	 * output's from now on; one that came before is of no use any more. Control thread. NULL: it is
	 * refused.
	 */
	void (*front_end_socket)(void *context, int fd);
};

struct virtio_gpu_options {
	unsigned scanouts; /* 1 to VIRTIO_GPU_SCANOUTS_MAX */
	/* Of the monitors, with the scanout's number behind it: 10 characters are seen. NULL: "0". Copied. */
	const char *serial;
	/* Limits; 0: as above */
	uint64_t pixel_bytes_max;
	unsigned resources_max, all_entries_max;
	const struct virtio_gpu_output_ops *output;
	void *context; /* of the output's ops */
};

extern const struct virtio_model_ops virtio_gpu_model;

/* Scanouts are 1024 to 768, the first one enabled. Returns 0, -EINVAL (the number of scanouts) or -ENOMEM. */
int virtio_gpu_create(const struct virtio_gpu_options *options, struct virtio_gpu **ret_device);
/* No queue runs. The outputs go dark. NULL is allowed. */
void virtio_gpu_destroy(struct virtio_gpu *device);

/*
 * Takeover. save: all that the driver has made, in a memory file; returns the file, or -errno. restore: in
 * the successor, of a device that is new; the output is told what is shown. Returns 0, -EBADMSG (another
 * version, another number of scanouts, or damaged) or -ENOMEM; the device is as new then. No queue runs.
 * Control thread.
 */
int virtio_gpu_save(const struct virtio_gpu *device);
int virtio_gpu_restore(struct virtio_gpu *device, int file);

/*
 * The scanout's window has another size, is there or is gone: the driver is told when it asks. The caller has
 * the front end say that the configuration changed. Control thread. Returns 0, -EINVAL (no such scanout, or a
 * side of 0 or above VIRTIO_GPU_SIDE_MAX).
 */
int virtio_gpu_set_size(struct virtio_gpu *device, unsigned scanout, unsigned width, unsigned height,
			bool enabled);

#endif
