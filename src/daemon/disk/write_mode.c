/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/disk/write_mode.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "daemon/disk/disk_device.h"

static bool mode_path(const struct disk_device *disk, char *path, size_t size)
{
	int length = snprintf(path, size, "%s/%s/disk-%s.write-through", disk->base.daemon->runtime_dir,
			      disk->base.guest->name, disk->base.short_name);

	return length > 0 && (size_t)length < size;
}

bool write_mode_is_through(const struct disk_device *disk)
{
	char path[WRITE_MODE_PATH_SIZE];

	return mode_path(disk, path, sizeof(path)) && access(path, F_OK) == 0;
}

void write_mode_changed(void *context, bool writeback)
{
	struct disk_device *disk = context;
	char path[WRITE_MODE_PATH_SIZE];
	int fd;

	if (!mode_path(disk, path, sizeof(path)))
		return;
	if (writeback) {
		unlink(path);
		return;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		log_warning(&disk->base.subject, "cannot remember that the guest wants write-through: %s: %s",
			    path, strerror(errno));
	else
		close(fd);
}
