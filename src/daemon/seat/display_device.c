/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/display_device.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/fd.h"
#include "daemon/base/takeover_offer.h"
#include "daemon/base/takeover_wire.h"
#include "daemon/device/virtio_endpoint.h"
#include "daemon/seat/input_device.h"
#include "daemon/seat/seat_room.h"
#include "devices/display/bochs_display.h"
#include "devices/display/virtio_gpu.h"
#include "interfaces/vfio_user/vfio_user.h"
#include "interfaces/vmm_display/vmm_display.h"

/* In a handover. */
/* As QEMU's virtio-gpu-pci: a display that is no VGA. */
#define PCI_CLASS_DISPLAY 0x038000u
#define FRONT_END_KIND "gpu-front-end"
#define UNSENT_KIND    "gpu-unsent"

/* ---- names ---- */

const char *display_window_name(const struct display_window *window, char name[DISPLAY_WINDOW_NAME_SIZE])
{
	if (window->scanout == 0)
		snprintf(name, DISPLAY_WINDOW_NAME_SIZE, "%s", window->display->base.name);
	else
		snprintf(name, DISPLAY_WINDOW_NAME_SIZE, "%s:%u", window->display->base.name,
			 window->scanout);
	return name;
}

struct display_window *display_window_next(const struct daemon *daemon, const struct display_window *window)
{
	struct device *device = daemon->devices;

	if (window && window->scanout + 1u < window->display->window_count)
		return &window->display->windows[window->scanout + 1];
	if (window)
		device = window->display->base.next;
	while ((device = device_of_kind(device, &display_device_kind))) {
		if (display_device_of(device)->window_count > 0)
			return &display_device_of(device)->windows[0];
		device = device->next;
	}
	return NULL;
}

struct display_window *display_window_find(const struct daemon *daemon, const char *name)
{
	char found[DISPLAY_WINDOW_NAME_SIZE];

	display_window_for_each(daemon, window)
	{
		if (strcmp(display_window_name(window, found), name) == 0)
			return window;
	}
	return NULL;
}

/*
 * What stands in the frame: the guest, and the display's own name unless that is "0", as far as there is
 * room; and which scanout it is, as in the window's name.
 */
static void print_title(const struct display_window *window, char title[SEAT_NAME_MAX + 1])
{
	const struct device *device = &window->display->base;
	const char *name = strcmp(device->short_name, "0") == 0 ? device->guest->name : device->name;
	char number[8] = "";

	if (window->scanout > 0)
		snprintf(number, sizeof(number), ":%u", window->scanout);
	snprintf(title, SEAT_NAME_MAX + 1, "%.*s%s", (int)(SEAT_NAME_MAX - strlen(number)), name, number);
}

/* ---- the configuration ---- */

static void configure(struct device *device, const struct config_object *object)
{
	const struct config_display *settings = (const struct config_display *)object;
	struct display_device *display = display_device_of(device);

	/* A display exists because its section does. */
	if (!settings)
		return;
	snprintf(display->seat_name, sizeof(display->seat_name), "%s", settings->seat);
	display->colour = seat_display_colour(device->daemon->config, settings);
	display->source = (enum display_source)settings->source;
	display->interface = settings->device.interface;
	display->scanouts = (unsigned)settings->scanouts;
	display->has_own_viewers = settings->vnc == DISPLAY_VNC_OWN;
	seat_parse_size(settings->size, &display->monitor_width, &display->monitor_height);
}

struct display_device *display_of_guest(const struct daemon *daemon, const struct guest *guest)
{
	device_for_each(daemon, &display_device_kind, device)
	{
		if (device->guest == guest && display_device_of(device)->seat)
			return display_device_of(device);
	}
	return NULL;
}

/* ---- the windows, on the seats' thread ---- */

struct open_errand {
	struct display_device *display;
	int code;
};

static int open_window(struct display_device *display, unsigned scanout)
{
	struct display_window *window = &display->windows[scanout];
	char title[SEAT_NAME_MAX + 1];
	const struct seat_window_options options = { .name = title,
						     .colour = display->colour,
						     .hidden = true };

	*window = (struct display_window){ .display = display, .scanout = (uint8_t)scanout };
	print_title(window, title);
	return seat_window_open(display->seat->screen.seat, &options, &window->window);
}

static void close_windows(void *context)
{
	struct display_device *display = context;

	while (display->window_count > 0)
		seat_window_close(display->windows[--display->window_count].window);
}

static void open_windows(void *context)
{
	struct open_errand *errand = context;
	struct display_device *display = errand->display;

	while (display->window_count < display->scanouts && !errand->code) {
		errand->code = open_window(display, display->window_count);
		if (!errand->code)
			display->window_count++;
	}
	if (errand->code)
		close_windows(display);
}

/* ---- a display of ours ---- */

struct start_errand {
	struct display_served *display;
	int front_end, unsent; /* of a predecessor's, or -1 */
};

static void start_served(void *context)
{
	const struct start_errand *errand = context;

	display_served_take_front_end(errand->display, errand->front_end, errand->unsent);
	display_served_start(errand->display);
}

static void draw_served(void *context)
{
	display_served_draw(context);
}

static void stop_served(void *context)
{
	display_served_stop(context);
}

static void hand_over_virtio(const struct display_device *display, struct handover *header)
{
	struct display_served_saved saved = display_served_save(display->served);
	const char *name = display->base.name;

	if (saved.file >= 0)
		takeover_put_fd(header, display_device_kind.name, name, saved.file);
	else
		log_warning(&display->base.subject, "its picture cannot be handed over: %s",
			    strerror(-saved.file));
	if (saved.front_end >= 0)
		takeover_put_fd(header, FRONT_END_KIND, name, saved.front_end);
	if (saved.unsent >= 0)
		takeover_put_fd(header, UNSENT_KIND, name, saved.unsent);
}

/* What the driver had made with the predecessor. */
static void take_over_virtio(struct display_device *display)
{
	int file = takeover_offer_take(display->base.daemon->offer, display_device_kind.name,
				       display->base.name);
	int code = file < 0 ? 0 : virtio_gpu_restore(display_served_model(display->served), file);

	if (code)
		log_warning(&display->base.subject,
			    "its picture could not be taken over: %s; the guest has to draw it again",
			    strerror(-code));
	fd_close(&file);
}

static int open_served(struct display_device *display)
{
	struct device *device = &display->base;
	struct seat_window *windows[DISPLAY_SCANOUTS_MAX];
	const struct display_served_options options = {
		.seat = device->daemon->seat_worker->loop,
		.control = device->daemon->control,
		.guest = device->guest->time,
		.windows = windows,
		.scanouts = display->window_count,
		.of_registers = display->source == DISPLAY_OF_BOCHS,
		.name = device->guest->name,
		.width = display->monitor_width,
		.height = display->monitor_height,
		.resized = device_config_changed,
		.context = device,
	};
	struct start_errand errand;
	int code;

	for (unsigned i = 0; i < display->window_count; i++)
		windows[i] = display->windows[i].window;
	code = display_served_create(&options, &display->served);
	if (code)
		return error_set(&device->error, code, "cannot make the device: %s", strerror(-code));
	if (display->source == DISPLAY_OF_VIRTIO)
		take_over_virtio(display);
	errand.display = display->served;
	errand.front_end = takeover_offer_take(device->daemon->offer, FRONT_END_KIND, device->name);
	errand.unsent = takeover_offer_take(device->daemon->offer, UNSENT_KIND, device->name);
	seat_call(device->daemon, start_served, &errand);
	inputs_follow(display);
	return 0;
}

static void close_served(struct display_device *display)
{
	if (!display->served)
		return;
	virtio_endpoint_free_pci(&display->pci);
	seat_call(display->base.daemon, stop_served, display->served);
	display_served_destroy(display->served);
	display->served = NULL;
}

static int create_virtio(struct display_device *display, const struct endpoint_options *endpoint,
			 struct handover *handed, struct endpoint **ret_endpoint)
{
	const struct virtio_offer offer = {
		.model = &virtio_gpu_model,
		.device = display_served_model(display->served),
		.interface = display->interface,
		.class_code = PCI_CLASS_DISPLAY,
		.queue_size_max = 64,
	};

	return virtio_endpoint_create(&offer, endpoint, handed, &display->pci, ret_endpoint);
}

static int create_bochs(const struct display_device *display, const struct endpoint_options *endpoint,
			struct handover *handed, struct endpoint **ret_endpoint)
{
	struct bochs_display *model = display_served_bochs(display->served);
	const struct vfio_user_options options = {
		.endpoint = *endpoint,
		.model = bochs_display_model(model),
		.device = model,
	};

	int code;

	if (!handed)
		return vfio_user_create(&options, ret_endpoint);
	code = vfio_user_restore(&options, handed, ret_endpoint);
	/* Before windows are arranged as they were, which passes over hidden ones. */
	seat_call(display->base.daemon, draw_served, display->served);
	return code;
}

/* ---- any display ---- */

static int open_display(struct device *device)
{
	struct display_device *display = display_device_of(device);
	struct open_errand errand = { .display = display };

	display->seat = daemon_seat_find(device->daemon, display->seat_name);
	if (!display->seat) {
		const char *why = daemon_seat_failure(device->daemon, display->seat_name);

		return error_set(&device->error, -ENOENT, "there is no seat %s: %s", display->seat_name,
				 why ? why : "it is new since the start; restart viaductd");
	}
	seat_call(device->daemon, open_windows, &errand);
	if (errand.code) {
		display->seat = NULL;
		return error_set(&device->error, errand.code, "cannot open its window: %s",
				 strerror(-errand.code));
	}
	display->seat->displays++;
	display_bare_open(display);
	return display->source == DISPLAY_OF_VMM ? 0 : open_served(display);
}

static void close_display(struct device *device)
{
	struct display_device *display = display_device_of(device);

	if (!display->seat)
		return;
	close_served(display);
	display_bare_close(display);
	seat_call(device->daemon, close_windows, display);
	display->seat->displays--;
	display->seat = NULL;
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
		.window = display->windows[0].window,
	};

	if (display->served && display_served_bochs(display->served))
		return create_bochs(display, endpoint, handed, ret_endpoint);
	if (display->served)
		return create_virtio(display, endpoint, handed, ret_endpoint);
	options.endpoint.porter = device->daemon->display_porter;
	return handed ? vmm_display_restore(&options, handed, ret_endpoint)
		      : vmm_display_create(&options, ret_endpoint);
}

static uint64_t display_cpu_ns(const struct device *device)
{
	const struct display_device *display = display_device_of(device);

	return (display->served ? display_served_cpu_ns(display->served) : 0) + display_bare_cpu_ns(display);
}

/* ---- the kind ---- */

void displays_take_over_viewers(const struct daemon_seat *owner)
{
	device_for_each(owner->daemon, &display_device_kind, device)
	{
		if (display_device_of(device)->seat == owner)
			display_bare_take_over(display_device_of(device));
	}
}

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

static void hand_over(struct daemon *daemon, struct handover *header)
{
	seats_hand_over(daemon, header);
	device_for_each(daemon, &display_device_kind, device)
	{
		struct display_served *display = display_device_of(device)->served;

		if (display && !display_served_bochs(display))
			hand_over_virtio(display_device_of(device), header);
		display_bare_hand_over(display_device_of(device), header);
	}
}

struct still_errand {
	struct display_served *display;
	bool still;
};

static void stand_virtio_still(void *context)
{
	const struct still_errand *errand = context;

	display_served_stand_still(errand->display, errand->still);
}

static void stand_still(struct daemon *daemon, bool still)
{
	seats_stand_still(daemon, still);
	device_for_each(daemon, &display_device_kind, device)
	{
		struct still_errand errand = { display_device_of(device)->served, still };

		display_bare_stand_still(display_device_of(device), still);
		if (errand.display)
			seat_call(daemon, stand_virtio_still, &errand);
	}
}

const struct device_kind display_device_kind = {
	.name = "display",
	.section = &config_section_display,
	.device_bytes = sizeof(struct display_device),
	.queues_together = 2,
	.open_resources = seats_open,
	.check_host = seats_check_host,
	.open_devices = open_displays,
	.close_resources = seats_close,
	.stand_still = stand_still,
	.hand_over = hand_over,
	.reload = reload,
	.print_metrics = seats_print_metrics,
	.plan = seats_plan,
	.configure = configure,
	.open = open_display,
	.endpoint_create = endpoint_create,
	.close = close_display,
	.describe = display_describe,
	.status = display_status,
	.cpu_ns = display_cpu_ns,
};
