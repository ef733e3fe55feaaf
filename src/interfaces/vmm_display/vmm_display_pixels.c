/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vmm_display/vmm_display_pixels.h"

#include <errno.h>
#include <pixman.h>
#include <stdbool.h>

#include "core/checked.h"
#include "interfaces/vmm_display/vmm_display_message.h"

/* What pixman and QEMU's lines are aligned to. */
#define ALIGNMENT 4u

/* pixman knows more: those with a palette or in several planes would need more than their bytes. */
static bool is_known(uint32_t format)
{
	switch (format) {
	case PIXMAN_x8r8g8b8:
	case PIXMAN_a8r8g8b8:
	case PIXMAN_x8b8g8r8:
	case PIXMAN_a8b8g8r8:
	case PIXMAN_b8g8r8x8:
	case PIXMAN_b8g8r8a8:
	case PIXMAN_r8g8b8x8:
	case PIXMAN_r8g8b8a8:
	case PIXMAN_x2r10g10b10:
	case PIXMAN_a2r10g10b10:
	case PIXMAN_r8g8b8:
	case PIXMAN_b8g8r8:
	case PIXMAN_r5g6b5:
	case PIXMAN_b5g6r5:
	case PIXMAN_x1r5g5b5:
	case PIXMAN_a1r5g5b5:
		return true;
	default:
		return false;
	}
}

static bool is_side(uint32_t side)
{
	return side >= 1 && side <= VMM_DISPLAY_SIDE_MAX;
}

int vmm_display_pixels_check(uint32_t width, uint32_t height, uint32_t stride_bytes, uint32_t format,
			     const void *bytes, size_t count, struct vmm_display_pixels *ret_pixels)
{
	uint64_t line_bytes, needed_bytes;

	if (!is_side(width) || !is_side(height))
		return -ERANGE;
	if (!is_known(format))
		return -EOPNOTSUPP;
	line_bytes = (uint64_t)width * PIXMAN_FORMAT_BPP(format) / 8;
	/* The last line may end before its stride does. */
	needed_bytes = (uint64_t)stride_bytes * (height - 1) + line_bytes;
	if (stride_bytes < line_bytes || stride_bytes > INT32_MAX || !is_aligned(stride_bytes, ALIGNMENT) ||
	    count < needed_bytes || !is_aligned((uintptr_t)bytes, ALIGNMENT))
		return -EINVAL;
	*ret_pixels = (struct vmm_display_pixels){ width, height, stride_bytes, format, bytes };
	return 0;
}

int vmm_display_rect_check(int32_t x, int32_t y, int32_t width, int32_t height, uint32_t picture_width,
			   uint32_t picture_height, struct vmm_display_rect *ret_rect)
{
	if (x < 0 || y < 0 || width < 1 || height < 1 ||
	    !checked_range((uint64_t)x, (uint64_t)width, picture_width) ||
	    !checked_range((uint64_t)y, (uint64_t)height, picture_height))
		return -ERANGE;
	*ret_rect = (struct vmm_display_rect){ (uint32_t)x, (uint32_t)y, (uint32_t)width, (uint32_t)height };
	return 0;
}
