/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/stats.h"

#include <assert.h>

uint64_t histogram_bucket_limit_ns(unsigned bucket)
{
	unsigned power;

	assert(bucket < HISTOGRAM_BUCKETS);
	if (bucket < 4)
		return bucket + 1;
	power = bucket / 4 + 1;
	return (1ull << power) + ((uint64_t)(bucket % 4) + 1) * (1ull << (power - 2));
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		counter_add(&to->bucket[i], counter_read(&from->bucket[i]));
	counter_add(&to->count, counter_read(&from->count));
	counter_add(&to->sum_ns, counter_read(&from->sum_ns));
}

uint64_t histogram_quantile_ns(const struct histogram *histogram, double fraction)
{
	uint64_t total = 0, seen = 0, wanted;

	assert(fraction >= 0 && fraction <= 1);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		total += counter_read(&histogram->bucket[i]);
	if (total == 0)
		return 0;
	wanted = (uint64_t)((double)total * fraction);
	if (wanted >= total)
		wanted = total - 1;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += counter_read(&histogram->bucket[i]);
		if (seen > wanted)
			return histogram_bucket_limit_ns(i);
	}
	return histogram_bucket_limit_ns(HISTOGRAM_BUCKETS - 1);
}
