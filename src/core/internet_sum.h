/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sum that IP, TCP, UDP and ICMP put the complement of into their headers (RFC 1071): of 16-bit words,
 * the carry added again. The words are taken as they lie in memory, and the result is stored as it is: the
 * sum is the same in either byte order (RFC 1071, 2 B).
 */
#ifndef VIADUCT_CORE_INTERNET_SUM_H
#define VIADUCT_CORE_INTERNET_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Starts as { 0 }. Takes bytes piece by piece, of any alignment and of odd lengths, too. */
struct internet_sum {
	uint64_t words;
	bool odd; /* so many bytes came until now */
};

void internet_sum_add(struct internet_sum *sum, const void *data, size_t bytes);

/* Adds a word that no piece has, as it would lie in memory. */
static inline void internet_sum_add_word(struct internet_sum *sum, uint16_t word)
{
	sum->words += word;
}

/* The sum itself; a header gets its complement. */
uint16_t internet_sum_fold(const struct internet_sum *sum);

#endif
