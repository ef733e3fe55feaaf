/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a program says that plays a QEMU with a D-Bus display, for tests and benchmarks: QEMU is the server of
 * QMP, and of two D-Bus connections. On one it is asked for its consoles and called with keys; on the other,
 * that of the listener, it calls.
 */
#ifndef VIADUCT_TESTS_QEMU_DOUBLE_H
#define VIADUCT_TESTS_QEMU_DOUBLE_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define QEMU_DOUBLE_X8R8G8B8 0x20020888u
#define QEMU_DOUBLE_GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"
#define QEMU_DOUBLE_FINE     "{\"return\": {}}\r\n"
/* The status of the keyboard's controller: bytes wait for the guest, or none do. */
#define QEMU_DOUBLE_UNREAD  "{\"return\": \"portb[0x0064] = 0x1d\\r\\n\"}\r\n"
#define QEMU_DOUBLE_READ    "{\"return\": \"portb[0x0064] = 0x1c\\r\\n\"}\r\n"
#define QEMU_DOUBLE_CONSOLE "/org/qemu/Display1/Console_0"

struct qemu_double_console {
	const char *graphic; /* the path of the console that is one; NULL: none is */
	uint32_t width, height;
	bool is_absolute;
	uint32_t lights; /* scroll, num and caps lock: a bit each */
};

enum qemu_double_command { QEMU_DOUBLE_OTHER, QEMU_DOUBLE_GETFD, QEMU_DOUBLE_ADD_CLIENT, QEMU_DOUBLE_LOOK };

/* What a line of QMP asks for. */
static inline enum qemu_double_command qemu_double_command(const char *line)
{
	if (strstr(line, "\"getfd\""))
		return QEMU_DOUBLE_GETFD;
	if (strstr(line, "\"add_client\"") && strstr(line, "\"@dbus-display\""))
		return QEMU_DOUBLE_ADD_CLIENT;
	if (strstr(line, "\"human-monitor-command\"") && strstr(line, "\"i /b 0x64\""))
		return QEMU_DOUBLE_LOOK;
	return QEMU_DOUBLE_OTHER;
}

/* Takes the descriptor. NULL when sd-bus fails. */
static inline sd_bus *qemu_double_serve(int fd, sd_bus_message_handler_t called, void *context)
{
	const sd_id128_t id = { .bytes = { 1, 2, 3 } };
	sd_bus *bus = NULL;

	if (sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, fd, fd) < 0) {
		close(fd);
		return sd_bus_unref(bus);
	}
	if (sd_bus_set_bus_client(bus, 0) < 0 || sd_bus_set_server(bus, 1, id) < 0 ||
	    sd_bus_negotiate_fds(bus, 1) < 0 || sd_bus_add_filter(bus, NULL, called, context) < 0 ||
	    sd_bus_start(bus) < 0)
		return sd_bus_unref(bus);
	return bus;
}

/* Answers the call Get of a property. Returns as sd_bus_reply_method_return(), or -EINVAL: there is none. */
static inline int qemu_double_property(sd_bus_message *call, const struct qemu_double_console *console)
{
	const char *interface, *name, *path = sd_bus_message_get_path(call);
	int error = sd_bus_message_read(call, "ss", &interface, &name);
	bool is_graphic = console->graphic && strcmp(path, console->graphic) == 0;

	if (error < 0)
		return error;
	if (strcmp(name, "ConsoleIDs") == 0)
		return sd_bus_reply_method_return(call, "v", "au", 2, 0, 1);
	if (strcmp(name, "Type") == 0)
		return sd_bus_reply_method_return(call, "v", "s", is_graphic ? "Graphic" : "Text");
	if (strcmp(name, "IsAbsolute") == 0)
		return sd_bus_reply_method_return(call, "v", "b", console->is_absolute);
	if (strcmp(name, "Width") == 0)
		return sd_bus_reply_method_return(call, "v", "u", console->width);
	if (strcmp(name, "Height") == 0)
		return sd_bus_reply_method_return(call, "v", "u", console->height);
	if (strcmp(name, "Modifiers") == 0)
		return sd_bus_reply_method_return(call, "v", "u", console->lights);
	return -EINVAL;
}

/* The listener's descriptor, of the call RegisterListener, which is the caller's; or -errno. */
static inline int qemu_double_listener(sd_bus_message *call)
{
	int fd, error = sd_bus_message_read(call, "h", &fd);

	if (error < 0)
		return error;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? -errno : fd;
}

#endif
