/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One job: keeps `depth` requests in flight on its lane. Time is read once for each batch of completions,
 * and is also the start of the requests that follow them: at several million requests a second a clock
 * read for each would be a fifth of the work. It is read again after each submission, because only what
 * was submitted can be completed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/clock.h"
#include "load.h"

struct state {
	struct load_job *job;
	const struct load_options *options;
	struct load_lane *lane;
	struct load_verify *verify;
	struct load_io *ios;
	uint64_t random, next_block;
	uint64_t first_block, blocks; /* this job's part of the disk */
	uint64_t started, in_flight;
	uint64_t measure_from_ns, end_ns, cpu_from_ns;
	bool measuring, ending, checking;
};

static uint64_t next_random(struct state *state)
{
	state->random ^= state->random << 13;
	state->random ^= state->random >> 7;
	state->random ^= state->random << 17;
	return state->random;
}

static uint64_t thread_cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec;
}

static void aim(struct state *state, struct load_io *io)
{
	const struct load_options *options = state->options;
	uint64_t block;

	if (state->verify) {
		load_verify_write(state->verify, io, next_random(state));
		return;
	}
	if (options->pattern == LOAD_RANDREAD || options->pattern == LOAD_RANDWRITE)
		block = (uint64_t)((unsigned __int128)next_random(state) * state->blocks >> 64);
	else
		block = state->next_block++ % state->blocks;
	io->offset = (state->first_block + block) * options->block_bytes;
	io->write = options->pattern == LOAD_RANDWRITE || options->pattern == LOAD_SEQWRITE;
}

static void start(struct state *state, struct load_io *io, uint64_t now_ns)
{
	io->start_ns = now_ns;
	state->in_flight++;
	state->lane->ops->add(state->lane, io);
}

/* Gives the request new work, unless the run is ending. */
static void start_next(struct state *state, struct load_io *io, uint64_t now_ns)
{
	if (state->checking) {
		if (load_verify_next(state->verify, io))
			start(state, io, now_ns);
		return;
	}
	if (state->ending || (state->options->count > 0 && state->started >= state->options->count))
		return;
	state->started++;
	aim(state, io);
	start(state, io, now_ns);
}

static void account(struct state *state, const struct load_io *io, int error, uint64_t now_ns)
{
	struct load_job *job = state->job;

	if (error)
		job->errors++;
	if (!state->measuring)
		return;
	load_histogram_add(&job->latency, now_ns - io->start_ns);
	job->requests++;
	job->bytes += state->options->block_bytes;
}

static void finished(struct state *state, struct load_io *io, int error, uint64_t now_ns)
{
	state->in_flight--;
	account(state, io, error, now_ns);
	if (state->verify && !error) {
		if (io->write) {
			load_verify_read_back(state->verify, io);
			start(state, io, now_ns);
			return;
		}
		if (!load_verify_check(state->verify, io))
			state->job->mismatches++;
	}
	start_next(state, io, now_ns);
}

static void begin_measuring(struct state *state, uint64_t now_ns)
{
	state->measuring = true;
	state->measure_from_ns = now_ns;
	state->cpu_from_ns = thread_cpu_ns();
	if (state->options->seconds > 0)
		state->end_ns = now_ns + (uint64_t)(state->options->seconds * 1e9);
}

static void end_measuring(struct state *state, uint64_t now_ns)
{
	if (state->measuring) {
		state->job->measured_ns = now_ns - state->measure_from_ns;
		state->job->cpu_ns = thread_cpu_ns() - state->cpu_from_ns;
	}
	state->measuring = false;
	state->ending = true;
}

static void watch_clock(struct state *state, uint64_t now_ns)
{
	if (state->ending)
		return;
	if (!state->measuring && now_ns >= state->measure_from_ns)
		begin_measuring(state, now_ns);
	else if (state->measuring && now_ns >= state->end_ns)
		end_measuring(state, now_ns);
}

/* The lane failed: with --reconnect, all that is in flight is completed by the next back end. */
static int rejoin(struct state *state, int error)
{
	if (!state->lane->ops->rejoin || state->options->reconnect_ms == 0)
		return error;
	error = state->lane->ops->rejoin(state->lane);
	if (!error)
		state->job->reconnects++;
	return error;
}

/* Runs until nothing is in flight and nothing is to be started. */
static int run(struct state *state)
{
	const struct load_lane_ops *ops = state->lane->ops;
	uint64_t now_ns = clock_now_ns();

	for (unsigned i = 0; i < state->options->depth; i++)
		start_next(state, &state->ios[i], now_ns);
	ops->submit(state->lane);
	while (state->in_flight > 0) {
		struct load_io *io;
		int error, waited = ops->wait(state->lane);

		if (waited < 0) {
			waited = rejoin(state, waited);
			if (waited < 0)
				return waited;
			continue;
		}
		now_ns = clock_now_ns();
		for (unsigned taken = 1; (io = ops->take(state->lane, &error)); taken++) {
			finished(state, io, error, now_ns);
			if (taken % state->options->batch == 0) {
				ops->submit(state->lane);
				now_ns = clock_now_ns();
			}
		}
		ops->submit(state->lane);
		watch_clock(state, now_ns);
	}
	return 0;
}

static int prepare(struct state *state, struct load_job *job)
{
	const struct load_options *options = job->options;
	uint64_t area = options->area_bytes && options->area_bytes < job->engine->size_bytes
			    ? options->area_bytes
			    : job->engine->size_bytes;

	*state = (struct state){
	    .job = job,
	    .options = options,
	    .lane = job->engine->lane(job->engine, job->index),
	    .random = (options->seed + job->index + 1) * 0x9e3779b97f4a7c15ull | 1,
	    .end_ns = UINT64_MAX,
	    .measure_from_ns = clock_now_ns() + (uint64_t)(options->ramp_seconds * 1e9),
	};
	state->blocks = area / options->block_bytes / options->queues;
	state->first_block = state->blocks * job->index;
	if (state->blocks < options->depth)
		return -ENOSPC;
	state->ios = calloc(options->depth, sizeof(*state->ios));
	if (!state->ios)
		return -ENOMEM;
	for (unsigned i = 0; i < options->depth; i++)
		state->ios[i].data = state->lane->buffers + i * load_buffer_bytes(options);
	if (options->verify) {
		state->verify = load_verify_create(options->seed + job->index, options->block_bytes,
						   state->first_block, state->blocks);
		return state->verify ? 0 : -ENOMEM;
	}
	return 0;
}

void *load_job_run(void *argument)
{
	struct load_job *job = argument;
	struct state state;
	int error = prepare(&state, job);

	if (!error && state.measure_from_ns <= clock_now_ns())
		begin_measuring(&state, clock_now_ns());
	if (!error)
		error = run(&state);
	end_measuring(&state, clock_now_ns());
	if (!error && state.verify) {
		state.checking = true;
		error = run(&state);
	}
	state.lane->ops->leave(state.lane);
	load_verify_destroy(state.verify);
	free(state.ios);
	job->failure = error;
	return NULL;
}
