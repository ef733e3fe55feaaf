/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A run keeps `depth` requests of one kind inside the device for a while and tells what one cost: time over
 * completions, the median of several slices, so that a hiccup of ours or the device's is not taken for the
 * device. Small random reads are run with twice the depth each time, until that helps no more: the best of
 * them is the cost of a small request, and where it was nearly reached is `parallel`. Runs of other kinds
 * follow at twice that depth, which keeps the device busy for certain; two sizes make a line.
 *
 * What is read is thrown away, all of it in the same memory. What is written comes from other memory, which
 * nothing is ever read into: scratch space may become some guest's disk.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "arbiter/disk/disk_calibrate.h"
#include "core/checked.h"
#include "core/clock.h"
#include "core/container.h"
#include "core/loop.h"

/*
 * What calibration_moderate() believes: a disk with a queue of its own has some use for it, and none needs
 * all of it.
 */
#define PARALLEL_LEAST_ROTATIONAL 4u
#define PARALLEL_LEAST		  16u
#define PARALLEL_MOST		  64u
#define DEPTH_MAX    128u
#define RUNGS_MAX    8u		/* 1, 2, 4 … DEPTH_MAX */
#define SHARES	     20u	/* of the budget: the ladder at most 8, reads 4, writes 6 */
#define SLICES	     5u
#define TURN_NS	     NS_PER_MS
#define MEMORY_BYTES (2ul * COST_LARGE_BYTES)	/* read into the first half, write from the second */
#define SEED	     0x9e3779b97f4a7c15ull

struct calibrate_io {
	struct host_io io;
	struct calibration *calibration;
	struct iovec iov;
	struct calibrate_io *next;
};

struct calibration {
	struct host_disk *host;
	struct loop *loop, *own_loop;	/* own_loop: NULL when the caller has one */
	struct host_channel *channel;
	uint64_t (*now_ns)(void);
	uint64_t share_ns, deadline_ns, patience_ns;
	uint64_t small_bytes, large_bytes;
	unsigned depth;			/* once found, that keeps the device busy */
	uint64_t random;
	uint8_t *memory;

	struct calibrate_io ios[DEPTH_MAX], *idle;
	unsigned inside;
	uint64_t completed, last_ns;
	int error;			/* the first */
};

/* What a run consists of. */
struct run {
	enum host_io_op op;
	bool sequential;
	uint64_t from, size_bytes;	/* where */
	uint64_t bytes;			/* each */
	unsigned depth;
	uint64_t for_ns;
};

/* ---- requests ---- */

static uint64_t draw(struct calibration *own)
{
	own->random ^= own->random << 13;
	own->random ^= own->random >> 7;
	own->random ^= own->random << 17;
	return own->random;
}

static void io_done(struct host_io *io, int error)
{
	struct calibrate_io *request = container_of(io, struct calibrate_io, io);
	struct calibration *own = request->calibration;

	assert(own->inside > 0);
	own->inside--;
	own->completed++;
	if (error && !own->error)
		own->error = error;
	request->next = own->idle;
	own->idle = request;
}

/* `at`: counts the run's requests, of which there is a whole number in its range. */
static void submit(struct calibration *own, const struct run *run, uint64_t at)
{
	struct calibrate_io *request = own->idle;
	uint64_t place;

	assert(own->inside < DEPTH_MAX);
	assert(run->bytes > 0 && run->bytes <= COST_LARGE_BYTES);
	assert(run->size_bytes >= run->bytes);
	place = (run->sequential ? at : draw(own)) % (run->size_bytes / run->bytes);
	own->idle = request->next;
	own->inside++;
	request->iov = (struct iovec){
		.iov_base = own->memory + (run->op == HOST_IO_WRITE ? COST_LARGE_BYTES : 0),
		.iov_len = run->bytes,
	};
	request->io = (struct host_io){
		.op = run->op, .iov = &request->iov, .iov_count = 1, .done = io_done,
		.range = { .offset_bytes = run->from + place * run->bytes, .length_bytes = run->bytes },
	};
	own->channel->ops->submit(own->channel, &request->io);
}

/* ---- runs ---- */

static int compare(const void *one, const void *other)
{
	uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

	return (a > b) - (a < b);
}

static uint64_t median(uint64_t *values, unsigned count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

/*
 * *ret_request_ns: what one costs, at least 1; left alone when the time is up already. Returns 0 or -errno;
 * with -ETIMEDOUT, requests are still inside.
 */
static int carry_out(struct calibration *own, const struct run *run, uint64_t *ret_request_ns)
{
	uint64_t now_ns = own->now_ns(), end_ns = now_ns + run->for_ns, slice_ns[SLICES], begin_ns = now_ns;
	uint64_t at = run->sequential ? draw(own) % (run->size_bytes / run->bytes) : 0;
	unsigned slices = 0;
	int error;

	assert(run->depth > 0 && run->depth <= DEPTH_MAX);
	assert(own->inside == 0);
	if (now_ns >= own->deadline_ns)
		return 0;
	own->completed = 0;
	while (own->inside > 0 || (now_ns < end_ns && !own->error)) {
		for (unsigned i = 0;
		     i < run->depth && own->inside < run->depth && now_ns < end_ns && !own->error; i++)
			submit(own, run, at++);
		error = loop_turn(own->loop, own->inside > 0 ? TURN_NS : 0);
		now_ns = own->now_ns();
		if (error)
			return error;
		if (own->inside > 0 && now_ns > own->deadline_ns + own->patience_ns)
			return -ETIMEDOUT;
		/*
		 * What comes after the end met a device that ran empty: it counts when there is nothing
		 * better.
		 */
		if (own->completed > 0 && (now_ns < end_ns || (own->inside == 0 && slices == 0)) &&
		    now_ns - begin_ns >= run->for_ns / SLICES && slices < SLICES) {
			slice_ns[slices++] = (now_ns - begin_ns) / own->completed;
			begin_ns = now_ns;
			own->completed = 0;
		}
	}
	assert(own->inside == 0);
	if (slices > 0) {
		uint64_t request_ns = median(slice_ns, slices);

		*ret_request_ns = request_ns > 0 ? request_ns : 1;
	}
	return own->error;
}

/* ---- what is asked of the device ---- */

static unsigned parallel_of(const uint64_t *rung_ns, unsigned rungs, uint64_t best_ns)
{
	unsigned rung = 0;
	uint64_t parallel;

	while (rung < rungs && rung_ns[rung] * 95 > best_ns * 100)
		rung++;
	/* The best is one of them. */
	assert(rungs == 0 || rung < rungs);
	if (rung == 0)
		return 1;
	/* Between this depth and half of it: so many at the pace of the half would do. */
	parallel = ((1ull << (rung - 1)) * rung_ns[rung - 1] * 95 + best_ns * 100 - 1) / (best_ns * 100);
	return parallel < 1ull << rung ? (unsigned)parallel : 1u << rung;
}

/* Small random reads, deeper and deeper. */
static int climb(struct calibration *own, struct run *run, uint64_t *ret_small_ns, uint32_t *ret_parallel)
{
	uint64_t rung_ns[RUNGS_MAX], best_ns = UINT64_MAX / 100;
	unsigned rungs = 0, in_vain = 0;

	while (rungs < RUNGS_MAX && in_vain < 2) {
		int error;

		run->depth = 1u << rungs;
		rung_ns[rungs] = 0;
		error = carry_out(own, run, &rung_ns[rungs]);
		if (error)
			return error;
		if (rung_ns[rungs] == 0)
			break;
		in_vain = rung_ns[rungs] * 100 > best_ns * 95 ? in_vain + 1 : 0;
		if (rung_ns[rungs] < best_ns)
			best_ns = rung_ns[rungs];
		rungs++;
	}
	*ret_small_ns = best_ns;
	*ret_parallel = parallel_of(rung_ns, rungs, best_ns);
	return 0;
}

/* `small_ns`: known already, or 0. What could not be measured in time stays as it is. */
static int measure_line(struct calibration *own, struct run *run, uint64_t small_ns, struct cost_line *line)
{
	uint64_t large_ns = 0;
	int error = 0;

	assert(own->depth > 0);
	run->depth = own->depth;
	if (small_ns == 0) {
		run->bytes = own->small_bytes;
		run->for_ns = own->share_ns;
		error = carry_out(own, run, &small_ns);
	}
	run->bytes = own->large_bytes;
	run->for_ns = 2 * own->share_ns;
	if (!error)
		error = carry_out(own, run, &large_ns);
	if (!error && small_ns > 0 && large_ns > 0)
		*line = cost_line_through(own->small_bytes, small_ns, own->large_bytes, large_ns);
	return error;
}

static int measure_reads(struct calibration *own, struct disk_cost *cost)
{
	struct cost_line *random = &cost->line[COST_READ_RANDOM],
			 *sequential = &cost->line[COST_READ_SEQUENTIAL];
	struct run run = {
		.op = HOST_IO_READ, .size_bytes = own->host->geometry.size_bytes, .bytes = own->small_bytes,
		.for_ns = own->share_ns,
	};
	uint64_t small_ns;
	int error = climb(own, &run, &small_ns, &cost->parallel);

	if (error)
		return error;
	assert(cost->parallel > 0);
	own->depth = 2 * cost->parallel < DEPTH_MAX ? 2 * cost->parallel : DEPTH_MAX;
	/* Until its slope is measured: that of an ordinary disk. */
	*random = cost_line_through(own->small_bytes, small_ns, 2 * own->small_bytes,
				    small_ns + own->small_bytes / 1024 * random->ns_per_kib);
	error = measure_line(own, &run, small_ns, random);
	*sequential = *random;
	run.sequential = true;
	return error ? error : measure_line(own, &run, 0, sequential);
}

static int measure_writes(struct calibration *own, const struct calibrate_options *options,
			  struct disk_cost *cost)
{
	uint64_t from = align_up(options->scratch_offset_bytes, COST_SMALL_BYTES);
	uint64_t end = align_down(options->scratch_offset_bytes + options->scratch_bytes, COST_SMALL_BYTES);
	struct run run = { .op = HOST_IO_WRITE, .from = from, .size_bytes = end > from ? end - from : 0 };
	int error;

	cost->line[COST_WRITE_RANDOM] = cost->line[COST_READ_RANDOM];
	cost->line[COST_WRITE_SEQUENTIAL] = cost->line[COST_READ_SEQUENTIAL];
	if (own->host->geometry.read_only || run.size_bytes < own->large_bytes)
		return 0;
	for (unsigned i = COST_LARGE_BYTES; i < MEMORY_BYTES; i++)
		own->memory[i] = (uint8_t)draw(own);
	error = measure_line(own, &run, 0, &cost->line[COST_WRITE_RANDOM]);
	run.sequential = true;
	return error ? error : measure_line(own, &run, 0, &cost->line[COST_WRITE_SEQUENTIAL]);
}

/*
 * What is not measured is as much cheaper than with an ordinary disk as small requests are, and never dearer.
 */
static void scale_rest(struct disk_cost *cost)
{
	static const enum cost_kind rest[] = { COST_FLUSH, COST_DISCARD };
	uint64_t small_ns = disk_cost_ns(cost, COST_WRITE_RANDOM, COST_SMALL_BYTES);
	uint64_t ordinary_ns = disk_cost_ns(&disk_cost_default, COST_WRITE_RANDOM, COST_SMALL_BYTES);

	for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]) && small_ns < ordinary_ns; i++) {
		uint32_t *base_ns = &cost->line[rest[i]].base_ns;

		*base_ns = (uint32_t)(*base_ns * small_ns / ordinary_ns + 1);
	}
}

/* ---- beginning and end ---- */

int calibration_finish(struct calibration *own)
{
	if (!own)
		return 0;
	if (own->inside > 0)
		loop_turn(own->loop, 0);
	if (own->inside > 0)
		return -EBUSY;
	if (own->channel)
		own->host->ops->channel_close(own->channel);
	loop_destroy(own->own_loop);
	if (own->memory != MAP_FAILED)
		munmap(own->memory, MEMORY_BYTES);
	free(own);
	return 0;
}

/* Requests of a size that the disk has room for; false: it has none for any. */
static bool choose_sizes(struct calibration *own)
{
	const struct host_disk_geometry *geometry = &own->host->geometry;

	own->small_bytes = geometry->size_bytes < COST_SMALL_BYTES ? geometry->block_bytes : COST_SMALL_BYTES;
	own->large_bytes = COST_LARGE_BYTES;
	while (own->large_bytes > own->small_bytes && own->large_bytes > geometry->size_bytes)
		own->large_bytes /= 2;
	return geometry->size_bytes >= own->small_bytes;
}

static int begin(struct host_disk *host, const struct calibrate_options *options,
		 struct calibration **ret_own)
{
	struct loop_options loop_options = { .name = "calibrate", .spin_max_ns = CALIBRATE_SPIN_NS };
	uint64_t budget_ns = options->budget_ns ? options->budget_ns : CALIBRATE_NS;
	struct calibration *own = calloc(1, sizeof(*own));
	int error;

	if (!own)
		return -ENOMEM;
	own->host = host;
	own->random = SEED;
	own->now_ns = options->now_ns ? options->now_ns : clock_now_ns;
	own->share_ns = budget_ns / SHARES;
	own->deadline_ns = own->now_ns() + budget_ns;
	own->patience_ns = options->patience_ns ? options->patience_ns : CALIBRATE_PATIENCE_NS;
	for (unsigned i = 0; i < DEPTH_MAX; i++) {
		own->ios[i].calibration = own;
		own->ios[i].next = own->idle;
		own->idle = &own->ios[i];
	}
	own->memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	error = own->memory == MAP_FAILED ? -ENOMEM : 0;
	if (!error && !options->loop)
		error = loop_create(&loop_options, &own->own_loop);
	own->loop = options->loop ? options->loop : own->own_loop;
	if (!error)
		error = host->ops->channel_open(host, own->loop, &own->channel);
	if (!error && !choose_sizes(own))
		error = -EINVAL;
	if (error)
		calibration_finish(own);
	else
		*ret_own = own;
	return error;
}

int disk_calibrate(struct host_disk *host, const struct calibrate_options *options,
		   struct disk_cost *ret_cost, struct calibration **ret_left)
{
	struct disk_cost cost = disk_cost_default;
	struct calibration *own = NULL;
	int error;

	*ret_left = NULL;
	*ret_cost = disk_cost_default;
	if (!checked_range(options->scratch_offset_bytes, options->scratch_bytes, host->geometry.size_bytes))
		return -EINVAL;
	error = begin(host, options, &own);
	if (!error)
		error = measure_reads(own, &cost);
	if (!error)
		error = measure_writes(own, options, &cost);
	if (calibration_finish(own) == -EBUSY)
		*ret_left = own;
	if (error)
		return error;
	scale_rest(&cost);
	*ret_cost = cost;
	return 0;
}

void calibration_moderate(const struct host_disk *host, struct disk_cost *cost)
{
	uint32_t least = host->geometry.rotational ? PARALLEL_LEAST_ROTATIONAL : PARALLEL_LEAST;

	if (cost->parallel < least)
		cost->parallel = least;
	if (cost->parallel > PARALLEL_MOST)
		cost->parallel = PARALLEL_MOST;
}
