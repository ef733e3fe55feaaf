/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checked arithmetic on numbers that come from outside (from a guest, a VMM, a file). Every function
 * returns false, and leaves its output untouched, when the result cannot be represented.
 */
#ifndef VIADUCT_CORE_CHECKED_H
#define VIADUCT_CORE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

static inline bool checked_add(uint64_t a, uint64_t b, uint64_t *ret_sum)
{
	uint64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return false;
	*ret_sum = sum;
	return true;
}

static inline bool checked_mul(uint64_t a, uint64_t b, uint64_t *ret_product)
{
	uint64_t product;

	if (__builtin_mul_overflow(a, b, &product))
		return false;
	*ret_product = product;
	return true;
}

/* True when [offset, offset + length) lies inside [0, size). An empty range at the end is inside. */
static inline bool checked_range(uint64_t offset, uint64_t length, uint64_t size)
{
	return length <= size && offset <= size - length;
}

static inline bool is_power_of_two(uint64_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

static inline bool is_aligned(uint64_t n, uint64_t power_of_two)
{
	return (n & (power_of_two - 1)) == 0;
}

static inline uint64_t align_down(uint64_t n, uint64_t power_of_two)
{
	return n & ~(power_of_two - 1);
}

/* The caller knows that n + power_of_two does not wrap. */
static inline uint64_t align_up(uint64_t n, uint64_t power_of_two)
{
	return align_down(n + power_of_two - 1, power_of_two);
}

#endif
