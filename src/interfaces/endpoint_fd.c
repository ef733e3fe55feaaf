/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/endpoint_fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTFD "anon_inode:[eventfd]"

/* What the kernel calls it, cut to an eventfd's name and one byte more; "" when there is no descriptor. */
static void find_name(int fd, char name[sizeof(EVENTFD) + 1])
{
	char path[32];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, name, sizeof(EVENTFD));
	name[length > 0 ? length : 0] = '\0';
}

/* The kernel names anonymous descriptors; nothing else tells an eventfd from an epoll or io_uring. */
bool endpoint_fd_is_eventfd(int fd)
{
	char name[sizeof(EVENTFD) + 1];

	find_name(fd, name);
	return strcmp(name, EVENTFD) == 0;
}

bool endpoint_fd_is_pipe(int fd)
{
	char name[sizeof(EVENTFD) + 1];

	find_name(fd, name);
	return strncmp(name, "pipe:[", 6) == 0;
}

bool endpoint_fd_may_be_file(int fd)
{
	char name[sizeof(EVENTFD) + 1];
	int flags = fcntl(fd, F_GETFL);

	find_name(fd, name);
	return flags >= 0 && (flags & O_ACCMODE) == O_RDWR && name[0] == '/' &&
	       strncmp(name, "/dev/", 5) != 0;
}

bool endpoint_fd_is_file(int fd)
{
	char name[sizeof(EVENTFD) + 1];

	find_name(fd, name);
	return strcmp(name, "/dev/zero") == 0;
}

/* Only files in memory have seals. */
bool endpoint_fd_is_memory(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0;
}

bool endpoint_fd_is_stream(int fd)
{
	int domain = -1, type = -1, listening = 1;
	socklen_t length = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && !listening;
}
