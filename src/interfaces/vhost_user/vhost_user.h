/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost-user back end: one endpoint is one socket that serves one virtio device to a VMM.
 *
 * Runs on the control thread; never touches a ring. It builds complete virtqueue_setups from checked
 * messages and sends them to workers. Several front ends may be connected to an endpoint (the target of a
 * live migration waits beside its source); the rings of only one run at a time.
 */
#ifndef VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_H
#define VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_H

#include <stdint.h>

#include "devices/virtio_model.h"
#include "interfaces/door/doorman.h"
#include "interfaces/endpoint.h"

struct handover;
struct porter_service;

struct vhost_user_options {
	struct endpoint_options endpoint;
	const struct virtio_model_ops *model;
	void *device;			/* outlives the endpoint */
	unsigned queue_size_max;	/* 0: 1024 */
	/* Ring features not to offer (a bit mask), e.g. 1 << VIRTIO_F_RING_PACKED */
	uint64_t features_off;
};

/* How a front end's doorman follows its messages. */
extern const struct doorman_framing vhost_user_framing;
/* For a porter that makes such doormen. */
extern const struct porter_service vhost_user_doorman;

/*
 * Returns 0 or -errno; on failure the fd stays the caller's. A stale socket file (nothing listens) is
 * replaced; one that a process listens on gives -EADDRINUSE.
 */
int vhost_user_create(const struct vhost_user_options *options, struct endpoint **ret_endpoint);

/*
 * In the successor: builds the endpoint from a handover instead of what the options say of the socket; rings
 * start at once. Returns 0, -EBADMSG (a foreign or damaged stream, or one that this device cannot take over)
 * or -ENOMEM; the predecessor can go on with the same sockets then.
 */
int vhost_user_restore(const struct vhost_user_options *options, struct handover *handover,
		       struct endpoint **ret_endpoint);

#endif
