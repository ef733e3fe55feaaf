/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio-net (virtio 1.2, 5.1): a port of a switch as a virtio device. Its control queue is the front end's.
 */
#ifndef VIADUCT_DEVICES_NIC_VIRTIO_NET_H
#define VIADUCT_DEVICES_NIC_VIRTIO_NET_H

#include "devices/virtio_model.h"

struct port;
struct virtio_net;

#define VIRTIO_NET_PAIRS_MAX 16u

struct virtio_net_options {
	struct port *port;     /* outlives the device */
	unsigned pairs;	       /* queue pairs, 1 … VIRTIO_NET_PAIRS_MAX; 0: 1 */
	uint64_t features_off; /* bits 1 << VIRTIO_NET_F_… that are not offered */
};

/* Returns 0 and *ret_device (for virtio_model_ops' `device`), -EINVAL or -ENOMEM. */
int virtio_net_create(const struct virtio_net_options *options, struct virtio_net **ret_device);
/* No queue runs any more. NULL is allowed. */
void virtio_net_destroy(struct virtio_net *device);

extern const struct virtio_model_ops virtio_net_model;

#endif
