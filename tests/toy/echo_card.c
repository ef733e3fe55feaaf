/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "echo_card.h"

#include <assert.h>
#include <string.h>

#include "core/iov.h"

/* A frame is cut to so much. */
#define FRAME_BYTES_MAX 2048u
/* Chains taken at a time; then the queue is asked whether its turn is over. */
#define BATCH 8u

void echo_card_init(struct echo_card *card, uint8_t mask)
{
	memset(card, 0, sizeof(*card));
	card->mask = mask;
	for (unsigned i = 0; i < ECHO_CARD_QUEUES; i++)
		card->queues[i].card = card;
}

static uint64_t features(void *device)
{
	return 0;
}

static unsigned queue_count(void *device)
{
	return ECHO_CARD_QUEUES;
}

static size_t config_size(void *device)
{
	return 0;
}

static int queue_start(void *device, const struct virtio_queue_setup *setup, void **ret_queue)
{
	struct echo_card *card = device;
	struct echo_card_queue *queue = &card->queues[setup->index];

	assert(setup->index < ECHO_CARD_QUEUES && !queue->ring);
	queue->ring = setup->queue;
	/* Buffers are looked for when a frame is there; no kick is needed for them. */
	if (setup->index == ECHO_CARD_RECEIVE)
		queue->ring->ops->listen(queue->ring, false);
	*ret_queue = queue;
	return 0;
}

static void queue_stop(void *opaque)
{
	struct echo_card_queue *queue = opaque;

	queue->ring = NULL;
}

/* Puts a frame into the next receive buffer. False: there is none, or it is too small. */
static bool deliver(struct echo_card *card, const uint8_t *frame, size_t bytes)
{
	struct virtio_queue *ring = card->queues[ECHO_CARD_RECEIVE].ring;
	struct virtio_chain *chain;

	if (!ring || ring->ops->take(ring, &chain, 1) == 0)
		return false;
	if (chain->unmapped || chain->writable_bytes < bytes) {
		ring->ops->give_back(ring, &chain, 1);
		return false;
	}
	iov_copy_in(chain->iov + chain->readable_count, chain->writable_count, 0, frame, bytes);
	chain->written_bytes = (uint32_t)bytes;
	ring->ops->complete(ring, &chain, 1);
	return true;
}

static void transmit(struct echo_card *card, struct virtio_chain *chain)
{
	size_t bytes = chain->readable_bytes < FRAME_BYTES_MAX ? chain->readable_bytes : FRAME_BYTES_MAX;
	uint8_t frame[FRAME_BYTES_MAX];

	chain->written_bytes = 0;
	if (!chain->unmapped)
		iov_copy_out(chain->iov, chain->readable_count, 0, frame, bytes);
	for (size_t i = 0; i < bytes && !chain->unmapped; i++)
		frame[i] ^= card->mask;
	counter_add(!chain->unmapped && deliver(card, frame, bytes) ? &card->echoed : &card->dropped, 1);
}

static void ready(void *opaque)
{
	struct echo_card_queue *queue = opaque;
	struct virtio_chain *chains[BATCH];
	unsigned count;

	if (queue != &queue->card->queues[ECHO_CARD_TRANSMIT])
		return;
	while ((count = queue->ring->ops->take(queue->ring, chains, BATCH)) > 0) {
		for (unsigned i = 0; i < count; i++)
			transmit(queue->card, chains[i]);
		queue->ring->ops->complete(queue->ring, chains, count);
	}
}

const struct virtio_model_ops echo_card_model = {
	.name = "echo-card",
	.virtio_id = 1,
	.features = features,
	.queue_count = queue_count,
	.config_size = config_size,
	.queue_start = queue_start,
	.queue_stop = queue_stop,
	.ready = ready,
};
