/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One thread types while workers serve the queue, in turn: each key comes once, in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <endian.h>
#include <linux/input.h>
#include <pthread.h>
#include <string.h>

#include "core/clock.h"
#include "core/loop.h"
#include "core/memory_guard.h"
#include "devices/input/virtio_input.h"
#include "devices/input/virtio_input_format.h"
#include "patience.h"
#include "ring_driver.h"

#define RING	    4u
#define DATA	    (DRIVER_GUEST_BASE + DRIVER_DATA_OFFSET)
#define EVENT_BYTES ((uint32_t)sizeof(struct virtio_input_event))
#define STROKES	    20000u
#define MOVES	    50u
#define KEYS	    40u /* in turn, from KEY_1 on */
/* What waits must not overflow: so many strokes are under way at most. */
#define AHEAD 50u

static struct {
	struct loop *loop[2];
	struct virtio_input *device;
	struct ring_driver driver;
	struct virtqueue *queue;
	unsigned posted, taken, strokes; /* strokes: atomic, heard */
	bool down;
	pthread_mutex_t moves; /* while no queue runs, nothing is heard */
} bench = { .moves = PTHREAD_MUTEX_INITIALIZER };

/* ---- the one who types ---- */

static void *type(void *unused)
{
	for (unsigned i = 0; i < STROKES; i++) {
		while (i >= __atomic_load_n(&bench.strokes, __ATOMIC_ACQUIRE) + AHEAD)
			sched_yield();
		pthread_mutex_lock(&bench.moves);
		virtio_input_key(bench.device, KEY_1 + i % KEYS, true);
		virtio_input_key(bench.device, KEY_1 + i % KEYS, false);
		pthread_mutex_unlock(&bench.moves);
	}
	return NULL;
}

/* ---- the guest, on the thread of both workers ---- */

static void on_broken(void *context, enum virtqueue_violation violation, uint64_t value)
{
	fail_msg("the ring broke");
}

/* Where it stood before, or anew. */
static void start(unsigned worker, const struct virtqueue_position *position)
{
	struct virtqueue_setup setup = ring_driver_setup(&bench.driver);

	if (position)
		setup.position = *position;
	setup.loop = bench.loop[worker];
	setup.model = &virtio_input_model;
	setup.device = bench.device;
	setup.broken = on_broken;
	assert_int_equal(virtqueue_start(&setup, &bench.queue), 0);
}

struct stop {
	struct virtqueue_position position;
	bool stopped;
};

static void on_stopped(void *context, const struct virtqueue_position *position)
{
	struct stop *stop = context;

	stop->position = *position;
	stop->stopped = true;
}

static struct virtqueue_position stop(unsigned worker)
{
	struct stop stop = { .stopped = false };

	virtqueue_stop(bench.queue, on_stopped, &stop);
	AWAIT(stop.stopped, loop_turn(bench.loop[worker], 0));
	virtqueue_destroy(bench.queue);
	return stop.position;
}

/* To the other worker; a ring of the bell may be on its way to the one that it leaves. */
static void move(unsigned worker)
{
	struct virtqueue_position position;

	pthread_mutex_lock(&bench.moves);
	position = stop(worker);
	start(!worker, &position);
	pthread_mutex_unlock(&bench.moves);
	loop_turn(bench.loop[worker], 0);
}

static void hear(const struct virtio_input_event *event)
{
	unsigned number = bench.strokes;

	if (le16toh(event->type) == EV_SYN)
		return;
	assert_int_equal(le16toh(event->type), EV_KEY);
	assert_int_equal(le16toh(event->code), KEY_1 + number % KEYS);
	assert_int_equal(le32toh(event->value), !bench.down);
	bench.down = !bench.down;
	if (!bench.down)
		__atomic_store_n(&bench.strokes, number + 1, __ATOMIC_RELEASE);
}

static void serve(unsigned worker)
{
	struct virtio_input_event event;
	uint32_t length;

	for (; bench.posted - bench.taken < RING; bench.posted++) {
		const struct driver_element element = { DATA + bench.posted % RING * 16ul, EVENT_BYTES,
							true };

		assert_true(ring_driver_add(&bench.driver, &element, 1, false) >= 0);
	}
	ring_driver_kick(&bench.driver);
	loop_turn(bench.loop[worker], NS_PER_MS / 4);
	for (; ring_driver_take(&bench.driver, &length) >= 0; bench.taken++) {
		assert_int_equal(length, EVENT_BYTES);
		memcpy(&event, ring_driver_at(&bench.driver, DATA + bench.taken % RING * 16ul),
		       sizeof(event));
		hear(&event);
	}
}

static void typed_while_it_moves(void **state)
{
	const struct virtio_input_options options = { .kind = VIRTIO_INPUT_KEYBOARD };
	const struct loop_options loop = { .name = "test" };
	unsigned worker = 0, next = STROKES / MOVES;
	pthread_t typist;

	assert_int_equal(memory_guard_install(), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(loop_create(&loop, &bench.loop[i]), 0);
	assert_int_equal(virtio_input_create(&options, &bench.device), 0);
	ring_driver_init(&bench.driver, false, RING, 1ull << VIRTIO_F_VERSION_1);
	start(worker, NULL);
	assert_int_equal(pthread_create(&typist, NULL, type, NULL), 0);
	for (; bench.strokes < STROKES; serve(worker)) {
		if (bench.strokes < next)
			continue;
		next += STROKES / MOVES;
		move(worker);
		worker = !worker;
	}
	pthread_join(typist, NULL);
	assert_int_equal(virtio_input_dropped(bench.device), 0);
	stop(worker);
	virtio_input_destroy(bench.device);
	ring_driver_finish(&bench.driver);
	for (unsigned i = 0; i < 2; i++) {
		loop_turn(bench.loop[i], 0);
		loop_destroy(bench.loop[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(typed_while_it_moves) };

	return cmocka_run_group_tests_name("virtio_input_threads", tests, NULL, NULL);
}
