/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A switch with cards that remember what they get, for tests of the switch. Include behind cmocka.h. */
#ifndef VIADUCT_TESTS_UNIT_ARBITER_SWITCH_SWITCH_BENCH_H
#define VIADUCT_TESTS_UNIT_ARBITER_SWITCH_SWITCH_BENCH_H

#include <stdlib.h>
#include <string.h>

#include "arbiter/switch/vswitch.h"
#include "core/container.h"
#include "core/loop.h"

#define CARD_FRAMES_MAX 4096u

/* A guest's card: one source and one sink. */
struct card {
	struct port *port;
	struct port_source *source;
	struct port_sink *sink;
	struct port_receiver receiver;
	struct frame_abilities abilities;
	unsigned room;	/* buffers posted */
	unsigned count; /* frames got */
	struct {
		uint32_t bytes;
		struct frame_offload offload;
		uint8_t head[64];
		uint8_t last;
	} frames[CARD_FRAMES_MAX];
};

static inline unsigned card_deliver(struct port_receiver *receiver, const struct frame *frames,
				    unsigned count)
{
	struct card *card = container_of(receiver, struct card, receiver);
	unsigned taken = 0;

	for (; taken < count && card->room > 0 && card->count < CARD_FRAMES_MAX; taken++, card->room--) {
		uint8_t *bytes = malloc(frames[taken].bytes);
		uint32_t at = 0, n = card->count++;

		assert_non_null(bytes);
		for (unsigned i = 0; i < frames[taken].iov_count; i++) {
			memcpy(bytes + at, frames[taken].iov[i].iov_base, frames[taken].iov[i].iov_len);
			at += (uint32_t)frames[taken].iov[i].iov_len;
		}
		assert_int_equal(at, frames[taken].bytes);
		card->frames[n].bytes = at;
		card->frames[n].offload = frames[taken].offload;
		memcpy(card->frames[n].head, bytes, at < 64 ? at : 64);
		card->frames[n].last = bytes[at - 1];
		free(bytes);
	}
	return taken;
}

static inline struct port_settings settings_of_card(void)
{
	return (struct port_settings){ .link = true };
}

/* Card `number` has the address 02:00:00:00:00:NUMBER. */
static inline void card_address(uint8_t address[6], unsigned number)
{
	memset(address, 0, 6);
	address[0] = 2;
	address[5] = (uint8_t)number;
}

static inline struct card *card_new(struct vswitch *vswitch, struct loop *loop, unsigned number,
				    const struct port_settings *settings)
{
	struct card *card = calloc(1, sizeof(*card));
	uint8_t address[6];
	char name[16];

	assert_non_null(card);
	card_address(address, number);
	snprintf(name, sizeof(name), "guest%u/eth0", number);
	card->room = CARD_FRAMES_MAX;
	card->receiver.deliver = card_deliver;
	card->abilities = (struct frame_abilities){ .csum = 1, .tso4 = 1, .tso6 = 1, .ecn = 1, .uso = 1 };
	assert_int_equal(port_create(vswitch, name, address, 1500, settings, &card->port), 0);
	assert_int_equal(port_source_open(card->port, loop, NULL, &card->source), 0);
	assert_int_equal(port_sink_open(card->port, loop, &card->receiver, &card->abilities, &card->sink), 0);
	return card;
}

static inline void card_free(struct card *card)
{
	port_source_close(card->source);
	port_sink_close(card->sink);
	port_destroy(card->port);
	free(card);
}

/* An Ethernet frame of an experimental type, whose last byte is `mark`. */
static inline void frame_bytes(uint8_t *bytes, size_t count, const uint8_t destination[6],
			       const uint8_t source[6], uint8_t mark)
{
	memset(bytes, 0x5a, count);
	memcpy(bytes, destination, 6);
	memcpy(bytes + 6, source, 6);
	bytes[12] = 0x88;
	bytes[13] = 0xb5;
	bytes[count - 1] = mark;
}

static inline void send_bytes(struct card *card, const void *bytes, size_t count)
{
	struct iovec iov = { (void *)bytes, count };
	struct frame frame = { .iov = &iov, .iov_count = 1, .bytes = (uint32_t)count };

	port_send(card->source, &frame, 1);
}

/* From one card to the address of another, 60 bytes. */
static inline void send_to(struct card *from, unsigned to, uint8_t mark)
{
	uint8_t bytes[60], address[6];

	card_address(address, to);
	frame_bytes(bytes, sizeof(bytes), address, port_address(from->port), mark);
	send_bytes(from, bytes, sizeof(bytes));
}

static inline void send_to_all(struct card *from, uint8_t mark)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	uint8_t bytes[60];

	frame_bytes(bytes, sizeof(bytes), broadcast, port_address(from->port), mark);
	send_bytes(from, bytes, sizeof(bytes));
}

static inline uint64_t dropped(const struct card *card, enum port_drop drop)
{
	struct port_totals totals;

	port_totals(card->port, &totals);
	return totals.dropped[drop];
}

#endif
