/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/plan.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/daemon.h"
#include "daemon/base/state.h"
#include "daemon/config/config.h"
#include "daemon/device/device_kind.h"

static void plan_workers(const struct config *config, const char *runtime_dir, FILE *out)
{
	const struct config_daemon *settings = config_daemon(config);
	char *state_dir = state_directory(config);
	unsigned count = settings->workers ? (unsigned)settings->workers : worker_default_count();

	fprintf(out, "daemon: %u worker%s, busy wait at most %llu us, sandbox %s\n", count,
		count == 1 ? "" : "s", (unsigned long long)settings->poll_us,
		settings->sandbox ? "on" : "off");
	if (settings->user)
		fprintf(out, "daemon: change to user %s after the devices are open, when started as root\n",
			settings->user);
	fprintf(out, "daemon: serve the API on %s/api.sock\n", runtime_dir);
	if (state_dir)
		fprintf(out, "daemon: keep what is set at run time, and what was seen of disks, in %s\n",
			state_dir);
	free(state_dir);
}

static void plan_socket(const struct config_device *device, const char *runtime_dir, FILE *out,
			struct config_messages *messages)
{
	const struct config_object *object = &device->object;
	const char *kind = object->section->name;
	char guest[CONFIG_GUEST_MAX + 1], path[PATH_MAX];
	const char *rest;

	if (!config_split_name(object->name, guest, &rest))
		return;
	if (device->socket || device->connect)
		snprintf(path, sizeof(path), "%s",
			 device->socket ? device->socket : device->connect);
	else
		snprintf(path, sizeof(path), "%s/%s/%s-%s.sock", runtime_dir, guest, kind, rest);
	if (strlen(path) >= SOCKET_PATH_SIZE)
		config_message(messages, object->file, object->line,
			       "%s %s: the socket's path %s is longer than %d bytes; use a shorter "
			       "runtime_dir, or socket =",
			       kind, object->name, path, SOCKET_PATH_SIZE - 1);
	else
		fprintf(out, "%s %s: %s %s\n", kind, object->name,
			device->connect ? "connect to" : "listen on", path);
}

void plan_print(const struct config *config, const char *runtime_dir, const char *force_format, FILE *out,
		struct config_messages *messages)
{
	plan_workers(config, runtime_dir, out);
	for (unsigned i = 0; device_kinds[i]; i++) {
		const struct config_object *object = config_list(config, device_kinds[i]->section);

		if (device_kinds[i]->plan)
			device_kinds[i]->plan(config, force_format, out, messages);
		for (; object; object = object->next)
			plan_socket((const struct config_device *)object, runtime_dir, out, messages);
	}
}
