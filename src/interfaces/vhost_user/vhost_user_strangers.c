/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Closing what a front end sent and nobody here knows. close() tells a file's file system (FLUSH of FUSE and
 * NFS) and waits for its answer, and the last close of a TCP socket lingers: whoever runs that file system or
 * made that socket decides how long. So such a descriptor is closed by a thread of the control loop's ring;
 * an endpoint that keeps too many of those threads waiting gets no new connections until they come back.
 */
#include "interfaces/vhost_user/vhost_user_connection.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "core/container.h"
#include "core/fd.h"

/* Of all endpoints together; what waits beyond them keeps its descriptor. */
#define CLOSING_THREADS 256u

struct vhost_user_stranger {
	struct loop_op op;
	struct vhost_user_endpoint *endpoint;	/* NULL: it is gone */
	struct vhost_user_stranger *next, *previous;
};

/* Those whose endpoint ended before the close did. Control thread only. */
static struct vhost_user_stranger *orphans;

static struct vhost_user_stranger **list_of(struct vhost_user_endpoint *endpoint)
{
	return endpoint ? &endpoint->strangers : &orphans;
}

static void link_stranger(struct vhost_user_stranger *stranger, struct vhost_user_endpoint *endpoint)
{
	struct vhost_user_stranger **first = list_of(endpoint);

	stranger->endpoint = endpoint;
	stranger->previous = NULL;
	stranger->next = *first;
	if (stranger->next)
		stranger->next->previous = stranger;
	*first = stranger;
}

/* Memory files and eventfds have nobody to tell. */
static bool closes_at_once(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0 || vhost_user_is_eventfd(fd);
}

static void unlink_stranger(struct vhost_user_stranger *stranger)
{
	if (stranger->next)
		stranger->next->previous = stranger->previous;
	if (stranger->previous)
		stranger->previous->next = stranger->next;
	else
		*list_of(stranger->endpoint) = stranger->next;
}

static void on_closed(struct loop_op *op, int result, unsigned cqe_flags)
{
	struct vhost_user_stranger *stranger = container_of(op, struct vhost_user_stranger, op);

	unlink_stranger(stranger);
	if (stranger->endpoint)
		stranger->endpoint->stranger_count--;
	free(stranger);
}

static void close_apart(struct vhost_user_endpoint *endpoint, struct vhost_user_stranger *stranger, int fd)
{
	struct loop *control = endpoint->options.endpoint.control;
	struct io_uring_sqe *sqe;

	stranger->op.done = on_closed;
	link_stranger(stranger, endpoint);
	endpoint->stranger_count++;
	loop_set_threads(control, CLOSING_THREADS);
	sqe = loop_sqe(control);
	io_uring_prep_close(sqe, fd);
	sqe->flags |= IOSQE_ASYNC;
	loop_sqe_finish(control, sqe, &stranger->op);
}

void vhost_user_fd_drop(struct vhost_user_endpoint *endpoint, int *fd)
{
	struct vhost_user_stranger *stranger;

	if (*fd < 0)
		return;
	stranger = closes_at_once(*fd) ? NULL : calloc(1, sizeof(*stranger));
	if (stranger)
		close_apart(endpoint, stranger, fd_take(fd));
	else
		fd_close(fd);
}

/* Messages that nobody read may hold descriptors, which end with the socket. */
void vhost_user_socket_drop(struct vhost_user_endpoint *endpoint, int *socket)
{
	int unread = 0;

	if (ioctl(*socket, FIONREAD, &unread) == 0 && unread == 0)
		fd_close(socket);
	else
		vhost_user_fd_drop(endpoint, socket);
}

void vhost_user_strangers_forget(struct vhost_user_endpoint *endpoint)
{
	while (endpoint->strangers) {
		struct vhost_user_stranger *stranger = endpoint->strangers;

		unlink_stranger(stranger);
		link_stranger(stranger, NULL);
	}
}
