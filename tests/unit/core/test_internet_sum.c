/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sum of the Internet's checksums against the definition, in pieces of every length and alignment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/big_endian.h"
#include "core/internet_sum.h"

#define BYTES 160u

/* RFC 1071, 3: the bytes 00 01 f2 03 f4 f5 f6 f7 have the sum ddf2. */
static void known_sum(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };
	struct internet_sum sum = { 0 };

	assert_int_equal(internet_sum_fold(&sum), 0);
	internet_sum_add(&sum, bytes, sizeof(bytes));
	assert_int_equal(be16toh(internet_sum_fold(&sum)), 0xddf2);
	internet_sum_add_word(&sum, htobe16(0x2210));
	assert_int_equal(be16toh(internet_sum_fold(&sum)), 0x0003);
}

/* The definition: two bytes at a time, the first one the higher, the carry added at once. */
static uint16_t naive(const uint8_t *bytes, unsigned count)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < count; i++) {
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

static void fill(uint8_t *bytes, unsigned what)
{
	uint32_t seed = what;

	for (unsigned i = 0; i < BYTES; i++) {
		seed = seed * 1664525 + 1013904223;
		bytes[i] = what == 0 ? 0xff : (uint8_t)(seed >> 24);
	}
}

static void every_piece(void **state)
{
	uint8_t bytes[BYTES];

	for (unsigned what = 0; what < 3; what++) {
		fill(bytes, what);
		for (unsigned start = 0; start < 8; start++) {
			for (unsigned length = 0; length <= BYTES - start; length++) {
				struct internet_sum sum = { 0 };

				internet_sum_add(&sum, bytes + start, length);
				assert_int_equal(be16toh(internet_sum_fold(&sum)),
						 naive(bytes + start, length));
			}
		}
	}
}

static void three_pieces(void **state)
{
	uint8_t bytes[BYTES];

	fill(bytes, 7);
	for (unsigned first = 0; first <= 40; first++) {
		for (unsigned second = 0; second <= 40; second++) {
			struct internet_sum sum = { 0 };

			internet_sum_add(&sum, bytes, first);
			internet_sum_add(&sum, bytes + first, second);
			internet_sum_add(&sum, bytes + first + second, BYTES - first - second);
			assert_int_equal(be16toh(internet_sum_fold(&sum)), naive(bytes, BYTES));
		}
	}
}

/* More carries than 32 bits hold. */
static void large(void **state)
{
	static uint8_t bytes[1u << 20];
	struct internet_sum sum = { 0 };

	memset(bytes, 0xff, sizeof(bytes));
	for (unsigned i = 0; i < 64; i++)
		internet_sum_add(&sum, bytes, sizeof(bytes));
	assert_int_equal(internet_sum_fold(&sum), 0xffff);
	internet_sum_add(&sum, "\0\1", 2);
	assert_int_equal(be16toh(internet_sum_fold(&sum)), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_sum),
		cmocka_unit_test(every_piece),
		cmocka_unit_test(three_pieces),
		cmocka_unit_test(large),
	};

	return cmocka_run_group_tests_name("internet_sum", tests, NULL, NULL);
}
