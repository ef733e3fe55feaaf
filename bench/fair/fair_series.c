/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fair_series.h"

#include <errno.h>
#include <stdlib.h>

int fair_series_init(struct fair_series *series, unsigned milliseconds)
{
	series->bins = milliseconds;
	series->bin = calloc(milliseconds, sizeof(*series->bin));
	return series->bin ? 0 : -ENOMEM;
}

void fair_series_finish(struct fair_series *series)
{
	free(series->bin);
	*series = (struct fair_series){0};
}

void fair_series_add(struct fair_series *series, uint64_t ms, uint64_t bytes, uint64_t device_ns)
{
	struct fair_bin *bin;

	if (ms >= series->bins)
		return;
	bin = &series->bin[ms];
	bin->value[FAIR_REQUESTS]++;
	bin->value[FAIR_BYTES] += bytes;
	bin->value[FAIR_DEVICE_NS] += device_ns;
}

uint64_t fair_series_sum(const struct fair_series *series, enum fair_measure measure, unsigned from_ms,
			 unsigned to_ms)
{
	uint64_t sum = 0;

	for (unsigned ms = from_ms; ms < to_ms && ms < series->bins; ms++)
		sum += series->bin[ms].value[measure];
	return sum;
}

double fair_jain(const double *value, unsigned n)
{
	double sum = 0, squares = 0;

	for (unsigned i = 0; i < n; i++) {
		sum += value[i];
		squares += value[i] * value[i];
	}
	return squares > 0 ? sum * sum / (n * squares) : 0;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double fair_median(double *value, unsigned n)
{
	qsort(value, n, sizeof(*value), compare);
	return (value[(n - 1) / 2] + value[n / 2]) / 2;
}

double fair_excess(const struct fair_series *series, enum fair_measure measure, double per_s,
		   unsigned from_ms, unsigned to_ms)
{
	double level = 0, highest = 0;

	for (unsigned ms = from_ms; ms < to_ms && ms < series->bins; ms++) {
		level += (double)series->bin[ms].value[measure] - per_s / 1000;
		if (level < 0)
			level = 0;
		if (level > highest)
			highest = level;
	}
	return highest;
}

unsigned fair_reached_ms(const struct fair_series *series, enum fair_measure measure, double level,
			 unsigned window_ms, unsigned from_ms, unsigned to_ms)
{
	for (unsigned end = from_ms + window_ms; end <= to_ms; end++)
		if ((double)fair_series_sum(series, measure, end - window_ms, end) >= level)
			return end - from_ms;
	return to_ms - from_ms;
}
