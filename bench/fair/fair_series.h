/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest got in every millisecond, and the metrics of sharing. Pure: no clock, no I/O. */
#ifndef VIADUCT_BENCH_FAIR_SERIES_H
#define VIADUCT_BENCH_FAIR_SERIES_H

#include <stdint.h>

enum fair_measure { FAIR_REQUESTS, FAIR_BYTES, FAIR_DEVICE_NS, FAIR_MEASURES };

struct fair_bin {
	uint64_t value[FAIR_MEASURES];
};

struct fair_series {
	struct fair_bin *bin; /* one a millisecond */
	unsigned bins;
};

/* Returns 0 or -ENOMEM. */
int fair_series_init(struct fair_series *series, unsigned milliseconds);
void fair_series_finish(struct fair_series *series);
/* One request completed at `ms`; what is later than the last bin is not counted. */
void fair_series_add(struct fair_series *series, uint64_t ms, uint64_t bytes, uint64_t device_ns);
/* Over [from_ms, to_ms). */
uint64_t fair_series_sum(const struct fair_series *series, enum fair_measure measure, unsigned from_ms,
			 unsigned to_ms);

/* Jain's index of n values: 1 when all are equal, 1/n when one has everything; of nothing it is 0. */
double fair_jain(const double *value, unsigned n);
/* The middle of n values (the mean of the two in the middle); sorts them. n > 0. */
double fair_median(double *value, unsigned n);

/*
 * The largest excess over a rate of `per_s` in any window of any length inside [from_ms, to_ms): how much a
 * limit was overshot. A leaky bucket that empties at that rate and never goes below 0 stands highest there.
 */
double fair_excess(const struct fair_series *series, enum fair_measure measure, double per_s,
		   unsigned from_ms, unsigned to_ms);

/*
 * When the series reached a level: the end of the first window of window_ms inside [from_ms, to_ms) that
 * holds at least `level`, in ms after from_ms; to_ms - from_ms if there is none.
 */
unsigned fair_reached_ms(const struct fair_series *series, enum fair_measure measure, double level,
			 unsigned window_ms, unsigned from_ms, unsigned to_ms);

#endif
