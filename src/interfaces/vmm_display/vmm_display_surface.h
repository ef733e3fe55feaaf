/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's picture, in the memory file that the daemon maps, and what the daemon has not yet heard of it.
 * However often the guest draws, that is at most one message: a surface, a rectangle around all damage, or
 * that the picture is dark.
 *
 * QEMU sends pixels, or says where in a memory file of its own they are (vmm_display_map.h). Those of a file
 * are read when the daemon is to be told of them, and so no more often than it draws.
 */
#ifndef VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_SURFACE_H
#define VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_SURFACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "interfaces/vmm_display/vmm_display_map.h"
#include "interfaces/vmm_display/vmm_display_message.h"
#include "interfaces/vmm_display/vmm_display_pixels.h"

struct vmm_display_surface {
	int file;	  /* owned; -1: there has been no picture yet */
	uint32_t *pixels; /* 0xRRGGBB, lines of `width` of them */
	uint32_t width, height;
	uint32_t number; /* of what the daemon is told */
	bool is_lit;	 /* the guest has a picture */
	bool is_shown;	 /* the daemon has a picture */
	bool is_new;	 /* the daemon has to hear of the surface as a whole */
	bool is_untaken; /* the daemon has not yet taken the last surface or damage */
	bool is_damaged; /* it has to hear of `damage` */
	struct vmm_display_rect damage;
	struct vmm_display_map map;	/* QEMU's file; none: it sends pixels */
	bool is_unread;			/* `unread` has to be read from it */
	struct vmm_display_rect unread; /* a part of the damage */
};

void vmm_display_surface_init(struct vmm_display_surface *surface);
void vmm_display_surface_finish(struct vmm_display_surface *surface);

/*
 * The whole picture, in a new file when its size is another. Returns 0, or -errno of the file that could not
 * be made: the picture is as it was. -ENOMEM may also mean that the new one was not drawn.
 */
int vmm_display_surface_set(struct vmm_display_surface *surface, const struct vmm_display_pixels *pixels);
/* A part of it, at x, y. Returns 0, -ENOENT (there is no picture), -ERANGE (not inside of it) or -ENOMEM. */
int vmm_display_surface_update(struct vmm_display_surface *surface, int32_t x, int32_t y,
			       const struct vmm_display_pixels *pixels);
/*
 * The same two for a picture that is in `map`, which the surface takes in any case. Returns 0, or -errno of
 * the file that could not be made: the picture is as it was.
 */
int vmm_display_surface_set_map(struct vmm_display_surface *surface, const struct vmm_display_map *map);
/* Returns 0, -ENOENT (there is no map) or -ERANGE (the rectangle is not inside of the picture). */
int vmm_display_surface_update_map(struct vmm_display_surface *surface, int32_t x, int32_t y, int32_t width,
				   int32_t height);
/* There is no picture, until it is set the next time. */
void vmm_display_surface_darken(struct vmm_display_surface *surface);

/* The daemon has taken what it was told last. */
void vmm_display_surface_taken(struct vmm_display_surface *surface);
/* The daemon is another, which shows the window and has no picture yet. `number`: VMM_DISPLAY_AGAIN's. */
void vmm_display_surface_again(struct vmm_display_surface *surface, uint32_t number);

/*
 * Before vmm_display_surface_news(): reads from QEMU's file what the daemon is to be told of now. A file that
 * was cut short shows nothing more: the picture is dark.
 */
void vmm_display_surface_read(struct vmm_display_surface *surface);
/*
 * What the daemon is to be told now; false: nothing. *ret_file is the file that goes with it, which stays the
 * surface's, or -1. When it was told, vmm_display_surface_told() is called.
 */
bool vmm_display_surface_news(const struct vmm_display_surface *surface,
			      struct vmm_display_message *ret_message, int *ret_file);
void vmm_display_surface_told(struct vmm_display_surface *surface);

#endif
