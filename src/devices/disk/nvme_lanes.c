/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lanes, as home sees them. I/O queues belong to the lanes that the bus names, with their interrupts, and the
 * admin queue to home. With the pin, which is one for all queues, all of them are home's; and so they are
 * where the VMM keeps its memory to itself, because messages to it are sent from home.
 *
 * What home changes of queues and memory it changes while no other lane looks: all are held then, which takes
 * a message each way and waits for no disk, or asleep. A controller that ends, stands still or moves waits
 * until all are asleep. steer() is the one place where that is brought about and waited for.
 */
#include <errno.h>
#include <stdlib.h>

#include "devices/disk/nvme_private.h"

/* ---- which queues ---- */

uint8_t nvme_lane_for(const struct nvme_function *function, unsigned cq)
{
	const struct register_bus *bus = function->bus;

	if (cq == NVME_ADMIN_QUEUE || function->lane_count == 1 || !bus->ops->has_vectors(bus) ||
	    function->sq[NVME_ADMIN_QUEUE].is_remote)
		return 0;
	return bus->queue_lane[(cq - 1) % REGISTER_QUEUES_MAX];
}

void nvme_lanes_count(struct nvme_function *function)
{
	for (unsigned i = 0; i < REGISTER_LANES_MAX; i++)
		if (function->lane[i])
			function->lane[i]->sqs = function->lane[i]->cqs = 0;
	for (unsigned i = 0; i < NVME_QUEUES_MAX; i++) {
		if (function->cq[i].exists)
			function->lane[function->cq[i].lane]->cqs |= 1ull << i;
		if (function->sq[i].exists)
			nvme_lane_of_sq(function, i)->sqs |= 1ull << i;
	}
}

void nvme_lanes_deal(struct nvme_function *function)
{
	assert(nvme_lanes_asleep(function));
	for (unsigned i = 0; i < NVME_QUEUES_MAX; i++)
		function->cq[i].lane = nvme_lane_for(function, i);
	nvme_lanes_count(function);
}

static void look_for_strays(struct nvme_function *function)
{
	for (unsigned i = 0; i < NVME_QUEUES_MAX; i++)
		if (function->cq[i].exists && function->cq[i].lane != nvme_lane_for(function, i))
			function->dealing = true;
}

void nvme_lanes_deal_again(struct nvme_function *function)
{
	look_for_strays(function);
	nvme_lanes_steer(function);
}

/* ---- what they are to do ---- */

static bool is_down(const struct nvme_lane *lane)
{
	return !lane->awake && !lane->ordering;
}

bool nvme_lanes_asleep(const struct nvme_function *function)
{
	for (unsigned i = 1; i < function->lane_count; i++)
		if (!is_down(function->lane[i]))
			return false;
	return true;
}

static bool are_held(const struct nvme_function *function)
{
	for (unsigned i = 1; i < function->lane_count; i++) {
		const struct nvme_lane *lane = function->lane[i];

		if (!is_down(lane) && (lane->ordering || !(lane->ordered & NVME_ORDER_HOLD)))
			return false;
	}
	return true;
}

bool nvme_lanes_own(const struct nvme_function *function, const struct nvme_cq *cq)
{
	const struct nvme_lane *lane = function->lane[cq->lane];

	return nvme_lane_is_home(lane) || is_down(lane);
}

/* What is answered then is kept while the function is frozen. */
static bool needs_hold(const struct nvme_function *function)
{
	return function->memory_stale || function->admin_waits || function->deletions;
}

static unsigned order_for(const struct nvme_function *function, const struct nvme_lane *lane)
{
	unsigned order = 0;

	if (!nvme_is_ready(function) || function->disabling || function->shutting_down ||
	    function->quiescing || function->dealing || !(lane->sqs | lane->cqs))
		order |= NVME_ORDER_SLEEP;
	if (function->frozen)
		order |= NVME_ORDER_FREEZE;
	if (needs_hold(function))
		order |= NVME_ORDER_HOLD;
	return order;
}

static void steer(struct nvme_lane *lane)
{
	struct nvme_function *function = lane->function;
	unsigned order = order_for(function, lane);

	if (lane->ordering)
		return;
	if (lane->awake) {
		/* It is not woken before it sleeps. */
		order |= lane->ordered & NVME_ORDER_SLEEP;
		if (order == lane->ordered)
			return;
	} else if (order != 0) {
		return;
	} else if (nvme_lane_equip(lane)) {
		function->csts |= NVME_CSTS_FATAL;
		return;
	}
	lane->awake = true;
	nvme_lane_order(lane, order);
}

static void steer_all(struct nvme_function *function)
{
	uint32_t csts;

	do {
		csts = function->csts;
		for (unsigned i = 1; i < function->lane_count; i++)
			steer(function->lane[i]);
	} while (function->csts != csts);
}

/* ---- what waits for them ---- */

static void take_memory(struct nvme_function *function)
{
	function->memory_stale = false;
	nvme_queues_map(function);
	look_for_strays(function);
	if (!function->quiescing && !function->frozen)
		nvme_io_answer_kept(&function->home, &function->home);
	/* Copies that were out of reach may be at hand again. */
	nvme_remote_rest(function, false);
	for (; function->answers_later > 0; function->answers_later--)
		function->bus->ops->answer(function->bus);
}

static void end_deletions(struct nvme_function *function)
{
	function->deletions = false;
	for (unsigned i = 1; i < NVME_QUEUES_MAX; i++)
		if (function->sq[i].deleting)
			nvme_sq_check_deleted(function, i);
}

/* False: there is nothing, or it has to wait. */
static bool go_on(struct nvme_function *function)
{
	if (function->dealing && nvme_lanes_asleep(function)) {
		function->dealing = false;
		nvme_lanes_deal(function);
		nvme_queues_map(function);
		nvme_interrupts_again(function);
		nvme_queues_wake(function);
		return true;
	}
	if (!needs_hold(function) || !are_held(function))
		return false;
	if (function->memory_stale)
		take_memory(function);
	if (function->deletions)
		end_deletions(function);
	if (function->admin_waits)
		nvme_admin_go_on(function);
	return true;
}

void nvme_lanes_steer(struct nvme_function *function)
{
	/* What is done here may change what is wanted: the outermost call goes on until nothing does. */
	if (function->steering)
		return;
	function->steering = true;
	do
		steer_all(function);
	while (go_on(function));
	function->steering = false;
}

/* ---- all queues ---- */

void nvme_queues_map(struct nvme_function *function)
{
	struct guest_memory *before = function->memory;

	function->memory = guest_memory_get(function->bus->memory);
	nvme_rings_map(function);
	/* What was in its copies has moved. */
	guest_memory_put(before);
	nvme_shadow_map(function);
	nvme_shadow_arm(&function->home);
	nvme_queues_wake(function);
}

/* All lanes are asleep. */
void nvme_queues_forget(struct nvme_function *function)
{
	for (unsigned i = 0; i < NVME_QUEUES_MAX; i++) {
		function->sq[i] = (struct nvme_sq){ .exists = false };
		function->cq[i] = (struct nvme_cq){ .exists = false };
		nvme_remote_forget_queue(function, i);
	}
	nvme_shadow_forget(function);
	nvme_lanes_forget(function);
	for (unsigned i = 0; i < NVME_QUEUES_MAX; i++)
		function->bus->ops->lower(function->bus, i);
	loop_poller_remove(function->bus->loop, &function->home.poller);
	loop_defer_cancel(function->bus->loop, &function->home.interrupt_task);
}

/* ---- all of them ---- */

void nvme_lanes_answer_kept(struct nvme_function *function)
{
	for (unsigned i = 0; i < REGISTER_LANES_MAX; i++)
		if (function->lane[i])
			nvme_io_answer_kept(function->lane[i], &function->home);
}

void nvme_lanes_drop_kept(struct nvme_function *function)
{
	for (unsigned i = 0; i < REGISTER_LANES_MAX; i++)
		if (function->lane[i])
			function->lane[i]->kept_count = 0;
}

void nvme_lanes_forget(struct nvme_function *function)
{
	assert(nvme_lanes_asleep(function));
	for (unsigned i = 0; i < REGISTER_LANES_MAX; i++) {
		struct nvme_lane *lane = function->lane[i];

		if (!lane)
			continue;
		lane->sqs = lane->cqs = 0;
		lane->next_sq = 0;
		lane->fetched = false;
		lane->waiting_since_ns = 0;
		nvme_lane_forget_doorbells(lane, ~0ull, ~0ull);
	}
	function->dealing = function->deletions = false;
}

uint64_t nvme_lanes_sum(const struct nvme_function *function, size_t counter_offset)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < REGISTER_LANES_MAX; i++)
		if (function->lane[i])
			sum += counter_read(
				(const struct counter *)(const void *)((const uint8_t *)function->lane[i] +
								       counter_offset));
	return sum;
}

/* ---- life ---- */

int nvme_lanes_init(struct nvme_function *function)
{
	nvme_lane_init(&function->home, function, 0);
	function->lane[0] = &function->home;
	function->lane_count = 1;
	return nvme_lane_equip(&function->home);
}

void nvme_lanes_finish(struct nvme_function *function)
{
	for (unsigned i = 0; i < REGISTER_LANES_MAX; i++) {
		if (!function->lane[i])
			continue;
		nvme_lane_finish(function->lane[i]);
		if (i > 0)
			free(function->lane[i]);
	}
}

static int make(struct nvme_function *function, unsigned index)
{
	if (function->lane[index])
		return 0;
	function->lane[index] = calloc(1, sizeof(*function->lane[index]));
	if (!function->lane[index])
		return -ENOMEM;
	nvme_lane_init(function->lane[index], function, index);
	return 0;
}

int nvme_lanes_arrive(struct nvme_function *function)
{
	const struct register_bus *bus = function->bus;

	assert(nvme_lanes_asleep(function) && bus->lane_count <= REGISTER_LANES_MAX);
	function->home.loop = bus->loop;
	function->home.account = bus->account;
	for (unsigned i = 1; i < bus->lane_count; i++) {
		if (make(function, i))
			return -ENOMEM;
		function->lane[i]->loop = bus->lane[i].loop;
		function->lane[i]->account = bus->lane[i].account;
	}
	function->lane_count = bus->lane_count > 1 ? bus->lane_count : 1;
	nvme_lanes_deal(function);
	return 0;
}
