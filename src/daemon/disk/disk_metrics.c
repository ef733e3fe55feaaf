/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Metrics of disks, pools and the speed of physical disks. Names are GUEST/DISK names and need no escapes. */
#include <stdlib.h>

#include "arbiter/disk/disk_meter.h"
#include "arbiter/disk/disk_stats.h"
#include "core/clock.h"
#include "daemon/base/metrics.h"
#include "daemon/disk/disk_device.h"
#include "daemon/disk/disk_gate.h"
#include "daemon/share/share_json.h"
#include "daemon/share/shares.h"

#define LABELS_SIZE (2 * CONFIG_NAME_SIZE)

/* All that is told of one disk, read once so that the lines agree with each other. */
struct sample {
	char labels[LABELS_SIZE];
	uint64_t size_bytes;
	struct disk_stats stats;
	struct share_settings share;
};

static struct sample *take_samples(struct daemon *daemon, unsigned *ret_count)
{
	struct sample *samples;
	unsigned count = 0;

	device_for_each(daemon, &disk_device_kind, device)
		count++;
	samples = calloc(count + 1, sizeof(*samples));
	if (!samples)
		return NULL;
	*ret_count = count;
	count = 0;
	device_for_each(daemon, &disk_device_kind, device) {
		const struct share_id id = { SHARE_OF_DISK, SHARE_DISKS, device->name };
		const struct disk_device *disk = disk_device_of(device);
		struct sample *sample = &samples[count++];

		snprintf(sample->labels, sizeof(sample->labels), "guest=\"%s\",disk=\"%s\"",
			 device->guest->name, device->short_name);
		sample->share = share_effective(daemon, id, NULL);
		if (disk->disk) {
			sample->size_bytes = disk_size_bytes(disk->disk);
			disk_stats_read(disk->disk, &sample->stats);
		}
	}
	return samples;
}

static void print_operations(FILE *out, const struct sample *samples, unsigned count, bool bytes)
{
	const char *name = bytes ? "viaduct_disk_bytes_total" : "viaduct_disk_operations_total";

	metrics_head(out, name, "counter", bytes ? "Bytes of requests completed." : "Requests completed.");
	for (const struct sample *sample = samples; sample < samples + count; sample++) {
		for (unsigned i = 0; i < DISK_OPS; i++) {
			uint64_t value =
				counter_read(bytes ? &sample->stats.bytes[i] : &sample->stats.operations[i]);

			fprintf(out, "%s{%s,operation=\"%s\"} %llu\n", name, sample->labels, disk_op_text(i),
				(unsigned long long)value);
		}
	}
}

static void print_latencies(FILE *out, const struct sample *samples, unsigned count)
{
	static const char latency[] = "viaduct_disk_latency_seconds", wait[] = "viaduct_disk_wait_seconds";

	metrics_head(out, latency, "histogram", "From taking a request to its completion.");
	for (const struct sample *sample = samples; sample < samples + count; sample++) {
		for (unsigned i = 0; i < DISK_OPS; i++) {
			char labels[LABELS_SIZE + 48];

			snprintf(labels, sizeof(labels), "%s,operation=\"%s\"", sample->labels,
				 disk_op_text(i));
			metrics_histogram(out, latency, labels, &sample->stats.latency[i]);
		}
	}
	metrics_head(out, wait, "histogram",
	     "Wait of a request for its turn at the physical disk; those that had to wait.");
	for (const struct sample *sample = samples; sample < samples + count; sample++)
		metrics_histogram(out, wait, sample->labels, &sample->stats.gate.wait);
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
	return sample->size_bytes;
}

static uint64_t read_device(const struct sample *sample)
{
	return counter_read(&sample->stats.gate.device_ns);
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
	{ "viaduct_disk_device_seconds_total", "counter", "Time of the physical disk that its requests took.",
	  read_device, true },
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

		metrics_head(out, number->name, number->type, number->help);
		for (const struct sample *sample = samples; sample < samples + count; sample++)
			metrics_sample(out, number->name, sample->labels, number->read(sample), number->ns);
	}
}

/* ---- shares ---- */

static void print_disk_shares(FILE *out, const struct sample *samples, unsigned count)
{
	const struct share_id id = { SHARE_OF_DISK, SHARE_DISKS, NULL };
	struct share_metric metric;

	for (unsigned i = 0; i < SHARE_KEYS; i++) {
		if (!share_metric_head(out, id, i, &metric))
			continue;
		for (const struct sample *sample = samples; sample < samples + count; sample++)
			fprintf(out, "%s{%s} %.12g\n", metric.name, sample->labels,
				(double)sample->share.value[i] * metric.unit);
	}
}

static double gate_iops(const struct disk_gate *gate)
{
	struct disk_cost cost;

	disk_meter_cost(gate->meter, &cost);
	return (double)disk_cost_iops(&cost);
}

static double gate_bandwidth(const struct disk_gate *gate)
{
	struct disk_cost cost;

	disk_meter_cost(gate->meter, &cost);
	return (double)disk_cost_bandwidth(&cost);
}

static double gate_reserved(const struct disk_gate *gate)
{
	return (double)gate_reserved_ppb(gate->base.gate) / 1e9;
}

static double carried_rate(const struct disk_gate *gate)
{
	return disk_meter_rate(gate->meter);
}

/* Physical disks are labelled as their pool, or as the virtual disk that they are. */
static void print_capacities(FILE *out, struct daemon *daemon)
{
	static const struct {
		const char *name, *help;
		double (*read)(const struct disk_gate *gate);
	} rows[] = {
		{ "viaduct_capacity_iops", "Requests of 4 KiB a second that the physical disk carries out.",
		  gate_iops },
		{ "viaduct_capacity_bandwidth_bytes", "Bytes a second that it carries out.", gate_bandwidth },
		{ "viaduct_capacity_reserved_ratio", "Part of its time that is reserved.", gate_reserved },
		{ "viaduct_capacity_rate", "What it carried out when busy last, against its model.",
		  carried_rate },
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		metrics_head(out, rows[i].name, "gauge", rows[i].help);
		for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next) {
			if (pool->gate)
				fprintf(out, "%s{pool=\"%s\"} %.12g\n", rows[i].name, pool->name,
					rows[i].read(pool->gate));
		}
		device_for_each(daemon, &disk_device_kind, device) {
			const struct disk_gate *gate = disk_device_of(device)->gate;

			if (gate)
				fprintf(out, "%s{guest=\"%s\",disk=\"%s\"} %.12g\n", rows[i].name,
					device->guest->name, device->short_name, rows[i].read(gate));
		}
	}
}

/* ---- pools ---- */

static void print_pools(FILE *out, struct daemon *daemon)
{
	metrics_head(out, "viaduct_pool_available", "gauge", "1 when the pool is open.");
	for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next)
		fprintf(out, "viaduct_pool_available{pool=\"%s\"} %d\n", pool->name, pool->pool != NULL);
	metrics_head(out, "viaduct_pool_silent_seconds", "gauge",
		     "For how long its disk has not answered; 0: it does, or is asked nothing.");
	for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next)
		fprintf(out, "viaduct_pool_silent_seconds{pool=\"%s\"} %.3f\n", pool->name,
			pool->pool ? (double)pool_silent_ns(pool->pool) / NS_PER_S : 0.0);
	metrics_head(out, "viaduct_pool_bytes", "gauge", "Space of the pool by use.");
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

void disks_print_metrics(struct daemon *daemon, FILE *out)
{
	unsigned count = 0;
	struct sample *samples = take_samples(daemon, &count);

	print_pools(out, daemon);
	print_capacities(out, daemon);
	if (!samples)
		return;
	print_operations(out, samples, count, false);
	print_operations(out, samples, count, true);
	print_latencies(out, samples, count);
	print_numbers(out, samples, count);
	print_disk_shares(out, samples, count);
	free(samples);
}
