/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vmm_display/vmm_display_console.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/fd.h"

#define VM_PATH	   "/org/qemu/Display1/VM"
#define VM	   "org.qemu.Display1.VM"
#define CONSOLE	   "org.qemu.Display1.Console"
#define KEYBOARD   "org.qemu.Display1.Keyboard"
#define MOUSE	   "org.qemu.Display1.Mouse"
#define PROPERTIES "org.freedesktop.DBus.Properties"

void vmm_display_console_init(struct vmm_display_console *console, const struct vmm_display_bus *bus,
			      struct vmm_display_input *input, struct vmm_display_keyboard *keyboard,
			      int listener)
{
	*console = (struct vmm_display_console){
		.bus = bus, .input = input, .keyboard = keyboard, .listener = listener
	};
}

void vmm_display_console_finish(struct vmm_display_console *console)
{
	fd_close(&console->listener);
}

static int refuse(struct vmm_display_console *console, const char *why)
{
	console->refusal = why;
	return 0;
}

static int get_property(struct vmm_display_console *console, const char *path, const char *interface,
			const char *name, sd_bus_message_handler_t answered)
{
	const struct vmm_display_call call = { .path = path,
					       .interface = PROPERTIES,
					       .method = "Get",
					       .answered = answered,
					       .context = console };

	return vmm_display_bus_call(console->bus, &call, "ss", interface, name);
}

/* ---- properties that change ---- */

static int on_absolute(sd_bus_message *answer, void *context, sd_bus_error *error);
static int on_width(sd_bus_message *answer, void *context, sd_bus_error *error);
static int on_height(sd_bus_message *answer, void *context, sd_bus_error *error);
static int on_lights(sd_bus_message *answer, void *context, sd_bus_error *error);

static const struct {
	const char *interface, *name;
	sd_bus_message_handler_t answered;
} properties[VMM_DISPLAY_PROPERTIES] = {
	[VMM_DISPLAY_IS_ABSOLUTE] = { MOUSE, "IsAbsolute", on_absolute },
	[VMM_DISPLAY_WIDTH] = { CONSOLE, "Width", on_width },
	[VMM_DISPLAY_HEIGHT] = { CONSOLE, "Height", on_height },
	[VMM_DISPLAY_LIGHTS] = { KEYBOARD, "Modifiers", on_lights },
};

/* One question of each kind is on its way, however often QEMU says that something has changed. */
static void ask(struct vmm_display_console *console, enum vmm_display_property property)
{
	if (!console->is_stale[property] || console->is_asked[property])
		return;
	console->is_stale[property] = false;
	console->is_asked[property] =
		get_property(console, console->path, properties[property].interface,
			     properties[property].name, properties[property].answered) == 0;
}

static void answered(struct vmm_display_console *console, enum vmm_display_property property)
{
	console->is_asked[property] = false;
	ask(console, property);
}

static int on_absolute(sd_bus_message *answer, void *context, sd_bus_error *error)
{
	struct vmm_display_console *console = context;
	int is_absolute;

	/* Without a mouse it does not matter. */
	if (sd_bus_message_read(answer, "v", "b", &is_absolute) > 0)
		vmm_display_input_set_absolute(console->input, is_absolute);
	answered(console, VMM_DISPLAY_IS_ABSOLUTE);
	return 0;
}

static int on_width(sd_bus_message *answer, void *context, sd_bus_error *error)
{
	struct vmm_display_console *console = context;

	sd_bus_message_read(answer, "v", "u", &console->size.width);
	answered(console, VMM_DISPLAY_WIDTH);
	return 0;
}

static int on_height(sd_bus_message *answer, void *context, sd_bus_error *error)
{
	struct vmm_display_console *console = context;

	sd_bus_message_read(answer, "v", "u", &console->size.height);
	answered(console, VMM_DISPLAY_HEIGHT);
	return 0;
}

static int on_lights(sd_bus_message *answer, void *context, sd_bus_error *error)
{
	struct vmm_display_console *console = context;
	uint32_t lights;

	if (sd_bus_message_read(answer, "v", "u", &lights) > 0)
		vmm_display_keyboard_set_lights(console->keyboard, lights);
	answered(console, VMM_DISPLAY_LIGHTS);
	return 0;
}

static void ask_all(struct vmm_display_console *console)
{
	for (unsigned i = 0; i < VMM_DISPLAY_PROPERTIES; i++) {
		console->is_stale[i] = true;
		ask(console, i);
	}
}

/* What has changed is asked for: the signal is not parsed, and whether it lies does not matter. */
static int on_properties(sd_bus_message *signal, void *context, sd_bus_error *error)
{
	ask_all(context);
	return 0;
}

bool vmm_display_console_is_resized(const struct vmm_display_console *console,
				    struct vmm_display_size picture)
{
	struct vmm_display_size size = console->size;

	return console->is_registered && size.width > 0 && size.height > 0 && picture.width > 0 &&
	       !console->is_asked[VMM_DISPLAY_WIDTH] && !console->is_asked[VMM_DISPLAY_HEIGHT] &&
	       (size.width != picture.width || size.height != picture.height);
}

/* ---- the console ---- */

static int on_registered(sd_bus_message *answer, void *context, sd_bus_error *error)
{
	struct vmm_display_console *console = context;

	if (sd_bus_message_is_method_error(answer, NULL))
		return refuse(console, "QEMU's display does not take a listener");
	console->is_registered = true;
	return 0;
}

void vmm_display_console_register(struct vmm_display_console *console, int listener)
{
	const struct vmm_display_call call = { .path = console->path,
					       .interface = CONSOLE,
					       .method = "RegisterListener",
					       .answered = on_registered,
					       .context = console };

	console->is_registered = false;
	console->size = (struct vmm_display_size){ 0, 0 };
	if (vmm_display_bus_call(console->bus, &call, "h", listener) < 0)
		refuse(console, "QEMU's display cannot be sent a listener");
	/* sd-bus has a copy. */
	close(listener);
}

static int open_console(struct vmm_display_console *console)
{
	if (sd_bus_match_signal(console->bus->bus, NULL, NULL, console->path, PROPERTIES, "PropertiesChanged",
				on_properties, console) < 0)
		return refuse(console, "QEMU's console cannot be watched");
	vmm_display_console_register(console, fd_take(&console->listener));
	ask_all(console);
	vmm_display_input_open(console->input, console->path);
	vmm_display_keyboard_open(console->keyboard, console->path);
	return 0;
}

static int on_type(sd_bus_message *answer, void *context, sd_bus_error *error);

static int ask_next(struct vmm_display_console *console)
{
	if (console->ids_asked == console->id_count)
		return refuse(console,
			      "QEMU has no graphic console: give the guest a -vga or a display device");
	snprintf(console->path, sizeof(console->path), "/org/qemu/Display1/Console_%u",
		 console->ids[console->ids_asked++]);
	if (get_property(console, console->path, CONSOLE, "Type", on_type) < 0)
		return refuse(console, "QEMU's consoles cannot be asked for");
	return 0;
}

static int on_type(sd_bus_message *answer, void *context, sd_bus_error *error)
{
	struct vmm_display_console *console = context;
	const char *type;

	if (sd_bus_message_read(answer, "v", "s", &type) > 0 && strcmp(type, "Graphic") == 0)
		return open_console(console);
	return ask_next(console);
}

static int on_ids(sd_bus_message *answer, void *context, sd_bus_error *error)
{
	struct vmm_display_console *console = context;
	const void *ids;
	size_t bytes;

	if (sd_bus_message_enter_container(answer, 'v', "au") <= 0 ||
	    sd_bus_message_read_array(answer, 'u', &ids, &bytes) < 0)
		return refuse(console, "QEMU does not say which consoles it has");
	if (bytes > sizeof(console->ids))
		bytes = sizeof(console->ids);
	if (bytes > 0)
		memcpy(console->ids, ids, bytes);
	console->id_count = bytes / sizeof(*console->ids);
	return ask_next(console);
}

int vmm_display_console_begin(struct vmm_display_console *console)
{
	return get_property(console, VM_PATH, VM, "ConsoleIDs", on_ids);
}
