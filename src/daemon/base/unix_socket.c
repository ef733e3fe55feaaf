/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/base/unix_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/fd.h"

static int fill_address(const char *path, struct sockaddr_un *ret_address)
{
	size_t length = strlen(path);

	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (length >= sizeof(ret_address->sun_path))
		return -ENAMETOOLONG;
	memcpy(ret_address->sun_path, path, length + 1);
	return 0;
}

int unix_socket_connect(const char *path)
{
	struct sockaddr_un address;
	int error = fill_address(path, &address), fd;

	if (error)
		return error;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		error = -errno;
		fd_close(&fd);
		return error;
	}
	return fd;
}

/* Removes the file of a socket on which no process listens. */
static int remove_stale(const char *path)
{
	struct stat status;
	int fd;

	if (lstat(path, &status) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode))
		return -EEXIST;
	fd = unix_socket_connect(path);
	if (fd >= 0) {
		fd_close(&fd);
		return -EADDRINUSE;
	}
	if (fd != -ECONNREFUSED)
		return fd;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

int unix_socket_listen(const char *path, mode_t mode)
{
	struct sockaddr_un address;
	int error = fill_address(path, &address), fd;
	mode_t before;

	if (!error)
		error = remove_stale(path);
	if (error)
		return error;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	before = umask(~mode & 0777);
	error = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(before);
	if (!error && listen(fd, 64) < 0)
		error = -errno;
	if (error) {
		fd_close(&fd);
		return error;
	}
	return fd;
}
