/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The anchor: the same requests straight on the host through io_uring, with a registered file and buffers
 * in huge pages. Null mode does no I/O (IORING_OP_NOP): what the kernel's ring alone costs.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "core/fd.h"
#include "load.h"

#define HUGE_PAGE_BYTES (2ull << 20)
#define NULL_BYTES	(2ull << 30)

struct host_lane {
	struct load_lane lane;
	struct io_uring uring;
	bool ready, null, poll;
	uint32_t block_bytes;
	uint8_t *memory;
	size_t memory_bytes;
};

struct host_engine {
	struct load_engine engine;
	int fd;
	unsigned queues;
	struct host_lane lane[];
};

static void host_add(struct load_lane *lane, struct load_io *io)
{
	struct host_lane *host = (struct host_lane *)lane;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&host->uring);

	if (!sqe)
		abort(); /* the ring was made to hold the depth */
	if (host->null)
		io_uring_prep_nop(sqe);
	else if (io->write)
		io_uring_prep_write(sqe, 0, io->data, host->block_bytes, io->offset);
	else
		io_uring_prep_read(sqe, 0, io->data, host->block_bytes, io->offset);
	if (!host->null)
		sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, io);
}

/* Polling submits at once; otherwise the wait submits, with one system call for both. */
static void host_submit(struct load_lane *lane)
{
	struct host_lane *host = (struct host_lane *)lane;

	if (host->poll)
		io_uring_submit(&host->uring);
}

static struct load_io *host_take(struct load_lane *lane, int *ret_error)
{
	struct host_lane *host = (struct host_lane *)lane;
	struct io_uring_cqe *cqe;
	struct load_io *io;

	if (io_uring_peek_cqe(&host->uring, &cqe))
		return NULL;
	io = io_uring_cqe_get_data(cqe);
	*ret_error = cqe->res < 0 ? cqe->res : host->null || cqe->res == (int)host->block_bytes ? 0 : -EIO;
	io_uring_cqe_seen(&host->uring, cqe);
	return io;
}

static int host_wait(struct load_lane *lane)
{
	struct host_lane *host = (struct host_lane *)lane;
	int result;

	if (host->poll) {
		while (!io_uring_cq_ready(&host->uring))
			;
		return 1;
	}
	result = io_uring_submit_and_wait(&host->uring, 1);
	return result < 0 && result != -EINTR ? result : 1;
}

static void host_leave(struct load_lane *lane)
{
}

static const struct load_lane_ops host_ops = {
    .add = host_add,
    .submit = host_submit,
    .take = host_take,
    .wait = host_wait,
    .leave = host_leave,
};

static uint8_t *map_huge(size_t bytes)
{
	void *memory =
	    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (memory != MAP_FAILED)
		return memory;
	if (posix_memalign(&memory, HUGE_PAGE_BYTES, bytes))
		return NULL;
	madvise(memory, bytes, MADV_HUGEPAGE);
	memset(memory, 0, bytes);
	return memory;
}

/*
 * Each lane makes its ring on the thread that uses it: that is what lets the kernel deliver completions
 * without interrupting anybody (SINGLE_ISSUER, DEFER_TASKRUN). A polling lane wants the interruption.
 */
static struct load_lane *host_lane(struct load_engine *engine, unsigned index)
{
	struct host_engine *host = (struct host_engine *)engine;
	struct host_lane *lane = &host->lane[index];
	unsigned flags = lane->poll ? 0 : IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;

	if (io_uring_queue_init(4096, &lane->uring, flags) && io_uring_queue_init(4096, &lane->uring, 0)) {
		fprintf(stderr, "io_uring is not available\n");
		exit(1);
	}
	if (!lane->null && io_uring_register_files(&lane->uring, &host->fd, 1)) {
		fprintf(stderr, "io_uring does not take the file\n");
		exit(1);
	}
	lane->ready = true;
	return &lane->lane;
}

static struct frontend_queue_counters host_counters(struct load_engine *engine)
{
	return (struct frontend_queue_counters){0};
}

static void host_close(struct load_engine *engine)
{
	struct host_engine *host = (struct host_engine *)engine;

	for (unsigned i = 0; i < host->queues; i++)
		if (host->lane[i].ready)
			io_uring_queue_exit(&host->lane[i].uring);
	fd_close(&host->fd);
	free(host); /* the buffers go with the process */
}

static int open_file(const struct load_options *options, struct host_engine *host)
{
	bool writes =
	    options->verify || options->pattern == LOAD_RANDWRITE || options->pattern == LOAD_SEQWRITE;
	int flags = (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC;
	struct stat stat;

	if (options->host_mode == LOAD_HOST_NULL) {
		host->engine.size_bytes = NULL_BYTES;
		return 0;
	}
	if (options->host_mode == LOAD_HOST_DIRECT)
		flags |= O_DIRECT;
	host->fd = open(options->host, flags);
	if (host->fd < 0 || fstat(host->fd, &stat) < 0)
		return -errno;
	host->engine.size_bytes = (uint64_t)stat.st_size;
	if (S_ISBLK(stat.st_mode) && ioctl(host->fd, BLKGETSIZE64, &host->engine.size_bytes) < 0)
		return -errno;
	return 0;
}

static int fill_lanes(const struct load_options *options, struct host_engine *host)
{
	for (unsigned i = 0; i < options->queues; i++) {
		struct host_lane *lane = &host->lane[i];

		lane->lane.ops = &host_ops;
		lane->null = options->host_mode == LOAD_HOST_NULL;
		lane->poll = options->poll;
		lane->block_bytes = options->block_bytes;
		lane->memory_bytes = (load_buffer_bytes(options) * options->depth + HUGE_PAGE_BYTES - 1) /
				     HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
		lane->memory = map_huge(lane->memory_bytes);
		if (!lane->memory)
			return -ENOMEM;
		lane->lane.buffers = lane->memory;
	}
	return 0;
}

int load_host_open(const struct load_options *options, struct load_engine **ret_engine)
{
	struct host_engine *host = calloc(1, sizeof(*host) + options->queues * sizeof(host->lane[0]));
	int error;

	if (!host)
		return -ENOMEM;
	host->fd = -1;
	host->queues = options->queues;
	error = open_file(options, host);
	if (!error)
		error = fill_lanes(options, host);
	if (error) {
		fprintf(stderr, "%s: %s\n", options->host, strerror(-error));
		fd_close(&host->fd);
		free(host);
		return error;
	}
	host->engine.name = options->host_mode == LOAD_HOST_NULL     ? "host null"
			    : options->host_mode == LOAD_HOST_DIRECT ? "host direct"
								     : "host buffered";
	host->engine.lane = host_lane;
	host->engine.counters = host_counters;
	host->engine.close = host_close;
	*ret_engine = &host->engine;
	return 0;
}
