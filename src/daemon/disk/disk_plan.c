/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a start would do with pools and disks: for viaductd --check. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arbiter/pool/pool_contents.h"
#include "daemon/config/config_values.h"
#include "daemon/disk/catalogue.h"
#include "daemon/disk/disk_device.h"

/* Is there a directory that a missing file can be made in? */
static bool parent_exists(const char *path)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');
	struct stat status;

	snprintf(directory, sizeof(directory), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	return stat(directory, &status) == 0 && S_ISDIR(status.st_mode);
}

/* What becomes of a disk that is there: only a blank one is formatted, unless the user insists. */
static void plan_contents(const struct config *config, const struct config_pool *pool,
			  struct host_disk *host, const char *force_format, FILE *out,
			  struct config_messages *messages)
{
	const struct config_object *object = &pool->object;
	bool force = force_format && strcmp(force_format, object->name) == 0;
	char name[POOL_CONTENTS_MAX];
	struct error ignored;
	struct pool *opened;
	int found;

	if (pool_open(host, &opened, &ignored) == 0) {
		catalogue_check(config, object->name, opened, messages);
		pool_close(opened);
		return;
	}
	found = pool_contents_find(host, name);
	if (found == 0)
		fprintf(out, "pool %s: format %s, which is blank\n", object->name, pool->path);
	else if (found > 0 && force)
		fprintf(out, "pool %s: format %s, which destroys %s\n", object->name, pool->path, name);
	else if (found > 0 && !pool_probe(host))
		config_message(messages, object->file, object->line,
			       "pool %s: %s holds %s; name another path, or use --force-format %s if that "
			       "may be lost",
			       object->name, pool->path, name, object->name);
}

static void plan_existing_pool(const struct config *config, const struct config_pool *pool,
			       const char *force_format, FILE *out, struct config_messages *messages)
{
	struct disk_uring_options options = { .path = pool->path, .cache = pool->cache, .read_only = true };
	struct host_disk *host;

	/* What only root may read is looked at when it is opened. */
	if (disk_uring_open(&options, &host) < 0)
		return;
	plan_contents(config, pool, host, force_format, out, messages);
	host->ops->close(host);
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
		fprintf(out, "pool %s: open device %s\n", object->name, pool->path);
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

void disks_plan(const struct config *config, const char *force_format, FILE *out,
		struct config_messages *messages)
{
	config_for_each(config_pools(config), config_pool, pool) {
		plan_pool(pool, out, messages);
		plan_existing_pool(config, pool, force_format, out, messages);
	}
	config_for_each(config_disks(config), config_disk, disk)
		plan_bytes(disk, out, messages);
	if (config_pools(config))
		fputs("other disks in the pools: served too\n", out);
}
