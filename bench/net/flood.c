/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests that send all the time, whatever becomes of it: a ring of frames is made once and offered again and
 * again. What they receive is discarded.
 */
#include <string.h>

#include "core/big_endian.h"
#include "judge.h"

#define FLOOD_TYPE 0x88b6
/* Between two looks of a flood at its rings: less than the switch needs for a ring. */
#define FLOOD_TURNS 15u

/* A GSO frame, whose segments have next to no payload (virtio 1.2, 5.1.6; RFC 791; RFC 9293). */
#define GSO_PAYLOAD_BYTES 8192u
#define GSO_SEGMENT_BYTES 8u
#define IP_AT		  FRAME_HEADER_BYTES
#define IP_BYTES	  20u
#define TCP_AT		  (IP_AT + IP_BYTES)
#define TCP_BYTES	  20u
#define GSO_HEADERS_BYTES (TCP_AT + TCP_BYTES)
#define GSO_SLOT_BYTES	  16384u

typedef uint32_t frame_maker(const struct guest *guest, uint8_t *slot);

static void make_all(struct guest *guest, frame_maker *make)
{
	for (unsigned slot = 0; slot < CARD_SLOTS; slot++)
		card_slot_set(&guest->card, slot, make(guest, card_slot(&guest->card, slot)));
}

static uint32_t make_plain(const struct guest *guest, uint8_t *slot)
{
	memset(slot, 0, CARD_HEADER_BYTES + guest->frame_bytes);
	frame_write_header(slot + CARD_HEADER_BYTES, guest_peer_address(guest), guest->address, FLOOD_TYPE);
	return guest->frame_bytes;
}

static uint32_t make_broadcast(const struct guest *guest, uint8_t *slot)
{
	make_plain(guest, slot);
	memset(slot + CARD_HEADER_BYTES, 0xff, FRAME_ADDRESS_BYTES);
	return guest->frame_bytes;
}

/* In the name of the guest that it is sent to. */
static uint32_t make_spoofed(const struct guest *guest, uint8_t *slot)
{
	make_plain(guest, slot);
	memcpy(slot + CARD_HEADER_BYTES + FRAME_ADDRESS_BYTES, guest_peer_address(guest),
	       FRAME_ADDRESS_BYTES);
	return guest->frame_bytes;
}

static void write_tcp4(uint8_t *ip)
{
	uint8_t *tcp = ip + IP_BYTES;
	uint32_t sum = 0;

	ip[0] = 0x45; /* version 4, five words */
	big16_put(ip + 2, IP_BYTES + TCP_BYTES + GSO_PAYLOAD_BYTES);
	ip[8] = 64; /* hops */
	ip[9] = 6;  /* TCP */
	big32_put(ip + 12, 0x0a000001);
	big32_put(ip + 16, 0x0a000002);
	for (unsigned at = 0; at < IP_BYTES; at += 2)
		sum += big16_get(ip + at);
	sum = (sum & 0xffff) + (sum >> 16);
	big16_put(ip + 10, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
	big16_put(tcp, 1000);
	big16_put(tcp + 2, 2000);
	tcp[12] = 0x50; /* five words */
	tcp[13] = 0x10; /* ACK */
}

static uint32_t make_gso(const struct guest *guest, uint8_t *slot)
{
	const struct frame_offload offload = {
		.flags = FRAME_CSUM_NEEDED,
		.gso_type = FRAME_GSO_TCP4,
		.header_bytes = GSO_HEADERS_BYTES,
		.gso_bytes = GSO_SEGMENT_BYTES,
		.csum_start = TCP_AT,
		.csum_offset = 16,
	};

	memset(slot, 0, CARD_HEADER_BYTES + GSO_HEADERS_BYTES + GSO_PAYLOAD_BYTES);
	memcpy(slot, &offload, sizeof(offload));
	frame_write_header(slot + CARD_HEADER_BYTES, guest_peer_address(guest), guest->address, 0x0800);
	write_tcp4(slot + CARD_HEADER_BYTES + IP_AT);
	return GSO_HEADERS_BYTES + GSO_PAYLOAD_BYTES;
}

static void begin_plain(struct guest *guest)
{
	make_all(guest, make_plain);
}

static void begin_broadcast(struct guest *guest)
{
	make_all(guest, make_broadcast);
}

static void begin_spoofed(struct guest *guest)
{
	make_all(guest, make_spoofed);
}

static void begin_gso(struct guest *guest)
{
	make_all(guest, make_gso);
}

static void flood_turn(struct guest *guest, uint64_t now_ns)
{
	card_discard(&guest->card);
	card_send_again(&guest->card);
}

static void kicks_turn(struct guest *guest, uint64_t now_ns)
{
	card_discard(&guest->card);
	card_kick(&guest->card);
}

static void sink_turn(struct guest *guest, uint64_t now_ns)
{
	card_discard(&guest->card);
}

static const struct role plain_role = {
	.name = "flood",
	.turns_between = FLOOD_TURNS,
	.slot_bytes = CARD_SLOT_BYTES,
	.begin = begin_plain,
	.turn = flood_turn,
};

static const struct role broadcast_role = {
	.name = "broadcasts",
	.hostile = true,
	.turns_between = FLOOD_TURNS,
	.slot_bytes = CARD_SLOT_BYTES,
	.begin = begin_broadcast,
	.turn = flood_turn,
};

static const struct role spoofed_role = {
	.name = "spoofed",
	.hostile = true,
	.turns_between = FLOOD_TURNS,
	.slot_bytes = CARD_SLOT_BYTES,
	.begin = begin_spoofed,
	.turn = flood_turn,
};

static const struct role gso_role = {
	.name = "gso",
	.hostile = true,
	.turns_between = FLOOD_TURNS,
	.features = CARD_F_CSUM | CARD_F_HOST_TSO4,
	.slot_bytes = GSO_SLOT_BYTES,
	.begin = begin_gso,
	.turn = flood_turn,
};

static const struct role kicks_role = {
	.name = "kicks",
	.hostile = true,
	.turns_between = FLOOD_TURNS,
	.slot_bytes = CARD_SLOT_BYTES,
	.turn = kicks_turn,
};

const struct role client_sink_role = {
	.name = "sink",
	.turns_between = FLOOD_TURNS,
	.slot_bytes = CARD_SLOT_BYTES,
	.turn = sink_turn,
};

const struct role *const client_flood_roles[] = {
	&plain_role, &broadcast_role, &spoofed_role, &gso_role, &kicks_role, NULL,
};
