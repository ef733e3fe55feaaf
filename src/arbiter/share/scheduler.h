/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sharing a physical device in time: which of the waiting requests goes to the device next.
 *
 * A pure module: no threads, no I/O, no clock of its own (the time is an argument; one that is earlier than
 * the last counts as the last). The gate (gate.h) drives it under its lock; the simulator (tests/support)
 * drives it with a modelled device.
 *
 * Requests wait at the leaves of a tree (for instance group, guest, disk); every node has settings. Three
 * promises, in this order, for each node over all requests below it:
 *
 *   limit        never more than max_iops and max_bandwidth, beyond `burst_ns` worth of them saved up
 *                while the node was idle
 *   reservation  at least reserved_ppb of the device's time, whatever the other nodes ask for
 *   weight       of what its parent gets, a share by weight among the siblings that want some
 *
 * and the device is never idle while a request waits that no limit holds back. The currency is device time:
 * each request carries its cost in nanoseconds, as the caller estimates it; a device that is fully busy
 * carries out 1e9 ns of cost a second.
 */
#ifndef VIADUCT_ARBITER_SHARE_SCHEDULER_H
#define VIADUCT_ARBITER_SHARE_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

struct scheduler;
struct scheduler_node;

#define SCHEDULER_WEIGHT_DEFAULT 100u
#define SCHEDULER_WEIGHT_MAX	 10000u
#define SCHEDULER_WEIGHT_SUM_MAX 200000u	/* of a node that stands for the weights below it */
#define SCHEDULER_DEPTH_MAX	 4	/* levels below the root */

struct scheduler_settings {
	uint32_t weight;		/* 1 … SCHEDULER_WEIGHT_SUM_MAX */
	/* Of the device's time, in 1e-9 of it, at level 1 (scheduler_set_level()); 0: none */
	uint64_t reserved_ppb;		/* 0 … SCHEDULER_RESERVED_MAX_PPB */
	uint64_t max_iops;		/* requests a second; 0: no limit */
	uint64_t max_bandwidth;		/* bytes a second; 0: no limit */
	/*
	 * So much of the limits may be saved up; one request may pass in any case. With next to nothing, a
	 * limit comes out too low: what cannot be used at the moment when it comes is lost.
	 */
	uint64_t burst_ns;
};

#define SCHEDULER_RESERVED_MAX_PPB (1ull << 50)

#define SCHEDULER_SETTINGS_DEFAULT { .weight = SCHEDULER_WEIGHT_DEFAULT }

/* In place of `more`: none counts, because this is a further part of one that has counted. */
#define SCHEDULER_COUNTED UINT32_MAX

/* Embedded in the request that waits. The scheduler uses it from scheduler_add() to scheduler_next(). */
struct scheduler_request {
	uint64_t cost_ns;		/* set by the caller, > 0; cut to about a minute */
	uint64_t bytes;			/* set by the caller: counts against max_bandwidth */
	/* Set by the caller: so many more than one count against max_iops, or SCHEDULER_COUNTED */
	uint32_t more;
	/*
	 * Set by the caller: it takes none of the device's time, and waits for limits only. Its cost counts
	 * for its turn among those that a limit holds back together.
	 */
	bool light;
	/* Filled in by scheduler_next(): how long it waited, and how much of that because of limits. */
	uint64_t waited_ns, throttled_ns;

	struct scheduler_node *node;	/* private from here on */
	uint64_t added_ns;
	struct scheduler_request *next;
};

/* Returns 0 or -ENOMEM. */
int scheduler_create(struct scheduler **ret_scheduler);
/* No nodes are left. NULL is allowed. */
void scheduler_destroy(struct scheduler *scheduler);

/*
 * A node below `parent` (NULL: below the root). Returns 0, -ENOMEM, or -EINVAL: deeper than
 * SCHEDULER_DEPTH_MAX. Only nodes without children take requests: none waits at the parent.
 */
int scheduler_node_create(struct scheduler *scheduler, struct scheduler_node *parent,
			  const struct scheduler_settings *settings, uint64_t now_ns,
			  struct scheduler_node **ret_node);
/* It has no children and no waiting requests. NULL is allowed. */
void scheduler_node_destroy(struct scheduler_node *node);
/*
 * From now on; what is waiting is judged by the new settings. What it got before gives it neither credit nor
 * debt.
 */
void scheduler_node_set(struct scheduler_node *node, const struct scheduler_settings *settings,
			uint64_t now_ns);
/*
 * To another parent (NULL: the root), with what waits below it. Returns 0, -ENOMEM, or -EINVAL: too deep, or
 * below itself. Nothing has changed then.
 */
int scheduler_node_move(struct scheduler_node *node, struct scheduler_node *parent, uint64_t now_ns);
const struct scheduler_settings *scheduler_node_settings(const struct scheduler_node *node);
/* Requests waiting below it. */
unsigned scheduler_node_waiting(const struct scheduler_node *node);
/* Has it, or one of its ancestors, a limit? */
bool scheduler_node_limited(const struct scheduler_node *node);

/*
 * The end of the leaf's requests is waited for (each begin has its end): from now on they pass by the limits
 * of the leaf and of its parent, and are charged all the same, so that later requests pay. A leaf or parent
 * that owes its limits more than a second from an earlier time lets requests pass only when it owes less:
 * over time, limits hold. Limits further up are shared with other leaves, and hold as always.
 */
void scheduler_drain_begin(struct scheduler_node *leaf, uint64_t now_ns);
void scheduler_drain_end(struct scheduler_node *leaf);
/* true: as long as it lasts, no limit holds anything back. What passes is charged. */
void scheduler_ignore_limits(struct scheduler *scheduler, bool ignore, uint64_t now_ns);
/*
 * From here on all costs are `level` times those at the start (more than 0), and what is reserved is so
 * much more of the device's time: a reservation stays so many requests a second.
 */
void scheduler_set_level(struct scheduler *scheduler, double level);

/* Queues a request at a leaf, behind what waits there already. */
void scheduler_add(struct scheduler_node *leaf, struct scheduler_request *request, uint64_t now_ns);

/*
 * Takes the request that is to go to the device now and charges it to its leaf and its ancestors. NULL: none
 * may go now; *ret_ready_ns (always set then) is when a limit lets the first one through, UINT64_MAX: none
 * waits.
 */
struct scheduler_request *scheduler_next(struct scheduler *scheduler, uint64_t now_ns,
					 uint64_t *ret_ready_ns);

/* Takes back one that waits: it was never here. */
void scheduler_cancel(struct scheduler_request *request);
/* The same for each at this leaf that `yes` says yes to. Returns them in their order, linked by `next`. */
struct scheduler_request *scheduler_take_out(struct scheduler_node *leaf,
					     bool (*yes)(const struct scheduler_request *request,
							 const void *context),
					     const void *context);
/*
 * The same as scheduler_next() while the device has no room: takes a light request, if it is the turn of one.
 */
struct scheduler_request *scheduler_next_light(struct scheduler *scheduler, uint64_t now_ns,
					       uint64_t *ret_ready_ns);
/* Light ones that wait. */
unsigned scheduler_light_waiting(const struct scheduler *scheduler);

/* Requests waiting in all. */
unsigned scheduler_waiting(const struct scheduler *scheduler);

#endif
