/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/endpoint_strangers.h"

#include <stdlib.h>
#include <sys/ioctl.h>

#include "core/container.h"
#include "core/fd.h"
#include "core/loop.h"
#include "interfaces/endpoint_fd.h"

/* Of all endpoints together; what waits beyond them keeps its descriptor. */
#define CLOSING_THREADS 256u

struct endpoint_stranger {
	struct loop_op op;
	struct endpoint_strangers *strangers;	/* NULL: its endpoint has ended */
	struct endpoint_stranger *next, *previous;
};

/* Those whose endpoint ended before the close did. Control thread only. */
static struct endpoint_stranger *orphans;

static struct endpoint_stranger **list_of(struct endpoint_strangers *strangers)
{
	return strangers ? &strangers->first : &orphans;
}

static void link_stranger(struct endpoint_stranger *stranger, struct endpoint_strangers *strangers)
{
	struct endpoint_stranger **first = list_of(strangers);

	stranger->strangers = strangers;
	stranger->previous = NULL;
	stranger->next = *first;
	if (stranger->next)
		stranger->next->previous = stranger;
	*first = stranger;
}

static void unlink_stranger(struct endpoint_stranger *stranger)
{
	if (stranger->next)
		stranger->next->previous = stranger->previous;
	if (stranger->previous)
		stranger->previous->next = stranger->next;
	else
		*list_of(stranger->strangers) = stranger->next;
}

void endpoint_strangers_init(struct endpoint_strangers *strangers, struct loop *control)
{
	*strangers = (struct endpoint_strangers){ .control = control };
}

void endpoint_strangers_finish(struct endpoint_strangers *strangers)
{
	while (strangers->first) {
		struct endpoint_stranger *stranger = strangers->first;

		unlink_stranger(stranger);
		link_stranger(stranger, NULL);
	}
	strangers->count = 0;
}

bool endpoint_strangers_crowded(const struct endpoint_strangers *strangers)
{
	return strangers->count > ENDPOINT_STRANGERS_MAX;
}

static void on_closed(struct loop_op *op, int result, unsigned cqe_flags)
{
	struct endpoint_stranger *stranger = container_of(op, struct endpoint_stranger, op);

	unlink_stranger(stranger);
	if (stranger->strangers)
		stranger->strangers->count--;
	free(stranger);
}

static void close_apart(struct endpoint_strangers *strangers, struct endpoint_stranger *stranger, int fd)
{
	struct io_uring_sqe *sqe;

	stranger->op.done = on_closed;
	link_stranger(stranger, strangers);
	strangers->count++;
	loop_set_threads(strangers->control, CLOSING_THREADS);
	sqe = loop_sqe(strangers->control);
	io_uring_prep_close(sqe, fd);
	sqe->flags |= IOSQE_ASYNC;
	loop_sqe_finish(strangers->control, sqe, &stranger->op);
}

void endpoint_strangers_close(struct endpoint_strangers *strangers, int *fd)
{
	struct endpoint_stranger *stranger;

	if (*fd < 0)
		return;
	/* Closing a memory file or an eventfd tells no other process. */
	if (endpoint_fd_is_memory(*fd) || endpoint_fd_is_eventfd(*fd))
		stranger = NULL;
	else
		stranger = calloc(1, sizeof(*stranger));
	if (stranger)
		close_apart(strangers, stranger, fd_take(fd));
	else
		fd_close(fd);
}

void endpoint_strangers_close_socket(struct endpoint_strangers *strangers, int *socket)
{
	int unread = 0;

	if (ioctl(*socket, FIONREAD, &unread) == 0 && unread == 0)
		fd_close(socket);
	else
		endpoint_strangers_close(strangers, socket);
}
