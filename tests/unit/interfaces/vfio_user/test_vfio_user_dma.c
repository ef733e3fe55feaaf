/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Maps and unmaps, against the model of pages. */
#include "dma_bench.h"

/* ---- overlaps ---- */

/* Two ranges with a gap between them; each range over them, mapped or unmapped, is tried. */
static void overlaps_in_all_positions(void **state)
{
	for (unsigned from = 0; from < 10; from++) {
		for (unsigned to = from + 1; to <= 10; to++) {
			for (int kind = -2; kind < 3; kind++) {
				assert_int_equal(map(2, 3, 0, 5), 0);
				assert_int_equal(map(6, 2, 1, 9), 0);
				check();
				if (kind == -2)
					assert_int_equal(unmap(from, to - from), 0);
				else
					assert_int_equal(map(from, to - from, kind, 20), 0);
				check();
				assert_int_equal(unmap(0, PAGES), 0);
				check();
				assert_int_equal(dma.count, 0);
			}
		}
	}
}

/* What a request began with stays as it was. */
static void older_sets_stay(void **state)
{
	struct guest_memory *before;

	assert_int_equal(map(0, 8, 0, 0), 0);
	before = guest_memory_get(dma.memory);
	assert_int_equal(map(2, 2, 1, 0), 0);
	assert_int_equal(unmap(6, 1), 0);
	check();
	for (unsigned page = 0; page < 8; page++)
		assert_true(found_at(before, BASE + page * PAGE) == word_of(0, page));
	vfio_user_dma_unmap_all(&dma);
	memset(expected, 0, sizeof(expected));
	check();
	for (unsigned page = 0; page < 8; page++)
		assert_true(found_at(before, BASE + page * PAGE) == word_of(0, page));
	guest_memory_put(before);
}

/* A VMM says the same again, after a reboot for instance. */
static void the_same_again(void **state)
{
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(map(0, 8, 0, 4), 0);
		assert_int_equal(map(10, 8, -1, 4), 0);
		check();
		assert_int_equal(dma.count, 2);
	}
	/* Known, and now in a file; and the other way. */
	assert_int_equal(map(10, 8, 1, 4), 0);
	assert_int_equal(map(0, 8, -1, 4), 0);
	check();
	assert_int_equal(dma.count, 2);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(unmap(0, 8), 0);
		assert_int_equal(unmap(10, 8), 0);
		check();
		assert_int_equal(dma.count, 0);
	}
}

/* Known, and not reached: without a file, or not for reading and writing. */
static void ranges_that_are_only_known(void **state)
{
	for (uint32_t flags = 0; flags < 4; flags++) {
		assert_int_equal(map_bytes(BASE, PAGE, 0, flags, files[0]), 0);
		expected[0] = flags == READ_WRITE ? word_of(0, 0) : KNOWN;
		check();
		assert_int_equal(map_bytes(BASE + PAGE, PAGE, 0, flags, -1), 0);
		expected[1] = KNOWN;
		check();
	}
	/* The descriptor of one that is not reached stays the caller's. */
	{
		const struct vfio_user_dma_map read_only = { .flags = 1, .address = BASE, .size = PAGE };
		int fd = files[0];

		assert_int_equal(vfio_user_dma_map(&dma, &read_only, &fd), 0);
		assert_int_equal(fd, files[0]);
	}
}

static void random_maps(void **state)
{
	for (uint64_t round = 1; round <= 4; round++) {
		uint64_t seed = round * 0x9e3779b97f4a7c15;

		for (unsigned i = 0; i < 1500; i++) {
			unsigned from = test_below(&seed, PAGES), pages = 1 + test_below(&seed, PAGES - from);
			int file = (int)test_below(&seed, FILES + 1) - 1;

			if (test_below(&seed, 2))
				pages = 1 + pages / 6;
			if (test_below(&seed, 3) == 0)
				assert_int_equal(unmap(from, pages), 0);
			else
				assert_int_equal(
					map(from, pages, file, test_below(&seed, FILE_PAGES - pages + 1)), 0);
			check();
		}
		vfio_user_dma_unmap_all(&dma);
		memset(expected, 0, sizeof(expected));
		check();
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(overlaps_in_all_positions),  TEST(older_sets_stay), TEST(the_same_again),
		TEST(ranges_that_are_only_known), TEST(random_maps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
