/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The err descriptors of rings (SET_VRING_ERR): how a front end learns at once that a ring broke. */
#ifndef VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_ERROR_SIGNAL_H
#define VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_ERROR_SIGNAL_H

struct vhost_user_connection;
struct vhost_user_queue;

/*
 * Writes to a ring's err descriptor without ever waiting for its counter to have room. At most one write is
 * under way for each queue; connection->error_signals counts them.
 */
void vhost_user_error_signal(struct vhost_user_queue *queue);

/* The connection closes: what is under way ends soon, each with vhost_user_connection_defer(). */
void vhost_user_error_signals_cancel(struct vhost_user_connection *connection);

#endif
