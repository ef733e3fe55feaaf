/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Queues in the guest's memory (4.1): the only code of the model that touches them. */
#include <string.h>

#include "core/shared.h"
#include "devices/disk/nvme_private.h"

static bool is_remote(const struct nvme_function *function, const void *ring)
{
	const struct iovec one = { (void *)(uintptr_t)ring, 1 };

	return ring && guest_memory_is_remote(function->memory, &one, 1);
}

/* NULL: it is not in the guest's memory, or in memory that its lane does not reach. */
static void *ring_at(const struct nvme_function *function, unsigned lane, uint64_t address, size_t bytes)
{
	void *ring = guest_memory_at(function->memory, address, bytes);

	return lane > 0 && is_remote(function, ring) ? NULL : ring;
}

bool nvme_ring_fits(const struct nvme_function *function, unsigned lane, uint64_t address, uint32_t entries,
		    size_t entry_bytes)
{
	return ring_at(function, lane, address, entries * entry_bytes);
}

/* One that is a copy now, and was none: its pages are used from now on. */
static void set_remote(struct nvme_function *function, const void *ring, size_t bytes, bool *is_copy)
{
	bool was_copy = *is_copy;

	*is_copy = is_remote(function, ring);
	if (*is_copy && !was_copy)
		nvme_remote_charge(function, bytes);
}

static void map_cq(struct nvme_function *function, struct nvme_cq *cq)
{
	struct nvme_completion *ring =
		ring_at(function, cq->lane, cq->address, cq->entries * sizeof(*cq->ring));

	nvme_remote_move_answers(function, cq, ring);
	cq->ring = ring;
	set_remote(function, ring, cq->entries * sizeof(*ring), &cq->is_remote);
	nvme_remote_tell(function, cq);
}

void nvme_rings_map(struct nvme_function *function)
{
	nvme_lanes_count(function);
	for (unsigned i = 0; i < NVME_QUEUES_MAX; i++) {
		struct nvme_sq *sq = &function->sq[i];
		struct nvme_cq *cq = &function->cq[i];

		if (sq->exists) {
			sq->ring = ring_at(function, function->cq[sq->cq].lane, sq->address,
					   sq->entries * sizeof(*sq->ring));
			set_remote(function, sq->ring, sq->entries * sizeof(*sq->ring), &sq->is_remote);
			sq->fresh = sq->head;
			function->fetch[i].is_stale = true;
		}
		if (cq->exists)
			map_cq(function, cq);
	}
}

void nvme_ring_fetch(struct nvme_sq *sq, struct nvme_command *ret_command)
{
	shared_copy_in(ret_command, &sq->ring[sq->head], sizeof(*ret_command));
	sq->head = sq->head + 1 == sq->entries ? 0 : sq->head + 1;
}

/* The driver finds the entry by its phase, which is written last (4.6). */
void nvme_ring_post(struct nvme_cq *cq, const struct nvme_completion *completion)
{
	struct nvme_completion *entry = &cq->ring[cq->tail];
	uint32_t last;

	memcpy(&last, &completion->command_id, sizeof(last));
	shared_write(&entry->result, completion->result);
	shared_write(&entry->reserved, 0);
	shared_write(&entry->sq_head, completion->sq_head);
	shared_write(&entry->sq_id, completion->sq_id);
	/* Pairs with the driver's load of the phase. */
	shared_write_release((uint32_t *)(void *)&entry->command_id, last);
	if (++cq->tail == cq->entries) {
		cq->tail = 0;
		cq->phase = !cq->phase;
	}
	cq->posted++;
}
