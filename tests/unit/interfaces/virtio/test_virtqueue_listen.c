/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which models are told of chains and when, while they leave chains in the ring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "receiver.h"

#define EVENT_IDX FEATURE(VIRTIO_RING_F_EVENT_IDX)

static struct queue_bench bench;

static void kick(void)
{
	ring_driver_kick(&bench.driver);
	bench_turn(&bench);
}

static void post(unsigned first, unsigned count)
{
	for (unsigned place = first; place < first + count; place++)
		receiver_post(&bench, place);
}

static bool kick_wanted(uint16_t posted)
{
	const struct split_used *used = ring_driver_used(&bench.driver);
	uint16_t event;

	if (bench.driver.packed)
		return ((const struct packed_event *)used)->flags == PACKED_EVENT_ENABLE;
	memcpy(&event, &used->ring[bench.driver.size], sizeof(event));
	return bench.driver.event_idx ? event == posted : used->flags == 0;
}

/* A model that gives everything back, for ever: it is asked when the driver posts, and the worker sleeps. */
static void a_model_that_wants_nothing(void **state)
{
	for (int kind = 0; kind < 4; kind++) {
		unsigned ready;

		receiver_begin(&bench, kind & 1, BENCH_SIZE, kind & 2 ? EVENT_IDX : 0);
		receiver.tries = 8;
		bench_start(&bench);
		for (unsigned posted = 1; posted <= 8; posted++) {
			uint64_t sleeps;

			receiver_post(&bench, posted);
			ready = receiver.ready;
			kick();
			assert_true(receiver.ready > ready);
			assert_true(kick_wanted((uint16_t)posted));
			/* From now on each turn is a sleep: nothing is polled. */
			ready = receiver.ready;
			sleeps = counter_read(&loop_get_counters(bench.loop)->sleeps);
			bench_turn(&bench);
			assert_int_equal(receiver.ready, ready);
			assert_int_equal(counter_read(&loop_get_counters(bench.loop)->sleeps), sleeps + 6);
		}
		assert_int_equal(counter_read(&virtqueue_get_counters(bench.queue)->chains), 0);
		assert_int_equal(bench.broken, 0);
		receiver.tries = 0;
		assert_true(receiver_deliver());
		bench_end(&bench);
	}
}

static void posts_behind_its_back(void)
{
	static unsigned place;

	receiver_post(&bench, place++ % 4);
}

static void (*while_ready)(void);

static void ready_and_more(void *queue)
{
	receiver_ready(queue);
	if (while_ready && bench.driver.free_descriptors > 0)
		while_ready();
}

/*
 * The driver posts a buffer each time just after the model looked, and kicks only when it is asked to. No
 * buffer is overlooked: when all is still, the model has looked since the last one was posted.
 */
static void posted_between_the_looks(void **state)
{
	static struct virtio_model_ops model;

	for (int kind = 0; kind < 4; kind++) {
		unsigned ready;

		receiver_begin(&bench, kind & 1, BENCH_SIZE, kind & 2 ? EVENT_IDX : 0);
		model = receiver_model;
		model.ready = ready_and_more;
		bench.setup.model = &model;
		receiver.tries = 1;
		while_ready = NULL;
		bench_start(&bench);
		receiver_post(&bench, 0);
		while_ready = posts_behind_its_back;
		kick();
		for (int i = 0; i < 20; i++)
			bench_turn(&bench);
		while_ready = NULL;
		/* Asleep, with a wish that the next one makes the driver kick. */
		assert_true(kick_wanted(bench.driver.next_available));
		ready = receiver.ready;
		bench_turn(&bench);
		assert_int_equal(receiver.ready, ready);
		assert_int_equal(bench.broken, 0);
		bench_end(&bench);
	}
}

/* Content with never being told: no kick is asked for, and one that comes all the same wakes nothing. */
static void a_model_that_does_not_listen(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		receiver_begin(&bench, packed, BENCH_SIZE, 0);
		receiver.quiet = true;
		bench_start(&bench);
		post(0, 4);
		for (int i = 0; i < 20; i++)
			kick();
		assert_int_equal(receiver.ready, 0);
		assert_false(kick_wanted(0));
		assert_true(receiver_deliver());
		bench_turn(&bench);
		receiver_assert_used(&bench, 0, 1);

		/* Out of buffers with frames at hand: now it wants to know. */
		assert_true(receiver_deliver() && receiver_deliver() && receiver_deliver());
		assert_false(receiver_deliver());
		receiver.waiting = 2;
		receiver.ring->ops->listen(receiver.ring, true);
		bench_turn(&bench);
		assert_true(kick_wanted(0));
		for (unsigned place = 1; place < 4; place++)
			receiver_assert_used(&bench, place, (uint8_t)(place + 1));
		post(4, 2);
		kick();
		assert_int_equal(receiver.waiting, 0);
		receiver_assert_used(&bench, 4, 5);
		receiver_assert_used(&bench, 5, 6);

		receiver.ring->ops->listen(receiver.ring, false);
		assert_false(kick_wanted(0));
		receiver.ready = 0;
		post(6, 1);
		kick();
		assert_int_equal(receiver.ready, 0);
		bench_end(&bench);
	}
}

/* Told of what was posted before it listened, and before the queue was enabled. */
static void told_of_what_is_there(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		receiver_begin(&bench, packed, BENCH_SIZE, 0);
		receiver.quiet = true;
		bench_start(&bench);
		receiver.waiting = 2;
		post(0, 1);
		bench_turn(&bench);
		receiver.ring->ops->listen(receiver.ring, true);
		bench_turn(&bench);
		assert_int_equal(receiver.waiting, 1);
		virtqueue_set_enabled(bench.queue, false);
		post(1, 1);
		kick();
		assert_int_equal(receiver.waiting, 1);
		virtqueue_set_enabled(bench.queue, true);
		bench_turn(&bench);
		assert_int_equal(receiver.waiting, 0);
		bench_end(&bench);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_model_that_wants_nothing),
		cmocka_unit_test(posted_between_the_looks),
		cmocka_unit_test(a_model_that_does_not_listen),
		cmocka_unit_test(told_of_what_is_there),
	};

	return cmocka_run_group_tests_name("virtqueue_listen", tests, NULL, NULL);
}
