/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A request is checked; its range is proven and placed (disk_place()); it waits at the gate of the physical
 * disk until it is its turn (gate.h). Almost always it then is one piece, contiguous on the physical disk and
 * written before: it goes straight to the host disk with the guest's own iovecs, and disk_finish() ends it.
 * Otherwise disk_pieces.c carries it out.
 *
 * A large request passes the gate in steps (disk_internal.h): as if the guest had sent several, one after the
 * other.
 *
 * A write-through request flushes before it is answered, and so does a write while marks of its disk are not
 * committed. Marks are in the memory of this process until a commit. The guest of an answered write may send
 * its flush to another process that has taken over the disk, and is told "durable" there: that process must
 * know the mark.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "arbiter/disk/disk_internal.h"
#include "core/checked.h"
#include "core/container.h"
#include "core/trace.h"

static const char *const op_texts[DISK_OPS] = {
	[DISK_READ] = "read", [DISK_WRITE] = "write", [DISK_FLUSH] = "flush", [DISK_DISCARD] = "discard",
	[DISK_WRITE_ZEROES] = "write-zeroes",
};

const char *disk_op_text(enum disk_op op)
{
	assert((unsigned)op < DISK_OPS);
	return op_texts[op];
}

/* ---- the proof ---- */

/*
 * The one function that proves a guest's range and says where it lies: nothing else makes a placed_range for
 * a guest's request, so the promise "Space" can be read, tested and broken in one place.
 *
 * Places the longest first part of [offset, offset + length) of the virtual disk that is contiguous on the
 * physical disk and of one state. False, and nothing is touched, when the whole range does not lie inside
 * the disk or is empty. Any worker; no locks.
 */
bool disk_place(const struct disk *disk, uint64_t offset_bytes, uint64_t length_bytes,
		struct placed_range *ret_range, enum pool_state *ret_state)
{
	struct pool_span span;

	if (length_bytes == 0 || !checked_range(offset_bytes, length_bytes, disk_size_bytes(disk)))
		return false;
	if (!disk->pool) {
		*ret_range = (struct placed_range){ offset_bytes, length_bytes };
		*ret_state = POOL_WRITTEN;
		return true;
	}
	if (!pool_lookup(disk->part, offset_bytes, length_bytes, &span))
		return false;
	assert(span.length_bytes > 0 && span.length_bytes <= length_bytes);
	*ret_range = (struct placed_range){ span.offset_bytes, span.length_bytes };
	*ret_state = span.state;
	return true;
}

/* ---- completion ---- */

/* A request that was taken is given back once; done() follows. */
static void give_back(struct disk_request_private *private)
{
	struct disk_stats *stats = &private->channel->stats;

	assert(private->busy && counter_read(&stats->in_flight) > 0);
	private->busy = false;
	counter_add(&stats->in_flight, (uint64_t)-1);
}

static void leave(struct disk_request *request)
{
	if (disk_private(request)->gated)
		gate_leave(&disk_private(request)->pass.gate);
	disk_private(request)->gated = false;
}

void disk_finish(struct host_io *io, int error)
{
	struct disk_request_private *private = container_of(io, struct disk_request_private, io);
	struct disk_request *request = disk_request_of(private);
	struct disk_stats *stats = &private->channel->stats;
	enum disk_op op = request->op;

	assert(!private->cut);
	assert(error <= 0);
	trace_mark(TRACE_SUBMITTED);
	leave(request);
	if (private->lock.held)
		grain_lock_release(&private->channel->disk->grain_locks, &private->lock);
	if (error == -ECANCELED && private->channel->abandoned) {
		request->refused = false;
	} else if (error) {
		request->refused = false;
		counter_add(&stats->errors, 1);
		log_guest(&private->channel->subject, "%s of %llu bytes at byte %llu failed: %s",
			  disk_op_text(op), (unsigned long long)request->length_bytes,
			  (unsigned long long)request->offset_bytes, strerrordesc_np(-error));
	} else {
		counter_add(&stats->operations[op], 1);
		counter_add(&stats->bytes[op], request->length_bytes);
		histogram_add(&stats->latency[op], loop_now_ns(private->channel->loop) - private->start_ns);
	}
	give_back(private);
	request->done(request, error);
}

static void refuse(struct disk_request *request, int error)
{
	assert(error < 0);
	counter_add(&disk_private(request)->channel->stats.refused, 1);
	request->refused = true;
	give_back(disk_private(request));
	request->done(request, error);
}

/* ---- flush ---- */

static void commit_done(struct pool_commit *commit, int error)
{
	disk_finish(&container_of(commit, struct disk_request_private, commit)->io, error);
}

/*
 * Durable: the data, and before it is acknowledged also the marks that make it readable. No place in the
 * device is kept meanwhile: flushes and commits that wait together are carried out together, the more the
 * better.
 */
void disk_flush(struct disk_request *request)
{
	struct disk_request_private *private = disk_private(request);
	struct disk *disk = private->channel->disk;

	assert(private->busy && !private->cut && !private->lock.held);
	leave(request);
	if (disk->pool && pool_disk_dirty(disk->part)) {
		private->commit.loop = private->channel->loop;
		private->commit.done = commit_done;
		pool_commit(disk->part, &private->commit);
		return;
	}
	private->io.op = HOST_IO_FLUSH;
	private->io.range = (struct placed_range){ 0, 0 };
	private->io.done = disk_finish;
	trace_mark(TRACE_ADMITTED);
	private->channel->host->ops->submit(private->channel->host, &private->io);
}

/*
 * Must what the request wrote be durable before the request is answered? Marks of other requests count, too:
 * a write into a grain that another request has just marked depends on that mark.
 */
bool disk_must_flush(struct disk_request *request)
{
	const struct disk *disk = disk_private(request)->channel->disk;

	return request->op != DISK_READ && (request->through || (disk->pool && pool_disk_dirty(disk->part)));
}

/* ---- the whole request in one piece ---- */

static void written(struct host_io *io, int error)
{
	struct disk_request *request = disk_request_of_io(io);

	if (!error && disk_must_flush(request))
		disk_flush(request);
	else
		disk_finish(io, error);
}

static bool whole(struct disk_request *request, struct placed_range range, enum pool_state state)
{
	return state == POOL_WRITTEN && range.length_bytes == request->length_bytes &&
	       (request->op == DISK_READ ||
		(request->op == DISK_WRITE && !disk_private(request)->channel->disk->small_blocks));
}

/* Takes it more than one turn of the worker, or one step? */
static inline bool is_large(const struct disk *disk, const struct disk_request *request)
{
	return request->length_bytes > disk->slice_bytes;
}

static void disk_start(struct disk_request *request, struct placed_range range, enum pool_state state)
{
	struct host_channel *host = disk_private(request)->channel->host;
	struct host_io *io = &disk_private(request)->io;

	if (!whole(request, range, state)) {
		disk_pieces_start(request);
		return;
	}
	io->op = request->op == DISK_READ ? HOST_IO_READ : HOST_IO_WRITE;
	io->range = range;
	io->iov = request->iov;
	io->iov_count = request->iov_count;
	io->done = request->op == DISK_READ ? disk_finish : written;
	trace_mark(TRACE_ADMITTED);
	host->ops->submit(host, io);
}

/* ---- the gate ---- */

/* The request had to wait: where its bytes lie may have changed meanwhile. */
static void entered(struct gate_pass *pass)
{
	struct disk_request_private *private = container_of(pass, struct disk_request_private, pass.gate);
	struct disk_request *request = disk_request_of(private);
	struct placed_range range;
	enum pool_state state;

	assert(private->busy && private->gated);
	if (private->channel->abandoned)
		disk_finish(&private->io, -ECANCELED);
	else if (request->op == DISK_FLUSH)
		disk_flush(request);
	else if (private->done_bytes > 0)
		disk_pieces_go_on(request);
	else if (is_large(private->channel->disk, request))
		disk_pieces_start(request);
	else if (disk_place(private->channel->disk, request->offset_bytes, request->length_bytes, &range,
			    &state))
		disk_start(request, range, state);
	else
		disk_finish(&private->io, -ERANGE);
}

/* Does it move bytes to the device? WRITE_ZEROES does where there are neither holes nor a pool's marks. */
static bool moves_bytes(const struct disk *disk, const struct disk_request *request)
{
	return request->iov ||
	       (request->op == DISK_WRITE_ZEROES && !disk->pool && !disk->host->geometry.can_punch);
}

static enum cost_kind cost_kind(struct disk_channel *channel, struct disk_request *request)
{
	const struct disk_request_private *private = disk_private(request);
	bool follows;

	if (request->op == DISK_FLUSH)
		return COST_FLUSH;
	if (!moves_bytes(channel->disk, request))
		return COST_DISCARD;
	follows = cost_streams_follow(&channel->streams, request->offset_bytes + private->done_bytes,
				      private->step_end - private->done_bytes);
	if (request->op == DISK_READ)
		return follows ? COST_READ_SEQUENTIAL : COST_READ_RANDOM;
	return follows ? COST_WRITE_SEQUENTIAL : COST_WRITE_RANDOM;
}

static struct gate_pass *gated_pass(struct disk_channel *channel, struct disk_request *request)
{
	struct disk_request_private *private = disk_private(request);
	struct disk_pass *pass = &private->pass;

	private->gated = true;
	pass->kind = cost_kind(channel, request);
	/* The last step carries the flush. */
	pass->flush = request->through && private->step_end == request->length_bytes &&
		      request->op != DISK_READ && request->op != DISK_FLUSH;
	pass->gate.waiting.bytes =
		moves_bytes(channel->disk, request) ? private->step_end - private->done_bytes : 0;
	/* The steps of a request are one request. */
	pass->gate.waiting.more = private->done_bytes > 0 ? SCHEDULER_COUNTED : 0;
	pass->gate.waiting.light = false;
	pass->gate.enter = entered;
	return disk_meter_price(&channel->port, pass);
}

/*
 * What gate_enter() needs to know of the step that begins at done_bytes. Returns it, or NULL when the step
 * does not go through the gate: what does not touch the device does not wait for it.
 */
static inline struct gate_pass *pass_for(struct disk_channel *channel, struct disk_request *request,
					 bool untouched)
{
	return channel->port.gate && !untouched ? gated_pass(channel, request) : NULL;
}

/* All of the step: what follows a blank first piece may be written. */
static bool blank_read(struct disk_request *request, struct placed_range range, enum pool_state state)
{
	const struct disk_request_private *private = disk_private(request);

	return request->op == DISK_READ && state == POOL_BLANK &&
	       range.length_bytes == private->step_end - private->done_bytes;
}

/* ---- steps ---- */

/* Steps end with a grain of the pool, or blank grains would be written in two parts. */
static uint64_t step_end(const struct disk *disk, struct disk_request *request)
{
	uint64_t begin = request->offset_bytes + disk_private(request)->done_bytes;
	uint64_t bytes = request->op > DISK_WRITE && !moves_bytes(disk, request) ? DISK_ZERO_STEP_BYTES
										 : DISK_STEP_BYTES;

	assert(bytes % POOL_GRAIN_BYTES == 0);
	if (request->length_bytes - disk_private(request)->done_bytes <= bytes)
		return request->length_bytes;
	return align_down(begin + bytes, POOL_GRAIN_BYTES) - request->offset_bytes;
}

bool disk_step_next(struct disk_request *request)
{
	struct disk_request_private *private = disk_private(request);
	struct disk_channel *channel = private->channel;
	struct placed_range range;
	struct gate_pass *pass;
	enum pool_state state;

	assert(private->busy && !private->cut && private->done_bytes == private->step_end);
	if (private->gated)
		gate_leave_to_ask(&private->pass.gate);
	private->gated = false;
	private->step_end = step_end(channel->disk, request);
	if (!disk_place(channel->disk, request->offset_bytes + private->done_bytes,
			private->step_end - private->done_bytes, &range, &state)) {
		disk_finish(&private->io, -ERANGE);
		return false;
	}
	pass = pass_for(channel, request, blank_read(request, range, state));
	return !pass || gate_enter(channel->port.gate, pass);
}

/*
 * The rest of the request lies inside the disk, too, or its first step does not begin; where, the steps prove
 * by themselves.
 */
static __attribute__((noinline)) void submit_large(struct disk_channel *channel, struct disk_request *request)
{
	const struct disk *disk = channel->disk;
	struct disk_request_private *private = disk_private(request);
	struct placed_range range;
	struct gate_pass *pass;
	enum pool_state state;

	if (!checked_range(request->offset_bytes, request->length_bytes, disk_size_bytes(disk))) {
		refuse(request, -ERANGE);
		return;
	}
	private->step_end = step_end(disk, request);
	if (request->length_bytes > DISK_REQUEST_BYTES_MAX ||
	    !disk_place(disk, request->offset_bytes, private->step_end, &range, &state)) {
		refuse(request, -EINVAL);
		return;
	}
	pass = pass_for(channel, request, blank_read(request, range, state));
	/* False: entered() goes on. */
	if (!pass || gate_enter(channel->port.gate, pass))
		disk_pieces_start(request);
}

void disk_submit(struct disk_channel *channel, struct disk_request *request)
{
	const struct disk *disk = channel->disk;
	struct disk_request_private *private = disk_private(request);
	struct placed_range range;
	struct gate_pass *pass;
	enum pool_state state;

	assert(!private->busy);
	assert((unsigned)request->op < DISK_OPS);
	private->channel = channel;
	private->start_ns = loop_now_ns(channel->loop);
	private->done_bytes = 0;
	private->step_end = request->length_bytes;
	private->cut = false;
	private->gated = private->first_write = false;
	private->busy = true;
	private->lock.held = false;
	counter_add(&channel->stats.in_flight, 1);

	if (request->op == DISK_FLUSH) {
		pass = pass_for(channel, request, false);
		if (!pass || gate_enter(channel->port.gate, pass))
			disk_flush(request);
	} else if (request->op != DISK_READ && disk->read_only) {
		refuse(request, -EROFS);
	} else if (!is_aligned(request->offset_bytes | request->length_bytes, disk->geometry.block_bytes)) {
		refuse(request, -EINVAL);
	} else if (is_large(disk, request)) {
		submit_large(channel, request);
	} else if (!disk_place(disk, request->offset_bytes, request->length_bytes, &range, &state)) {
		refuse(request, -ERANGE);
	} else {
		pass = pass_for(channel, request, blank_read(request, range, state));
		/* False: entered() goes on. */
		if (!pass || gate_enter(channel->port.gate, pass))
			disk_start(request, range, state);
	}
}
