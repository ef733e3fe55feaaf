/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much may be inside the device at once: enough that the device is always busy, and no more. A request
 * that waits in the device's own queue is served before each request that comes later, and no scheduler can
 * change that. A pure module; the time is an argument.
 *
 * A request may enter while fewer than `parallel` are inside, or while the cost inside is below
 * `window_ns`. The window of a device that is sought (depth_seek()) is found in a closed loop: while
 * requests wait for room, the window swings between a wider and a narrower one, slice by slice, and what
 * the device delivers in the two tells whether it is worth having more inside, or whether less would do.
 * Nothing is known of the device beforehand, and nothing is kept that it has contradicted since.
 *
 * When requests miss their latency target, both bounds shrink (multiplicatively); while all targets hold,
 * the bounds recover.
 */
#ifndef VIADUCT_ARBITER_SHARE_DEPTH_H
#define VIADUCT_ARBITER_SHARE_DEPTH_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

/* What leaves the device while the window stays as it is. */
struct depth_slice {
	bool wide;
	uint64_t settle_ns;		/* cost that leaves before the slice begins: it entered before */
	uint64_t begin_ns;		/* 0: it has not begun */
	uint64_t idle_since_ns;		/* nothing is inside since then; 0: something is */
	uint64_t left_ns;		/* cost that has left */
	double left_squares;		/* the sum of its requests' squares */
	uint32_t left, left_full;	/* requests; those that others waited for */
};

/* How a device answers to more and to less inside it. */
struct depth_search {
	double window_ns;		/* found so far; 0: nothing is sought */
	double step;			/* of its logarithm, in the next decision */
	bool grew;			/* in the last one */
	struct depth_slice slice;
	bool running, second;		/* a trial is under way, in its second slice */
	double rate[2];			/* of its slices, the wider one's second */
	bool greedy;			/* requests waited for room nearly always in its narrower slice */
	/*
	 * Of the trials since the last decision that tell something: more that left, in logarithms, for
	 * more that was inside. `spread`: how far single trials are from their mean, squared; of all trials
	 * lately.
	 */
	double gain_sum, gain_least, spread;
	unsigned gains, trials;		/* those, and all since the last decision */
	uint64_t peak_ns;		/* the most that was inside since the last decision */
	uint64_t slice_ns;		/* how long the last slice took */
	uint64_t random;
};

struct depth {
	uint32_t parallel, parallel_max;	/* requests */
	uint64_t window_ns, window_max_ns;	/* cost */
	uint32_t inside;			/* requests in the device now */
	uint64_t inside_ns;			/* their cost */
	uint32_t opening;			/* of the bound; DEPTH_OPEN: all */
	uint64_t shrunk_ns;			/* when it shrank last */
	/* of the period under way */
	uint64_t period_start_ns;
	/* Requests with a target; those that took longer inside the device */
	uint32_t seen, missed;
	struct depth_search search;
};

#define DEPTH_OPEN	65536u
#define DEPTH_PERIOD_NS 10000000u

/* What is found is never more; and never less than a request, as one may always enter. */
#define DEPTH_WINDOW_MOST_NS  200000000u

/* A slice lasts for so long at least, and until so many requests have left. */
#define DEPTH_SLICE_NS	     10000000u
#define DEPTH_SLICE_REQUESTS 16u

void depth_init(struct depth *depth, uint32_t parallel, uint64_t window_ns);
/* The same for a device whose costs have changed; requests may be inside. Ends a search. */
void depth_set(struct depth *depth, uint32_t parallel, uint64_t window_ns);
/* From here on the window is sought, beginning with the one that was set. */
void depth_seek(struct depth *depth);
/* All costs are `factor` times what they were; what is inside keeps the cost that it entered with. */
void depth_scale(struct depth *depth, double factor);

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

/* ---- the search: these do nothing unless the window is sought ---- */

/* A request has entered a device that several share; so much is inside. */
void depth_entered(struct depth *depth, uint64_t inside_ns, uint64_t now_ns);
/*
 * A request of cost_ns has left a device that several share; inside_ns: what is left. `full`: others wait for
 * room. Decides, when a slice is over.
 */
void depth_left(struct depth *depth, uint64_t cost_ns, uint64_t inside_ns, bool full, uint64_t now_ns);
/* Nobody shares the device, or not all that leaves it is seen: the trial under way is void. */
void depth_rest(struct depth *depth);
/* As long as a trial takes: so long nobody has waited for room before it is certain that there is enough. */
uint64_t depth_trial_ns(const struct depth *depth);

/* ---- latency targets ---- */

/*
 * A request left the device after took_ns in it; target_ns: its latency target (0: none). Steers the bound:
 * at the end of each period of 10 ms, more than 1 % of misses shrinks the bound to 3/4 (at least one
 * request), and no miss at all lets it grow by 1/16. Requests that entered before the bound shrank do not
 * count: the device was fuller then.
 */
void depth_report(struct depth *depth, uint64_t took_ns, uint64_t target_ns, uint64_t now_ns);

#endif
