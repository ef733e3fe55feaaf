/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each weight entitles to, among those that want something now. */
#include <stdlib.h>

#include "cli/top/top_rates_private.h"

static bool is_active(const struct rates *rates, size_t leaf)
{
	return rates->deltas[leaf].device_ns > 0 || rates->listing->leaves[leaf].waiting > 0;
}

/* Sums of the weights of active children on one device: of the root, of each group, of each guest. */
struct weights {
	double root, *groups, *guests;
};

static void weigh_leaf(const struct rates *rates, struct weights *weights, const struct top_leaf *leaf)
{
	const struct top_guest *guest = &rates->now->guests[leaf->guest];
	double *guest_sum = &weights->guests[leaf->guest];
	double *parent_sum = guest->group == TOP_NONE ? &weights->root : &weights->groups[guest->group];

	if (*guest_sum == 0) {
		if (guest->group != TOP_NONE && *parent_sum == 0)
			weights->root += rates->now->groups[guest->group].share[rates->resource].weight;
		*parent_sum += guest->share[rates->resource].weight;
	}
	*guest_sum += leaf->share.weight;
}

static double due_part(const struct rates *rates, const struct weights *weights, const struct top_leaf *leaf)
{
	const struct top_guest *guest = &rates->now->guests[leaf->guest];
	double part = leaf->share.weight / weights->guests[leaf->guest];

	if (guest->group == TOP_NONE)
		return part * guest->share[rates->resource].weight / weights->root;
	return part * guest->share[rates->resource].weight / weights->groups[guest->group] *
	       rates->now->groups[guest->group].share[rates->resource].weight / weights->root;
}

/* Each device that a row is active on counts once, however many of its leaves are there. */
static void add_part(struct rates *rates, size_t device, size_t leaf, double part)
{
	size_t row = rates_row_of(rates, leaf);
	struct usage *usage;

	if (row == TOP_NONE)
		return;
	usage = &rates->usages[row];
	usage->due_ns += part * rates->device_ns[device];
	if (usage->counted_device != device)
		usage->devices_ns += rates->device_ns[device];
	usage->counted_device = device;
}

void rates_add_due(struct rates *rates, size_t device)
{
	const struct top_sample *now = rates->now;
	struct weights weights = {
		.groups = rates_need(now->group_count, sizeof(double)),
		.guests = rates_need(now->guest_count, sizeof(double)),
	};

	for (size_t i = 0; i < rates->listing->leaf_count; i++) {
		if (rates->listing->leaves[i].device == device && is_active(rates, i))
			weigh_leaf(rates, &weights, &rates->listing->leaves[i]);
	}
	for (size_t i = 0; i < rates->listing->leaf_count; i++) {
		if (rates->listing->leaves[i].device == device && is_active(rates, i))
			add_part(rates, device, i, due_part(rates, &weights, &rates->listing->leaves[i]));
	}
	free(weights.groups);
	free(weights.guests);
}
