/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests that share a worker: real rings, by a clock of the test's. Each look at it takes a moment, and each
 * chain takes what the echo device says, so that shares of the worker's time do not depend on the machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/loop_account.h"
#include "queue_bench.h"

#define QUEUES_MAX  4u
#define RING	    64u
#define RUN_NS	    (40 * NS_PER_MS)
#define LOOK_NS	    20u
#define STORM_TURNS 1000u
#define INDIRECT    FEATURE(VIRTIO_RING_F_INDIRECT)
#define TABLE	    (DATA + 64 * 1024)
/* Time that two guests who both want all of it may differ by. */
#define UNFAIR_RATIO 1.3

/* A guest whose rings are refilled as soon as they are done. */
struct flood {
	struct loop_guest *guest;
	struct loop_account *account;
	struct ring_driver driver[QUEUES_MAX];
	struct virtqueue *queue[QUEUES_MAX];
	struct echo_device device;
	unsigned queues;
	bool chains, kicks;
};

static struct loop *loop;
static uint64_t now_ns = NS_PER_S;

static uint64_t look_at_clock(void)
{
	return now_ns += LOOK_NS;
}

static const struct loop_clocks clocks = { .now_ns = look_at_clock, .thread_ns = look_at_clock };

static void never_broken(void *context, enum virtqueue_violation violation, uint64_t value)
{
	fail_msg("%s", virtqueue_violation_text(violation));
}

/* Every descriptor of the ring is a chain: one table of `entries` descriptors for all of them. */
static void fill_ring(struct ring_driver *driver, unsigned entries)
{
	struct split_descriptor *table = (void *)ring_driver_at(driver, TABLE);

	for (unsigned i = 0; i < entries; i++)
		table[i] = (struct split_descriptor){ DATA + 16ull * i, 8,
						      i + 1 < entries ? DESCRIPTOR_NEXT : DESCRIPTOR_WRITE,
						      (uint16_t)(i + 1) };
	for (unsigned i = 0; i < RING; i++) {
		ring_driver_split_descriptors(driver)[i] =
			(struct split_descriptor){ TABLE, entries * 16, DESCRIPTOR_INDIRECT, 0 };
		ring_driver_available(driver)->ring[i] = (uint16_t)i;
	}
	ring_driver_available(driver)->flags = 1;
}

static void begin_model(struct flood *flood, const struct virtio_model_ops *model, unsigned queues,
			unsigned entries)
{
	memset(flood, 0, sizeof(*flood));
	flood->guest = loop_guest_create();
	assert_non_null(flood->guest);
	flood->account = loop_account_create(flood->guest, loop);
	assert_non_null(flood->account);
	flood->device.at_once = true;
	flood->device.clock_ns = &now_ns;
	flood->queues = queues;
	flood->chains = entries > 0;
	for (unsigned i = 0; i < queues; i++) {
		struct virtqueue_setup setup;

		ring_driver_init(&flood->driver[i], false, RING, INDIRECT);
		fill_ring(&flood->driver[i], entries);
		setup = ring_driver_setup(&flood->driver[i]);
		setup.loop = loop;
		setup.account = flood->account;
		setup.model = model;
		setup.device = &flood->device;
		setup.broken = never_broken;
		assert_int_equal(virtqueue_start(&setup, &flood->queue[i]), 0);
	}
}

static void begin(struct flood *flood, unsigned queues, unsigned entries)
{
	begin_model(flood, &echo_model, queues, entries);
}

static void on_stopped(void *context, const struct virtqueue_position *position)
{
	*(bool *)context = true;
}

static void end(struct flood *flood)
{
	for (unsigned i = 0; i < flood->queues; i++) {
		bool stopped = false;

		virtqueue_stop(flood->queue[i], on_stopped, &stopped);
		AWAIT(stopped, assert_int_equal(loop_turn(loop, NS_PER_MS), 0));
		virtqueue_destroy(flood->queue[i]);
		ring_driver_finish(&flood->driver[i]);
	}
	loop_account_close(flood->account);
	loop_guest_put(flood->guest);
}

static void drive(struct flood *flood)
{
	for (unsigned i = 0; i < flood->queues; i++) {
		struct ring_driver *driver = &flood->driver[i];
		struct split_available *available = ring_driver_available(driver);

		if (flood->kicks)
			ring_driver_kick(driver);
		if (flood->chains &&
		    __atomic_load_n(&ring_driver_used(driver)->idx, __ATOMIC_ACQUIRE) == available->idx)
			__atomic_store_n(&available->idx, (uint16_t)(available->idx + RING),
					 __ATOMIC_RELEASE);
	}
}

static uint64_t used(const struct flood *flood)
{
	return counter_read(&flood->account->used_ns);
}

/* Both at once for a while; returns the time it took. */
static uint64_t run(struct flood *first, struct flood *second)
{
	uint64_t start = now_ns;

	while (now_ns - start < RUN_NS) {
		drive(first);
		drive(second);
		assert_int_equal(loop_turn(loop, 0), 0);
	}
	loop_pay(loop, NULL);
	return now_ns - start;
}

static void set_up(void)
{
	struct loop_options options = { .name = "bench", .clocks = &clocks };

	assert_int_equal(memory_guard_install(), 0);
	assert_int_equal(loop_create(&options, &loop), 0);
}

static double ratio(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 1e9;
}

/* By what factor the two guests' times differ: the greater over the smaller. */
static double difference(unsigned queues, unsigned entries)
{
	struct flood first, second;
	double got;

	set_up();
	begin(&first, queues, entries);
	begin(&second, 1, 2);
	run(&first, &second);
	got = ratio(used(&first), used(&second));
	assert_true(second.device.taken > 0 && first.device.taken > 0);
	end(&first);
	end(&second);
	loop_destroy(loop);
	print_message("%u queues, chains of %u: time differs by a factor of %.3f\n", queues, entries,
		      got > 1 ? got : 1 / got);
	return got > 1 ? got : 1 / got;
}

static void more_queues_get_no_more(void **state)
{
	assert_true(difference(4, 2) < UNFAIR_RATIO);
}

static void long_chains_get_no_more(void **state)
{
	assert_true(difference(1, 256) < UNFAIR_RATIO);
}

static void many_long_chains_get_no_more(void **state)
{
	assert_true(difference(4, 256) < UNFAIR_RATIO);
}

static void what_guests_pay_adds_up(void **state)
{
	struct flood first, second;
	uint64_t took_ns;
	double got;

	set_up();
	begin(&first, 4, 256);
	begin(&second, 1, 2);
	took_ns = run(&first, &second);
	got = ratio(used(&first) + used(&second), took_ns);
	end(&first);
	end(&second);
	loop_destroy(loop);
	print_message("guests pay for %.3f of the thread's time\n", got);
	assert_true(got > 0.85 && got < 1.1);
}

/* Kicks on rings that are polled are not even heard, and cost no more than the share of who sends them. */
static void a_kick_storm_costs_its_guest(void **state)
{
	struct flood storm, honest;
	uint64_t kicks = 0, sent = 0;

	set_up();
	begin(&storm, 4, 0);
	storm.kicks = true;
	begin(&honest, 1, 2);
	for (unsigned turn = 0; turn < STORM_TURNS; turn++) {
		drive(&storm);
		drive(&honest);
		sent += storm.queues;
		assert_int_equal(loop_turn(loop, 0), 0);
	}
	for (unsigned i = 0; i < storm.queues; i++)
		kicks += counter_read(&virtqueue_get_counters(storm.queue[i])->kicks);
	print_message("%llu of %llu kicks heard; the storm pays %.3f of what honest work costs\n",
		      (unsigned long long)kicks, (unsigned long long)sent,
		      ratio(used(&storm), used(&honest)));
	assert_true(kicks <= 15 * storm.queues);
	assert_true(ratio(used(&storm), used(&honest)) < 0.5);

	/* Asleep it is heard again. */
	storm.kicks = false;
	honest.chains = false;
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(loop_turn(loop, NS_PER_MS / 2), 0);
	fill_ring(&storm.driver[0], 2);
	ring_driver_available(&storm.driver[0])->idx++;
	ring_driver_kick(&storm.driver[0]);
	AWAIT(storm.device.taken > 0, assert_int_equal(loop_turn(loop, NS_PER_MS), 0));
	assert_int_equal(storm.device.taken, 1);
	end(&storm);
	end(&honest);
	loop_destroy(loop);
}

/* The most that the flood had in one of so many turns. */
static unsigned most_in_a_turn(struct flood *flood, unsigned turns)
{
	unsigned most = 0;

	while (turns-- > 0) {
		unsigned before = flood->device.taken;

		drive(flood);
		assert_int_equal(loop_turn(loop, 0), 0);
		if (flood->device.taken - before > most)
			most = flood->device.taken - before;
	}
	return most;
}

/* One chain. Returns when it is answered. */
static void ask_once(struct flood *little)
{
	unsigned before = little->device.taken;

	ring_driver_available(&little->driver[0])->idx++;
	AWAIT(little->device.taken > before, assert_int_equal(loop_turn(loop, 0), 0));
}

/* A flood has its turns shorter while another wants little and comes again and again, and long ones before
 * and after. */
static void who_wants_little_waits_little(void **state)
{
	struct virtio_model_ops eager = echo_model;
	struct flood flood, little;

	eager.turn_chains = 32;
	set_up();
	begin_model(&flood, &eager, 1, 2);
	begin_model(&little, &eager, 1, 0);
	fill_ring(&little.driver[0], 2);
	assert_int_equal(most_in_a_turn(&flood, 100), 32);
	/* By now the flood has had more than a slice that the other has not. Once is not again and again. */
	for (unsigned i = 1; i < LOOP_LITTLE_TURNS; i++) {
		ask_once(&little);
		assert_int_equal(most_in_a_turn(&flood, 10), 32);
	}
	for (unsigned i = 0; i < 100; i++) {
		ask_once(&little);
		assert_int_equal(most_in_a_turn(&flood, 10), 4);
	}
	assert_int_equal(most_in_a_turn(&flood, 1000), 32);
	end(&flood);
	end(&little);
	loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(more_queues_get_no_more),
		cmocka_unit_test(long_chains_get_no_more),
		cmocka_unit_test(many_long_chains_get_no_more),
		cmocka_unit_test(what_guests_pay_adds_up),
		cmocka_unit_test(a_kick_storm_costs_its_guest),
		cmocka_unit_test(who_wants_little_waits_little),
	};

	return cmocka_run_group_tests_name("virtqueue_share", tests, NULL, NULL);
}
