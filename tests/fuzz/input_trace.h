/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a target did with one input, as a number: the replay program runs every input twice, with other inputs
 * before it, and compares. A target adds what can be seen from outside: bytes, results, orders.
 */
#ifndef VIADUCT_TESTS_INPUT_TRACE_H
#define VIADUCT_TESTS_INPUT_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Off while the fuzzer runs, which needs the time for more inputs. */
extern bool fuzz_trace_on;
extern uint64_t fuzz_trace_hash;

static inline void fuzz_trace(const void *bytes, size_t count)
{
	if (!fuzz_trace_on)
		return;
	for (size_t i = 0; i < count; i++)
		fuzz_trace_hash = (fuzz_trace_hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3ull;
}

static inline void fuzz_trace_number(uint64_t number)
{
	fuzz_trace(&number, sizeof(number));
}

#endif
