/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The directories that the daemon makes, and the access to them.
 *
 * A directory that root makes during the start is given to the user that the daemon changes to, because the
 * daemon makes and removes files in it later. The accounts that the configuration lets connect to a guest's
 * sockets can pass through the guest's directory, whatever the umask is; the sockets' own permissions keep
 * out every other account. Only the daemon's user lists the directory.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/log.h"
#include "core/path.h"
#include "daemon/base/daemon.h"

char *daemon_runtime_dir(const char *option, const struct config *config)
{
	const char *home = getenv("XDG_RUNTIME_DIR");
	char *path = NULL;

	if (option)
		return strdup(option);
	if (config_daemon(config)->runtime_dir)
		return strdup(config_daemon(config)->runtime_dir);
	if (geteuid() == 0 || !home || home[0] != '/')
		return strdup("/run/viaduct");
	return asprintf(&path, "%s/viaduct", home) < 0 ? NULL : path;
}

void daemon_give(const struct config *config, int fd, const char *path)
{
	const char *name = config_daemon(config)->user;
	const struct passwd *user = name ? getpwnam(name) : NULL;

	if (geteuid() == 0 && user && fchown(fd, user->pw_uid, user->pw_gid) < 0)
		log_warning(NULL, "cannot give %s to %s: %s", path, name, strerror(errno));
}

/* Makes the directory if it is missing, and opens it. Returns the fd or -errno. */
static int open_directory(const char *path, mode_t mode, int flags)
{
	int error;

	assert(path);
	error = path_make_directory(path, mode);
	return error ? error : path_open(path, O_RDONLY | O_DIRECTORY | flags, 0);
}

int daemon_make_directory(const struct config *config, const char *path)
{
	int fd = open_directory(path, 0755, 0);

	if (fd < 0)
		return fd;
	daemon_give(config, fd, path);
	fd_close(&fd);
	return 0;
}

/* The group and permissions of a directory for sockets with these settings. */
static void directory_access(const struct config_guest *guest, gid_t *ret_group, mode_t *ret_mode)
{
	const struct group *group = guest && guest->socket_group ? getgrnam(guest->socket_group) : NULL;

	*ret_group = group ? group->gr_gid : (gid_t)-1;
	*ret_mode = 0700;
	if (guest && (guest->socket_mode & S_IWGRP))
		*ret_mode |= S_IXGRP;
	/* The daemon owns the directory, so the owner of the sockets passes by the bit for all others. */
	if (guest && (guest->socket_owner || (guest->socket_mode & S_IWOTH)))
		*ret_mode |= S_IXGRP | S_IXOTH;
}

/* Changes only what differs: after the start, the daemon may not give a directory to another group. */
static int set_access(int fd, gid_t group, mode_t mode)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (group != (gid_t)-1 && status.st_gid != group && fchown(fd, (uid_t)-1, group) < 0)
		return -errno;
	if ((status.st_mode & 07777) != mode && fchmod(fd, mode) < 0)
		return -errno;
	return 0;
}

int daemon_make_guest_directory(const struct config *config, const char *path,
				const struct config_guest *guest)
{
	gid_t group;
	mode_t mode;
	int fd = open_directory(path, 0700, O_NOFOLLOW), error;

	if (fd < 0)
		return fd;
	daemon_give(config, fd, path);
	directory_access(guest, &group, &mode);
	error = set_access(fd, group, mode);
	fd_close(&fd);
	return error;
}
