/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the network card share; no other file includes this. A frame is preceded by a header in
 * both directions (virtio 1.2, 5.1.6).
 */
#ifndef VIADUCT_DEVICES_NIC_VIRTIO_NET_PRIVATE_H
#define VIADUCT_DEVICES_NIC_VIRTIO_NET_PRIVATE_H

#include "arbiter/switch/port.h"
#include "core/loop_blame.h"
#include "devices/nic/virtio_net.h"

/* Buffers that one frame is spread over at most: 64 KiB in pieces of an Ethernet frame, and some more. */
#define MERGE_MAX  64u
#define CHAINS_MAX (PORT_BATCH + MERGE_MAX)

struct virtio_net {
	struct port *port;
	unsigned pairs;
	uint64_t features_off;
};

struct net_queue {
	struct virtio_net *device;
	struct virtio_queue *ring;
	struct loop *loop;
	const unsigned *held; /* loop_blame_flag() */
	unsigned header_bytes;
	bool mergeable;
	bool takes_csum;
	/* What the driver may ask of us in a header */
	struct frame_abilities asks;
	struct port_source *source; /* of a transmit queue, else NULL */
	struct port_sender sender;
	struct port_sink *sink; /* of a receive queue, else NULL */
	struct port_receiver receiver;
	bool listening;
	/* Receiving: chains taken and not completed; the first `used` of them hold frames */
	struct virtio_chain *chains[CHAINS_MAX];
	unsigned taken, used;
};

/* ---- virtio_net_path.c ---- */

/* Is the driver to tell of new chains? Idempotent. */
void net_listen(struct net_queue *queue, bool on);
/* As virtio_model_ops, port_sender and port_receiver have it. */
void net_ready(void *opaque);
void net_resume(struct port_sender *sender);
unsigned net_deliver(struct port_receiver *receiver, const struct frame *frames, unsigned count);

#endif
