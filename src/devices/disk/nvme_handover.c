/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takeover: all that a function is, while nothing is under way. Rings and doorbells are numbers; commands
 * that wait in a ring are found there again.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/handover.h"
#include "devices/disk/nvme_private.h"

#define FORMAT_VERSION 2u
/* Answers that all lanes together have kept. */
#define KEPT_ALL_MAX ((uint64_t)REGISTER_LANES_MAX * NVME_KEPT_MAX)

#define SUM(function, counter) nvme_lanes_sum(function, offsetof(struct nvme_lane, counter))

static void save_sq(struct handover *handover, const struct nvme_sq *sq)
{
	handover_put_u64(handover, sq->exists);
	if (!sq->exists)
		return;
	handover_put_u64(handover, sq->cq);
	handover_put_u64(handover, sq->entries);
	handover_put_u64(handover, sq->head);
	handover_put_u64(handover, sq->tail);
	handover_put_u64(handover, sq->address);
	handover_put_u64(handover, sq->deleting);
	handover_put_u64(handover, sq->delete_command);
}

static void save_cq(struct handover *handover, const struct nvme_cq *cq)
{
	handover_put_u64(handover, cq->exists);
	if (!cq->exists)
		return;
	handover_put_u64(handover, cq->interrupts);
	handover_put_u64(handover, cq->phase);
	handover_put_u64(handover, cq->vector);
	handover_put_u64(handover, cq->entries);
	handover_put_u64(handover, cq->head);
	handover_put_u64(handover, cq->tail);
	handover_put_u64(handover, cq->posted);
	handover_put_u64(handover, cq->address);
}

/* Which lane has kept it says nothing: the successor's lanes are others. */
static void save_kept(struct handover *handover, const struct nvme_function *function)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < REGISTER_LANES_MAX; i++)
		count += function->lane[i] ? function->lane[i]->kept_count : 0;
	handover_put_u64(handover, count);
	for (unsigned i = 0; i < REGISTER_LANES_MAX; i++) {
		const struct nvme_lane *lane = function->lane[i];

		for (unsigned k = 0; lane && k < lane->kept_count; k++) {
			handover_put_u64(handover, lane->kept[k].sq);
			handover_put_u64(handover, lane->kept[k].command);
			handover_put_u64(handover, lane->kept[k].status);
		}
	}
}

void nvme_save(const void *opaque, struct handover *handover)
{
	const struct nvme_function *function = opaque;

	assert(function->quiescing && function->home.under_way == 0 && nvme_lanes_asleep(function));
	handover_put_u64(handover, FORMAT_VERSION);
	handover_put_u64(handover, function->block_shift);
	handover_put_u64(handover, function->cc);
	handover_put_u64(handover, function->csts);
	handover_put_u64(handover, function->aqa);
	handover_put_u64(handover, function->masked);
	handover_put_u64(handover, function->asq);
	handover_put_u64(handover, function->acq);
	for (unsigned i = 0; i < NVME_QUEUES_MAX; i++) {
		save_cq(handover, &function->cq[i]);
		save_sq(handover, &function->sq[i]);
	}
	handover_put_u64(handover, function->has_shadows);
	handover_put_u64(handover, function->shadow_address);
	handover_put_u64(handover, function->events_address);
	handover_put_bytes(handover, &function->features, sizeof(function->features));
	handover_put_u64(handover, function->async_count);
	for (unsigned i = 0; i < function->async_count; i++)
		handover_put_u64(handover, function->async[i]);
	handover_put_u64(handover, function->event_count);
	for (unsigned i = 0; i < function->event_count; i++)
		handover_put_u64(handover, function->events[i]);
	handover_put_u64(handover, function->events_told);
	handover_put_u64(handover, function->namespace_changed);
	save_kept(handover, function);
	handover_put_u64(handover, SUM(function, reads));
	handover_put_u64(handover, SUM(function, writes));
	handover_put_u64(handover, SUM(function, blocks_read));
	handover_put_u64(handover, SUM(function, blocks_written));
}

/* ---- restore ---- */

static void restore_cq(struct handover *handover, struct nvme_cq *cq)
{
	cq->exists = handover_get_flag(handover);
	if (!cq->exists)
		return;
	cq->interrupts = handover_get_flag(handover);
	cq->phase = handover_get_flag(handover);
	cq->vector = (uint16_t)handover_get_at_most(handover, NVME_QUEUES_MAX - 1);
	cq->entries = (uint32_t)handover_get_at_most(handover, 4096);
	cq->head = (uint32_t)handover_get_at_most(handover, 4095);
	cq->tail = (uint32_t)handover_get_at_most(handover, 4095);
	cq->posted = (uint32_t)handover_get_at_most(handover, 4095);
	cq->address = handover_get_u64(handover);
	handover_fail_if(handover, cq->entries < 2 || cq->head >= cq->entries || cq->tail >= cq->entries ||
					   cq->posted >= cq->entries ||
					   (cq->head + cq->posted) % cq->entries != cq->tail);
}

static void restore_sq(struct handover *handover, struct nvme_function *function, struct nvme_sq *sq)
{
	struct nvme_cq *cq;

	sq->exists = handover_get_flag(handover);
	if (!sq->exists)
		return;
	sq->cq = (uint16_t)handover_get_at_most(handover, NVME_QUEUES_MAX - 1);
	sq->entries = (uint32_t)handover_get_at_most(handover, 4096);
	sq->head = (uint32_t)handover_get_at_most(handover, 4095);
	sq->tail = (uint32_t)handover_get_at_most(handover, 4095);
	sq->address = handover_get_u64(handover);
	sq->deleting = handover_get_flag(handover);
	sq->delete_command = (uint16_t)handover_get_at_most(handover, UINT16_MAX);
	cq = &function->cq[sq->cq];
	cq->sq_count++;
	handover_fail_if(handover, sq->entries < 2 || sq->head >= sq->entries || sq->tail >= sq->entries);
}

static void restore_events(struct handover *handover, struct nvme_function *function)
{
	function->async_count = (unsigned)handover_get_at_most(handover, NVME_ASYNC_MAX);
	for (unsigned i = 0; i < function->async_count; i++)
		function->async[i] = (uint16_t)handover_get_at_most(handover, UINT16_MAX);
	/* They are commands of the admin queue that are not answered. */
	function->sq[NVME_ADMIN_QUEUE].under_way = function->async_count;
	function->event_count = (unsigned)handover_get_at_most(handover, NVME_ASYNC_MAX);
	for (unsigned i = 0; i < function->event_count; i++)
		function->events[i] = (uint32_t)handover_get_at_most(handover, UINT32_MAX);
	function->events_told = (uint32_t)handover_get_at_most(handover, UINT32_MAX);
	function->namespace_changed = handover_get_flag(handover);
}

/* A predecessor's lanes may have kept more, all together, than one keeps. */
static int make_room(struct nvme_lane *home, uint64_t count)
{
	struct nvme_kept *kept;

	if (count <= NVME_REQUESTS)
		return 0;
	kept = calloc(count + NVME_KEPT_MAX, sizeof(*kept));
	if (!kept)
		return -ENOMEM;
	free(home->kept);
	home->kept = kept;
	home->kept_room = (unsigned)count + NVME_KEPT_MAX;
	return 0;
}

/* Commands that are done and not answered: they are again, and their queues know of them. */
static void restore_kept(struct handover *handover, struct nvme_function *function)
{
	uint64_t count = handover_get_at_most(handover, KEPT_ALL_MAX);
	struct nvme_lane *home = &function->home;

	if (make_room(home, count)) {
		handover->error = handover->error ? handover->error : -ENOMEM;
		return;
	}
	for (uint64_t i = 0; i < count && !handover->error; i++) {
		struct nvme_kept *kept = &home->kept[home->kept_count];
		struct nvme_sq *sq;

		kept->sq = (uint16_t)handover_get_at_most(handover, NVME_QUEUES_MAX - 1);
		kept->command = (uint16_t)handover_get_at_most(handover, UINT16_MAX);
		kept->status = (uint16_t)handover_get_at_most(handover, UINT16_MAX);
		sq = &function->sq[kept->sq];
		handover_fail_if(handover, !sq->exists);
		home->kept_count++;
		sq->under_way++;
		function->cq[sq->cq].promised++;
	}
}

/* The deletion of a queue that waits for such answers is an admin command that is not answered, either. */
static void restore_deletions(struct nvme_function *function)
{
	for (unsigned i = 0; i < NVME_QUEUES_MAX; i++) {
		if (!function->sq[i].deleting)
			continue;
		function->sq[NVME_ADMIN_QUEUE].under_way++;
		function->cq[NVME_ADMIN_QUEUE].promised++;
	}
}

/* Are there queues if and only if it is on, and each submission queue with its completion queue? */
static bool is_sound(const struct nvme_function *function)
{
	bool is_on = function->csts & NVME_CSTS_READY;

	if (is_on && !(function->cc & NVME_CC_ENABLE))
		return false;
	if (function->has_shadows &&
	    (!is_on || (function->shadow_address | function->events_address) % NVME_PAGE_BYTES != 0))
		return false;
	for (unsigned i = 0; i < NVME_QUEUES_MAX; i++) {
		const struct nvme_sq *sq = &function->sq[i];
		const struct nvme_cq *cq = &function->cq[i];

		if (!is_on && (sq->exists || cq->exists))
			return false;
		if (is_on && i == NVME_ADMIN_QUEUE && (!sq->exists || !cq->exists))
			return false;
		if (cq->exists && cq->posted + cq->promised >= cq->entries)
			return false;
		/* A queue is deleted when its commands are answered: without any it would stay. */
		if (sq->deleting && (i == NVME_ADMIN_QUEUE || sq->under_way == 0))
			return false;
		/* The admin queue has one of its own, which is no other's. */
		if (sq->exists &&
		    (!function->cq[sq->cq].exists || (i == NVME_ADMIN_QUEUE) != (sq->cq == NVME_ADMIN_QUEUE)))
			return false;
	}
	return is_on || function->async_count == 0;
}

void nvme_restore(void *opaque, struct handover *handover)
{
	struct nvme_function *function = opaque;

	handover_fail_if(handover, handover_get_u64(handover) != FORMAT_VERSION);
	/* The namespace's blocks are what its driver has counted with. */
	handover_fail_if(handover, handover_get_u64(handover) != function->block_shift);
	function->cc = (uint32_t)handover_get_at_most(handover, UINT32_MAX);
	function->csts = (uint32_t)handover_get_at_most(handover, UINT32_MAX);
	function->aqa = (uint32_t)handover_get_at_most(handover, UINT32_MAX);
	function->masked = (uint32_t)handover_get_at_most(handover, UINT32_MAX);
	function->asq = handover_get_u64(handover);
	function->acq = handover_get_u64(handover);
	for (unsigned i = 0; i < NVME_QUEUES_MAX && !handover->error; i++) {
		restore_cq(handover, &function->cq[i]);
		restore_sq(handover, function, &function->sq[i]);
	}
	function->has_shadows = handover_get_flag(handover);
	function->shadow_address = handover_get_u64(handover);
	function->events_address = handover_get_u64(handover);
	handover_get_exactly(handover, &function->features, sizeof(function->features));
	restore_events(handover, function);
	restore_kept(handover, function);
	restore_deletions(function);
	handover_fail_if(handover, !is_sound(function));
	function->home.reads.value = handover_get_u64(handover);
	function->home.writes.value = handover_get_u64(handover);
	function->home.blocks_read.value = handover_get_u64(handover);
	function->home.blocks_written.value = handover_get_u64(handover);
	/* Of one that was frozen in it. */
	function->shutting_down = (function->csts & NVME_CSTS_SHUTDOWN_MASK) == NVME_CSTS_SHUTTING_DOWN;
}
