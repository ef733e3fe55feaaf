/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counters and latency histograms: one writer thread each, any number of readers, no locks.
 * A reader may see a sum that misses the newest events; it never sees a torn value.
 */
#ifndef VIADUCT_CORE_STATS_H
#define VIADUCT_CORE_STATS_H

#include <stdint.h>

struct counter {
	uint64_t value;
};

static inline void counter_add(struct counter *counter, uint64_t n)
{
	uint64_t old = __atomic_load_n(&counter->value, __ATOMIC_RELAXED);

	__atomic_store_n(&counter->value, old + n, __ATOMIC_RELAXED);
}

static inline uint64_t counter_read(const struct counter *counter)
{
	return __atomic_load_n(&counter->value, __ATOMIC_RELAXED);
}

/*
 * Logarithmic histogram of nanoseconds: 4 buckets for every power of two, so a quantile is exact within
 * 25 %. Values from 0 to 2^40 ns (18 minutes); larger ones count in the last bucket.
 */
#define HISTOGRAM_BUCKETS 160

struct histogram {
	struct counter bucket[HISTOGRAM_BUCKETS];
	struct counter count;
	struct counter sum_ns;
};

static inline unsigned histogram_bucket(uint64_t ns)
{
	unsigned power, index;

	if (ns < 4)
		return (unsigned)ns;
	power = 63 - (unsigned)__builtin_clzll(ns);
	index = (power - 1) * 4 + (unsigned)((ns >> (power - 2)) & 3);
	return index < HISTOGRAM_BUCKETS ? index : HISTOGRAM_BUCKETS - 1;
}

static inline void histogram_add(struct histogram *histogram, uint64_t ns)
{
	counter_add(&histogram->bucket[histogram_bucket(ns)], 1);
	counter_add(&histogram->count, 1);
	counter_add(&histogram->sum_ns, ns);
}

/* Upper bound (ns, exclusive) of a bucket. */
uint64_t histogram_bucket_limit_ns(unsigned bucket);

/* Adds `from` to `to`: to join the histograms of several workers. */
void histogram_merge(struct histogram *to, const struct histogram *from);

/* The value (ns) below which `fraction` (0..1) of the events lie; 0 when there were none. */
uint64_t histogram_quantile_ns(const struct histogram *histogram, double fraction);

#endif
