/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/share/depth.h"

#include <assert.h>

/* The bound never closes further than to 1/64, and one request. */
#define OPENING_LEAST (DEPTH_OPEN / 64)

/*
 * A device with at least half of its modelled speed gets the whole window: our own latency costs some speed,
 * too, and less stock would only cost more.
 */
#define SPEED_FULL DEPTH_OPEN

static void set_opening(struct depth *depth, uint32_t opening)
{
	assert(depth->speed <= SPEED_FULL);
	if (opening < OPENING_LEAST)
		opening = OPENING_LEAST;
	if (opening > DEPTH_OPEN)
		opening = DEPTH_OPEN;
	depth->opening = opening;
	depth->parallel = (uint32_t)((uint64_t)depth->parallel_max * opening / DEPTH_OPEN);
	if (depth->parallel == 0)
		depth->parallel = 1;
	depth->window_ns = depth->window_max_ns * opening / DEPTH_OPEN * depth->speed / SPEED_FULL;
	assert(depth->parallel > 0 && depth->window_ns <= depth->window_max_ns);
}

void depth_set_rate(struct depth *depth, double rate)
{
	double speed = rate < 0 ? 0 : 2 * rate;

	depth->speed = speed < 1 ? (uint32_t)(speed * SPEED_FULL) : SPEED_FULL;
	set_opening(depth, depth->opening);
}

static void set_stock(struct depth *depth, uint64_t stock_ns, uint64_t now_ns)
{
	if (stock_ns < DEPTH_STOCK_LEAST_NS)
		stock_ns = DEPTH_STOCK_LEAST_NS;
	if (stock_ns > depth->stock_max_ns)
		stock_ns = depth->stock_max_ns;
	assert(stock_ns >= DEPTH_STOCK_LEAST_NS);
	depth->stock_ns = stock_ns;
	depth->stock_since_ns = now_ns;
	depth->slack_ns = INT64_MAX;
	depth->window_max_ns = depth->serving_ns + stock_ns;
	set_opening(depth, depth->opening);
}

void depth_set(struct depth *depth, uint32_t parallel, uint64_t request_ns)
{
	assert(parallel > 0);
	assert(request_ns > 0);
	depth->parallel_max = parallel;
	depth->serving_ns = parallel * request_ns;
	depth->stock_max_ns = depth->serving_ns;
	if (depth->stock_max_ns < DEPTH_STOCK_QUICK_NS)
		depth->stock_max_ns = DEPTH_STOCK_QUICK_NS;
	if (depth->stock_max_ns > DEPTH_STOCK_NS)
		depth->stock_max_ns = DEPTH_STOCK_NS;
	set_stock(depth, depth->stock_max_ns, 0);
}

void depth_init(struct depth *depth, uint32_t parallel, uint64_t request_ns)
{
	*depth = (struct depth){ .opening = DEPTH_OPEN, .speed = SPEED_FULL };
	depth_set(depth, parallel, request_ns);
}

void depth_look(struct depth *depth, int64_t left_ns, uint64_t now_ns)
{
	int64_t slack_ns = left_ns - (int64_t)depth->serving_ns;

	if (slack_ns < depth->slack_ns)
		depth->slack_ns = slack_ns;
	if (slack_ns < 0) {
		set_stock(depth, depth->stock_ns + (uint64_t)-slack_ns, now_ns);
	} else if (now_ns - depth->stock_since_ns >= DEPTH_PERIOD_NS) {
		uint64_t unused_ns = (uint64_t)depth->slack_ns / 4;

		assert(depth->slack_ns >= 0);
		set_stock(depth, depth->stock_ns > unused_ns ? depth->stock_ns - unused_ns : 0, now_ns);
	}
}

static void period_begin(struct depth *depth, uint64_t now_ns)
{
	depth->period_start_ns = now_ns;
	depth->seen = depth->missed = 0;
}

static void period_end(struct depth *depth, uint64_t now_ns)
{
	assert(depth->missed <= depth->seen);
	if ((uint64_t)depth->missed * 100 > depth->seen) {
		set_opening(depth, depth->opening / 4 * 3);
		depth->shrunk_ns = now_ns;
	} else if (depth->missed == 0) {
		set_opening(depth, depth->opening + depth->opening / 16);
	}
	period_begin(depth, now_ns);
}

void depth_report(struct depth *depth, uint64_t took_ns, uint64_t target_ns, uint64_t now_ns)
{
	if (target_ns > 0) {
		if (now_ns - took_ns < depth->shrunk_ns) {
			/* A new period begins when the last request from before has left. */
			period_begin(depth, now_ns);
			return;
		}
		depth->seen++;
		depth->missed += took_ns > target_ns;
	}
	if (now_ns - depth->period_start_ns >= DEPTH_PERIOD_NS)
		period_end(depth, now_ns);
}
