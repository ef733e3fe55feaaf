/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/input_device.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <string.h>

#include "daemon/device/virtio_endpoint.h"
#include "daemon/seat/display_device.h"
#include "daemon/seat/display_served.h"
#include "daemon/seat/seat_room.h"
#include "devices/input/usb_input.h"
#include "devices/input/virtio_input.h"
#include "interfaces/vfio_user/vfio_user.h"

/* As QEMU's virtio-keyboard-pci and virtio-tablet-pci. */
#define PCI_CLASS_KEYBOARD 0x090000u
#define PCI_CLASS_POINTER  0x090200u

/* ---- the window, on the seats' thread ---- */

struct follow_errand {
	struct display_served *display;
	const struct input_model *model; /* NULL: nothing follows any more */
	bool is_keyboard;
	/* Of the keyboard; and the window, which has those of a predecessor's keyboard. */
	struct input_lights *lights;
	const struct seat_window *window;
};

static void follow(void *context)
{
	const struct follow_errand *errand = context;

	if (!errand->is_keyboard) {
		display_served_set_tablet(errand->display, errand->model);
		return;
	}
	display_served_set_keyboard(errand->display, errand->model);
	/* Drivers tell of lights only when they change. */
	if (errand->model)
		input_lights_restore(errand->lights, seat_window_lights(errand->window));
}

static void tell_display(const struct display_device *display, struct input_device *input, bool follows)
{
	struct follow_errand errand = {
		.display = display->served,
		.model = follows ? &input->model : NULL,
		.is_keyboard = input->base.kind == &keyboard_device_kind,
		.lights = &input->lights,
		.window = display->windows[0].window,
	};

	seat_call(display->base.daemon, follow, &errand);
	if (errand.is_keyboard)
		input_lights_show(&input->lights);
}

static void kind_follows(const struct display_device *display, const struct device_kind *kind)
{
	device_for_each(display->base.daemon, kind, device)
	{
		if (device->guest == display->base.guest && input_device_of(device)->model.device)
			tell_display(display, input_device_of(device), true);
	}
}

void inputs_follow(const struct display_device *display)
{
	kind_follows(display, &keyboard_device_kind);
	kind_follows(display, &tablet_device_kind);
}

/* ---- one of them ---- */

static void on_led(void *context, unsigned led, bool on)
{
	input_lights_set(context, led, on);
}

static void configure(struct device *device, const struct config_object *object)
{
	const struct config_input *settings = (const struct config_input *)object;

	input_device_of(device)->model_kind = settings ? settings->model : CONFIG_INPUT_VIRTIO;
	input_device_of(device)->interface =
		settings ? settings->device.interface : CONFIG_INTERFACE_VHOST_USER;
}

static int create_virtio(struct input_device *input, bool is_keyboard)
{
	const struct virtio_input_options options = {
		.kind = is_keyboard ? VIRTIO_INPUT_KEYBOARD : VIRTIO_INPUT_TABLET,
		.led = is_keyboard ? on_led : NULL,
		.context = &input->lights,
	};
	struct virtio_input *model;
	int code = virtio_input_create(&options, &model);

	if (!code)
		input->model = (struct input_model){ &virtio_input_reports, model };
	return code;
}

static int create_usb(struct input_device *input, bool is_keyboard)
{
	const struct usb_input_options options = {
		.kind = is_keyboard ? USB_INPUT_KEYBOARD : USB_INPUT_TABLET,
		.led = is_keyboard ? on_led : NULL,
		.context = &input->lights,
	};
	struct usb_input *model;
	int code = usb_input_create(&options, &model);

	if (!code)
		input->model = (struct input_model){ &usb_input_reports, model };
	return code;
}

static int open_input(struct device *device)
{
	struct input_device *input = input_device_of(device);
	const struct display_device *display = display_of_guest(device->daemon, device->guest);
	bool is_keyboard = device->kind == &keyboard_device_kind;
	int code;

	input_lights_open(&input->lights, device->daemon, device->guest);
	code = input->model_kind == CONFIG_INPUT_XHCI ? create_usb(input, is_keyboard)
						      : create_virtio(input, is_keyboard);

	if (code)
		return error_set(&device->error, code, "cannot make the device: %s", strerror(-code));
	if (display && display->served)
		tell_display(display, input, true);
	return 0;
}

static void close_input(struct device *device)
{
	struct input_device *input = input_device_of(device);
	const struct display_device *display = display_of_guest(device->daemon, device->guest);

	input_lights_forget(&input->lights);
	if (display && display->served)
		tell_display(display, input, false);
	virtio_endpoint_free_pci(&input->pci);
	if (input->model.device)
		input->model.ops->destroy(input->model.device);
	input->model.device = NULL;
	input_lights_close(&input->lights);
}

static int usb_endpoint_create(const struct input_device *input, const struct endpoint_options *endpoint,
			       struct handover *handed, struct endpoint **ret_endpoint)
{
	const struct vfio_user_options options = {
		.endpoint = *endpoint,
		.model = &usb_input_model,
		.device = input->model.device,
	};

	return handed ? vfio_user_restore(&options, handed, ret_endpoint)
		      : vfio_user_create(&options, ret_endpoint);
}

static int virtio_create(struct input_device *input, const struct endpoint_options *endpoint,
			 struct handover *handed, struct endpoint **ret_endpoint)
{
	const struct virtio_offer offer = {
		.model = &virtio_input_model,
		.device = input->model.device,
		.interface = input->interface,
		.class_code =
			input->base.kind == &keyboard_device_kind ? PCI_CLASS_KEYBOARD : PCI_CLASS_POINTER,
		.queue_size_max = 64,
	};

	return virtio_endpoint_create(&offer, endpoint, handed, &input->pci, ret_endpoint);
}

static int endpoint_create(struct device *device, const struct endpoint_options *endpoint,
			   struct handover *handed, struct endpoint **ret_endpoint)
{
	struct input_device *input = input_device_of(device);

	return input->model.ops == &usb_input_reports
		       ? usb_endpoint_create(input, endpoint, handed, ret_endpoint)
		       : virtio_create(input, endpoint, handed, ret_endpoint);
}

static void describe(const struct device *device, json_t *object)
{
	bool is_usb = input_device_of(device)->model_kind == CONFIG_INPUT_XHCI;

	json_object_set_new(object, "model", json_string(is_usb ? "xhci" : "virtio"));
	json_object_set_new(object, "interface",
			    json_string(device_interface_text(!is_usb, input_device_of(device)->interface)));
}

static void status(const struct device *device, json_t *object)
{
	const struct input_device *input = input_device_of(device);

	if (!input->model.device)
		return;
	if (device->kind == &keyboard_device_kind)
		json_object_set_new(object, "leds", input_lights_json(input_lights_get(&input->lights)));
	json_object_set_new(object, "dropped_reports",
			    json_integer((json_int_t)input->model.ops->dropped(input->model.device)));
}

/* ---- the kinds ---- */

static void open_all(struct daemon *daemon, const struct device_kind *kind)
{
	for (const struct config_object *object = config_list(daemon->config, kind->section); object;
	     object = object->next) {
		struct device *device = device_add(daemon, kind, object->name);

		if (device)
			device_serve(device);
		else
			log_error(NULL, "%s: out of memory", object->name);
	}
}

static void open_keyboards(struct daemon *daemon)
{
	open_all(daemon, &keyboard_device_kind);
}

static void open_tablets(struct daemon *daemon)
{
	open_all(daemon, &tablet_device_kind);
}

static void reload_keyboards(struct daemon *daemon, const struct config *old, struct change_report *report)
{
	devices_reload(daemon, &keyboard_device_kind, old, report);
}

static void reload_tablets(struct daemon *daemon, const struct config *old, struct change_report *report)
{
	devices_reload(daemon, &tablet_device_kind, old, report);
}

#define INPUT_KIND                                                                                           \
	.device_bytes = sizeof(struct input_device), .queues_together = 2, .configure = configure,           \
	.open = open_input, .endpoint_create = endpoint_create, .close = close_input, .describe = describe,  \
	.status = status

const struct device_kind keyboard_device_kind = {
	.name = "keyboard",
	.section = &config_section_keyboard,
	.open_devices = open_keyboards,
	.reload = reload_keyboards,
	INPUT_KIND,
};

const struct device_kind tablet_device_kind = {
	.name = "tablet",
	.section = &config_section_tablet,
	.open_devices = open_tablets,
	.reload = reload_tablets,
	INPUT_KIND,
};
