/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One daemon for a runtime directory, and a start right after a crash.
 *
 * The kernel ends a killed process's io_uring some time after the process: until then its listening sockets
 * accept connections that get no answer, and its disks' locks are held by the I/O still under way. The
 * lock file is in no io_uring, so the daemon that holds it knows that the sockets in the directory are
 * leftovers. The
 * disks' locks are waited for (DAEMON_LOCK_WAIT_MS): a late write of the dead process must not come after one
 * of ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/path.h"
#include "daemon/base/daemon.h"
#include "daemon/base/takeover_offer.h"

int daemon_lock(struct daemon *daemon, struct error *error)
{
	char path[PATH_MAX];
	int code;

	daemon->lock_fd = takeover_offer_take(daemon->offer, "lock", "");
	if (daemon->lock_fd >= 0)
		return 0;
	if ((size_t)snprintf(path, sizeof(path), "%s/daemon.lock", daemon->runtime_dir) >= sizeof(path))
		return error_set(error, -ENAMETOOLONG, "the runtime directory's name is too long");
	daemon->lock_fd = path_open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (daemon->lock_fd < 0) {
		code = daemon->lock_fd;
		daemon->lock_fd = -1;
		return error_set(error, code, "cannot open %s: %s%s", path, strerror(-code),
				 code == -EACCES ? "; its owner can, or root: use sudo, or name another "
						   "directory with --runtime-dir"
						 : "");
	}
	if (flock(daemon->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	code = -errno;
	fd_close(&daemon->lock_fd);
	if (code == -EWOULDBLOCK)
		return error_set(error, -EADDRINUSE,
				 "another viaductd serves %s; stop it, use --takeover to replace it, "
				 "or name another directory with --runtime-dir",
				 daemon->runtime_dir);
	return error_set(error, code, "cannot lock %s: %s", path, strerror(-code));
}

void daemon_unlock(struct daemon *daemon)
{
	char path[PATH_MAX];

	if (daemon->lock_fd < 0)
		return;
	if ((size_t)snprintf(path, sizeof(path), "%s/daemon.lock", daemon->runtime_dir) < sizeof(path))
		unlink(path);
	fd_close(&daemon->lock_fd);
}

void daemon_remove_leftover(const struct daemon *daemon, const char *socket_path)
{
	size_t length = strlen(daemon->runtime_dir);

	if (daemon->lock_fd < 0 || strncmp(socket_path, daemon->runtime_dir, length) != 0 ||
	    socket_path[length] != '/')
		return;
	path_remove_socket(socket_path);
}
