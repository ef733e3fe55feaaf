/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's cursor, in a memory file that the daemon reads, and what the daemon has not yet heard of it.
 * However often it changes or moves, that is at most one message.
 */
#ifndef VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_CURSOR_H
#define VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "interfaces/vmm_display/vmm_display_message.h"

struct vmm_display_cursor {
	int file;		/* owned; -1: there has been no cursor yet */
	uint32_t width, height; /* of what is in it */
	uint32_t hot_x, hot_y;
	int32_t x, y; /* of its upper left corner in the picture, or near enough to it */
	bool is_visible;
	uint32_t number; /* of what the daemon is told */
	bool is_new;	 /* the daemon has to hear of its looks */
	bool is_moved;	 /* it has to hear of its place */
	bool is_untaken; /* the daemon has not yet taken the last message */
};

void vmm_display_cursor_init(struct vmm_display_cursor *cursor);
void vmm_display_cursor_finish(struct vmm_display_cursor *cursor);

/*
 * It looks like this, 0xAARRGGBB. Returns 0, -ERANGE (a side is 0 or too large, or the hot spot is outside),
 * -EINVAL (the `count` bytes are not those of its pixels) or -errno of the file: it is as it was.
 */
int vmm_display_cursor_define(struct vmm_display_cursor *cursor, const int32_t size[2], const int32_t hot[2],
			      const void *bytes, size_t count);
/*
 * Its upper left corner is there, wherever that is. QEMU does not say whether it means the corner or the hot
 * spot, and hands on what the guest's driver says: with virtio-gpu, which most guests with a cursor have,
 * that is the corner.
 */
void vmm_display_cursor_move(struct vmm_display_cursor *cursor, int32_t x, int32_t y, bool visible);

/* As of the surface (vmm_display_surface.h). */
void vmm_display_cursor_taken(struct vmm_display_cursor *cursor);
void vmm_display_cursor_again(struct vmm_display_cursor *cursor, uint32_t number);
bool vmm_display_cursor_news(const struct vmm_display_cursor *cursor, struct vmm_display_message *ret_message,
			     int *ret_file);
void vmm_display_cursor_told(struct vmm_display_cursor *cursor);

#endif
