/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/demo/demo_card.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/big_endian.h"
#include "core/internet_sum.h"

#define FRAME_BYTES 64u

/* Offsets in a frame. */
#define SOURCE	   6u
#define TYPE	   12u
#define BODY	   DEMO_ETHERNET_BYTES
#define MARK	   48u /* behind ARP, and in UDP's payload */
#define MARK_BYTES 16u /* of the token */
#define IPV4_BYTES 20u
#define UDP_BYTES  8u
#define UDP_PORT   9u /* discard */

enum sender { OWN, BOB, GATEWAY, STRANGER };

/* What the frame says of its sender; one of both is not mallory's. */
static const struct lie {
	enum sender mac, address;
	bool arp;
} lies[] = {
	{ BOB, OWN, false }, { BOB, BOB, true },     { STRANGER, OWN, false },
	{ OWN, BOB, false }, { OWN, GATEWAY, true }, { OWN, BOB, true },
};

static const struct lie honest = { OWN, OWN, true };

struct demo_card {
	struct demo_card_options options;
	struct demo_nic *nic;
	struct demo_card_counters counters;
};

/* ---- opening ---- */

int demo_card_open(const struct demo_card_options *options, struct demo_card **ret_card,
		   const char **ret_error)
{
	const struct demo_nic_options nic = { .socket = options->socket, .pairs = 1 };
	struct demo_card *card = calloc(1, sizeof(*card));
	int error;

	*ret_error = "out of memory";
	if (!card)
		return -ENOMEM;
	card->options = *options;
	error = demo_nic_open(&nic, &card->nic, ret_error);
	if (error) {
		free(card);
		return error;
	}
	*ret_card = card;
	return 0;
}

void demo_card_close(struct demo_card *card)
{
	if (!card)
		return;
	demo_nic_close(card->nic);
	free(card);
}

/* ---- frames ---- */

static void put_mac(const struct demo_card *card, uint8_t *at, enum sender sender)
{
	static const uint8_t stranger[DEMO_MAC_BYTES] = { 0x02, 0xba, 0xdb, 0xad, 0x00, 0x01 };

	assert(sender != GATEWAY);
	memcpy(at,
	       sender == OWN   ? card->options.mac
	       : sender == BOB ? card->options.bob_mac
			       : stranger,
	       DEMO_MAC_BYTES);
}

static uint32_t address_of(const struct demo_card *card, enum sender sender)
{
	assert(sender != STRANGER);
	return sender == OWN   ? card->options.address
	       : sender == BOB ? card->options.bob_address
			       : card->options.gateway_address;
}

/* An answer that was not asked for: the address is where the Ethernet address is (RFC 826). */
static void put_arp(const struct demo_card *card, uint8_t *frame, const struct lie *lie)
{
	uint8_t *message = frame + BODY;

	big16_put(frame + TYPE, 0x0806);
	big16_put(message, 1);
	big16_put(message + 2, 0x0800);
	message[4] = DEMO_MAC_BYTES;
	message[5] = 4;
	big16_put(message + 6, 2);
	put_mac(card, message + 8, lie->mac);
	big32_put(message + 14, address_of(card, lie->address));
	memcpy(message + 18, card->options.alice_mac, DEMO_MAC_BYTES);
	big32_put(message + 24, card->options.alice_address);
}

static void put_udp(const struct demo_card *card, uint8_t *frame, const struct lie *lie)
{
	uint8_t *header = frame + BODY, *udp = header + IPV4_BYTES;
	struct internet_sum sum = { 0 };
	uint16_t check;

	big16_put(frame + TYPE, 0x0800);
	header[0] = 0x45;
	big16_put(header + 2, FRAME_BYTES - BODY);
	header[8] = 64;
	header[9] = 17;
	big32_put(header + 12, address_of(card, lie->address));
	big32_put(header + 16, card->options.alice_address);
	internet_sum_add(&sum, header, IPV4_BYTES);
	check = (uint16_t)~internet_sum_fold(&sum);
	memcpy(header + 10, &check, sizeof(check));
	big16_put(udp, UDP_PORT);
	big16_put(udp + 2, UDP_PORT);
	big16_put(udp + 4, FRAME_BYTES - BODY - IPV4_BYTES);
}

/* Sends a frame to alice, and waits until the switch has dealt with it. 0 or -errno. */
static int send_frame(struct demo_card *card, const struct lie *lie)
{
	uint8_t *frame = demo_nic_frame(card->nic);

	memset(frame, 0, FRAME_BYTES);
	memcpy(frame, card->options.alice_mac, DEMO_MAC_BYTES);
	put_mac(card, frame + SOURCE, lie->mac);
	if (lie->arp)
		put_arp(card, frame, lie);
	else
		put_udp(card, frame, lie);
	memcpy(frame + MARK, card->options.token, MARK_BYTES);
	return demo_nic_send(card->nic, FRAME_BYTES);
}

bool demo_card_marks(const uint8_t *frame, size_t bytes, const char *token)
{
	return bytes >= FRAME_BYTES && memcmp(frame + MARK, token, MARK_BYTES) == 0;
}

/* ---- what it does ---- */

int demo_card_lie(struct demo_card *card)
{
	int error = 0;

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]) && !error; i++) {
		error = send_frame(card, &lies[i]);
		if (!error)
			error = send_frame(card, &honest);
		if (error)
			break;
		card->counters.honest++;
		if (lies[i].mac != OWN)
			card->counters.other_mac++;
		else
			card->counters.other_ip++;
		demo_card_receive(card);
	}
	return error;
}

void demo_card_receive(struct demo_card *card)
{
	const uint8_t *frame;
	size_t bytes;

	if (!card)
		return;
	while ((frame = demo_nic_receive(card->nic, &bytes))) {
		bool group = frame[0] & 1;

		card->counters.received++;
		if (bytes < BODY || (!group && memcmp(frame, card->options.mac, DEMO_MAC_BYTES) != 0))
			card->counters.foreign++;
	}
}

const struct demo_card_counters *demo_card_counters(const struct demo_card *card)
{
	return &card->counters;
}
