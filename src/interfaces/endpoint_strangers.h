/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Closing what a peer sent and nothing here knows.
 *
 * close() tells a file's file system (FLUSH of FUSE and NFS) and waits for its answer, and the last close of
 * a TCP socket lingers: the process behind that file system or socket decides how long. Such a stranger is
 * closed by a thread of the control loop's ring. An endpoint that keeps too many of those threads waiting
 * takes no new peers until they come back. Control thread only.
 */
#ifndef VIADUCT_INTERFACES_ENDPOINT_STRANGERS_H
#define VIADUCT_INTERFACES_ENDPOINT_STRANGERS_H

#include <stdbool.h>

struct endpoint_stranger;
struct loop;

/* With more descriptors than these, whose close() has not come back, an endpoint takes no new peers. */
#define ENDPOINT_STRANGERS_MAX 16

/* Of one endpoint; embedded there. */
struct endpoint_strangers {
	struct loop *control;
	struct endpoint_stranger *first;
	unsigned count;
};

void endpoint_strangers_init(struct endpoint_strangers *strangers, struct loop *control);

/* The endpoint is about to be freed; what is being closed goes on by itself. */
void endpoint_strangers_finish(struct endpoint_strangers *strangers);

bool endpoint_strangers_crowded(const struct endpoint_strangers *strangers);

/* Closes a descriptor of any kind without ever waiting for it, and sets it to -1. -1 is allowed. */
void endpoint_strangers_close(struct endpoint_strangers *strangers, int *fd);

/* The same for a socket of ours that a peer may have sent messages to: descriptors in them end with it. */
void endpoint_strangers_close_socket(struct endpoint_strangers *strangers, int *socket);

#endif
