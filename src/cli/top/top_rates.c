/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/top/top_rates.h"

#include <stdlib.h>
#include <string.h>

#include "cli/top/top_counters.h"
#include "cli/top/top_rates_private.h"
#include "cli/top/top_ratio.h"
#include "core/clock.h"

void *rates_need(size_t count, size_t entry_bytes)
{
	void *memory = calloc(count + 1, entry_bytes);

	if (!memory)
		abort();
	return memory;
}

/* ---- what was counted between the samples ---- */

/* The same leaf in the sample before; mostly at the same place. NULL: it is new. */
static const struct top_leaf *find_leaf(const struct top_listing *before, const struct top_leaf *leaf,
					size_t place)
{
	if (place < before->leaf_count && strcmp(before->leaves[place].name, leaf->name) == 0)
		return &before->leaves[place];
	for (size_t i = 0; i < before->leaf_count; i++) {
		if (strcmp(before->leaves[i].name, leaf->name) == 0)
			return &before->leaves[i];
	}
	return NULL;
}

static void count_leaves(struct rates *rates)
{
	for (size_t i = 0; i < rates->listing->leaf_count; i++) {
		const struct top_leaf *leaf = &rates->listing->leaves[i], *old = NULL;

		if (rates->before)
			old = find_leaf(rates->before, leaf, i);
		if (old)
			top_counters_subtract(&rates->deltas[i], &old->counters, &leaf->counters);
		rates->device_ns[leaf->device] += (double)rates->deltas[i].device_ns;
		rates->view->cpu += (double)rates->deltas[i].cpu_ns;
		rates->view->connected_count += leaf->state == TOP_CONNECTED;
	}
}

static double wall_ns(const struct rates *rates)
{
	return rates->view->seconds * (double)NS_PER_S;
}

/* The same device in the sample before, or NULL. */
static const struct top_device *find_device(const struct rates *rates, size_t device)
{
	const char *name = rates->listing->devices[device].name;

	for (size_t i = 0; rates->before && i < rates->before->device_count; i++) {
		if (strcmp(rates->before->devices[i].name, name) == 0)
			return &rates->before->devices[i];
	}
	return NULL;
}

/*
 * What the device could have carried out between the samples. Its rate is known of the two moments only, so
 * what it did carry out may be more.
 */
static double possible_ns(const struct rates *rates, size_t device)
{
	const struct top_device *now = &rates->listing->devices[device];
	const struct top_device *before = find_device(rates, device);
	double ns = wall_ns(rates) * ((before ? before->rate : now->rate) + now->rate) / 2;

	return ns > rates->device_ns[device] ? ns : rates->device_ns[device];
}

/* ---- rows ---- */

size_t rates_row_of(const struct rates *rates, size_t leaf)
{
	size_t guest = rates->listing->leaves[leaf].guest;

	switch (rates->level) {
	case TOP_LEVEL_GUEST:
		return guest;
	case TOP_LEVEL_GROUP:
		return rates->now->guests[guest].group;
	default:
		return leaf;
	}
}

static size_t rows_needed(const struct rates *rates)
{
	switch (rates->level) {
	case TOP_LEVEL_GUEST:
		return rates->now->guest_count;
	case TOP_LEVEL_GROUP:
		return rates->now->group_count;
	default:
		return rates->listing->leaf_count;
	}
}

static void start_row(struct rates *rates, size_t index)
{
	struct top_row *row = &rates->view->rows[index];
	const struct top_sample *now = rates->now;

	rates->usages[index].device = rates->usages[index].counted_device = TOP_NONE;
	switch (rates->level) {
	case TOP_LEVEL_GUEST:
		memcpy(row->name, now->guests[index].name, sizeof(row->name));
		row->share = now->guests[index].share[rates->resource];
		break;
	case TOP_LEVEL_GROUP:
		memcpy(row->name, now->groups[index].name, sizeof(row->name));
		row->share = now->groups[index].share[rates->resource];
		break;
	default:
		memcpy(row->name, rates->listing->leaves[index].name, sizeof(row->name));
		row->share = rates->listing->leaves[index].share;
	}
}

static void gather_waits(struct rates *rates, struct usage *usage, const struct top_counters *delta)
{
	struct top_waits waits = rates->ops->waits(delta, wall_ns(rates));

	usage->waits.throttled_ns += waits.throttled_ns;
	usage->waits.contended_ns += waits.contended_ns;
	usage->waits.whole_ns += waits.whole_ns;
}

static void gather_leaf(struct rates *rates, size_t index)
{
	const struct top_leaf *leaf = &rates->listing->leaves[index];
	const struct top_counters *delta = &rates->deltas[index];
	size_t place = rates_row_of(rates, index);
	struct usage *usage;
	struct top_row *row;

	if (place == TOP_NONE)
		return;
	usage = &rates->usages[place];
	row = &rates->view->rows[place];
	top_counters_add(&usage->delta, delta);
	gather_waits(rates, usage, delta);
	row->device += ratio((double)delta->device_ns, possible_ns(rates, leaf->device));
	if (usage->device == TOP_NONE)
		usage->device = leaf->device;
	if ((double)leaf->p99_ns > row->p99_ns)
		row->p99_ns = (double)leaf->p99_ns;
	if ((double)leaf->largest_bytes > row->largest_bytes)
		row->largest_bytes = (double)leaf->largest_bytes;
	if (leaf->state > row->state)
		row->state = leaf->state;
	row->waiting += (double)leaf->waiting;
	row->errors += (double)leaf->counters.errors;
	row->refused += (double)leaf->counters.refused;
}

static void finish_traffic(struct top_row *row, const struct top_counters *delta, double seconds)
{
	row->operations = ratio((double)delta->operations, seconds);
	row->in_count = ratio((double)delta->in.count, seconds);
	row->in_bytes = ratio((double)delta->in.bytes, seconds);
	row->out_count = ratio((double)delta->out.count, seconds);
	row->out_bytes = ratio((double)delta->out.bytes, seconds);
	row->dropped = ratio((double)delta->dropped, seconds);
	row->bytes = row->in_bytes + row->out_bytes;
}

static void finish_row(struct rates *rates, size_t index)
{
	const struct usage *usage = &rates->usages[index];
	const struct top_counters *delta = &usage->delta;
	struct top_row *row = &rates->view->rows[index];
	double p99_ns = (double)histogram_quantile_ns(&delta->latency, 0.99);

	finish_traffic(row, delta, rates->view->seconds);
	row->got = ratio((double)delta->device_ns, usage->devices_ns);
	row->due = ratio(usage->due_ns, usage->devices_ns);
	row->cpu = ratio((double)delta->cpu_ns, wall_ns(rates));
	row->throttled = least(ratio(usage->waits.throttled_ns, usage->waits.whole_ns), 1);
	row->contended = least(ratio(usage->waits.contended_ns, usage->waits.whole_ns), 1);
	if (p99_ns > 0 || delta->operations == 0)
		row->p99_ns = p99_ns;
	row->bad = row->errors + row->refused;
	if (usage->device != TOP_NONE) {
		row->reservation = rates->ops->reservation(row, &rates->listing->devices[usage->device]);
		row->limit = rates->ops->limit(row, &rates->listing->devices[usage->device]);
	}
}

/* ---- physical devices ---- */

/* What the leaves of a device moved. */
static void add_traffic(struct top_counters *sum, const struct top_counters *delta)
{
	sum->operations += delta->operations;
	top_traffic_add(&sum->in, &delta->in);
	top_traffic_add(&sum->out, &delta->out);
}

/* A device that counts for itself. */
static void count_traffic(const struct rates *rates, struct top_counters *delta, size_t device)
{
	const struct top_device *before = find_device(rates, device);
	const struct top_device *now = &rates->listing->devices[device];

	if (!before)
		return;
	top_traffic_subtract(&delta->in, &before->in, &now->in);
	top_traffic_subtract(&delta->out, &before->out, &now->out);
	delta->operations = delta->in.count + delta->out.count;
}

static void measure_device(struct rates *rates, size_t device, const struct top_counters *moved)
{
	struct top_device_row *row = &rates->view->devices[device];
	double seconds = rates->view->seconds;

	row->device = &rates->listing->devices[device];
	row->busy = ratio(rates->device_ns[device], possible_ns(rates, device));
	row->operations = ratio((double)moved->operations, seconds);
	row->in_count = ratio((double)moved->in.count, seconds);
	row->in_bytes = ratio((double)moved->in.bytes, seconds);
	row->out_count = ratio((double)moved->out.count, seconds);
	row->out_bytes = ratio((double)moved->out.bytes, seconds);
}

static void measure_devices(struct rates *rates)
{
	size_t count = rates->view->device_count;
	struct top_counters *moved = rates_need(count, sizeof(*moved));

	if (rates->ops->devices_count) {
		for (size_t i = 0; i < count; i++)
			count_traffic(rates, &moved[i], i);
	} else {
		for (size_t i = 0; i < rates->view->leaf_count; i++)
			add_traffic(&moved[rates->listing->leaves[i].device], &rates->deltas[i]);
	}
	for (size_t i = 0; i < count; i++)
		measure_device(rates, i, &moved[i]);
	free(moved);
}

static int compare_devices(const void *left, const void *right)
{
	const struct top_device_row *a = left, *b = right;

	if (a->busy != b->busy)
		return a->busy > b->busy ? -1 : 1;
	if (a->operations != b->operations)
		return a->operations > b->operations ? -1 : 1;
	return strcmp(a->device->name, b->device->name);
}

/* ---- the whole ---- */

static bool same_daemon(const struct top_sample *before, const struct top_sample *now)
{
	return before && before->pid == now->pid && before->uptime_ns <= now->uptime_ns &&
	       before->now_ns < now->now_ns;
}

static void fill_view(struct rates *rates)
{
	struct top_view *view = rates->view;

	count_leaves(rates);
	view->cpu = ratio(view->cpu, wall_ns(rates));
	measure_devices(rates);
	for (size_t i = 0; i < view->row_count; i++)
		start_row(rates, i);
	for (size_t i = 0; i < view->leaf_count; i++)
		gather_leaf(rates, i);
	for (size_t i = 0; i < view->device_count; i++)
		rates_add_due(rates, i);
	for (size_t i = 0; i < view->row_count; i++)
		finish_row(rates, i);
	qsort(view->devices, view->device_count, sizeof(*view->devices), compare_devices);
}

struct top_view *top_view_create(const struct top_sample *before, const struct top_sample *now,
				 enum top_kind kind)
{
	struct top_view *view = rates_need(1, sizeof(*view));
	enum top_resource resource = top_kinds[kind].resource;
	struct rates rates = {
		.resource = resource,
		.level = top_kinds[kind].level,
		.ops = top_resources[resource],
		.now = now,
		.listing = &now->listings[resource],
		.view = view,
	};

	view->kind = kind;
	view->leaf_count = rates.listing->leaf_count;
	view->device_count = rates.listing->device_count;
	view->row_count = rows_needed(&rates);
	view->rows = rates_need(view->row_count, sizeof(*view->rows));
	view->devices = rates_need(view->device_count, sizeof(*view->devices));
	if (same_daemon(before, now)) {
		rates.before = &before->listings[resource];
		view->measured = true;
		view->seconds = (double)(now->now_ns - before->now_ns) / (double)NS_PER_S;
	}
	rates.usages = rates_need(view->row_count, sizeof(*rates.usages));
	rates.device_ns = rates_need(view->device_count, sizeof(*rates.device_ns));
	rates.deltas = rates_need(view->leaf_count, sizeof(*rates.deltas));
	fill_view(&rates);
	free(rates.usages);
	free(rates.device_ns);
	free(rates.deltas);
	return view;
}

void top_view_destroy(struct top_view *view)
{
	if (!view)
		return;
	free(view->rows);
	free(view->devices);
	free(view);
}
