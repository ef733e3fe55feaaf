/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "judge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/big_endian.h"

#define NOTE_AT	  FRAME_HEADER_BYTES
#define FILLER_AT (NOTE_AT + (uint32_t)sizeof(struct note))
/* An experimental type (IEEE 802). */
#define NOTE_TYPE 0x88b5
#define ODD	  0x9e3779b97f4a7c15ull

static const uint8_t world_address[FRAME_ADDRESS_BYTES] = { 0x52, 0x54, 0xff, 0xff, 0xff, 0xfe };

const uint8_t *guest_peer_address(const struct guest *guest)
{
	return guest->peer ? guest->peer->address : world_address;
}

void frame_write_header(uint8_t *frame, const uint8_t to[FRAME_ADDRESS_BYTES],
			const uint8_t from[FRAME_ADDRESS_BYTES], uint16_t type)
{
	memcpy(frame, to, FRAME_ADDRESS_BYTES);
	memcpy(frame + FRAME_ADDRESS_BYTES, from, FRAME_ADDRESS_BYTES);
	big16_put(frame + 2 * FRAME_ADDRESS_BYTES, type);
}

/* ---- notes ---- */

static uint64_t mark_of(const struct guest *guest)
{
	return (guest->client->secret + (uint64_t)(guest - guest->client->guest)) * ODD;
}

static uint64_t next_word(uint64_t word)
{
	return word * 6364136223846793005ull + ODD;
}

static uint64_t first_word(const struct note *note)
{
	return (note->mark ^ note->number) * ODD ^ note->stamp_ns;
}

static void filler_write(const struct note *note, uint8_t *to, uint32_t bytes)
{
	uint64_t word = first_word(note);

	for (; bytes >= sizeof(word); bytes -= (uint32_t)sizeof(word), to += sizeof(word)) {
		word = next_word(word);
		memcpy(to, &word, sizeof(word));
	}
	word = next_word(word);
	memcpy(to, &word, bytes);
}

static bool filler_intact(const struct note *note, const uint8_t *from, uint32_t bytes)
{
	uint64_t word = first_word(note), differs = 0, found;

	for (; bytes >= sizeof(word); bytes -= (uint32_t)sizeof(word), from += sizeof(word)) {
		word = next_word(word);
		memcpy(&found, from, sizeof(found));
		differs |= word ^ found;
	}
	word = next_word(word);
	return differs == 0 && memcmp(from, &word, bytes) == 0;
}

void note_write(const struct guest *guest, uint8_t *slot, uint32_t bytes, uint64_t number, uint64_t stamp_ns)
{
	const struct note note = { mark_of(guest), number, stamp_ns, bytes };
	uint8_t *frame = slot + CARD_HEADER_BYTES;

	memset(slot, 0, CARD_HEADER_BYTES);
	frame_write_header(frame, guest_peer_address(guest), guest->address, NOTE_TYPE);
	memcpy(frame + NOTE_AT, &note, sizeof(note));
	filler_write(&note, frame + FILLER_AT, bytes - FILLER_AT);
}

/* ---- judging ---- */

static const struct guest *sender_of(const struct client *client, const uint8_t *frame)
{
	for (unsigned i = 0; i < client->guests; i++)
		if (memcmp(client->guest[i].address, frame + FRAME_ADDRESS_BYTES, FRAME_ADDRESS_BYTES) == 0)
			return &client->guest[i];
	return NULL;
}

bool judge_frame(struct guest *receiver, const uint8_t *frame, uint32_t bytes, struct note *ret_note)
{
	struct verdict *verdict = &receiver->client->verdict;
	const struct guest *sender;
	bool group;

	verdict->judged++;
	if (bytes < FRAME_HEADER_BYTES) {
		verdict->damaged++;
		return false;
	}
	sender = sender_of(receiver->client, frame);
	group = frame[0] & 1;
	if (!group && memcmp(frame, receiver->address, FRAME_ADDRESS_BYTES) != 0) {
		verdict->leaked++;
		return false;
	}
	if (sender && sender->role->hostile)
		return false;
	/* Honest guests write to their peers only, and put their marks into every frame. */
	if (!sender || sender != receiver->peer || group || bytes < FILLER_AT) {
		verdict->spoofed++;
		return false;
	}
	memcpy(ret_note, frame + NOTE_AT, sizeof(*ret_note));
	if (ret_note->mark != mark_of(sender)) {
		verdict->spoofed++;
		return false;
	}
	if (ret_note->bytes != bytes || !filler_intact(ret_note, frame + FILLER_AT, bytes - FILLER_AT)) {
		verdict->damaged++;
		return false;
	}
	return true;
}

/* ---- numbers ---- */

void numbers_init(struct numbers *numbers, uint64_t wanted, uint64_t most)
{
	*numbers = (struct numbers){ .wanted = wanted, .most = most, .seen = calloc(most / 8 + 1, 1) };
	card_check(numbers->seen ? 0 : -ENOMEM, "numbers of frames");
}

void numbers_finish(struct numbers *numbers)
{
	free(numbers->seen);
	numbers->seen = NULL;
}

void numbers_add(struct numbers *numbers, uint64_t number, struct verdict *verdict)
{
	uint8_t bit = (uint8_t)(1u << number % 8);

	if (number >= numbers->most) {
		verdict->damaged++;
		return;
	}
	if (numbers->seen[number / 8] & bit) {
		verdict->duplicated++;
		return;
	}
	numbers->seen[number / 8] |= bit;
	numbers->received += number < numbers->wanted;
	if (number < numbers->next)
		verdict->reordered++;
	else
		numbers->next = number + 1;
}
