/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The data path of the scheduler: see scheduler_private.h for how it decides. */
#include "arbiter/share/scheduler_private.h"

#include <assert.h>

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- heaps follow the nodes ---- */

static bool node_ready(const struct scheduler_node *node)
{
	return !node->throttled && (node->first || node->tags.count > 0);
}

/* When the node, or what is below it, is owed something; HEAP_KEY_NONE: no reservation. */
static uint64_t node_due(const struct scheduler_node *node)
{
	uint64_t below = heap_least(&node->dues);

	return node->due_step > 0 && node->due_ns < below ? node->due_ns : below;
}

/* In, out, or to another place of a heap. Returns true when that changes something. */
static bool heap_update(struct scheduler_heap *heap, struct heap_place *place, uint64_t key)
{
	bool there = heap_holds(place);

	if (key == HEAP_KEY_NONE) {
		if (there)
			heap_remove(heap, place);
		return there;
	}
	if (!there)
		heap_insert(heap, place, key);
	else if (heap->entries[place->at - 1].key == key)
		return false;
	else
		heap_move(heap, place, key);
	return true;
}

/* By weight, from the node down to a leaf. */
static struct scheduler_node *choose_leaf(struct scheduler_node *node)
{
	while (node->tags.count > 0)
		node = node_of(node->tags.entries[0].place, by_tag);
	return node;
}

/*
 * What the request costs the node among its siblings. A light one costs nothing where the device's time is
 * what they compete for; below a limit, they compete for what that lets through.
 */
static __attribute__((noinline, cold)) uint64_t light_cost_ns(const struct scheduler_node *node,
							      const struct scheduler_request *request)
{
	return scheduler_node_limited(node->parent) ? request->cost_ns : 0;
}

/*
 * Siblings with the same tag would keep in step for ever: a node that is one small request ahead of them
 * would wait until each of them has had one large request. So a part of its first request's cost is added to
 * the tag of a node that wakes, another part for each node: after that request, or already before it when a
 * sibling woke at the same virtual time (many nodes begin at once).
 */
static uint64_t spread(struct scheduler *scheduler, uint64_t cost_ns)
{
	scheduler->spread += SPREAD_STEP;
	return (cost_ns >> 4) * scheduler->spread >> 28;	/* COST_MAX_NS: no overflow */
}

/* Of the request below the node whose turn is first. */
static uint64_t first_cost_ns(struct scheduler_node *node)
{
	const struct scheduler_request *first = choose_leaf(node)->first;

	return __builtin_expect(first->light, 0) ? light_cost_ns(node, first) : first->cost_ns;
}

/* Idleness, and being held back by a limit, save up nothing. */
static void node_wake(struct scheduler_node *node)
{
	struct scheduler_node *parent = node->parent;

	if (node->tag <= parent->virtual) {
		node->tag = parent->virtual;
		node->woken = parent->woken_virtual != parent->virtual;
		if (!node->woken)
			node->tag += spread(node->scheduler, first_cost_ns(node)) * node->tag_step;
		parent->woken_virtual = parent->virtual;
	}
	node->due_ns = later(node->due_ns, node->scheduler->clock_ns);
}

/* One node in its parent's heaps. Returns true when the parent may have to be updated, too. */
static bool node_update(struct scheduler_node *node)
{
	struct scheduler_node *parent = node->parent;
	bool ready = node_ready(node), changed;

	if (ready && !heap_holds(&node->by_tag))
		node_wake(node);
	changed = heap_update(&parent->tags, &node->by_tag, ready ? node->tag : HEAP_KEY_NONE);
	return heap_update(&parent->dues, &node->by_due, ready ? node_due(node) : HEAP_KEY_NONE) || changed;
}

void node_update_up(struct scheduler_node *node)
{
	while (node->parent && node_update(node))
		node = node->parent;
}

/* ---- time ---- */

void scheduler_advance(struct scheduler *scheduler, uint64_t now_ns)
{
	uint64_t earliest = heap_least(&scheduler->root.dues);

	if (now_ns > scheduler->now_ns) {
		scheduler->clock_ns += now_ns - scheduler->now_ns;
		scheduler->now_ns = now_ns;
	}
	if (scheduler->clock_ns > earliest && scheduler->clock_ns - earliest > DUE_HORIZON_NS)
		scheduler->clock_ns = earliest + DUE_HORIZON_NS;
}

/* ---- limits ---- */

uint64_t node_throttled_ns(const struct scheduler_node *node)
{
	uint64_t sum = 0;

	for (; node; node = node->parent) {
		sum += node->throttled_total_ns;
		if (node->throttled)
			sum += node->scheduler->now_ns - node->throttled_since_ns;
	}
	return sum;
}

void node_release(struct scheduler_node *node)
{
	assert(node->throttled && node->throttled_since_ns <= node->scheduler->now_ns);
	node->throttled = false;
	node->throttled_total_ns += node->scheduler->now_ns - node->throttled_since_ns;
	heap_remove(&node->scheduler->throttled, &node->by_ready);
	node_update_up(node);
}

static void node_throttle(struct scheduler_node *node, uint64_t wait_ns)
{
	struct scheduler *scheduler = node->scheduler;

	assert(!node->throttled && wait_ns > 0);
	assert(node->parent);
	node->throttled = true;
	node->throttled_since_ns = scheduler->now_ns;
	heap_insert(&scheduler->throttled, &node->by_ready, scheduler->now_ns + wait_ns);
	node_update_up(node);
}

/*
 * How long the node's limits would hold back a request, or with neither requests nor bytes: how much it owes
 * them.
 */
/* What counts against max_iops. */
static uint64_t requests_of(const struct scheduler_request *request)
{
	return request->more == SCHEDULER_COUNTED ? 0 : 1ull + request->more;
}

static uint64_t limits_wait_ns(struct scheduler_node *node, uint64_t requests, uint64_t bytes)
{
	uint64_t now_ns = node->scheduler->now_ns;

	return later(bucket_wait_ns(&node->requests, requests, now_ns),
		     bucket_wait_ns(&node->bytes, bytes, now_ns));
}

static void limits_take(struct scheduler_node *node, uint64_t requests, uint64_t bytes)
{
	bucket_take(&node->requests, requests);
	bucket_take(&node->bytes, bytes);
}

/* Do the leaf's own limits let it pass, because it is being drained? */
static bool is_lenient(struct scheduler_node *leaf)
{
	if (leaf->draining > 0 && !leaf->lenient)
		leaf->lenient = later(limits_wait_ns(leaf, 0, 0), limits_wait_ns(leaf->parent, 0, 0)) <=
				DRAIN_DEBT_MAX_NS;
	return leaf->lenient;
}

/*
 * Throttles the first node on the request's way that may not let it pass. Returns true when there is one. A
 * parent with a leaf that is drained stays open for that one: the leaf that asked is throttled instead.
 */
static bool hold_back(struct scheduler_node *leaf)
{
	if (leaf->scheduler->ignore_limits)
		return false;
	for (struct scheduler_node *node = is_lenient(leaf) ? leaf->parent->parent : leaf; node;
	     node = node->parent) {
		uint64_t wait_ns;

		if (!node->limited)
			continue;
		wait_ns = limits_wait_ns(node, requests_of(leaf->first), leaf->first->bytes);
		if (wait_ns > 0) {
			node_throttle(node->draining > 0 ? leaf : node, wait_ns);
			return true;
		}
	}
	return false;
}

/* ---- charging ---- */

static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/*
 * Virtual time starts again at zero: for the node, and for its children with it. The order of the keys stays.
 */
static void node_rebase(struct scheduler_node *node)
{
	for (struct scheduler_node *child = node->children; child; child = child->sibling)
		child->tag = minus(child->tag, node->virtual);
	for (uint32_t i = 0; i < node->tags.count; i++)
		node->tags.entries[i].key = minus(node->tags.entries[i].key, node->virtual);
	node->virtual = node->woken_virtual = 0;
}

/* Moves the node's tag on. */
static void charge_weight(struct scheduler_node *node, uint64_t cost_ns)
{
	struct scheduler_node *parent = node->parent;
	uint64_t tag = later(node->tag, parent->virtual);
	uint64_t least = heap_least(&parent->tags);

	parent->virtual = later(parent->virtual, least < tag ? least : tag);
	if (tag - parent->virtual <= LEAD_MAX_NS * node->tag_step) {
		if (node->woken)
			cost_ns += spread(node->scheduler, cost_ns);
		tag += cost_ns * node->tag_step;
	}
	node->woken = false;
	node->tag = tag;
	if (parent->virtual > VIRTUAL_REBASE)
		node_rebase(parent);
}

static void charge_reservation(struct scheduler_node *node, uint64_t cost_ns)
{
	unsigned __int128 step = (unsigned __int128)cost_ns * node->due_step >> DUE_SHIFT;
	uint64_t most = node->scheduler->clock_ns + DUE_LEAD_MAX_NS;

	node->due_ns = step < most - node->due_ns ? node->due_ns + (uint64_t)step : most;
}

/*
 * Reservations owe the weights a small part of what they get. It is paid back while a reservation has to
 * wait.
 */
static void charge_owed(struct scheduler *scheduler, const struct scheduler_node *reserved, uint64_t cost_ns)
{
	if (reserved)
		scheduler->owed_ns += (int64_t)(cost_ns >> WEIGHT_PART_SHIFT);
	else if (scheduler->owed_ns > 0)
		scheduler->owed_ns -= (int64_t)cost_ns;
}

/*
 * A request leaves the leaf; `reserved`: the node whose reservation lets it, or NULL: it is its turn by
 * weight.
 */
static void charge(struct scheduler_node *leaf, const struct scheduler_request *request,
		   const struct scheduler_node *reserved)
{
	bool counts = false, light = __builtin_expect(request->light, 0);

	if (!light)
		charge_owed(leaf->scheduler, reserved, request->cost_ns);
	for (struct scheduler_node *node = leaf; node->parent; node = node->parent) {
		charge_weight(node, light ? light_cost_ns(node, request) : request->cost_ns);
		counts = counts || node == reserved;
		if (counts && node->due_step > 0)
			charge_reservation(node, request->cost_ns);
		if (node->limited)
			limits_take(node, requests_of(request), request->bytes);
		node_update(node);
	}
}

/* ---- choosing ---- */

/* The node whose reservation is owed something now; NULL: none, or it is the turn of the weights. */
static struct scheduler_node *choose_reserved(struct scheduler *scheduler)
{
	struct scheduler_node *node = &scheduler->root;

	if (heap_least(&node->dues) > scheduler->clock_ns)
		return NULL;
	do
		node = node_of(node->dues.entries[0].place, by_due);
	while (heap_least(&node->dues) < node->due_ns || node->due_step == 0);
	return node;
}

/* The leaf whose turn it is. NULL: none. */
static struct scheduler_node *choose(struct scheduler *scheduler, struct scheduler_node **ret_reserved)
{
	struct scheduler_node *reserved = choose_reserved(scheduler);

	if (reserved && scheduler->owed_ns > 0) {
		*ret_reserved = NULL;
	} else {
		*ret_reserved = reserved;
		if (reserved)
			return choose_leaf(reserved);
	}
	return scheduler->root.tags.count > 0 ? choose_leaf(&scheduler->root) : NULL;
}

static struct scheduler_request *leaf_pop(struct scheduler_node *leaf)
{
	struct scheduler_request *request = leaf->first;
	uint64_t now_ns = leaf->scheduler->now_ns;
	uint64_t throttled_ns = node_throttled_ns(leaf) - request->throttled_ns;

	assert(leaf->waiting > 0 && request->node == leaf);
	leaf->first = request->next;
	leaf->waiting--;
	leaf->scheduler->waiting--;
	if (__builtin_expect(request->light, 0))
		leaf->scheduler->light_waiting--;
	request->waited_ns = now_ns - request->added_ns;
	request->throttled_ns = throttled_ns < request->waited_ns ? throttled_ns : request->waited_ns;
	return request;
}

/* By weight, and only when it is a light one's turn. Reservations are of the device's time. */
static struct scheduler_node *choose_light(struct scheduler *scheduler)
{
	struct scheduler_node *leaf = scheduler->root.tags.count > 0 ? choose_leaf(&scheduler->root) : NULL;

	return leaf && leaf->first->light ? leaf : NULL;
}

/* Inline, so that each of the two below has what it needs and no more. */
static inline __attribute__((always_inline)) struct scheduler_request *
take_next(struct scheduler *scheduler, uint64_t now_ns, bool light_only, uint64_t *ret_ready_ns)
{
	struct scheduler_node *leaf, *reserved = NULL;
	struct scheduler_request *request;

	scheduler_advance(scheduler, now_ns);
	while (heap_least(&scheduler->throttled) <= scheduler->now_ns)
		node_release(node_of(scheduler->throttled.entries[0].place, by_ready));
	do {
		leaf = light_only ? choose_light(scheduler) : choose(scheduler, &reserved);
		if (!leaf) {
			*ret_ready_ns = heap_least(&scheduler->throttled);
			return NULL;
		}
	} while (hold_back(leaf));
	request = leaf_pop(leaf);
	charge(leaf, request, __builtin_expect(request->light, 0) ? NULL : reserved);
	return request;
}

struct scheduler_request *scheduler_next(struct scheduler *scheduler, uint64_t now_ns, uint64_t *ret_ready_ns)
{
	return take_next(scheduler, now_ns, false, ret_ready_ns);
}

struct scheduler_request *scheduler_next_light(struct scheduler *scheduler, uint64_t now_ns,
					       uint64_t *ret_ready_ns)
{
	return take_next(scheduler, now_ns, true, ret_ready_ns);
}

void scheduler_add(struct scheduler_node *leaf, struct scheduler_request *request, uint64_t now_ns)
{
	struct scheduler *scheduler = leaf->scheduler;

	assert(!leaf->children && request->cost_ns > 0);
	scheduler_advance(scheduler, now_ns);
	if (request->cost_ns > COST_MAX_NS)
		request->cost_ns = COST_MAX_NS;
	request->node = leaf;
	request->added_ns = scheduler->now_ns;
	/* Until scheduler_next(): what it starts from */
	request->throttled_ns = node_throttled_ns(leaf);
	request->next = NULL;
	leaf->waiting++;
	scheduler->waiting++;
	if (__builtin_expect(request->light, 0))
		scheduler->light_waiting++;
	assert(!leaf->first == (leaf->waiting == 1));
	if (leaf->first) {
		leaf->last = leaf->last->next = request;
		return;
	}
	leaf->first = leaf->last = request;
	node_update_up(leaf);
}

void scheduler_cancel(struct scheduler_request *request)
{
	struct scheduler_node *leaf = request->node;
	struct scheduler_request **link = &leaf->first, *before = NULL;

	assert(leaf->waiting > 0 && leaf->scheduler->waiting > 0);
	for (; *link != request; link = &before->next)
		before = *link;
	*link = request->next;
	if (leaf->last == request)
		leaf->last = before;
	leaf->waiting--;
	leaf->scheduler->waiting--;
	leaf->scheduler->light_waiting -= request->light;
	if (!leaf->first)
		node_update_up(leaf);
}

struct scheduler_request *scheduler_take_out(struct scheduler_node *leaf,
					     bool (*yes)(const struct scheduler_request *request,
							 const void *context),
					     const void *context)
{
	struct scheduler_request *taken = NULL, **end = &taken, **link = &leaf->first, *last = NULL;

	/* In one pass: many may wait, and the caller has a lock. */
	while (*link) {
		struct scheduler_request *request = *link;

		if (!yes(request, context)) {
			last = request;
			link = &request->next;
			continue;
		}
		*link = request->next;
		leaf->waiting--;
		leaf->scheduler->waiting--;
		leaf->scheduler->light_waiting -= request->light;
		request->next = NULL;
		*end = request;
		end = &request->next;
	}
	leaf->last = last;
	if (taken && !leaf->first)
		node_update_up(leaf);
	return taken;
}

unsigned scheduler_waiting(const struct scheduler *scheduler)
{
	return scheduler->waiting;
}

unsigned scheduler_light_waiting(const struct scheduler *scheduler)
{
	return scheduler->light_waiting;
}
