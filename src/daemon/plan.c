/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/plan.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/config/config_values.h"
#include "daemon/base/daemon.h"
#include "daemon/base/state.h"

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
		fprintf(out, "daemon: keep what is set at run time, and measured of disks, in %s\n",
			state_dir);
	free(state_dir);
}

/* Is there a directory that a missing file can be made in? */
static bool parent_exists(const char *path)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');
	struct stat status;

	snprintf(directory, sizeof(directory), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	return stat(directory, &status) == 0 && S_ISDIR(status.st_mode);
}

static void plan_pool(const struct config_pool *pool, FILE *out, struct config_messages *messages)
{
	const struct config_object *object = &pool->object;
	char size[VALUE_SIZE_TEXT], now[VALUE_SIZE_TEXT];
	struct stat status;

	value_format_size(pool->size_bytes, size);
	if (stat(pool->path, &status) < 0) {
		if (errno == ENOENT && parent_exists(pool->path) && pool->size_bytes > 0)
			fprintf(out, "pool %s: create %s with %s and format it\n", object->name, pool->path,
				size);
		else
			config_message(messages, object->file, object->line, "pool %s: %s: %s", object->name,
				       pool->path,
				       errno == ENOENT
					       ? "there is no such device, or its directory is missing"
					       : strerror(errno));
	} else if (S_ISBLK(status.st_mode)) {
		fprintf(out, "pool %s: open device %s; format it if it is blank\n", object->name, pool->path);
	} else if (!S_ISREG(status.st_mode)) {
		config_message(messages, object->file, object->line,
			       "pool %s: %s is neither a regular file nor a block device", object->name,
			       pool->path);
	} else if ((uint64_t)status.st_size < pool->size_bytes) {
		fprintf(out, "pool %s: open %s and grow it from %s to %s\n", object->name, pool->path,
			value_format_size((uint64_t)status.st_size, now), size);
	} else {
		fprintf(out, "pool %s: open %s\n", object->name, pool->path);
	}
}

static void plan_bytes(const struct config_disk *disk, FILE *out, struct config_messages *messages)
{
	const struct config_object *object = &disk->object;
	char size[VALUE_SIZE_TEXT];
	struct stat status;

	if (disk->pool)
		fprintf(out, "disk %s: %s in pool %s, created if missing, grown if smaller%s\n", object->name,
			value_format_size(disk->size_bytes, size), disk->pool,
			disk->read_only ? ", read-only" : "");
	else if (stat(disk->path, &status) < 0)
		config_message(messages, object->file, object->line, "disk %s: %s: %s", object->name,
			       disk->path, strerror(errno));
	else if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
		config_message(messages, object->file, object->line,
			       "disk %s: %s is neither a regular file nor a block device", object->name,
			       disk->path);
	else
		fprintf(out, "disk %s: %s as it is%s\n", object->name, disk->path,
			disk->read_only ? ", read-only" : "");
}

static void plan_socket(const struct config_disk *disk, const char *runtime_dir, FILE *out,
			struct config_messages *messages)
{
	const struct config_object *object = &disk->object;
	char guest[CONFIG_GUEST_MAX + 1], path[PATH_MAX];
	const char *rest;

	if (!config_split_name(object->name, guest, &rest))
		return;
	if (disk->device.socket || disk->device.connect)
		snprintf(path, sizeof(path), "%s",
			 disk->device.socket ? disk->device.socket : disk->device.connect);
	else
		snprintf(path, sizeof(path), "%s/%s/disk-%s.sock", runtime_dir, guest, rest);
	if (strlen(path) >= SOCKET_PATH_SIZE)
		config_message(messages, object->file, object->line,
			       "disk %s: the socket's path %s is longer than %d bytes; use a shorter "
			       "runtime_dir, or socket =",
			       object->name, path, SOCKET_PATH_SIZE - 1);
	else
		fprintf(out, "disk %s: %s %s\n", object->name,
			disk->device.connect ? "connect to" : "listen on", path);
}

void plan_print(const struct config *config, const char *runtime_dir, FILE *out,
		struct config_messages *messages)
{
	plan_workers(config, runtime_dir, out);
	config_for_each(config_pools(config), config_pool, pool)
		plan_pool(pool, out, messages);
	config_for_each(config_disks(config), config_disk, disk) {
		plan_bytes(disk, out, messages);
		plan_socket(disk, runtime_dir, out, messages);
	}
	fputs("other disks in the pools: served too\n", out);
}
