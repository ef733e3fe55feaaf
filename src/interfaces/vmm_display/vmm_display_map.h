/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory file in which QEMU draws the guest's picture: org.qemu.Display1.Listener.Unix.Map. It is QEMU's,
 * which may write to it, cut it short or fill it with holes at any time. So it is not mapped: what the file
 * lacks is an error of a read here, and no fault, and reading a hole takes no memory.
 */
#ifndef VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_MAP_H
#define VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_MAP_H

#include <stdint.h>

#include "interfaces/vmm_display/vmm_display_pixels.h"

struct vmm_display_map {
	int file;			  /* owned; -1: there is none */
	uint64_t offset_bytes;		  /* of the picture in the file */
	struct vmm_display_pixels layout; /* all but the bytes, which are NULL */
};

void vmm_display_map_init(struct vmm_display_map *map);
void vmm_display_map_finish(struct vmm_display_map *map);

/*
 * A picture of these numbers, of which the format is one of pixman's, at this offset of `file`, which stays
 * the caller's: *ret_map has a copy. Returns 0, -errno as vmm_display_pixels_check(), -EBADF (no memory file,
 * of which reading never waits) or -EINVAL (the file is too short for all lines).
 */
int vmm_display_map_open(int file, uint32_t offset_bytes, const struct vmm_display_pixels *numbers,
			 struct vmm_display_map *ret_map);

/*
 * Reads the rectangle, which is inside of the picture, to the same place of a picture of the same size:
 * pixels of 0xRRGGBB, lines without a gap. Returns 0, -EPIPE (the file lacks some of it) or -ENOMEM: then
 * some of it may have been read.
 */
int vmm_display_map_read(const struct vmm_display_map *map, const struct vmm_display_rect *rect,
			 uint32_t *pixels);

#endif
