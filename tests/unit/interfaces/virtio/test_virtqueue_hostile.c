/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings that break the rules. Each lie is told while two good chains are in flight, and must have the same
 * consequences: one report with the reason and the offending value; nothing more is taken; the chains in
 * flight complete, into nothing; the queue stops as always.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <unistd.h>

#include "queue_bench.h"

#define TABLE	 (DATA + 8192)
#define INDIRECT FEATURE(VIRTIO_RING_F_INDIRECT)
#define LAST	 (BENCH_SIZE - 1)	/* the slot of bench_single() */

static struct queue_bench bench;
static bool provoked[VIOLATIONS];

enum { SPLIT = 1, PACKED = 2, BOTH = 3 };

struct lie {
	const char *name;
	unsigned formats;
	uint64_t features;
	void (*tell)(void);
	enum virtqueue_violation violation;
	uint64_t split_value, packed_value;
};

/* ---- lies of split rings ---- */

static void available_jump(void)
{
	ring_driver_available(&bench.driver)->idx = (uint16_t)(bench.driver.next_available + BENCH_SIZE + 1);
}

static void available_back(void)
{
	ring_driver_available(&bench.driver)->idx = (uint16_t)(bench.driver.next_available - 1);
}

static void head_outside(void)
{
	bench_publish(&bench, BENCH_SIZE);
}

static void head_far_outside(void)
{
	bench_publish(&bench, 0xffff);
}

static void head_in_flight(void)
{
	bench_publish(&bench, 0);
}

static void next_outside(void)
{
	bench_split(&bench, 8, DATA, 8, DESCRIPTOR_NEXT, BENCH_SIZE);
	bench_publish(&bench, 8);
}

static void loop_of_one(void)
{
	bench_split(&bench, 8, DATA, 8, DESCRIPTOR_NEXT, 8);
	bench_publish(&bench, 8);
}

static void loop_of_two(void)
{
	bench_split(&bench, 8, DATA, 8, DESCRIPTOR_NEXT, 9);
	bench_split(&bench, 9, DATA, 8, DESCRIPTOR_NEXT, 8);
	bench_publish(&bench, 8);
}

static void loop_of_nothing(void)
{
	bench_split(&bench, 8, DATA, 0, DESCRIPTOR_NEXT, 8);
	bench_publish(&bench, 8);
}

static void table_and_next(void)
{
	bench_split(&bench, 8, TABLE, 16, DESCRIPTOR_INDIRECT | DESCRIPTOR_NEXT, 9);
	bench_publish(&bench, 8);
}

static void next_outside_the_table(void)
{
	bench_table(&bench, TABLE, 0, DATA, 8, DESCRIPTOR_NEXT, 2);
	bench_single(&bench, TABLE, 32, DESCRIPTOR_INDIRECT);
}

static void loop_in_a_table(void)
{
	bench_table(&bench, TABLE, 0, DATA, 8, DESCRIPTOR_NEXT, 0);
	bench_single(&bench, TABLE, 16, DESCRIPTOR_INDIRECT);
}

/* ---- lies of packed rings ---- */

static void id_outside(void)
{
	bench_packed(&bench, DATA, 8, BENCH_SIZE, 0);
}

static void id_in_flight(void)
{
	bench_packed(&bench, DATA, 8, 0, 0);
}

static void chain_round_the_ring(void)
{
	for (unsigned i = 0; i < BENCH_SIZE; i++)
		bench_packed(&bench, DATA, 8, LAST, DESCRIPTOR_NEXT);
}

static void packed_table_and_next(void)
{
	bench_packed(&bench, TABLE, 16, LAST, DESCRIPTOR_INDIRECT | DESCRIPTOR_NEXT);
	bench_packed(&bench, DATA, 8, LAST, 0);
}

/* ---- lies of both ---- */

static void table(void)
{
	bench_table(&bench, TABLE, 0, DATA, 8, 0, 0);
	bench_single(&bench, TABLE, 16, DESCRIPTOR_INDIRECT);
}

static void table_in_a_table(void)
{
	bench_table(&bench, TABLE, 0, TABLE, 16, DESCRIPTOR_INDIRECT, 0);
	bench_single(&bench, TABLE, 16, DESCRIPTOR_INDIRECT);
}

static void table_of_nothing(void)
{
	bench_single(&bench, TABLE, 0, DESCRIPTOR_INDIRECT);
}

static void table_of_15_bytes(void)
{
	bench_single(&bench, TABLE, 15, DESCRIPTOR_INDIRECT);
}

static void table_of_17_bytes(void)
{
	bench_single(&bench, TABLE, 17, DESCRIPTOR_INDIRECT);
}

static void huge_table(void)
{
	bench_single(&bench, TABLE, 32769 * 16, DESCRIPTOR_INDIRECT);
}

static void table_outside(void)
{
	bench_single(&bench, OUTSIDE, 16, DESCRIPTOR_INDIRECT);
}

static void table_that_wraps(void)
{
	bench_single(&bench, UINT64_MAX - 15, 32, DESCRIPTOR_INDIRECT);
}

/* Its second entry lies behind the end of memory. */
static void table_half_outside(void)
{
	uint64_t end = BORDER + DRIVER_REGION_BYTES;

	bench_table(&bench, end - 16, 0, DATA, 8, DESCRIPTOR_NEXT, 1);
	bench_single(&bench, end - 16, 32, DESCRIPTOR_INDIRECT);
}

/* 259 entries of good bytes: one more than a chain may have. */
static void table_too_long(void)
{
	for (unsigned i = 0; i < 259; i++)
		bench_table(&bench, TABLE, i, DATA, 1, i < 258 ? DESCRIPTOR_NEXT : 0, i + 1);
	bench_single(&bench, TABLE, 259 * 16, DESCRIPTOR_INDIRECT);
}

/* 258 descriptors are allowed, but the seventh range across the border is the 265th element. */
static void too_many_elements(void)
{
	for (unsigned i = 0; i < 258; i++)
		bench_table(&bench, TABLE, i, i < 7 ? BORDER - 1 : DATA, 2, i < 257 ? DESCRIPTOR_NEXT : 0,
			    i + 1);
	bench_single(&bench, TABLE, 258 * 16, DESCRIPTOR_INDIRECT);
}

/* The same, but the last range is the one across the border and finds room for its first half only. */
static void too_many_elements_at_the_end(void)
{
	for (unsigned i = 0; i < 258; i++)
		bench_table(&bench, TABLE, i, i < 6 || i == 257 ? BORDER - 1 : DATA, 2,
			    i < 257 ? DESCRIPTOR_NEXT : 0, i + 1);
	bench_single(&bench, TABLE, 258 * 16, DESCRIPTOR_INDIRECT);
}

/* Two descriptors; the second one breaks the rule. */
static void pair(uint64_t address, uint32_t length, unsigned flags, uint64_t second, uint32_t second_length,
		 unsigned second_flags)
{
	if (bench.driver.packed) {
		bench_packed(&bench, address, length, LAST, flags | DESCRIPTOR_NEXT);
		bench_packed(&bench, second, second_length, LAST, second_flags);
	} else {
		bench_split(&bench, 8, address, length, flags | DESCRIPTOR_NEXT, 9);
		bench_split(&bench, 9, second, second_length, second_flags, 0);
		bench_publish(&bench, 8);
	}
}

static void readable_after_writable(void)
{
	pair(DATA, 8, DESCRIPTOR_WRITE, DATA + 64, 8, 0);
}

static void range_that_wraps(void)
{
	pair(DATA, 8, 0, UINT64_MAX - 7, 9, 0);
}

static void four_gigabytes(void)
{
	pair(DATA, 0x80000000u, 0, DATA + 64, 0x80000000u, 0);
}

static void four_gigabytes_both_ways(void)
{
	pair(DATA, 0xffffffffu, 0, DATA + 64, 1, DESCRIPTOR_WRITE);
}

/* Not the ring's but the device's rule: its data lies nowhere, and this device cannot even answer. */
static void no_request(void)
{
	bench_single(&bench, OUTSIDE, 8, DESCRIPTOR_WRITE);
}

static const struct lie lies[] = {
	{ "available jump", SPLIT, 0, available_jump, VIOLATION_AVAILABLE_JUMP, 2 + BENCH_SIZE + 1, 0 },
	{ "available back", SPLIT, 0, available_back, VIOLATION_AVAILABLE_JUMP, 1, 0 },
	{ "head outside", SPLIT, 0, head_outside, VIOLATION_HEAD, BENCH_SIZE, 0 },
	{ "head far outside", SPLIT, 0, head_far_outside, VIOLATION_HEAD, 0xffff, 0 },
	{ "head in flight", SPLIT, 0, head_in_flight, VIOLATION_HEAD, 0, 0 },
	{ "next outside", SPLIT, 0, next_outside, VIOLATION_NEXT, BENCH_SIZE, 0 },
	{ "loop of one", SPLIT, 0, loop_of_one, VIOLATION_LOOP, 8, 0 },
	{ "loop of two", SPLIT, 0, loop_of_two, VIOLATION_LOOP, 8, 0 },
	{ "loop of nothing", SPLIT, 0, loop_of_nothing, VIOLATION_LOOP, 8, 0 },
	{ "table and next", SPLIT, INDIRECT, table_and_next, VIOLATION_INDIRECT, TABLE, 0 },
	{ "next outside the table", SPLIT, INDIRECT, next_outside_the_table, VIOLATION_NEXT, TABLE, 0 },
	{ "loop in a table", SPLIT, INDIRECT, loop_in_a_table, VIOLATION_LOOP, TABLE, 0 },
	{ "id outside", PACKED, 0, id_outside, VIOLATION_HEAD, 0, BENCH_SIZE },
	{ "id in flight", PACKED, 0, id_in_flight, VIOLATION_HEAD, 0, 0 },
	/* Good chains have two descriptors each: the next one is the fifth. */
	{ "round the ring", PACKED, 0, chain_round_the_ring, VIOLATION_LOOP, 0, 4 },
	{ "packed table and next", PACKED, INDIRECT, packed_table_and_next, VIOLATION_INDIRECT, 0, 4 },
	{ "table not negotiated", BOTH, 0, table, VIOLATION_INDIRECT, TABLE, TABLE },
	{ "table in a table", BOTH, INDIRECT, table_in_a_table, VIOLATION_INDIRECT, TABLE, TABLE },
	{ "table of nothing", BOTH, INDIRECT, table_of_nothing, VIOLATION_INDIRECT, TABLE, TABLE },
	{ "table of 15 bytes", BOTH, INDIRECT, table_of_15_bytes, VIOLATION_INDIRECT, TABLE, TABLE },
	{ "table of 17 bytes", BOTH, INDIRECT, table_of_17_bytes, VIOLATION_INDIRECT, TABLE, TABLE },
	{ "huge table", BOTH, INDIRECT, huge_table, VIOLATION_INDIRECT, TABLE, TABLE },
	{ "table outside", BOTH, INDIRECT, table_outside, VIOLATION_ADDRESS, OUTSIDE, OUTSIDE },
	{ "table that wraps", BOTH, INDIRECT, table_that_wraps, VIOLATION_ADDRESS, UINT64_MAX - 15,
	  UINT64_MAX - 15 },
	{ "table half outside", BOTH, INDIRECT, table_half_outside, VIOLATION_ADDRESS,
	  BORDER + DRIVER_REGION_BYTES - 16, BORDER + DRIVER_REGION_BYTES - 16 },
	{ "table too long", BOTH, INDIRECT, table_too_long, VIOLATION_LOOP, TABLE, TABLE },
	{ "too many elements", BOTH, INDIRECT, too_many_elements, VIOLATION_LOOP, TABLE, TABLE },
	{ "too many at the end", BOTH, INDIRECT, too_many_elements_at_the_end, VIOLATION_LOOP, TABLE, TABLE },
	{ "readable after writable", BOTH, 0, readable_after_writable, VIOLATION_ORDER, DATA + 64,
	  DATA + 64 },
	{ "range that wraps", BOTH, 0, range_that_wraps, VIOLATION_ADDRESS, UINT64_MAX - 7, UINT64_MAX - 7 },
	{ "four gigabytes", BOTH, 0, four_gigabytes, VIOLATION_LENGTH, DATA + 64, DATA + 64 },
	{ "four gigabytes both ways", BOTH, 0, four_gigabytes_both_ways, VIOLATION_LENGTH, DATA + 64,
	  DATA + 64 },
	{ "no request", BOTH, 0, no_request, VIOLATION_REQUEST, LAST, LAST },
};

/* Two good chains that the device holds. */
static void begin(bool packed, uint64_t features)
{
	bench_begin(&bench, packed, BENCH_SIZE, features);
	bench_start(&bench);
	bench_add(&bench, 0);
	bench_add(&bench, 1);
	/* Descriptor chains that a split lie may name stay out of their way. */
	ring_driver_kick(&bench.driver);
	bench_turn(&bench);
	assert_int_equal(bench.device.held_count, 2);
	ring_driver_called(&bench.driver);
}

static void assert_broken(const char *name, enum virtqueue_violation violation, uint64_t value)
{
	unsigned taken = bench.device.taken;

	if (bench.broken != 1 || bench.violation != violation || bench.value != value)
		fail_msg("%s: %u reports, %s, %llx", name, bench.broken,
			 virtqueue_violation_text(bench.violation), (unsigned long long)bench.value);
	provoked[violation] = true;

	/* A good chain is not taken any more, and nothing is reported twice. */
	bench_single(&bench, DATA + 1024, 8, DESCRIPTOR_WRITE);
	ring_driver_kick(&bench.driver);
	bench_turn(&bench);
	assert_int_equal(bench.device.taken, taken);
	echo_answer_all(&bench.device);
	bench_turn(&bench);
	bench_take_none(&bench);
	assert_false(ring_driver_called(&bench.driver));
	bench_stop(&bench);
	assert_int_equal(bench.broken, 1);
	bench_end(&bench);
}

static void tell(const struct lie *lie, bool packed, uint64_t more_features)
{
	begin(packed, lie->features | more_features);
	lie->tell();
	ring_driver_kick(&bench.driver);
	bench_turn(&bench);
	assert_broken(lie->name, lie->violation, packed ? lie->packed_value : lie->split_value);
}

static void lies_are_found(void **state)
{
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		if (lies[i].formats & SPLIT)
			tell(&lies[i], false, 0);
		if (lies[i].formats & PACKED)
			tell(&lies[i], true, 0);
	}
}

static void lies_with_every_ring_feature(void **state)
{
	uint64_t features = FEATURE(VIRTIO_RING_F_EVENT_IDX) | FEATURE(VIRTIO_F_IN_ORDER);

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		if (lies[i].formats & SPLIT)
			tell(&lies[i], false, features);
		if (lies[i].formats & PACKED)
			tell(&lies[i], true, features);
	}
}

static void the_ring_is_not_in_the_new_memory(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct guest_memory *without;

		begin(packed, 0);
		assert_int_equal(guest_memory_remove(bench.driver.memory, DRIVER_GUEST_BASE,
						     DRIVER_REGION_BYTES, DRIVER_USER_BASE, &without),
				 0);
		virtqueue_set_memory(bench.queue, without, bench_released, &bench);
		guest_memory_put(without);
		bench_turn(&bench);
		assert_int_equal(bench.released, 0);
		assert_broken("ring address", VIOLATION_RING_ADDRESS, DRIVER_USER_BASE);
		assert_int_equal(bench.released, 1);
	}
}

/* The VMM truncates the file under the running ring: the next look at it, or the next answer, finds out. */
static void the_memory_file_is_truncated(void **state)
{
	for (int i = 0; i < 4; i++) {
		begin(i / 2, 0);
		assert_int_equal(ftruncate(bench.driver.memory_fd, 0), 0);
		if (i % 2)
			ring_driver_kick(&bench.driver);
		else
			echo_answer_all(&bench.device);
		bench_turn(&bench);
		assert_int_equal(bench.broken, 1);
		assert_int_equal(bench.violation, VIOLATION_MEMORY_LOST);
		provoked[VIOLATION_MEMORY_LOST] = true;
		echo_answer_all(&bench.device);
		bench_turn(&bench);
		bench_stop(&bench);
		assert_int_equal(bench.broken, 1);
		bench_end(&bench);
	}
}

/* Only the data pages went: the ring breaks all the same, because the guest's memory is not the guest's. */
static void data_behind_the_ring_is_truncated(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		begin(packed, 0);
		assert_int_equal(ftruncate(bench.driver.memory_fd, DRIVER_DATA_OFFSET), 0);
		echo_answer_all(&bench.device);
		bench_turn(&bench);
		assert_int_equal(bench.broken, 1);
		assert_int_equal(bench.violation, VIOLATION_MEMORY_LOST);
		bench_end(&bench);
	}
}

static void every_violation_was_provoked(void **state)
{
	for (unsigned i = VIOLATION_NONE + 1; i < VIOLATIONS; i++)
		/* These: test_inflight.c; test_virtqueue_waits.c, because a thread has to wait for them. */
		if (i != VIOLATION_INFLIGHT && i != VIOLATION_CALL && i != VIOLATION_WAIT && !provoked[i])
			fail_msg("%s was not", virtqueue_violation_text((enum virtqueue_violation)i));
	for (unsigned i = 0; i < VIOLATIONS; i++)
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(virtqueue_violation_text((enum virtqueue_violation)i),
						virtqueue_violation_text((enum virtqueue_violation)j));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lies_are_found),
		cmocka_unit_test(lies_with_every_ring_feature),
		cmocka_unit_test(the_ring_is_not_in_the_new_memory),
		cmocka_unit_test(the_memory_file_is_truncated),
		cmocka_unit_test(data_behind_the_ring_is_truncated),
		cmocka_unit_test(every_violation_was_provoked),
	};

	return cmocka_run_group_tests_name("virtqueue_hostile", tests, NULL, NULL);
}
