/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Long chains: how many of one queue are in flight, and how much memory of ours describes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/mman.h>

#include "core/checked.h"
#include "interfaces/virtio/virtqueue_internal.h"
#include "receiver.h"

#define RING	 64u
#define ELEMENTS 1024u
#define TABLE	 (DATA + 65536)
#define PAGE	 4096u
#define ARRAYS	 ((size_t)RING * bench.queue->elements_max * sizeof(struct iovec))

static struct queue_bench bench;

static void begin(bool packed, unsigned elements)
{
	static struct virtio_model_ops model;

	receiver_begin(&bench, packed, RING, FEATURE(VIRTIO_RING_F_INDIRECT));
	model = receiver_model;
	model.chain_descriptors = CHAIN_DESCRIPTORS_MAX;
	bench.setup.model = &model;
	for (unsigned i = 0; i < elements; i++)
		bench_table(&bench, TABLE, i, DATA, 1,
			    DESCRIPTOR_WRITE | (i + 1 < elements ? DESCRIPTOR_NEXT : 0), i + 1);
	bench_start(&bench);
}

/* All chains are described by the same table. */
static void post(unsigned slot, unsigned elements)
{
	if (bench.driver.packed) {
		bench_packed(&bench, TABLE, 16 * elements, slot, DESCRIPTOR_INDIRECT);
	} else {
		bench_split(&bench, slot, TABLE, 16 * elements, DESCRIPTOR_INDIRECT, 0);
		bench_publish(&bench, slot);
	}
}

static void kick(void)
{
	ring_driver_kick(&bench.driver);
	bench_turn(&bench);
}

static unsigned take_all(void)
{
	unsigned before = receiver.held_count;

	while (receiver.held_count < RING && receiver_take(1) == 1)
		;
	return receiver.held_count - before;
}

static void so_many_are_in_flight(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		unsigned ready;

		begin(packed, ELEMENTS);
		for (unsigned slot = 0; slot < RING; slot++)
			post(slot, ELEMENTS);
		kick();
		assert_int_equal(take_all(), LONG_CHAINS_MAX);
		/* The worker sleeps, and a kick wakes nobody. */
		bench_turn(&bench);
		ready = receiver.ready;
		kick();
		assert_int_equal(receiver.ready, ready);
		/* One that ends makes room for one. */
		receiver_complete(0);
		bench_turn(&bench);
		assert_true(receiver.ready > ready);
		assert_int_equal(take_all(), 1);
		/* One that is given back does, too. */
		receiver_give_back(1);
		assert_int_equal(take_all(), 1);
		while (receiver.held_count > 0) {
			receiver_complete(receiver.held_count / 2);
			take_all();
		}
		assert_int_equal(receiver.next_frame, RING);
		assert_int_equal(bench.broken, 0);
		bench_end(&bench);
	}
}

static void ordinary_ones_are_not_counted(void **state)
{
	begin(false, LONG_CHAIN_ELEMENTS);
	for (unsigned slot = 0; slot < RING; slot++)
		post(slot, LONG_CHAIN_ELEMENTS);
	kick();
	assert_int_equal(take_all(), RING);
	while (receiver.held_count > 0)
		receiver_complete(0);
	bench_end(&bench);
}

static unsigned resident_pages(void)
{
	uint8_t *first = (uint8_t *)align_down((uintptr_t)bench.queue->elements, PAGE);
	size_t bytes = align_up(ARRAYS + PAGE, PAGE);
	unsigned char *pages = test_malloc(bytes / PAGE);
	unsigned count = 0;

	assert_int_equal(mincore(first, bytes, pages), 0);
	for (size_t i = 0; i < bytes / PAGE; i++)
		count += pages[i] & 1;
	test_free(pages);
	return count;
}

/* Each slot has had a long chain, and all that is left are the pages that ordinary chains need. */
static void their_memory_is_given_back(void **state)
{
	begin(false, ELEMENTS);
	for (unsigned slot = 0; slot < RING; slot++) {
		post(slot, ELEMENTS);
		kick();
		assert_int_equal(take_all(), 1);
		receiver_complete(0);
		bench_turn(&bench);
	}
	assert_true(ARRAYS / PAGE >= 4 * RING);
	assert_true(resident_pages() <= 3 * RING);
	bench_end(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(so_many_are_in_flight),
		cmocka_unit_test(ordinary_ones_are_not_counted),
		cmocka_unit_test(their_memory_is_given_back),
	};

	return cmocka_run_group_tests_name("virtqueue_long", tests, NULL, NULL);
}
