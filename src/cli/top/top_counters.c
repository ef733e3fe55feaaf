/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/top/top_counters.h"

static uint64_t grown(uint64_t before, uint64_t now)
{
	return now >= before ? now - before : 0;
}

void top_traffic_subtract(struct top_traffic *delta, const struct top_traffic *before,
			  const struct top_traffic *now)
{
	delta->count = grown(before->count, now->count);
	delta->bytes = grown(before->bytes, now->bytes);
}

void top_traffic_add(struct top_traffic *sum, const struct top_traffic *delta)
{
	sum->count += delta->count;
	sum->bytes += delta->bytes;
}

static void subtract_histogram(struct histogram *delta, const struct histogram *before,
			       const struct histogram *now)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		delta->bucket[i].value = grown(before->bucket[i].value, now->bucket[i].value);
}

void top_counters_subtract(struct top_counters *delta, const struct top_counters *before,
			   const struct top_counters *now)
{
	delta->operations = grown(before->operations, now->operations);
	top_traffic_subtract(&delta->in, &before->in, &now->in);
	top_traffic_subtract(&delta->out, &before->out, &now->out);
	delta->device_ns = grown(before->device_ns, now->device_ns);
	delta->cpu_ns = grown(before->cpu_ns, now->cpu_ns);
	delta->throttled_ns = grown(before->throttled_ns, now->throttled_ns);
	delta->contended_ns = grown(before->contended_ns, now->contended_ns);
	delta->latency_ns = grown(before->latency_ns, now->latency_ns);
	delta->dropped = grown(before->dropped, now->dropped);
	subtract_histogram(&delta->latency, &before->latency, &now->latency);
}

void top_counters_add(struct top_counters *sum, const struct top_counters *delta)
{
	sum->operations += delta->operations;
	top_traffic_add(&sum->in, &delta->in);
	top_traffic_add(&sum->out, &delta->out);
	sum->device_ns += delta->device_ns;
	sum->cpu_ns += delta->cpu_ns;
	sum->throttled_ns += delta->throttled_ns;
	sum->contended_ns += delta->contended_ns;
	sum->latency_ns += delta->latency_ns;
	sum->dropped += delta->dropped;
	histogram_merge(&sum->latency, &delta->latency);
}
