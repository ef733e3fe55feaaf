/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much may be inside the device at once. Enough that it is always busy, and no more: whatever waits in
 * the device's own queue is in front of every newcomer, and no scheduler can overtake it there. A pure
 * module.
 *
 * A request may enter while fewer than `parallel` are inside, or while the cost inside is below `window_ns`:
 * small requests then have some stock in the device that it lives on until we answer a completion, large ones
 * have none. The stock is as large as it lately had to be for the device not to run dry. When a disk with a
 * latency target misses it, both bounds shrink (multiplicatively); while all targets hold, they recover.
 */
#ifndef VIADUCT_ARBITER_SHARE_DEPTH_H
#define VIADUCT_ARBITER_SHARE_DEPTH_H

#include <stdbool.h>
#include <stdint.h>

struct depth {
	uint32_t parallel, parallel_max;	/* requests */
	uint64_t window_ns, window_max_ns;	/* cost */
	uint64_t serving_ns, stock_ns;		/* what window_max_ns is made of */
	uint64_t stock_max_ns;
	uint32_t inside;			/* requests in the device now */
	uint64_t inside_ns;			/* their cost */
	uint32_t opening;			/* of the bound; DEPTH_OPEN: all */
	/* Of the device; DEPTH_OPEN: half of what the model says, or more */
	uint32_t speed;
	uint64_t shrunk_ns;			/* when it shrank last */
	/* of the period under way */
	uint64_t period_start_ns;
	/* Requests with a target; those that took longer inside the device */
	uint32_t seen, missed;
	/* of the stock's period under way */
	uint64_t stock_since_ns;
	int64_t slack_ns;			/* the least of the stock that was left at a look */
};

#define DEPTH_OPEN	65536u
#define DEPTH_PERIOD_NS 10000000u
/*
 * Bounds of the stock, which begins with its most: what is being served, so that a newcomer waits for that
 * once more, but within these. A worker that has no time left finds every device dry, and no stock would
 * change that.
 */
#define DEPTH_STOCK_NS	     200000u
#define DEPTH_STOCK_QUICK_NS 50000u
/* … and its least. */
#define DEPTH_STOCK_LEAST_NS 25000u

/* `request_ns`: what a random read of 4 KiB costs. */
void depth_init(struct depth *depth, uint32_t parallel, uint64_t request_ns);
/* The same for a model that changed; requests may be inside. */
void depth_set(struct depth *depth, uint32_t parallel, uint64_t request_ns);
/*
 * Cost carried out per second of wall time lately (cost_correction.rate). The window is meant as wall time:
 * on a device much slower than its model it would hold far too much.
 */
void depth_set_rate(struct depth *depth, double rate);

static inline bool depth_room(const struct depth *depth)
{
	return depth->inside < depth->parallel || depth->inside_ns < depth->window_ns;
}

static inline void depth_enter(struct depth *depth, uint64_t cost_ns)
{
	depth->inside++;
	depth->inside_ns += cost_ns;
}

static inline void depth_leave(struct depth *depth, uint64_t cost_ns)
{
	depth->inside--;
	depth->inside_ns -= cost_ns;
}

/*
 * A worker looked for completions while the device was as full as the bound lets it be, and cost left_ns was
 * still inside (less than 0: not even what was inside before had been enough). Steers the stock: it grows at
 * once by what was missing to keep the device serving, and gives up a quarter of what no look of a period of
 * 10 ms found used.
 */
void depth_look(struct depth *depth, int64_t left_ns, uint64_t now_ns);

/*
 * A request left the device after took_ns in it; target_ns: what its disk wishes (0: nothing). Steers the
 * bound: at the end of each period of 10 ms, more than 1 % of misses shrinks it to 3/4 (at least one
 * request), none lets it grow by 1/16. Requests that entered before it shrank do not count: they met what was
 * there before.
 */
void depth_report(struct depth *depth, uint64_t took_ns, uint64_t target_ns, uint64_t now_ns);

#endif
