/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vfio-user server: one device made of registers as a PCI function, for one VMM at a time (QEMU,
 * docs/interop/vfio-user.rst). The function is there while a VMM is connected: it is powered on when one
 * connects, and off when it has gone.
 */
#ifndef VIADUCT_INTERFACES_VFIO_USER_VFIO_USER_H
#define VIADUCT_INTERFACES_VFIO_USER_VFIO_USER_H

#include "devices/register_model.h"
#include "interfaces/endpoint.h"

struct handover;

struct vfio_user_options {
	struct endpoint_options endpoint;
	const struct register_model_ops *model;
	void *device;			/* outlives the endpoint */
};

/* Returns 0, or -errno of endpoint_socket_open(), or -ENOMEM. */
int vfio_user_create(const struct vfio_user_options *options, struct endpoint **ret_endpoint);

/*
 * The same from what a predecessor saved. Besides -EBADMSG: the stream cannot be used, or is another kind of
 * endpoint's. After an error the predecessor's sockets are as they were.
 */
int vfio_user_restore(const struct vfio_user_options *options, struct handover *handover,
		      struct endpoint **ret_endpoint);

#endif
