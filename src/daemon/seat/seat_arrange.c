/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How users arrange windows: at which size a guest's picture is shown, which it is asked for, and all of them
 * side by side.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/seat/display_device.h"
#include "daemon/seat/seat_room.h"

/* ---- the scale ---- */

bool seat_parse_scale(const char *text, unsigned *ret_percent)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long percent;

	if (strcmp(text, "fit") == 0) {
		*ret_percent = SEAT_SCALE_FIT;
		return true;
	}
	if (digits < 1 || digits > 3 || strcmp(text + digits, "%") != 0)
		return false;
	percent = strtoul(text, NULL, 10);
	if (percent < SEAT_SCALE_MIN || percent > SEAT_SCALE_MAX)
		return false;
	*ret_percent = (unsigned)percent;
	return true;
}

void seat_print_scale(unsigned percent, char text[SEAT_SCALE_TEXT_SIZE])
{
	if (percent == SEAT_SCALE_FIT)
		snprintf(text, SEAT_SCALE_TEXT_SIZE, "fit");
	else
		snprintf(text, SEAT_SCALE_TEXT_SIZE, "%u%%", percent);
}

struct scale_errand {
	struct seat_window *window;
	unsigned percent;
};

/* On the seats' thread. */
static void scale(void *context)
{
	const struct scale_errand *errand = context;

	seat_window_set_scale(errand->window, errand->percent);
}

void seat_scale_display(const struct display_window *window, unsigned percent)
{
	struct scale_errand errand = { window->window, percent };

	seat_call(window->display->base.daemon, scale, &errand);
}

/* ---- the size that the guest is asked for ---- */

struct size_errand {
	struct seat_window *window;
	unsigned width, height;
	int code;
};

static void ask_size(void *context)
{
	struct size_errand *errand = context;

	errand->code = seat_window_ask_size(errand->window, errand->width, errand->height);
}

int seat_resize_display(const struct display_window *window, unsigned width, unsigned height)
{
	struct size_errand errand = { window->window, width, height, 0 };

	seat_call(window->display->base.daemon, ask_size, &errand);
	return errand.code;
}

/* ---- the overview ---- */

struct overview_errand {
	struct seat *seat;
	bool overview;
};

static void set_overview(void *context)
{
	const struct overview_errand *errand = context;

	seat_set_overview(errand->seat, errand->overview);
}

static void get_overview(void *context)
{
	struct overview_errand *errand = context;

	errand->overview = seat_has_overview(errand->seat);
}

void seat_show_overview(struct daemon_seat *owner, bool overview)
{
	struct overview_errand errand = { owner->screen.seat, overview };

	seat_call(owner->daemon, set_overview, &errand);
}

bool seat_shows_overview(const struct daemon_seat *owner)
{
	struct overview_errand errand = { .seat = owner->screen.seat };

	seat_call(owner->daemon, get_overview, &errand);
	return errand.overview;
}
