/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two workers with cards that send to each other all the time, run out of buffers and come and go, while the
 * control thread changes ports. Of one sender's frames to one receiver none comes twice, out of order, or
 * with another's bytes. Meant for TSAN too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/switch/vswitch.h"
#include "core/clock.h"
#include "core/container.h"
#include "core/loop.h"
#include "test_disk.h"

#define WORKERS 2
#define CARDS	3 /* of each worker */
#define ALL	(WORKERS * CARDS)
#define TURNS	3000
#define BATCH	8

struct card {
	struct worker *worker;
	unsigned number;
	struct port *port;
	struct port_source *source;
	struct port_sink *sink;
	struct port_receiver receiver;
	uint32_t sent[ALL], got[ALL]; /* the last number to and from each card */
	uint64_t sent_frames, got_frames;
	unsigned room;
};

struct worker {
	struct loop *loop;
	pthread_t thread;
	struct card cards[CARDS];
	uint64_t seed;
	unsigned turns;
	bool done; /* atomic: all sources and sinks are closed */
	struct loop_task task;
};

static struct worker workers[WORKERS];

static struct card *card_of(unsigned number)
{
	return &workers[number / CARDS].cards[number % CARDS];
}

/* ---- frames: addresses, the sender's and receiver's numbers, a running number, and bytes made of it ---- */

#define FRAME_MAX 1500u

static void address_of(unsigned number, uint8_t *address)
{
	memset(address, 0, 6);
	address[0] = 2;
	address[5] = (uint8_t)number;
}

static uint32_t fill(uint8_t *bytes, unsigned from, unsigned to, uint32_t number, uint32_t size)
{
	address_of(to, bytes);
	address_of(from, bytes + 6);
	bytes[12] = 0x88;
	bytes[13] = 0xb5;
	bytes[14] = (uint8_t)from;
	bytes[15] = (uint8_t)to;
	memcpy(bytes + 16, &number, sizeof(number));
	memset(bytes + 20, (int)(number * 7 + from), size - 20);
	return size;
}

static void check(struct card *card, const uint8_t *bytes, uint32_t size)
{
	unsigned from = bytes[14];
	uint32_t number;

	assert_int_equal(bytes[15], card->number);
	assert_true(from < ALL && from != card->number);
	memcpy(&number, bytes + 16, sizeof(number));
	assert_true(number > card->got[from]);
	card->got[from] = number;
	card->got_frames++;
	for (uint32_t i = 20; i < size; i++)
		assert_int_equal(bytes[i], (uint8_t)(number * 7 + from));
}

static unsigned deliver(struct port_receiver *receiver, const struct frame *frames, unsigned count)
{
	struct card *card = container_of(receiver, struct card, receiver);
	uint8_t bytes[FRAME_MAX] = { 0 };
	unsigned taken = 0;

	for (; taken < count && card->room > 0; taken++, card->room--) {
		uint32_t at = 0;

		for (unsigned i = 0; i < frames[taken].iov_count; i++) {
			memcpy(bytes + at, frames[taken].iov[i].iov_base, frames[taken].iov[i].iov_len);
			at += (uint32_t)frames[taken].iov[i].iov_len;
		}
		check(card, bytes, at);
	}
	return taken;
}

/* ---- workers ---- */

static void open_card(struct card *card)
{
	const struct frame_abilities abilities = { .csum = 1 };

	card->room = 0;
	assert_int_equal(port_source_open(card->port, card->worker->loop, NULL, &card->source), 0);
	assert_int_equal(
		port_sink_open(card->port, card->worker->loop, &card->receiver, &abilities, &card->sink), 0);
}

static void close_card(struct card *card)
{
	port_source_close(card->source);
	port_sink_close(card->sink);
	card->source = NULL;
}

static void send_some(struct card *card)
{
	uint8_t bytes[BATCH][FRAME_MAX];
	struct frame frames[BATCH];
	struct iovec iov[BATCH];
	unsigned to = test_below(&card->worker->seed, ALL - 1);

	to += to >= card->number;
	for (unsigned i = 0; i < BATCH; i++) {
		uint32_t size = 60 + test_below(&card->worker->seed, FRAME_MAX - 60);

		fill(bytes[i], card->number, to, ++card->sent[to], size);
		iov[i] = (struct iovec){ bytes[i], size };
		frames[i] = (struct frame){ .iov = &iov[i], .iov_count = 1, .bytes = size };
	}
	port_send(card->source, frames, BATCH);
	card->sent_frames += BATCH;
}

static void card_turn(struct card *card, bool over)
{
	uint64_t *seed = &card->worker->seed;

	if (!card->source) {
		if (!over && test_below(seed, 4) == 0)
			open_card(card);
		return;
	}
	if (over || test_below(seed, 300) == 0) {
		close_card(card);
		return;
	}
	if (test_below(seed, 3) > 0)
		send_some(card);
	/* Buffers come late now and then. */
	card->room += test_below(seed, 2) * test_below(seed, 40);
	if (card->room > 0)
		port_sink_resume(card->sink);
}

static void worker_turn(struct loop_task *task)
{
	struct worker *worker = container_of(task, struct worker, task);
	bool over = ++worker->turns > TURNS, open = false;

	for (unsigned i = 0; i < CARDS; i++) {
		card_turn(&worker->cards[i], over);
		open |= worker->cards[i].source != NULL;
	}
	if (over && !open)
		__atomic_store_n(&worker->done, true, __ATOMIC_RELEASE);
	else
		loop_defer(worker->loop, task);
}

static void *worker_main(void *context)
{
	struct worker *worker = context;

	loop_defer(worker->loop, &worker->task);
	assert_int_equal(loop_run(worker->loop), 0);
	return NULL;
}

/* ---- the control thread ---- */

static void change(struct vswitch *vswitch, uint64_t *seed)
{
	struct port_settings settings = { .link = test_below(seed, 8) > 0, .flood_limit = 100 };
	struct port *port = card_of(test_below(seed, ALL))->port;
	struct port_totals totals;

	settings.isolated = test_below(seed, 8) == 0;
	switch (test_below(seed, 3)) {
	case 0:
		port_set(port, &settings);
		break;
	case 1:
		port_totals(port, &totals);
		break;
	default:
		vswitch_age(vswitch, clock_now_ns());
	}
}

static bool all_done(void)
{
	bool all = true;

	for (unsigned i = 0; i < WORKERS; i++)
		all &= __atomic_load_n(&workers[i].done, __ATOMIC_ACQUIRE);
	return all;
}

static void start(struct vswitch *vswitch, uint64_t seed)
{
	const struct port_settings usual = { .link = true };
	struct loop_options options = { .name = "test" };
	uint8_t address[6];
	char name[16];

	for (unsigned i = 0; i < ALL; i++) {
		struct card *card = card_of(i);

		*card = (struct card){ .worker = &workers[i / CARDS],
				       .number = i,
				       .receiver.deliver = deliver };
		address_of(i, address);
		snprintf(name, sizeof(name), "guest%u/eth0", i);
		assert_int_equal(port_create(vswitch, name, address, 1500, &usual, &card->port), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i].seed = seed + i;
		workers[i].task.run = worker_turn;
		assert_int_equal(loop_create(&options, &workers[i].loop), 0);
		assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), 0);
	}
}

static void test_frames_between_workers(void **state)
{
	uint64_t seed = test_seed("vswitch"), sent = 0, got = 0;
	struct vswitch *vswitch;

	assert_int_equal(vswitch_create(0, &vswitch), 0);
	start(vswitch, seed);
	while (!all_done())
		change(vswitch, &seed);
	for (unsigned i = 0; i < WORKERS; i++) {
		loop_stop(workers[i].loop);
		pthread_join(workers[i].thread, NULL);
	}
	for (unsigned i = 0; i < ALL; i++) {
		struct card *card = card_of(i);
		struct port_totals totals;
		uint64_t fates = 0;

		/* Each frame was forwarded or dropped for one reason; what arrived was counted. */
		port_totals(card->port, &totals);
		for (unsigned j = 0; j < PORT_DROP_FULL; j++)
			fates += totals.dropped[j];
		assert_int_equal(fates + totals.sent_frames, card->sent_frames);
		assert_int_equal(totals.received_frames, card->got_frames);
		assert_int_equal(totals.dropped[PORT_DROP_MALFORMED] + totals.dropped[PORT_DROP_SOURCE], 0);
		sent += card->sent_frames;
		got += card->got_frames;
		port_destroy(card->port);
	}
	assert_true(sent > 0 && got > 0 && got <= sent);
	vswitch_destroy(vswitch);
	for (unsigned i = 0; i < WORKERS; i++)
		loop_destroy(workers[i].loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_frames_between_workers) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
