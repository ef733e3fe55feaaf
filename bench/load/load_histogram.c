/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "load.h"

#define STEPS_BITS 6u
#define STEPS	   (1u << STEPS_BITS)

static unsigned bucket_of(uint64_t ns)
{
	unsigned power, index;

	if (ns < STEPS)
		return (unsigned)ns;
	power = 63 - (unsigned)__builtin_clzll(ns);
	index = (power - STEPS_BITS + 1) * STEPS + (unsigned)(ns >> (power - STEPS_BITS) & (STEPS - 1));
	return index < LOAD_HISTOGRAM_BUCKETS ? index : LOAD_HISTOGRAM_BUCKETS - 1;
}

static double middle_of(unsigned bucket)
{
	unsigned power;

	if (bucket < STEPS)
		return bucket;
	power = bucket / STEPS + STEPS_BITS - 1;
	return (double)(1ull << power) * (1.0 + (bucket % STEPS + 0.5) / STEPS);
}

void load_histogram_add(struct load_histogram *histogram, uint64_t ns)
{
	histogram->bucket[bucket_of(ns)]++;
	histogram->count++;
	if (ns > histogram->max_ns)
		histogram->max_ns = ns;
}

void load_histogram_merge(struct load_histogram *to, const struct load_histogram *from)
{
	for (unsigned i = 0; i < LOAD_HISTOGRAM_BUCKETS; i++)
		to->bucket[i] += from->bucket[i];
	to->count += from->count;
	if (from->max_ns > to->max_ns)
		to->max_ns = from->max_ns;
}

double load_histogram_ns(const struct load_histogram *histogram, double fraction)
{
	uint64_t wanted = (uint64_t)((double)histogram->count * fraction), seen = 0;

	for (unsigned i = 0; i < LOAD_HISTOGRAM_BUCKETS; i++) {
		seen += histogram->bucket[i];
		if (seen > wanted || (seen == histogram->count && seen > 0))
			return middle_of(i);
	}
	return 0;
}
