/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "card.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/shared.h"
#include "frontend/frontend_private.h"

#define QUEUES	  2u
#define RECEIVE	  0u
#define TRANSMIT  1u
#define SLOT_MASK (CARD_SLOTS - 1)
/* Of the rings, which lie in front of the buffers. */
#define RINGS_BYTES (1u << 20)

void card_check(int error, const char *what)
{
	if (!error)
		return;
	fprintf(stderr, "viaduct-net-client: %s: %s\n", what, strerror(-error));
	exit(1);
}

/* ---- rings ---- */

static void ring_init(struct card_ring *ring, struct card *card, unsigned index, uint8_t *slots,
		      uint32_t slot_bytes)
{
	*ring = (struct card_ring){
		.queue = frontend_queue(card->frontend, index),
		.slots = slots,
		.slot_bytes = slot_bytes,
	};
	for (unsigned slot = 0; slot < CARD_SLOTS; slot++) {
		ring->queue->split_ring.desc[slot] = (struct split_desc){
			.address = frontend_guest_address(card->frontend, slots + slot * slot_bytes),
			.length = slot_bytes,
			.flags = index == RECEIVE ? DESC_F_WRITE : 0,
		};
		ring->queue->split_ring.available->ring[slot] = (uint16_t)slot;
	}
}

/* How many slots came back that `done` does not know of. */
static uint16_t ring_news(const struct card_ring *ring)
{
	/* Pairs with the device's store-release of the used index. */
	uint16_t used = shared_read_acquire(&ring->queue->split_ring.used->idx),
		 news = (uint16_t)(used - ring->done);

	card_check(news > (uint16_t)(ring->next - ring->done) ? -EPROTO : 0,
		   "more slots came back than there were");
	return news;
}

static void ring_publish(struct card_ring *ring)
{
	/* Pairs with the device's load-acquire of the available index. */
	shared_write_release(&ring->queue->split_ring.available->idx, ring->next);
	/* The device asks for kicks, fences, and looks at the available index again. */
	shared_fence();
	if (!(shared_read(&ring->queue->split_ring.used->flags) & 1))
		frontend_kick_always(ring->queue);
}

/* Offers all slots but those that the device has. */
static void ring_offer_all(struct card_ring *ring)
{
	ring->done = (uint16_t)(ring->done + ring_news(ring));
	if ((uint16_t)(ring->next - ring->done) == CARD_SLOTS)
		return;
	ring->next = (uint16_t)(ring->done + CARD_SLOTS);
	ring_publish(ring);
}

/* ---- life ---- */

void card_connect(struct card *card, const char *path, uint64_t features, uint32_t slot_bytes)
{
	const struct frontend_options options = {
		.path = path,
		.queues = QUEUES,
		.queue_size = CARD_SLOTS,
		.features = features,
		.memory_bytes = RINGS_BYTES + (size_t)CARD_SLOTS * (CARD_SLOT_BYTES + slot_bytes),
		.poll = true,
	};
	const char *text = "";
	uint8_t *memory;
	size_t bytes;

	card_check(frontend_connect(&options, &card->frontend, &text), *text ? text : path);
	card_check((frontend_features(card->frontend) & features) == features ? 0 : -EOPNOTSUPP, path);
	memory = frontend_memory(card->frontend, &bytes);
	card_check(bytes >= (size_t)CARD_SLOTS * (CARD_SLOT_BYTES + slot_bytes) ? 0 : -ENOMEM, path);
	ring_init(&card->receive, card, RECEIVE, memory, CARD_SLOT_BYTES);
	ring_init(&card->transmit, card, TRANSMIT, memory + (size_t)CARD_SLOTS * CARD_SLOT_BYTES, slot_bytes);
	ring_offer_all(&card->receive);
}

void card_close(struct card *card)
{
	frontend_close(card->frontend);
	card->frontend = NULL;
}

/* ---- transmission ---- */

uint8_t *card_slot(const struct card *card, unsigned slot)
{
	return card->transmit.slots + (size_t)(slot & SLOT_MASK) * card->transmit.slot_bytes;
}

void card_slot_set(struct card *card, unsigned slot, uint32_t frame_bytes)
{
	card_check(frame_bytes + CARD_HEADER_BYTES <= card->transmit.slot_bytes ? 0 : -EMSGSIZE, "a frame");
	shared_write(&card->transmit.queue->split_ring.desc[slot & SLOT_MASK].length,
		     frame_bytes + CARD_HEADER_BYTES);
}

int card_slot_free(struct card *card)
{
	struct card_ring *ring = &card->transmit;

	if ((uint16_t)(ring->next - ring->done) == CARD_SLOTS)
		ring->done = (uint16_t)(ring->done + ring_news(ring));
	return (uint16_t)(ring->next - ring->done) == CARD_SLOTS ? -1 : (int)(ring->next & SLOT_MASK);
}

void card_send(struct card *card, uint32_t frame_bytes)
{
	card_slot_set(card, card->transmit.next, frame_bytes);
	card->transmit.next++;
}

void card_send_again(struct card *card)
{
	ring_offer_all(&card->transmit);
}

void card_publish(struct card *card)
{
	ring_publish(&card->transmit);
}

void card_kick(struct card *card)
{
	frontend_kick_always(card->transmit.queue);
}

/* ---- reception ---- */

bool card_take(struct card *card, const uint8_t **ret_frame, uint32_t *ret_bytes)
{
	struct card_ring *ring = &card->receive;

	while (ring_news(ring) > 0) {
		const struct split_used_element *element =
			&ring->queue->split_ring.used->ring[ring->done & SLOT_MASK];
		unsigned slot = ring->done & SLOT_MASK;
		uint32_t written = shared_read(&element->length);

		card_check(shared_read(&element->id) == slot ? 0 : -EPROTO,
			   "a buffer came back out of order");
		card_check(written <= ring->slot_bytes ? 0 : -EPROTO,
			   "more was written than the buffer holds");
		ring->done++;
		/* A buffer that a frame did not fit into comes back empty. */
		if (written < CARD_HEADER_BYTES)
			continue;
		*ret_frame = ring->slots + slot * ring->slot_bytes + CARD_HEADER_BYTES;
		*ret_bytes = written - CARD_HEADER_BYTES;
		return true;
	}
	return false;
}

void card_give_back(struct card *card)
{
	struct card_ring *ring = &card->receive;

	if ((uint16_t)(ring->next - ring->done) == CARD_SLOTS)
		return;
	ring->next = (uint16_t)(ring->done + CARD_SLOTS);
	ring_publish(ring);
}

void card_discard(struct card *card)
{
	ring_offer_all(&card->receive);
}
