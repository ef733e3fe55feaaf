/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a virtqueue must take: every legal form of a chain, in both formats; start, stop, enable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "queue_bench.h"

#define CHAIN_MAX    258u	/* descriptors */
#define ELEMENTS_MAX 264u	/* and what they become, a border of regions costing one more */

static struct queue_bench bench;

static void begin(bool packed, unsigned size, uint64_t features)
{
	bench_begin(&bench, packed, size, features);
	bench.device.at_once = true;
	bench_start(&bench);
}

static void kick(void)
{
	ring_driver_kick(&bench.driver);
	bench_turn(&bench);
}

static uint32_t take_length(void)
{
	uint32_t length = 0;

	assert_true(ring_driver_take(&bench.driver, &length) >= 0);
	return length;
}

static void end(void)
{
	assert_int_equal(bench.broken, 0);
	bench_take_none(&bench);
	bench_end(&bench);
}

static void ranges_across_regions(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct driver_element elements[2] = { { BORDER - 5, 12, false },
						      { BORDER + 100 - 107, 14, true } };

		for (int indirect = 0; indirect < 2; indirect++) {
			begin(packed, BENCH_SIZE, FEATURE(VIRTIO_RING_F_INDIRECT));
			/* The answer overlaps the question: both are long read by then. */
			bench_fill(&bench, BORDER - 5, 12, 1);
			assert_true(ring_driver_add(&bench.driver, elements, 2, indirect) >= 0);
			kick();
			assert_int_equal(take_length(), 14);
			bench_assert_echo(&bench, BORDER - 7, 14, 1, 12);
			end();
		}
	}
}

/* The table's second entry itself lies across the border. */
static void indirect_table_across_regions(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		uint64_t table = BORDER - 24;

		begin(packed, BENCH_SIZE, FEATURE(VIRTIO_RING_F_INDIRECT));
		bench_fill(&bench, DATA, 6, 7);
		bench_table(&bench, table, 0, DATA, 4, packed ? 0 : DESCRIPTOR_NEXT, 1);
		bench_table(&bench, table, 1, DATA + 4, 2, packed ? 0 : DESCRIPTOR_NEXT, 2);
		bench_table(&bench, table, 2, DATA + 64, 6, DESCRIPTOR_WRITE, 0);
		bench_single(&bench, table, 48, DESCRIPTOR_INDIRECT);
		kick();
		bench_assert_echo(&bench, DATA + 64, 6, 7, 6);
		assert_int_equal(bench.broken, 0);
		bench_end(&bench);
	}
}

/* Split tables are linked lists: their order in memory means nothing, and unused entries may be anything. */
static void split_table_out_of_order(void **state)
{
	uint64_t table = DATA + 4096;

	begin(false, BENCH_SIZE, FEATURE(VIRTIO_RING_F_INDIRECT));
	bench_fill(&bench, DATA, 4, 9);
	bench_table(&bench, table, 0, DATA, 2, DESCRIPTOR_NEXT, 3);
	bench_table(&bench, table, 1, DATA + 64, 4, DESCRIPTOR_WRITE, 77);
	bench_table(&bench, table, 2, OUTSIDE, 1, DESCRIPTOR_INDIRECT, 99);
	bench_table(&bench, table, 3, DATA + 2, 2, DESCRIPTOR_NEXT, 1);
	bench_single(&bench, table, 64, DESCRIPTOR_INDIRECT);
	kick();
	bench_assert_echo(&bench, DATA + 64, 4, 9, 4);
	assert_int_equal(bench.broken, 0);
	bench_end(&bench);
}

/* virtio 1.2, 2.7.5.3.2: normal descriptors may come before the one that names a table. */
static void descriptors_before_a_table(void **state)
{
	uint64_t table = DATA + 4096;

	begin(false, BENCH_SIZE, FEATURE(VIRTIO_RING_F_INDIRECT));
	bench_fill(&bench, DATA, 6, 20);
	bench_table(&bench, table, 0, DATA + 3, 3, DESCRIPTOR_NEXT, 1);
	bench_table(&bench, table, 1, DATA + 64, 6, DESCRIPTOR_WRITE, 0);
	bench_split(&bench, 4, DATA, 3, DESCRIPTOR_NEXT, 5);
	bench_split(&bench, 5, table, 32, DESCRIPTOR_INDIRECT, 0);
	bench_publish(&bench, 4);
	kick();
	bench_assert_echo(&bench, DATA + 64, 6, 20, 6);
	assert_int_equal(bench.broken, 0);
	bench_end(&bench);
}

static void zero_length_descriptors(void **state)
{
	const struct driver_element elements[] = {
		{ DATA, 0, false },	 { DATA, 5, false }, { OUTSIDE, 0, true },    { DATA + 64, 5, true },
		{ DATA + 64, 0, false }, { 0, 0, true },     { DATA + 69, 5, true },
	};

	for (int packed = 0; packed < 2; packed++) {
		for (int indirect = 0; indirect < 2; indirect++) {
			begin(packed, BENCH_SIZE, FEATURE(VIRTIO_RING_F_INDIRECT));
			bench_fill(&bench, DATA, 5, 3);
			assert_true(ring_driver_add(&bench.driver, elements, 7, indirect) >= 0);
			kick();
			assert_int_equal(take_length(), 10);
			bench_assert_echo(&bench, DATA + 64, 10, 3, 5);
			end();
		}
	}
}

static void an_empty_chain(void **state)
{
	const struct driver_element element = { DATA, 0, true };

	for (int packed = 0; packed < 2; packed++) {
		begin(packed, BENCH_SIZE, 0);
		assert_true(ring_driver_add(&bench.driver, &element, 1, false) >= 0);
		kick();
		assert_int_equal(take_length(), 0);
		end();
	}
}

/* The longest chain; six of its ranges lie across the border, which makes the most elements too. */
static void fill_largest(struct driver_element elements[CHAIN_MAX])
{
	for (unsigned i = 0; i < CHAIN_MAX; i++)
		elements[i] = (struct driver_element){ DATA + 16 * i, 2, i >= CHAIN_MAX / 2 };
	for (unsigned i = 0; i < ELEMENTS_MAX - CHAIN_MAX; i++)
		elements[i].guest_address = BORDER - 1;
}

static void largest_chain(void **state)
{
	struct driver_element elements[CHAIN_MAX];

	fill_largest(elements);
	for (int packed = 0; packed < 2; packed++) {
		begin(packed, 512, 0);
		for (int round = 0; round < 3; round++) {
			assert_true(ring_driver_add(&bench.driver, elements, CHAIN_MAX, false) >= 0);
			kick();
			assert_int_equal(take_length(), CHAIN_MAX);
		}
		end();
	}
}

static void largest_table(void **state)
{
	struct driver_element elements[CHAIN_MAX];
	uint64_t table = DATA + (128u << 10);

	fill_largest(elements);
	for (int packed = 0; packed < 2; packed++) {
		begin(packed, BENCH_SIZE, FEATURE(VIRTIO_RING_F_INDIRECT));
		for (unsigned i = 0; i < CHAIN_MAX; i++) {
			unsigned flags = elements[i].device_writes ? DESCRIPTOR_WRITE : 0;

			if (!packed && i + 1 < CHAIN_MAX)
				flags |= DESCRIPTOR_NEXT;
			bench_table(&bench, table, i, elements[i].guest_address, elements[i].length, flags,
				    i + 1);
		}
		bench_single(&bench, table, 16 * CHAIN_MAX, DESCRIPTOR_INDIRECT);
		kick();
		assert_int_equal(bench.broken, 0);
		assert_int_equal(bench.device.taken, 1);
		bench_end(&bench);
	}
}

/* Rings of one descriptor, and rings that are always full. */
static void small_and_full_rings(void **state)
{
	static const unsigned sizes[] = { 1, 2, 4 };

	for (unsigned i = 0; i < 6; i++) {
		const struct driver_element element = { DATA, 4, true };
		unsigned size = sizes[i / 2];

		begin(i % 2, size, 0);
		for (int round = 0; round < 20; round++) {
			for (unsigned j = 0; j < size; j++)
				assert_true(ring_driver_add(&bench.driver, &element, 1, false) >= 0);
			assert_int_equal(ring_driver_add(&bench.driver, &element, 1, false), -1);
			kick();
			for (unsigned j = 0; j < size; j++)
				assert_int_equal(take_length(), 4);
		}
		end();
	}
}

static void in_order_answers_wait_for_their_predecessors(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		/* Not a power of two where the format allows it. */
		bench_begin(&bench, packed, packed ? 6 : 8, FEATURE(VIRTIO_F_IN_ORDER));
		bench_start(&bench);
		for (unsigned round = 0; round < 10; round++) {
			for (unsigned place = 0; place < 3; place++)
				bench_add(&bench, place);
			kick();
			assert_int_equal(bench.device.held_count, 3);
			echo_answer(&bench.device, 2);
			bench_turn(&bench);
			bench_take_none(&bench);
			echo_answer(&bench.device, 0);
			bench_turn(&bench);
			bench_take(&bench, 0);
			bench_take_none(&bench);
			echo_answer(&bench.device, 0);
			bench_turn(&bench);
			bench_take(&bench, 1);
			bench_take(&bench, 2);
		}
		end();
	}
}

static void a_disabled_queue_takes_nothing(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		bench_begin(&bench, packed, BENCH_SIZE, 0);
		bench.setup.enabled = false;
		bench_start(&bench);
		bench_add(&bench, 0);
		kick();
		assert_int_equal(bench.device.taken, 0);
		virtqueue_set_enabled(bench.queue, true);
		bench_turn(&bench);
		assert_int_equal(bench.device.taken, 1);

		/* What is in flight completes while disabled; what comes then waits, kicked or not. */
		virtqueue_set_enabled(bench.queue, false);
		bench_add(&bench, 1);
		kick();
		echo_answer_all(&bench.device);
		bench_turn(&bench);
		bench_take(&bench, 0);
		assert_int_equal(bench.device.taken, 1);
		virtqueue_set_enabled(bench.queue, false);
		virtqueue_set_enabled(bench.queue, true);
		virtqueue_set_enabled(bench.queue, true);
		bench_turn(&bench);
		assert_int_equal(bench.device.taken, 2);
		echo_answer_all(&bench.device);
		bench_turn(&bench);
		bench_take(&bench, 1);

		/* It still sleeps and wakes as before. */
		bench_add(&bench, 2);
		kick();
		assert_int_equal(bench.device.taken, 3);
		bench_end(&bench);
	}
}

/* A stop waits for what is in flight, publishes it, and says where to go on. */
static void stop_and_go_on(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		bench_begin(&bench, packed, 5 - !packed, 0);
		bench_start(&bench);
		for (unsigned round = 0; round < 9; round++) {
			bench_add(&bench, 0);
			kick();
			bench_add(&bench, 1);
			bench.stopped = bench.device.draining = false;
			virtqueue_stop(bench.queue, bench_stopped, &bench);
			assert_true(bench.device.draining);
			bench_turn(&bench);
			assert_false(bench.stopped);
			echo_answer_all(&bench.device);
			bench_turn(&bench);
			assert_true(bench.stopped);
			bench_take(&bench, 0);
			assert_int_equal(bench.device.taken, 2 * round + 1);
			virtqueue_destroy(bench.queue);
			if (!packed)
				assert_int_equal(bench.position.available_idx, 2 * round + 1);

			bench.setup.position = bench.position;
			bench_start(&bench);
			assert_int_equal(bench.device.taken, 2 * round + 2);
			echo_answer_all(&bench.device);
			bench_turn(&bench);
			bench_take(&bench, 1);
		}
		end();
	}
}

/* What was used says where a ring goes on, and not the index of what its front end believes was taken. */
static void a_wrong_position(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		begin(packed, 5 - !packed, 0);
		for (unsigned round = 0; round < 40; round++) {
			bench_add(&bench, round);
			kick();
			bench_take(&bench, round);
			bench_stop(&bench);
			bench.setup.position = bench.position;
			bench.setup.position.available_idx = (uint16_t)(round * 7 % 4);
			bench.setup.position.available_wrap = round % 2;
			bench_start(&bench);
			assert_int_equal(bench.device.taken, round + 1);
		}
		end();
	}
}

static void set_ups_that_are_refused(void **state)
{
	struct virtqueue *queue = NULL;

	for (int packed = 0; packed < 2; packed++) {
		for (int field = 0; field < 3; field++) {
			for (int wrong = 0; wrong < 3; wrong++) {
				uint64_t *address;

				bench_begin(&bench, packed, BENCH_SIZE, 0);
				address = field == 0   ? &bench.setup.descriptor_user
					  : field == 1 ? &bench.setup.driver_user
						       : &bench.setup.device_user;
				*address = wrong == 0	? OUTSIDE
					   : wrong == 1 ? DRIVER_USER_BASE + DRIVER_REGION_BYTES - 2
							: *address + 1;
				assert_int_equal(virtqueue_start(&bench.setup, &queue),
						 wrong == 2 ? -EINVAL : -EFAULT);
				assert_null(queue);
				assert_int_equal(bench.device.queues_running, 0);
				bench_end(&bench);
			}
		}
	}
	bench_begin(&bench, true, BENCH_SIZE, 0);
	bench.setup.position.available_idx = BENCH_SIZE;
	assert_int_equal(virtqueue_start(&bench.setup, &queue), -EINVAL);
	bench.setup.position.available_idx = 0;
	bench.setup.position.used_idx = BENCH_SIZE;
	assert_int_equal(virtqueue_start(&bench.setup, &queue), -EINVAL);
	assert_int_equal(bench.device.queues_running, 0);
	bench_end(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_across_regions),
		cmocka_unit_test(indirect_table_across_regions),
		cmocka_unit_test(split_table_out_of_order),
		cmocka_unit_test(descriptors_before_a_table),
		cmocka_unit_test(zero_length_descriptors),
		cmocka_unit_test(an_empty_chain),
		cmocka_unit_test(largest_chain),
		cmocka_unit_test(largest_table),
		cmocka_unit_test(small_and_full_rings),
		cmocka_unit_test(in_order_answers_wait_for_their_predecessors),
		cmocka_unit_test(a_disabled_queue_takes_nothing),
		cmocka_unit_test(stop_and_go_on),
		cmocka_unit_test(a_wrong_position),
		cmocka_unit_test(set_ups_that_are_refused),
	};

	return cmocka_run_group_tests_name("virtqueue", tests, NULL, NULL);
}
