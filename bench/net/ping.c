/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request and its reply, one at a time: ping sends, its peer echoes. The echo knows how long a frame was on
 * its way, from before the sender's driver told the switch of it until the receiver's driver had found it.
 */
#include "core/clock.h"
#include "judge.h"
#include "load.h"

#define LOST_NS (200 * NS_PER_MS)
/* Frames without which a p99 says nothing at all. */
#define COUNT_LEAST 10u

struct ping {
	struct load_histogram times;
	uint64_t next; /* to send; for an echo: to come */
	uint64_t sent_ns, lost;
	bool waiting;
};

static void send_note(struct guest *guest, uint64_t number)
{
	int slot = card_slot_free(&guest->card);

	/* All slots are free: one frame is on its way at a time, or those before it were given up. */
	if (slot < 0)
		return;
	note_write(guest, card_slot(&guest->card, (unsigned)slot), guest->frame_bytes, number,
		   clock_now_ns());
	card_send(&guest->card, guest->frame_bytes);
	card_publish(&guest->card);
}

static void add_time(const struct guest *guest, uint64_t since_ns, uint64_t now_ns)
{
	struct ping *ping = guest->state;

	if (since_ns >= guest->client->warm_ns)
		load_histogram_add(&ping->times, now_ns - since_ns);
}

static void take_reply(struct guest *guest, const struct note *note)
{
	struct ping *ping = guest->state;

	if (ping->waiting && note->number == ping->next) {
		add_time(guest, ping->sent_ns, clock_now_ns());
		ping->waiting = false;
		ping->next++;
	} else if (ping->lost == 0) {
		/* Nothing was given up, so that this has come before. */
		guest->client->verdict.duplicated++;
	}
}

static void ping_turn(struct guest *guest, uint64_t now_ns)
{
	struct ping *ping = guest->state;
	struct note note;
	const uint8_t *frame;
	uint32_t bytes;

	for (unsigned i = 0; i < CLIENT_BATCH && card_take(&guest->card, &frame, &bytes); i++)
		if (judge_frame(guest, frame, bytes, &note))
			take_reply(guest, &note);
	card_give_back(&guest->card);
	if (ping->waiting && now_ns > ping->sent_ns + LOST_NS) {
		ping->lost++;
		ping->waiting = false;
		ping->next++;
	}
	if (ping->waiting)
		return;
	ping->sent_ns = clock_now_ns();
	ping->waiting = true;
	send_note(guest, ping->next);
}

static void echo_turn(struct guest *guest, uint64_t now_ns)
{
	struct ping *echo = guest->state;
	struct note note;
	const uint8_t *frame;
	uint32_t bytes;

	for (unsigned i = 0; i < CLIENT_BATCH && card_take(&guest->card, &frame, &bytes); i++) {
		if (!judge_frame(guest, frame, bytes, &note))
			continue;
		add_time(guest, note.stamp_ns, clock_now_ns());
		guest->client->verdict.duplicated += note.number < echo->next;
		echo->next = note.number + 1;
		send_note(guest, note.number);
	}
	card_give_back(&guest->card);
}

static bool ping_enough(const struct guest *guest)
{
	const struct ping *ping = guest->state;

	return ping->times.count >= COUNT_LEAST;
}

static void ping_report(const struct guest *guest, FILE *out)
{
	const struct ping *ping = guest->state;

	fprintf(out,
		"\"count\": %llu, \"p50_us\": %.3f, \"p99_us\": %.3f, \"max_us\": %.3f, \"lost\": %llu, ",
		(unsigned long long)ping->times.count, load_histogram_ns(&ping->times, 0.50) / NS_PER_US,
		load_histogram_ns(&ping->times, 0.99) / NS_PER_US, (double)ping->times.max_ns / NS_PER_US,
		(unsigned long long)ping->lost);
}

const struct role client_ping_role = {
	.name = "ping",
	.slot_bytes = CARD_SLOT_BYTES,
	.state_bytes = sizeof(struct ping),
	.turn = ping_turn,
	.enough = ping_enough,
	.report = ping_report,
};

const struct role client_echo_role = {
	.name = "echo",
	.slot_bytes = CARD_SLOT_BYTES,
	.state_bytes = sizeof(struct ping),
	.turn = echo_turn,
	.enough = ping_enough,
	.report = ping_report,
};
