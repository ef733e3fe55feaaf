/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/demo/demo_card.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/big_endian.h"
#include "core/internet_sum.h"
#include "frontend/frontend.h"

#define QUEUE_RECEIVE  0u /* virtio 1.2, 5.1.2 */
#define QUEUE_TRANSMIT 1u
#define QUEUE_SIZE     64u
#define HEADER_BYTES   12u /* virtio 1.2, 5.1.6 */
#define FRAME_BYTES    64u
#define BUFFER_BYTES   2048u
#define MEMORY_BYTES   (1u << 20)
#define ANSWER_MS      20000

/* Offsets in a frame. */
#define SOURCE	   6u
#define TYPE	   12u
#define BODY	   14u
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
	struct frontend *frontend;
	struct frontend_queue *receive, *transmit;
	uint8_t *buffers; /* QUEUE_SIZE to receive with, then one to send */
	struct demo_card_counters counters;
};

/* ---- opening ---- */

static void post(struct demo_card *card, uint8_t *buffer)
{
	const struct frontend_buffer element = {
		.guest_address = frontend_guest_address(card->frontend, buffer),
		.length = BUFFER_BYTES,
		.device_writes = true,
	};

	frontend_add(card->receive, &element, 1, buffer);
}

int demo_card_open(const struct demo_card_options *options, struct demo_card **ret_card,
		   const char **ret_error)
{
	const struct frontend_options frontend = {
		.path = options->socket,
		.queues = 2,
		.queue_size = QUEUE_SIZE,
		.memory_bytes = MEMORY_BYTES,
	};
	struct demo_card *card = calloc(1, sizeof(*card));
	size_t room = 0;
	int error;

	*ret_error = "out of memory";
	if (!card)
		return -ENOMEM;
	card->options = *options;
	error = frontend_connect(&frontend, &card->frontend, ret_error);
	if (error) {
		free(card);
		return error;
	}
	card->receive = frontend_queue(card->frontend, QUEUE_RECEIVE);
	card->transmit = frontend_queue(card->frontend, QUEUE_TRANSMIT);
	card->buffers = frontend_memory(card->frontend, &room);
	assert(room >= (size_t)(QUEUE_SIZE + 1) * BUFFER_BYTES);
	for (unsigned i = 0; i < QUEUE_SIZE; i++)
		post(card, card->buffers + (size_t)i * BUFFER_BYTES);
	frontend_kick(card->receive);
	*ret_card = card;
	return 0;
}

void demo_card_close(struct demo_card *card)
{
	if (!card)
		return;
	frontend_close(card->frontend);
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
	uint8_t *buffer = card->buffers + (size_t)QUEUE_SIZE * BUFFER_BYTES, *frame = buffer + HEADER_BYTES;
	const struct frontend_buffer element = {
		.guest_address = frontend_guest_address(card->frontend, buffer),
		.length = HEADER_BYTES + FRAME_BYTES,
	};
	uint32_t written;
	void *token;
	int error;

	memset(buffer, 0, HEADER_BYTES + FRAME_BYTES);
	memcpy(frame, card->options.alice_mac, DEMO_MAC_BYTES);
	put_mac(card, frame + SOURCE, lie->mac);
	if (lie->arp)
		put_arp(card, frame, lie);
	else
		put_udp(card, frame, lie);
	memcpy(frame + MARK, card->options.token, MARK_BYTES);
	error = frontend_add(card->transmit, &element, 1, buffer);
	if (error)
		return error;
	frontend_kick(card->transmit);
	error = frontend_wait(card->transmit, ANSWER_MS);
	if (error <= 0)
		return error ? error : -ETIMEDOUT;
	return frontend_take(card->transmit, &token, &written) ? 0 : -EPROTO;
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
	uint32_t written;
	void *buffer;

	if (!card)
		return;
	while (frontend_take(card->receive, &buffer, &written)) {
		const uint8_t *frame = (const uint8_t *)buffer + HEADER_BYTES;
		bool group = frame[0] & 1;

		card->counters.received++;
		if (written < HEADER_BYTES + BODY ||
		    (!group && memcmp(frame, card->options.mac, DEMO_MAC_BYTES) != 0))
			card->counters.foreign++;
		post(card, buffer);
	}
	frontend_kick(card->receive);
}

const struct demo_card_counters *demo_card_counters(const struct demo_card *card)
{
	return &card->counters;
}
