/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/top/top_rates.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"

/* What one row gathers from its disks before it becomes rates. */
struct usage {
	struct top_counters delta;
	double due_ns, devices_ns;
	size_t device;		/* the first one: on it the marks are */
	size_t counted_device;	/* the last one that devices_ns has */
};

struct rates {
	const struct top_sample *before, *now;	/* before: NULL when nothing is measured */
	struct top_view *view;
	struct usage *usages;		/* a row each */
	double *device_ns;		/* device time of all disks, a device each */
	struct top_counters *deltas;	/* a disk each */
};

static void *need(size_t count, size_t entry_bytes)
{
	void *memory = calloc(count + 1, entry_bytes);

	if (!memory)
		abort();
	return memory;
}

/* part / whole, 0 when there is no whole. */
static double ratio(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

static double least(double a, double b)
{
	return a < b ? a : b;
}

/* ---- what was counted between the samples ---- */

/* A counter that fell is one of another life of the disk: nothing is known. */
static uint64_t grown(uint64_t before, uint64_t now)
{
	return now >= before ? now - before : 0;
}

static void subtract_histogram(struct histogram *delta, const struct histogram *before,
			       const struct histogram *now)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		delta->bucket[i].value = grown(before->bucket[i].value, now->bucket[i].value);
}

static void subtract(struct top_counters *delta, const struct top_counters *before,
		     const struct top_counters *now)
{
	delta->operations = grown(before->operations, now->operations);
	delta->read_bytes = grown(before->read_bytes, now->read_bytes);
	delta->written_bytes = grown(before->written_bytes, now->written_bytes);
	delta->device_ns = grown(before->device_ns, now->device_ns);
	delta->cpu_ns = grown(before->cpu_ns, now->cpu_ns);
	delta->throttled_ns = grown(before->throttled_ns, now->throttled_ns);
	delta->contended_ns = grown(before->contended_ns, now->contended_ns);
	delta->latency_ns = grown(before->latency_ns, now->latency_ns);
	subtract_histogram(&delta->latency, &before->latency, &now->latency);
}

static void add(struct top_counters *sum, const struct top_counters *delta)
{
	sum->operations += delta->operations;
	sum->read_bytes += delta->read_bytes;
	sum->written_bytes += delta->written_bytes;
	sum->device_ns += delta->device_ns;
	sum->cpu_ns += delta->cpu_ns;
	sum->throttled_ns += delta->throttled_ns;
	sum->contended_ns += delta->contended_ns;
	sum->latency_ns += delta->latency_ns;
	histogram_merge(&sum->latency, &delta->latency);
}

/* The same disk in the sample before; mostly at the same place. NULL: it is new. */
static const struct top_disk *find_before(const struct top_sample *before, const struct top_disk *disk,
					  size_t place)
{
	if (place < before->disk_count && strcmp(before->disks[place].name, disk->name) == 0)
		return &before->disks[place];
	for (size_t i = 0; i < before->disk_count; i++) {
		if (strcmp(before->disks[i].name, disk->name) == 0)
			return &before->disks[i];
	}
	return NULL;
}

static void count_disks(struct rates *rates)
{
	for (size_t i = 0; i < rates->now->disk_count; i++) {
		const struct top_disk *disk = &rates->now->disks[i], *old = NULL;

		if (rates->before)
			old = find_before(rates->before, disk, i);
		if (old)
			subtract(&rates->deltas[i], &old->counters, &disk->counters);
		rates->device_ns[disk->device] += (double)rates->deltas[i].device_ns;
		rates->view->cpu += (double)rates->deltas[i].cpu_ns;
		rates->view->connected_count += disk->state == TOP_CONNECTED;
	}
}

/*
 * What the device could have carried out between the samples. Its rate is known of the two moments only, so
 * what it did carry out may be more.
 */
static double possible_ns(const struct rates *rates, size_t device)
{
	const struct top_device *now = &rates->now->devices[device], *before = now;
	double ns;

	if (rates->before && device < rates->before->device_count &&
	    strcmp(rates->before->devices[device].name, now->name) == 0)
		before = &rates->before->devices[device];
	ns = rates->view->seconds * (double)NS_PER_S * (before->rate + now->rate) / 2;
	return ns > rates->device_ns[device] ? ns : rates->device_ns[device];
}

/* ---- what each weight entitles to ---- */

static bool is_active(const struct rates *rates, size_t disk)
{
	return rates->deltas[disk].device_ns > 0 || rates->now->disks[disk].waiting > 0;
}

/* Sums of the weights of active children on one device: of the root, of each group, of each guest. */
struct weights {
	double root, *groups, *guests;
};

static void weigh_disk(const struct rates *rates, struct weights *weights, const struct top_disk *disk)
{
	const struct top_guest *guest = &rates->now->guests[disk->guest];
	double *guest_sum = &weights->guests[disk->guest];
	double *parent_sum = guest->group == TOP_NONE ? &weights->root : &weights->groups[guest->group];

	if (*guest_sum == 0) {
		if (guest->group != TOP_NONE && *parent_sum == 0)
			weights->root += (double)rates->now->groups[guest->group].share.weight;
		*parent_sum += (double)guest->share.weight;
	}
	*guest_sum += (double)disk->share.weight;
}

static double due_part(const struct rates *rates, const struct weights *weights, const struct top_disk *disk)
{
	const struct top_guest *guest = &rates->now->guests[disk->guest];
	double part = (double)disk->share.weight / weights->guests[disk->guest];

	if (guest->group == TOP_NONE)
		return part * (double)guest->share.weight / weights->root;
	return part * (double)guest->share.weight / weights->groups[guest->group] *
	       (double)rates->now->groups[guest->group].share.weight / weights->root;
}

/* The row that a disk counts in; TOP_NONE: none. */
static size_t row_of(const struct rates *rates, size_t disk)
{
	switch (rates->view->kind) {
	case TOP_GUESTS:
		return rates->now->disks[disk].guest;
	case TOP_GROUPS:
		return rates->now->guests[rates->now->disks[disk].guest].group;
	default:
		return disk;
	}
}

/* Each device that a row is active on counts once, however many of its disks are there. */
static void add_due(struct rates *rates, size_t device, size_t disk, double part)
{
	size_t row = row_of(rates, disk);
	struct usage *usage;

	if (row == TOP_NONE)
		return;
	usage = &rates->usages[row];
	usage->due_ns += part * rates->device_ns[device];
	if (usage->counted_device != device)
		usage->devices_ns += rates->device_ns[device];
	usage->counted_device = device;
}

static void weigh_device(struct rates *rates, size_t device)
{
	const struct top_sample *now = rates->now;
	struct weights weights = {
		.groups = need(now->group_count, sizeof(double)),
		.guests = need(now->guest_count, sizeof(double)),
	};

	for (size_t i = 0; i < now->disk_count; i++) {
		if (now->disks[i].device == device && is_active(rates, i))
			weigh_disk(rates, &weights, &now->disks[i]);
	}
	for (size_t i = 0; i < now->disk_count; i++) {
		if (now->disks[i].device == device && is_active(rates, i))
			add_due(rates, device, i, due_part(rates, &weights, &now->disks[i]));
	}
	free(weights.groups);
	free(weights.guests);
}

/* ---- rows ---- */

static size_t rows_needed(const struct top_sample *now, enum top_kind kind)
{
	switch (kind) {
	case TOP_GUESTS:
		return now->guest_count;
	case TOP_GROUPS:
		return now->group_count;
	default:
		return now->disk_count;
	}
}

static void start_row(struct rates *rates, size_t index)
{
	struct top_row *row = &rates->view->rows[index];
	const struct top_sample *now = rates->now;

	rates->usages[index].device = rates->usages[index].counted_device = TOP_NONE;
	switch (rates->view->kind) {
	case TOP_GUESTS:
		memcpy(row->name, now->guests[index].name, sizeof(row->name));
		row->share = now->guests[index].share;
		break;
	case TOP_GROUPS:
		memcpy(row->name, now->groups[index].name, sizeof(row->name));
		row->share = now->groups[index].share;
		break;
	default:
		memcpy(row->name, now->disks[index].name, sizeof(row->name));
		row->share = now->disks[index].share;
	}
}

static void gather_disk(struct rates *rates, size_t index)
{
	const struct top_disk *disk = &rates->now->disks[index];
	size_t place = row_of(rates, index);
	struct usage *usage;
	struct top_row *row;

	if (place == TOP_NONE)
		return;
	usage = &rates->usages[place];
	row = &rates->view->rows[place];
	add(&usage->delta, &rates->deltas[index]);
	row->device += ratio((double)rates->deltas[index].device_ns, possible_ns(rates, disk->device));
	if (usage->device == TOP_NONE)
		usage->device = disk->device;
	if (disk->p99_ns > row->p99_ns)
		row->p99_ns = disk->p99_ns;
	if (disk->state > row->state)
		row->state = disk->state;
	row->waiting += disk->waiting;
	row->errors += disk->counters.errors;
	row->refused += disk->counters.refused;
}

/* A reservation is granted for requests as the capacity is told in, whatever the guest sends. */
static double reservation_mark(const struct top_row *row, const struct top_device *device)
{
	double by_iops = ratio((double)row->share.min_iops, (double)device->capacity_iops);
	double by_bandwidth = ratio((double)row->share.min_bandwidth, (double)device->capacity_bandwidth);

	return by_iops > by_bandwidth ? by_iops : by_bandwidth;
}

/*
 * A limit is reached where requests as they are sent now reach it; without any, as the capacity is told in.
 */
static double limit_mark(const struct top_row *row, const struct top_device *device)
{
	double bytes = row->read_bytes + row->written_bytes;
	bool busy = row->device > 0;
	double part_of_one = busy ? ratio(row->device, row->iops) : ratio(1, (double)device->capacity_iops);
	double part_of_byte = busy ? ratio(row->device, bytes) : ratio(1, (double)device->capacity_bandwidth);
	double by_iops = (double)row->share.max_iops * part_of_one;
	double by_bandwidth = (double)row->share.max_bandwidth * part_of_byte;

	if (by_iops > 0 && by_bandwidth > 0)
		return least(by_iops, by_bandwidth);
	return by_iops > 0 ? by_iops : by_bandwidth;
}

static void finish_row(struct rates *rates, size_t index)
{
	const struct usage *usage = &rates->usages[index];
	const struct top_counters *delta = &usage->delta;
	struct top_row *row = &rates->view->rows[index];
	double seconds = rates->view->seconds, ns = seconds * (double)NS_PER_S;
	uint64_t p99_ns = histogram_quantile_ns(&delta->latency, 0.99);

	row->iops = ratio((double)delta->operations, seconds);
	row->read_bytes = ratio((double)delta->read_bytes, seconds);
	row->written_bytes = ratio((double)delta->written_bytes, seconds);
	row->got = ratio((double)delta->device_ns, usage->devices_ns);
	row->due = ratio(usage->due_ns, usage->devices_ns);
	row->cpu = ratio((double)delta->cpu_ns, ns);
	row->throttled = least(ratio((double)delta->throttled_ns, (double)delta->latency_ns), 1);
	row->contended = least(ratio((double)delta->contended_ns, (double)delta->latency_ns), 1);
	if (p99_ns > 0 || delta->operations == 0)
		row->p99_ns = p99_ns;
	if (usage->device != TOP_NONE) {
		row->reservation = reservation_mark(row, &rates->now->devices[usage->device]);
		row->limit = limit_mark(row, &rates->now->devices[usage->device]);
	}
}

/* ---- physical disks ---- */

static void measure_devices(struct rates *rates)
{
	struct top_view *view = rates->view;
	const struct top_sample *now = rates->now;

	for (size_t i = 0; i < now->device_count; i++) {
		view->devices[i].device = &now->devices[i];
		view->devices[i].busy = ratio(rates->device_ns[i], possible_ns(rates, i));
	}
	for (size_t i = 0; i < now->disk_count; i++) {
		struct top_device_row *row = &view->devices[now->disks[i].device];
		const struct top_counters *delta = &rates->deltas[i];

		row->iops += ratio((double)delta->operations, view->seconds);
		row->bytes += ratio((double)(delta->read_bytes + delta->written_bytes), view->seconds);
	}
}

static int compare_devices(const void *left, const void *right)
{
	const struct top_device_row *a = left, *b = right;

	if (a->busy != b->busy)
		return a->busy > b->busy ? -1 : 1;
	if (a->iops != b->iops)
		return a->iops > b->iops ? -1 : 1;
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

	count_disks(rates);
	view->cpu = ratio(view->cpu, view->seconds * (double)NS_PER_S);
	measure_devices(rates);
	for (size_t i = 0; i < view->row_count; i++)
		start_row(rates, i);
	for (size_t i = 0; i < view->disk_count; i++)
		gather_disk(rates, i);
	for (size_t i = 0; i < view->device_count; i++)
		weigh_device(rates, i);
	for (size_t i = 0; i < view->row_count; i++)
		finish_row(rates, i);
	qsort(view->devices, view->device_count, sizeof(*view->devices), compare_devices);
}

struct top_view *top_view_create(const struct top_sample *before, const struct top_sample *now,
				 enum top_kind kind)
{
	struct top_view *view = need(1, sizeof(*view));
	struct rates rates = { .now = now, .view = view };

	view->kind = kind;
	view->disk_count = now->disk_count;
	view->device_count = now->device_count;
	view->row_count = rows_needed(now, kind);
	view->rows = need(view->row_count, sizeof(*view->rows));
	view->devices = need(view->device_count, sizeof(*view->devices));
	if (same_daemon(before, now)) {
		rates.before = before;
		view->measured = true;
		view->seconds = (double)(now->now_ns - before->now_ns) / (double)NS_PER_S;
	}
	rates.usages = need(view->row_count, sizeof(*rates.usages));
	rates.device_ns = need(now->device_count, sizeof(*rates.device_ns));
	rates.deltas = need(now->disk_count, sizeof(*rates.deltas));
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
