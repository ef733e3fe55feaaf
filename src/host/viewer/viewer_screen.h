/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The seat's screen, mapped from the memory file that the daemon draws into. It can only be read. */
#ifndef VIADUCT_HOST_VIEWER_VIEWER_SCREEN_H
#define VIADUCT_HOST_VIEWER_VIEWER_SCREEN_H

#include <stddef.h>
#include <stdint.h>

struct viewer_message;

/* A zeroed one is none. */
struct viewer_screen {
	void *pixels;
	size_t bytes; /* that are mapped */
	uint32_t width, height, stride_bytes;
};

/*
 * Maps what a VIEWER_SCREEN says of `fd`, which stays the caller's. Returns 0, -EINVAL (sizes that cannot be,
 * or a file that is smaller) or -errno.
 */
int viewer_screen_map(const struct viewer_message *message, int fd, struct viewer_screen *ret_screen);
/* Afterwards it is zeroed. */
void viewer_screen_unmap(struct viewer_screen *screen);

#endif
