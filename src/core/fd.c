/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/fd.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

int fd_set_nonblocking(int fd, bool nonblocking)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

union fd_control {
	char bytes[CMSG_SPACE(FD_MESSAGE_MAX * sizeof(int))];
	struct cmsghdr align;
};

/* Moves every descriptor of the message to fds; those beyond fds_max are closed and counted. */
static size_t collect_fds(struct msghdr *message, int *fds, size_t fds_max)
{
	size_t count = 0;

	for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control;
	     control = CMSG_NXTHDR(message, control)) {
		size_t in_this;

		if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
			continue;
		in_this = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < in_this; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof(fd));
			if (count < fds_max)
				fds[count] = fd;
			else
				close(fd);
			count++;
		}
	}
	return count;
}

ssize_t fd_receive(int socket, void *buffer, size_t bytes, int *fds, size_t fds_max, size_t *ret_fd_count)
{
	union fd_control control;
	struct iovec iov = { .iov_base = buffer, .iov_len = bytes };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control),
	};
	ssize_t received;
	size_t count;

	assert(bytes > 0);
	assert(fds || fds_max == 0);
	assert(fds_max <= FD_MESSAGE_MAX);
	do
		received = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (received < 0 && errno == EINTR);
	if (received < 0)
		return -errno;

	count = collect_fds(&message, fds, fds_max);
	*ret_fd_count = count < fds_max ? count : fds_max;
	return count > fds_max || (message.msg_flags & MSG_CTRUNC) ? -EMSGSIZE : received;
}

static ssize_t send_with(int socket, const void *buffer, size_t bytes, const int *fds, size_t fd_count,
			 int flags)
{
	union fd_control control;
	struct iovec iov = { .iov_base = (void *)buffer, .iov_len = bytes };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	assert(fd_count <= FD_MESSAGE_MAX);
	assert(fds || fd_count == 0);
	/* Descriptors travel with a byte. */
	assert(bytes > 0 || fd_count == 0);
	if (fd_count > 0) {
		struct cmsghdr *header;

		memset(&control, 0, sizeof(control));
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(header), fds, fd_count * sizeof(int));
	}
	do
		sent = sendmsg(socket, &message, MSG_NOSIGNAL | flags);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

ssize_t fd_send(int socket, const void *buffer, size_t bytes, const int *fds, size_t fd_count)
{
	return send_with(socket, buffer, bytes, fds, fd_count, 0);
}

ssize_t fd_send_now(int socket, const void *buffer, size_t bytes, const int *fds, size_t fd_count)
{
	return send_with(socket, buffer, bytes, fds, fd_count, MSG_DONTWAIT);
}

int fd_memfd(const char *name, size_t bytes)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}
