/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A limit: a bucket into which `rate` tokens a second flow, up to a capacity, and which each request empties
 * by its amount (1, or its bytes). A request may go when the bucket holds its amount; one that is larger than
 * the capacity when the bucket is full, and the bucket then is in debt.
 *
 * The level is counted in 1e-9 tokens, so that what flows in during n nanoseconds is exactly n * rate: there
 * is no rounding, and no error that adds up.
 */
#ifndef VIADUCT_ARBITER_SHARE_SCHEDULER_BUCKET_H
#define VIADUCT_ARBITER_SHARE_SCHEDULER_BUCKET_H

#include <stdint.h>

typedef __int128 bucket_level;

/* So that no product overflows; both are far beyond what a device does. */
#define BUCKET_RATE_MAX	    (1ull << 50)
#define BUCKET_BURST_MAX_NS (1ull << 40)

struct scheduler_bucket {
	uint64_t rate;			/* tokens a second; 0: no limit */
	uint64_t filled_ns;		/* the level is of this moment */
	bucket_level level, capacity;
};

/*
 * Another rate or capacity: burst_ns worth of the rate, at least least_tokens. A bucket that had no limit
 * starts full; another one keeps what it holds, but no debt.
 */
void bucket_set(struct scheduler_bucket *bucket, uint64_t rate, uint64_t burst_ns, uint64_t least_tokens,
		uint64_t now_ns);

/* Nanoseconds until `tokens` may be taken; 0: now. Fills the bucket up to now. */
uint64_t bucket_wait_ns(struct scheduler_bucket *bucket, uint64_t tokens, uint64_t now_ns);

/* After bucket_wait_ns() said 0. */
void bucket_take(struct scheduler_bucket *bucket, uint64_t tokens);

#endif
