/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "echo_model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/iov.h"

#define ECHO_TAKE_MAX 5u	/* does not divide the batches of the ring code */

static uint64_t echo_features(void *opaque)
{
	return 0;
}

static unsigned echo_queue_count(void *opaque)
{
	return 4;
}

static size_t echo_config_size(void *opaque)
{
	return 0;
}

static void echo_config_read(void *opaque, size_t offset, void *buffer, size_t bytes)
{
	assert(bytes == 0);
}

struct echo_queue {
	struct echo_device *device;
	struct virtio_queue *ring;
};

static int echo_queue_start(void *opaque, const struct virtio_queue_setup *setup, void **ret_queue)
{
	struct echo_queue *queue = malloc(sizeof(*queue));

	assert(queue);
	*queue = (struct echo_queue){ opaque, setup->queue };
	queue->device->queues_running++;
	*ret_queue = queue;
	return 0;
}

static void echo_queue_stop(void *opaque)
{
	((struct echo_queue *)opaque)->device->queues_running--;
	free(opaque);
}

static void echo_queue_drain(void *opaque, bool drain)
{
	((struct echo_queue *)opaque)->device->draining = drain;
}

static void answer(struct virtio_queue *ring, struct virtio_chain *chain)
{
	uint32_t in = chain->readable_bytes, out = chain->writable_bytes;
	uint8_t *question = malloc(in + 1), *reply = malloc(out + 1);

	assert(question && reply && !chain->unmapped);
	iov_copy_out(chain->iov, chain->readable_count, 0, question, in);
	for (uint32_t i = 0; i < out; i++)
		reply[i] = (uint8_t)((in ? question[i % in] : 0) ^ 0x5a);
	iov_copy_in(chain->iov + chain->readable_count, chain->writable_count, 0, reply, out);
	free(question);
	free(reply);
	chain->written_bytes = out;
	ring->ops->complete(ring, &chain, 1);
}

static void echo_start(struct echo_queue *queue, struct virtio_chain *chain)
{
	struct echo_device *device = queue->device;

	device->taken++;
	if (device->clock_ns)
		*device->clock_ns += 100 + 20ull * chain->descriptors;
	if (chain->unmapped) {
		queue->ring->ops->reject(queue->ring, chain);
	} else if (device->at_once) {
		answer(queue->ring, chain);
	} else {
		assert(device->held_count < ECHO_HELD_MAX);
		device->held_by[device->held_count] = queue->ring;
		device->held[device->held_count++] = chain;
	}
}

static void echo_ready(void *opaque)
{
	struct echo_queue *queue = opaque;
	struct virtio_chain *chains[ECHO_TAKE_MAX];
	unsigned count;

	while ((count = queue->ring->ops->take(queue->ring, chains, ECHO_TAKE_MAX)) > 0) {
		unsigned kept = queue->device->modest ? 1 + queue->device->taken % count : count;

		queue->ring->ops->give_back(queue->ring, chains + kept, count - kept);
		for (unsigned i = 0; i < kept; i++)
			echo_start(queue, chains[i]);
	}
}

void echo_answer(struct echo_device *device, unsigned index)
{
	struct virtio_chain *chain = device->held[index];
	struct virtio_queue *ring = device->held_by[index];

	assert(index < device->held_count);
	device->held_count--;
	for (unsigned i = index; i < device->held_count; i++) {
		device->held[i] = device->held[i + 1];
		device->held_by[i] = device->held_by[i + 1];
	}
	answer(ring, chain);
}

void echo_answer_all(struct echo_device *device)
{
	while (device->held_count > 0)
		echo_answer(device, 0);
}

const struct virtio_model_ops echo_model = {
	.name = "echo",
	.repeatable = true,
	.request_bytes = 8,
	.features = echo_features,
	.queue_count = echo_queue_count,
	.config_size = echo_config_size,
	.config_read = echo_config_read,
	.queue_start = echo_queue_start,
	.queue_stop = echo_queue_stop,
	.queue_drain = echo_queue_drain,
	.ready = echo_ready,
};
