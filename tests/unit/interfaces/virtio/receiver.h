/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A toy device that receives, to be included by one program: it leaves the driver's buffers in the ring until
 * it has something to put into one. A "frame" is one byte, with which it fills a buffer.
 */
#ifndef VIADUCT_TESTS_UNIT_RECEIVER_H
#define VIADUCT_TESTS_UNIT_RECEIVER_H

#include "queue_bench.h"

#define RECEIVER_MAX 64u

struct receiver {
	struct virtio_queue *ring;
	unsigned ready;			/* calls of ready() */
	unsigned drains;
	bool quiet;			/* from the start it does not want to be told */
	/* What ready() does: takes so many, and gives all of them back */
	unsigned tries;
	/* Frames that wait for a buffer; ready() delivers them */
	unsigned waiting;
	uint8_t next_frame;
	struct virtio_chain *held[RECEIVER_MAX];	/* taken by receiver_take() */
	unsigned held_count;
	bool gives_back_on_drain;
};

static struct receiver receiver;

static uint64_t receiver_features(void *device)
{
	return 0;
}

static unsigned receiver_queue_count(void *device)
{
	return 1;
}

static size_t receiver_config_size(void *device)
{
	return 0;
}

static int receiver_start(void *device, const struct virtio_queue_setup *setup, void **ret_queue)
{
	receiver.ring = setup->queue;
	if (receiver.quiet)
		setup->queue->ops->listen(setup->queue, false);
	*ret_queue = device;
	return 0;
}

static void receiver_stop(void *queue)
{
	assert_int_equal(receiver.held_count, 0);
	receiver.ring = NULL;
}

/* Takes `count` chains and holds them; returns how many there were. */
static inline unsigned receiver_take(unsigned count)
{
	unsigned taken;

	assert_true(receiver.held_count + count <= RECEIVER_MAX);
	taken = receiver.ring->ops->take(receiver.ring, receiver.held + receiver.held_count, count);
	receiver.held_count += taken;
	return taken;
}

/* The last `count` that are held. */
static inline void receiver_give_back(unsigned count)
{
	assert_true(count <= receiver.held_count);
	receiver.held_count -= count;
	receiver.ring->ops->give_back(receiver.ring, receiver.held + receiver.held_count, count);
}

static void receiver_fill(struct virtio_chain *chain, uint8_t frame)
{
	const struct iovec *iov = chain->iov + chain->readable_count;

	for (unsigned i = 0; i < chain->writable_count; i++)
		memset(iov[i].iov_base, frame, iov[i].iov_len);
	chain->written_bytes = chain->writable_bytes;
}

/* Fills and completes the held chain `index` with the next frame. */
static inline void receiver_complete(unsigned index)
{
	struct virtio_chain *chain = receiver.held[index];

	assert_true(index < receiver.held_count);
	receiver.held_count--;
	for (unsigned i = index; i < receiver.held_count; i++)
		receiver.held[i] = receiver.held[i + 1];
	receiver_fill(chain, ++receiver.next_frame);
	receiver.ring->ops->complete(receiver.ring, &chain, 1);
}

/* A frame arrives. False: there is no buffer for it. */
static inline bool receiver_deliver(void)
{
	struct virtio_chain *chain;

	if (receiver.ring->ops->take(receiver.ring, &chain, 1) == 0)
		return false;
	receiver_fill(chain, ++receiver.next_frame);
	receiver.ring->ops->complete(receiver.ring, &chain, 1);
	return true;
}

static void receiver_ready(void *queue)
{
	receiver.ready++;
	if (receiver.tries > 0)
		receiver_give_back(receiver_take(receiver.tries));
	while (receiver.waiting > 0 && receiver_deliver())
		receiver.waiting--;
}

static void receiver_drain(void *queue, bool drain)
{
	receiver.drains += drain;
	if (drain && receiver.gives_back_on_drain)
		receiver_give_back(receiver.held_count);
}

static const struct virtio_model_ops receiver_model = {
	.name = "receiver",
	.repeatable = true,
	.features = receiver_features,
	.queue_count = receiver_queue_count,
	.config_size = receiver_config_size,
	.queue_start = receiver_start,
	.queue_stop = receiver_stop,
	.queue_drain = receiver_drain,
	.ready = receiver_ready,
};

/* ---- its driver: buffers of one page at DATA + place pages ---- */

#define BUFFER_BYTES 100u

static inline void receiver_begin(struct queue_bench *bench, bool packed, unsigned size, uint64_t features)
{
	memset(&receiver, 0, sizeof(receiver));
	bench_begin(bench, packed, size, features);
	bench->setup.model = &receiver_model;
	bench->setup.device = &receiver;
}

/* Returns the chain's id. */
static inline int receiver_post(struct queue_bench *bench, unsigned place)
{
	struct driver_element element = { DATA + 4096ull * place, BUFFER_BYTES, true };
	int id;

	memset(ring_driver_at(&bench->driver, element.guest_address), 0, BUFFER_BYTES);
	id = ring_driver_add(&bench->driver, &element, 1, false);
	assert_true(id >= 0);
	return id;
}

/* The driver finds `frame` in the buffer `place`, which is the next one used. */
static inline void receiver_assert_used(struct queue_bench *bench, unsigned place, uint8_t frame)
{
	const uint8_t *buffer = ring_driver_at(&bench->driver, DATA + 4096ull * place);
	uint32_t length = 0;

	assert_true(ring_driver_take(&bench->driver, &length) >= 0);
	assert_int_equal(length, BUFFER_BYTES);
	for (unsigned i = 0; i < BUFFER_BYTES; i++)
		assert_int_equal(buffer[i], frame);
}

#endif
