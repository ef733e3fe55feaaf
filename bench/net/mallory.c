/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile guest: a ring of frames that a guest must not send, or that a switch may stumble over, offered
 * again and again. Some of them are made anew all the time, also while the switch reads them.
 */
#include <errno.h>
#include <string.h>

#include "core/big_endian.h"
#include "judge.h"

#define MALLORY_TYPE  0x88b5 /* as the honest ones' */
#define MALLORY_TURNS 7u
#define RENEWED	      4u /* slots in a turn */
#define BYTES	      64u
#define LARGE_BYTES   9000u
#define SLOT_BYTES    16384u

struct mallory {
	uint64_t turns;
};

typedef uint32_t frame_maker(struct guest *guest, uint8_t *header, uint8_t *frame);

static const uint8_t broadcast[FRAME_ADDRESS_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t multicast[FRAME_ADDRESS_BYTES] = { 0x01, 0x00, 0x5e, 0x00, 0x00, 0x01 };
static const uint8_t unknown[FRAME_ADDRESS_BYTES] = { 0x52, 0x54, 0xff, 0xff, 0xff, 0xfd };

/* The two honest guests: the victim is her peer, and the victim's peer is the one whose name she takes. */
static const struct guest *victim(const struct guest *guest)
{
	return guest->peer;
}

static const struct guest *friend(const struct guest *guest)
{
	return guest->peer->peer;
}

static uint32_t put(uint8_t *frame, const uint8_t *to, const uint8_t *from)
{
	frame_write_header(frame, to, from, MALLORY_TYPE);
	return BYTES;
}

static uint32_t as_friend(struct guest *guest, uint8_t *header, uint8_t *frame)
{
	return put(frame, victim(guest)->address, friend(guest)->address);
}

static uint32_t as_victim(struct guest *guest, uint8_t *header, uint8_t *frame)
{
	return put(frame, friend(guest)->address, victim(guest)->address);
}

static uint32_t as_friend_to_all(struct guest *guest, uint8_t *header, uint8_t *frame)
{
	return put(frame, broadcast, friend(guest)->address);
}

static uint32_t as_unknown(struct guest *guest, uint8_t *header, uint8_t *frame)
{
	return put(frame, victim(guest)->address, unknown);
}

static uint32_t as_group(struct guest *guest, uint8_t *header, uint8_t *frame)
{
	return put(frame, victim(guest)->address, multicast);
}

/* What the friend has sent to the victim, once more: she may have guessed it. */
static uint32_t replayed(struct guest *guest, uint8_t *header, uint8_t *frame)
{
	const struct card *card = &friend(guest)->card;

	memcpy(frame, card_slot(card, card->transmit.next - 1u) + CARD_HEADER_BYTES, BYTES);
	return BYTES;
}

static uint32_t replayed_as_herself(struct guest *guest, uint8_t *header, uint8_t *frame)
{
	replayed(guest, header, frame);
	memcpy(frame + FRAME_ADDRESS_BYTES, guest->address, FRAME_ADDRESS_BYTES);
	return BYTES;
}

/* The address changes between two that she may and may not use, while the switch reads. */
static uint32_t wavering(struct guest *guest, uint8_t *header, uint8_t *frame)
{
	const struct mallory *mallory = guest->state;

	return put(frame, victim(guest)->address,
		   mallory->turns % 2 ? guest->address : friend(guest)->address);
}

static uint32_t to_all(struct guest *guest, uint8_t *header, uint8_t *frame)
{
	return put(frame, broadcast, guest->address);
}

static uint32_t to_group(struct guest *guest, uint8_t *header, uint8_t *frame)
{
	return put(frame, multicast, guest->address);
}

static uint32_t to_unknown(struct guest *guest, uint8_t *header, uint8_t *frame)
{
	return put(frame, unknown, guest->address);
}

static uint32_t to_herself(struct guest *guest, uint8_t *header, uint8_t *frame)
{
	return put(frame, guest->address, guest->address);
}

static uint32_t tagged(struct guest *guest, uint8_t *header, uint8_t *frame)
{
	uint64_t random = client_random(guest->client);

	put(frame, victim(guest)->address, random & 1 ? guest->address : friend(guest)->address);
	big16_put(frame + 2 * FRAME_ADDRESS_BYTES, random & 2 ? 0x8100 : 0x88a8);
	big16_put(frame + FRAME_HEADER_BYTES, (uint16_t)(random >> 8));
	return BYTES;
}

static uint32_t oversized(struct guest *guest, uint8_t *header, uint8_t *frame)
{
	to_all(guest, header, frame);
	memcpy(frame, victim(guest)->address, FRAME_ADDRESS_BYTES);
	return LARGE_BYTES;
}

static uint32_t undersized(struct guest *guest, uint8_t *header, uint8_t *frame)
{
	as_friend(guest, header, frame);
	return (uint32_t)(client_random(guest->client) % FRAME_HEADER_BYTES);
}

/* Offloads that she has not asked for, or that do not fit the frame. */
static uint32_t malformed(struct guest *guest, uint8_t *header, uint8_t *frame)
{
	uint64_t random = client_random(guest->client);

	memcpy(header, &random, sizeof(random));
	header[0] |= FRAME_CSUM_NEEDED;
	return put(frame, victim(guest)->address, guest->address);
}

static uint32_t random_bytes(struct guest *guest, uint8_t *header, uint8_t *frame)
{
	for (unsigned at = 0; at < BYTES; at += (unsigned)sizeof(uint64_t)) {
		uint64_t random = client_random(guest->client);

		memcpy(frame + at, &random, sizeof(random));
		if (at == 0)
			memcpy(header, &random, sizeof(random));
	}
	return FRAME_HEADER_BYTES + (uint32_t)(client_random(guest->client) % (BYTES - FRAME_HEADER_BYTES));
}

static uint32_t random_payload(struct guest *guest, uint8_t *header, uint8_t *frame)
{
	random_bytes(guest, header, frame);
	memset(header, 0, CARD_HEADER_BYTES);
	memcpy(frame, victim(guest)->address, FRAME_ADDRESS_BYTES);
	memcpy(frame + FRAME_ADDRESS_BYTES, guest->address, FRAME_ADDRESS_BYTES);
	return BYTES;
}

static frame_maker *const makers[] = {
	as_friend,  as_victim, as_friend_to_all, as_unknown,	 as_group,   replayed, replayed_as_herself,
	wavering,   to_all,    to_group,	 to_unknown,	 to_herself, tagged,   oversized,
	undersized, malformed, random_bytes,	 random_payload,
};

#define MAKERS (sizeof(makers) / sizeof(makers[0]))

static void make(struct guest *guest, unsigned slot)
{
	uint8_t *header = card_slot(&guest->card, slot);

	memset(header, 0, CARD_HEADER_BYTES);
	card_slot_set(&guest->card, slot, makers[slot % MAKERS](guest, header, header + CARD_HEADER_BYTES));
}

static void mallory_begin(struct guest *guest)
{
	card_check(guest->peer && guest->peer->peer ? 0 : -EINVAL,
		   "a hostile guest needs a victim with a peer");
	for (unsigned slot = 0; slot < CARD_SLOTS; slot++)
		make(guest, slot);
}

static void mallory_turn(struct guest *guest, uint64_t now_ns)
{
	struct mallory *mallory = guest->state;
	struct note note;
	const uint8_t *frame;
	uint32_t bytes;

	for (unsigned i = 0; i < CLIENT_BATCH && card_take(&guest->card, &frame, &bytes); i++) {
		/* Even an intact frame: it was not for her. */
		if (judge_frame(guest, frame, bytes, &note))
			guest->client->verdict.leaked++;
	}
	card_give_back(&guest->card);
	mallory->turns++;
	for (unsigned i = 0; i < RENEWED; i++)
		make(guest, (unsigned)(client_random(guest->client) % CARD_SLOTS));
	card_send_again(&guest->card);
}

const struct role client_mallory_role = {
	.name = "mallory",
	.hostile = true,
	.turns_between = MALLORY_TURNS,
	.slot_bytes = SLOT_BYTES,
	.state_bytes = sizeof(struct mallory),
	.begin = mallory_begin,
	.turn = mallory_turn,
};
