/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/display_device.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/seat/seat_room.h"
#include "interfaces/vmm_display/vmm_display.h"

void display_title(const struct device *device, char title[DISPLAY_TITLE_MAX])
{
	snprintf(title, DISPLAY_TITLE_MAX, "%s",
		 strcmp(device->short_name, "0") == 0 ? device->guest->name : device->name);
}

static void configure(struct device *device, const struct config_object *object)
{
	const struct config_display *settings = (const struct config_display *)object;
	struct display_device *display = display_device_of(device);

	/* A display exists because its section does. */
	if (!settings)
		return;
	snprintf(display->seat_name, sizeof(display->seat_name), "%s", settings->seat);
	display->colour = seat_display_colour(device->daemon->config, settings);
}

/* ---- the window, on the seats' thread ---- */

struct open_errand {
	struct display_device *display;
	struct seat_window_options options;
	int code;
};

static void open_window(void *context)
{
	struct open_errand *errand = context;

	errand->code = seat_window_open(errand->display->seat->screen.seat, &errand->options,
					&errand->display->window);
}

static void close_window(void *context)
{
	seat_window_close(context);
}

static int open_display(struct device *device)
{
	struct display_device *display = display_device_of(device);
	char title[DISPLAY_TITLE_MAX];
	struct open_errand errand = {
		.display = display,
		.options = { .name = title, .colour = display->colour, .hidden = true },
	};

	display->seat = daemon_seat_find(device->daemon, display->seat_name);
	if (!display->seat)
		return error_set(&device->error, -ENOENT,
				 "there is no seat %s: it could not be opened, or is new since the start",
				 display->seat_name);
	display_title(device, title);
	/* The longest name of a guest and a display may be longer than a title. */
	title[SEAT_NAME_MAX] = '\0';
	seat_call(device->daemon, open_window, &errand);
	if (errand.code) {
		display->seat = NULL;
		return error_set(&device->error, errand.code, "cannot open its window: %s",
				 strerror(-errand.code));
	}
	display->seat->displays++;
	return 0;
}

static void close_display(struct device *device)
{
	struct display_device *display = display_device_of(device);

	if (!display->seat)
		return;
	seat_call(device->daemon, close_window, display->window);
	display->seat->displays--;
	display->seat = NULL;
	display->window = NULL;
}

static void call_seat(void *daemon, void (*run)(void *context), void *context)
{
	seat_call(daemon, run, context);
}

static int endpoint_create(struct device *device, const struct endpoint_options *endpoint,
			   struct handover *handed, struct endpoint **ret_endpoint)
{
	struct display_device *display = display_device_of(device);
	struct vmm_display_options options = {
		.endpoint = *endpoint,
		.seat = device->daemon->seat_worker->loop,
		.call = call_seat,
		.call_context = device->daemon,
		.window = display->window,
	};

	options.endpoint.porter = device->daemon->display_porter;
	return handed ? vmm_display_restore(&options, handed, ret_endpoint)
		      : vmm_display_create(&options, ret_endpoint);
}

/* ---- the kind ---- */

static void open_displays(struct daemon *daemon)
{
	for (const struct config_object *object = config_list(daemon->config, &config_section_display);
	     object; object = object->next) {
		struct device *device = device_add(daemon, &display_device_kind, object->name);

		if (device)
			device_serve(device);
		else
			log_error(NULL, "%s: out of memory", object->name);
	}
	seats_start(daemon);
}

static void reload(struct daemon *daemon, const struct config *old, struct change_report *report)
{
	seats_reload(daemon, old, report);
	devices_reload(daemon, &display_device_kind, old, report);
}

const struct device_kind display_device_kind = {
	.name = "display",
	.section = &config_section_display,
	.device_bytes = sizeof(struct display_device),
	.open_resources = seats_open,
	.open_devices = open_displays,
	.close_resources = seats_close,
	.stand_still = seats_stand_still,
	.hand_over = seats_hand_over,
	.reload = reload,
	.print_metrics = seats_print_metrics,
	.plan = seats_plan,
	.configure = configure,
	.open = open_display,
	.endpoint_create = endpoint_create,
	.close = close_display,
	.describe = display_describe,
	.status = display_status,
};
