/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vmm_display/vmm_display_map.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pixman.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/checked.h"
#include "core/fd.h"
#include "interfaces/vmm_display/vmm_display_message.h"

#define PIXEL_BYTES 4u
/* Of the longest line in any format that is known, and what is read beside it to begin on a multiple of 4. */
#define LINE_WORDS (VMM_DISPLAY_SIDE_MAX + 2)

void vmm_display_map_init(struct vmm_display_map *map)
{
	*map = (struct vmm_display_map){ .file = -1 };
}

void vmm_display_map_finish(struct vmm_display_map *map)
{
	fd_close(&map->file);
	vmm_display_map_init(map);
}

int vmm_display_map_open(int file, uint32_t offset_bytes, const struct vmm_display_pixels *numbers,
			 struct vmm_display_map *ret_map)
{
	struct vmm_display_map map = { .offset_bytes = offset_bytes };
	struct stat status;
	uint64_t end_bytes;
	/* That the bytes are there is checked below. */
	int error = vmm_display_pixels_check(numbers->width, numbers->height, numbers->stride_bytes,
					     numbers->format, NULL, SIZE_MAX, &map.layout);

	if (error < 0)
		return error;
	/* Answered for memory files only, and without a word to a file system that may never answer. */
	if (fcntl(file, F_GET_SEALS) < 0 || fstat(file, &status) < 0)
		return -EBADF;
	end_bytes = offset_bytes + (uint64_t)map.layout.stride_bytes * (map.layout.height - 1) +
		    (uint64_t)map.layout.width * PIXMAN_FORMAT_BPP(map.layout.format) / 8;
	if (status.st_size < 0 || (uint64_t)status.st_size < end_bytes)
		return -EINVAL;
	map.file = fcntl(file, F_DUPFD_CLOEXEC, 0);
	if (map.file < 0)
		return -errno;
	*ret_map = map;
	return 0;
}

/* ---- reading ---- */

static int read_all(const struct vmm_display_map *map, void *to, size_t bytes, uint64_t place_bytes)
{
	uint8_t *at = to;

	while (bytes > 0) {
		ssize_t count = pread(map->file, at, bytes, (off_t)(map->offset_bytes + place_bytes));

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return -EPIPE;
		at += count;
		bytes -= (size_t)count;
		place_bytes += (size_t)count;
	}
	return 0;
}

static bool is_as_shown(const struct vmm_display_map *map)
{
	return map->layout.format == PIXMAN_x8r8g8b8 || map->layout.format == PIXMAN_a8r8g8b8;
}

/* All lines with one call, when there is nothing between them. */
static int copy(const struct vmm_display_map *map, const struct vmm_display_rect *rect, uint32_t *pixels)
{
	uint64_t stride_bytes = map->layout.stride_bytes;
	size_t width = map->layout.width, line_bytes = rect->width * (size_t)PIXEL_BYTES;
	bool is_whole = rect->width == width && stride_bytes == line_bytes;
	uint32_t lines = is_whole ? rect->height : 1;
	int error = 0;

	for (uint32_t y = rect->y; y < rect->y + rect->height && error == 0; y += lines)
		error = read_all(map, pixels + y * width + rect->x, line_bytes * lines,
				 y * stride_bytes + rect->x * (uint64_t)PIXEL_BYTES);
	return error;
}

/* One line: pixman reads it with the same x as it has in the picture, but for whole words before it. */
static int convert_line(const struct vmm_display_map *map, const struct vmm_display_rect *rect, uint32_t y,
			pixman_image_t *target)
{
	uint32_t line[LINE_WORDS];
	unsigned bits = PIXMAN_FORMAT_BPP(map->layout.format);
	/* Words of 32 bits hold whole pixels of all formats but those of 24 bits: four are three words. */
	uint32_t before = rect->x - rect->x % 4;
	uint64_t from_bytes = (uint64_t)before * bits / 8;
	size_t bytes = (size_t)((uint64_t)(rect->x + rect->width) * bits / 8 - from_bytes);
	pixman_image_t *source;
	int error;

	assert(bytes <= sizeof(line));
	error = read_all(map, line, bytes, (uint64_t)y * map->layout.stride_bytes + from_bytes);
	if (error < 0)
		return error;
	source = pixman_image_create_bits_no_clear((pixman_format_code_t)map->layout.format,
						   (int)(rect->x + rect->width - before), 1, line,
						   sizeof(line));
	if (!source)
		return -ENOMEM;
	pixman_image_composite32(PIXMAN_OP_SRC, source, NULL, target, (int)(rect->x - before), 0, 0, 0,
				 (int)rect->x, (int)y, (int)rect->width, 1);
	pixman_image_unref(source);
	return 0;
}

static int convert(const struct vmm_display_map *map, const struct vmm_display_rect *rect, uint32_t *pixels)
{
	int width = (int)map->layout.width, error = 0;
	pixman_image_t *target = pixman_image_create_bits_no_clear(
		PIXMAN_x8r8g8b8, width, (int)map->layout.height, pixels, width * (int)PIXEL_BYTES);

	if (!target)
		return -ENOMEM;
	for (uint32_t y = rect->y; y < rect->y + rect->height && error == 0; y++)
		error = convert_line(map, rect, y, target);
	pixman_image_unref(target);
	return error;
}

int vmm_display_map_read(const struct vmm_display_map *map, const struct vmm_display_rect *rect,
			 uint32_t *pixels)
{
	assert(checked_range(rect->x, rect->width, map->layout.width) &&
	       checked_range(rect->y, rect->height, map->layout.height));
	return is_as_shown(map) ? copy(map, rect, pixels) : convert(map, rect, pixels);
}
