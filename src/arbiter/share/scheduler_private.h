/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scheduler inside, for the files scheduler*.c only.
 *
 * Two clocks decide, both in whole numbers that are worked out when settings change, so that no request
 * pays for a division.
 *
 * Weights: start-time fair queueing at each node. A child's `tag` is the virtual time at which its next
 * request begins; the request moves it on by cost / weight, and the least tag goes first. The parent's
 * `virtual` is the least tag when it was last asked; a child that wakes begins there or a little later, so
 * that idleness saves up nothing.
 *
 * Reservations: `due` is the moment, on the scheduler's reservation clock, when a node is owed its next
 * request; a request that it gets because of that moves it on by cost / reserved. The earliest due goes
 * first, before all weights, when its time has come. What a node gets by weight does not count against its
 * reservation, but what it gets by reservation counts for its weight: in sum it gets the larger of the two.
 *
 * A node is `ready` when a request waits below it which no limit between the two holds back. Exactly the
 * ready nodes are in their parent's heaps; node_update() makes that true again after a change.
 */
#ifndef VIADUCT_ARBITER_SHARE_SCHEDULER_PRIVATE_H
#define VIADUCT_ARBITER_SHARE_SCHEDULER_PRIVATE_H

#include "arbiter/share/scheduler.h"
#include "arbiter/share/scheduler_bucket.h"
#include "arbiter/share/scheduler_heap.h"
#include "core/container.h"

/*
 * Virtual time that a nanosecond of cost takes at weight 1: the error of a weight is at most 3e-4 at 10000.
 */
#define VIRTUAL_ONE (1ull << 24)
/* When `virtual` is here, a node and its children start again at zero: once in 4 minutes at most. */
#define VIRTUAL_REBASE (1ull << 62)
/* The golden ratio of 2^32: its multiples divide that evenly, however many they are. */
#define SPREAD_STEP 0x9e3779b9u
/* Costs are cut to this, over a minute: cost * VIRTUAL_ONE stays far below 2^63. */
#define COST_MAX_NS (1ull << 36)
/*
 * What a node gets by reservation beyond its weight puts its tag ahead of its siblings' tags, and the node
 * then gets nothing by weight until they have caught up. A tag is put ahead by at most this much of the
 * node's own device time (ns), so that a node whose reservation goes is not left out for long.
 */
#define LEAD_MAX_NS 50000000ull

/*
 * `due` moves on by cost * due_step >> DUE_SHIFT; at most this far: a tiny reservation is paid back in a
 * minute.
 */
#define DUE_SHIFT      20
#define DUE_LEAD_MAX_NS 60000000000ull
/*
 * The reservation clock is never further ahead of the earliest due than this. When the device cannot keep the
 * reservations, the clock slows down with it: all get the same part of theirs, and what was missed is
 * forgotten.
 */
#define DUE_HORIZON_NS 20000000ull
/* A drained node that owes its limits more than this is not let past them. */
#define DRAIN_DEBT_MAX_NS 1000000000ull
/* Reservations leave at least 1/2^5 = 3 % of the device to weights, so that no node starves. */
#define WEIGHT_PART_SHIFT 5

/* In the order of use: adding to a busy leaf and taking from it touches its first two cache lines. */
struct scheduler_node {
	struct scheduler_node *parent;		/* NULL: it is the root */
	struct scheduler *scheduler;
	struct scheduler_request *first, *last;	/* leaves: waiting */
	/* Among its siblings. */
	uint64_t tag, tag_step;			/* virtual time, and how much of it 1 ns of cost takes */
	struct heap_place by_tag, by_due;	/* in the parent's heaps */
	unsigned waiting;			/* leaves */
	bool limited, throttled;
	/* Got nothing since it woke at the parent's virtual time: see spread() */
	bool woken;
	/* Leaves being drained: own limits let pass, see scheduler_drain_begin() */
	bool lenient;
	uint32_t draining;			/* of leaves: drains under way; of their parents: the sum */

	uint64_t due_ns, due_step;		/* due_step 0: no reservation */
	uint64_t throttled_since_ns, throttled_total_ns;
	struct scheduler_node *children, *sibling;
	/* Its children that are ready. */
	struct scheduler_heap tags;
	/* Of those with a reservation in or below them: the earliest */
	struct scheduler_heap dues;
	uint64_t virtual;
	uint64_t woken_virtual;			/* when a child woke last */

	struct heap_place by_ready;		/* in the scheduler's heap while throttled */
	struct scheduler_bucket requests, bytes;

	/* Control path. */
	uint32_t child_count;
	struct scheduler_settings settings;
};

struct scheduler {
	uint64_t now_ns;
	uint64_t clock_ns;			/* the reservation clock */
	int64_t owed_ns;			/* to weights, by reservations */
	uint32_t spread;			/* last fraction of spread(), in 2^-32 */
	unsigned waiting, light_waiting;
	uint32_t node_count;
	bool ignore_limits;
	double level;				/* of reservations: see scheduler_set_level() */
	struct scheduler_heap throttled;	/* nodes, by when they will be ready again */
	struct scheduler_node root;
};

#define node_of(place, member) container_of(place, struct scheduler_node, member)

/* Moves both clocks on. */
void scheduler_advance(struct scheduler *scheduler, uint64_t now_ns);
/* Brings the heaps of all ancestors in line with what the node has become. */
void node_update_up(struct scheduler_node *node);
/* A limit holds it back no more. */
void node_release(struct scheduler_node *node);
/* How long limits have held back the node and its ancestors, added up over all time (modulo 2^64). */
uint64_t node_throttled_ns(const struct scheduler_node *node);

#endif
