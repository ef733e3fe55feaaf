/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/viewer/viewer_screen.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "host/viewer/viewer_message.h"

#define PIXEL_BYTES 4u

static bool side_is_possible(uint32_t side)
{
	return side > 0 && side <= VIEWER_SIDE_MAX;
}

int viewer_screen_map(const struct viewer_message *message, int fd, struct viewer_screen *ret_screen)
{
	uint64_t bytes = (uint64_t)message->height * message->stride_bytes;
	struct stat status;
	void *pixels;

	if (!side_is_possible(message->width) || !side_is_possible(message->height) ||
	    message->stride_bytes % PIXEL_BYTES != 0 || message->stride_bytes / PIXEL_BYTES < message->width)
		return -EINVAL;
	/* The library that reads it counts in int. */
	if (bytes > INT_MAX)
		return -EINVAL;
	if (fstat(fd, &status) < 0)
		return -errno;
	if (status.st_size < (off_t)bytes)
		return -EINVAL;
	pixels = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (pixels == MAP_FAILED)
		return -errno;
	*ret_screen = (struct viewer_screen){ .pixels = pixels,
					      .bytes = bytes,
					      .width = message->width,
					      .height = message->height,
					      .stride_bytes = message->stride_bytes };
	return 0;
}

void viewer_screen_unmap(struct viewer_screen *screen)
{
	if (screen->pixels)
		munmap(screen->pixels, screen->bytes);
	*screen = (struct viewer_screen){ 0 };
}
