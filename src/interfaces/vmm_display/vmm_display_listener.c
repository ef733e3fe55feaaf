/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vmm_display/vmm_display_listener.h"

#include <errno.h>

#define PATH	  "/org/qemu/Display1/Listener"
#define INTERFACE "org.qemu.Display1.Listener"
#define MAP	  "org.qemu.Display1.Listener.Unix.Map"

/* The arguments that both have at their end. Their types were compared with the table below. */
static int read_pixels(sd_bus_message *call, uint32_t width, uint32_t height,
		       struct vmm_display_pixels *ret_pixels)
{
	uint32_t stride_bytes, format;
	const void *bytes;
	size_t count;
	int error = sd_bus_message_read(call, "uu", &stride_bytes, &format);

	if (error >= 0)
		error = sd_bus_message_read_array(call, 'y', &bytes, &count);
	if (error < 0)
		return error;
	return vmm_display_pixels_check(width, height, stride_bytes, format, bytes, count, ret_pixels);
}

static int on_scanout(sd_bus_message *call, void *context, sd_bus_error *ret_error)
{
	struct vmm_display_surface *surface = &((struct vmm_display_guest *)context)->surface;
	struct vmm_display_pixels pixels;
	uint32_t width, height;
	int error = sd_bus_message_read(call, "uu", &width, &height);

	if (error >= 0)
		error = read_pixels(call, width, height, &pixels);
	if (error >= 0)
		error = vmm_display_surface_set(surface, &pixels);
	return error < 0 ? error : sd_bus_reply_method_return(call, NULL);
}

static int on_update(sd_bus_message *call, void *context, sd_bus_error *ret_error)
{
	struct vmm_display_surface *surface = &((struct vmm_display_guest *)context)->surface;
	struct vmm_display_pixels pixels;
	int32_t x, y, width, height;
	int error = sd_bus_message_read(call, "iiii", &x, &y, &width, &height);

	/* What is negative is too large as well. */
	if (error >= 0)
		error = read_pixels(call, (uint32_t)width, (uint32_t)height, &pixels);
	if (error >= 0)
		error = vmm_display_surface_update(surface, x, y, &pixels);
	return error < 0 ? error : sd_bus_reply_method_return(call, NULL);
}

static int on_scanout_map(sd_bus_message *call, void *context, sd_bus_error *ret_error)
{
	struct vmm_display_surface *surface = &((struct vmm_display_guest *)context)->surface;
	struct vmm_display_pixels numbers = { .bytes = NULL };
	struct vmm_display_map map;
	uint32_t offset_bytes;
	int file, error = sd_bus_message_read(call, "huuuuu", &file, &offset_bytes, &numbers.width,
					      &numbers.height, &numbers.stride_bytes, &numbers.format);

	/* The descriptor is the message's. */
	if (error >= 0)
		error = vmm_display_map_open(file, offset_bytes, &numbers, &map);
	if (error >= 0)
		error = vmm_display_surface_set_map(surface, &map);
	return error < 0 ? error : sd_bus_reply_method_return(call, NULL);
}

static int on_update_map(sd_bus_message *call, void *context, sd_bus_error *ret_error)
{
	struct vmm_display_surface *surface = &((struct vmm_display_guest *)context)->surface;
	int32_t x, y, width, height;
	int error = sd_bus_message_read(call, "iiii", &x, &y, &width, &height);

	if (error >= 0)
		error = vmm_display_surface_update_map(surface, x, y, width, height);
	return error < 0 ? error : sd_bus_reply_method_return(call, NULL);
}

static int on_disable(sd_bus_message *call, void *context, sd_bus_error *ret_error)
{
	struct vmm_display_surface *surface = &((struct vmm_display_guest *)context)->surface;

	vmm_display_surface_darken(surface);
	return sd_bus_reply_method_return(call, NULL);
}

/* The guest draws with a graphics card of the host's: what it draws from now on cannot be shown. */
static int on_dmabuf(sd_bus_message *call, void *context, sd_bus_error *ret_error)
{
	struct vmm_display_surface *surface = &((struct vmm_display_guest *)context)->surface;

	vmm_display_surface_darken(surface);
	return sd_bus_error_set_const(ret_error, SD_BUS_ERROR_NOT_SUPPORTED, "start QEMU without gl=on");
}

static int on_update_dmabuf(sd_bus_message *call, void *context, sd_bus_error *ret_error)
{
	return sd_bus_error_set_const(ret_error, SD_BUS_ERROR_NOT_SUPPORTED, "start QEMU without gl=on");
}

static int on_mouse_set(sd_bus_message *call, void *context, sd_bus_error *ret_error)
{
	struct vmm_display_guest *guest = context;
	int32_t x, y, on;
	int error = sd_bus_message_read(call, "iii", &x, &y, &on);

	if (error < 0)
		return error;
	vmm_display_cursor_move(&guest->cursor, x, y, on != 0);
	return sd_bus_reply_method_return(call, NULL);
}

static int on_cursor_define(sd_bus_message *call, void *context, sd_bus_error *ret_error)
{
	struct vmm_display_guest *guest = context;
	int32_t size[2], hot[2];
	const void *bytes;
	size_t count;
	int error = sd_bus_message_read(call, "iiii", &size[0], &size[1], &hot[0], &hot[1]);

	if (error >= 0)
		error = sd_bus_message_read_array(call, 'y', &bytes, &count);
	if (error >= 0)
		error = vmm_display_cursor_define(&guest->cursor, size, hot, bytes, count);
	return error < 0 ? error : sd_bus_reply_method_return(call, NULL);
}

/* Beyond the first: newer QEMUs look here, older ones do not ask. */
static int get_interfaces(sd_bus *bus, const char *path, const char *interface, const char *property,
			  sd_bus_message *answer, void *context, sd_bus_error *ret_error)
{
	return sd_bus_message_append(answer, "as", 1, MAP);
}

/* The peer of a connection without a bus has no credentials that sd-bus could ask a bus for. */
#define ANYBODY SD_BUS_VTABLE_UNPRIVILEGED

static const sd_bus_vtable methods[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Scanout", "uuuuay", "", on_scanout, ANYBODY),
	SD_BUS_METHOD("Update", "iiiiuuay", "", on_update, ANYBODY),
	SD_BUS_METHOD("ScanoutDMABUF", "huuuutb", "", on_dmabuf, ANYBODY),
	SD_BUS_METHOD("UpdateDMABUF", "iiii", "", on_update_dmabuf, ANYBODY),
	SD_BUS_METHOD("Disable", "", "", on_disable, ANYBODY),
	SD_BUS_METHOD("MouseSet", "iii", "", on_mouse_set, ANYBODY),
	SD_BUS_METHOD("CursorDefine", "iiiiay", "", on_cursor_define, ANYBODY),
	SD_BUS_PROPERTY("Interfaces", "as", get_interfaces, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_VTABLE_END,
};

static const sd_bus_vtable map_methods[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("ScanoutMap", "huuuuu", "", on_scanout_map, ANYBODY),
	SD_BUS_METHOD("UpdateMap", "iiii", "", on_update_map, ANYBODY),
	SD_BUS_VTABLE_END,
};

int vmm_display_listener_attach(const struct vmm_display_bus *bus, struct vmm_display_guest *guest)
{
	int error = sd_bus_add_object_vtable(bus->bus, NULL, PATH, INTERFACE, methods, guest);

	if (error >= 0)
		error = sd_bus_add_object_vtable(bus->bus, NULL, PATH, MAP, map_methods, guest);
	return error < 0 ? error : 0;
}
