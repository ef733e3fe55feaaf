/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Split rings after a crash: the region and the ring as they are after each single store of a dying process,
 * made by hand; then the queue starts on them. Which chains are taken again, in which order, is the test; and
 * that the ring goes on afterwards. The order of stores: vhost-user protocol, "Inflight I/O tracking".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "queue_bench.h"

#define SIZE  8u

/* The layout as the protocol gives it, on purpose not taken from the code under test. */
struct entry {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};

struct region {
	uint64_t features;
	uint16_t version, desc_num, last_batch_head, used_idx;
	struct entry entry[SIZE];
};

static struct queue_bench bench;
static struct region *region;

/* A ring at `start`, whose chains so far are all answered. */
static void begin(uint16_t start, bool used_before)
{
	bench_begin(&bench, false, SIZE, 0);
	region = aligned_alloc(64, inflight_region_bytes(false, SIZE));
	assert_non_null(region);
	memset(region, 0, inflight_region_bytes(false, SIZE));
	if (used_before) {
		region->version = 1;
		region->desc_num = SIZE;
		region->used_idx = start;
	}
	bench.driver.next_available = bench.driver.last_used = start;
	ring_driver_available(&bench.driver)->idx = ring_driver_used(&bench.driver)->idx = start;
	bench.setup.inflight = region;
	/* A front end that lost its back end says what the used ring says; the region knows better. */
	bench.setup.position.available_idx = start;
}

static void end(void)
{
	bench_end(&bench);
	free(region);
}

/* A chain of one descriptor whose only byte tells its head. */
static void add(unsigned head)
{
	*ring_driver_at(&bench.driver, DATA + 256 * head) = (uint8_t)(head + 1);
	bench_split(&bench, head, DATA + 256 * head, 1, 0, 0);
	bench_publish(&bench, head);
}

static void taken(unsigned head, uint64_t counter)
{
	region->entry[head].counter = counter;
	region->entry[head].inflight = 1;
}

static void used_element(unsigned index, unsigned head)
{
	ring_driver_used(&bench.driver)->ring[index % SIZE] = (struct split_used_element){ head, 0 };
}

static void assert_held(const unsigned *heads, unsigned count)
{
	assert_int_equal(bench.broken, 0);
	assert_int_equal(bench.device.held_count, count);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(bench_held(&bench, i), heads[i]);
}

/* Everything held is answered in the order held; then the whole ring is used three times over. */
static void assert_goes_on(const unsigned *held, unsigned count)
{
	struct split_used *used = ring_driver_used(&bench.driver);
	uint16_t index = used->idx;

	echo_answer_all(&bench.device);
	bench_turn(&bench);
	for (unsigned i = 0; i < count; i++, index++)
		assert_int_equal(used->ring[index % SIZE].id, held[i]);
	assert_int_equal(used->idx, index);
	assert_int_equal(used->idx, bench.driver.next_available);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned head = 0; head < SIZE; head++)
			add((head * 3 + round) % SIZE);
		ring_driver_kick(&bench.driver);
		bench_turn(&bench);
		assert_int_equal(bench.device.held_count, SIZE);
		for (unsigned head = 0; head < SIZE; head++) {
			assert_int_equal(bench_held(&bench, head), (head * 3 + round) % SIZE);
			assert_int_equal(region->entry[head].inflight, 1);
		}
		echo_answer_all(&bench.device);
		bench_turn(&bench);
		index = (uint16_t)(index + SIZE);
		assert_int_equal(used->idx, index);
		assert_int_equal(region->used_idx, index);
		for (unsigned head = 0; head < SIZE; head++)
			assert_int_equal(region->entry[head].inflight, 0);
	}
	assert_int_equal(bench.broken, 0);
}

static void a_fresh_region_is_made_ready(void **state)
{
	begin(65534, false);
	region->features = 77;
	region->entry[3].inflight = 1;
	add(0);
	add(1);
	bench_start(&bench);
	assert_int_equal(region->version, 1);
	assert_int_equal(region->desc_num, SIZE);
	assert_int_equal(region->features, 0);
	assert_int_equal(region->used_idx, 65534);
	assert_held((unsigned[]){ 0, 1 }, 2);
	assert_int_equal(region->entry[3].inflight, 0);
	assert_true(region->entry[0].counter < region->entry[1].counter);
	assert_goes_on((unsigned[]){ 0, 1 }, 2);
	end();
}

/* Chains 5, 0 and 2 were taken; the process died in the middle of taking the fourth, 7, at `step`. */
static void die_while_taking(uint16_t start, unsigned step)
{
	begin(start, true);
	add(5);
	add(0);
	add(2);
	add(7);
	taken(5, 40);
	taken(0, 41);
	taken(2, 42);
	if (step >= 1)
		region->entry[7].counter = 43;
	if (step >= 2)
		region->entry[7].inflight = 1;
	bench_start(&bench);
	/* Taken again or for the first time: in any case once, and after the others. */
	assert_held((unsigned[]){ 5, 0, 2, 7 }, 4);
	assert_int_equal(bench.device.taken, 4);
	assert_true(region->entry[7].counter >= 43);
	assert_goes_on((unsigned[]){ 5, 0, 2, 7 }, 4);
	end();
}

static void death_while_taking(void **state)
{
	for (unsigned step = 0; step <= 2; step++) {
		die_while_taking(0, step);
		die_while_taking(65534, step);
	}
}

/*
 * 5, 0, 2 and 7 were taken; 2 and then 0 are being answered in one batch. After `step` of its stores (the
 * used elements, the list of the batch, used->idx, the marks, the region's used_idx) the process dies.
 */
static void die_while_publishing(uint16_t start, unsigned step)
{
	bool visible;

	begin(start, true);
	add(5);
	add(0);
	add(2);
	add(7);
	taken(5, 40);
	taken(0, 41);
	taken(2, 42);
	taken(7, 43);
	region->last_batch_head = 3;	/* of a batch long ago */
	used_element(start, 2);
	used_element(start + 1u, 0);
	if (step >= 1)
		region->entry[2].next = 3;
	if (step >= 2)
		region->last_batch_head = 2;
	if (step >= 3)
		region->entry[0].next = 2;
	if (step >= 4)
		region->last_batch_head = 0;
	visible = step >= 5;
	if (visible)
		ring_driver_used(&bench.driver)->idx = (uint16_t)(start + 2);
	if (step >= 6)
		region->entry[2].inflight = 0;
	if (step >= 7)
		region->entry[0].inflight = 0;
	if (step >= 8)
		region->used_idx = (uint16_t)(start + 2);
	bench_start(&bench);
	if (visible) {
		assert_held((unsigned[]){ 5, 7 }, 2);
		assert_int_equal(region->used_idx, (uint16_t)(start + 2));
		assert_int_equal(region->entry[0].inflight, 0);
		assert_int_equal(region->entry[2].inflight, 0);
		assert_goes_on((unsigned[]){ 5, 7 }, 2);
	} else {
		assert_held((unsigned[]){ 5, 0, 2, 7 }, 4);
		assert_goes_on((unsigned[]){ 5, 0, 2, 7 }, 4);
	}
	end();
}

static void death_while_publishing(void **state)
{
	for (unsigned step = 0; step <= 8; step++) {
		die_while_publishing(0, step);
		die_while_publishing(65535, step);	/* used->idx wraps within the batch */
		die_while_publishing(65532, step);
	}
}

/* A recovery is itself a time to die: starting again on what it left gives the same. */
static void death_while_recovering(void **state)
{
	for (unsigned cleared = 0; cleared <= 2; cleared++) {
		begin(100, true);
		add(1);
		add(4);
		add(6);
		taken(1, 1);
		taken(4, 2);
		taken(6, 3);
		region->entry[1].next = 0;
		region->entry[4].next = 1;
		region->last_batch_head = 4;
		ring_driver_used(&bench.driver)->idx = 102;
		if (cleared >= 1)
			region->entry[4].inflight = 0;
		if (cleared >= 2)
			region->entry[1].inflight = 0;
		bench_start(&bench);
		assert_held((unsigned[]){ 6 }, 1);
		assert_goes_on((unsigned[]){ 6 }, 1);
		end();
	}
}

/* Head 0 alone in flight with an all-zero list head: it must not be mistaken for a batch. */
static void the_chain_at_index_0_is_not_lost(void **state)
{
	begin(0, true);
	add(0);
	taken(0, 0);
	bench_start(&bench);
	assert_held((unsigned[]){ 0 }, 1);
	assert_goes_on((unsigned[]){ 0 }, 1);
	end();
}

/* A batch of all chains, as long as the ring. */
static void a_batch_of_the_whole_ring(void **state)
{
	for (unsigned visible = 0; visible < 2; visible++) {
		unsigned heads[SIZE];

		begin(65533, true);
		for (unsigned head = 0; head < SIZE; head++) {
			add(head);
			taken(head, head);
			heads[head] = head;
			region->entry[head].next = region->last_batch_head;
			region->last_batch_head = (uint16_t)head;
		}
		if (visible)
			ring_driver_used(&bench.driver)->idx = (uint16_t)(65533 + SIZE);
		bench_start(&bench);
		assert_held(heads, visible ? 0 : SIZE);
		assert_goes_on(heads, visible ? 0 : SIZE);
		end();
	}
}

/* The counters, not the heads, tell the order, up to the largest. */
static void taken_again_in_the_order_taken(void **state)
{
	static const uint64_t counters[] = { 7, UINT64_MAX - 1, 3, 1ull << 40, 2 };

	begin(0, true);
	for (unsigned head = 0; head < 5; head++) {
		add(head);
		taken(head, counters[head]);
	}
	bench_start(&bench);
	assert_held((unsigned[]){ 4, 2, 0, 3, 1 }, 5);
	assert_goes_on((unsigned[]){ 4, 2, 0, 3, 1 }, 5);
	end();
}

/* Nothing is taken again before the queue is enabled. */
static void a_disabled_queue_waits(void **state)
{
	begin(0, true);
	add(3);
	taken(3, 0);
	bench.setup.enabled = false;
	bench_start(&bench);
	assert_held(NULL, 0);
	virtqueue_set_enabled(bench.queue, true);
	bench_turn(&bench);
	assert_held((unsigned[]){ 3 }, 1);
	assert_goes_on((unsigned[]){ 3 }, 1);
	end();
}

/* ---- hostile regions ---- */

static void set_version(void)
{
	region->version = 2;
}

static void set_size_small(void)
{
	region->desc_num = SIZE - 1;
}

static void set_size_large(void)
{
	region->desc_num = 0xffff;
}

static void set_used_ahead(void)
{
	region->used_idx = 201;
}

static void set_used_behind(void)
{
	region->used_idx = (uint16_t)(200 - SIZE - 1);
}

static void set_batch_head(void)
{
	region->used_idx = 198;
	region->last_batch_head = SIZE;
}

static void set_batch_next(void)
{
	region->used_idx = 198;
	region->last_batch_head = 1;
	region->entry[1].next = 0xffff;
}

static void hostile_regions_break_the_ring(void **state)
{
	static void (*const lies[])(void) = {
		set_version,	 set_size_small, set_size_large, set_used_ahead,
		set_used_behind, set_batch_head, set_batch_next,
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		begin(200, true);
		add(1);
		taken(1, 5);
		lies[i]();
		bench_start(&bench);
		assert_int_equal(bench.broken, 1);
		assert_int_equal(bench.violation, VIOLATION_INFLIGHT);
		assert_int_equal(bench.device.taken, 0);
		ring_driver_kick(&bench.driver);
		bench_turn(&bench);
		assert_int_equal(bench.device.taken, 0);
		end();
		assert_int_equal(bench.broken, 1);
	}
}

/* Chains are marked that the driver never made available, or more than it did: broken, sooner or later. */
static void more_in_flight_than_available(void **state)
{
	begin(200, true);
	add(1);
	for (unsigned head = 0; head < SIZE; head++)
		taken(head, head);
	bench_start(&bench);
	assert_int_equal(bench.broken, 1);
	assert_true(bench.device.taken <= SIZE);
	end();
}

/* A mark that is neither 0 nor 1 marks nothing; garbage elsewhere is not looked at. */
static void garbage_that_does_no_harm(void **state)
{
	begin(200, true);
	add(1);
	taken(1, 5);
	region->features = UINT64_MAX;
	region->last_batch_head = 0xffff;
	for (unsigned head = 2; head < SIZE; head++) {
		region->entry[head].inflight = 2;
		region->entry[head].next = 0xffff;
	}
	bench_start(&bench);
	assert_held((unsigned[]){ 1 }, 1);
	bench_end(&bench);
	free(region);
}

/* What was taken before the restart is answered, even if the queue never gets a turn. */
static void stopped_before_the_first_turn(void **state)
{
	begin(40, true);
	add(5);
	add(2);
	add(7);
	taken(5, 40);
	taken(2, 41);
	assert_int_equal(virtqueue_start(&bench.setup, &bench.queue), 0);
	virtqueue_stop(bench.queue, bench_stopped, &bench);
	/* Not inside the stop: it is work, and waits for the guest's turn. */
	assert_int_equal(bench.device.taken, 0);
	assert_false(bench.stopped);
	AWAIT(bench.stopped, bench_stop_turn(&bench));
	virtqueue_destroy(bench.queue);
	bench.queue = NULL;
	assert_int_equal(bench.device.taken, 2);
	assert_int_equal(ring_driver_used(&bench.driver)->idx, 42);
	assert_int_equal(bench.position.available_idx, 42);
	assert_int_equal(region->entry[5].inflight + region->entry[2].inflight, 0);
	end();
}

/* A region that changes while the queue runs harms its own recovery only. */
static void scribbled_on_while_running(void **state)
{
	begin(0, true);
	bench_start(&bench);
	for (unsigned round = 0; round < 20; round++) {
		memset(region, (int)(round * 37), inflight_region_bytes(false, SIZE));
		add(round % SIZE);
		ring_driver_kick(&bench.driver);
		bench_turn(&bench);
		memset(region, 0xff, inflight_region_bytes(false, SIZE));
		echo_answer_all(&bench.device);
		bench_turn(&bench);
		assert_int_equal(ring_driver_used(&bench.driver)->idx, round + 1);
	}
	assert_int_equal(bench.broken, 0);
	end();
}

static void sizes_of_regions(void **state)
{
	assert_true(inflight_region_bytes(false, SIZE) >= sizeof(struct region));
	for (unsigned size = 1; size <= 32768; size *= 2) {
		assert_int_equal(inflight_region_bytes(false, size), (16 + 16 * size + 63) / 64 * 64);
		assert_int_equal(inflight_region_bytes(true, size), (32 + 32 * size + 63) / 64 * 64);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fresh_region_is_made_ready),
		cmocka_unit_test(death_while_taking),
		cmocka_unit_test(death_while_publishing),
		cmocka_unit_test(death_while_recovering),
		cmocka_unit_test(the_chain_at_index_0_is_not_lost),
		cmocka_unit_test(a_batch_of_the_whole_ring),
		cmocka_unit_test(taken_again_in_the_order_taken),
		cmocka_unit_test(a_disabled_queue_waits),
		cmocka_unit_test(hostile_regions_break_the_ring),
		cmocka_unit_test(more_in_flight_than_available),
		cmocka_unit_test(garbage_that_does_no_harm),
		cmocka_unit_test(stopped_before_the_first_turn),
		cmocka_unit_test(scribbled_on_while_running),
		cmocka_unit_test(sizes_of_regions),
	};

	return cmocka_run_group_tests_name("inflight", tests, NULL, NULL);
}
