/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tree of shares and its admission control. A node's reservation is its own, or the sum of its children's
 * if that is more: a guest without one may have disks with some. Children of a node with a reservation share
 * it out among themselves; those of the root share GATE_RESERVABLE_PPB of the device.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "arbiter/share/gate_private.h"
#include "core/clock.h"

/* More than any device's time, and a sum of many does not overflow. */
#define PPB_MAX SCHEDULER_RESERVED_MAX_PPB

/* ---- the tree ---- */

static void link_node(struct gate_node *node, struct gate_node *parent)
{
	struct gate_node **list = parent ? &parent->children : &node->gate->children;

	assert(parent != node && (!parent || parent->gate == node->gate));
	node->parent = parent;
	node->next = *list;
	*list = node;
}

static void unlink_node(struct gate_node *node)
{
	struct gate_node **link = node->parent ? &node->parent->children : &node->gate->children;

	while (*link && *link != node)
		link = &(*link)->next;
	assert(*link);
	*link = node->next;
}

/* ---- admission ---- */

/*
 * Reservations are requests or bytes a second. Which part of the device's time that is changes with the
 * level of its costs, so the tree holds parts as they would be at level 1.
 */
static double level_now(struct gate *gate)
{
	double level;

	pthread_mutex_lock(&gate->lock);
	level = gate->level;
	pthread_mutex_unlock(&gate->lock);
	assert(level > 0);
	return level;
}

static uint64_t scaled(uint64_t ppb, double factor)
{
	double part = (double)ppb * factor;

	return part < PPB_MAX ? (uint64_t)part : PPB_MAX;
}

static uint64_t reserved_by_children(const struct gate *gate, const struct gate_node *parent)
{
	uint64_t sum = 0;

	for (const struct gate_node *child = parent ? parent->children : gate->children; child;
	     child = child->next) {
		uint64_t below = reserved_by_children(gate, child);

		assert(child->parent == parent);
		sum += child->reserved_ppb > below ? child->reserved_ppb : below;
	}
	return sum;
}

uint64_t gate_reserved_ppb(struct gate *gate)
{
	return scaled(reserved_by_children(gate, NULL), level_now(gate));
}

static int refuse_reservation(struct gate *gate, uint64_t wanted_ppb, uint64_t left_ppb, const char *whose,
			      struct error *error)
{
	const struct gate_device_ops *ops = gate->device->ops;
	double level = level_now(gate);
	char left[sizeof(error->text)] = "";

	assert(wanted_ppb > left_ppb);
	wanted_ppb = scaled(wanted_ppb, level);
	left_ppb = scaled(left_ppb, level);
	ops->describe_ppb(gate->device, left_ppb, left, sizeof(left));
	return error_set(error, -ENOSPC,
			 "the reservation is %.1f %% of the %s's time, and %.1f %% is left of what %s: %s",
			 (double)wanted_ppb / 1e7, ops->noun, (double)left_ppb / 1e7, whose, left);
}

/* Of the whole device, at level 1. */
static uint64_t reservable(struct gate *gate)
{
	struct gate_belief belief;

	gate_believe(gate, &belief);
	return belief.known ? scaled(GATE_RESERVABLE_PPB, 1 / level_now(gate)) : PPB_MAX;
}

/*
 * `node` is in the tree with the reservation that it wants: does that fit at every level above the node? If
 * not, the caller takes the node or the reservation out again.
 */
static int admit(const struct gate_node *node, struct error *error)
{
	uint64_t wanted_ppb = node->reserved_ppb, reservable_ppb = reservable(node->gate);

	if (wanted_ppb == 0)
		wanted_ppb = reserved_by_children(node->gate, node);
	for (const struct gate_node *above = node->parent;; above = above->parent) {
		uint64_t sum_ppb = reserved_by_children(node->gate, above);
		uint64_t all_ppb = above ? above->reserved_ppb : reservable_ppb;

		if ((!above || all_ppb > 0) && sum_ppb > all_ppb && wanted_ppb > 0) {
			uint64_t excess_ppb = sum_ppb - all_ppb;

			return refuse_reservation(
				node->gate, wanted_ppb, wanted_ppb > excess_ppb ? wanted_ppb - excess_ppb : 0,
				above ? "its guest or group has reserved" : "may be reserved", error);
		}
		if (!above)
			return 0;
	}
}

/* A reservation may not be less than what was promised below it. */
static int cover_children(const struct gate_node *node, uint64_t reserved_ppb, struct error *error)
{
	uint64_t children_ppb = reserved_by_children(node->gate, node);

	if (reserved_ppb > 0 && children_ppb > reserved_ppb)
		return error_set(error, -ENOSPC,
				 "what is below it has %.1f %% of the %s's time reserved, more than this "
				 "reservation of %.1f %%",
				 (double)children_ppb * level_now(node->gate) / 1e7,
				 node->gate->device->ops->noun,
				 (double)reserved_ppb * level_now(node->gate) / 1e7);
	return 0;
}

static int check_settings(const struct share_settings *settings, struct error *error)
{
	if (settings->weight > SCHEDULER_WEIGHT_MAX)
		return error_set(error, -EINVAL, "weight is 1 to %u", SCHEDULER_WEIGHT_MAX);
	if (settings->burst_ms > SHARE_BURST_MS_MAX)
		return error_set(error, -EINVAL, "burst is at most %u ms", SHARE_BURST_MS_MAX);
	if (settings->latency_target_us > SHARE_LATENCY_US_MAX)
		return error_set(error, -EINVAL, "latency_target is at most %u us", SHARE_LATENCY_US_MAX);
	if (settings->max_iops > 0 && settings->min_iops > settings->max_iops)
		return error_set(error, -EINVAL, "min_iops %llu is above max_iops %llu",
				 (unsigned long long)settings->min_iops,
				 (unsigned long long)settings->max_iops);
	if (settings->max_bandwidth > 0 && settings->min_bandwidth > settings->max_bandwidth)
		return error_set(error, -EINVAL, "min_bandwidth %llu is above max_bandwidth %llu",
				 (unsigned long long)settings->min_bandwidth,
				 (unsigned long long)settings->max_bandwidth);
	return 0;
}

/* ---- nodes ---- */

uint32_t gate_node_weight(const struct gate_node *node)
{
	uint64_t sum = 0;

	assert(node->settings.weight <= SCHEDULER_WEIGHT_MAX);
	if (node->settings.weight > 0)
		return (uint32_t)node->settings.weight;
	for (const struct gate_node *child = node->children; child; child = child->next)
		sum += gate_node_weight(child);
	if (sum == 0)
		return SCHEDULER_WEIGHT_DEFAULT;
	return sum < SCHEDULER_WEIGHT_SUM_MAX ? (uint32_t)sum : SCHEDULER_WEIGHT_SUM_MAX;
}

/* In the scheduler's terms. */
static struct scheduler_settings scheduler_settings(const struct gate_node *node)
{
	return (struct scheduler_settings){
		.weight = gate_node_weight(node),
		.reserved_ppb = node->reserved_ppb,
		.max_iops = node->settings.max_iops,
		.max_bandwidth = node->settings.max_bandwidth,
		.burst_ns = node->settings.burst_ms * NS_PER_MS,
	};
}

/* The weights below `node` have changed: those above that are sums of them change, too. */
static void update_sums(struct gate_node *node)
{
	for (; node && node->settings.weight == 0; node = node->parent) {
		struct scheduler_settings scheduler = scheduler_settings(node);

		pthread_mutex_lock(&node->gate->lock);
		scheduler_node_set(node->node, &scheduler, node->gate->clock_ns());
		pthread_mutex_unlock(&node->gate->lock);
	}
}

static uint64_t reservation(struct gate *gate, const struct share_settings *settings)
{
	return scaled(gate->device->ops->reservation_ppb(gate->device, settings), 1 / level_now(gate));
}

int gate_node_create(struct gate *gate, struct gate_node *parent, const struct share_settings *settings,
		     struct gate_node **ret_node, struct error *error)
{
	uint64_t reserved_ppb = reservation(gate, settings);
	struct scheduler_settings scheduler;
	struct gate_node *node;
	int code = check_settings(settings, error);

	if (code)
		return code;
	node = calloc(1, sizeof(*node));
	if (!node)
		return error_set(error, -ENOMEM, "out of memory");
	*node = (struct gate_node){ .gate = gate, .settings = *settings, .reserved_ppb = reserved_ppb,
				    .latency_target_ns = settings->latency_target_us * NS_PER_US };
	link_node(node, parent);
	code = admit(node, error);
	if (code)
		goto fail;
	scheduler = scheduler_settings(node);
	pthread_mutex_lock(&gate->lock);
	assert(!parent || parent->ports == 0);
	code = scheduler_node_create(gate->scheduler, parent ? parent->node : NULL, &scheduler,
				     gate->clock_ns(), &node->node);
	pthread_mutex_unlock(&gate->lock);
	if (code) {
		error_set(error, code, "no room for another share");
		goto fail;
	}
	update_sums(parent);
	*ret_node = node;
	return 0;

fail:
	unlink_node(node);
	free(node);
	return code;
}

void gate_node_destroy(struct gate_node *node)
{
	if (!node)
		return;
	assert(!node->children);
	pthread_mutex_lock(&node->gate->lock);
	assert(node->ports == 0);
	scheduler_node_destroy(node->node);
	pthread_mutex_unlock(&node->gate->lock);
	unlink_node(node);
	update_sums(node->parent);
	free(node);
}

int gate_node_set(struct gate_node *node, const struct share_settings *settings, struct error *error)
{
	struct gate *gate = node->gate;
	uint64_t reserved_ppb = reservation(gate, settings);
	struct scheduler_settings scheduler;
	uint64_t before_ppb = node->reserved_ppb;
	int code = check_settings(settings, error);

	if (!code)
		code = cover_children(node, reserved_ppb, error);
	if (code)
		return code;
	node->reserved_ppb = reserved_ppb;
	/* Less than before is always possible, also when the device turned out to be slower than it was. */
	code = reserved_ppb > before_ppb ? admit(node, error) : 0;
	if (code) {
		node->reserved_ppb = before_ppb;
		return code;
	}
	node->settings = *settings;
	scheduler = scheduler_settings(node);
	pthread_mutex_lock(&gate->lock);
	gate_lease_revoke(gate);
	node->latency_target_ns = settings->latency_target_us * NS_PER_US;
	scheduler_node_set(node->node, &scheduler, gate->clock_ns());
	pthread_mutex_unlock(&gate->lock);
	update_sums(node->parent);
	gate_look_again(gate);
	return 0;
}

int gate_node_move(struct gate_node *node, struct gate_node *parent, struct error *error)
{
	struct gate_node *before = node->parent;
	struct gate *gate = node->gate;
	int code;

	if (parent == before)
		return 0;
	unlink_node(node);
	link_node(node, parent);
	code = admit(node, error);
	if (!code) {
		pthread_mutex_lock(&gate->lock);
		assert(!parent || parent->ports == 0);
		gate_lease_revoke(gate);
		code = scheduler_node_move(node->node, parent ? parent->node : NULL, gate->clock_ns());
		pthread_mutex_unlock(&gate->lock);
		if (code)
			error_set(error, code, "the groups would be too deep");
	}
	if (code) {
		unlink_node(node);
		link_node(node, before);
		return code;
	}
	update_sums(before);
	update_sums(parent);
	gate_look_again(gate);
	return 0;
}

struct gate_device *gate_node_device(const struct gate_node *node)
{
	return node->gate->device;
}

const struct share_settings *gate_node_settings(const struct gate_node *node)
{
	return &node->settings;
}
