/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/base/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/log.h"
#include "core/path.h"
#include "daemon/base/daemon.h"
#include "daemon/config/config.h"

char *state_directory(const struct config *config)
{
	const char *given = config_daemon(config)->state_dir, *service = getenv("STATE_DIRECTORY");
	const char *state_home = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char *path = NULL;

	if (given)
		return strdup(given);
	if (service && service[0] == '/')
		return strndup(service, strcspn(service, ":"));
	if (geteuid() == 0)
		return strdup("/var/lib/viaduct");
	if (state_home && state_home[0] == '/')
		return asprintf(&path, "%s/viaduct", state_home) < 0 ? NULL : path;
	return asprintf(&path, "%s/.local/state/viaduct", home ? home : "") < 0 ? NULL : path;
}

int state_directory_make(const struct config *config, const char *directory)
{
	char *path = strdup(directory);

	if (!path)
		return -ENOMEM;
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		path_make_directory(path, 0755); /* what cannot be made is missed by the last one */
		*slash = '/';
	}
	free(path);
	return daemon_make_directory(config, directory);
}

int state_read(const char *directory, const char *name, char **ret_bytes, size_t *ret_length)
{
	char path[PATH_MAX];

	int fd, error;

	if (!directory)
		return -ENOENT;
	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = path_open(path, O_RDONLY | O_NONBLOCK, 0);
	error = fd < 0 ? fd : config_read_fd(fd, ret_bytes, ret_length);
	fd_close(&fd);
	return error;
}

static int write_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t written = write(fd, bytes, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		bytes += written;
		length -= (size_t)written;
	}
	return 0;
}

/* Writes and closes `fd`, which is NAME.new, and gives it its name. */
static int put_in_place(int directory, int fd, const char *new_name, const char *name, const char *bytes,
			size_t length, bool durable)
{
	int error = write_all(fd, bytes, length);

	if (!error && durable && fsync(fd) < 0)
		error = -errno;
	fd_close(&fd);
	if (!error && renameat(directory, new_name, directory, name) < 0)
		error = -errno;
	if (!error && durable && fsync(directory) < 0)
		error = -errno;
	return error;
}

/* What root writes during the start is read and replaced later by the user that the directory belongs to. */
static void give_to_owner(int directory, int fd, const char *name)
{
	struct stat status;

	if (fd < 0 || geteuid() != 0 || fstat(directory, &status) < 0)
		return;
	if (fchown(fd, status.st_uid, status.st_gid) < 0)
		log_warning(NULL, "cannot give %s to the owner of its directory: %s", name, strerror(errno));
}

int state_write(const char *directory, const char *name, const char *bytes, size_t length, bool durable)
{
	char new_name[NAME_MAX + 1];
	int folder, fd, error;

	if (!directory)
		return -ENOENT;
	snprintf(new_name, sizeof(new_name), "%s.new", name);
	folder = path_open(directory, O_RDONLY | O_DIRECTORY, 0);
	if (folder < 0)
		return folder;
	unlinkat(folder, new_name, 0); /* left over from a crash, maybe of another user */
	fd = openat(folder, new_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	give_to_owner(folder, fd, name);
	error = fd < 0 ? -errno : put_in_place(folder, fd, new_name, name, bytes, length, durable);
	if (error && fd >= 0)
		unlinkat(folder, new_name, 0);
	fd_close(&folder);
	return error;
}
