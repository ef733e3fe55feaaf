/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A frame is preceded by a header in both directions (virtio 1.2, 5.1.6). A transmit queue is listened to
 * unless it waits for its turn to send: then the driver's frames stay in the ring. A receive queue keeps the
 * driver's buffers in the ring until there are frames to put into them; it is listened to only while frames
 * wait for buffers.
 */
#include "devices/nic/virtio_net.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/switch/port.h"
#include "core/container.h"
#include "core/iov.h"
#include "devices/nic/virtio_net_format.h"

/* Buffers that one frame is spread over at most: 64 KiB in pieces of an Ethernet frame, and some more. */
#define MERGE_MAX  64u
#define CHAINS_MAX (PORT_BATCH + MERGE_MAX)

#define HEADER_BYTES_MAX (FRAME_OFFLOAD_WIRE_BYTES + 2u)

struct virtio_net {
	struct port *port;
	unsigned pairs;
	uint64_t features_off;
};

struct net_queue {
	struct virtio_net *device;
	struct virtio_queue *ring;
	unsigned header_bytes;
	bool mergeable;
	bool takes_csum;
	/* What the driver may ask of us in a header */
	struct frame_abilities asks;
	struct port_source *source; /* of a transmit queue, else NULL */
	struct port_sender sender;
	struct port_sink *sink;	    /* of a receive queue, else NULL */
	struct port_receiver receiver;
	bool listening;
	/* Receiving: chains taken and not completed; the first `used` of them hold frames */
	struct virtio_chain *chains[CHAINS_MAX];
	unsigned taken, used;
};

static bool has(uint64_t features, unsigned bit)
{
	return features >> bit & 1;
}

static void listen(struct net_queue *queue, bool on)
{
	if (queue->listening == on)
		return;
	queue->listening = on;
	queue->ring->ops->listen(queue->ring, on);
}

/* ---- transmitting ---- */

/* Is an offload asked for only where the driver negotiated it? */
static bool may_ask(const struct net_queue *queue, const struct frame_offload *offload)
{
	if (offload->flags & FRAME_CSUM_NEEDED && !queue->asks.csum)
		return false;
	if (offload->gso_type & FRAME_GSO_ECN && !queue->asks.ecn)
		return false;
	switch (offload->gso_type & ~FRAME_GSO_ECN) {
	case FRAME_GSO_NONE:
		return true;
	case FRAME_GSO_TCP4:
		return queue->asks.tso4;
	case FRAME_GSO_TCP6:
		return queue->asks.tso6;
	case FRAME_GSO_UDP:
		return queue->asks.uso;
	default:
		return false;
	}
}

/* Takes the header off the chain's readable elements. False: they hold no frame that a driver may send. */
static bool frame_of(const struct net_queue *queue, struct virtio_chain *chain, struct frame *ret_frame)
{
	uint8_t header[HEADER_BYTES_MAX];
	struct iovec *iov = chain->iov;
	unsigned count = chain->readable_count;
	size_t left = queue->header_bytes;

	if (chain->unmapped || chain->readable_bytes < left + FRAME_HEADER_BYTES ||
	    chain->readable_bytes - left > FRAME_BYTES_MAX)
		return false;
	iov_copy_out(iov, count, 0, header, left);
	for (; left >= iov->iov_len; count--)
		left -= iov++->iov_len;
	iov->iov_base = (uint8_t *)iov->iov_base + left;
	iov->iov_len -= left;
	if (count > FRAME_IOV_MAX)
		return false;
	*ret_frame = (struct frame){ .iov = iov,
				     .iov_count = count,
				     .bytes = chain->readable_bytes - queue->header_bytes };
	memcpy(&ret_frame->offload, header, sizeof(ret_frame->offload));
	ret_frame->offload.flags &= FRAME_CSUM_NEEDED;
	return may_ask(queue, &ret_frame->offload);
}

/* Sends what chains hold. Returns how many of them are done with: fewer when one has to wait for its turn. */
static unsigned send_chains(struct net_queue *queue, struct virtio_chain **chains, unsigned count)
{
	struct frame frames[PORT_BATCH];
	unsigned holder[PORT_BATCH + 1], good = 0, sent, done;

	for (unsigned i = 0; i < count; i++) {
		chains[i]->written_bytes = 0;
		holder[good] = i;
		good += frame_of(queue, chains[i], &frames[good]);
	}
	sent = port_send(queue->source, frames, good);
	done = sent < good ? holder[sent] : count;
	if (sent < done)
		port_send_malformed(queue->source, done - sent);
	return done;
}

static void transmit(struct net_queue *queue)
{
	struct virtio_chain *chains[PORT_BATCH];
	unsigned count, done;

	while ((count = queue->ring->ops->take(queue->ring, chains, PORT_BATCH)) > 0) {
		done = send_chains(queue, chains, count);
		if (done < count)
			queue->ring->ops->give_back(queue->ring, chains + done, count - done);
		if (done > 0)
			queue->ring->ops->complete(queue->ring, chains, done);
		if (done < count) {
			listen(queue, false);
			return;
		}
	}
	if (!queue->ring->ops->pending(queue->ring))
		port_source_rest(queue->source);
}

/* It is the queue's turn, or may be. */
static void resume(struct port_sender *sender)
{
	listen(container_of(sender, struct net_queue, sender), true);
}

/* ---- receiving ---- */

/* Completes what holds frames; what else was taken is kept for the next frame. */
static void finish_used(struct net_queue *queue)
{
	if (queue->used == 0)
		return;
	queue->ring->ops->complete(queue->ring, queue->chains, queue->used);
	queue->taken -= queue->used;
	for (unsigned i = 0; i < queue->taken; i++)
		queue->chains[i] = queue->chains[queue->used + i];
	queue->used = 0;
}

/* Chain `index` of those that hold no frame yet; NULL: the driver has posted none. */
static struct virtio_chain *buffer(struct net_queue *queue, unsigned index, unsigned wanted)
{
	unsigned room = CHAINS_MAX - queue->taken;

	if (queue->used + index == queue->taken)
		queue->taken += queue->ring->ops->take(queue->ring, queue->chains + queue->taken,
						       wanted < room ? wanted : room);
	return queue->used + index < queue->taken ? queue->chains[queue->used + index] : NULL;
}

static uint32_t room_in(const struct virtio_chain *chain)
{
	return chain->unmapped ? 0 : chain->writable_bytes;
}

enum fit { FIT_FINE, FIT_NO_BUFFERS, FIT_TOO_LARGE };

/* How many buffers a frame takes. `wanted`: how many are taken from the ring at once. */
static enum fit find_buffers(struct net_queue *queue, uint32_t bytes, unsigned wanted, unsigned *ret_count)
{
	unsigned most = queue->mergeable ? MERGE_MAX : 1, count = 0;
	uint32_t room = 0;

	while (room < bytes) {
		const struct virtio_chain *chain;

		if (count == most) {
			*ret_count = count;
			return FIT_TOO_LARGE;
		}
		chain = buffer(queue, count, wanted);
		if (!chain)
			return FIT_NO_BUFFERS;
		room += room_in(chain);
		count++;
		wanted = 1;
	}
	*ret_count = count;
	return FIT_FINE;
}

/* Where the next byte goes to. */
struct cursor {
	struct virtio_chain **chains;
	unsigned element;
	size_t offset; /* in the element */
};

static void put(struct cursor *cursor, const void *bytes, size_t count)
{
	while (count > 0) {
		struct virtio_chain *chain = *cursor->chains;
		const struct iovec *iov = chain->iov + chain->readable_count + cursor->element;
		size_t part;

		if (room_in(chain) == 0 || cursor->element == chain->writable_count) {
			cursor->chains++;
			cursor->element = 0;
			continue;
		}
		part = iov->iov_len - cursor->offset < count ? iov->iov_len - cursor->offset : count;
		memcpy((uint8_t *)iov->iov_base + cursor->offset, bytes, part);
		bytes = (const uint8_t *)bytes + part;
		count -= part;
		chain->written_bytes += (uint32_t)part;
		cursor->offset += part;
		if (cursor->offset == iov->iov_len) {
			cursor->element++;
			cursor->offset = 0;
		}
	}
}

static void put_frame(struct net_queue *queue, const struct frame *frame, unsigned buffers)
{
	struct cursor cursor = { .chains = queue->chains + queue->used };
	uint16_t num_buffers = (uint16_t)buffers;
	uint8_t header[HEADER_BYTES_MAX];

	memcpy(header, &frame->offload, sizeof(frame->offload));
	if (!queue->takes_csum)
		header[0] = 0;
	memcpy(header + VIRTIO_NET_NUM_BUFFERS_AT, &num_buffers, sizeof(num_buffers));
	for (unsigned i = 0; i < buffers; i++)
		cursor.chains[i]->written_bytes = 0;
	put(&cursor, header, queue->header_bytes);
	for (unsigned i = 0; i < frame->iov_count; i++)
		put(&cursor, frame->iov[i].iov_base, frame->iov[i].iov_len);
}

/* Buffers that no frame fits into go back to the driver empty, or it would be asked for them again and again.
 */
static void waste(struct net_queue *queue, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		queue->chains[queue->used + i]->written_bytes = 0;
	port_sink_too_large(queue->sink, 1);
}

static unsigned deliver(struct port_receiver *receiver, const struct frame *frames, unsigned count)
{
	struct net_queue *queue = container_of(receiver, struct net_queue, receiver);
	unsigned done = 0;

	assert(queue->taken == 0 && queue->used == 0);
	while (done < count) {
		uint32_t bytes = queue->header_bytes + frames[done].bytes;
		unsigned buffers;
		enum fit fit;

		if (queue->used >= PORT_BATCH)
			finish_used(queue);
		fit = find_buffers(queue, bytes, count - done, &buffers);
		if (fit == FIT_NO_BUFFERS)
			break;
		if (fit == FIT_FINE)
			put_frame(queue, &frames[done], buffers);
		else
			waste(queue, buffers);
		queue->used += buffers;
		done++;
	}
	finish_used(queue);
	if (queue->taken > 0)
		queue->ring->ops->give_back(queue->ring, queue->chains, queue->taken);
	queue->taken = 0;
	if (done < count)
		listen(queue, true);
	return done;
}

/* ---- queues ---- */

/* Perhaps there are buffers for what waits. While there are none the driver is to kick when it posts some. */
static void receive(struct net_queue *queue)
{
	port_sink_resume(queue->sink);
	if (!port_sink_waits(queue->sink))
		listen(queue, false);
}

static void net_ready(void *opaque)
{
	struct net_queue *queue = opaque;

	if (queue->source)
		transmit(queue);
	else
		receive(queue);
}

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
	queue->receiver.deliver = deliver;
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
	queue->listening = true;
	queue->sender.resume = resume;
	queue->mergeable = has(features, VIRTIO_NET_F_MRG_RXBUF);
	/* num_buffers is there in any case since virtio 1.0. */
	queue->header_bytes = queue->mergeable || has(features, VIRTIO_NET_FEATURE_VERSION_1)
				      ? HEADER_BYTES_MAX
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
	if (queue->sink)
		listen(queue, false);
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
