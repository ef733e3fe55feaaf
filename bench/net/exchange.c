/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two guests send each other numbered frames of all sizes. A guest sends no more than WINDOW frames ahead of
 * what its peer has got, so that nothing is lost for want of buffers; when frames of a window were lost all
 * the same, one more goes out now and then, and its number tells the receiver of the gap.
 */
#include <errno.h>

#include "core/clock.h"
#include "judge.h"

#define WINDOW	 128u
#define STALL_NS (20 * NS_PER_MS)
/* Frames that may be sent behind the last one, to tell that it was lost. */
#define EXTRA_FRAMES 4096u

struct exchange {
	uint64_t sent;
	uint64_t peer_next, progress_ns;
	struct numbers numbers; /* of the peer's frames */
};

static void exchange_begin(struct guest *guest)
{
	struct exchange *exchange = guest->state;
	uint64_t frames = guest->client->frames;

	card_check(guest->peer && guest->peer->role == guest->role && frames ? 0 : -EINVAL,
		   "an exchange needs two guests of its kind and --frames");
	numbers_init(&exchange->numbers, frames, frames + EXTRA_FRAMES);
}

static void receive(struct guest *guest)
{
	struct exchange *exchange = guest->state;
	struct note note;
	const uint8_t *frame;
	uint32_t bytes;

	for (unsigned i = 0; i < CLIENT_BATCH && card_take(&guest->card, &frame, &bytes); i++)
		if (judge_frame(guest, frame, bytes, &note))
			numbers_add(&exchange->numbers, note.number, &guest->client->verdict);
	card_give_back(&guest->card);
}

/* How many frames may go out now. */
static uint64_t window_left(struct guest *guest, uint64_t now_ns)
{
	struct exchange *exchange = guest->state;
	const struct exchange *peer = guest->peer->state;
	const struct numbers *there = &peer->numbers;
	uint64_t ahead = exchange->sent - there->next, left;

	if (there->next != exchange->peer_next || !exchange->progress_ns) {
		exchange->peer_next = there->next;
		exchange->progress_ns = now_ns;
	}
	left = exchange->sent < there->wanted ? there->wanted - exchange->sent : 0;
	if (ahead < WINDOW && left > 0)
		return left < WINDOW - ahead ? left : WINDOW - ahead;
	if (ahead == 0 || now_ns - exchange->progress_ns < STALL_NS || exchange->sent == there->most)
		return 0;
	exchange->progress_ns = now_ns;
	return 1;
}

static void exchange_turn(struct guest *guest, uint64_t now_ns)
{
	struct exchange *exchange = guest->state;
	uint64_t left;
	unsigned sent = 0;

	receive(guest);
	for (left = window_left(guest, now_ns); sent < left && sent < CLIENT_BATCH; sent++) {
		uint32_t bytes = FRAME_BYTES_LEAST + (uint32_t)(exchange->sent * 2654435761u %
								(FRAME_BYTES_MOST - FRAME_BYTES_LEAST + 1));
		int slot = card_slot_free(&guest->card);

		if (slot < 0)
			break;
		note_write(guest, card_slot(&guest->card, (unsigned)slot), bytes, exchange->sent, now_ns);
		card_send(&guest->card, bytes);
		exchange->sent++;
	}
	if (sent > 0)
		card_publish(&guest->card);
}

static bool exchange_finished(struct guest *guest, uint64_t now_ns)
{
	const struct exchange *exchange = guest->state;

	return exchange->numbers.next >= exchange->numbers.wanted;
}

static void exchange_report(const struct guest *guest, FILE *out)
{
	const struct exchange *exchange = guest->state;
	const struct numbers *numbers = &exchange->numbers;

	fprintf(out, "\"expected\": %llu, \"received\": %llu, \"finished\": %s, ",
		(unsigned long long)numbers->wanted, (unsigned long long)numbers->received,
		numbers->next >= numbers->wanted ? "true" : "false");
}

static void exchange_end(struct guest *guest)
{
	struct exchange *exchange = guest->state;

	numbers_finish(&exchange->numbers);
}

const struct role client_exchange_role = {
	.name = "exchange",
	.slot_bytes = CARD_SLOT_BYTES,
	.state_bytes = sizeof(struct exchange),
	.begin = exchange_begin,
	.turn = exchange_turn,
	.finished = exchange_finished,
	.report = exchange_report,
	.end = exchange_end,
};
