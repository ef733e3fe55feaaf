/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The back-end channel of a connection, on which we speak first (SET_BACKEND_REQ_FD). */
#ifndef VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_BACKEND_H
#define VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "core/loop.h"

struct vhost_user_connection;

/* Embedded in the connection. */
struct vhost_user_backend {
	int fd;					/* -1: none */
	bool config_news;			/* a config-change message waits for room */
	struct loop_timer timer;
	uint64_t since_ns;			/* when it began to wait */
};

/* The device's configuration changed. */
void vhost_user_backend_notify(struct vhost_user_connection *connection);
void vhost_user_backend_finish(struct vhost_user_connection *connection);

#endif
