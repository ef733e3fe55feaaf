/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtqueue whose guest memory changes under it, and the log of what it writes there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/fd.h"
#include "queue_bench.h"

#define LOG_BYTES (512u << 10)	/* 4 Mi pages: 16 GiB of guest addresses */
#define USED_AT	  (DRIVER_GUEST_BASE + 0x30000)

static struct queue_bench bench;
static int log_fd;
static uint8_t *bitmap;
static struct dirty_log *dirty;

/* ---- generations of memory ---- */

static void kick(void)
{
	ring_driver_kick(&bench.driver);
	bench_turn(&bench);
}

/* The old generation stays until the last chain that uses it completed, and not longer. */
static void released_after_the_last_chain(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct guest_memory *new;

		bench_begin(&bench, packed, BENCH_SIZE, 0);
		bench_start(&bench);
		for (unsigned place = 0; place < 3; place++)
			bench_add(&bench, place);
		kick();
		assert_int_equal(bench.device.held_count, 3);

		new = ring_driver_map(&bench.driver);
		virtqueue_set_memory(bench.queue, new, bench_released, &bench);
		assert_true(bench.device.draining);
		guest_memory_put(new);
		/* The test's own reference goes: what is still mapped is the queue's doing. */
		guest_memory_put(bench.driver.memory);
		bench.driver.memory = NULL;
		bench_add(&bench, 3);
		kick();
		assert_int_equal(bench.device.held_count, 4);
		echo_answer(&bench.device, 3);	/* of the new generation */
		echo_answer(&bench.device, 0);
		echo_answer(&bench.device, 1);
		bench_turn(&bench);
		assert_int_equal(bench.released, 0);
		echo_answer(&bench.device, 0);
		assert_int_equal(bench.released, 1);
		assert_false(bench.device.draining);
		bench_turn(&bench);
		bench_take(&bench, 3);
		bench_take(&bench, 0);
		bench_take(&bench, 2);
		bench_take(&bench, 1);
		assert_int_equal(bench.released, 1);
		assert_int_equal(bench.broken, 0);
		bench_end(&bench);
	}
}

static void released_at_once_when_nothing_is_in_flight(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		bench_begin(&bench, packed, BENCH_SIZE, 0);
		bench_start(&bench);
		for (unsigned round = 1; round <= 5; round++) {
			struct guest_memory *new = ring_driver_map(&bench.driver);

			virtqueue_set_memory(bench.queue, new, bench_released, &bench);
			guest_memory_put(new);
			assert_int_equal(bench.released, round);
			bench_add(&bench, 0);
			kick();
			echo_answer_all(&bench.device);
			bench_turn(&bench);
			bench_take(&bench, 0);
		}
		bench_end(&bench);
	}
}

/* Changes while chains are always in flight, some of them answered and not yet published. */
static void changes_under_load(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		bench_begin(&bench, packed, BENCH_SIZE, 0);
		bench_start(&bench);
		bench_add(&bench, 1);
		kick();
		for (unsigned round = 1; round <= 30; round++) {
			struct guest_memory *new = ring_driver_map(&bench.driver);

			bench_add(&bench, 2 * round % 8);
			if (round % 2)
				kick();	/* the old generation has this chain too, else the new one */
			if (round % 3 == 0)
				echo_answer(&bench.device, 0);
			virtqueue_set_memory(bench.queue, new, bench_released, &bench);
			guest_memory_put(new);
			bench_add(&bench, (2 * round + 1) % 8);
			kick();
			while (bench.device.held_count > 1)
				echo_answer(&bench.device, 0);
			assert_int_equal(bench.released, round);
			bench_turn(&bench);
			bench_take(&bench, (2 * round - 1) % 8);
			bench_take(&bench, 2 * round % 8);
			bench_take_none(&bench);
		}
		assert_int_equal(bench.broken, 0);
		bench_end(&bench);
	}
}

/* ---- the dirty log ---- */

static void log_open(void)
{
	log_fd = fd_memfd("log", LOG_BYTES);
	bitmap = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, log_fd, 0);
	assert_ptr_not_equal(bitmap, MAP_FAILED);
	assert_int_equal(dirty_log_open(log_fd, 0, LOG_BYTES, &dirty), 0);
}

static void log_close(void)
{
	dirty_log_put(dirty);
	munmap(bitmap, LOG_BYTES);
	fd_close(&log_fd);
}

/* Exactly these pages are marked; then the log is empty again. */
static void assert_marked(const uint64_t *addresses, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t page = addresses[i] / 4096;

		if (!(bitmap[page / 8] & 1 << page % 8))
			fail_msg("page %llx is not marked", (unsigned long long)page);
	}
	for (unsigned i = 0; i < count; i++)
		bitmap[addresses[i] / 4096 / 8] &= (uint8_t)~(1 << addresses[i] / 4096 % 8);
	for (unsigned i = 0; i < LOG_BYTES; i++)
		if (bitmap[i])
			fail_msg("a page of %x is marked that was not written", i * 8);
}

/* Where an answer is published: the used ring, or the descriptors at the start of memory and our event. */
static void assert_answer_marked(uint64_t first, uint64_t second)
{
	const uint64_t split[] = { USED_AT, first, second };
	const uint64_t packed[] = { DRIVER_GUEST_BASE, USED_AT, first, second };

	if (bench.driver.packed)
		assert_marked(packed, 4);
	else
		assert_marked(split, 3);
}

static void add_across_pages(unsigned page)
{
	const struct driver_element elements[2] = { { DATA, 16, false },
						    { DATA + 4096 * page + 4090, 12, true } };

	assert_true(ring_driver_add(&bench.driver, elements, 2, false) >= 0);
	kick();
}

static void the_log_knows_what_was_written(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		log_open();
		bench_begin(&bench, packed, BENCH_SIZE, 0);
		bench.setup.log = dirty;
		bench_start(&bench);
		assert_marked(&(uint64_t){ USED_AT }, 1);	/* our wish for kicks */
		add_across_pages(3);
		/* The chain is not answered: of its pages none is written. */
		assert_marked(&(uint64_t){ USED_AT }, 1);
		echo_answer_all(&bench.device);
		bench_turn(&bench);
		if (!packed)
			assert_marked((uint64_t[]){ USED_AT, DATA + 4096 * 3, DATA + 4096 * 4 }, 3);
		else
			assert_marked((uint64_t[]){ DRIVER_GUEST_BASE, DATA + 4096 * 3, DATA + 4096 * 4 }, 3);
		bench_end(&bench);
		log_close();
	}
}

/* The migration begins while the chain is in flight. */
static void the_log_comes_later(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		log_open();
		bench_begin(&bench, packed, BENCH_SIZE, 0);
		bench_start(&bench);
		add_across_pages(5);
		assert_int_equal(bench.device.held_count, 1);
		virtqueue_set_log(bench.queue, dirty, USED_AT);
		echo_answer_all(&bench.device);
		bench_turn(&bench);
		add_across_pages(9);
		echo_answer_all(&bench.device);
		bench_turn(&bench);
		bitmap[(DATA / 4096 + 9) / 8] &= (uint8_t)~(1 << (DATA / 4096 + 9) % 8);
		bitmap[(DATA / 4096 + 10) / 8] &= (uint8_t)~(1 << (DATA / 4096 + 10) % 8);
		assert_answer_marked(DATA + 4096 * 5, DATA + 4096 * 6);

		/* It ends: nothing more is marked. */
		virtqueue_set_log(bench.queue, NULL, UINT64_MAX);
		add_across_pages(7);
		echo_answer_all(&bench.device);
		bench_turn(&bench);
		assert_marked(NULL, 0);
		bench_end(&bench);
		log_close();
	}
}

/* The used ring is not to be logged (the VMM did not ask for it): the data is. */
static void the_used_ring_is_not_logged_unasked(void **state)
{
	log_open();
	bench_begin(&bench, false, BENCH_SIZE, 0);
	bench.setup.log = dirty;
	bench.setup.log_used_guest = UINT64_MAX;
	bench_start(&bench);
	add_across_pages(2);
	echo_answer_all(&bench.device);
	bench_turn(&bench);
	assert_marked((uint64_t[]){ DATA + 4096 * 2, DATA + 4096 * 3 }, 2);
	bench_end(&bench);
	log_close();
}

/* With the event index the wish lies behind the used ring: in its own page, where the ring is large. */
static void the_available_event_is_logged(void **state)
{
	log_open();
	bench_begin(&bench, false, 2048, FEATURE(VIRTIO_RING_F_EVENT_IDX));
	bench.setup.log = dirty;
	bench_start(&bench);
	assert_marked(&(uint64_t){ USED_AT + 4 + 8 * 2048 }, 1);
	bench_end(&bench);
	log_close();
}

/* A chain that began in the old memory is logged by the old memory's addresses. */
static void the_log_and_a_change_of_memory(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct guest_memory *new;

		log_open();
		bench_begin(&bench, packed, BENCH_SIZE, 0);
		bench_start(&bench);
		add_across_pages(4);
		new = ring_driver_map(&bench.driver);
		virtqueue_set_memory(bench.queue, new, bench_released, &bench);
		guest_memory_put(new);
		virtqueue_set_log(bench.queue, dirty, USED_AT);
		echo_answer_all(&bench.device);
		bench_turn(&bench);
		assert_int_equal(bench.released, 1);
		assert_marked((uint64_t[]){ packed ? DRIVER_GUEST_BASE : USED_AT, DATA + 4096 * 4,
					    DATA + 4096 * 5 },
			      3);
		bench_end(&bench);
		log_close();
	}
}

/* ---- addresses inside requests ---- */

static size_t reach(uint64_t gpa, size_t bytes, const void **ret_host)
{
	struct virtio_queue *offered = bench.device.held_by[0];

	return offered->ops->reach(offered, gpa, bytes, ret_host);
}

/* As much as lies in one piece: of what lies across two regions the first part, and then the rest. */
static void a_model_reaches_guest_memory(void **state)
{
	static const uint64_t outside[] = { OUTSIDE, DRIVER_GUEST_BASE - 1,
					    DRIVER_GUEST_BASE + 2 * DRIVER_REGION_BYTES, UINT64_MAX, 0 };
	const uint64_t last = DRIVER_GUEST_BASE + 2 * DRIVER_REGION_BYTES - 1;
	const uint8_t *host = NULL;

	bench_begin(&bench, false, BENCH_SIZE, 0);
	bench_start(&bench);
	bench_add(&bench, 0);
	kick();
	bench_fill(&bench, BORDER - 4, 8, 1);
	assert_int_equal(reach(BORDER - 4, 8, (const void **)&host), 4);
	assert_memory_equal(host, "\1\2\3\4", 4);
	assert_int_equal(reach(BORDER, 4, (const void **)&host), 4);
	assert_memory_equal(host, "\5\6\7\10", 4);
	assert_int_equal(reach(BORDER - 4, 4, (const void **)&host), 4);
	assert_int_equal(reach(last, SIZE_MAX, (const void **)&host), 1);
	for (unsigned i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		host = NULL;
		assert_int_equal(reach(outside[i], 8, (const void **)&host), 0);
		assert_null(host);
	}
	bench_end(&bench);
}

/* What the new memory has not is not reached, where the old one had it. */
static void a_model_reaches_the_memory_of_now(void **state)
{
	struct guest_memory *one = NULL;
	const void *host;

	bench_begin(&bench, false, BENCH_SIZE, 0);
	bench_start(&bench);
	bench_add(&bench, 0);
	kick();
	assert_int_equal(reach(BORDER, 8, &host), 8);
	assert_int_equal(guest_memory_remove(bench.driver.memory, BORDER, DRIVER_REGION_BYTES,
					     DRIVER_USER_BASE + DRIVER_USER_GAP, &one),
			 0);
	virtqueue_set_memory(bench.queue, one, bench_released, &bench);
	guest_memory_put(one);
	assert_int_equal(reach(BORDER, 8, &host), 0);
	assert_int_equal(reach(BORDER - 8, 16, &host), 8);
	bench_end(&bench);
}

static void a_model_of_a_broken_ring_reaches_nothing(void **state)
{
	const void *host;

	bench_begin(&bench, false, BENCH_SIZE, 0);
	bench_start(&bench);
	bench_add(&bench, 0);
	kick();
	assert_int_equal(reach(DATA, 8, &host), 8);
	bench_publish(&bench, BENCH_SIZE);
	kick();
	assert_int_equal(bench.broken, 1);
	assert_int_equal(reach(DATA, 8, &host), 0);
	bench_end(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(released_after_the_last_chain),
		cmocka_unit_test(released_at_once_when_nothing_is_in_flight),
		cmocka_unit_test(changes_under_load),
		cmocka_unit_test(the_log_knows_what_was_written),
		cmocka_unit_test(the_log_comes_later),
		cmocka_unit_test(the_used_ring_is_not_logged_unasked),
		cmocka_unit_test(the_available_event_is_logged),
		cmocka_unit_test(the_log_and_a_change_of_memory),
		cmocka_unit_test(a_model_reaches_guest_memory),
		cmocka_unit_test(a_model_reaches_the_memory_of_now),
		cmocka_unit_test(a_model_of_a_broken_ring_reaches_nothing),
	};

	return cmocka_run_group_tests_name("virtqueue_memory", tests, NULL, NULL);
}
