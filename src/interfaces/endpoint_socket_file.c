/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/endpoint_socket_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/path.h"

#define LISTEN_BACKLOG 16
#define MODE_DEFAULT   0600

static int address_of(const char *path, struct sockaddr_un *ret_address)
{
	if (strlen(path) >= sizeof(ret_address->sun_path))
		return -ENAMETOOLONG;
	memset(ret_address, 0, sizeof(*ret_address));
	ret_address->sun_family = AF_UNIX;
	memcpy(ret_address->sun_path, path, strlen(path) + 1);
	return 0;
}

static int make_stream(void)
{
	int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return socket_fd < 0 ? -errno : socket_fd;
}

/* Never waits: a UNIX socket's connection stands at once or fails. */
int endpoint_socket_file_connect(const char *path)
{
	struct sockaddr_un address;
	int error = address_of(path, &address), socket_fd;

	if (error)
		return error;
	socket_fd = make_stream();
	if (socket_fd < 0)
		return socket_fd;
	if (connect(socket_fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		error = -errno;
		close(socket_fd);
		return error;
	}
	return socket_fd;
}

/*
 * Has the process that made this connection's other end listen ended? A peer may hold up what was left behind
 * of it, which holds the socket until then.
 */
static bool listener_is_dead(int connection)
{
	struct ucred maker;
	socklen_t length = sizeof(maker);

	return getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &maker, &length) == 0 && maker.pid > 0 &&
	       kill(maker.pid, 0) < 0 && errno == ESRCH;
}

/* Returns a descriptor of the file (O_PATH), or -errno. */
static int bind_new(int socket_fd, const char *path)
{
	int file = path_bind(socket_fd, path), other;

	if (file != -EADDRINUSE)
		return file;
	other = endpoint_socket_file_connect(path);
	if (other >= 0) {
		bool dead = listener_is_dead(other);

		close(other);
		other = dead ? -ECONNREFUSED : -EADDRINUSE;
	}
	if (other != -ECONNREFUSED)
		return -EADDRINUSE;
	return path_remove_socket(path) < 0 ? -EADDRINUSE : path_bind(socket_fd, path);
}

static int remember(struct endpoint_socket_file *file, int file_fd)
{
	struct stat status;

	if (fstat(file_fd, &status) < 0)
		return -errno;
	*file = (struct endpoint_socket_file){ true, status.st_dev, status.st_ino };
	return 0;
}

/*
 * No peer may connect before owner, group and mode are right: the file is born with no permissions at all
 * (Linux takes them from the unbound socket), whatever the umask, and gets its own before listen().
 */
static int make_file(struct endpoint_socket_file *file, int socket_fd, const char *path, uid_t owner,
		     gid_t group, mode_t mode)
{
	int file_fd, error;

	if (fchmod(socket_fd, 0) < 0)
		return -errno;
	file_fd = bind_new(socket_fd, path);
	if (file_fd < 0)
		return file_fd;
	error = remember(file, file_fd);
	if (!error)
		error = path_give(file_fd, owner, group);
	if (!error)
		error = path_set_mode(file_fd, mode ? mode : MODE_DEFAULT);
	fd_close(&file_fd);
	if (error)
		return error;
	return listen(socket_fd, LISTEN_BACKLOG) < 0 ? -errno : 0;
}

int endpoint_socket_file_listen(struct endpoint_socket_file *file, const char *path, uid_t owner, gid_t group,
				mode_t mode)
{
	int socket_fd = make_stream(), error;

	if (socket_fd < 0)
		return socket_fd;
	error = make_file(file, socket_fd, path, owner, group, mode);
	if (!error)
		return socket_fd;
	fd_close(&socket_fd);
	return error;
}

void endpoint_socket_file_remove(struct endpoint_socket_file *file, const char *path)
{
	struct stat status;
	const char *name = "";
	int directory = file->created ? path_open_parent(path, &name) : -1;

	if (directory >= 0 && fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	    status.st_dev == file->device && status.st_ino == file->inode)
		unlinkat(directory, name, 0);
	fd_close(&directory);
	file->created = false;
}

void endpoint_socket_file_take_over(int listen_fd)
{
	listen(listen_fd, LISTEN_BACKLOG);
}
