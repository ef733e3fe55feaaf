/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The card and the life of its queues; a frame's way is in virtio_net_path.c. */
#include "devices/nic/virtio_net.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/nic/virtio_net_format.h"
#include "devices/nic/virtio_net_private.h"

static bool has(uint64_t features, unsigned bit)
{
	return features >> bit & 1;
}

/* ---- queues ---- */

static struct frame_abilities abilities(uint64_t features, unsigned csum, unsigned tso4, unsigned tso6,
					unsigned ecn, bool uso)
{
	return (struct frame_abilities){
		.csum = has(features, csum),
		.tso4 = has(features, tso4),
		.tso6 = has(features, tso6),
		.ecn = has(features, ecn),
		.uso = uso,
	};
}

static int open_sink(struct net_queue *queue, const struct virtio_queue_setup *setup)
{
	uint64_t features = setup->features;
	struct frame_abilities takes =
		abilities(features, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6,
			  VIRTIO_NET_F_GUEST_ECN,
			  has(features, VIRTIO_NET_F_GUEST_USO4) && has(features, VIRTIO_NET_F_GUEST_USO6));

	queue->takes_csum = takes.csum;
	queue->receiver.deliver = net_deliver;
	return port_sink_open(queue->device->port, setup->loop, &queue->receiver, &takes, &queue->sink);
}

static int net_queue_start(void *opaque, const struct virtio_queue_setup *setup, void **ret_queue)
{
	struct virtio_net *device = opaque;
	struct net_queue *queue = calloc(1, sizeof(*queue));
	uint64_t features = setup->features;
	int error;

	if (!queue)
		return -ENOMEM;
	queue->device = device;
	queue->ring = setup->queue;
	queue->loop = setup->loop;
	queue->held = loop_blame_flag(setup->loop);
	queue->listening = true;
	queue->sender.resume = net_resume;
	queue->mergeable = has(features, VIRTIO_NET_F_MRG_RXBUF);
	/* num_buffers is there in any case since virtio 1.0. */
	queue->header_bytes = queue->mergeable || has(features, VIRTIO_NET_FEATURE_VERSION_1)
				      ? sizeof(struct virtio_net_header)
				      : FRAME_OFFLOAD_WIRE_BYTES;
	queue->asks = abilities(features, VIRTIO_NET_F_CSUM, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6,
				VIRTIO_NET_F_HOST_ECN, has(features, VIRTIO_NET_F_HOST_USO));
	if (setup->index % 2 == 0)
		error = open_sink(queue, setup);
	else
		error = port_source_open(device->port, setup->loop, &queue->sender, &queue->source);
	if (error) {
		free(queue);
		return error;
	}
	/* A frame may need many buffers; port_sink_resume() delivers a bounded number of frames. */
	setup->queue->own_bounds = queue->sink;
	if (queue->sink)
		net_listen(queue, false);
	*ret_queue = queue;
	return 0;
}

static void net_queue_stop(void *opaque)
{
	struct net_queue *queue = opaque;

	assert(queue->taken == 0);
	if (queue->source)
		port_source_close(queue->source);
	else
		port_sink_close(queue->sink);
	free(queue);
}

/* ---- configuration ---- */

static uint64_t net_features(void *opaque)
{
	const struct virtio_net *device = opaque;
	uint64_t features = 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_GUEST_CSUM |
			    1ull << VIRTIO_NET_F_MTU | 1ull << VIRTIO_NET_F_MAC |
			    1ull << VIRTIO_NET_F_GUEST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_TSO6 |
			    1ull << VIRTIO_NET_F_GUEST_ECN | 1ull << VIRTIO_NET_F_HOST_TSO4 |
			    1ull << VIRTIO_NET_F_HOST_TSO6 | 1ull << VIRTIO_NET_F_HOST_ECN |
			    1ull << VIRTIO_NET_F_MRG_RXBUF | 1ull << VIRTIO_NET_F_STATUS |
			    1ull << VIRTIO_NET_F_GUEST_USO4 | 1ull << VIRTIO_NET_F_GUEST_USO6 |
			    1ull << VIRTIO_NET_F_HOST_USO;

	if (device->pairs > 1)
		features |= 1ull << VIRTIO_NET_F_MQ;
	return features & ~device->features_off;
}

static unsigned net_queue_count(void *opaque)
{
	return 2 * ((const struct virtio_net *)opaque)->pairs;
}

static size_t net_config_size(void *opaque)
{
	return VIRTIO_NET_CONFIG_BYTES;
}

static void net_config_read(void *opaque, size_t offset, void *buffer, size_t bytes)
{
	const struct virtio_net *device = opaque;
	struct virtio_net_config config = {
		.status = port_link(device->port) ? VIRTIO_NET_S_LINK_UP : 0,
		.max_virtqueue_pairs = (uint16_t)device->pairs,
		.mtu = (uint16_t)port_mtu(device->port),
	};

	memcpy(config.mac, port_address(device->port), sizeof(config.mac));
	assert(offset <= sizeof(config) && bytes <= sizeof(config) - offset);
	memcpy(buffer, (const uint8_t *)&config + offset, bytes);
}

/* The front end says that a guest has moved here. It speaks for the card's own address alone. */
static int announce(const struct virtio_net *device, uint64_t address)
{
	const uint8_t *own = port_address(device->port);
	uint8_t asked[FRAME_ADDRESS_BYTES];

	for (unsigned i = 0; i < FRAME_ADDRESS_BYTES; i++)
		asked[i] = (uint8_t)(address >> 8 * i);
	return memcmp(asked, own, sizeof(asked)) == 0 ? port_announce(device->port) : -EINVAL;
}

static int net_message(void *opaque, enum virtio_model_message message, uint64_t number, int *fd)
{
	const struct virtio_net *device = opaque;

	if (message == VIRTIO_MODEL_ANNOUNCE)
		return announce(device, number);
	/* Whatever MTU the driver is told by its front end: no larger than the port's. */
	assert(message == VIRTIO_MODEL_MTU);
	return number <= port_mtu(device->port) ? 0 : -EINVAL;
}

const struct virtio_model_ops virtio_net_model = {
	.name = "virtio-net",
	.virtio_id = 1,
	.turn_chains = PORT_BATCH,
	.features = net_features,
	.front_end_features = 1ull << VIRTIO_NET_F_CTRL_GUEST_OFFLOADS | 1ull << VIRTIO_NET_F_MTU |
			      1ull << VIRTIO_NET_F_MAC | 1ull << VIRTIO_NET_F_STATUS |
			      1ull << VIRTIO_NET_F_CTRL_VQ | 1ull << VIRTIO_NET_F_CTRL_RX |
			      1ull << VIRTIO_NET_F_CTRL_VLAN | 1ull << VIRTIO_NET_F_CTRL_RX_EXTRA |
			      1ull << VIRTIO_NET_F_GUEST_ANNOUNCE | 1ull << VIRTIO_NET_F_MQ |
			      1ull << VIRTIO_NET_F_CTRL_MAC_ADDR | 1ull << VIRTIO_NET_F_STANDBY |
			      1ull << VIRTIO_NET_F_SPEED_DUPLEX,
	.queue_count = net_queue_count,
	.config_size = net_config_size,
	.config_read = net_config_read,
	.queue_start = net_queue_start,
	.queue_stop = net_queue_stop,
	.ready = net_ready,
	.messages = 1u << VIRTIO_MODEL_MTU | 1u << VIRTIO_MODEL_ANNOUNCE,
	.message = net_message,
};

int virtio_net_create(const struct virtio_net_options *options, struct virtio_net **ret_device)
{
	struct virtio_net *device;

	if (options->pairs > VIRTIO_NET_PAIRS_MAX)
		return -EINVAL;
	device = calloc(1, sizeof(*device));
	if (!device)
		return -ENOMEM;
	device->port = options->port;
	device->pairs = options->pairs ? options->pairs : 1;
	device->features_off = options->features_off;
	*ret_device = device;
	return 0;
}

void virtio_net_destroy(struct virtio_net *device)
{
	free(device);
}
