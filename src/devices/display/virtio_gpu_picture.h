/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pixels that models of displays draw into, and the pictures of them that an output shows (virtio_gpu.h). */
#ifndef VIADUCT_DEVICES_DISPLAY_VIRTIO_GPU_PICTURE_H
#define VIADUCT_DEVICES_DISPLAY_VIRTIO_GPU_PICTURE_H

#include <pixman.h>

#include "devices/display/virtio_gpu.h"

#define PIXEL_BYTES 4u

/* All pixels of a device that are referred to: outlives it. */
struct gpu_budget;

struct gpu_budget *gpu_budget_create(uint64_t bytes_max);
void gpu_budget_put(struct gpu_budget *budget);

/* Zeroes, one reference; NULL: over the budget, or out of memory. Written by the worker. */
struct gpu_pixels *gpu_pixels_create(struct gpu_budget *budget, size_t bytes);
void gpu_pixels_put(struct gpu_pixels *pixels);
uint32_t *gpu_pixels_at(const struct gpu_pixels *pixels);

/* Pixels that can be drawn into. */
struct gpu_canvas {
	struct gpu_pixels *pixels; /* NULL: there is none */
	pixman_image_t *image;	   /* of the pixels: a8r8g8b8, without gaps between lines */
};

/* Zeroes. False: over the budget, or out of memory. */
bool gpu_canvas_create(struct gpu_budget *budget, unsigned width, unsigned height,
		       struct gpu_canvas *ret_canvas);
/* There is none afterwards; pixels that an output still shows stay until it lets go. */
void gpu_canvas_drop(struct gpu_canvas *canvas);

/* A part of pixels whose lines are stride_bytes apart; NULL when out of memory. */
struct virtio_gpu_picture *gpu_picture_create(struct gpu_pixels *pixels, size_t stride_bytes,
					      const struct virtio_gpu_rect *rect);

#endif
