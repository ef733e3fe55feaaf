/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control path of the scheduler: its tree of nodes, and their settings. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "arbiter/share/scheduler_private.h"

#define PPB 1000000000ull
/* Of a reservation of next to nothing. */
#define DUE_STEP_MAX (1ull << 60)

int scheduler_create(struct scheduler **ret_scheduler)
{
	struct scheduler *scheduler = calloc(1, sizeof(*scheduler));

	if (!scheduler)
		return -ENOMEM;
	scheduler->root.scheduler = scheduler;
	scheduler->level = 1;
	*ret_scheduler = scheduler;
	return 0;
}

static void heaps_free(struct scheduler_node *node)
{
	heap_finish(&node->tags);
	heap_finish(&node->dues);
}

void scheduler_destroy(struct scheduler *scheduler)
{
	if (!scheduler)
		return;
	assert(scheduler->node_count == 0 && scheduler->waiting == 0 && !scheduler->root.children);
	heaps_free(&scheduler->root);
	heap_finish(&scheduler->throttled);
	free(scheduler);
}

/* ---- the tree ---- */

/* Levels above the node; the root has none. */
static unsigned level_of(const struct scheduler_node *node)
{
	unsigned level = 0;

	for (; node->parent; node = node->parent)
		level++;
	return level;
}

/* Levels below the node. */
static unsigned height_of(const struct scheduler_node *node)
{
	unsigned height = 0;

	for (const struct scheduler_node *child = node->children; child; child = child->sibling) {
		unsigned below = 1 + height_of(child);

		if (below > height)
			height = below;
	}
	return height;
}

static bool is_below(const struct scheduler_node *node, const struct scheduler_node *above)
{
	while (node && node != above)
		node = node->parent;
	return node != NULL;
}

/* Room for one more child, so that the data path never needs memory. */
static int reserve_child(struct scheduler_node *parent)
{
	int error = heap_reserve(&parent->tags, parent->child_count + 1);

	assert(parent->tags.count <= parent->child_count);
	assert(parent->dues.count <= parent->child_count);
	return error ? error : heap_reserve(&parent->dues, parent->child_count + 1);
}

static void attach(struct scheduler_node *node, struct scheduler_node *parent)
{
	assert(node->scheduler == parent->scheduler && !parent->first);
	assert(!heap_holds(&node->by_tag) && !heap_holds(&node->by_due));
	assert(parent->child_count < parent->tags.capacity);
	assert(parent->child_count < parent->dues.capacity);
	node->parent = parent;
	node->sibling = parent->children;
	parent->children = node;
	parent->child_count++;
	if (!node->children)
		parent->draining += node->draining;
	/* New among its siblings: neither credit nor debt. */
	node->tag = parent->virtual;
	node->due_ns = node->scheduler->clock_ns;
}

/* Out of the heaps and the list of its parent, which it still names. */
static void detach(struct scheduler_node *node)
{
	struct scheduler_node *parent = node->parent, **link;

	assert(parent && parent->child_count > 0);
	if (heap_holds(&node->by_tag))
		heap_remove(&parent->tags, &node->by_tag);
	if (heap_holds(&node->by_due))
		heap_remove(&parent->dues, &node->by_due);
	assert(node->children || parent->draining >= node->draining);
	for (link = &parent->children; *link != node; link = &(*link)->sibling)
		assert(*link);
	*link = node->sibling;
	parent->child_count--;
	if (!node->children)
		parent->draining -= node->draining;
	node_update_up(parent);
}

int scheduler_node_create(struct scheduler *scheduler, struct scheduler_node *parent,
			  const struct scheduler_settings *settings, uint64_t now_ns,
			  struct scheduler_node **ret_node)
{
	struct scheduler_node *node;
	int error;

	parent = parent ? parent : &scheduler->root;
	assert(parent->scheduler == scheduler && !parent->first);
	if (level_of(parent) >= SCHEDULER_DEPTH_MAX)
		return -EINVAL;
	error = reserve_child(parent);
	if (!error)
		error = heap_reserve(&scheduler->throttled, scheduler->node_count + 1);
	if (error)
		return error;
	node = calloc(1, sizeof(*node));
	if (!node)
		return -ENOMEM;
	scheduler->node_count++;
	assert(scheduler->node_count <= scheduler->throttled.capacity);
	node->scheduler = scheduler;
	attach(node, parent);
	scheduler_node_set(node, settings, now_ns);
	*ret_node = node;
	return 0;
}

void scheduler_node_destroy(struct scheduler_node *node)
{
	if (!node)
		return;
	assert(!node->children && !node->first);
	assert(node->waiting == 0);
	if (node->throttled)
		node_release(node);
	assert(node->draining == 0 && node->scheduler->node_count > 0);
	detach(node);
	node->scheduler->node_count--;
	heaps_free(node);
	free(node);
}

int scheduler_node_move(struct scheduler_node *node, struct scheduler_node *parent, uint64_t now_ns)
{
	uint64_t throttled_ns;
	int error;

	parent = parent ? parent : &node->scheduler->root;
	assert(parent->scheduler == node->scheduler);
	if (parent == node->parent)
		return 0;
	assert(!parent->first);
	if (is_below(parent, node) || level_of(parent) + 1 + height_of(node) > SCHEDULER_DEPTH_MAX)
		return -EINVAL;
	error = reserve_child(parent);
	if (error)
		return error;
	scheduler_advance(node->scheduler, now_ns);
	/*
	 * What waits below remembers a sum over all ancestors: the node takes with it what the old ones had.
	 */
	throttled_ns = node_throttled_ns(node->parent) - node_throttled_ns(parent);
	node->throttled_total_ns += throttled_ns;
	/* What it held back may be gone. */
	for (struct scheduler_node *above = node->parent; above; above = above->parent)
		if (above->throttled)
			node_release(above);
	detach(node);
	attach(node, parent);
	node_update_up(node);
	return 0;
}

/* ---- settings ---- */

static void set_limits(struct scheduler_node *node, const struct scheduler_settings *settings)
{
	uint64_t now_ns = node->scheduler->now_ns;

	bucket_set(&node->requests, settings->max_iops, settings->burst_ns, 1, now_ns);
	bucket_set(&node->bytes, settings->max_bandwidth, settings->burst_ns, 0, now_ns);
	node->limited = settings->max_iops > 0 || settings->max_bandwidth > 0;
	if (node->throttled)
		node_release(node);	/* to be judged again */
}

static uint64_t due_step(const struct scheduler *scheduler, uint64_t reserved_ppb)
{
	double step = (double)(PPB << DUE_SHIFT) / ((double)reserved_ppb * scheduler->level);

	if (reserved_ppb == 0)
		return 0;
	return step < 1 ? 1 : step < DUE_STEP_MAX ? (uint64_t)step : DUE_STEP_MAX;
}

static void set_level(struct scheduler_node *node)
{
	for (struct scheduler_node *child = node->children; child; child = child->sibling) {
		child->due_step = due_step(child->scheduler, child->settings.reserved_ppb);
		set_level(child);
	}
}

void scheduler_set_level(struct scheduler *scheduler, double level)
{
	assert(level > 0);
	scheduler->level = level;
	set_level(&scheduler->root);
}

void scheduler_node_set(struct scheduler_node *node, const struct scheduler_settings *settings,
			uint64_t now_ns)
{
	assert(settings->weight >= 1 && settings->weight <= SCHEDULER_WEIGHT_SUM_MAX);
	assert(settings->reserved_ppb <= SCHEDULER_RESERVED_MAX_PPB);
	scheduler_advance(node->scheduler, now_ns);
	node->settings = *settings;
	node->tag_step = VIRTUAL_ONE / settings->weight;
	assert(node->tag_step > 0);
	node->due_step = due_step(node->scheduler, settings->reserved_ppb);
	node->tag = node->parent->virtual;
	node->due_ns = node->scheduler->clock_ns;
	set_limits(node, settings);
	node_update_up(node);
}

void scheduler_drain_begin(struct scheduler_node *leaf, uint64_t now_ns)
{
	assert(!leaf->children);
	scheduler_advance(leaf->scheduler, now_ns);
	leaf->draining++;
	leaf->parent->draining++;
	if (leaf->throttled)
		node_release(leaf);
	if (leaf->parent->throttled)
		node_release(leaf->parent);
}

void scheduler_drain_end(struct scheduler_node *leaf)
{
	assert(leaf->draining > 0 && leaf->parent->draining >= leaf->draining);
	leaf->draining--;
	leaf->parent->draining--;
	if (leaf->draining == 0)
		leaf->lenient = false;
}

void scheduler_ignore_limits(struct scheduler *scheduler, bool ignore, uint64_t now_ns)
{
	scheduler_advance(scheduler, now_ns);
	scheduler->ignore_limits = ignore;
	while (ignore && scheduler->throttled.count > 0)
		node_release(node_of(scheduler->throttled.entries[0].place, by_ready));
}

const struct scheduler_settings *scheduler_node_settings(const struct scheduler_node *node)
{
	return &node->settings;
}

unsigned scheduler_node_waiting(const struct scheduler_node *node)
{
	unsigned waiting = node->waiting;

	assert(!node->children || node->waiting == 0);
	for (const struct scheduler_node *child = node->children; child; child = child->sibling)
		waiting += scheduler_node_waiting(child);
	return waiting;
}

bool scheduler_node_limited(const struct scheduler_node *node)
{
	while (node && !node->limited)
		node = node->parent;
	return node != NULL;
}
