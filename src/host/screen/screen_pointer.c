/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/screen/screen_pointer.h"

#include "host/screen/screen.h"

/* '.' is white, '#' black, and a blank is the picture. */
static const char arrow[SCREEN_POINTER_HEIGHT][SCREEN_POINTER_WIDTH + 1] = {
	".          ", /**/
	"..         ", /**/
	".#.        ", /**/
	".##.       ", /**/
	".###.      ", /**/
	".####.     ", /**/
	".#####.    ", /**/
	".######.   ", /**/
	".#######.  ", /**/
	".########. ", /**/
	".#####.....", /**/
	".##.##.    ", /**/
	".#. .##.   ", /**/
	"..  .##.   ", /**/
	".    .##.  ", /**/
	"     .##.  ", /**/
	"      ..   ", /**/
};

void screen_pointer_draw(uint32_t *pixels, size_t stride_bytes, unsigned width, unsigned height, int x, int y)
{
	for (unsigned row = 0; row < SCREEN_POINTER_HEIGHT; row++) {
		int64_t line = (int64_t)y + row;
		uint32_t *to;

		if (line < 0 || line >= height)
			continue;
		to = (uint32_t *)((uint8_t *)pixels + (size_t)line * stride_bytes);
		for (unsigned column = 0; column < SCREEN_POINTER_WIDTH; column++) {
			int64_t at = (int64_t)x + column;

			if (at >= 0 && at < width && arrow[row][column] != ' ')
				to[at] = arrow[row][column] == '#' ? 0 : 0xffffff;
		}
	}
}
