/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much may be inside the device at once: enough that the device is always busy, and no more. A request
 * that waits in the device's own queue is served before each request that comes later, and no scheduler can
 * change that. A pure module.
 *
 * A request may enter while fewer than `parallel` are inside, or while the cost inside is below `window_ns`.
 * With small requests, `window_ns` leaves room for a stock: requests beyond those being served, which keep
 * the device busy until a worker has answered a completion. With large requests there is no stock. The stock
 * is as large as it lately had to be for the device not to run dry. When requests miss their latency target,
 * both bounds shrink (multiplicatively); while all targets hold, the bounds recover.
 */
#ifndef VIADUCT_ARBITER_SHARE_DEPTH_H
#define VIADUCT_ARBITER_SHARE_DEPTH_H

#include <assert.h>
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
	/* Twice the device's rate (see depth_set_rate()), DEPTH_OPEN at most */
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
 * The stock begins as large as it may become. That is the cost of the requests being served (parallel *
 * request_ns), so that a request which comes now waits at most for twice that cost; but at least
 * DEPTH_STOCK_QUICK_NS and at most DEPTH_STOCK_NS, because a worker without time to spare finds every device
 * dry, and a larger stock would not change that.
 */
#define DEPTH_STOCK_NS	     200000u
#define DEPTH_STOCK_QUICK_NS 50000u
/* The stock never becomes smaller than this. */
#define DEPTH_STOCK_LEAST_NS 25000u

/* `request_ns`: what a small request costs. */
void depth_init(struct depth *depth, uint32_t parallel, uint64_t request_ns);
/* The same for a device whose costs have changed; requests may be inside. */
void depth_set(struct depth *depth, uint32_t parallel, uint64_t request_ns);
/*
 * `rate`: cost carried out per second of wall time lately; 1: a second's worth. The window is meant as wall
 * time: on a device much slower than its costs say, the window would hold far too much.
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
	assert(depth->inside > 0 && depth->inside_ns >= cost_ns);
	depth->inside--;
	depth->inside_ns -= cost_ns;
	assert(depth->inside > 0 || depth->inside_ns == 0);
}

/*
 * A worker looked for completions; before the look, the device was as full as the bound allows. left_ns is
 * the cost that was still inside at the look; below 0: the device ran dry, and could have served that much
 * more. depth_look() steers the stock. When less was left than the device needs to keep serving, the stock
 * grows at once by the difference. At the end of each period of 10 ms, the stock shrinks by a quarter of what
 * was left over at every look of the period.
 */
void depth_look(struct depth *depth, int64_t left_ns, uint64_t now_ns);

/*
 * A request left the device after took_ns in it; target_ns: its latency target (0: none). Steers the bound:
 * at the end of each period of 10 ms, more than 1 % of misses shrinks the bound to 3/4 (at least one
 * request), and no miss at all lets it grow by 1/16. Requests that entered before the bound shrank do not
 * count: the device was fuller then.
 */
void depth_report(struct depth *depth, uint64_t took_ns, uint64_t target_ns, uint64_t now_ns);

#endif
