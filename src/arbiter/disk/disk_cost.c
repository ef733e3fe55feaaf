/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Figures of a cost model, and its correction.
 *
 * Theory of correction. In a window in which the device was busy, the model says that `cost` was carried
 * out, and the clock says `wall`. Their quotient, smoothed, is the rate; what is left is the window's
 * surprise: it took longer than its cost at the present rate. A surprise is laid to what the window had
 * more of than usual. A window with the usual mix therefore teaches nothing, however slow the device is,
 * and neither does one with a single kind of request: there the coefficients cannot be told from the rate.
 * The step is the least one that would explain the surprise (normalised least mean squares), relative to
 * each coefficient, times a small gain. A surprise beyond all measure is a device that became slow, or fast
 * again: what is usual starts anew from there.
 *
 * All coefficients together follow the rate within a second: a device is as slow, or as quick, as it is
 * now. Who has reserved requests or bytes a second is told by `level` how much more of the device that is.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "arbiter/disk/disk_cost.h"
#include "core/checked.h"
#include "core/clock.h"

#define RATE_SMOOTH_NS	1e8
/* Soon used to a device that slows down: until then, mixes are blamed for it */
#define USUAL_SMOOTH_NS	2e7
/* Carried out in windows with uncommon mixes, until most of an error is gone */
#define LEARN_NS	1e8
#define SURPRISE_MAX	0.8	/* 2.3 times as slow as expected */
#define SURPRISE_BREAK	0.2	/* what is learnt from a greater one */
/* Mixes this close to the usual one (squared distance) are noise for the most part */
#define SPREAD_FLOOR	0.02
/* In a second, the coefficients follow the rate by so many times its distance (logarithms) */
#define FOLLOW_PER_S	2.0
#define FOLLOW_MAX	0.5	/* in one window */
#define RATE_LEAST	0.01

/* An ordinary SATA SSD: about 60000 small reads a second, 500 MB a second. */
const struct disk_cost disk_cost_default = {
	.line = {
		[COST_READ_RANDOM] = { .base_ns = 8000, .ns_per_kib = 1900 },
		[COST_READ_SEQUENTIAL] = { .base_ns = 6000, .ns_per_kib = 1900 },
		[COST_WRITE_RANDOM] = { .base_ns = 10000, .ns_per_kib = 2100 },
		[COST_WRITE_SEQUENTIAL] = { .base_ns = 6000, .ns_per_kib = 2100 },
		[COST_FLUSH] = { .base_ns = 500000 },
		[COST_DISCARD] = { .base_ns = 50000 },
	},
	.window_ns = 250000,
};

/* 120 small reads a second, 150 MB a second. */
const struct disk_cost disk_cost_rotational = {
	.line = {
		[COST_READ_RANDOM] = { .base_ns = 8000000, .ns_per_kib = 6500 },
		[COST_READ_SEQUENTIAL] = { .base_ns = 50000, .ns_per_kib = 6500 },
		[COST_WRITE_RANDOM] = { .base_ns = 8000000, .ns_per_kib = 6500 },
		[COST_WRITE_SEQUENTIAL] = { .base_ns = 50000, .ns_per_kib = 6500 },
		[COST_FLUSH] = { .base_ns = 10000000 },
		[COST_DISCARD] = { .base_ns = 50000 },
	},
	.window_ns = 30000000,
};

/* ---- figures ---- */

static uint32_t to_u32(uint64_t value)
{
	return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

struct cost_line cost_line_through(uint64_t small_bytes, uint64_t small_ns, uint64_t large_bytes,
				   uint64_t large_ns)
{
	uint64_t per_kib = 0, moving;

	assert(small_bytes % 512 == 0 && large_bytes % 512 == 0);
	if (large_bytes > small_bytes && large_ns > small_ns)
		per_kib = to_u32(2 * (large_ns - small_ns) / ((large_bytes - small_bytes) / 512));
	moving = small_bytes / 512 * per_kib / 2;
	return (struct cost_line){
		.base_ns = to_u32(small_ns / 8 * 7 > moving ? small_ns - moving : small_ns / 8),
		.ns_per_kib = (uint32_t)per_kib,
	};
}

static uint64_t dearer_ns(const struct disk_cost *cost, enum cost_kind one, enum cost_kind other,
			  uint64_t bytes)
{
	uint64_t one_ns = disk_cost_ns(cost, one, bytes), other_ns = disk_cost_ns(cost, other, bytes);

	return one_ns > other_ns ? one_ns : other_ns;
}

static uint64_t small_ns(const struct disk_cost *cost)
{
	return dearer_ns(cost, COST_READ_RANDOM, COST_WRITE_RANDOM, COST_SMALL_BYTES);
}

static uint64_t large_ns(const struct disk_cost *cost)
{
	return dearer_ns(cost, COST_READ_SEQUENTIAL, COST_WRITE_SEQUENTIAL, COST_LARGE_BYTES);
}

uint64_t disk_cost_iops(const struct disk_cost *cost)
{
	return NS_PER_S / small_ns(cost);
}

uint64_t disk_cost_bandwidth(const struct disk_cost *cost)
{
	return COST_LARGE_BYTES * NS_PER_S / large_ns(cost);
}

uint64_t disk_cost_reservation_ppb(const struct disk_cost *cost, uint64_t min_iops, uint64_t min_bandwidth)
{
	uint64_t request_ns = large_ns(cost), small = UINT64_MAX, large = UINT64_MAX, rest;

	/* Nanoseconds in a second are what we are after: 1e-9 of the device. */
	checked_mul(min_iops, small_ns(cost), &small);
	rest = (min_bandwidth % COST_LARGE_BYTES * request_ns + COST_LARGE_BYTES - 1) / COST_LARGE_BYTES;
	if (checked_mul(min_bandwidth / COST_LARGE_BYTES, request_ns, &large) &&
	    !checked_add(large, rest, &large))
		large = UINT64_MAX;
	return small > large ? small : large;
}

/* ---- correction ---- */

static double clamp(double value, double least, double most)
{
	assert(least <= most);
	return value < least ? least : value > most ? most : value;
}

static double start_of(const struct cost_correction *correction, unsigned kind, unsigned term)
{
	const struct cost_line *line = &correction->start.line[kind];

	return term == COST_BASE ? line->base_ns : line->ns_per_kib;
}

void cost_correction_init(struct cost_correction *correction, const struct disk_cost *start)
{
	*correction = (struct cost_correction){ .start = *start, .level = 1, .rate = 1, .usual_rate = 1 };
	for (unsigned kind = 0; kind < COST_KINDS; kind++)
		for (unsigned term = 0; term < COST_TERMS; term++)
			correction->fine[kind][term] = start_of(correction, kind, term);
}

/* What each coefficient contributes to the window's cost, as a part of it; returns the cost. */
static double window_parts(const struct cost_correction *correction, const struct cost_window *window,
			   double parts[COST_KINDS][COST_TERMS])
{
	double cost = 0;

	for (unsigned kind = 0; kind < COST_KINDS; kind++) {
		parts[kind][COST_BASE] = correction->fine[kind][COST_BASE] * window->requests[kind];
		parts[kind][COST_PER_KIB] =
			correction->fine[kind][COST_PER_KIB] * (double)window->bytes[kind] / 1024;
		cost += parts[kind][COST_BASE] + parts[kind][COST_PER_KIB];
	}
	for (unsigned kind = 0; kind < COST_KINDS && cost > 0; kind++)
		for (unsigned term = 0; term < COST_TERMS; term++)
			parts[kind][term] /= cost;
	return cost;
}

static void move(struct cost_correction *correction, unsigned kind, unsigned term, double step)
{
	double usual = start_of(correction, kind, term) * correction->level;
	double *fine = &correction->fine[kind][term];

	assert(*fine >= 0);
	*fine = clamp(*fine * (1 + step), usual / COST_DRIFT_MAX, usual * COST_DRIFT_MAX);
}

static void learn(struct cost_correction *correction, double parts[COST_KINDS][COST_TERMS], double surprise,
		  double gain)
{
	double spread = SPREAD_FLOOR;

	for (unsigned kind = 0; kind < COST_KINDS; kind++) {
		for (unsigned term = 0; term < COST_TERMS; term++) {
			parts[kind][term] -= correction->usual[kind][term];
			spread += parts[kind][term] * parts[kind][term];
		}
	}
	for (unsigned kind = 0; kind < COST_KINDS; kind++)
		for (unsigned term = 0; term < COST_TERMS; term++)
			move(correction, kind, term, gain * surprise * parts[kind][term] / spread);
}

/* After learn(), `parts` are distances from the usual. */
static void usual_update(struct cost_correction *correction, double parts[COST_KINDS][COST_TERMS],
			 double weight)
{
	for (unsigned kind = 0; kind < COST_KINDS; kind++)
		for (unsigned term = 0; term < COST_TERMS; term++)
			correction->usual[kind][term] += weight * parts[kind][term];
}

static void follow(struct cost_correction *correction, double seconds)
{
	double rate = correction->rate > RATE_LEAST ? correction->rate : RATE_LEAST;
	double step = clamp(-log(rate) * seconds * FOLLOW_PER_S, -FOLLOW_MAX, FOLLOW_MAX);
	double level = clamp(correction->level * exp(step), 1 / COST_LEVEL_MAX, COST_LEVEL_MAX);
	double factor = level / correction->level;

	correction->level = level;
	for (unsigned kind = 0; kind < COST_KINDS; kind++)
		for (unsigned term = 0; term < COST_TERMS; term++)
			correction->fine[kind][term] *= factor;
	correction->rate *= factor;
	correction->usual_rate *= factor;
}

static void round_to(struct disk_cost *cost, const struct cost_correction *correction)
{
	for (unsigned kind = 0; kind < COST_KINDS; kind++) {
		const double *fine = correction->fine[kind];

		cost->line[kind].base_ns = (uint32_t)clamp(fine[COST_BASE] + 0.5, 0, UINT32_MAX);
		cost->line[kind].ns_per_kib = (uint32_t)clamp(fine[COST_PER_KIB] + 0.5, 0, UINT32_MAX);
	}
}

static double smoothed(double old, double new, double wall, double smooth_ns)
{
	return old + (new - old) * wall / (wall + smooth_ns);
}

void disk_cost_observe(struct disk_cost *cost, struct cost_correction *correction,
		       const struct cost_window *window)
{
	double parts[COST_KINDS][COST_TERMS], wall = (double)window->wall_ns;
	double carried_out = window_parts(correction, window, parts),
	       expected = correction->usual_rate * wall;
	double surprise, usual_smooth_ns = USUAL_SMOOTH_NS, weight = clamp(carried_out, 0, wall);

	if (wall <= 0)
		return;
	assert(correction->rate >= 0 && correction->usual_rate >= 0);
	correction->rate = smoothed(correction->rate, carried_out / wall, wall, RATE_SMOOTH_NS);
	if (!correction->started)
		memcpy(correction->usual, parts, sizeof(parts));
	correction->started |= carried_out > 0;
	/* About ln(expected / carried_out). */
	surprise = expected > 0 ? 2 * (expected - carried_out) / (expected + carried_out) : -2;
	if (surprise < -SURPRISE_MAX || surprise > SURPRISE_MAX) {
		/* Most likely the device, and not the mix: what was usual is no measure any more. */
		surprise = clamp(surprise, -SURPRISE_BREAK, SURPRISE_BREAK);
		usual_smooth_ns = 0;
	}
	correction->usual_rate = smoothed(correction->usual_rate, carried_out / wall, wall, usual_smooth_ns);
	if (carried_out <= 0)
		return;
	/* A slow window has few requests in it, and more chance. */
	learn(correction, parts, surprise, weight / (weight + LEARN_NS));
	usual_update(correction, parts, wall / (wall + usual_smooth_ns));
	follow(correction, wall / NS_PER_S);
	round_to(cost, correction);
}
