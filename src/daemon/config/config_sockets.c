/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets of a configuration that are one file on this host. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config/config.h"

/* ---- sockets ---- */

#define OWN_SOCKETS 2

struct socket_name {
	const struct config_device *device;	/* NULL: the daemon's own */
	unsigned index;			/* order of declaration */
	char *path;			/* without links; NULL: out of memory */
};

/* Follows links as far as there are directories; what is not there yet stays as it is written. */
static char *resolve(const char *path)
{
	char head[PATH_MAX], real[PATH_MAX], *resolved;
	size_t length = strlen(path);

	while (length > 0) {
		while (length > 0 && path[--length] != '/')
			;
		snprintf(head, sizeof(head), "%.*s", (int)length, path);
		if (length > 0 && realpath(head, real))
			return asprintf(&resolved, "%s%s", real, path + length) < 0 ? NULL : resolved;
	}
	return strdup(path);
}

static char *name_socket(const struct config_device *device, const char *runtime_dir)
{
	char guest[CONFIG_GUEST_MAX + 1], path[PATH_MAX];
	const char *rest;

	if (device->socket || device->connect)
		return resolve(device->socket ? device->socket : device->connect);
	if (!config_split_name(device->object.name, guest, &rest))
		return strdup(device->object.name);
	snprintf(path, sizeof(path), "%s/%s/%s-%s.sock", runtime_dir, guest, device->object.section->name,
		 rest);
	return resolve(path);
}

static int by_path(const void *a, const void *b)
{
	const struct socket_name *x = a, *y = b;
	int order = strcmp(x->path, y->path);

	return order ? order : x->index < y->index ? -1 : x->index > y->index;
}

/* At the line that names the socket; of two such lines, at the later one. */
static void refuse_socket(const struct socket_name *earlier, const struct socket_name *later,
			  struct config_messages *messages)
{
	bool swap = earlier->device && !later->device->socket && !later->device->connect;
	const struct config_device *device = swap ? earlier->device : later->device;
	const struct config_device *other = swap ? later->device : earlier->device;
	char title[CONFIG_TITLE_SIZE];
	const char *file;
	unsigned line = config_line_of(&device->object, device->socket ? "socket" : "connect", &file);

	if (other)
		config_message(messages, file, line,
			       "socket %s is that of %s at %s:%u already; give each device its own",
			       later->path, config_title(&other->object, title), other->object.file,
			       other->object.line);
	else
		config_message(messages, file, line,
			       "socket %s is the daemon's own; give the device another one", later->path);
}

/* The daemon's own sockets, then the devices'. Returns how many, or 0 when out of memory. */
static unsigned name_sockets(const struct config *config, const char *runtime_dir, struct socket_name *names)
{
	static const char *const own[] = { "api.sock", "takeover.sock" };
	unsigned count = 0;
	bool complete = true;

	for (; count < OWN_SOCKETS; count++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/%s", runtime_dir, own[count]);
		names[count] = (struct socket_name){ .index = count, .path = resolve(path) };
		complete &= names[count].path != NULL;
	}
	for (unsigned i = 0; config_sections[i]; i++) {
		config_for_each(config_sections[i]->device ? config->lists[i] : NULL, config_device, device) {
			names[count] = (struct socket_name){
				.device = device, .index = count, .path = name_socket(device, runtime_dir),
			};
			complete &= names[count].path != NULL;
			count++;
		}
	}
	return complete ? count : 0;
}

void config_check_sockets(const struct config *config, const char *runtime_dir,
			  struct config_messages *messages)
{
	struct socket_name *names;
	unsigned room = OWN_SOCKETS, count;

	for (unsigned i = 0; config_sections[i]; i++)
		config_for_each(config_sections[i]->device ? config->lists[i] : NULL, config_device, device)
			room++;
	names = calloc(room, sizeof(*names));
	count = names ? name_sockets(config, runtime_dir, names) : 0;
	if (count == 0)
		config_message(messages, NULL, 0, "out of memory");
	else
		qsort(names, count, sizeof(*names), by_path);
	for (unsigned i = 1; i < count; i++) {
		if (strcmp(names[i - 1].path, names[i].path) == 0)
			refuse_socket(&names[i - 1], &names[i], messages);
	}
	for (unsigned i = 0; names && i < room; i++)
		free(names[i].path);
	free(names);
}
