/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The numbers of virtio-net (virtio 1.2, 5.1). */
#ifndef VIADUCT_DEVICES_NIC_VIRTIO_NET_FORMAT_H
#define VIADUCT_DEVICES_NIC_VIRTIO_NET_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "core/frame.h"

/* Feature bits (5.1.3). HOST_: what the driver may leave to the device; GUEST_: what it takes from the
 * device. */
#define VIRTIO_NET_F_CSUM		 0
#define VIRTIO_NET_F_GUEST_CSUM		 1
#define VIRTIO_NET_F_CTRL_GUEST_OFFLOADS 2
#define VIRTIO_NET_F_MTU		 3
#define VIRTIO_NET_F_MAC		 5
#define VIRTIO_NET_F_GUEST_TSO4		 7
#define VIRTIO_NET_F_GUEST_TSO6		 8
#define VIRTIO_NET_F_GUEST_ECN		 9
#define VIRTIO_NET_F_HOST_TSO4		 11
#define VIRTIO_NET_F_HOST_TSO6		 12
#define VIRTIO_NET_F_HOST_ECN		 13
#define VIRTIO_NET_F_MRG_RXBUF		 15
#define VIRTIO_NET_F_STATUS		 16
#define VIRTIO_NET_F_CTRL_VQ		 17
#define VIRTIO_NET_F_CTRL_RX		 18
#define VIRTIO_NET_F_CTRL_VLAN		 19
#define VIRTIO_NET_F_CTRL_RX_EXTRA	 20
#define VIRTIO_NET_F_GUEST_ANNOUNCE	 21
#define VIRTIO_NET_F_MQ			 22
#define VIRTIO_NET_F_CTRL_MAC_ADDR	 23
#define VIRTIO_NET_FEATURE_VERSION_1	 32 /* VIRTIO_F_VERSION_1 (6) */
#define VIRTIO_NET_F_GUEST_USO4		 54
#define VIRTIO_NET_F_GUEST_USO6		 55
#define VIRTIO_NET_F_HOST_USO		 56
#define VIRTIO_NET_F_STANDBY		 62
#define VIRTIO_NET_F_SPEED_DUPLEX	 63

/* In the status field. */
#define VIRTIO_NET_S_LINK_UP 1

/* Device configuration (5.1.4), little-endian; SPEED_DUPLEX is not offered, and what is behind it neither. */
struct virtio_net_config {
	uint8_t mac[6];
	uint16_t status;
	uint16_t max_virtqueue_pairs;
	uint16_t mtu;
};

#define VIRTIO_NET_CONFIG_BYTES 12u

static_assert(sizeof(struct virtio_net_config) == VIRTIO_NET_CONFIG_BYTES, "5.1.4");
static_assert(offsetof(struct virtio_net_config, mtu) == 10, "5.1.4");

/* In front of each frame (5.1.6). Drivers of before virtio 1.0 have num_buffers with MRG_RXBUF only. */
struct virtio_net_header {
	struct frame_offload offload;
	uint16_t num_buffers;
};

static_assert(sizeof(struct virtio_net_header) == 12, "5.1.6");

#endif
