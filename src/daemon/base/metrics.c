/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/base/metrics.h"

#include "core/clock.h"
#include "core/stats.h"

/* Latency buckets exported: every second power of two from 2^12 ns (4 us) to 2^34 ns (17 s). */
#define LATENCY_POWER_FIRST 12
#define LATENCY_POWER_LAST  34

void metrics_head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_sample(FILE *out, const char *name, const char *labels, uint64_t value, bool ns)
{
	if (ns)
		fprintf(out, "%s{%s} %.9f\n", name, labels, (double)value / (double)NS_PER_S);
	else
		fprintf(out, "%s{%s} %llu\n", name, labels, (unsigned long long)value);
}

/* The index of the last bucket below 2^power: there are four for each power of two (core/stats.h). */
static unsigned bucket_below(unsigned power)
{
	return (power - 2) * 4 + 3;
}

void metrics_histogram(FILE *out, const char *name, const char *labels, const struct histogram *histogram)
{
	uint64_t below = 0;
	unsigned bucket = 0;

	for (unsigned power = LATENCY_POWER_FIRST; power <= LATENCY_POWER_LAST; power += 2) {
		for (; bucket <= bucket_below(power); bucket++)
			below += counter_read(&histogram->bucket[bucket]);
		fprintf(out, "%s_bucket{%s,le=\"%.9g\"} %llu\n", name, labels,
			(double)(1ull << power) / (double)NS_PER_S, (unsigned long long)below);
	}
	for (; bucket < HISTOGRAM_BUCKETS; bucket++)
		below += counter_read(&histogram->bucket[bucket]);
	fprintf(out, "%s_bucket{%s,le=\"+Inf\"} %llu\n", name, labels, (unsigned long long)below);
	fprintf(out, "%s_sum{%s} %.9f\n", name, labels,
		(double)counter_read(&histogram->sum_ns) / (double)NS_PER_S);
	fprintf(out, "%s_count{%s} %llu\n", name, labels, (unsigned long long)below);
}
