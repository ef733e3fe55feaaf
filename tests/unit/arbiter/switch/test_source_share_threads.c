/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two workers with cards that share an uplink, which runs out of room all the time, while their queues end
 * and begin, the control thread changes shares, the uplink's speed and the switch's standing still. No card
 * waits for ever, and of what goes to the uplink nothing is lost, doubled or overtaken. Meant for TSAN too.
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

#include "arbiter/share/gate.h"
#include "arbiter/switch/uplink_meter.h"
#include "arbiter/switch/vswitch.h"
#include "core/clock.h"
#include "core/container.h"
#include "core/loop.h"
#include "host/host_nic.h"
#include "test_disk.h"

#define WORKERS	  2
#define CARDS	  3 /* of each worker */
#define ALL	  (WORKERS * CARDS)
#define FRAMES	  4000u
#define BATCH	  16u
#define ROOM	  64u
#define FRAME_MAX 1500u
/* Longer than any limit of this test holds a card back, on the slowest machine. */
#define PATIENCE_NS (100 * NS_PER_S)

struct worker {
	struct loop *loop;
	pthread_t thread;
	uint64_t seed;
	bool done; /* atomic: all cards have sent all */
	struct loop_task task;
};

static struct worker workers[WORKERS];
static pthread_barrier_t uplink_is_there;

static struct card {
	struct worker *worker;
	unsigned number;
	struct port *port;
	struct gate_node *node;
	struct port_source *source;
	struct port_sender sender;
	bool held;
	uint32_t sent;	  /* frames; every fourth one is for another card */
	uint32_t arrived; /* at the uplink: the last number; the control thread's */
	uint64_t arrived_frames;
} cards[ALL];

static struct vswitch *vswitch;
static struct host_nic *nic;
static struct port *uplink;

/* ---- frames ---- */

static void address_of(unsigned number, uint8_t *address)
{
	memset(address, 0, 6);
	address[0] = 2;
	address[5] = (uint8_t)number;
}

static bool is_local(uint32_t number)
{
	return number % 4 == 0;
}

static void fill(uint8_t *bytes, const struct card *card, uint32_t number)
{
	memset(bytes, (int)(number * 7 + card->number), FRAME_MAX);
	address_of(is_local(number) ? (card->number + 1) % ALL : 99, bytes);
	address_of(card->number, bytes + 6);
	bytes[12] = 0x88;
	bytes[13] = 0xb5;
	bytes[14] = (uint8_t)card->number;
	memcpy(bytes + 16, &number, sizeof(number));
}

/* On the control thread. */
static void take_from_wire(void)
{
	uint8_t bytes[FRAME_MAX];
	uint32_t number;
	size_t length, damaged = 0;

	for (unsigned i = 0; i < 32 && (length = nic_memory_take(nic, bytes, sizeof(bytes), NULL)) > 0; i++) {
		struct card *card = &cards[bytes[14]];

		assert_true(bytes[14] < ALL);
		memcpy(&number, bytes + 16, sizeof(number));
		assert_true(number > card->arrived && number <= FRAMES && !is_local(number));
		card->arrived = number;
		card->arrived_frames++;
		for (size_t at = 20; at < length; at++)
			damaged += bytes[at] != (uint8_t)(number * 7 + card->number);
		assert_int_equal(damaged, 0);
	}
}

/* ---- workers ---- */

static void resume(struct port_sender *sender)
{
	container_of(sender, struct card, sender)->held = false;
}

static void open_source(struct card *card)
{
	card->held = false;
	assert_int_equal(port_source_open(card->port, card->worker->loop, &card->sender, &card->source), 0);
}

static void send_some(struct card *card)
{
	static __thread uint8_t bytes[BATCH][FRAME_MAX];
	struct frame frames[BATCH];
	struct iovec iov[BATCH];
	uint32_t left = FRAMES - card->sent, count = left < BATCH ? left : BATCH, taken;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t size = 60 + test_below(&card->worker->seed, FRAME_MAX - 60);

		fill(bytes[i], card, card->sent + 1 + i);
		iov[i] = (struct iovec){ bytes[i], size };
		frames[i] = (struct frame){ .iov = &iov[i], .iov_count = 1, .bytes = size };
	}
	taken = port_send(card->source, frames, count);
	assert_true(taken <= count);
	card->sent += taken;
	card->held = taken < count;
}

/* Returns false when the card has sent all. */
static bool card_turn(struct card *card)
{
	/* A queue may end and begin at any moment, also while it waits. */
	if (test_below(&card->worker->seed, 2000) == 0) {
		port_source_close(card->source);
		open_source(card);
	}
	for (unsigned i = test_below(&card->worker->seed, 4); i > 0 && card->sent < FRAMES && !card->held;
	     i--)
		send_some(card);
	return card->sent < FRAMES;
}

static void worker_turn(struct loop_task *task)
{
	struct worker *worker = container_of(task, struct worker, task);
	bool more = false;

	for (unsigned i = 0; i < ALL; i++)
		if (cards[i].worker == worker)
			more |= card_turn(&cards[i]);
	if (more) {
		loop_defer(worker->loop, task);
		return;
	}
	for (unsigned i = 0; i < ALL; i++)
		if (cards[i].worker == worker)
			port_source_close(cards[i].source);
	__atomic_store_n(&worker->done, true, __ATOMIC_RELEASE);
}

static void on_stop(struct loop_message *message)
{
	vswitch_uplink_stop(uplink);
	loop_stop(workers[0].loop);
}

static void *worker_main(void *context)
{
	struct worker *worker = context;

	if (worker == &workers[0])
		assert_int_equal(vswitch_uplink_start(uplink, worker->loop), 0);
	/* What is sent before the uplink is there has nowhere to go. */
	pthread_barrier_wait(&uplink_is_there);
	for (unsigned i = 0; i < ALL; i++)
		if (cards[i].worker == worker)
			open_source(&cards[i]);
	loop_defer(worker->loop, &worker->task);
	assert_int_equal(loop_run(worker->loop), 0);
	return NULL;
}

/* ---- the control thread ---- */

static void change_share(struct card *card, uint64_t *seed)
{
	struct share_settings settings = SHARE_SETTINGS_DEFAULT;

	settings.weight = 1 + test_below(seed, 1000);
	if (test_below(seed, 4) == 0)
		settings.max_iops = 1000 + test_below(seed, 100000);
	if (test_below(seed, 4) == 0)
		settings.max_bandwidth = 1000000 + test_below(seed, 100000000);
	assert_int_equal(gate_node_set(card->node, &settings, NULL), 0);
}

static void change(uint64_t *seed)
{
	struct gate_counters time;

	switch (test_below(seed, 12)) {
	case 0:
		change_share(&cards[test_below(seed, ALL)], seed);
		break;
	case 1:
		uplink_meter_set_bandwidth(vswitch_meter(vswitch), 10000000 + test_below(seed, 1u << 30),
					   test_below(seed, 2));
		break;
	case 2:
		vswitch_stand_still(vswitch, test_below(seed, 4) == 0);
		break;
	case 3:
		nic_memory_room(nic, test_below(seed, ROOM));
		break;
	case 4:
		port_time(cards[test_below(seed, ALL)].port, &time);
		break;
	default:
		take_from_wire();
	}
}

static void let_through(void)
{
	static const struct share_settings usual = SHARE_SETTINGS_DEFAULT;

	for (unsigned i = 0; i < ALL; i++)
		if (gate_node_settings(cards[i].node)->max_iops > 0 ||
		    gate_node_settings(cards[i].node)->max_bandwidth > 0)
			assert_int_equal(gate_node_set(cards[i].node, &usual, NULL), 0);
	uplink_meter_set_bandwidth(vswitch_meter(vswitch), UPLINK_BANDWIDTH_DEFAULT, false);
	vswitch_stand_still(vswitch, false);
	nic_memory_room(nic, ROOM);
	take_from_wire();
}

static bool all_done(void)
{
	return __atomic_load_n(&workers[0].done, __ATOMIC_ACQUIRE) &&
	       __atomic_load_n(&workers[1].done, __ATOMIC_ACQUIRE);
}

static void start(uint64_t seed)
{
	static const struct share_settings share = SHARE_SETTINGS_DEFAULT;
	const struct nic_memory_options nic_options = { .room = ROOM };
	const struct port_settings usual = { .link = true };
	struct loop_options options = { .name = "test" };
	uint8_t address[6];
	char name[16];

	assert_int_equal(vswitch_create(0, &vswitch), 0);
	assert_int_equal(nic_memory_open(&nic_options, &nic), 0);
	assert_int_equal(vswitch_uplink_create(vswitch, nic, &usual, NULL, NULL, &uplink), 0);
	for (unsigned i = 0; i < ALL; i++) {
		struct card *card = &cards[i];

		*card = (struct card){ .worker = &workers[i / CARDS], .number = i, .sender.resume = resume };
		address_of(i, address);
		snprintf(name, sizeof(name), "guest%u/eth0", i);
		assert_int_equal(port_create(vswitch, name, address, 1500, &usual, &card->port), 0);
		assert_int_equal(gate_node_create(uplink_meter_gate(vswitch_meter(vswitch)), NULL, &share,
						  &card->node, NULL),
				 0);
		port_set_share(card->port, card->node);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){ .seed = seed + i, .task.run = worker_turn };
		assert_int_equal(loop_create(&options, &workers[i].loop), 0);
	}
	pthread_barrier_init(&uplink_is_there, NULL, WORKERS);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), 0);
}

static void finish(void)
{
	static struct loop_message message = { .run = on_stop };

	loop_post(workers[0].loop, &message);
	loop_stop(workers[1].loop);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(workers[i].thread, NULL);
	for (unsigned i = 0; i < ALL; i++) {
		port_destroy(cards[i].port);
		gate_node_destroy(cards[i].node);
	}
	port_destroy(uplink);
	vswitch_destroy(vswitch);
	pthread_barrier_destroy(&uplink_is_there);
	nic->ops->close(nic);
	for (unsigned i = 0; i < WORKERS; i++)
		loop_destroy(workers[i].loop);
}

/* What is on its way to the wire comes there. */
static void drain_wire(void)
{
	const uint64_t all = (uint64_t)ALL * (FRAMES - FRAMES / 4);
	uint64_t until_ns = clock_now_ns() + PATIENCE_NS, arrived = 0;

	nic_memory_room(nic, ROOM);
	while (arrived < all && clock_now_ns() < until_ns) {
		take_from_wire();
		arrived = 0;
		for (unsigned i = 0; i < ALL; i++)
			arrived += cards[i].arrived_frames;
	}
	assert_int_equal(arrived, all);
}

static void test_cards_on_two_workers(void **state)
{
	uint64_t seed = test_seed("source share"), begun_ns = clock_now_ns();
	struct port_totals totals;

	start(seed);
	while (!all_done()) {
		uint64_t passed_ns = clock_now_ns() - begun_ns;

		if (passed_ns > PATIENCE_NS)
			fail_msg("a card waits for ever");
		/* After some time of changes all is let through. */
		if (passed_ns < NS_PER_S)
			change(&seed);
		else
			let_through();
	}
	drain_wire();
	port_totals(uplink, &totals);
	assert_int_equal(totals.dropped[PORT_DROP_FULL], 0);
	for (unsigned i = 0; i < ALL; i++) {
		struct gate_counters time;

		port_time(cards[i].port, &time);
		assert_int_equal(counter_read(&time.waiting), 0);
		assert_true(counter_read(&time.device_ns) > 0);
		port_totals(cards[i].port, &totals);
		assert_int_equal(totals.sent_frames, FRAMES);
	}
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_cards_on_two_workers) };

	return cmocka_run_group_tests_name("source share, threads", tests, NULL, NULL);
}
