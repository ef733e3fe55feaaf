/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Metrics in Prometheus' text format 0.0.4. Names are guest/disk names and need no escapes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "daemon/api/api.h"
#include "daemon/daemon.h"
#include "interfaces/endpoint.h"

/* Latency buckets exported: every second power of two from 2^12 ns (4 us) to 2^34 ns (17 s). */
#define LATENCY_POWER_FIRST 12
#define LATENCY_POWER_LAST  34

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* "guest="alice",disk="root"" without braces. */
static void labels(FILE *out, const struct daemon_disk *disk)
{
	fprintf(out, "guest=\"%s\",disk=\"%s\"", disk->guest, disk->short_name);
}

/* ---- disks ---- */

/* All that is exported of one disk, read once so that the lines agree with each other. */
struct sample {
	const struct daemon_disk *disk;
	struct disk_stats stats;
	struct endpoint_status status;
	struct config_share share;
};

static struct sample *take_samples(struct daemon *daemon, unsigned *ret_count)
{
	struct sample *samples;
	unsigned count = 0;

	for (struct daemon_disk *disk = daemon->disks; disk; disk = disk->next)
		count++;
	samples = calloc(count + 1, sizeof(*samples));
	if (!samples)
		return NULL;
	*ret_count = count;
	count = 0;
	for (struct daemon_disk *disk = daemon->disks; disk; disk = disk->next) {
		struct sample *sample = &samples[count++];

		sample->disk = disk;
		sample->share = share_effective(daemon, SHARE_OF_DISK, disk->name, NULL);
		if (disk->disk)
			disk_stats_read(disk->disk, &sample->stats);
		if (disk->endpoint)
			endpoint_status(disk->endpoint, &sample->status);
	}
	return samples;
}

static void print_operations(FILE *out, const struct sample *samples, unsigned count, bool bytes)
{
	const char *name = bytes ? "viaduct_disk_bytes_total" : "viaduct_disk_operations_total";

	head(out, name, "counter", bytes ? "Bytes of requests completed." : "Requests completed.");
	for (const struct sample *sample = samples; sample < samples + count; sample++) {
		for (unsigned i = 0; i < DISK_OPS; i++) {
			uint64_t value =
				counter_read(bytes ? &sample->stats.bytes[i] : &sample->stats.operations[i]);

			fprintf(out, "%s{", name);
			labels(out, sample->disk);
			fprintf(out, ",operation=\"%s\"} %llu\n", disk_op_text(i), (unsigned long long)value);
		}
	}
}

/* The index of the last bucket below 2^power: there are four for each power of two (core/stats.h). */
static unsigned bucket_below(unsigned power)
{
	return (power - 2) * 4 + 3;
}

/* `more`: further labels, each with a comma before it. */
static void print_histogram(FILE *out, const char *name, const struct daemon_disk *disk, const char *more,
			    const struct histogram *histogram)
{
	uint64_t below = 0;
	unsigned bucket = 0;

	for (unsigned power = LATENCY_POWER_FIRST; power <= LATENCY_POWER_LAST; power += 2) {
		for (; bucket <= bucket_below(power); bucket++)
			below += counter_read(&histogram->bucket[bucket]);
		fprintf(out, "%s_bucket{", name);
		labels(out, disk);
		fprintf(out, "%s,le=\"%.9g\"} %llu\n", more, (double)(1ull << power) / (double)NS_PER_S,
			(unsigned long long)below);
	}
	for (; bucket < HISTOGRAM_BUCKETS; bucket++)
		below += counter_read(&histogram->bucket[bucket]);
	fprintf(out, "%s_bucket{", name);
	labels(out, disk);
	fprintf(out, "%s,le=\"+Inf\"} %llu\n%s_sum{", more, (unsigned long long)below, name);
	labels(out, disk);
	fprintf(out, "%s} %.9f\n%s_count{", more, (double)counter_read(&histogram->sum_ns) / (double)NS_PER_S,
		name);
	labels(out, disk);
	fprintf(out, "%s} %llu\n", more, (unsigned long long)below);
}

static void print_latencies(FILE *out, const struct sample *samples, unsigned count)
{
	static const char latency[] = "viaduct_disk_latency_seconds", wait[] = "viaduct_disk_wait_seconds";

	head(out, latency, "histogram", "From taking a request to its completion.");
	for (const struct sample *sample = samples; sample < samples + count; sample++) {
		for (unsigned i = 0; i < DISK_OPS; i++) {
			char operation[48];

			snprintf(operation, sizeof(operation), ",operation=\"%s\"", disk_op_text(i));
			print_histogram(out, latency, sample->disk, operation, &sample->stats.latency[i]);
		}
	}
	head(out, wait, "histogram",
	     "Wait of a request for its turn at the physical disk; those that had to wait.");
	for (const struct sample *sample = samples; sample < samples + count; sample++)
		print_histogram(out, wait, sample->disk, "", &sample->stats.gate.wait);
}

/* The single numbers of a disk: what they are called and where they are. */
struct number {
	const char *name, *type, *help;
	uint64_t (*read)(const struct sample *sample);
	bool ns;		/* told in seconds */
};

static uint64_t read_errors(const struct sample *sample)
{
	return counter_read(&sample->stats.errors);
}

static uint64_t read_refused(const struct sample *sample)
{
	return counter_read(&sample->stats.refused);
}

static uint64_t read_in_flight(const struct sample *sample)
{
	return counter_read(&sample->stats.in_flight);
}

static uint64_t read_size(const struct sample *sample)
{
	return sample->disk->disk ? disk_size_bytes(sample->disk->disk) : 0;
}

static uint64_t read_served(const struct sample *sample)
{
	return sample->disk->endpoint != NULL;
}

static uint64_t read_connections(const struct sample *sample)
{
	return sample->status.connections;
}

static uint64_t read_queues(const struct sample *sample)
{
	return sample->status.queues_running;
}

static uint64_t read_broken(const struct sample *sample)
{
	return sample->status.broken;
}

static uint64_t read_connects(const struct sample *sample)
{
	return sample->status.connects;
}

static uint64_t read_refused_connects(const struct sample *sample)
{
	return sample->status.refused_connects;
}

static uint64_t read_protocol_errors(const struct sample *sample)
{
	return sample->status.protocol_errors;
}

static uint64_t read_kicks(const struct sample *sample)
{
	return sample->status.kicks;
}

static uint64_t read_chains(const struct sample *sample)
{
	return sample->status.chains;
}

static uint64_t read_calls(const struct sample *sample)
{
	return sample->status.calls;
}

static uint64_t read_suppressed(const struct sample *sample)
{
	return sample->status.calls_suppressed;
}

static uint64_t read_device(const struct sample *sample)
{
	return counter_read(&sample->stats.gate.device_ns);
}

static uint64_t read_cpu(const struct sample *sample)
{
	return sample->status.cpu_ns;
}

static uint64_t read_throttled(const struct sample *sample)
{
	return counter_read(&sample->stats.gate.throttled_ns);
}

static uint64_t read_contended(const struct sample *sample)
{
	return counter_read(&sample->stats.gate.contended_ns);
}

static uint64_t read_waiting(const struct sample *sample)
{
	return counter_read(&sample->stats.gate.waiting);
}

static const struct number numbers[] = {
	{ "viaduct_disk_errors_total", "counter", "Requests that failed on the physical disk.", read_errors },
	{ "viaduct_disk_refused_total", "counter",
	  "Requests refused: outside the disk, read-only, misaligned.", read_refused },
	{ "viaduct_disk_in_flight", "gauge", "Requests in flight.", read_in_flight },
	{ "viaduct_disk_size_bytes", "gauge", "Size of the virtual disk.", read_size },
	{ "viaduct_disk_served", "gauge", "1 when the disk is served, 0 when it is not available.",
	  read_served },
	{ "viaduct_disk_connections", "gauge", "Front ends connected.", read_connections },
	{ "viaduct_disk_queues_running", "gauge", "Queues running.", read_queues },
	{ "viaduct_disk_broken", "gauge", "1 when a violation stopped the device.", read_broken },
	{ "viaduct_disk_connects_total", "counter", "Front ends that connected.", read_connects },
	{ "viaduct_disk_refused_connects_total", "counter", "Front ends that were refused.",
	  read_refused_connects },
	{ "viaduct_disk_protocol_errors_total", "counter", "vhost-user messages refused.",
	  read_protocol_errors },
	{ "viaduct_disk_kicks_total", "counter", "Notifications from drivers.", read_kicks },
	{ "viaduct_disk_chains_total", "counter", "Descriptor chains taken.", read_chains },
	{ "viaduct_disk_calls_total", "counter", "Interrupts sent to drivers.", read_calls },
	{ "viaduct_disk_calls_suppressed_total", "counter", "Interrupts that drivers did not want.",
	  read_suppressed },
	{ "viaduct_disk_device_seconds_total", "counter", "Time of the physical disk that its requests took.",
	  read_device, true },
	{ "viaduct_disk_cpu_seconds_total", "counter",
	  "CPU time of the daemon's workers that the device took.", read_cpu, true },
	{ "viaduct_disk_throttled_seconds_total", "counter", "Waits of requests because of limits, added up.",
	  read_throttled, true },
	{ "viaduct_disk_contended_seconds_total", "counter", "Waits of requests because of others, added up.",
	  read_contended, true },
	{ "viaduct_disk_waiting", "gauge", "Requests that wait for their turn.", read_waiting },
};

static void print_numbers(FILE *out, const struct sample *samples, unsigned count)
{
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		const struct number *number = &numbers[i];

		head(out, number->name, number->type, number->help);
		for (const struct sample *sample = samples; sample < samples + count; sample++) {
			fprintf(out, "%s{", number->name);
			labels(out, sample->disk);
			if (number->ns)
				fprintf(out, "} %.9f\n", (double)number->read(sample) / (double)NS_PER_S);
			else
				fprintf(out, "} %llu\n", (unsigned long long)number->read(sample));
		}
	}
}

static void print_violations(FILE *out, const struct sample *samples, unsigned count)
{
	head(out, "viaduct_disk_violations_total", "counter", "Rings stopped because they broke the rules.");
	for (const struct sample *sample = samples; sample < samples + count; sample++) {
		const struct endpoint_violations *violations = sample->status.violations;

		for (unsigned i = 0; i < ENDPOINT_VIOLATIONS_MAX && violations[i].text; i++) {
			fputs("viaduct_disk_violations_total{", out);
			labels(out, sample->disk);
			fprintf(out, ",reason=\"%s\"} %llu\n", violations[i].text,
				(unsigned long long)violations[i].count);
		}
	}
}

/* ---- shares ---- */

/* In the order of enum config_share_key; guests and groups have no latency target. */
static const struct share_metric {
	const char *name, *help;
	double unit;
} share_metrics[SHARE_KEYS] = {
	{ "weight", "Weight of its share of the physical disk's time.", 1 },
	{ "min_iops", "Requests a second reserved.", 1 },
	{ "max_iops", "Requests a second allowed; 0: no limit.", 1 },
	{ "min_bandwidth_bytes", "Bytes a second reserved.", 1 },
	{ "max_bandwidth_bytes", "Bytes a second allowed; 0: no limit.", 1 },
	{ "burst_seconds", "So much of the limits may be saved up.", 1e-3 },
	{ "latency_target_seconds", "Wished time inside the physical disk; 0: none.", 1e-6 },
};

static void print_disk_shares(FILE *out, const struct sample *samples, unsigned count)
{
	for (unsigned i = 0; i < SHARE_KEYS; i++) {
		const struct share_metric *metric = &share_metrics[i];
		char name[64];

		snprintf(name, sizeof(name), "viaduct_disk_%s", metric->name);
		head(out, name, "gauge", metric->help);
		for (const struct sample *sample = samples; sample < samples + count; sample++) {
			fprintf(out, "%s{", name);
			labels(out, sample->disk);
			fprintf(out, "} %.12g\n", (double)sample->share.value[i] * metric->unit);
		}
	}
}

/* Of the declared groups or guests. */
static void print_shares(FILE *out, struct daemon *daemon, enum share_kind kind,
			 const struct config_object *list)
{
	struct config_share *shares;
	size_t count = 0;

	for (const struct config_object *object = list; object; object = object->next)
		count++;
	shares = calloc(count + 1, sizeof(*shares));
	if (!shares)
		return;
	count = 0;
	for (const struct config_object *object = list; object; object = object->next)
		shares[count++] = share_effective(daemon, kind, object->name, NULL);
	for (unsigned i = 0; i < SHARE_LATENCY_TARGET; i++) {
		const struct share_metric *metric = &share_metrics[i];
		char name[64];

		snprintf(name, sizeof(name), "viaduct_%s_%s", share_kind_text(kind), metric->name);
		head(out, name, "gauge", metric->help);
		count = 0;
		for (const struct config_object *object = list; object; object = object->next)
			fprintf(out, "%s{%s=\"%s\"} %.12g\n", name, share_kind_text(kind), object->name,
				(double)shares[count++].value[i] * metric->unit);
	}
	free(shares);
}

static double gate_iops(const struct share_gate *gate)
{
	struct disk_cost cost;

	gate_cost(gate->gate, &cost);
	return (double)disk_cost_iops(&cost);
}

static double gate_bandwidth(const struct share_gate *gate)
{
	struct disk_cost cost;

	gate_cost(gate->gate, &cost);
	return (double)disk_cost_bandwidth(&cost);
}

static double gate_reserved(const struct share_gate *gate)
{
	return (double)gate_reserved_ppb(gate->gate) / 1e9;
}

static double carried_rate(const struct share_gate *gate)
{
	return gate_rate(gate->gate);
}

/* Physical disks are labelled as their pool, or as the virtual disk that they are. */
static void print_capacities(FILE *out, struct daemon *daemon)
{
	static const struct {
		const char *name, *help;
		double (*read)(const struct share_gate *gate);
	} rows[] = {
		{ "viaduct_capacity_iops", "Requests of 4 KiB a second that the physical disk carries out.",
		  gate_iops },
		{ "viaduct_capacity_bandwidth_bytes", "Bytes a second that it carries out.", gate_bandwidth },
		{ "viaduct_capacity_reserved_ratio", "Part of its time that is reserved.", gate_reserved },
		{ "viaduct_capacity_rate", "What it carried out when busy last, against its model.",
		  carried_rate },
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		head(out, rows[i].name, "gauge", rows[i].help);
		for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next) {
			if (pool->gate)
				fprintf(out, "%s{pool=\"%s\"} %.12g\n", rows[i].name, pool->name,
					rows[i].read(pool->gate));
		}
		for (struct daemon_disk *disk = daemon->disks; disk; disk = disk->next) {
			if (!disk->gate)
				continue;
			fprintf(out, "%s{", rows[i].name);
			labels(out, disk);
			fprintf(out, "} %.12g\n", rows[i].read(disk->gate));
		}
	}
}

/* ---- pools, workers, the daemon ---- */

static void print_pools(FILE *out, struct daemon *daemon)
{
	head(out, "viaduct_pool_available", "gauge", "1 when the pool is open.");
	for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next)
		fprintf(out, "viaduct_pool_available{pool=\"%s\"} %d\n", pool->name, pool->pool != NULL);
	head(out, "viaduct_pool_bytes", "gauge", "Space of the pool by use.");
	for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next) {
		struct pool_space space;

		if (!pool->pool)
			continue;
		pool_space(pool->pool, &space);
		fprintf(out, "viaduct_pool_bytes{pool=\"%s\",use=\"metadata\"} %llu\n", pool->name,
			(unsigned long long)space.metadata_bytes);
		fprintf(out, "viaduct_pool_bytes{pool=\"%s\",use=\"disks\"} %llu\n", pool->name,
			(unsigned long long)space.used_bytes);
		fprintf(out, "viaduct_pool_bytes{pool=\"%s\",use=\"free\"} %llu\n", pool->name,
			(unsigned long long)space.free_bytes);
	}
}

static void print_workers(FILE *out, struct daemon *daemon)
{
	head(out, "viaduct_worker_turns_total", "counter", "Turns of a worker's event loop.");
	for (unsigned i = 0; i < daemon->worker_count; i++)
		fprintf(out, "viaduct_worker_turns_total{worker=\"%u\"} %llu\n", i,
			(unsigned long long)counter_read(&loop_get_counters(daemon->workers[i].loop)->turns));
	head(out, "viaduct_worker_sleeps_total", "counter", "Waits of a worker in the kernel.");
	for (unsigned i = 0; i < daemon->worker_count; i++)
		fprintf(out, "viaduct_worker_sleeps_total{worker=\"%u\"} %llu\n", i,
			(unsigned long long)counter_read(
				&loop_get_counters(daemon->workers[i].loop)->sleeps));
	head(out, "viaduct_worker_spin_seconds_total", "counter",
	     "Time that a worker spun without finding work.");
	for (unsigned i = 0; i < daemon->worker_count; i++)
		fprintf(out, "viaduct_worker_spin_seconds_total{worker=\"%u\"} %.9f\n", i,
			(double)counter_read(&loop_get_counters(daemon->workers[i].loop)->spin_ns) /
				(double)NS_PER_S);
}

static void print_daemon(FILE *out, struct daemon *daemon)
{
	head(out, "viaduct_build_info", "gauge", "Always 1; the version is a label.");
	fprintf(out, "viaduct_build_info{version=\"%s\"} 1\n", VIADUCT_VERSION);
	head(out, "viaduct_uptime_seconds", "gauge", "Time since the daemon started.");
	fprintf(out, "viaduct_uptime_seconds %.3f\n",
		(double)(clock_now_ns() - daemon->started_ns) / (double)NS_PER_S);
	head(out, "viaduct_reloads_total", "counter", "Configurations applied after the start.");
	fprintf(out, "viaduct_reloads_total %u\n", daemon->reloads);
	head(out, "viaduct_lost_log_lines_total", "counter", "Log lines that the sink did not take.");
	fprintf(out, "viaduct_lost_log_lines_total %llu\n", (unsigned long long)log_lost_lines());
}

char *api_metrics_text(struct daemon *daemon, size_t *ret_length)
{
	unsigned count = 0;
	struct sample *samples = take_samples(daemon, &count);
	char *text = NULL;
	size_t length = 0;
	FILE *out = samples ? open_memstream(&text, &length) : NULL;

	if (!out) {
		free(samples);
		return NULL;
	}
	print_daemon(out, daemon);
	print_workers(out, daemon);
	print_pools(out, daemon);
	print_operations(out, samples, count, false);
	print_operations(out, samples, count, true);
	print_latencies(out, samples, count);
	print_numbers(out, samples, count);
	print_violations(out, samples, count);
	print_disk_shares(out, samples, count);
	print_shares(out, daemon, SHARE_OF_GROUP, config_groups(daemon->config));
	print_shares(out, daemon, SHARE_OF_GUEST, config_guests(daemon->config));
	print_capacities(out, daemon);
	free(samples);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	*ret_length = length;
	return text;
}
