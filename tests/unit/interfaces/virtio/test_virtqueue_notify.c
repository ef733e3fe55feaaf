/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kicks and calls: who asks for which, event indices against a naive count, descriptors that block or are
 * missing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/fd.h"
#include "queue_bench.h"

#define EVENT_IDX FEATURE(VIRTIO_RING_F_EVENT_IDX)

static struct queue_bench bench;

/* ---- what the device asks of the driver ---- */

static struct packed_event *device_event(void)
{
	return (struct packed_event *)ring_driver_used(&bench.driver);
}

static struct packed_event *driver_event(void)
{
	return (struct packed_event *)ring_driver_available(&bench.driver);
}

static uint16_t *available_event(void)
{
	return (uint16_t *)&ring_driver_used(&bench.driver)->ring[bench.driver.size];
}

static uint16_t *used_event(void)
{
	return &ring_driver_available(&bench.driver)->ring[bench.driver.size];
}

static bool kick_wanted(void)
{
	return bench.driver.packed ? device_event()->flags == PACKED_EVENT_ENABLE
				   : ring_driver_used(&bench.driver)->flags == 0;
}

/* While the loop is awake it polls the ring: a kick would be a waste. */
static void kicks_are_wanted_only_in_sleep(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		bench_begin(&bench, packed, BENCH_SIZE, 0);
		assert_int_equal(virtqueue_start(&bench.setup, &bench.queue), 0);
		assert_false(kick_wanted());
		assert_int_equal(loop_turn(bench.loop, 0), 0);
		assert_false(kick_wanted());
		/* Found without a kick, because it is awake. */
		bench_add(&bench, 0);
		assert_int_equal(loop_turn(bench.loop, 0), 0);
		assert_int_equal(bench.device.taken, 1);
		bench_turn(&bench);
		assert_true(kick_wanted());

		/* Asleep it does not look. */
		bench_add(&bench, 1);
		bench_turn(&bench);
		assert_int_equal(bench.device.taken, 1);
		ring_driver_kick(&bench.driver);
		bench_turn(&bench);
		assert_int_equal(bench.device.taken, 2);
		assert_int_equal(counter_read(&virtqueue_get_counters(bench.queue)->kicks), 1);
		assert_int_equal(counter_read(&virtqueue_get_counters(bench.queue)->chains), 2);
		bench_end(&bench);
	}
}

/* The event index says at which available index the device wants the next kick; the flag stays clear. */
static void the_available_event_follows(void **state)
{
	bench_begin(&bench, false, BENCH_SIZE, EVENT_IDX);
	bench.device.at_once = true;
	bench.driver.next_available = bench.driver.last_used = 65530;
	ring_driver_available(&bench.driver)->idx = ring_driver_used(&bench.driver)->idx = 65530;
	bench.setup.position.available_idx = 65530;
	bench_start(&bench);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(*available_event(), (uint16_t)(65530 + i));
		assert_int_equal(ring_driver_used(&bench.driver)->flags, 0);
		bench_add(&bench, i % 8);
		ring_driver_kick(&bench.driver);
		assert_int_equal(loop_turn(bench.loop, 0), 0);
		bench_turn(&bench);
		bench_take(&bench, i % 8);
	}
	bench_end(&bench);
}

/* ---- what the driver asks of the device ---- */

static void flags_switch_calls_off(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		uint16_t *flags;

		bench_begin(&bench, packed, BENCH_SIZE, 0);
		bench.device.at_once = true;
		flags = packed ? &driver_event()->flags : &ring_driver_available(&bench.driver)->flags;
		bench_start(&bench);
		for (unsigned i = 0; i < 10; i++) {
			uint64_t suppressed = counter_read(&virtqueue_get_counters(bench.queue)->suppressed);

			*flags = i % 2;	/* 1: NO_INTERRUPT, PACKED_EVENT_DISABLE */
			bench_add(&bench, 0);
			ring_driver_kick(&bench.driver);
			bench_turn(&bench);
			bench_take(&bench, 0);
			assert_int_equal(ring_driver_called(&bench.driver), i % 2 == 0);
			assert_int_equal(counter_read(&virtqueue_get_counters(bench.queue)->suppressed),
					 suppressed + i % 2);
		}
		bench_end(&bench);
	}
}

/* Without the feature, a driver's event index and PACKED_EVENT_DESCRIPTOR mean nothing. */
static void event_indices_need_the_feature(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		bench_begin(&bench, packed, BENCH_SIZE, 0);
		bench.device.at_once = true;
		bench_start(&bench);
		if (packed)
			*driver_event() = (struct packed_event){ 9, PACKED_EVENT_DESCRIPTOR };
		else
			*used_event() = 9;
		bench_add(&bench, 0);
		ring_driver_kick(&bench.driver);
		bench_turn(&bench);
		bench_take(&bench, 0);
		assert_true(ring_driver_called(&bench.driver));
		bench_end(&bench);
	}
}

/* Answers `batch` chains of two descriptors at once. */
static void answer_batch(unsigned batch)
{
	for (unsigned i = 0; i < batch; i++)
		bench_add(&bench, i);
	ring_driver_kick(&bench.driver);
	bench_turn(&bench);
	assert_int_equal(bench.device.held_count, batch);
	echo_answer_all(&bench.device);
	bench_turn(&bench);
	for (unsigned i = 0; i < batch; i++)
		bench_take(&bench, i);
}

/* A call is due when the used index passes the event: event in [old, old + batch). */
static void split_calls_at_the_event(void **state)
{
	unsigned index = 65500;

	bench_begin(&bench, false, BENCH_SIZE, EVENT_IDX);
	bench.driver.next_available = bench.driver.last_used = (uint16_t)index;
	ring_driver_available(&bench.driver)->idx = ring_driver_used(&bench.driver)->idx = (uint16_t)index;
	bench.setup.position.available_idx = (uint16_t)index;
	bench_start(&bench);
	for (int round = 0; round < 2; round++) {
		for (int delta = -3; delta <= 6; delta++) {
			for (unsigned batch = 1; batch <= 4; batch++) {
				*used_event() = (uint16_t)((int)index + delta);
				answer_batch(batch);
				assert_int_equal(ring_driver_called(&bench.driver),
						 delta >= 0 && delta < (int)batch);
				index += batch;
			}
		}
	}
	assert_true(index > 65536);
	bench_end(&bench);
}

/* The same for a packed ring, whose events are places in the ring and a wrap counter. */
static void packed_calls_at_the_event(void **state)
{
	static const unsigned sizes[] = { 16, 11 };

	for (unsigned i = 0; i < 2; i++) {
		unsigned size = sizes[i], position = size * 1000;	/* counted on without wrapping */

		bench_begin(&bench, true, size, EVENT_IDX);
		bench_start(&bench);
		for (int delta = -3; delta <= 9; delta++) {
			for (unsigned batch = 1; batch <= 4; batch++) {
				unsigned event = (unsigned)((int)position + delta);
				bool wrap = event / size % 2 == 0;

				*driver_event() =
					(struct packed_event){ (uint16_t)(event % size | (wrap ? 0x8000 : 0)),
							       PACKED_EVENT_DESCRIPTOR };
				answer_batch(batch);
				assert_int_equal(ring_driver_called(&bench.driver),
						 delta >= 0 && delta < 2 * (int)batch);
				position += 2 * batch;
			}
		}
		bench_end(&bench);
	}
}

/* Whatever a predecessor published without a call must not be left lying. */
static void a_start_calls_once(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		bench_begin(&bench, packed, BENCH_SIZE, 0);
		assert_int_equal(virtqueue_start(&bench.setup, &bench.queue), 0);
		bench_turn(&bench);
		assert_true(ring_driver_called(&bench.driver));
		bench_turn(&bench);
		assert_false(ring_driver_called(&bench.driver));
		bench_end(&bench);
	}
}

/* ---- descriptors ---- */

static void fill_counter(int fd)
{
	uint64_t most = UINT64_MAX - 1;

	assert_int_equal(write(fd, &most, sizeof(most)), sizeof(most));
}

/* A VMM that never reads its eventfd: the ring goes on, other work goes on, and the stop ends. */
static void full_call_fd(bool packed, bool blocking)
{
	int fd = eventfd(0, EFD_CLOEXEC | (blocking ? 0 : EFD_NONBLOCK));

	fill_counter(fd);
	bench_begin(&bench, packed, BENCH_SIZE, 0);
	bench.setup.call_fd = fd;
	bench_start(&bench);
	for (unsigned round = 0; round < 10; round++)
		answer_batch(4);
	/* A blocked call is given up after a second. */
	bench_stop(&bench);
	bench_end(&bench);
	fd_close(&fd);
}

static void full_call_fd_that_does_not_block(void **state)
{
	full_call_fd(false, false);
	full_call_fd(true, false);
}

static void full_call_fd_that_blocks(void **state)
{
	full_call_fd(false, true);
	full_call_fd(true, true);
}

/* It reads it at last: the calls that waited arrive. */
static void a_full_call_fd_is_emptied(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	uint64_t value = 0;

	fill_counter(fd);
	bench_begin(&bench, false, BENCH_SIZE, 0);
	bench.setup.call_fd = fd;
	bench_start(&bench);
	answer_batch(2);
	assert_int_equal(read(fd, &value, sizeof(value)), sizeof(value));
	assert_true(value == UINT64_MAX - 1);
	assert_int_equal(fd_set_nonblocking(fd, true), 0);
	/* The write that waited is carried out by a thread of the kernel, in its own time. */
	AWAIT(read(fd, &value, sizeof(value)) == sizeof(value), bench_turn(&bench));
	assert_true(value >= 1 && value <= 3);
	bench_stop(&bench);
	bench_end(&bench);
	fd_close(&fd);
}

static void no_call_fd(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		bench_begin(&bench, packed, BENCH_SIZE, 0);
		bench.setup.call_fd = -1;
		bench_start(&bench);
		answer_batch(3);
		assert_int_equal(counter_read(&virtqueue_get_counters(bench.queue)->calls), 0);
		bench_end(&bench);
	}
}

/* The ring is looked at without kicks, and is so after a sleep too. */
static void no_kick_fd(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		bench_begin(&bench, packed, BENCH_SIZE, 0);
		bench.setup.kick_fd = -1;
		bench_start(&bench);
		for (unsigned i = 0; i < 5; i++) {
			bench_add(&bench, i);
			AWAIT(bench.device.taken > i, assert_int_equal(loop_turn(bench.loop, NS_PER_S), 0));
			echo_answer_all(&bench.device);
			bench_turn(&bench);
			bench_take(&bench, i);
		}
		assert_int_equal(counter_read(&virtqueue_get_counters(bench.queue)->kicks), 0);
		bench_end(&bench);
	}
}

static void another_kick_fd(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t one = 1;

	bench_begin(&bench, false, BENCH_SIZE, 0);
	bench_start(&bench);
	/* What was added before the change is not lost with the old descriptor's kick. */
	bench_add(&bench, 0);
	virtqueue_set_kick_fd(bench.queue, fd);
	bench_turn(&bench);
	assert_int_equal(bench.device.taken, 1);
	bench_add(&bench, 1);
	ring_driver_kick(&bench.driver);
	bench_turn(&bench);
	assert_int_equal(bench.device.taken, 1);
	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
	bench_turn(&bench);
	assert_int_equal(bench.device.taken, 2);

	virtqueue_set_kick_fd(bench.queue, -1);
	fd_close(&fd);
	bench_add(&bench, 2);
	bench_turn(&bench);
	assert_int_equal(bench.device.taken, 3);
	virtqueue_set_kick_fd(bench.queue, bench.driver.kick_fd);
	bench_turn(&bench);
	bench_add(&bench, 3);
	bench_turn(&bench);
	assert_int_equal(bench.device.taken, 3);
	ring_driver_kick(&bench.driver);
	bench_turn(&bench);
	assert_int_equal(bench.device.taken, 4);
	bench_end(&bench);
}

static uint64_t eventfd_value(int fd)
{
	uint64_t value = 0;

	return read(fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

static void another_call_fd(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), closed;

	bench_begin(&bench, false, BENCH_SIZE, 0);
	bench_start(&bench);
	answer_batch(1);
	assert_true(ring_driver_called(&bench.driver));
	/* A call may have been on its way to the old descriptor: the new one gets one in any case. */
	virtqueue_set_call_fd(bench.queue, fd);
	bench_turn(&bench);
	assert_true(eventfd_value(fd) > 0);
	answer_batch(1);
	assert_int_equal(eventfd_value(fd), 1);
	assert_false(ring_driver_called(&bench.driver));

	/* The old descriptor may be closed as soon as it was replaced, calls under way or not. */
	closed = eventfd(0, EFD_CLOEXEC);
	virtqueue_set_call_fd(bench.queue, closed);
	bench_add(&bench, 0);
	ring_driver_kick(&bench.driver);
	assert_int_equal(loop_turn(bench.loop, 0), 0);
	virtqueue_set_call_fd(bench.queue, fd);
	fd_close(&closed);
	bench_turn(&bench);
	echo_answer_all(&bench.device);
	bench_turn(&bench);
	bench_take(&bench, 0);
	/* First a thread of the kernel ends the write to the old one, which could have blocked. */
	AWAIT(eventfd_value(fd) > 0, bench_turn(&bench));

	virtqueue_set_call_fd(bench.queue, -1);
	answer_batch(1);
	assert_int_equal(eventfd_value(fd), 0);
	bench_end(&bench);
	fd_close(&fd);
}

/* The old one blocks for ever; that must not swallow the calls to the new one. */
static void another_call_fd_for_a_full_one(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	fill_counter(fd);
	bench_begin(&bench, false, BENCH_SIZE, 0);
	bench.setup.call_fd = fd;
	bench_start(&bench);
	answer_batch(1);
	virtqueue_set_call_fd(bench.queue, bench.driver.call_fd);
	fd_close(&fd);
	/* A thread of the kernel ends the write that blocks, in its own time. */
	AWAIT(ring_driver_called(&bench.driver), bench_turn(&bench));
	answer_batch(1);
	assert_true(ring_driver_called(&bench.driver));
	bench_end(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kicks_are_wanted_only_in_sleep),
		cmocka_unit_test(the_available_event_follows),
		cmocka_unit_test(flags_switch_calls_off),
		cmocka_unit_test(event_indices_need_the_feature),
		cmocka_unit_test(split_calls_at_the_event),
		cmocka_unit_test(packed_calls_at_the_event),
		cmocka_unit_test(a_start_calls_once),
		cmocka_unit_test(full_call_fd_that_does_not_block),
		cmocka_unit_test(full_call_fd_that_blocks),
		cmocka_unit_test(a_full_call_fd_is_emptied),
		cmocka_unit_test(no_call_fd),
		cmocka_unit_test(no_kick_fd),
		cmocka_unit_test(another_kick_fd),
		cmocka_unit_test(another_call_fd),
		cmocka_unit_test(another_call_fd_for_a_full_one),
	};

	return cmocka_run_group_tests_name("virtqueue_notify", tests, NULL, NULL);
}
