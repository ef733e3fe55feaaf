/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metrics: of the daemon, its workers and the endpoints of its devices; each kind of device adds its own.
 * Names are GUEST/NAME and need no escapes.
 */
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "daemon/api/api.h"
#include "daemon/base/metrics.h"
#include "daemon/device/device.h"
#include "daemon/share/share_json.h"

/* ---- devices ---- */

#define LABELS_SIZE (2 * CONFIG_NAME_SIZE + 32)

/* All that is told of one endpoint, read once so that the lines agree with each other. */
struct sample {
	char labels[LABELS_SIZE];
	bool served;
	struct endpoint_status status;
};

static struct sample *take_samples(struct daemon *daemon, unsigned *ret_count)
{
	struct sample *samples;
	unsigned count = 0;

	for (const struct device *device = daemon->devices; device; device = device->next)
		count++;
	samples = calloc(count + 1, sizeof(*samples));
	if (!samples)
		return NULL;
	*ret_count = count;
	count = 0;
	for (const struct device *device = daemon->devices; device; device = device->next) {
		struct sample *sample = &samples[count++];

		snprintf(sample->labels, sizeof(sample->labels), "guest=\"%s\",device=\"%s\",kind=\"%s\"",
			 device->guest->name, device->short_name, device->kind->name);
		sample->served = device->endpoint != NULL;
		sample->status = device_status(device);
	}
	return samples;
}

/* The single numbers of an endpoint: what they are called and where they are. */
struct number {
	const char *name, *type, *help;
	uint64_t (*read)(const struct sample *sample);
	bool ns;		/* told in seconds */
};

static uint64_t read_served(const struct sample *sample)
{
	return sample->served;
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

static uint64_t read_cpu(const struct sample *sample)
{
	return sample->status.cpu_ns;
}

static const struct number numbers[] = {
	{ "viaduct_device_served", "gauge", "1 when the device is served, 0 when it is not available.",
	  read_served },
	{ "viaduct_device_connections", "gauge", "Front ends connected.", read_connections },
	{ "viaduct_device_queues_running", "gauge", "Queues running.", read_queues },
	{ "viaduct_device_broken", "gauge", "1 when a violation stopped the device.", read_broken },
	{ "viaduct_device_connects_total", "counter", "Front ends that connected.", read_connects },
	{ "viaduct_device_refused_connects_total", "counter", "Front ends that were refused.",
	  read_refused_connects },
	{ "viaduct_device_protocol_errors_total", "counter", "Messages of front ends refused.",
	  read_protocol_errors },
	{ "viaduct_device_kicks_total", "counter", "Notifications from drivers.", read_kicks },
	{ "viaduct_device_chains_total", "counter", "Descriptor chains taken.", read_chains },
	{ "viaduct_device_calls_total", "counter", "Interrupts sent to drivers.", read_calls },
	{ "viaduct_device_calls_suppressed_total", "counter", "Interrupts that drivers did not want.",
	  read_suppressed },
	{ "viaduct_device_cpu_seconds_total", "counter",
	  "CPU time of the daemon's workers that the device took.", read_cpu, true },
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

static void print_violations(FILE *out, const struct sample *samples, unsigned count)
{
	metrics_head(out, "viaduct_device_violations_total", "counter",
		     "Rings stopped because they broke the rules.");
	for (const struct sample *sample = samples; sample < samples + count; sample++) {
		const struct endpoint_violations *violations = sample->status.violations;

		for (unsigned i = 0; i < ENDPOINT_VIOLATIONS_MAX && violations[i].text; i++) {
			fprintf(out, "viaduct_device_violations_total{%s,reason=\"%s\"} %llu\n",
				sample->labels, violations[i].text, (unsigned long long)violations[i].count);
		}
	}
}

/* ---- workers, the daemon ---- */

static void print_workers(FILE *out, struct daemon *daemon)
{
	metrics_head(out, "viaduct_worker_turns_total", "counter", "Turns of a worker's event loop.");
	for (unsigned i = 0; i < daemon->worker_count; i++)
		fprintf(out, "viaduct_worker_turns_total{worker=\"%u\"} %llu\n", i,
			(unsigned long long)counter_read(&loop_get_counters(daemon->workers[i].loop)->turns));
	metrics_head(out, "viaduct_worker_sleeps_total", "counter", "Waits of a worker in the kernel.");
	for (unsigned i = 0; i < daemon->worker_count; i++)
		fprintf(out, "viaduct_worker_sleeps_total{worker=\"%u\"} %llu\n", i,
			(unsigned long long)counter_read(
				&loop_get_counters(daemon->workers[i].loop)->sleeps));
	metrics_head(out, "viaduct_worker_spin_seconds_total", "counter",
	     "Time that a worker spun without finding work.");
	for (unsigned i = 0; i < daemon->worker_count; i++)
		fprintf(out, "viaduct_worker_spin_seconds_total{worker=\"%u\"} %.9f\n", i,
			(double)counter_read(&loop_get_counters(daemon->workers[i].loop)->spin_ns) /
				(double)NS_PER_S);
}

static void print_daemon(FILE *out, struct daemon *daemon)
{
	metrics_head(out, "viaduct_build_info", "gauge", "Always 1; the version is a label.");
	fprintf(out, "viaduct_build_info{version=\"%s\"} 1\n", VIADUCT_VERSION);
	metrics_head(out, "viaduct_uptime_seconds", "gauge", "Time since the daemon started.");
	fprintf(out, "viaduct_uptime_seconds %.3f\n",
		(double)(clock_now_ns() - daemon->started_ns) / (double)NS_PER_S);
	metrics_head(out, "viaduct_reloads_total", "counter", "Configurations applied after the start.");
	fprintf(out, "viaduct_reloads_total %u\n", daemon->reloads);
	metrics_head(out, "viaduct_lost_log_lines_total", "counter", "Log lines that the sink did not take.");
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
	print_numbers(out, samples, count);
	print_violations(out, samples, count);
	for (unsigned i = 0; device_kinds[i]; i++)
		if (device_kinds[i]->print_metrics)
			device_kinds[i]->print_metrics(daemon, out);
	share_print_metrics(out, daemon, SHARE_OF_GROUP);
	share_print_metrics(out, daemon, SHARE_OF_GUEST);
	free(samples);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	*ret_length = length;
	return text;
}
