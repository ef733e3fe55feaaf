/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is told of seats and displays, as JSON; and what users do with them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/device/virtio_endpoint.h"
#include "daemon/seat/display_device.h"
#include "daemon/seat/input_lights.h"
#include "daemon/seat/seat_room.h"
#include "interfaces/vmm_display/vmm_display.h"
#include "interfaces/vmm_display/vmm_display_source.h"

/* ---- displays ---- */

struct look {
	const struct display_window *window;
	struct seat_rect frame, picture;
	unsigned scale;
	bool hidden, focus, full_screen;
	unsigned lights;
};

/* On the seats' thread. */
static void look_at(void *context)
{
	struct look *look = context;
	const struct seat_window *window = look->window->window;
	const struct seat *seat = look->window->display->seat->screen.seat;

	look->frame = seat_window_frame(window);
	look->picture = seat_window_picture(window);
	look->scale = seat_window_scale(window);
	look->hidden = seat_window_is_hidden(window);
	look->focus = seat_focus(seat) == window;
	look->full_screen = seat_full_screen(seat) == window;
	look->lights = seat_window_lights(window);
}

/* How several look at one moment. */
struct display_looks {
	unsigned users, count;
	struct look looks[];
};

/* On the seats' thread. */
static void look_at_all(void *context)
{
	struct display_looks *all = context;

	for (unsigned i = 0; i < all->count; i++)
		look_at(&all->looks[i]);
}

/* Those that are served. NULL: there are none, or no memory. */
static struct display_looks *make_looks(const struct daemon *daemon)
{
	struct display_looks *all;
	unsigned count = 0;

	display_window_for_each(daemon, window) count++;
	all = count > 0 ? calloc(1, sizeof(*all) + count * sizeof(all->looks[0])) : NULL;
	if (!all)
		return NULL;
	display_window_for_each(daemon, window) all->looks[all->count++].window = window;
	return all;
}

void displays_look(struct daemon *daemon)
{
	if (!daemon->display_looks) {
		daemon->display_looks = make_looks(daemon);
		if (daemon->display_looks)
			seat_call(daemon, look_at_all, daemon->display_looks);
	}
	if (daemon->display_looks)
		daemon->display_looks->users++;
}

void displays_forget(struct daemon *daemon)
{
	if (!daemon->display_looks || --daemon->display_looks->users > 0)
		return;
	free(daemon->display_looks);
	daemon->display_looks = NULL;
}

/* As it was when all were looked at, or now. */
static struct look look_of(const struct display_window *window)
{
	const struct daemon *daemon = window->display->base.daemon;
	const struct display_looks *all = daemon->display_looks;
	struct look look = { .window = window };

	for (unsigned i = 0; all && i < all->count; i++) {
		if (all->looks[i].window == window)
			return all->looks[i];
	}
	seat_call(window->display->base.daemon, look_at, &look);
	return look;
}

static json_t *rect_json(const struct seat_rect *rect)
{
	return json_pack("{s:i, s:i, s:i, s:i}", "x", rect->x, "y", rect->y, "width", (int)rect->width,
			 "height", (int)rect->height);
}

void display_describe(const struct device *device, json_t *object)
{
	const struct display_device *display = display_device_of(device);
	char colour[8];

	snprintf(colour, sizeof(colour), "%06x", display->colour & 0xffffff);
	json_object_set_new(object, "seat", json_string(display->seat_name));
	json_object_set_new(object, "source", json_string(display_source_text(display->source)));
	if (display->source != DISPLAY_OF_VMM)
		json_object_set_new(object, "interface",
				    json_string(device_interface_text(display->source == DISPLAY_OF_VIRTIO,
								      display->interface)));
	json_object_set_new(object, "colour", json_string(colour));
	if (seat_colour_name(display->colour))
		json_object_set_new(object, "colour_name", json_string(seat_colour_name(display->colour)));
	json_object_set_new(object, "scanouts", json_integer(display->scanouts));
}

struct number {
	const char *key;
	uint64_t value;
};

static void tell_numbers(const struct number *numbers, size_t count, json_t *object)
{
	for (size_t i = 0; i < count; i++)
		json_object_set_new(object, numbers[i].key, json_integer((json_int_t)numbers[i].value));
}

static void tell_vmm(const struct endpoint *endpoint, json_t *object)
{
	const struct vmm_display_counters *counters = vmm_display_counters(endpoint);
	const struct number numbers[] = {
		{ "pictures", counter_read(&counters->surfaces) },
		{ "drawn_pixels", counter_read(&counters->damaged_pixels) },
		{ "read_pixels", counter_read(&counters->read_pixels) },
		{ "keys", counter_read(&counters->keys) },
		{ "pointer_events", counter_read(&counters->pointer_events) },
		{ "lost_keys", counter_read(&counters->lost_keys) },
	};

	tell_numbers(numbers, sizeof(numbers) / sizeof(numbers[0]), object);
}

static void tell_served(const struct display_served *display, json_t *object)
{
	const struct display_served_counters *counters = display_served_counters(display);
	const struct number numbers[] = {
		{ "pictures", display_served_pictures(display) },
		{ "flushes", display_served_flushes(display) },
		{ "drawn_pixels", counter_read(&counters->damaged_pixels) },
		{ "keys", counter_read(&counters->keys) },
		{ "pointer_events", counter_read(&counters->pointer_events) },
		{ "lost_events", counter_read(&counters->lost) },
	};

	tell_numbers(numbers, sizeof(numbers) / sizeof(numbers[0]), object);
}

static void tell_window(const struct display_window *window, json_t *object)
{
	struct look look = look_of(window);
	char scale[SEAT_SCALE_TEXT_SIZE];

	seat_print_scale(look.scale, scale);
	json_object_set_new(object, "scale", json_string(scale));
	json_object_set_new(object, "shown", json_boolean(!look.hidden));
	json_object_set_new(object, "focus", json_boolean(look.focus));
	json_object_set_new(object, "full_screen", json_boolean(look.full_screen));
	json_object_set_new(object, "leds", input_lights_json(look.lights));
	json_object_set_new(object, "frame", rect_json(&look.frame));
	json_object_set_new(object, "picture", rect_json(&look.picture));
}

/* Who sees the guest alone, which is the display's first window, and what the display has counted. */
static void tell_display(const struct display_window *window, json_t *object)
{
	const struct display_device *display = window->display;
	bool is_first = window->scanout == 0;

	json_object_set_new(object, "viewers", json_integer(is_first ? display_bare_viewers(display) : 0));
	if (is_first && display->bare.door.open)
		json_object_set_new(object, "vnc", json_string(display->bare.door.path));
	if (display->served)
		tell_served(display->served, object);
	else if (display->base.endpoint)
		tell_vmm(display->base.endpoint, object);
}

/* The first window's members are the display's own; those of several have names. */
void display_status(const struct device *device, json_t *object)
{
	const struct display_device *display = display_device_of(device);
	json_t *windows;

	if (!display->seat)
		return;
	tell_window(&display->windows[0], object);
	tell_display(&display->windows[0], object);
	if (display->window_count == 1)
		return;
	windows = json_array();
	for (unsigned i = 0; i < display->window_count; i++) {
		char name[DISPLAY_WINDOW_NAME_SIZE];
		json_t *window =
			json_pack("{s:s}", "display", display_window_name(&display->windows[i], name));

		tell_window(&display->windows[i], window);
		json_array_append_new(windows, window);
	}
	json_object_set_new(object, "windows", windows);
}

/* ---- what users do ---- */

bool seat_shows_display(const struct display_window *window)
{
	return !look_of(window).hidden;
}

struct choice {
	struct seat *seat;
	struct seat_window *window; /* NULL: none */
};

static void focus(void *context)
{
	const struct choice *choice = context;

	seat_set_focus(choice->seat, choice->window);
	if (choice->window)
		seat_window_raise(choice->window);
}

static void enlarge(void *context)
{
	const struct choice *choice = context;

	seat_set_full_screen(choice->seat, choice->window);
}

void seat_focus_display(struct daemon_seat *owner, const struct display_window *window)
{
	struct choice choice = { owner->screen.seat, window ? window->window : NULL };

	seat_call(owner->daemon, focus, &choice);
}

void seat_enlarge_display(struct daemon_seat *owner, const struct display_window *window)
{
	struct choice choice = { owner->screen.seat, window ? window->window : NULL };

	seat_call(owner->daemon, enlarge, &choice);
}

struct type_errand {
	struct seat_screen *screen;
	const struct seat_window *window; /* NULL: any */
	const char *utf8;		  /* NULL: what a viewer has copied */
	size_t bad_offset;
	int code;
};

static void type(void *context)
{
	struct type_errand *errand = context;

	if (errand->window && seat_focus(errand->screen->seat) != errand->window)
		errand->code = -ENOENT;
	else if (!errand->utf8)
		errand->code =
			seat_clipboard_paste(&errand->screen->clipboard, errand->screen, &errand->bad_offset);
	else
		errand->code = seat_screen_type(errand->screen, errand->utf8, strlen(errand->utf8),
						&errand->bad_offset);
}

/* utf8: NULL when the text is not the caller's. */
static int refuse_character(const char *utf8, size_t offset, struct error *error)
{
	size_t bytes = utf8 ? 1 : 0;

	if (!utf8 || (unsigned char)utf8[offset] < ' ')
		return error_set(error, -EINVAL,
				 "the character at byte %zu cannot be typed with the seat's keyboard layout",
				 offset + 1);
	while (((unsigned char)utf8[offset + bytes] & 0xc0) == 0x80)
		bytes++;
	return error_set(error, -EINVAL,
			 "the character %.*s, at byte %zu, cannot be typed with the seat's keyboard layout",
			 (int)bytes, utf8 + offset, offset + 1);
}

int seat_type(struct daemon_seat *owner, const struct display_window *window, const char *utf8,
	      struct error *error)
{
	struct type_errand errand = {
		.screen = &owner->screen,
		.window = window ? window->window : NULL,
		.utf8 = utf8,
	};

	seat_call(owner->daemon, type, &errand);
	switch (errand.code) {
	case 0:
		return 0;
	case -ENOENT:
		if (window)
			return error_set(error, -EBUSY, "another display, or none, has the focus");
		return error_set(error, -EBUSY,
				 "no display has the focus; `viaduct seat focus %s GUEST` gives it to one",
				 owner->name);
	case -ENODATA:
		return error_set(error, -EBUSY,
				 "no viewer of the seat has copied a text since the last was pasted");
	case -ENOSPC:
		return error_set(error, errand.code,
				 "so much text is being typed that there is no room for more");
	default:
		return refuse_character(utf8, errand.bad_offset, error);
	}
}

int seat_paste(struct daemon_seat *owner, const struct display_window *window, struct error *error)
{
	return seat_type(owner, window, NULL, error);
}

/* ---- seats ---- */

static json_t *displays_json(const struct daemon_seat *reported)
{
	json_t *list = json_array();

	displays_look(reported->daemon);
	display_window_for_each(reported->daemon, window)
	{
		const struct display_device *display = window->display;
		char name[DISPLAY_WINDOW_NAME_SIZE];
		json_t *object;

		if (display->seat != reported)
			continue;
		object = json_pack("{s:s}", "display", display_window_name(window, name));
		display_describe(&display->base, object);
		tell_window(window, object);
		tell_display(window, object);
		json_array_append_new(list, object);
	}
	displays_forget(reported->daemon);
	return list;
}

struct describe_errand {
	const struct seat_hardware *hardware;
	json_t *object;
};

static void describe_hardware(void *context)
{
	const struct describe_errand *errand = context;

	seat_hardware_describe(errand->hardware, errand->object);
}

json_t *seat_json(const struct daemon_seat *reported)
{
	const struct seat_screen *screen = &reported->screen;
	struct describe_errand errand = { .hardware = &reported->hardware };

	errand.object = json_pack("{s:s, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o}", "name",
				  reported->name, "width", (int)screen->width, "height", (int)screen->height,
				  "viewers", (int)seat_viewer_count(reported, &reported->screen), "frames",
				  (json_int_t)counter_read(&screen->frames), "drawn_pixels",
				  (json_int_t)counter_read(&screen->drawn_pixels), "typing",
				  (json_int_t)__atomic_load_n(&screen->typing_left, __ATOMIC_ACQUIRE),
				  "typed", (json_int_t)counter_read(&screen->typed_strokes), "dropped",
				  (json_int_t)counter_read(&screen->dropped_strokes), "events",
				  (json_int_t)counter_read(&screen->events), "overview",
				  seat_shows_overview(reported), "displays", displays_json(reported));
	seat_call(reported->daemon, describe_hardware, &errand);
	return errand.object;
}

/* Where viewers should have arrived and cannot. NULL: nowhere. */
static json_t *failures_json(const struct daemon_seat *reported)
{
	json_t *list = NULL;

	for (unsigned kind = 0; kind < SEAT_DOORS; kind++) {
		if (reported->doors[kind].failure.code == 0)
			continue;
		list = list ? list : json_array();
		json_array_append_new(list, json_string(reported->doors[kind].failure.text));
	}
	return list;
}

json_t *seat_secret_json(const struct daemon_seat *reported)
{
	json_t *object = seat_json(reported), *failures = failures_json(reported);

	if (failures)
		json_object_set_new(object, "not_served", failures);
	if (reported->token[0])
		json_object_set_new(object, "console",
				    json_sprintf("%s#token=%s", reported->web_address, reported->token));
	return object;
}

/*
 * What a person wants to know of a guest before choosing it. A virtio display whose picture is there, and
 * whose rings stand still, is that of a VMM that has stopped its guest; of other guests that is not known.
 */
static const char *guest_state(const struct device *device, const struct look *look)
{
	const struct display_device *display = display_device_of(device);

	if (!device_connected(device))
		return "gone";
	if (look->hidden)
		return "dark";
	if (display->served && device_status(device).queues_running == 0)
		return "paused";
	return "running";
}

static json_t *guest_json(const struct display_window *window)
{
	const struct display_device *display = window->display;
	struct look look = look_of(window);
	char colour[8], name[DISPLAY_WINDOW_NAME_SIZE];

	snprintf(colour, sizeof(colour), "#%06x", display->colour & 0xffffff);
	return json_pack("{s:s, s:s, s:b, s:b, s:s, s:i}", "display", display_window_name(window, name),
			 "colour", colour, "shown", !look.hidden, "focus", look.focus, "state",
			 guest_state(&display->base, &look), "viewers", (int)display_bare_viewers(display));
}

json_t *seat_state_json(const struct daemon_seat *reported)
{
	json_t *list = json_array();

	displays_look(reported->daemon);
	display_window_for_each(reported->daemon, window)
	{
		if (window->display->seat == reported)
			json_array_append_new(list, guest_json(window));
	}
	displays_forget(reported->daemon);
	return json_pack("{s:s, s:i, s:i, s:o}", "seat", reported->name, "viewers",
			 (int)seat_viewer_count(reported, &reported->screen), "viewers_max",
			 (int)SEAT_VIEWERS_MAX, "displays", list);
}

json_t *seats_json(struct daemon *daemon)
{
	json_t *list = json_array();

	displays_look(daemon);
	for (const struct daemon_seat *reported = daemon->seats; reported; reported = reported->next)
		json_array_append_new(list, seat_json(reported));
	displays_forget(daemon);
	return list;
}
