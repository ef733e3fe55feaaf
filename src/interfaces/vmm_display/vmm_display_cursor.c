/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vmm_display/vmm_display_cursor.h"

#include <errno.h>
#include <unistd.h>

#include "core/fd.h"

#define PIXEL_BYTES 4u
/* Of the largest. */
#define FILE_BYTES ((size_t)VMM_DISPLAY_CURSOR_MAX * VMM_DISPLAY_CURSOR_MAX * PIXEL_BYTES)

void vmm_display_cursor_init(struct vmm_display_cursor *cursor)
{
	*cursor = (struct vmm_display_cursor){ .file = -1 };
}

void vmm_display_cursor_finish(struct vmm_display_cursor *cursor)
{
	fd_close(&cursor->file);
	vmm_display_cursor_init(cursor);
}

/* What the file holds: the daemon that reads meanwhile hears of it anew. */
static int write_pixels(struct vmm_display_cursor *cursor, const void *bytes, size_t count)
{
	ssize_t written;

	if (cursor->file < 0)
		cursor->file = fd_memfd("viaduct-vmm-cursor", FILE_BYTES);
	if (cursor->file < 0)
		return cursor->file;
	written = pwrite(cursor->file, bytes, count, 0);
	if (written < 0)
		return -errno;
	return (size_t)written == count ? 0 : -EIO;
}

int vmm_display_cursor_define(struct vmm_display_cursor *cursor, const int32_t size[2], const int32_t hot[2],
			      const void *bytes, size_t count)
{
	int error;

	for (unsigned i = 0; i < 2; i++)
		if (size[i] < 1 || size[i] > (int32_t)VMM_DISPLAY_CURSOR_MAX || hot[i] < 0 ||
		    hot[i] >= size[i])
			return -ERANGE;
	if (count != (size_t)size[0] * (size_t)size[1] * PIXEL_BYTES)
		return -EINVAL;
	error = write_pixels(cursor, bytes, count);
	if (error < 0)
		return error;
	cursor->width = (uint32_t)size[0];
	cursor->height = (uint32_t)size[1];
	cursor->hot_x = (uint32_t)hot[0];
	cursor->hot_y = (uint32_t)hot[1];
	cursor->is_new = true;
	return 0;
}

/* As far away as makes no difference any more. */
static int32_t clamp(int32_t place)
{
	const int32_t most = 2 * (int32_t)VMM_DISPLAY_SIDE_MAX;

	if (place > most)
		return most;
	return place < -most ? -most : place;
}

void vmm_display_cursor_move(struct vmm_display_cursor *cursor, int32_t x, int32_t y, bool visible)
{
	x = clamp(x);
	y = clamp(y);
	cursor->is_moved |= x != cursor->x || y != cursor->y || visible != cursor->is_visible;
	cursor->x = x;
	cursor->y = y;
	cursor->is_visible = visible;
}

/* ---- what the daemon is told ---- */

void vmm_display_cursor_taken(struct vmm_display_cursor *cursor)
{
	cursor->is_untaken = false;
}

void vmm_display_cursor_again(struct vmm_display_cursor *cursor, uint32_t number)
{
	cursor->number = number;
	cursor->is_untaken = false;
	cursor->is_new = cursor->width > 0;
}

bool vmm_display_cursor_news(const struct vmm_display_cursor *cursor, struct vmm_display_message *ret_message,
			     int *ret_file)
{
	/* One that looks like nothing is nowhere. */
	if (cursor->is_untaken || cursor->width == 0 || (!cursor->is_new && !cursor->is_moved))
		return false;
	*ret_message = (struct vmm_display_message){ .kind = VMM_DISPLAY_CURSOR,
						     .number = cursor->number,
						     .x = (uint32_t)cursor->x + cursor->hot_x,
						     .y = (uint32_t)cursor->y + cursor->hot_y,
						     .down = cursor->is_visible };
	*ret_file = -1;
	if (!cursor->is_new)
		return true;
	ret_message->width = cursor->width;
	ret_message->height = cursor->height;
	ret_message->cursor.hot_x = cursor->hot_x;
	ret_message->cursor.hot_y = cursor->hot_y;
	*ret_file = cursor->file;
	return true;
}

void vmm_display_cursor_told(struct vmm_display_cursor *cursor)
{
	cursor->is_untaken = true;
	cursor->is_new = cursor->is_moved = false;
}
