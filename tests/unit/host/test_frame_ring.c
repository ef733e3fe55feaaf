/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "host/frame_ring.h"
#include "patience.h"

#define FRAMES 20000u

/* Of all lengths; now and then the largest one. */
static uint32_t length_of(uint32_t number)
{
	return number % 97 == 0 ? FRAME_BYTES_MAX : FRAME_HEADER_BYTES + number * 2654435761u % 3000;
}

static bool put(struct frame_ring *ring, uint32_t number)
{
	uint32_t bytes = length_of(number);
	uint8_t *room = frame_ring_reserve(ring, bytes);

	if (!room)
		return false;
	memset(room, (int)(number & 0xff), bytes);
	frame_ring_put(ring, bytes, number);
	return true;
}

static void check(const uint8_t *frame, uint32_t bytes, uint32_t tag, uint32_t number)
{
	assert_int_equal(tag, number);
	assert_int_equal(bytes, length_of(number));
	assert_int_equal(frame[0], number & 0xff);
	assert_memory_equal(frame, frame + 1, bytes - 1);
}

static void test_frames_come_out_as_they_went_in(void **state)
{
	struct frame_ring ring;
	uint32_t number = 0, seen = 0;

	assert_int_equal(frame_ring_init(&ring, FRAME_RING_BYTES_MIN), 0);
	while (seen < FRAMES) {
		uint64_t cursor = ring.tail;
		uint32_t bytes, tag;
		uint8_t *frame;

		while (put(&ring, number))
			number++;
		assert_true(frame_ring_used_bytes(&ring) > ring.size_bytes / 4);
		/* Some of them stay, so that the border of the buffer is met everywhere. */
		for (unsigned i = 0; i < number % 7 + 1; i++) {
			frame = frame_ring_next(&ring, &cursor, &bytes, &tag);
			if (!frame)
				break;
			check(frame, bytes, tag, seen++);
		}
		frame_ring_release(&ring, cursor);
	}
	frame_ring_finish(&ring);
}

static void test_a_frame_counts_when_it_is_put(void **state)
{
	struct frame_ring ring;
	uint64_t cursor = 0;
	uint32_t bytes, tag;
	uint8_t *room;

	assert_int_equal(frame_ring_init(&ring, FRAME_RING_BYTES_MIN), 0);
	assert_null(frame_ring_next(&ring, &cursor, &bytes, &tag));
	room = frame_ring_reserve(&ring, 100);
	assert_non_null(room);
	assert_null(frame_ring_next(&ring, &cursor, &bytes, &tag));
	assert_int_equal(frame_ring_used_bytes(&ring), 0);
	/* A reservation that is not used costs nothing. */
	assert_ptr_equal(frame_ring_reserve(&ring, 60), room);
	frame_ring_put(&ring, 60, 7);
	assert_ptr_equal(frame_ring_next(&ring, &cursor, &bytes, &tag), room);
	assert_int_equal(bytes, 60);
	assert_int_equal(tag, 7);
	assert_null(frame_ring_next(&ring, &cursor, &bytes, &tag));
	assert_true(frame_ring_used_bytes(&ring) > 0);
	frame_ring_release(&ring, cursor);
	assert_int_equal(frame_ring_used_bytes(&ring), 0);
	frame_ring_finish(&ring);
	frame_ring_finish(&ring);
}

/* An empty ring takes the largest frame, wherever in the buffer it stands. */
static void test_the_largest_frame_always_fits(void **state)
{
	struct frame_ring ring;

	assert_int_equal(frame_ring_init(&ring, FRAME_RING_BYTES_MIN), 0);
	for (unsigned i = 0; i < 2 * FRAME_RING_BYTES_MIN / 1000; i++) {
		assert_non_null(frame_ring_reserve(&ring, 1000));
		frame_ring_put(&ring, 1000, 0);
		frame_ring_release(&ring, ring.head);
		assert_non_null(frame_ring_reserve(&ring, FRAME_BYTES_MAX));
	}
	frame_ring_finish(&ring);
}

static void *put_all(void *context)
{
	for (uint32_t number = 0; number < FRAMES; number++)
		while (!put(context, number))
			sched_yield();
	return NULL;
}

static void test_two_threads(void **state)
{
	struct frame_ring ring;
	uint64_t cursor = 0;
	uint32_t bytes, tag, seen = 0;
	pthread_t producer;

	assert_int_equal(frame_ring_init(&ring, FRAME_RING_BYTES_MIN), 0);
	assert_int_equal(pthread_create(&producer, NULL, put_all, &ring), 0);
	while (seen < FRAMES) {
		uint8_t *frame = NULL;

		AWAIT((frame = frame_ring_next(&ring, &cursor, &bytes, &tag)) != NULL, sched_yield());
		check(frame, bytes, tag, seen++);
		if (seen % 3 == 0)
			frame_ring_release(&ring, cursor);
	}
	pthread_join(producer, NULL);
	frame_ring_finish(&ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_come_out_as_they_went_in),
		cmocka_unit_test(test_a_frame_counts_when_it_is_put),
		cmocka_unit_test(test_the_largest_frame_always_fits),
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
