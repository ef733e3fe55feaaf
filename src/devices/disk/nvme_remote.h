/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the NVMe model needs where the VMM keeps its guest's memory to itself: what is on its way to it, and
 * from it. Only nvme_private.h includes this.
 */
#ifndef VIADUCT_DEVICES_DISK_NVME_REMOTE_H
#define VIADUCT_DEVICES_DISK_NVME_REMOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "devices/disk/nvme_format.h"
#include "devices/register_model.h"

struct nvme_cq;
struct nvme_function;
struct nvme_lane;
struct nvme_request;

#define NVME_PAGE_BYTES	 4096u
/* 1 MiB in a command (MDTS): 2^8 pages. */
#define NVME_DATA_SHIFT	    8u
#define NVME_DATA_BYTES_MAX (NVME_PAGE_BYTES << NVME_DATA_SHIFT)
/* Pages that do not begin at a page's beginning are one more. */
#define NVME_PIECES_MAX	    ((1u << NVME_DATA_SHIFT) + 1)
/*
 * Copies that commands of one function may use of memory that its VMM keeps to itself, at a time, before
 * others wait. Queues are copies besides: 5 MiB when there are as many as there can be, and each is as long
 * as it can be.
 */
#define NVME_COPIES_BYTES (8u << 20)
/* Pages of lists and segments that one command may have in such memory. */
#define NVME_LISTS_MAX 18u
/* A part of a list is little longer than a page, and a region is a page at least. */
#define NVME_LIST_PIECES 3u
/* No status: the command goes on when what it needs has been fetched. */
#define NVME_LATER 0xffffu

/* What a queue has on its way: commands to us, or answers to the guest. */
struct nvme_carrier {
	struct register_errand errand;
	struct nvme_function *function;
	struct iovec iov[2];
	uint32_t entries;
	bool is_under_way;
	bool is_stale;			/* the queue is another one since, or lies elsewhere */
};

/* The parts of a command's lists that have been fetched for it; `missing` is the one that it needs next. */
struct nvme_lists {
	unsigned count;
	struct nvme_list {
		uint64_t address;
		size_t bytes;
	} fetched[NVME_LISTS_MAX], missing;
	struct iovec iov[NVME_LIST_PIECES];	/* of the missing one */
};

/* The answer of an admin command on its way to the guest. */
struct nvme_admin_transfer {
	struct register_errand errand;
	bool is_under_way, pushes, reads_log;
	uint8_t log;
	struct guest_memory *memory;	/* a reference */
	struct nvme_command command;
	struct nvme_lists lists;
	size_t bytes;
	uint8_t answer[NVME_PAGE_BYTES];
	struct iovec iov[NVME_PIECES_MAX];
};

/* ---- nvme_data.c ---- */

/* Has the errand fetch what is missing, and remembers it as fetched. */
void nvme_lists_errand(struct nvme_lists *lists, struct guest_memory *memory, struct register_errand *errand);

/* ---- nvme_remote.c ---- */

/* So much of the copies is about to be used for the first time. */
void nvme_remote_charge(struct nvme_function *function, size_t bytes);
/* Gives the copies back, if nothing is under way: when there are too many, or the worker is to sleep. */
void nvme_remote_rest(struct nvme_function *function, bool is_idle);
/* Has commands fetched of which doorbells have told. */
void nvme_remote_look(struct nvme_function *function);
/* Has answers pushed that were posted in a copy. */
void nvme_remote_tell(struct nvme_function *function, struct nvme_cq *cq);
/* The queue of this number ends, or lies elsewhere. */
void nvme_remote_forget_queue(struct nvme_function *function, unsigned queue);
/* The queue's ring is about to be `to`; NULL: it is in the guest's memory no longer. */
void nvme_remote_move_answers(struct nvme_function *function, struct nvme_cq *cq, struct nvme_completion *to);
/* Goes on with `then` when the request's missing list has been fetched, or with an error. */
void nvme_remote_fetch_list(struct nvme_request *request,
			    void (*then)(struct nvme_request *request, int error));
/* The same with the first `count` pieces of its data, which are fetched or pushed. */
void nvme_remote_carry(struct nvme_request *request, bool pushes, unsigned count,
		       void (*then)(struct nvme_request *request, int error));
/*
 * Writes an admin command's answer to where it wants it. Returns the status; NVME_LATER: the command is
 * completed when the guest has it. reads_log: a log's event may be told again then.
 */
uint16_t nvme_remote_answer(struct nvme_function *function, const struct nvme_command *command,
			    const void *from, size_t bytes, bool reads_log);

#endif
