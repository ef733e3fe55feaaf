/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The err descriptors of rings (SET_VRING_ERR): how a front end learns at once that a ring broke. */
#ifndef VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_ERROR_SIGNAL_H
#define VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_ERROR_SIGNAL_H

struct vhost_user_queue;

/*
 * Writes to a ring's err descriptor, if its counter has room. A front end that makes that take long loses its
 * connection.
 */
void vhost_user_error_signal(struct vhost_user_queue *queue);

#endif
