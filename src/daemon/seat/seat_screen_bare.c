/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a bare screen has that a seat's has not. */
#include <assert.h>
#include <string.h>

#include "daemon/seat/seat_screen.h"

/* ---- life ---- */

void seat_screen_list_bare(struct seat_screen *screen)
{
	screen->next_bare = screen->whole->bare;
	screen->whole->bare = screen;
}

void seat_screen_leave_bare(struct seat_screen *screen)
{
	struct seat_screen **link = &screen->whole->bare;

	while (*link && *link != screen)
		link = &(*link)->next_bare;
	if (!*link)
		return;
	*link = screen->next_bare;
	seat_screen_stop(screen);
	screen->from_ns = UINT64_MAX;
}

void seat_screen_close_bare(struct seat_screen *screen)
{
	assert(!screen->viewers && screen->from_ns == UINT64_MAX);
	seat_destroy(screen->seat);
	screen->seat = NULL;
}

struct seat_screen *seat_screen_find_bare(const struct seat_screen *whole, const char *name)
{
	struct seat_screen *found = whole->bare;

	while (found && strcmp(found->name, name) != 0)
		found = found->next_bare;
	return found;
}

/* ---- the size ---- */

/* Viewers keep the memory that they have until they are told of the other. */
bool seat_screen_fit(struct seat_screen *screen)
{
	unsigned width, height;
	int error;

	if (!screen->viewers)
		return false;
	seat_size(screen->seat, &width, &height);
	if (screen->pixels && width == screen->width && height == screen->height)
		return true;
	seat_screen_drop_pixels(screen);
	error = seat_screen_make_pixels(screen, width, height);
	for (struct seat_viewer *viewer = screen->viewers; viewer; viewer = viewer->next)
		seat_viewer_change_screen(viewer, error);
	seat_change_all(screen->seat);
	return !error;
}

int seat_screen_ask_size(const struct seat_screen *screen, unsigned width, unsigned height)
{
	return seat_window_ask_size(seat_bare_window(screen->seat), width, height);
}
