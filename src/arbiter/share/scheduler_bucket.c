/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/share/scheduler_bucket.h"

#include <assert.h>

#include "core/clock.h"

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void fill(struct scheduler_bucket *bucket, uint64_t now_ns)
{
	assert(now_ns >= bucket->filled_ns);
	bucket->level += (bucket_level)(now_ns - bucket->filled_ns) * bucket->rate;
	if (bucket->level > bucket->capacity)
		bucket->level = bucket->capacity;
	bucket->filled_ns = now_ns;
}

void bucket_set(struct scheduler_bucket *bucket, uint64_t rate, uint64_t burst_ns, uint64_t least_tokens,
		uint64_t now_ns)
{
	bucket_level capacity;
	uint64_t old = bucket->rate;

	fill(bucket, now_ns);
	bucket->rate = least(rate, BUCKET_RATE_MAX);
	capacity = (bucket_level)bucket->rate * least(burst_ns, BUCKET_BURST_MAX_NS);
	if (capacity < (bucket_level)least_tokens * NS_PER_S)
		capacity = (bucket_level)least_tokens * NS_PER_S;
	if (old == 0 || bucket->level > capacity)
		bucket->level = capacity;
	else if (bucket->level < 0 && (old != bucket->rate || capacity != bucket->capacity))
		bucket->level = 0;
	bucket->capacity = capacity;
	assert(bucket->level <= capacity);
}

uint64_t bucket_wait_ns(struct scheduler_bucket *bucket, uint64_t tokens, uint64_t now_ns)
{
	bucket_level wanted = (bucket_level)tokens * NS_PER_S;
	bucket_level missing;

	if (bucket->rate == 0)
		return 0;
	fill(bucket, now_ns);
	missing = (wanted < bucket->capacity ? wanted : bucket->capacity) - bucket->level;
	if (missing <= 0)
		return 0;
	missing += bucket->rate - 1;
	/* A division of 64 bits is several times cheaper, and almost always enough. */
	if (missing <= INT64_MAX)
		return (uint64_t)missing / bucket->rate;
	missing /= bucket->rate;
	return missing <= INT64_MAX ? (uint64_t)missing : INT64_MAX;
}

void bucket_take(struct scheduler_bucket *bucket, uint64_t tokens)
{
	assert(bucket->level <= bucket->capacity);
	if (bucket->rate != 0)
		bucket->level -= (bucket_level)tokens * NS_PER_S;
}
