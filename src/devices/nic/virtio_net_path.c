/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way of a frame out of a ring and into one. A transmit queue is listened to unless it waits for its turn
 * to send: then the driver's frames stay in the ring. A receive queue keeps the driver's buffers in the ring
 * until there are frames to put into them; it is listened to only while frames wait for buffers.
 */
#include <assert.h>
#include <string.h>

#include "core/container.h"
#include "core/iov.h"
#include "core/shared.h"
#include "devices/nic/virtio_net_format.h"
#include "devices/nic/virtio_net_private.h"

void net_listen(struct net_queue *queue, bool on)
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
	struct frame_offload *offload = &ret_frame->offload;
	struct iovec *iov = chain->iov;
	unsigned count = chain->readable_count;
	size_t left = queue->header_bytes;

	if (chain->unmapped || chain->readable_bytes < left + FRAME_HEADER_BYTES ||
	    chain->readable_bytes - left > FRAME_BYTES_MAX)
		return false;
	if (iov->iov_len >= sizeof(*offload))
		shared_copy_in(offload, iov->iov_base, sizeof(*offload));
	else
		iov_copy_out(iov, count, 0, offload, sizeof(*offload));
	for (; left >= iov->iov_len; count--)
		left -= iov++->iov_len;
	iov->iov_base = (uint8_t *)iov->iov_base + left;
	iov->iov_len -= left;
	if (count > FRAME_IOV_MAX)
		return false;
	ret_frame->iov = iov;
	ret_frame->iov_count = count;
	ret_frame->bytes = chain->readable_bytes - queue->header_bytes;
	offload->flags &= FRAME_CSUM_NEEDED;
	return may_ask(queue, offload);
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

	for (;;) {
		if (!port_source_continue(queue->source)) {
			/* There may be no chain behind it, and it goes on all the same. */
			queue->ring->ops->busy(queue->ring);
			net_listen(queue, false);
			return;
		}
		count = queue->ring->ops->take(queue->ring, chains, PORT_BATCH);
		if (count == 0)
			break;
		done = send_chains(queue, chains, count);
		if (done < count)
			queue->ring->ops->give_back(queue->ring, chains + done, count - done);
		if (done > 0)
			queue->ring->ops->complete(queue->ring, chains, done);
		if (done < count) {
			net_listen(queue, false);
			return;
		}
	}
	if (!queue->ring->ops->pending(queue->ring))
		port_source_rest(queue->source);
}

/* It is the queue's turn, or may be. */
void net_resume(struct port_sender *sender)
{
	net_listen(container_of(sender, struct net_queue, sender), true);
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

/* Into one range that has room for all of it. Returns where it ends. */
static uint8_t *put_whole(const struct net_queue *queue, const struct frame *frame,
			  const struct virtio_net_header *header, uint8_t *to)
{
	/* Of constant lengths, so that they are a few stores. */
	if (queue->header_bytes == sizeof(*header))
		memcpy(to, header, sizeof(*header));
	else
		memcpy(to, header, FRAME_OFFLOAD_WIRE_BYTES);
	to += queue->header_bytes;
	for (unsigned i = 0; i < frame->iov_count; i++) {
		memcpy(to, frame->iov[i].iov_base, frame->iov[i].iov_len);
		to += frame->iov[i].iov_len;
	}
	return to;
}

static void put_frame(struct net_queue *queue, const struct frame *frame, unsigned buffers)
{
	struct virtio_chain **chains = queue->chains + queue->used;
	struct cursor cursor = { .chains = chains };
	struct virtio_net_header header = { .offload = frame->offload, .num_buffers = (uint16_t)buffers };

	if (!queue->takes_csum)
		header.offload.flags = 0;
	if (buffers == 1 && chains[0]->writable_count == 1) {
		uint8_t *to = chains[0]->iov[chains[0]->readable_count].iov_base;

		chains[0]->written_bytes = (uint32_t)(put_whole(queue, frame, &header, to) - to);
		return;
	}
	for (unsigned i = 0; i < buffers; i++)
		chains[i]->written_bytes = 0;
	put(&cursor, &header, queue->header_bytes);
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

unsigned net_deliver(struct port_receiver *receiver, const struct frame *frames, unsigned count)
{
	struct net_queue *queue = container_of(receiver, struct net_queue, receiver);
	unsigned done = 0;

	assert(queue->taken == 0 && queue->used == 0);
	if (__atomic_load_n(queue->held, __ATOMIC_RELAXED))
		loop_blame_payer(queue->loop);
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
	/* The sender pays, and the pages were of either. */
	if (__atomic_load_n(queue->held, __ATOMIC_RELAXED))
		loop_blame_nobody(queue->loop);
	if (done < count)
		net_listen(queue, true);
	return done;
}

/* Perhaps there are buffers for what waits. While there are none the driver is to kick when it posts some. */
static void receive(struct net_queue *queue)
{
	port_sink_resume(queue->sink);
	if (!port_sink_waits(queue->sink))
		net_listen(queue, false);
}

void net_ready(void *opaque)
{
	struct net_queue *queue = opaque;

	if (queue->source)
		transmit(queue);
	else
		receive(queue);
}
