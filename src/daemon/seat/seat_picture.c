/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/seat_picture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/seat/display_device.h"
#include "daemon/seat/seat_room.h"

struct copy_errand {
	struct seat_screen *screen; /* or: */
	const struct seat_window *window;
	struct seat_picture picture;
	int code;
};

static void copy(struct copy_errand *errand, const struct seat_pixels *from)
{
	size_t line_bytes = (size_t)from->width * 4;
	uint8_t *to = malloc(line_bytes * from->height);

	errand->code = to ? 0 : -ENOMEM;
	errand->picture = (struct seat_picture){ from->width, from->height, (uint32_t *)to };
	for (unsigned y = 0; to && y < from->height; y++)
		memcpy(to + y * line_bytes, (const uint8_t *)from->pixels + y * from->stride, line_bytes);
}

/* Both on the seats' thread. */
static void copy_screen(void *context)
{
	struct copy_errand *errand = context;
	const struct seat_screen *screen = errand->screen;
	struct seat_pixels pixels = { screen->pixels, screen->width, screen->height, screen->stride_bytes };

	seat_screen_draw(errand->screen);
	copy(errand, &pixels);
}

static void copy_window(void *context)
{
	struct copy_errand *errand = context;
	struct seat_pixels pixels = seat_window_pixels(errand->window);

	copy(errand, &pixels);
}

int seat_picture_of_screen(struct daemon_seat *owner, struct seat_picture *ret_picture)
{
	struct copy_errand errand = { .screen = &owner->screen };

	seat_call(owner->daemon, copy_screen, &errand);
	if (!errand.code)
		*ret_picture = errand.picture;
	return errand.code;
}

int seat_picture_of_display(const struct display_window *window, struct seat_picture *ret_picture)
{
	struct copy_errand errand = { .window = window->window };

	seat_call(window->display->base.daemon, copy_window, &errand);
	if (!errand.code)
		*ret_picture = errand.picture;
	return errand.code;
}

void seat_picture_finish(struct seat_picture *picture)
{
	free(picture->pixels);
	picture->pixels = NULL;
}
