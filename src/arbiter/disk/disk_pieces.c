/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A request that is not one written piece is carried out in pieces, each contiguous on the physical disk and
 * of one state (disk_place()). They follow one after the other, cut out of the iovecs by an iov_window;
 * nothing is allocated.
 *
 *   written piece: READ, WRITE, ZERO or DISCARD on the host disk
 *   blank piece:   READ fills zeroes; DISCARD and WRITE_ZEROES do nothing;
 *                  WRITE locks its grains, zeroes what it does not cover (ZERO), writes, marks the grains
 *
 * Where the guest's blocks are smaller than the physical disk's, a piece in written space is locked, too,
 * while it is written.
 *
 * No piece is longer than the worker may be busy with it by itself, in copying or zeroing. The next one then
 * waits for a turn (disk_later_task()); behind the end of a step it first waits at the gate.
 */
#include <assert.h>
#include <errno.h>

#include "arbiter/disk/disk_internal.h"
#include "core/checked.h"
#include "core/container.h"
#include "core/loop_account.h"
#include "core/trace.h"

/* Where DISCARD and WRITE_ZEROES only look or mark, a worker does so much in a turn. */
#define MARKS_PER_TURN (64ul << 20)

/* The unit of locks: no block of a physical disk is larger. */
#define LOCK_BYTES 4096u

enum step {
	STEP_PIECES,	/* the next piece is to be placed */
	STEP_LOCKING,	/* a write waits for its lock */
	STEP_ZEROING,	/* a blank grain is being zeroed for a write to a part of it */
};

static void advance(struct disk_request *request);

/* ---- host I/O ---- */

/*
 * Counts the piece under way as finished. The grains of a blank write become readable here; the lock may
 * hold more of them than this piece wrote, and those stay blank.
 */
static void end_piece(struct disk_request *request)
{
	struct disk_request_private *private = disk_private(request);
	uint64_t offset = request->offset_bytes + private->done_bytes;

	assert(private->done_bytes + private->piece_bytes <= request->length_bytes);
	assert(private->piece_bytes > 0);
	if (private->first_write) {
		uint64_t first = align_down(offset, POOL_GRAIN_BYTES);
		uint64_t end = align_up(offset + private->piece_bytes, POOL_GRAIN_BYTES);

		assert(private->lock.held);
		pool_mark(private->channel->disk->part, first, end - first, POOL_WRITTEN);
		private->first_write = false;
	}
	if (private->lock.held)
		grain_lock_release(&private->channel->disk->grain_locks, &private->lock);
	private->done_bytes += private->piece_bytes;
}

static void write_blank_data(struct disk_request *request);

static void io_done(struct host_io *io, int error)
{
	struct disk_request *request = disk_request_of_io(io);
	struct disk_request_private *private = disk_private(request);

	assert(private->busy && private->step != STEP_LOCKING);
	if (private->cut) {
		iov_window_close(&private->window);
		private->cut = false;
	}
	if (error) {
		disk_finish(io, error);
	} else if (private->step == STEP_ZEROING) {
		write_blank_data(request);
	} else {
		end_piece(request);
		advance(request);
	}
}

static void submit(struct disk_request *request, enum host_io_op op, struct placed_range range)
{
	struct host_channel *host = disk_private(request)->channel->host;
	struct host_io *io = &disk_private(request)->io;

	assert(range.length_bytes > 0);
	io->op = op;
	io->range = range;
	io->done = io_done;
	trace_mark(TRACE_ADMITTED);
	host->ops->submit(host, io);
}

/* READ or WRITE of the piece under way, with the guest's own iovecs or a part of them. */
static void submit_data(struct disk_request *request, struct placed_range range)
{
	struct disk_request_private *private = disk_private(request);
	struct host_io *io = &private->io;

	assert(!private->cut && range.length_bytes <= request->length_bytes - private->done_bytes);
	private->piece_bytes = range.length_bytes;
	io->iov = request->iov;
	io->iov_count = request->iov_count;
	if (range.length_bytes != request->length_bytes) {
		iov_window_open(&private->window, request->iov, request->iov_count, private->done_bytes,
				range.length_bytes);
		private->cut = true;
		io->iov = private->window.iov;
		io->iov_count = private->window.count;
	}
	submit(request, request->op == DISK_READ ? HOST_IO_READ : HOST_IO_WRITE, range);
}

/* ---- locks ---- */

/* Locks [begin, end). True: at once; else granted() follows. */
static bool lock_range(struct disk_request *request, uint64_t begin, uint64_t end,
		       void (*granted)(struct grain_lock *lock))
{
	struct disk_request_private *private = disk_private(request);
	struct grain_lock *lock = &private->lock;

	assert(!lock->held && private->step == STEP_PIECES && begin < end);
	lock->loop = private->channel->loop;
	lock->granted = granted;
	lock->first = begin / LOCK_BYTES;
	lock->count = (end - 1) / LOCK_BYTES - lock->first + 1;
	private->step = STEP_LOCKING;
	return grain_lock_acquire(&private->channel->disk->grain_locks, lock);
}

static struct disk_request *disk_request_of_lock(struct grain_lock *lock)
{
	return disk_request_of(container_of(lock, struct disk_request_private, lock));
}

/* ---- pieces in blank space ---- */

static void write_blank_locked(struct disk_request *request);

static void blank_granted(struct grain_lock *lock)
{
	write_blank_locked(disk_request_of_lock(lock));
}

/*
 * A blank piece of a write is cut to whole grains, or to the part of one grain. It holds its grains until
 * they are marked.
 */
static void write_blank(struct disk_request *request)
{
	struct disk_request_private *private = disk_private(request);
	uint64_t offset = request->offset_bytes + private->done_bytes, end = offset + private->piece_bytes;
	uint64_t in_grain = offset % POOL_GRAIN_BYTES;

	assert(private->piece_bytes > 0);
	if (in_grain == 0 && private->piece_bytes >= POOL_GRAIN_BYTES)
		end = align_down(end, POOL_GRAIN_BYTES);
	else if (end - offset > POOL_GRAIN_BYTES - in_grain)
		end = offset - in_grain + POOL_GRAIN_BYTES;
	private->piece_bytes = end - offset;
	private->first_write = true;
	if (lock_range(request, offset - in_grain, align_up(end, POOL_GRAIN_BYTES), blank_granted))
		write_blank_locked(request);
}

static void write_blank_data(struct disk_request *request)
{
	struct disk_request_private *private = disk_private(request);
	struct placed_range range;
	enum pool_state state;

	assert(private->lock.held);
	private->step = STEP_PIECES;
	if (private->channel->abandoned)
		disk_finish(&private->io, -ECANCELED);
	else if (disk_place(private->channel->disk, request->offset_bytes + private->done_bytes,
			    private->piece_bytes, &range, &state))
		submit_data(request, range);
	else
		disk_finish(&private->io, -ERANGE);
}

/*
 * The request holds its grains. A request that held them before may have written them: then there is nothing
 * to zero.
 */
static void write_blank_locked(struct disk_request *request)
{
	struct disk_request_private *private = disk_private(request);
	uint64_t grain = private->lock.first * LOCK_BYTES;
	uint64_t behind = disk_size_bytes(private->channel->disk) - grain;
	struct placed_range range;
	enum pool_state state;

	assert(private->lock.held && private->step == STEP_LOCKING);
	/* The disk may end within the grain; growing it clears what lies behind. */
	if (private->piece_bytes % POOL_GRAIN_BYTES != 0 &&
	    disk_place(private->channel->disk, grain, behind < POOL_GRAIN_BYTES ? behind : POOL_GRAIN_BYTES,
		       &range, &state) &&
	    state == POOL_BLANK) {
		private->step = STEP_ZEROING;
		submit(request, HOST_IO_ZERO, range);
		return;
	}
	write_blank_data(request);
}

/* ---- zeroing a written piece ---- */

/*
 * The part of a block that the piece begins or ends with is written with zeroes. True: it is under way.
 * False: what piece_bytes now says is of whole blocks.
 */
static bool zero_edge(struct disk_request *request, struct placed_range range)
{
	struct disk_request_private *private = disk_private(request);
	uint32_t block = private->channel->disk->host->geometry.block_bytes;
	uint64_t head = align_up(range.offset_bytes, block) - range.offset_bytes;

	if (head == 0 && range.length_bytes >= block) {
		private->piece_bytes = align_down(range.length_bytes, block);
		return false;
	}
	if (head > 0 && head < range.length_bytes)
		range.length_bytes = head;
	private->piece_bytes = range.length_bytes;
	submit(request, HOST_IO_ZERO, range);
	return true;
}

/*
 * Where holes are cheap, a hole. Elsewhere whole grains of a pool become blank by a mark, and their edges
 * are written with zeroes. A disk of its own is zeroed by the host driver. True: the piece is finished.
 */
static bool zero_written(struct disk_request *request, struct placed_range range)
{
	struct disk_request_private *private = disk_private(request);
	struct disk *disk = private->channel->disk;
	uint64_t offset = request->offset_bytes + private->done_bytes, in_grain = offset % POOL_GRAIN_BYTES;

	assert(request->op == DISK_DISCARD || request->op == DISK_WRITE_ZEROES);
	if (disk->small_blocks && zero_edge(request, range))
		return false;
	if (disk->small_blocks)
		range.length_bytes = private->piece_bytes;
	if (disk->host->geometry.can_punch) {
		submit(request, HOST_IO_DISCARD, range);
		return false;
	}
	if (disk->pool && in_grain == 0 && range.length_bytes >= POOL_GRAIN_BYTES) {
		private->piece_bytes = align_down(range.length_bytes, POOL_GRAIN_BYTES);
		pool_mark(disk->part, offset, private->piece_bytes, POOL_BLANK);
		return true;
	}
	if (disk->pool && range.length_bytes > POOL_GRAIN_BYTES - in_grain)
		range.length_bytes = POOL_GRAIN_BYTES - in_grain;
	private->piece_bytes = range.length_bytes;
	submit(request, HOST_IO_ZERO, range);
	return false;
}

/* ---- the walk over the pieces ---- */

static bool moves_no_data(const struct disk_request *request)
{
	return request->op != DISK_READ && request->op != DISK_WRITE;
}

/* A blank READ is zeroed by us, on the worker. */
static void read_blank(struct disk_request *request)
{
	struct disk_request_private *private = disk_private(request);

	if (private->piece_bytes >= DISK_SLICE_BYTES) {
		private->piece_bytes = DISK_SLICE_BYTES;
		private->slice_end = private->done_bytes + DISK_SLICE_BYTES;
	}
	iov_zero(request->iov, request->iov_count, private->done_bytes, private->piece_bytes);
}

/* There was nothing to do, which the device did not see: it is no part of the step. */
static void pass_by(struct disk_request *request)
{
	struct disk_request_private *private = disk_private(request);
	uint64_t left = request->length_bytes - private->step_end;

	private->step_end += private->piece_bytes < left ? private->piece_bytes : left;
}

/* ---- written pieces that are locked ---- */

static bool start_written(struct disk_request *request, struct placed_range range)
{
	if (moves_no_data(request))
		return zero_written(request, range);
	submit_data(request, range);
	return false;
}

/* The part of the pool may have been written, discarded or moved meanwhile, as for any write. */
static void written_granted(struct grain_lock *lock)
{
	struct disk_request *request = disk_request_of_lock(lock);
	struct disk_request_private *private = disk_private(request);
	struct placed_range range;
	enum pool_state state;

	private->step = STEP_PIECES;
	if (private->channel->abandoned) {
		disk_finish(&private->io, -ECANCELED);
	} else if (!disk_place(private->channel->disk, request->offset_bytes + private->done_bytes,
			       private->piece_bytes, &range, &state)) {
		disk_finish(&private->io, -ERANGE);
	} else if (state == POOL_BLANK) {
		/* Its grains were given back: it begins anew, without the lock. */
		grain_lock_release(&private->channel->disk->grain_locks, lock);
		advance(request);
	} else {
		private->piece_bytes = range.length_bytes;
		if (start_written(request, range)) {
			end_piece(request);
			advance(request);
		}
	}
}

/* True: the piece is finished already; false: it will be, or the request is. */
static bool start_piece(struct disk_request *request, struct placed_range range, enum pool_state state)
{
	struct disk_request_private *private = disk_private(request);
	uint64_t step_bytes = private->step_end - private->done_bytes;

	if (state == POOL_WRITTEN && range.length_bytes > step_bytes)
		range.length_bytes = step_bytes;
	private->piece_bytes = range.length_bytes;
	if (state == POOL_WRITTEN && private->channel->disk->small_blocks && request->op != DISK_READ) {
		uint64_t begin = request->offset_bytes + private->done_bytes;

		if (!lock_range(request, begin, begin + private->piece_bytes, written_granted))
			return false;
		private->step = STEP_PIECES;
		return start_written(request, range);
	}
	if (state == POOL_WRITTEN)
		return start_written(request, range);
	if (request->op == DISK_WRITE) {
		write_blank(request);
		return false;
	}
	if (request->op == DISK_READ)
		read_blank(request);
	else
		pass_by(request);
	return true;
}

/* ---- turns ---- */

void disk_pieces_go_on(struct disk_request *request)
{
	struct disk_channel *channel = disk_private(request)->channel;

	assert(!*channel->later_end);
	disk_private(request)->next = NULL;
	*channel->later_end = request;
	channel->later_end = &disk_private(request)->next;
	loop_defer(channel->loop, &channel->later_task);
}

/* Like a step's, the slice's end is one of the pool's grains. */
static void begin_slice(struct disk_request *request)
{
	struct disk_request_private *private = disk_private(request);
	uint64_t bytes = moves_no_data(request) ? MARKS_PER_TURN : private->channel->disk->slice_bytes;
	uint64_t begin = request->offset_bytes + private->done_bytes;

	private->slice_end = align_down(begin + bytes, POOL_GRAIN_BYTES) - request->offset_bytes;
}

/*
 * One piece of one request in each turn, and from all queues of a guest no more than its slice: the guest's
 * pages may have to be found first, and others wait.
 */
void disk_later_task(struct loop_task *task)
{
	struct disk_channel *channel = container_of(task, struct disk_channel, later_task);
	struct disk_request *request = channel->later;

	assert(request && disk_private(request)->channel == channel);
	if (loop_slice_over(channel->loop)) {
		loop_defer(channel->loop, task);
		return;
	}
	channel->later = disk_private(request)->next;
	if (!channel->later)
		channel->later_end = &channel->later;
	else
		loop_defer(channel->loop, task);
	begin_slice(request);
	advance(request);
}

/* Where the next piece ends at the latest. 0: the request has to wait, or is finished. */
static uint64_t piece_limit(struct disk_request *request)
{
	struct disk_request_private *private = disk_private(request);
	uint64_t end;

	if (private->done_bytes == private->step_end && !disk_step_next(request))
		return 0;
	if (private->done_bytes >= private->slice_end) {
		disk_pieces_go_on(request);
		return 0;
	}
	/* Where nothing is to be done, a step does not end. */
	end = moves_no_data(request) ? request->length_bytes : private->step_end;
	return end < private->slice_end ? end : private->slice_end;
}

static void advance(struct disk_request *request)
{
	struct disk_request_private *private = disk_private(request);
	struct placed_range range;
	enum pool_state state;

	private->step = STEP_PIECES;
	while (private->done_bytes < request->length_bytes) {
		uint64_t limit;

		if (private->channel->abandoned) {
			disk_finish(&private->io, -ECANCELED);
			return;
		}
		limit = piece_limit(request);
		if (limit == 0)
			return;
		if (!disk_place(private->channel->disk, request->offset_bytes + private->done_bytes,
				limit - private->done_bytes, &range, &state)) {
			disk_finish(&disk_private(request)->io, -ERANGE);
			return;
		}
		if (!start_piece(request, range, state))
			return;
		end_piece(request);
	}
	if (disk_must_flush(request))
		disk_flush(request);
	else
		disk_finish(&disk_private(request)->io, 0);
}

void disk_pieces_start(struct disk_request *request)
{
	assert(disk_private(request)->done_bytes == 0);
	begin_slice(request);
	advance(request);
}
