/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/base/unix_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/path.h"

/* Clients that came at once: one that does not wait (a program with a time-out) is refused beyond them. */
#define BACKLOG 1024

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
	int fd = unix_socket_connect(path);

	if (fd >= 0) {
		fd_close(&fd);
		return -EADDRINUSE;
	}
	if (fd != -ECONNREFUSED && fd != -ENOENT)
		return fd;
	return path_remove_socket(path);
}

int unix_socket_listen(const char *path, mode_t mode)
{
	int error = remove_stale(path), fd, file;
	mode_t before;

	if (error)
		return error;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	before = umask(~mode & 0777);
	file = path_bind(fd, path);
	umask(before);
	error = file < 0 ? file : 0;
	fd_close(&file);
	if (!error && listen(fd, BACKLOG) < 0)
		error = -errno;
	if (error) {
		fd_close(&fd);
		return error;
	}
	return fd;
}
