/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/disk/catalogue.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arbiter/pool/pool.h"
#include "core/checked.h"
#include "daemon/config/config_values.h"
#include "daemon/disk/disk_device.h"

void catalogue_check(const struct config *config, const char *pool_name, struct pool *pool,
		     struct config_messages *messages)
{
	char title[CONFIG_TITLE_SIZE];

	config_for_each(config_disks(config), config_disk, disk) {
		const char *file;
		unsigned line = config_line_of(&disk->object, "path", &file);

		if (disk->path && pool_disk_find(pool, disk->object.name))
			config_message(messages, file, line,
				       "%s has a path, but pool %s holds a disk of that name; write pool = "
				       "%s to use it, or rename either",
				       config_title(&disk->object, title), pool_name, pool_name);
	}
}

void catalogue_check_open(const struct daemon *daemon, const struct config *config,
			  struct config_messages *messages)
{
	for (const struct daemon_pool *pool = daemon->pools; pool; pool = pool->next) {
		if (pool->pool)
			catalogue_check(config, pool->name, pool->pool, messages);
	}
}

/* ---- sizes, before a start ---- */

/* The size of a file or device; 0: it is not there, or its size cannot be read. */
static uint64_t size_now(const char *path)
{
	struct stat status;
	uint64_t bytes = 0;
	int fd;

	if (stat(path, &status) < 0)
		return 0;
	if (S_ISREG(status.st_mode))
		return (uint64_t)status.st_size;
	fd = S_ISBLK(status.st_mode) ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	if (fd >= 0 && ioctl(fd, BLKGETSIZE64, &bytes) < 0)
		bytes = 0;
	if (fd >= 0)
		close(fd);
	return bytes;
}

/* What the pool will have for disks after a start; UINT64_MAX: unknown, because it cannot be read. */
static uint64_t room_of(const struct config_pool *pool)
{
	struct disk_uring_options options = { .path = pool->path, .cache = pool->cache, .read_only = true };
	uint64_t size = size_now(pool->path), room;
	struct host_disk *host = NULL;

	if (size > 0 && disk_uring_open(&options, &host) < 0)
		return UINT64_MAX;
	if (size < pool->size_bytes)
		size = pool->size_bytes;
	room = size > 0 ? pool_capacity_bytes(host, size) : UINT64_MAX;
	if (host)
		host->ops->close(host);
	return room;
}

static void check_size(const struct config_disk *disk, const struct config_pool *pool, uint64_t room,
		       struct config_messages *messages)
{
	char title[CONFIG_TITLE_SIZE], pool_title[CONFIG_TITLE_SIZE];
	char size[VALUE_SIZE_TEXT], most[VALUE_SIZE_TEXT];
	const char *file;
	unsigned line = config_line_of(&disk->object, "size", &file);

	if (align_up(disk->size_bytes, POOL_EXTENT_BYTES) <= room)
		return;
	config_message(messages, file, line,
		       "size = %s of %s is larger than %s at %s:%u, which has room for %s; make the disk "
		       "smaller or the pool larger",
		       value_format_size(disk->size_bytes, size), config_title(&disk->object, title),
		       config_title(&pool->object, pool_title), pool->object.file, pool->object.line,
		       value_format_size(room, most));
}

void catalogue_check_sizes(const struct config *config, struct config_messages *messages)
{
	config_for_each(config_pools(config), config_pool, pool) {
		uint64_t room = room_of(pool);

		config_for_each(config_disks(config), config_disk, disk) {
			if (disk->pool && strcmp(disk->pool, pool->object.name) == 0)
				check_size(disk, pool, room, messages);
		}
	}
}
