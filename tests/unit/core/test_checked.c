/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checked arithmetic against 128-bit arithmetic, at the values where it breaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/checked.h"

__extension__ typedef unsigned __int128 wide;

static const uint64_t values[] = {
	0, 1, 2, 3, 511, 512, 4096, UINT32_MAX - 1, UINT32_MAX, UINT32_MAX + 1ull, 1ull << 33, INT64_MAX,
	INT64_MAX + 1ull, UINT64_MAX - 512, UINT64_MAX - 1, UINT64_MAX,
};
#define VALUES (sizeof(values) / sizeof(values[0]))
#define UNTOUCHED 0x5a5a5a5a5a5a5a5aull

static void add(void **state)
{
	for (size_t i = 0; i < VALUES; i++) {
		for (size_t j = 0; j < VALUES; j++) {
			wide sum = (wide)values[i] + values[j];
			uint64_t result = UNTOUCHED;

			assert_int_equal(checked_add(values[i], values[j], &result), sum <= UINT64_MAX);
			assert_true(result == (sum <= UINT64_MAX ? (uint64_t)sum : UNTOUCHED));
		}
	}
}

static void multiply(void **state)
{
	for (size_t i = 0; i < VALUES; i++) {
		for (size_t j = 0; j < VALUES; j++) {
			wide product = (wide)values[i] * values[j];
			uint64_t result = UNTOUCHED;

			assert_int_equal(checked_mul(values[i], values[j], &result), product <= UINT64_MAX);
			assert_true(result == (product <= UINT64_MAX ? (uint64_t)product : UNTOUCHED));
		}
	}
}

static void range(void **state)
{
	for (size_t i = 0; i < VALUES; i++)
		for (size_t j = 0; j < VALUES; j++)
			for (size_t k = 0; k < VALUES; k++)
				assert_int_equal(checked_range(values[i], values[j], values[k]),
						 (wide)values[i] + values[j] <= values[k]);
}

static void range_at_the_end(void **state)
{
	assert_true(checked_range(4096, 0, 4096));
	assert_false(checked_range(4097, 0, 4096));
	assert_true(checked_range(0, 4096, 4096));
	assert_false(checked_range(1, 4096, 4096));
	assert_false(checked_range(UINT64_MAX, 1, 4096));
	assert_false(checked_range(1, UINT64_MAX, 4096));
	assert_false(checked_range(4095, UINT64_MAX - 4094, 4096));
}

static void powers(void **state)
{
	assert_false(is_power_of_two(0));
	for (unsigned bit = 0; bit < 64; bit++) {
		assert_true(is_power_of_two(1ull << bit));
		if (bit > 0)
			assert_false(is_power_of_two((1ull << bit) | 1));
		if (bit > 1)
			assert_false(is_power_of_two((1ull << bit) - 1));
	}
}

static void alignment(void **state)
{
	for (uint64_t n = 0; n < 64; n++) {
		for (uint64_t power = 1; power <= 16; power *= 2) {
			assert_int_equal(is_aligned(n, power), n % power == 0);
			assert_int_equal(align_down(n, power), n / power * power);
			assert_int_equal(align_up(n, power), (n + power - 1) / power * power);
		}
	}
	assert_true(align_down(UINT64_MAX, 4096) == UINT64_MAX - 4095);
	assert_true(align_up(UINT64_MAX - 4095, 4096) == UINT64_MAX - 4095);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(add),		   cmocka_unit_test(multiply), cmocka_unit_test(range),
		cmocka_unit_test(range_at_the_end), cmocka_unit_test(powers),   cmocka_unit_test(alignment),
	};

	return cmocka_run_group_tests_name("checked", tests, NULL, NULL);
}
