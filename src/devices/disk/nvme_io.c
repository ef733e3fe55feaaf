/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * I/O commands (6): to the disk, by the same request as virtio-blk's, and back. The data never passes through
 * us: it goes between the guest's pages and the disk. Whether a range lies inside the disk is proven by the
 * arbiter.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/checked.h"
#include "core/container.h"
#include "core/iov.h"
#include "devices/disk/nvme_private.h"

/* Pieces of ranges after which the time is asked. */
#define PIECES_TIMED	     16u
#define FIRST_BLOCK(command) ((uint64_t)(command)->cdw11 << 32 | (command)->cdw10)
#define BLOCKS(command)	     (((command)->cdw12 & 0xffff) + 1)

/* ---- answers ---- */

/* The one place where an error becomes an NVMe status (4.6.1). */
static uint16_t status_of(enum disk_op op, int error)
{
	switch (error) {
	case 0:
		return NVME_SUCCESS;
	case -ERANGE:
		return NVME_LBA_OUT_OF_RANGE | NVME_DO_NOT_RETRY;
	case -EROFS:
		return NVME_WRITE_PROTECTED | NVME_DO_NOT_RETRY;
	case -EOPNOTSUPP:
		return NVME_INVALID_OPCODE | NVME_DO_NOT_RETRY;
	case -EINVAL:
		return NVME_INVALID_FIELD | NVME_DO_NOT_RETRY;
	case -ENOSPC:
		return NVME_CAPACITY_EXCEEDED | NVME_DO_NOT_RETRY;
	case -EFAULT:
		return NVME_DATA_TRANSFER_ERROR;
	case -ECANCELED:
		return NVME_ABORTED;
	default:
		return op == DISK_READ ? NVME_UNRECOVERED_READ : NVME_WRITE_FAULT;
	}
}

static void release(struct nvme_request *request)
{
	struct nvme_lane *lane = request->lane;

	guest_memory_put(request->memory);
	request->memory = NULL;
	request->next = lane->free;
	lane->free = request;
	lane->under_way--;
}

static void finish(struct nvme_request *request, uint16_t status)
{
	struct nvme_lane *lane = request->lane;
	bool was_full = !lane->free;

	release(request);
	nvme_complete(lane, request->sq, request->command, status, 0);
	if (was_full)
		nvme_queues_wake_here(lane);
	if (nvme_lane_is_home(lane))
		nvme_remote_rest(lane->function, false);
	if (lane->under_way == 0)
		nvme_lane_check_rest(lane);
}

/*
 * More than there is room for are kept only of a guest whose other lanes have come to rest while its VMM has
 * taken the memory of all their queues away.
 */
void nvme_io_keep(struct nvme_lane *lane, uint16_t sq, uint16_t command, uint16_t status)
{
	if (lane->kept_count == lane->kept_room) {
		nvme_fail(lane->function, NVME_VIOLATION_QUEUE_MEMORY, lane->kept_count);
		return;
	}
	lane->kept[lane->kept_count++] = (struct nvme_kept){ .sq = sq, .command = command, .status = status };
}

/* Each once: some may have to be kept again, by `here`, whose list may be the same. */
void nvme_io_answer_kept(struct nvme_lane *lane, struct nvme_lane *here)
{
	unsigned count = lane->kept_count;

	assert(count == 0 || !nvme_lane_keeps(here));
	lane->kept_count = 0;
	for (unsigned i = 0; i < count; i++) {
		const struct nvme_kept kept = lane->kept[i];

		nvme_complete(here, kept.sq, kept.command, kept.status, 0);
	}
}

static void data_pushed(struct nvme_request *request, int error)
{
	finish(request, status_of(DISK_READ, error));
}

static void io_done(struct disk_request *disk, int error)
{
	struct nvme_request *request = container_of(disk, struct nvme_request, disk);

	if (request->is_remote && disk->op == DISK_READ && !error)
		nvme_remote_carry(request, true, disk->iov_count, data_pushed);
	else
		finish(request, status_of(disk->op, error));
}

static void refuse(struct nvme_request *request, uint16_t status)
{
	finish(request, status | NVME_DO_NOT_RETRY);
}

/* ---- to the disk ---- */

/* A block that does not fit in bytes is refused by the arbiter like any other outside. */
static uint64_t bytes_of(const struct nvme_function *function, uint64_t blocks)
{
	uint64_t bytes;

	return checked_mul(blocks, 1ull << function->block_shift, &bytes)
		       ? bytes
		       : align_down(UINT64_MAX, 1ull << function->block_shift);
}

static void submit(struct nvme_request *request, enum disk_op op, uint64_t first_block, uint64_t blocks)
{
	request->disk.op = op;
	request->disk.offset_bytes = bytes_of(request->lane->function, first_block);
	request->disk.length_bytes = bytes_of(request->lane->function, blocks);
	disk_submit(request->lane->channel, &request->disk);
}

/* Must it be durable before it is answered? (6.15: FUA; 5.21.1.6: without a write cache) */
static bool write_through(const struct nvme_function *function, const struct nvme_command *command)
{
	return command->cdw12 & NVME_IO_FORCE_UNIT_ACCESS ||
	       !__atomic_load_n(&function->features.write_cache, __ATOMIC_RELAXED);
}

/* Copies of memory that is not at hand are counted before the first of them is made. */
static void charge(struct nvme_request *request, size_t bytes)
{
	if (!request->is_charged)
		nvme_remote_charge(request->lane->function, bytes);
	request->is_charged = true;
}

static void execute_again(struct nvme_request *request, int error);

/*
 * Finds the command's data. False: its answer comes later, or has been given; what has to be fetched first
 * is, and the command is executed again.
 */
static bool map_data(struct nvme_request *request, const struct nvme_command *command, size_t bytes,
		     unsigned *ret_count)
{
	struct nvme_lists *lists = nvme_lane_is_home(request->lane) ? &request->lists : NULL;
	uint16_t status = nvme_data_map(request->memory, command, bytes, lists, request->iov, ret_count);

	if (status == NVME_LATER) {
		charge(request, bytes + (size_t)NVME_LISTS_MAX * NVME_PAGE_BYTES);
		nvme_remote_fetch_list(request, execute_again);
		return false;
	}
	if (!status) {
		request->is_remote = guest_memory_is_remote(request->memory, request->iov, *ret_count);
		if (request->is_remote && !lists)
			status = NVME_DATA_TRANSFER_ERROR;
	}
	if (status)
		refuse(request, status);
	else if (request->is_remote)
		charge(request, bytes);
	return !status;
}

static void submit_transfer(struct nvme_request *request, int error)
{
	const struct nvme_command *command = &request->entry;

	if (error)
		finish(request, status_of(request->disk.op, error));
	else
		submit(request, request->disk.op, FIRST_BLOCK(command), BLOCKS(command));
}

static void read_or_write(struct nvme_request *request, const struct nvme_command *command, enum disk_op op)
{
	struct nvme_lane *lane = request->lane;
	uint64_t blocks = BLOCKS(command), bytes = blocks << lane->function->block_shift;
	bool is_read = op == DISK_READ;

	if (bytes > NVME_DATA_BYTES_MAX) {
		refuse(request, NVME_INVALID_FIELD);
		return;
	}
	if (!map_data(request, command, bytes, &request->disk.iov_count))
		return;
	counter_add(is_read ? &lane->reads : &lane->writes, 1);
	counter_add(is_read ? &lane->blocks_read : &lane->blocks_written, blocks);
	request->disk.iov = request->iov;
	request->disk.through = !is_read && write_through(lane->function, command);
	request->disk.op = op;
	if (request->is_remote && !is_read)
		nvme_remote_carry(request, false, request->disk.iov_count, submit_transfer);
	else
		submit_transfer(request, 0);
}

/* ---- Dataset Management (6.7): ranges, one after the other ---- */

/* As much of the range as the disk takes in one request. */
static void submit_piece(struct nvme_request *request)
{
	struct nvme_range *range = &request->range_list[request->range];
	uint32_t most = DISK_REQUEST_BYTES_MAX >> request->lane->function->block_shift,
		 blocks = range->blocks < most ? range->blocks : most;
	uint64_t first_block = range->first_block;

	range->first_block += blocks;
	range->blocks -= blocks;
	submit(request, DISK_DISCARD, first_block, blocks);
}

/* Finds the range that is not at its end. */
static bool next_range(struct nvme_request *request)
{
	while (request->range < request->ranges && request->range_list[request->range].blocks == 0)
		request->range++;
	return request->range < request->ranges;
}

/*
 * Until the disk works on a piece. What waits for rest waits for one and not for all of them: the command is
 * a hint. What ends at once, as where there is nothing to give up, is a round of
 * this loop and no call deeper in the stack: there may be very many.
 */
static void submit_ranges(struct nvme_request *request)
{
	const struct nvme_lane *lane = request->lane;
	unsigned pieces = 0;

	while (!request->range_error && !nvme_lane_hurries(lane) && next_range(request)) {
		if (++pieces % PIECES_TIMED == 0 && loop_slice_over(lane->loop)) {
			loop_defer_for(lane->loop, &request->task, lane->account);
			return;
		}
		request->submitting = true;
		request->ended = false;
		submit_piece(request);
		request->submitting = false;
		if (!request->ended)
			return;
	}
	finish(request, status_of(DISK_DISCARD, request->range_error));
}

static void go_on_with_ranges(struct loop_task *task)
{
	submit_ranges(container_of(task, struct nvme_request, task));
}

static void range_done(struct disk_request *disk, int error)
{
	struct nvme_request *request = container_of(disk, struct nvme_request, disk);

	request->range_error = error;
	request->ended = true;
	if (!request->submitting)
		submit_ranges(request);
}

/* All ranges are proven before the first is given up; the arbiter proves each again. */
static bool ranges_inside(const struct nvme_request *request)
{
	const struct nvme_function *function = request->lane->function;
	uint64_t size_blocks = disk_size_bytes(function->device->disk) >> function->block_shift;

	for (unsigned i = 0; i < request->ranges; i++)
		if (!checked_range(request->range_list[i].first_block, request->range_list[i].blocks,
				   size_blocks))
			return false;
	return true;
}

/* The ranges are there, in pieces: they are copied once. */
static void deallocate_ranges(struct nvme_request *request, int error)
{
	const struct nvme_command *command = &request->entry;
	struct nvme_range ranges[NVME_RANGES_MAX];
	uint16_t status = error ? status_of(DISK_DISCARD, error) : NVME_SUCCESS;

	if (error) {
		finish(request, status);
		return;
	}
	iov_copy_out(request->iov, request->pieces, 0, ranges, request->ranges * sizeof(ranges[0]));
	memcpy(request->range_list, ranges, request->ranges * sizeof(ranges[0]));
	if (!ranges_inside(request))
		status = NVME_LBA_OUT_OF_RANGE;
	if (!status && disk_read_only(request->lane->function->device->disk))
		status = NVME_WRITE_PROTECTED;
	if (status) {
		refuse(request, status);
		return;
	}
	/* Other attributes than this one are hints. */
	if (!(command->cdw11 & NVME_DEALLOCATE) ||
	    disk_discard_bytes(request->lane->function->device->disk) == 0)
		request->ranges = 0;
	request->range = 0;
	request->range_error = 0;
	request->disk.done = range_done;
	request->task.run = go_on_with_ranges;
	submit_ranges(request);
}

static void deallocate(struct nvme_request *request, const struct nvme_command *command)
{
	request->ranges = (command->cdw10 & 0xff) + 1;
	if (!map_data(request, command, request->ranges * sizeof(request->range_list[0]), &request->pieces))
		return;
	if (request->is_remote)
		nvme_remote_carry(request, false, request->pieces, deallocate_ranges);
	else
		deallocate_ranges(request, 0);
}

/* ---- commands ---- */

static void execute(struct nvme_request *request, const struct nvme_command *command)
{
	switch (command->opcode) {
	case NVME_IO_READ:
		read_or_write(request, command, DISK_READ);
		break;
	case NVME_IO_WRITE:
		read_or_write(request, command, DISK_WRITE);
		break;
	case NVME_IO_FLUSH:
		submit(request, DISK_FLUSH, 0, 0);
		break;
	case NVME_IO_WRITE_ZEROES:
		request->disk.through = write_through(request->lane->function, command);
		submit(request, DISK_WRITE_ZEROES, FIRST_BLOCK(command), BLOCKS(command));
		break;
	case NVME_IO_DATASET_MANAGEMENT:
		deallocate(request, command);
		break;
	default:
		refuse(request, NVME_INVALID_OPCODE);
	}
}

/* A list has been fetched for it. */
static void execute_again(struct nvme_request *request, int error)
{
	if (error)
		finish(request, status_of(DISK_READ, error));
	else
		execute(request, &request->entry);
}

static bool names_namespace(const struct nvme_command *command)
{
	return command->namespace_id == NVME_ONLY_NAMESPACE ||
	       (command->opcode == NVME_IO_FLUSH && command->namespace_id == NVME_FLUSH_ALL);
}

void nvme_io_execute(struct nvme_lane *lane, struct nvme_request *request, const struct nvme_command *command)
{
	request->memory = guest_memory_get(lane->function->memory);
	request->disk.done = io_done;
	request->disk.iov = NULL;
	request->disk.iov_count = 0;
	request->disk.through = false;
	request->entry = *command;
	request->lists.count = 0;
	request->is_remote = request->is_charged = false;
	if (NVME_COMMAND_FUSED(command->flags))
		refuse(request, NVME_INVALID_FIELD);
	else if (!names_namespace(command))
		refuse(request, NVME_INVALID_NAMESPACE);
	else
		execute(request, command);
}
