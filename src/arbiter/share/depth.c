/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of the search. The rate at which a device delivers rises with what is inside it, by less and less,
 * until it rises no more; from there on, more inside only makes everybody wait. The search measures the
 * slope where it stands: a trial compares two slices, next to each other in time, whose windows differ by
 * SWING each way from what was found. Its gain is the quotient of the logarithms of the two rates and of
 * the two windows: 1 where twice as much inside delivers twice as much, 0 where it delivers nothing more.
 * Which slice comes first is drawn, so that a guest cannot keep time with them. The mean of a few trials
 * says whether to grow (the gain is worth it: GAIN) or to shrink. The step grows while decisions agree, and
 * shrinks while they do not: it is large after the device has changed, and small where only noise decides.
 *
 * A trial tells something only when requests waited for room in its narrower slice: else both delivered
 * what was asked for. When that happens again and again, what was inside at most is enough.
 */
#include "arbiter/share/depth.h"

#include <assert.h>
#include <math.h>

/* The bound never closes further than to 1/64, and one request. */
#define OPENING_LEAST (DEPTH_OPEN / 64)

/* The wider window is so much wider, the narrower one so much narrower. */
#define SWING 1.22
/* Twice as much inside is worth it from 2^GAIN times as much delivered on: 3 %. */
#define GAIN 0.04
#define GAIN_LEAST (-1.0)
#define GAIN_MOST  2.0
/* The device obviously has too little. */
#define GAIN_CLEAR 0.4
#define STEP_LEAST 0.02
#define STEP_CLEAR 0.25
#define STEP_MOST_DOWN 0.25
#define STEP_MOST_UP   0.6
/* A decision takes so many trials, and the most when noise hides the gain. */
#define TRIALS_LEAST 3u
#define TRIALS_MOST  16u
/* After so many trials in which too little waited, what was inside at most is enough. */
#define TRIALS_UNASKED 4u
#define SPREAD_FIRST  0.04
#define SPREAD_SMOOTH 0.1
/* Of a slice's requests, so many found others waiting. */
#define GREEDY_PERCENT 90u
/* A slice that takes longer is void: the guests have other things to do. */
#define SLICE_MOST_NS 2000000000u
#define SEED 0x9e3779b97f4a7c15ull

static void set_opening(struct depth *depth, uint32_t opening)
{
	if (opening < OPENING_LEAST)
		opening = OPENING_LEAST;
	if (opening > DEPTH_OPEN)
		opening = DEPTH_OPEN;
	depth->opening = opening;
	depth->parallel = (uint32_t)((uint64_t)depth->parallel_max * opening / DEPTH_OPEN);
	if (depth->parallel == 0)
		depth->parallel = 1;
	depth->window_ns = depth->window_max_ns * opening / DEPTH_OPEN;
	assert(depth->parallel > 0 && depth->window_ns <= depth->window_max_ns);
}

void depth_set(struct depth *depth, uint32_t parallel, uint64_t window_ns)
{
	assert(parallel > 0);
	depth->parallel_max = parallel;
	depth->window_max_ns = window_ns;
	depth->search = (struct depth_search){ .window_ns = 0 };
	set_opening(depth, depth->opening);
}

void depth_init(struct depth *depth, uint32_t parallel, uint64_t window_ns)
{
	*depth = (struct depth){ .opening = DEPTH_OPEN };
	depth_set(depth, parallel, window_ns);
}

/* ---- the search ---- */

static double clamp(double value, double least, double most)
{
	return value < least ? least : value > most ? most : value;
}

static void set_window(struct depth *depth, double window_ns)
{
	depth->window_max_ns = (uint64_t)clamp(window_ns, 1, DEPTH_WINDOW_MOST_NS);
	set_opening(depth, depth->opening);
}

void depth_seek(struct depth *depth)
{
	assert(depth->window_max_ns > 0);
	depth->search = (struct depth_search){
		.window_ns = clamp((double)depth->window_max_ns, 1, DEPTH_WINDOW_MOST_NS),
		.step = STEP_CLEAR,
		.spread = SPREAD_FIRST,
		.gain_least = GAIN_MOST,
		.random = SEED,
	};
}

void depth_scale(struct depth *depth, double factor)
{
	struct depth_search *search = &depth->search;

	assert(factor > 0);
	if (search->window_ns <= 0)
		return;
	search->window_ns = clamp(search->window_ns * factor, 1, DEPTH_WINDOW_MOST_NS);
	search->peak_ns = 0;
	depth_rest(depth);
}

static bool draw(struct depth_search *search)
{
	search->random ^= search->random << 13;
	search->random ^= search->random >> 7;
	search->random ^= search->random << 17;
	return search->random >> 63;
}

static void slice_begin(struct depth *depth, bool wide, uint64_t inside_ns)
{
	struct depth_search *search = &depth->search;

	search->slice = (struct depth_slice){ .wide = wide, .settle_ns = inside_ns };
	set_window(depth, wide ? search->window_ns * SWING : search->window_ns / SWING);
}

static void trial_begin(struct depth *depth, uint64_t inside_ns)
{
	struct depth_search *search = &depth->search;

	search->running = true;
	search->second = false;
	slice_begin(depth, draw(search), inside_ns);
}

void depth_rest(struct depth *depth)
{
	struct depth_search *search = &depth->search;

	if (search->window_ns <= 0)
		return;
	search->running = false;
	set_window(depth, search->window_ns);
}

uint64_t depth_trial_ns(const struct depth *depth)
{
	const struct depth_search *search = &depth->search;

	if (search->window_ns <= 0)
		return 0;
	return 3 * (search->slice_ns > DEPTH_SLICE_NS ? search->slice_ns : DEPTH_SLICE_NS);
}

static void move(struct depth_search *search, bool grow, bool sure, bool clear)
{
	search->step *= sure && grow == search->grew ? 1.5 : 0.5;
	search->step = clamp(search->step, clear ? STEP_CLEAR : STEP_LEAST,
			     grow ? STEP_MOST_UP : STEP_MOST_DOWN);
	search->grew = grow;
	search->window_ns *= exp(grow ? search->step : -search->step);
}

static void decision_end(struct depth_search *search, double least_ns)
{
	search->window_ns = clamp(search->window_ns, least_ns, DEPTH_WINDOW_MOST_NS);
	search->gain_sum = 0;
	search->gain_least = GAIN_MOST;
	search->gains = search->trials = 0;
	search->peak_ns = 0;
}

/* By the trials so far, or not yet. What is found is not less than `least_ns`. */
static void decide(struct depth_search *search, double least_ns)
{
	double mean = search->gain_sum / search->gains, error = sqrt(search->spread / search->gains);
	bool clear = search->gains >= 2 && search->gain_least > GAIN_CLEAR,
	     sure = search->gains >= TRIALS_LEAST && fabs(mean - GAIN) > error;

	if (!clear && !sure && search->gains < TRIALS_MOST)
		return;
	move(search, mean > GAIN, clear || sure, clear);
	decision_end(search, least_ns);
}

/* Both slices are over. */
static void trial_end(struct depth_search *search, double least_ns)
{
	double gain = log(search->rate[1] / search->rate[0]) / (2 * log(SWING)), off;

	search->trials++;
	if (search->greedy) {
		gain = clamp(gain, GAIN_LEAST, GAIN_MOST);
		if (search->gains > 0) {
			off = gain - search->gain_sum / search->gains;
			search->spread += (off * off - search->spread) * SPREAD_SMOOTH;
		}
		search->gain_sum += gain;
		search->gain_least = fmin(search->gain_least, gain);
		search->gains++;
		decide(search, least_ns);
	} else if (search->trials >= TRIALS_UNASKED + 2 * search->gains) {
		if (search->peak_ns > 0 && search->window_ns > (double)search->peak_ns)
			search->window_ns = (double)search->peak_ns;
		decision_end(search, least_ns);
	}
}

static void slice_end(struct depth *depth, uint64_t inside_ns, uint64_t now_ns)
{
	struct depth_search *search = &depth->search;
	const struct depth_slice *slice = &search->slice;
	bool wide = slice->wide;

	search->slice_ns = now_ns - slice->begin_ns;
	search->rate[wide] = (double)slice->left_ns / (double)search->slice_ns;
	if (!wide)
		search->greedy = slice->left_full * 100ull >= slice->left * (uint64_t)GREEDY_PERCENT;
	if (!search->second) {
		search->second = true;
		slice_begin(depth, !wide, inside_ns);
		return;
	}
	/* A wider window lets a second request of the usual size in, a narrower one does not. */
	trial_end(search, slice->left_squares / (double)slice->left_ns * SWING);
	trial_begin(depth, inside_ns);
}

void depth_entered(struct depth *depth, uint64_t inside_ns, uint64_t now_ns)
{
	struct depth_search *search = &depth->search;
	struct depth_slice *slice = &search->slice;

	if (search->window_ns <= 0)
		return;
	if (inside_ns > search->peak_ns)
		search->peak_ns = inside_ns;
	if (slice->begin_ns > 0 && slice->idle_since_ns > 0)
		slice->begin_ns += now_ns - slice->idle_since_ns;
	slice->idle_since_ns = 0;
}

void depth_left(struct depth *depth, uint64_t cost_ns, uint64_t inside_ns, bool full, uint64_t now_ns)
{
	struct depth_search *search = &depth->search;
	struct depth_slice *slice = &search->slice;

	if (search->window_ns <= 0)
		return;
	if (depth->opening < DEPTH_OPEN) {
		depth_rest(depth);
		return;
	}
	if (!search->running || (slice->begin_ns > 0 && now_ns - slice->begin_ns > SLICE_MOST_NS))
		trial_begin(depth, inside_ns);
	if (slice->begin_ns == 0) {
		slice->settle_ns -= cost_ns < slice->settle_ns ? cost_ns : slice->settle_ns;
		if (slice->settle_ns == 0)
			slice->begin_ns = now_ns;
	} else {
		slice->left_ns += cost_ns;
		slice->left_squares += (double)cost_ns * (double)cost_ns;
		slice->left++;
		slice->left_full += full;
	}
	if (inside_ns == 0)
		slice->idle_since_ns = now_ns;
	if (slice->left >= DEPTH_SLICE_REQUESTS && now_ns - slice->begin_ns >= DEPTH_SLICE_NS)
		slice_end(depth, inside_ns, now_ns);
}

/* ---- latency targets ---- */

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
