/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The runtime directory, and those of the guests below it. */
#include <assert.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
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

/* The user that we change to later must be able to remove the sockets in it. */
static void give_directory(const struct config *config, const char *path)
{
	const char *name = config_daemon(config)->user;
	const struct passwd *user = name ? getpwnam(name) : NULL;

	if (geteuid() == 0 && user && chown(path, user->pw_uid, user->pw_gid) < 0)
		log_warning(NULL, "cannot give %s to %s: %s", path, name, strerror(errno));
}

int daemon_make_directory(const struct config *config, const char *path)
{
	struct stat status;

	assert(path);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	if (stat(path, &status) < 0)
		return -errno;
	if (!S_ISDIR(status.st_mode))
		return -ENOTDIR;
	give_directory(config, path);
	return 0;
}
