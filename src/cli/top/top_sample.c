/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/top/top_sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api_client.h"
#include "core/clock.h"

#define WEIGHT_DEFAULT 100
#define RATE_MIN       0.001	/* a rate is divided by */
#define RATE_MAX       1000.0

/* One more zeroed entry at the end of an array. */
static void *grow(void *array, size_t *count, size_t entry_bytes)
{
	char *grown = realloc(array, (*count + 1) * entry_bytes);

	if (!grown)
		abort();
	memset(grown + *count * entry_bytes, 0, entry_bytes);
	(*count)++;
	return grown;
}

/* Terminals obey control characters and draw some others two columns wide: only plain ASCII passes. */
static void copy_name(char name[TOP_NAME_MAX], const char *text)
{
	size_t length = 0;

	for (; *text && length < TOP_NAME_MAX - 1; text++)
		name[length++] = *text >= ' ' && *text <= '~' ? *text : '?';
	name[length] = '\0';
}

static double real(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static uint64_t share_number(const json_t *share, const char *prefix, const char *name)
{
	char field[32];

	snprintf(field, sizeof(field), "%s%s", prefix, name);
	return api_number(share, field);
}

/* prefix "": of a disk; "disk_": a guest's or group's share of disks. */
static void parse_share(struct top_share *share, const json_t *object, const char *prefix)
{
	const json_t *settings = json_object_get(object, "share");

	share->weight = share_number(settings, prefix, "weight");
	if (share->weight == 0)
		share->weight = WEIGHT_DEFAULT;
	share->min_iops = share_number(settings, prefix, "min_iops");
	share->max_iops = share_number(settings, prefix, "max_iops");
	share->min_bandwidth = share_number(settings, prefix, "min_bandwidth");
	share->max_bandwidth = share_number(settings, prefix, "max_bandwidth");
}

/* ---- the tree of shares ---- */

static size_t find_group(const struct top_sample *sample, const char *name)
{
	for (size_t i = 0; i < sample->group_count; i++) {
		if (strcmp(sample->groups[i].name, name) == 0)
			return i;
	}
	return TOP_NONE;
}

static void parse_group(struct top_sample *sample, const json_t *object)
{
	struct top_group *group;

	sample->groups = grow(sample->groups, &sample->group_count, sizeof(*group));
	group = &sample->groups[sample->group_count - 1];
	copy_name(group->name, api_text(object, "name"));
	parse_share(&group->share, object, "disk_");
}

static void parse_guest(struct top_sample *sample, const char *name, const json_t *object)
{
	char group[TOP_NAME_MAX];
	struct top_guest *guest;

	sample->guests = grow(sample->guests, &sample->guest_count, sizeof(*guest));
	guest = &sample->guests[sample->guest_count - 1];
	copy_name(guest->name, name);
	copy_name(group, api_text(object, "group"));
	guest->group = find_group(sample, group);
	parse_share(&guest->share, object, "disk_");
}

/*
 * A disk's guest, made when it is not declared. Disks of one guest mostly follow each other, so the search
 * begins with the newest guest.
 */
static size_t need_guest(struct top_sample *sample, const char *name)
{
	char plain[TOP_NAME_MAX];

	copy_name(plain, name);
	for (size_t i = sample->guest_count; i-- > 0;) {
		if (strcmp(sample->guests[i].name, plain) == 0)
			return i;
	}
	parse_guest(sample, name, NULL);
	return sample->guest_count - 1;
}

/* ---- physical disks ---- */

static size_t parse_device(struct top_sample *sample, const json_t *object)
{
	const json_t *capacity = json_object_get(object, "capacity");
	double rate = real(capacity, "rate");
	struct top_device *device;

	sample->devices = grow(sample->devices, &sample->device_count, sizeof(*device));
	device = &sample->devices[sample->device_count - 1];
	copy_name(device->name, api_text(object, "name"));
	device->capacity_iops = api_number(capacity, "iops");
	device->capacity_bandwidth = api_number(capacity, "bandwidth");
	device->reserved_ppb = api_number(capacity, "reserved_ppb");
	device->rate = rate >= RATE_MIN && rate <= RATE_MAX ? rate : 1;
	device->failed = api_text(object, "error")[0] != '\0';
	return sample->device_count - 1;
}

static size_t need_device(struct top_sample *sample, const json_t *disk)
{
	char pool[TOP_NAME_MAX];

	copy_name(pool, api_text(disk, "pool"));
	for (size_t i = 0; pool[0] && i < sample->device_count; i++) {
		if (strcmp(sample->devices[i].name, pool) == 0)
			return i;
	}
	return parse_device(sample, disk);
}

/* ---- disks ---- */

/* [[limit_ns, count], …]: how many requests took less than limit_ns, and not less than the entry before. */
static void parse_histogram(struct histogram *histogram, const json_t *buckets)
{
	const json_t *entry;
	size_t index;

	json_array_foreach(buckets, index, entry) {
		json_int_t limit_ns = json_integer_value(json_array_get(entry, 0));
		json_int_t count = json_integer_value(json_array_get(entry, 1));

		if (limit_ns > 0 && count > 0)
			counter_add(&histogram->bucket[histogram_bucket((uint64_t)limit_ns - 1)],
				    (uint64_t)count);
	}
}

/* Sums over all kinds of operations; *ret_p99_ns is the worst of them. */
static void parse_operations(struct top_counters *counters, const json_t *disk, uint64_t *ret_p99_ns)
{
	json_t *operations = json_object_get(disk, "operations");
	const char *kind;
	json_t *operation;

	*ret_p99_ns = 0;
	json_object_foreach(operations, kind, operation) {
		const json_t *latency = json_object_get(operation, "latency_ns");
		uint64_t p99_ns = api_number(latency, "p99");

		counters->operations += api_number(operation, "operations");
		counters->latency_ns += api_number(latency, "sum");
		parse_histogram(&counters->latency, json_object_get(latency, "buckets"));
		if (strcmp(kind, "read") == 0)
			counters->read_bytes = api_number(operation, "bytes");
		else if (strcmp(kind, "write") == 0)
			counters->written_bytes = api_number(operation, "bytes");
		if (p99_ns > *ret_p99_ns)
			*ret_p99_ns = p99_ns;
	}
}

static void parse_counters(struct top_counters *counters, const json_t *disk)
{
	const json_t *time = json_object_get(disk, "time");
	json_t *violations = json_object_get(disk, "violations"), *value;
	const char *reason;

	counters->device_ns = api_number(time, "device_ns");
	counters->cpu_ns = api_number(time, "cpu_ns");
	counters->throttled_ns = api_number(time, "throttled_ns");
	counters->contended_ns = api_number(time, "contended_ns");
	counters->errors = api_number(disk, "errors");
	counters->refused = api_number(disk, "refused");
	json_object_foreach(violations, reason, value)
		counters->refused += api_number(violations, reason);
}

static enum top_state parse_state(const json_t *disk)
{
	if (api_flag(disk, "broken") || api_text(disk, "error")[0])
		return TOP_BROKEN;
	return api_flag(disk, "connected") ? TOP_CONNECTED : TOP_IDLE;
}

static void parse_disk(struct top_sample *sample, const json_t *object)
{
	size_t guest = need_guest(sample, api_text(object, "guest")), device = need_device(sample, object);
	struct top_disk *disk;

	sample->disks = grow(sample->disks, &sample->disk_count, sizeof(*disk));
	disk = &sample->disks[sample->disk_count - 1];
	copy_name(disk->name, api_text(object, "name"));
	disk->guest = guest;
	disk->device = device;
	disk->state = parse_state(object);
	disk->waiting = api_number(json_object_get(object, "time"), "waiting");
	parse_share(&disk->share, object, "");
	parse_operations(&disk->counters, object, &disk->p99_ns);
	parse_counters(&disk->counters, object);
}

/* ---- the whole ---- */

static uint64_t parse_uptime_ns(const json_t *status)
{
	double seconds = real(status, "uptime_s");
	uint64_t ns = api_number(status, "uptime_ns");

	if (ns == 0 && seconds > 0 && seconds < 1e9)
		ns = (uint64_t)(seconds * (double)NS_PER_S);
	return ns;
}

/* A list that either answer may have. */
static const json_t *list(const json_t *status, const json_t *guests, const char *key)
{
	const json_t *found = json_object_get(status, key);

	return found ? found : json_object_get(guests, key);
}

struct top_sample *top_sample_parse(const json_t *status, const json_t *guests, uint64_t now_ns)
{
	struct top_sample *sample = calloc(1, sizeof(*sample));
	const json_t *entry;
	size_t index;

	if (!sample)
		abort();
	sample->pid = api_number(status, "pid");
	sample->uptime_ns = parse_uptime_ns(status);
	sample->now_ns = api_number(status, "now_ns");
	if (sample->now_ns == 0)
		sample->now_ns = sample->uptime_ns ? sample->uptime_ns : now_ns;
	json_array_foreach(list(status, guests, "groups"), index, entry)
		parse_group(sample, entry);
	json_array_foreach(list(status, guests, "guests"), index, entry)
		parse_guest(sample, api_text(entry, "name"), entry);
	json_array_foreach(json_object_get(status, "pools"), index, entry)
		parse_device(sample, entry);
	json_array_foreach(json_object_get(status, "devices"), index, entry) {
		if (strcmp(api_text(entry, "kind"), "disk") == 0)
			parse_disk(sample, entry);
	}
	return sample;
}

void top_sample_destroy(struct top_sample *sample)
{
	if (!sample)
		return;
	free(sample->groups);
	free(sample->guests);
	free(sample->devices);
	free(sample->disks);
	free(sample);
}
