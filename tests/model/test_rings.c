/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring code against a naive driver, with random chains, orders, stops and crashes. What must hold: every
 * chain is answered exactly once (at least once across a crash), with the right bytes and length, in
 * order when IN_ORDER was negotiated; and a driver that sleeps until it is called never sleeps for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/loop.h"
#include "core/memory_guard.h"
#include "echo_model.h"
#include "interfaces/virtio/inflight.h"
#include "patience.h"
#include "ring_driver.h"

#define ROUNDS 400
#define ELEMENTS_MAX 6
#define CHAIN_BYTES 512u

struct chain_record {
	bool live;
	uint8_t question[CHAIN_BYTES];
	uint32_t question_bytes, reply_bytes;
	struct driver_element element[ELEMENTS_MAX];
	unsigned elements;
	uint64_t order;
};

struct world {
	struct loop *loop;
	struct ring_driver driver;
	struct echo_device device;
	struct virtqueue *queue;
	struct virtqueue_position position;
	bool stopped;
	void *inflight;
	size_t inflight_bytes;
	bool in_order;
	struct chain_record chains[256];
	uint64_t added, answered;
	uint64_t data_next;
};

static uint64_t random_state;

static uint32_t random_below(uint32_t limit)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(random_state >> 33) % limit;
}

static void must_not_break(void *context, enum virtqueue_violation violation, uint64_t value)
{
	fail_msg("ring broke: %s, %llu", virtqueue_violation_text(violation), (unsigned long long)value);
}

static void note_stopped(void *context, const struct virtqueue_position *position)
{
	struct world *world = context;

	world->position = *position;
	world->stopped = true;
}

static void start(struct world *world)
{
	struct virtqueue_setup setup = ring_driver_setup(&world->driver);

	setup.loop = world->loop;
	setup.model = &echo_model;
	setup.device = &world->device;
	setup.position = world->position;
	setup.inflight = world->inflight;
	setup.broken = must_not_break;
	setup.context = world;
	assert_int_equal(virtqueue_start(&setup, &world->queue), 0);
}

static void turn(struct world *world)
{
	for (int i = 0; i < 3; i++)
		assert_int_equal(loop_turn(world->loop, NS_PER_MS / 10), 0);
}

static void stop_turn(struct world *world)
{
	echo_answer_all(&world->device);
	turn(world);
}

static void stop(struct world *world)
{
	world->stopped = false;
	virtqueue_stop(world->queue, note_stopped, world);
	/* What a crashed one had in flight is offered turn by turn. */
	AWAIT(world->stopped, stop_turn(world));
	virtqueue_destroy(world->queue);
	world->queue = NULL;
}

/* Data areas rotate through both regions, so that some chains lie across their border. */
static uint64_t data_address(struct world *world, uint32_t bytes)
{
	uint64_t span = 2 * DRIVER_REGION_BYTES - DRIVER_DATA_OFFSET - 4096, at;

	at = world->data_next % span;
	world->data_next += 2048;
	return DRIVER_GUEST_BASE + DRIVER_DATA_OFFSET + at;
}

static void guest_write(struct world *world, uint64_t address, const uint8_t *bytes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		*ring_driver_at(&world->driver, address + i) = bytes[i];
}

static void add_chain(struct world *world)
{
	unsigned readable = random_below(ELEMENTS_MAX / 2 + 1), writable = 1 + random_below(ELEMENTS_MAX / 2);
	bool indirect = world->driver.features >> VIRTIO_RING_F_INDIRECT & 1 && random_below(2);
	struct chain_record record = { .live = true, .elements = readable + writable };
	uint64_t address = data_address(world, CHAIN_BYTES);
	int id;

	for (unsigned i = 0; i < record.elements; i++) {
		uint32_t length = random_below(5) == 0 ? 0 : 1 + random_below(CHAIN_BYTES / ELEMENTS_MAX - 1);

		record.element[i] = (struct driver_element){ address, length, i >= readable };
		address += length;
		if (i >= readable) {
			record.reply_bytes += length;
			continue;
		}
		for (uint32_t j = 0; j < length; j++)
			record.question[record.question_bytes + j] = (uint8_t)random_below(256);
		guest_write(world, record.element[i].guest_address, record.question + record.question_bytes,
			    length);
		record.question_bytes += length;
	}
	if (!indirect && record.elements > world->driver.size)
		return;
	id = ring_driver_add(&world->driver, record.element, record.elements, indirect);
	if (id < 0)
		return;
	assert_false(world->chains[id].live);
	record.order = world->added++;
	world->chains[id] = record;
}

static void check_reply(struct world *world, const struct chain_record *record, uint32_t length)
{
	uint32_t at = 0;

	assert_int_equal(length, record->reply_bytes);
	for (unsigned i = 0; i < record->elements; i++) {
		const struct driver_element *element = &record->element[i];

		for (uint32_t j = 0; element->device_writes && j < element->length; j++, at++) {
			uint8_t question =
				record->question_bytes ? record->question[at % record->question_bytes] : 0;

			assert_int_equal(*ring_driver_at(&world->driver, element->guest_address + j),
					 question ^ 0x5a);
		}
	}
}

static void take_all(struct world *world)
{
	uint32_t length;
	int id;

	while ((id = ring_driver_take(&world->driver, &length)) >= 0) {
		assert_true(world->chains[id].live);
		check_reply(world, &world->chains[id], length);
		if (world->in_order)
			assert_int_equal(world->chains[id].order, world->answered);
		world->chains[id].live = false;
		world->answered++;
	}
}

static void begin(struct world *world, bool packed, unsigned size, uint64_t features, bool inflight)
{
	struct loop_options options = { .name = "test" };

	memset(world, 0, sizeof(*world));
	assert_int_equal(loop_create(&options, &world->loop), 0);
	ring_driver_init(&world->driver, packed, size, features);
	world->in_order = features >> VIRTIO_F_IN_ORDER & 1;
	world->position = (struct virtqueue_position){ .available_wrap = true, .used_wrap = true };
	if (inflight) {
		world->inflight_bytes = inflight_region_bytes(packed, size);
		world->inflight = aligned_alloc(64, world->inflight_bytes);
		memset(world->inflight, 0, world->inflight_bytes);
	}
	start(world);
}

static void finish(struct world *world)
{
	echo_answer_all(&world->device);
	for (int i = 0; i < 100 && world->answered < world->added; i++) {
		ring_driver_kick(&world->driver);
		turn(world);
		echo_answer_all(&world->device);
		turn(world);
		take_all(world);
	}
	assert_int_equal(world->answered, world->added);
	stop(world);
	assert_int_equal(world->device.queues_running, 0);
	loop_destroy(world->loop);
	ring_driver_finish(&world->driver);
	free(world->inflight);
}

/*
 * As after SIGKILL: memory stays as it is now, the process forgets. Chains that the dead process still held
 * are answered into a copy that is thrown away.
 */
static void crash(struct world *world)
{
	uint8_t *memory = malloc(3 * DRIVER_REGION_BYTES), *region = malloc(world->inflight_bytes);

	memcpy(memory, world->driver.file, 3 * DRIVER_REGION_BYTES);
	memcpy(region, world->inflight, world->inflight_bytes);
	stop(world);
	memcpy(world->driver.file, memory, 3 * DRIVER_REGION_BYTES);
	memcpy(world->inflight, region, world->inflight_bytes);
	free(memory);
	free(region);
	/* A front end that lost its back end knows only what the ring says. */
	world->position = (struct virtqueue_position){
		.available_idx = world->driver.packed ? 0 : ring_driver_used(&world->driver)->idx,
		.available_wrap = true,
		.used_wrap = true,
	};
	start(world);
}

static void run_random(struct world *world, bool crashes)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		world->device.modest = random_below(2);
		for (unsigned i = random_below(6); i > 0; i--)
			add_chain(world);
		if (random_below(3) > 0) {
			ring_driver_kick(&world->driver);
			turn(world);
		}
		for (unsigned i = random_below(6); i > 0 && world->device.held_count > 0; i--)
			echo_answer(&world->device, random_below(world->device.held_count));
		if (random_below(2))
			turn(world);
		if (random_below(2))
			take_all(world);
		if (random_below(50) == 0) {
			stop(world);
			start(world);
		} else if (crashes && random_below(15) == 0) {
			crash(world);
		}
	}
}

static const uint64_t feature_sets[] = {
	0,
	1ull << VIRTIO_RING_F_INDIRECT,
	1ull << VIRTIO_RING_F_EVENT_IDX,
	1ull << VIRTIO_RING_F_INDIRECT | 1ull << VIRTIO_RING_F_EVENT_IDX,
	1ull << VIRTIO_RING_F_INDIRECT | 1ull << VIRTIO_F_IN_ORDER,
};

static void run_all(bool crashes)
{
	static struct world world;

	for (int packed = 0; packed < 2; packed++) {
		for (size_t i = 0; i < sizeof(feature_sets) / sizeof(feature_sets[0]); i++) {
			unsigned size = 4u << random_below(5);

			/* After a crash the order of answers is that of the resubmission. */
			if (crashes && feature_sets[i] & 1ull << VIRTIO_F_IN_ORDER)
				continue;
			begin(&world, packed, packed ? size + random_below(3) : size, feature_sets[i],
			      crashes);
			run_random(&world, crashes);
			finish(&world);
		}
	}
}

static void test_random_traffic(void **state)
{
	run_all(false);
}

static void test_random_traffic_with_crashes(void **state)
{
	run_all(true);
}

/* With both sides sleeping whenever they may, no notification must be lost. */
static void test_nobody_sleeps_for_ever(void **state)
{
	static struct world world;

	for (int packed = 0; packed < 2; packed++) {
		begin(&world, packed, 16, 1ull << VIRTIO_RING_F_EVENT_IDX, false);
		world.device.at_once = true;
		for (int i = 0; i < 200; i++) {
			add_chain(&world);
			ring_driver_kick(&world.driver);
			AWAIT(ring_driver_called(&world.driver),
			      assert_int_equal(loop_turn(world.loop, 10 * NS_PER_MS), 0));
			turn(&world);
			take_all(&world);
		}
		finish(&world);
	}
}

int main(void)
{
	const char *seed = getenv("VIADUCT_SEED");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_traffic),
		cmocka_unit_test(test_random_traffic_with_crashes),
		cmocka_unit_test(test_nobody_sleeps_for_ever),
	};

	random_state = seed ? strtoull(seed, NULL, 0) : clock_now_ns();
	printf("VIADUCT_SEED=%llu\n", (unsigned long long)random_state);
	memory_guard_install();
	return cmocka_run_group_tests_name("rings", tests, NULL, NULL);
}
