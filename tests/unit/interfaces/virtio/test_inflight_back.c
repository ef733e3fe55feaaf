/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chains that go back, with an INFLIGHT region: a process that is killed afterwards, or between any two
 * stores of giving back, leaves a region from which the next one finds every buffer once, in its order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "receiver.h"

#define SIZE 4u

/* Where the protocol has them, on purpose not taken from the code under test. */
#define PACKED_FREE_HEAD     12u
#define PACKED_OLD_FREE_HEAD 14u
#define PACKED_ENTRY(i)	     (32u + 32u * (i))
#define SPLIT_ENTRY(i)	     (16u + 16u * (i))
#define ENTRY_NEXT	     2u

static struct queue_bench bench;
static uint8_t *region;
static size_t region_bytes;

static void begin(bool packed)
{
	receiver_begin(&bench, packed, SIZE, 0);
	region_bytes = inflight_region_bytes(packed, SIZE);
	region = aligned_alloc(64, region_bytes);
	assert_non_null(region);
	memset(region, 0, region_bytes);
	bench.setup.inflight = region;
	bench_start(&bench);
}

static void end(void)
{
	bench_end(&bench);
	free(region);
}

static unsigned in_flight(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < SIZE; i++)
		count += region[bench.driver.packed ? PACKED_ENTRY(i) : SPLIT_ENTRY(i)] == 1;
	return count;
}

/* As after SIGKILL: guest memory stays as it is, the region is `left`, the process forgets. */
static void killed(const uint8_t *left)
{
	uint8_t *memory = malloc(3 * DRIVER_REGION_BYTES);

	assert_non_null(memory);
	memcpy(memory, bench.driver.file, 3 * DRIVER_REGION_BYTES);
	receiver_give_back(receiver.held_count);
	bench_stop(&bench);
	memcpy(bench.driver.file, memory, 3 * DRIVER_REGION_BYTES);
	free(memory);
	memcpy(region, left, region_bytes);
	/* A front end that lost its back end knows only what the ring says. */
	bench.setup.position = (struct virtqueue_position){
		.available_idx = bench.driver.packed ? 0 : ring_driver_used(&bench.driver)->idx,
		.available_wrap = true,
		.used_wrap = true,
	};
	bench_start(&bench);
}

/* The buffers `first` … come once each, in their order; then the whole ring is used several times over. */
static void assert_goes_on(unsigned first, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		assert_true(receiver_deliver());
	assert_false(receiver_deliver());
	bench_turn(&bench);
	for (unsigned i = 0; i < count; i++)
		receiver_assert_used(&bench, first + i, (uint8_t)(receiver.next_frame - count + i + 1));
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < SIZE; i++)
			receiver_post(&bench, i);
		assert_int_equal(receiver_take(SIZE), SIZE);
		assert_int_equal(in_flight(), SIZE);
		receiver_give_back(SIZE - 1);
		assert_int_equal(in_flight(), 1);
		receiver_complete(0);
		for (unsigned i = 1; i < SIZE; i++)
			assert_true(receiver_deliver());
		bench_turn(&bench);
		for (unsigned i = 0; i < SIZE; i++)
			receiver_assert_used(&bench, i, (uint8_t)(receiver.next_frame - SIZE + i + 1));
		assert_int_equal(in_flight(), 0);
	}
	assert_int_equal(bench.broken, 0);
}

/* One buffer used, then three taken and two given back: one was in flight, and is taken again first. */
static void killed_after_giving_back(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		uint8_t *left;

		begin(packed);
		for (unsigned place = 0; place < 4; place++)
			receiver_post(&bench, place);
		assert_true(receiver_deliver());
		bench_turn(&bench);
		receiver_assert_used(&bench, 0, 1);
		assert_int_equal(receiver_take(3), 3);
		receiver_give_back(2);
		assert_int_equal(in_flight(), 1);
		left = malloc(region_bytes);
		memcpy(left, region, region_bytes);
		killed(left);
		free(left);
		assert_goes_on(1, 3);
		end();
	}
}

/* The stores of one chain's giving back, in their order; `entry` is the chain's. Returns how many. */
static unsigned stores_of(unsigned entry, size_t *offsets, size_t *bytes)
{
	const size_t packed[] = { PACKED_ENTRY(entry) + ENTRY_NEXT, PACKED_FREE_HEAD, PACKED_OLD_FREE_HEAD,
				  PACKED_ENTRY(entry) };

	if (!bench.driver.packed) {
		offsets[0] = SPLIT_ENTRY(entry);
		bytes[0] = 1;
		return 1;
	}
	for (unsigned i = 0; i < 4; i++) {
		offsets[i] = packed[i];
		bytes[i] = i < 3 ? 2 : 1;
	}
	return 4;
}

/* The second of two taken goes back; the process dies before store `alive`. Returns whether it is one. */
static bool killed_at(bool packed, unsigned alive)
{
	uint8_t before[512], after[512];
	size_t offsets[4], bytes[4];
	unsigned stores, entry = 1;

	begin(packed);
	assert_true(region_bytes <= sizeof(before));
	for (unsigned place = 0; place < 3; place++)
		receiver_post(&bench, place);
	assert_int_equal(receiver_take(2), 2);
	memcpy(before, region, region_bytes);
	receiver_give_back(1);
	memcpy(after, region, region_bytes);
	stores = stores_of(entry, offsets, bytes);
	/* That these are all the stores there are: */
	for (unsigned i = 0; i < stores; i++)
		memcpy(region + offsets[i], before + offsets[i], bytes[i]);
	assert_memory_equal(region, before, region_bytes);
	for (unsigned i = 0; i < stores && i < alive; i++)
		memcpy(before + offsets[i], after + offsets[i], bytes[i]);
	memcpy(region, after, region_bytes);
	killed(before);
	assert_goes_on(0, 3);
	end();
	return alive <= stores;
}

static void killed_while_giving_back(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		unsigned alive = 0;

		while (killed_at(packed, alive))
			alive++;
		assert_int_equal(alive, packed ? 5 : 2);
	}
}

/* What a predecessor had in flight may go back too, and is taken again in the same order. */
static void recovered_and_given_back(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		uint8_t *left;

		begin(packed);
		for (unsigned place = 0; place < 4; place++)
			receiver_post(&bench, place);
		assert_int_equal(receiver_take(3), 3);
		left = malloc(region_bytes);
		memcpy(left, region, region_bytes);
		killed(left);
		free(left);
		for (unsigned i = 0; i < 3; i++) {
			/* Those of the predecessor come by themselves. */
			assert_int_equal(receiver_take(4), 3);
			assert_int_equal(receiver_take(1), 1);
			receiver_give_back(4);
			assert_int_equal(in_flight(), 3);
		}
		assert_goes_on(0, 4);
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_after_giving_back),
		cmocka_unit_test(killed_while_giving_back),
		cmocka_unit_test(recovered_and_given_back),
	};

	return cmocka_run_group_tests_name("inflight_back", tests, NULL, NULL);
}
