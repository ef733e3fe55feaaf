/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One daemon for a runtime directory, and a start right after a crash.
 *
 * The kernel ends a killed process's io_uring some time after the process: until then its listening sockets
 * accept connections that nobody answers, and its disks' locks are held by the I/O still under way. The
 * lock file is in no io_uring, so who holds it knows that the sockets in the directory are leftovers. The
 * disks' locks are waited for: a late write of the dead process must not come after one of ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fd.h"
#include "core/log.h"
#include "daemon/daemon.h"
#include "daemon/takeover.h"

/* A dead process's I/O ends when the disk answers; a disk that does not is somebody else's problem. */
#define DISK_WAIT_NS  (10 * NS_PER_S)
#define DISK_RETRY_NS (10 * NS_PER_MS)

int daemon_lock(struct daemon *daemon, struct daemon_error *error)
{
	char path[PATH_MAX];
	int code;

	daemon->lock_fd = takeover_offer_take(daemon->offer, "lock", "");
	if (daemon->lock_fd >= 0)
		return 0;
	if ((size_t)snprintf(path, sizeof(path), "%s/daemon.lock", daemon->runtime_dir) >= sizeof(path))
		return daemon_fail(error, -ENAMETOOLONG, "the runtime directory's name is too long");
	daemon->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (daemon->lock_fd < 0)
		return daemon_fail(error, -errno, "cannot open %s: %s", path, strerror(errno));
	if (flock(daemon->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	code = -errno;
	fd_close(&daemon->lock_fd);
	if (code == -EWOULDBLOCK)
		return daemon_fail(error, -EADDRINUSE, "another viaductd serves %s; stop it, use --takeover to replace it, "
				   "or name another directory with --runtime-dir", daemon->runtime_dir);
	return daemon_fail(error, code, "cannot lock %s: %s", path, strerror(-code));
}

void daemon_remove_leftover(const struct daemon *daemon, const char *socket_path)
{
	size_t length = strlen(daemon->runtime_dir);
	struct stat status;

	if (daemon->lock_fd < 0 || strncmp(socket_path, daemon->runtime_dir, length) != 0 || socket_path[length] != '/')
		return;
	if (lstat(socket_path, &status) == 0 && S_ISSOCK(status.st_mode))
		unlink(socket_path);
}

int daemon_open_locked(const struct daemon *daemon, const struct disk_uring_options *options,
		       struct host_disk **ret_host)
{
	uint64_t give_up_ns = clock_now_ns() + DISK_WAIT_NS;
	struct timespec pause = { .tv_nsec = (long)DISK_RETRY_NS };
	int code = disk_uring_open(options, ret_host);

	/* Later, on a reload, guests are being served and nothing may wait. */
	if (code != -EBUSY || daemon->serving)
		return code;
	log_info(NULL, "%s is in use: waiting up to %u s for a predecessor's last I/O", options->path,
		 (unsigned)(DISK_WAIT_NS / NS_PER_S));
	while (code == -EBUSY && clock_now_ns() < give_up_ns) {
		nanosleep(&pause, NULL);
		code = disk_uring_open(options, ret_host);
	}
	return code;
}
