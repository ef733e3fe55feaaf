/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The heap of the disk scheduler: random insertions, moves and removals against a look at every key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "arbiter/share/scheduler_heap.h"

#define ITEMS 40u

static struct scheduler_heap heap;
static struct heap_place places[ITEMS];
static uint64_t keys[ITEMS], random_state = 7;

static uint64_t random_below(uint64_t limit)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (random_state >> 33) % limit;
}

static uint64_t least_key(void)
{
	uint64_t least = HEAP_KEY_NONE;

	for (unsigned i = 0; i < ITEMS; i++)
		if (heap_holds(&places[i]) && keys[i] < least)
			least = keys[i];
	return least;
}

static void least_is_on_top(void **state)
{
	assert_int_equal(heap_least(&heap), HEAP_KEY_NONE);
	assert_int_equal(heap_reserve(&heap, ITEMS), 0);
	for (unsigned step = 0; step < 20000; step++) {
		unsigned i = (unsigned)random_below(ITEMS);
		/* Few different keys, so that many are equal. */
		uint64_t key = random_below(step % 2 ? 8 : 1000);

		if (!heap_holds(&places[i])) {
			heap_insert(&heap, &places[i], keys[i] = key);
		} else if (random_below(3) == 0) {
			heap_remove(&heap, &places[i]);
			assert_false(heap_holds(&places[i]));
		} else {
			heap_move(&heap, &places[i], keys[i] = key);
		}
		assert_int_equal(heap_least(&heap), least_key());
	}
	for (unsigned i = 0; i < ITEMS; i++)
		if (heap_holds(&places[i]))
			heap_remove(&heap, &places[i]);
	heap_finish(&heap);
}

/* Entries keep their places while the heap grows, and a grown heap has room for what was asked. */
static void room_grows(void **state)
{
	for (unsigned i = 0; i < ITEMS; i++) {
		assert_int_equal(heap_reserve(&heap, i + 1), 0);
		heap_insert(&heap, &places[i], ITEMS - i);
		assert_int_equal(heap_least(&heap), ITEMS - i);
	}
	for (unsigned i = ITEMS; i-- > 0;) {
		assert_ptr_equal(heap.entries[0].place, &places[i]);
		heap_remove(&heap, &places[i]);
	}
	heap_finish(&heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(least_is_on_top),
		cmocka_unit_test(room_grows),
	};

	return cmocka_run_group_tests_name("scheduler_heap", tests, NULL, NULL);
}
