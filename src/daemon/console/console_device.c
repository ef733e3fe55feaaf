/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/console/console_device.h"

#include <errno.h>
#include <string.h>

#include "core/log.h"
#include "daemon/base/takeover_offer.h"
#include "daemon/base/takeover_wire.h"
#include "daemon/console/console_memory.h"
#include "daemon/console/console_readers.h"
#include "daemon/device/report.h"
#include "daemon/device/virtio_endpoint.h"
#include "devices/console/virtio_console.h"
#include "interfaces/serial/serial.h"

/* As QEMU's virtio-serial-pci: a communication device. */
#define PCI_CLASS_CONSOLE 0x078000u

/* ---- one console ---- */

static void configure(struct device *device, const struct config_object *settings)
{
	const struct config_console *ours = (const struct config_console *)settings;
	struct console_device *console = console_device_of(device);

	/* A console exists because its section does. */
	if (!ours)
		return;
	console->source = (enum console_source)ours->source;
	console->interface = ours->device.interface;
	console->scrollback_bytes = (size_t)ours->scrollback_bytes;
}

/* The predecessor's, or one that is empty. */
static int open_memory(struct console_device *console, struct console_memory **ret_memory)
{
	int fd = takeover_offer_take(console->base.daemon->offer, console_device_kind.name,
				     console->base.name);
	int code;

	if (fd < 0)
		return console_memory_create(console->scrollback_bytes, ret_memory);
	code = console_memory_adopt(fd, ret_memory);
	if (code == 0 && console_memory_resize(*ret_memory, console->scrollback_bytes) != 0)
		log_warning(&console->base.subject, "out of memory: its scrollback keeps its size");
	if (code == 0)
		return 0;
	log_warning(&console->base.subject, "its scrollback could not be taken over: %s", strerror(-code));
	return console_memory_create(console->scrollback_bytes, ret_memory);
}

static int open_readers(struct console_device *console)
{
	struct console_memory *memory = NULL;
	int code = open_memory(console, &memory);

	if (code)
		return code;
	code = console_readers_create(console->base.daemon->control, memory, &console->readers);
	if (code)
		console_memory_destroy(memory);
	return code;
}

static void on_output(void *context, const uint8_t *bytes, size_t count)
{
	const struct console_device *console = context;

	console_readers_write(console->readers, bytes, count);
}

/* Served anew, it still has what was said before. */
static int open_console(struct device *device)
{
	struct console_device *console = console_device_of(device);
	struct virtio_console_options options = { .output = on_output, .context = console };
	int code = console->readers ? 0 : open_readers(console);

	if (code)
		return error_set(&device->error, code, "cannot make its scrollback: %s", strerror(-code));
	if (console->source == CONSOLE_OF_VIRTIO)
		code = virtio_console_create(&options, &console->model);
	return code ? error_set(&device->error, code, "cannot make the device: %s", strerror(-code)) : 0;
}

static int create_virtio(struct console_device *console, const struct endpoint_options *endpoint,
			 struct handover *handed, struct endpoint **ret_endpoint)
{
	const struct virtio_offer offer = {
		.model = &virtio_console_model,
		.device = console->model,
		.interface = console->interface,
		.class_code = PCI_CLASS_CONSOLE,
		.queue_size_max = 64,
	};

	return virtio_endpoint_create(&offer, endpoint, handed, &console->pci, ret_endpoint);
}

static int endpoint_create(struct device *device, const struct endpoint_options *endpoint,
			   struct handover *handed, struct endpoint **ret_endpoint)
{
	struct serial_options options = {
		.endpoint = *endpoint,
		.output = on_output,
		.context = console_device_of(device),
	};

	if (console_device_of(device)->model)
		return create_virtio(console_device_of(device), endpoint, handed, ret_endpoint);
	return handed ? serial_restore(&options, handed, ret_endpoint)
		      : serial_create(&options, ret_endpoint);
}

static void close_console(struct device *device)
{
	struct console_device *console = console_device_of(device);

	virtio_endpoint_free_pci(&console->pci);
	virtio_console_destroy(console->model);
	console->model = NULL;
}

static void finish(struct device *device)
{
	console_readers_destroy(console_device_of(device)->readers);
}

ssize_t console_device_type(struct console_device *console, const uint8_t *bytes, size_t count)
{
	struct endpoint *endpoint = console->base.endpoint;
	ssize_t taken = -ENOTCONN;

	if (console->model)
		taken = virtio_console_type(console->model, bytes, count);
	else if (endpoint)
		taken = serial_send(endpoint, bytes, count);
	counter_add(&console->input_bytes, taken > 0 ? (uint64_t)taken : 0);
	counter_add(&console->refused_bytes, count - (taken > 0 ? (size_t)taken : 0));
	return taken;
}

int console_device_resize(struct console_device *console, uint16_t columns, uint16_t rows)
{
	if (!console->model)
		return -EOPNOTSUPP;
	if (virtio_console_set_size(console->model, columns, rows))
		device_config_changed(&console->base);
	return 0;
}

/* ---- the kind ---- */

static void open_consoles(struct daemon *daemon)
{
	for (const struct config_object *object = config_list(daemon->config, &config_section_console);
	     object; object = object->next) {
		struct device *device = device_add(daemon, &console_device_kind, object->name);

		if (device)
			device_serve(device);
		else
			log_error(NULL, "%s: out of memory", object->name);
	}
}

static void hand_over(struct daemon *daemon, struct handover *header)
{
	device_for_each(daemon, &console_device_kind, device)
	{
		const struct console_device *console = console_device_of(device);

		if (console->readers)
			takeover_put_fd(header, console_device_kind.name, device->name,
					console_memory_fd(console_readers_memory(console->readers)));
	}
}

static void apply_scrollback(struct console_device *console, const struct config_console *settings,
			     struct change_report *report)
{
	size_t bytes = (size_t)settings->scrollback_bytes;

	if (!console->readers || bytes == console->scrollback_bytes)
		return;
	if (console_memory_resize(console_readers_memory(console->readers), bytes) != 0) {
		report_refused(report, "console %s: out of memory for its scrollback", console->base.name);
		return;
	}
	console->scrollback_bytes = bytes;
	report_applied(report, "console %s: its scrollback was changed", console->base.name);
}

static void reload(struct daemon *daemon, const struct config *old, struct change_report *report)
{
	device_for_each(daemon, &console_device_kind, device)
	{
		const struct config_object *now = device_settings(device);

		if (now)
			apply_scrollback(console_device_of(device), (const struct config_console *)now,
					 report);
	}
	devices_reload(daemon, &console_device_kind, old, report);
}

const struct device_kind console_device_kind = {
	.name = "console",
	.section = &config_section_console,
	.device_bytes = sizeof(struct console_device),
	.queues_together = 2,
	.open_devices = open_consoles,
	.hand_over = hand_over,
	.reload = reload,
	.print_metrics = consoles_print_metrics,
	.configure = configure,
	.open = open_console,
	.endpoint_create = endpoint_create,
	.close = close_console,
	.finish = finish,
	.describe = console_describe,
	.status = console_status,
};
