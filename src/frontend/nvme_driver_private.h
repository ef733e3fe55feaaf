/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the NVMe driver share; no other file includes this.
 *
 *   nvme_driver.c        registers, doorbells, queues, and I/O
 *   nvme_driver_start.c  from the connection to a controller that is ready
 */
#ifndef VIADUCT_FRONTEND_NVME_DRIVER_PRIVATE_H
#define VIADUCT_FRONTEND_NVME_DRIVER_PRIVATE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frontend/nvme_driver.h"
#include "frontend/vfio_master.h"

#define PAGE_BYTES 4096u
/* More than can be in flight: a full ring and an empty one look different. */
#define IO_ENTRIES (2 * NVME_DRIVER_DEPTH)

/* Where the guest's memory lies for the controller; below it is nothing. */
#define MEMORY_ADDRESS 0x100000u
/* Our own pages at its beginning, then one list of pages for each command, then the caller's. */
enum {
	ADMIN_SQ,
	ADMIN_CQ,
	IO_SQ,
	IO_SQ_2,
	IO_CQ,
	ANSWER,
	SHADOW,
	EVENTS,
	LISTS,
	PAGES = LISTS + NVME_DRIVER_DEPTH
};
static_assert(IO_ENTRIES * 64 <= 2 * PAGE_BYTES && IO_ENTRIES * 16 <= PAGE_BYTES, "the rings have room");

struct command {
	uint8_t opcode, flags;
	uint16_t id;
	uint32_t namespace_id, reserved[4];
	uint64_t prp1, prp2;
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
static_assert(sizeof(struct command) == 64, "4.2: submission queue entry");

struct completion {
	uint32_t result, reserved;
	uint16_t sq_head, sq_id, id, status;
};
static_assert(sizeof(struct completion) == 16, "4.6: completion queue entry");

struct queue {
	struct command *sq;
	const struct completion *cq;
	unsigned index, entries, tail, head;
	bool phase;
};

struct nvme_driver {
	struct vfio_master master;
	int memory_fd, event_fd;
	uint8_t *memory;
	size_t memory_bytes;
	struct queue admin, io;
	struct nvme_driver_identity identity;
	struct nvme_driver_counts counts;
	void *tokens[NVME_DRIVER_DEPTH];
	uint16_t free[NVME_DRIVER_DEPTH]; /* numbers of commands */
	bool used[NVME_DRIVER_DEPTH];
	unsigned free_count;
	bool broken;
	uint32_t *shadow, *events; /* doorbells in memory (annex B.5); NULL: the controller has none */
};

static inline uint64_t address_of(const struct nvme_driver *driver, const void *at)
{
	return MEMORY_ADDRESS + (uint64_t)((const uint8_t *)at - driver->memory);
}

static inline uint8_t *page(const struct nvme_driver *driver, unsigned index)
{
	return driver->memory + (size_t)index * PAGE_BYTES;
}

/* ---- nvme_driver.c ---- */

void nvme_driver_put(struct queue *queue, const struct command *command);
/* Takes the next completion; false: there is none. */
bool nvme_driver_get(struct queue *queue, struct completion *ret_completion);
/* Returns 0 or -EPIPE. */
int nvme_driver_ring(struct nvme_driver *driver, unsigned queue, bool is_cq, uint32_t value);

#endif
