/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/display_bare.h"

#include <stdio.h>

#include "core/loop_account.h"
#include "daemon/seat/display_device.h"

/* ---- the screen ---- */

struct open_errand {
	struct display_device *display;
	uint64_t after_ns;
	int code;
};

static void open_screen(void *context)
{
	struct open_errand *errand = context;

	errand->code = seat_screen_open_bare(&errand->display->bare.screen,
					     errand->display->windows[0].window, errand->after_ns);
}

static void leave_screen(void *context)
{
	seat_screen_leave_bare(context);
}

static void close_screen(void *context)
{
	seat_screen_close_bare(context);
}

static int make_screen(struct display_device *display)
{
	struct device *device = &display->base;
	const struct seat_screen_options options = { .name = device->name, .subject = &device->subject };
	struct open_errand errand = { display, device->daemon->offer ? SEAT_PICTURES_NS : 0, 0 };
	struct seat_screen *screen = &display->bare.screen;
	int code = seat_screen_init_bare(screen, &display->seat->screen, &options, device->guest->time);

	if (code)
		return code;
	seat_call(device->daemon, open_screen, &errand);
	if (errand.code)
		seat_screen_finish(screen);
	return errand.code;
}

/* ---- where they arrive ---- */

static int open_door(struct display_device *display, struct error *error)
{
	struct seat_door *door = &display->bare.door;
	char name[CONFIG_NAME_SIZE];
	int code;

	seat_print_file_name(display->base.name, name);
	code = seat_door_set_path(door, display_device_kind.name, name, error);
	return code ? code : seat_door_open_bare(door, error);
}

void display_bare_open(struct display_device *display)
{
	struct display_bare *bare = &display->bare;
	struct error error;

	*bare = (struct display_bare){ .open = false };
	if (make_screen(display)) {
		log_error(&display->base.subject, "no viewer can see it alone: out of memory");
		return;
	}
	bare->open = true;
	bare->door.owner = display->seat;
	bare->door.screen = &bare->screen;
	bare->door.kind = "display-door";
	snprintf(bare->door.key, sizeof(bare->door.key), "%s", display->base.name);
	if (display->has_own_viewers && open_door(display, &error))
		log_error(&display->base.subject, "%s", error.text);
}

void display_bare_close(struct display_device *display)
{
	struct display_bare *bare = &display->bare;

	if (!bare->open)
		return;
	bare->open = false;
	seat_door_close(&bare->door);
	seat_call(display->base.daemon, leave_screen, &bare->screen);
	seat_clients_end(display->seat, &bare->screen);
	seat_call(display->base.daemon, close_screen, &bare->screen);
	seat_screen_finish(&bare->screen);
}

unsigned display_bare_viewers(const struct display_device *display)
{
	return display->bare.open ? seat_viewer_count(display->seat, &display->bare.screen) : 0;
}

uint64_t display_bare_cpu_ns(const struct display_device *display)
{
	return display->bare.open ? counter_read(&display->bare.screen.account->used_ns) : 0;
}

/* ---- takeover ---- */

void display_bare_stand_still(struct display_device *display, bool still)
{
	if (display->bare.open)
		seat_door_stand_still(&display->bare.door, still);
}

void display_bare_hand_over(struct display_device *display, struct handover *header)
{
	if (!display->bare.open)
		return;
	seat_door_hand_over(&display->bare.door, header);
	seat_clients_hand_over(display->seat, &display->bare.screen, header);
}

void display_bare_take_over(struct display_device *display)
{
	if (display->bare.open)
		seat_clients_take_over(&display->bare.door);
}
