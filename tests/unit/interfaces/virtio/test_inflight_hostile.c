/* SPDX-License-Identifier: GPL-2.0-or-later */
/* INFLIGHT regions of packed rings that say what cannot be. For split rings: test_inflight.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "inflight_device.h"

static void set_version(void)
{
	region->version = 7;
}

static void set_size(void)
{
	region->desc_num = SIZE + 1;
}

static void set_used(void)
{
	region->used_idx = SIZE;
}

static void set_old_used(void)
{
	region->old_used_idx = 0xffff;
}

static void set_free_head(void)
{
	region->old_free_head = SIZE + 1;
}

static void set_free_next(void)
{
	region->entry[region->old_free_head].next = 0xffff;
}

static void set_free_loop(void)
{
	region->entry[region->old_free_head].next = region->old_free_head;
}

static void set_num_zero(void)
{
	region->entry[chains[0].first_entry].num = 0;
}

static void set_num_large(void)
{
	region->entry[chains[0].first_entry].num = SIZE + 1;
}

static void set_num_all_full(void)
{
	region->entry[chains[0].first_entry].num = SIZE - 1;
	region->entry[chains[1].first_entry].num = SIZE - 1;
}

static void set_chain_next(void)
{
	region->entry[chains[1].first_entry].next = SIZE;
}

static void assert_broken_by(void (*lie)(void), enum virtqueue_violation violation)
{
	begin(0, UINT32_MAX);
	take_three();
	lie();
	start_queue();
	assert_int_equal(bench.broken, 1);
	assert_int_equal(bench.violation, violation);
	assert_true(bench.device.taken <= 3);
	end();
	assert_int_equal(bench.broken, 1);
}

static void hostile_regions_break_the_ring(void **state)
{
	static void (*const lies[])(void) = {
		set_version,   set_size,      set_used,	    set_old_used,     set_free_head,  set_free_next,
		set_free_loop, set_num_zero, set_num_large, set_num_all_full, set_chain_next,
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		assert_broken_by(lies[i], VIOLATION_INFLIGHT);
}

/* The recorded copies are as hostile as a ring. */
static void copy_with_a_wrong_id(void)
{
	region->entry[chains[0].last_entry].id = SIZE;
}

static void copy_with_an_id_twice(void)
{
	region->entry[chains[1].last_entry].id = 3;
}

static void copy_that_wraps(void)
{
	region->entry[chains[0].first_entry].address = UINT64_MAX;
}

static void copy_with_a_table(void)
{
	region->entry[chains[0].first_entry].flags |= DESCRIPTOR_INDIRECT;
}

static void hostile_copies_break_the_ring(void **state)
{
	assert_broken_by(copy_with_a_wrong_id, VIOLATION_HEAD);
	assert_broken_by(copy_with_an_id_twice, VIOLATION_HEAD);
	assert_broken_by(copy_that_wraps, VIOLATION_ADDRESS);
	assert_broken_by(copy_with_a_table, VIOLATION_INDIRECT);
}

/* Random bytes in every place, before the start and while it runs: no crash, and the queue stops. */
static void scribbled_on(void **state)
{
	uint64_t random = 88172645463325252ull;

	for (unsigned round = 0; round < 400; round++) {
		uint8_t *bytes;

		begin(0, UINT32_MAX);
		take_three();
		bytes = (uint8_t *)region;
		bench.device.at_once = round % 3 == 0;
		for (unsigned i = 0; i < 1 + round % 5; i++) {
			random = random * 6364136223846793005ull + 1442695040888963407ull;
			bytes[12 + (random >> 33) % (sizeof(*region) - 12)] = (uint8_t)(random >> 56);
		}
		assert_int_equal(virtqueue_start(&bench.setup, &bench.queue), 0);
		assert_int_equal(loop_turn(bench.loop, 0), 0);
		for (unsigned i = 0; i < 8; i++) {
			random = random * 6364136223846793005ull + 1442695040888963407ull;
			bytes[(random >> 33) % sizeof(*region)] = (uint8_t)(random >> 56);
			if (bench.device.held_count > 0)
				echo_answer(&bench.device, 0);
			ring_driver_kick(&bench.driver);
			assert_int_equal(loop_turn(bench.loop, 0), 0);
		}
		end();
		assert_true(bench.broken <= 1);
	}
}

/* A free list that the VMM broke while the queue runs ends the queue, when it is next used. */
static void a_broken_free_list(void **state)
{
	begin(0, UINT32_MAX);
	start_queue();
	region->free_head = 0xffff;
	for (unsigned i = 0; i < SIZE; i++)
		region->entry[i].next = 0xffff;
	add(1, 3);
	ring_driver_kick(&bench.driver);
	bench_turn(&bench);
	assert_int_equal(bench.broken, 1);
	assert_int_equal(bench.violation, VIOLATION_INFLIGHT);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_regions_break_the_ring),
		cmocka_unit_test(hostile_copies_break_the_ring),
		cmocka_unit_test(scribbled_on),
		cmocka_unit_test(a_broken_free_list),
	};

	return cmocka_run_group_tests_name("inflight_hostile", tests, NULL, NULL);
}
