/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shadow doorbells (5.7 and annex B.5): the driver of an I/O queue writes its doorbell into memory, where the
 * poller looks, and rings the doorbell itself only when it passes the value that stands beside it in the page
 * of events. While the poller looks, that value is one that was passed already; before it goes to sleep, it
 * is the newest, and the poller looks once more. Each lane looks for its own queues. Drivers ring the admin
 * queue's doorbells as ever.
 */
#include "core/shared.h"
#include "devices/disk/nvme_private.h"

#define SQ_TAIL(index) ((size_t)2 * (index))
#define CQ_HEAD(index) (SQ_TAIL(index) + 1)
/* No doorbell has this value: what stands there is news. */
#define NEVER_SEEN UINT32_MAX
#define IO_QUEUES  (~(1ull << NVME_ADMIN_QUEUE))

static_assert(sizeof(uint32_t[2 * NVME_QUEUES_MAX]) <= NVME_PAGE_BYTES, "5.7: a page has all doorbells");

void nvme_shadow_forget(struct nvme_function *function)
{
	function->has_shadows = false;
	function->shadow_address = function->events_address = 0;
	function->shadow = function->shadow_events = NULL;
}

/* NULL: there is no page, or none that the driver writes to where we look. */
static void *page_at(const struct guest_memory *memory, uint64_t address)
{
	const struct iovec page = { guest_memory_at(memory, address, NVME_PAGE_BYTES), NVME_PAGE_BYTES };

	return page.iov_base && !guest_memory_is_remote(memory, &page, 1) ? page.iov_base : NULL;
}

void nvme_shadow_map(struct nvme_function *function)
{
	const struct guest_memory *memory = function->bus->memory;

	function->shadow = function->shadow_events = NULL;
	if (!function->has_shadows)
		return;
	function->shadow = page_at(memory, function->shadow_address);
	function->shadow_events = page_at(memory, function->events_address);
	if (!function->shadow_events)
		function->shadow = NULL;
	for (unsigned i = 0; i < NVME_QUEUES_MAX; i++)
		function->sq[i].seen = function->cq[i].seen = NEVER_SEEN;
}

uint16_t nvme_shadow_configure(struct nvme_function *function, const struct nvme_command *command)
{
	const struct guest_memory *memory = function->bus->memory;

	if (command->prp1 % NVME_PAGE_BYTES != 0 || command->prp2 % NVME_PAGE_BYTES != 0)
		return NVME_PRP_OFFSET_INVALID;
	if (!page_at(memory, command->prp1) || !page_at(memory, command->prp2))
		return NVME_INVALID_FIELD;
	function->has_shadows = true;
	function->shadow_address = command->prp1;
	function->events_address = command->prp2;
	nvme_queues_map(function);
	return NVME_SUCCESS;
}

/* A value is looked at once, whether or not it is one that the queue can have. */
static bool is_news(const uint32_t *shadow, uint32_t *seen)
{
	/* Pairs with the driver's store behind its entry. */
	uint32_t value = shared_read_acquire(shadow);
	bool news = value != *seen;

	*seen = value;
	return news;
}

void nvme_shadow_look(struct nvme_lane *lane)
{
	struct nvme_function *function = lane->function;

	if (!function->shadow)
		return;
	for (uint64_t left = lane->sqs & IO_QUEUES; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);
		struct nvme_sq *sq = &function->sq[i];

		if (sq->exists && is_news(&function->shadow[SQ_TAIL(i)], &sq->seen))
			nvme_queue_set_tail(lane, i, sq->seen);
	}
	for (uint64_t left = lane->cqs & IO_QUEUES; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);
		struct nvme_cq *cq = &function->cq[i];

		if (cq->exists && is_news(&function->shadow[CQ_HEAD(i)], &cq->seen))
			nvme_queue_set_head(lane, i, cq->seen);
	}
}

/* Of answers that were read, the model needs to hear when it waits for room, or to let go of the pin. */
static bool needs_head(const struct nvme_lane *lane, const struct nvme_cq *cq)
{
	const struct register_bus *bus = lane->function->bus;

	return cq->exists &&
	       (!nvme_cq_has_room(cq) || (nvme_lane_is_home(lane) && !bus->ops->has_vectors(bus)));
}

void nvme_shadow_arm(struct nvme_lane *lane)
{
	struct nvme_function *function = lane->function;

	if (!function->shadow || nvme_lane_keeps(lane))
		return;
	for (uint64_t left = lane->sqs & IO_QUEUES; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);

		if (function->sq[i].exists)
			shared_write(&function->shadow_events[SQ_TAIL(i)], function->sq[i].tail);
	}
	for (uint64_t left = lane->cqs & IO_QUEUES; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);

		if (needs_head(lane, &function->cq[i]))
			shared_write(&function->shadow_events[CQ_HEAD(i)], function->cq[i].head);
	}
	/* Either the driver sees this and rings, or the next look sees what it wrote. */
	shared_fence();
}
