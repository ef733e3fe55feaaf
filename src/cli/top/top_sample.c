/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/top/top_sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api_client.h"
#include "cli/top/top_resource.h"
#include "core/clock.h"

#define WEIGHT_DEFAULT 100

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

void top_copy_name(char name[TOP_NAME_MAX], const char *text)
{
	size_t length = 0;

	for (; *text && length < TOP_NAME_MAX - 1; text++)
		name[length++] = *text >= ' ' && *text <= '~' ? *text : '?';
	name[length] = '\0';
}

/* ---- shares ---- */

static double share_number(const json_t *settings, const char *prefix, const char *bound, const char *unit)
{
	char field[64];

	snprintf(field, sizeof(field), "%s%s%s", prefix, bound, unit);
	return (double)api_number(settings, field);
}

/* prefix "": of a leaf; "disk_": a guest's or group's share of disks. */
static void parse_share(struct top_share *share, enum top_resource resource, const json_t *object,
			const char *prefix)
{
	const json_t *settings = json_object_get(object, "share");
	const char *unit = top_resources[resource]->rate_unit;

	share->weight = share_number(settings, prefix, "", "weight");
	if (!(share->weight > 0))
		share->weight = WEIGHT_DEFAULT;
	share->min_operations = share_number(settings, prefix, "min_", unit);
	share->max_operations = share_number(settings, prefix, "max_", unit);
	share->min_bandwidth = share_number(settings, prefix, "min_", "bandwidth");
	share->max_bandwidth = share_number(settings, prefix, "max_", "bandwidth");
}

static void parse_shares(struct top_share share[TOP_RESOURCES], const json_t *object)
{
	for (enum top_resource resource = 0; resource < TOP_RESOURCES; resource++)
		parse_share(&share[resource], resource, object, top_resources[resource]->share_prefix);
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
	top_copy_name(group->name, api_text(object, "name"));
	parse_shares(group->share, object);
}

static void parse_guest(struct top_sample *sample, const char *name, const json_t *object)
{
	char group[TOP_NAME_MAX];
	struct top_guest *guest;

	sample->guests = grow(sample->guests, &sample->guest_count, sizeof(*guest));
	guest = &sample->guests[sample->guest_count - 1];
	top_copy_name(guest->name, name);
	top_copy_name(group, api_text(object, "group"));
	guest->group = find_group(sample, group);
	parse_shares(guest->share, object);
}

/*
 * A leaf's guest, made when it is not declared. Leaves of one guest mostly follow each other, so the search
 * begins with the newest guest.
 */
static size_t need_guest(struct top_sample *sample, const char *name)
{
	char plain[TOP_NAME_MAX];

	top_copy_name(plain, name);
	for (size_t i = sample->guest_count; i-- > 0;) {
		if (strcmp(sample->guests[i].name, plain) == 0)
			return i;
	}
	parse_guest(sample, name, NULL);
	return sample->guest_count - 1;
}

/* ---- devices and leaves ---- */

static size_t parse_device(struct top_listing *listing, const struct top_resource_ops *ops,
			   const json_t *object)
{
	struct top_device *device;

	listing->devices = grow(listing->devices, &listing->device_count, sizeof(*device));
	device = &listing->devices[listing->device_count - 1];
	top_copy_name(device->name, api_text(object, "name"));
	device->rate = 1;
	ops->parse_device(device, object);
	return listing->device_count - 1;
}

/* The leaf's physical device; a leaf that names none of those listed has one of its own. */
static size_t need_device(struct top_listing *listing, const struct top_resource_ops *ops, const json_t *leaf)
{
	char name[TOP_NAME_MAX];

	top_copy_name(name, api_text(leaf, ops->device_member));
	for (size_t i = 0; name[0] && i < listing->device_count; i++) {
		if (strcmp(listing->devices[i].name, name) == 0)
			return i;
	}
	return parse_device(listing, ops, leaf);
}

static enum top_state parse_state(const json_t *object)
{
	if (api_flag(object, "broken") || api_text(object, "error")[0])
		return TOP_BROKEN;
	return api_flag(object, "connected") ? TOP_CONNECTED : TOP_IDLE;
}

/* What is counted alike of every resource. */
static void parse_counters(struct top_counters *counters, const json_t *object)
{
	const json_t *time = json_object_get(object, "time");
	json_t *violations = json_object_get(object, "violations"), *value;
	const char *reason;

	counters->device_ns = api_number(time, "device_ns");
	counters->cpu_ns = api_number(time, "cpu_ns");
	counters->throttled_ns = api_number(time, "throttled_ns");
	counters->contended_ns = api_number(time, "contended_ns");
	counters->errors = api_number(object, "errors");
	counters->refused = api_number(object, "refused");
	json_object_foreach(violations, reason, value)
		counters->refused += api_number(violations, reason);
}

static void parse_leaf(struct top_sample *sample, enum top_resource resource, const json_t *object)
{
	struct top_listing *listing = &sample->listings[resource];
	size_t guest = need_guest(sample, api_text(object, "guest"));
	size_t device = need_device(listing, top_resources[resource], object);
	struct top_leaf *leaf;

	listing->leaves = grow(listing->leaves, &listing->leaf_count, sizeof(*leaf));
	leaf = &listing->leaves[listing->leaf_count - 1];
	top_copy_name(leaf->name, api_text(object, "name"));
	leaf->guest = guest;
	leaf->device = device;
	leaf->state = parse_state(object);
	leaf->waiting = api_number(json_object_get(object, "time"), "waiting");
	parse_share(&leaf->share, resource, object, "");
	parse_counters(&leaf->counters, object);
	top_resources[resource]->parse_leaf(leaf, object);
}

static void parse_listing(struct top_sample *sample, enum top_resource resource, const json_t *status)
{
	const json_t *entry;
	size_t index;

	json_array_foreach(json_object_get(status, top_resources[resource]->device_list), index, entry)
		parse_device(&sample->listings[resource], top_resources[resource], entry);
	json_array_foreach(json_object_get(status, "devices"), index, entry) {
		if (strcmp(api_text(entry, "kind"), top_resources[resource]->name) == 0)
			parse_leaf(sample, resource, entry);
	}
}

/* ---- the whole ---- */

static uint64_t parse_uptime_ns(const json_t *status)
{
	double seconds = json_number_value(json_object_get(status, "uptime_s"));
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
	for (enum top_resource resource = 0; resource < TOP_RESOURCES; resource++)
		parse_listing(sample, resource, status);
	return sample;
}

void top_sample_destroy(struct top_sample *sample)
{
	if (!sample)
		return;
	free(sample->groups);
	free(sample->guests);
	for (enum top_resource resource = 0; resource < TOP_RESOURCES; resource++) {
		free(sample->listings[resource].devices);
		free(sample->listings[resource].leaves);
	}
	free(sample);
}
