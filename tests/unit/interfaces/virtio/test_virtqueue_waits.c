/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A queue whose guest made the worker wait is abandoned, and another one goes on with what it had in flight.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "interfaces/virtio/virtqueue_internal.h"
#include "queue_bench.h"

static struct queue_bench bench;
static unsigned waits;
static void *region;

static void on_wait(void *context, uint64_t waited_ns)
{
	assert_ptr_equal(context, &bench);
	assert_int_equal(waited_ns, 42);
	waits++;
}

enum record { NOWHERE, OURS, FRONT_ENDS };

static void begin(bool packed, enum record record)
{
	waits = 0;
	bench_begin(&bench, packed, BENCH_SIZE, 0);
	region = aligned_alloc(64, inflight_region_bytes(packed, BENCH_SIZE));
	assert_non_null(region);
	memset(region, 0, inflight_region_bytes(packed, BENCH_SIZE));
	bench.setup.record = record == OURS ? region : NULL;
	bench.setup.inflight = record == FRONT_ENDS ? region : NULL;
	bench.setup.made_wait = on_wait;
	bench_start(&bench);
}

static void end(void)
{
	bench_end(&bench);
	free(region);
}

static void blame(unsigned what)
{
	bench.queue->blame.blamed(&bench.queue->blame, what, 42);
}

static void add(unsigned from, unsigned to)
{
	for (unsigned place = from; place < to; place++)
		bench_add(&bench, place);
	ring_driver_kick(&bench.driver);
	bench_turn(&bench);
}

/* Chains 0 to 3 are taken; 1 is answered, and the driver knows; 2 is answered, and it does not; then it
 * waits. */
static void abandon_with_some_in_flight(void)
{
	add(0, 4);
	assert_int_equal(bench.device.held_count, 4);
	echo_answer(&bench.device, 1);
	bench_turn(&bench);
	bench_take(&bench, 1);
	echo_answer(&bench.device, 1);
	blame(LOOP_BLAME_WAITED);
	assert_int_equal(waits, 1);
	/* Nothing is taken, answered or told any more. */
	add(4, 5);
	assert_int_equal(bench.device.held_count, 2);
	echo_answer_all(&bench.device);
	bench_turn(&bench);
	bench_take_none(&bench);
	assert_int_equal(bench.broken, 0);
}

/* Another queue in its place: has it taken the chains of these places, in this order? All work then. */
static void goes_on_with(const unsigned *places, unsigned count)
{
	bench_stop(&bench);
	bench.setup.position = bench.position;
	bench_start(&bench);
	assert_int_equal(bench.broken, 0);
	assert_int_equal(bench.device.held_count, count);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(bench_held(&bench, i), places[i]);
	echo_answer_all(&bench.device);
	bench_turn(&bench);
	for (unsigned i = 0; i < count; i++)
		bench_take(&bench, places[i]);
	for (unsigned round = 0; round < 3; round++) {
		add(0, BENCH_SIZE / 2);
		echo_answer_all(&bench.device);
		bench_turn(&bench);
		for (unsigned place = 0; place < BENCH_SIZE / 2; place++)
			bench_take(&bench, place);
	}
	assert_int_equal(bench.broken, 0);
}

static void what_is_in_flight_is_taken_again(void **state)
{
	static const unsigned places[] = { 0, 2, 3, 4 };
	static const struct {
		bool packed;
		enum record record;
	} cases[] = { { false, OURS }, { false, FRONT_ENDS }, { true, FRONT_ENDS } };

	for (unsigned i = 0; i < 3; i++) {
		begin(cases[i].packed, cases[i].record);
		abandon_with_some_in_flight();
		goes_on_with(places, 4);
		end();
	}
}

/* The queue that goes on keeps its record there, so it can be abandoned, too. */
static void again_and_again(void **state)
{
	static const unsigned places[] = { 0, 2, 3, 4 };

	begin(false, OURS);
	for (unsigned round = 0; round < 3; round++) {
		waits = 0;
		abandon_with_some_in_flight();
		goes_on_with(places, 4);
	}
	end();
}

/* A packed ring has overwritten what it took: without a record from the start, it can only stop. */
static void without_a_record_the_ring_breaks(void **state)
{
	begin(true, OURS);
	add(0, 2);
	blame(LOOP_BLAME_WAITED);
	assert_int_equal(bench.broken, 1);
	assert_int_equal(bench.violation, VIOLATION_WAIT);
	assert_int_equal(waits, 1);
	end();
}

static void with_nothing_in_flight_no_record_is_needed(void **state)
{
	static const unsigned none[1];

	begin(true, NOWHERE);
	add(0, 2);
	echo_answer_all(&bench.device);
	bench_turn(&bench);
	bench_take(&bench, 0);
	bench_take(&bench, 1);
	blame(LOOP_BLAME_WAITED);
	assert_int_equal(waits, 1);
	goes_on_with(none, 0);
	end();
}

/* A frame that is on its way is lost, or sent again: such a model needs no record. */
static void what_may_be_lost_is_taken_from_the_ring(void **state)
{
	static const unsigned places[] = { 1, 2, 3 };
	struct virtio_model_ops model = echo_model;

	model.repeatable = false;
	for (int packed = 0; packed < 2; packed++) {
		begin(packed, NOWHERE);
		bench_stop(&bench);
		bench.setup.model = &model;
		bench.setup.position = bench.position;
		bench_start(&bench);
		add(0, 3);
		echo_answer(&bench.device, 0);
		bench_turn(&bench);
		bench_take(&bench, 0);
		blame(LOOP_BLAME_WAITED);
		echo_answer_all(&bench.device);
		add(3, 4);
		goes_on_with(places, 3);
		end();
	}
}

/* A front end waits for the answers: they come, if the guest does not make the worker wait again. */
static void a_stop_is_carried_out(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		begin(packed, FRONT_ENDS);
		add(0, 2);
		virtqueue_stop(bench.queue, bench_stopped, &bench);
		blame(LOOP_BLAME_WAITED);
		assert_int_equal(waits, 1);
		echo_answer_all(&bench.device);
		bench_turn(&bench);
		assert_true(bench.stopped);
		bench_take(&bench, 0);
		bench_take(&bench, 1);
		assert_int_equal(bench.broken, 0);
		virtqueue_destroy(bench.queue);
		bench.queue = NULL;
		end();
	}
}

static void a_stop_that_waits_twice_is_cut_short(void **state)
{
	begin(false, FRONT_ENDS);
	add(0, 2);
	virtqueue_stop(bench.queue, bench_stopped, &bench);
	blame(LOOP_BLAME_WAITED);
	blame(LOOP_BLAME_WAITED);
	assert_int_equal(waits, 1);
	assert_int_equal(bench.violation, VIOLATION_WAIT);
	echo_answer_all(&bench.device);
	bench_turn(&bench);
	assert_true(bench.stopped);
	bench_take_none(&bench);
	virtqueue_destroy(bench.queue);
	bench.queue = NULL;
	end();
}

/* On a worker where nobody else waits with it, a guest may wait. */
static void alone_nothing_happens(void **state)
{
	begin(false, OURS);
	bench_stop(&bench);
	bench.setup.made_wait = NULL;
	bench_start(&bench);
	add(0, 2);
	blame(LOOP_BLAME_WAITED);
	echo_answer_all(&bench.device);
	bench_turn(&bench);
	bench_take(&bench, 0);
	bench_take(&bench, 1);
	end();
}

/* The write that took so long was the one to the call descriptor: that of the queue that has one under way.
 */
static void a_call_that_takes_long_breaks_the_ring(void **state)
{
	begin(false, OURS);
	blame(LOOP_BLAME_WROTE);
	assert_int_equal(bench.broken, 0);
	queue_call(bench.queue);
	blame(LOOP_BLAME_WROTE);
	assert_int_equal(bench.violation, VIOLATION_CALL);
	assert_int_equal(waits, 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_in_flight_is_taken_again),
		cmocka_unit_test(again_and_again),
		cmocka_unit_test(without_a_record_the_ring_breaks),
		cmocka_unit_test(with_nothing_in_flight_no_record_is_needed),
		cmocka_unit_test(what_may_be_lost_is_taken_from_the_ring),
		cmocka_unit_test(a_stop_is_carried_out),
		cmocka_unit_test(a_stop_that_waits_twice_is_cut_short),
		cmocka_unit_test(alone_nothing_happens),
		cmocka_unit_test(a_call_that_takes_long_breaks_the_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
