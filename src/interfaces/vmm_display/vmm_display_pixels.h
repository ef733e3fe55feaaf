/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checks of what a call of QEMU's says about pixels, before any of them is looked at. Pure: numbers in,
 * a struct or an error out.
 */
#ifndef VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_PIXELS_H
#define VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_PIXELS_H

#include <stddef.h>
#include <stdint.h>

/* A block of pixels that can be read: all of its lines are inside of its bytes. */
struct vmm_display_pixels {
	uint32_t width, height; /* 1 to VMM_DISPLAY_SIDE_MAX */
	uint32_t stride_bytes;	/* from line to line, a multiple of 4 */
	uint32_t format;	/* of pixman, one that needs no palette and has one plane */
	const void *bytes;	/* not owned, on a multiple of 4 */
};

/* Inside of a picture, and not empty. */
struct vmm_display_rect {
	uint32_t x, y, width, height;
};

/*
 * Returns 0, -ERANGE (a side is 0 or too large), -EOPNOTSUPP (the format is none that is converted) or
 * -EINVAL (the stride is shorter than a line or no multiple of 4, or there are fewer than the `count` bytes
 * that the lines need).
 */
int vmm_display_pixels_check(uint32_t width, uint32_t height, uint32_t stride_bytes, uint32_t format,
			     const void *bytes, size_t count, struct vmm_display_pixels *ret_pixels);

/* Returns 0, or -ERANGE: the rectangle is empty, or not inside of a picture of this size. */
int vmm_display_rect_check(int32_t x, int32_t y, int32_t width, int32_t height, uint32_t picture_width,
			   uint32_t picture_height, struct vmm_display_rect *ret_rect);

#endif
