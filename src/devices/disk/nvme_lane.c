/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lane that is not home: a worker that serves some of the function's queues by itself, from the doorbell in
 * memory to the interrupt. Home sends it orders, one at a time, of which it says that it obeys them; it comes
 * to rest by itself when it is to sleep, and says so last of all. Messages arrive in the order in which they
 * were posted, so that nothing is on its way to a lane that is asleep, nor from it.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/container.h"
#include "devices/disk/nvme_private.h"

#define LANE_OF(pointer, member) container_of(pointer, struct nvme_lane, member)

/* ---- what it does now ---- */

bool nvme_lane_keeps(const struct nvme_lane *lane)
{
	if (nvme_lane_is_home(lane))
		return lane->function->frozen;
	return lane->frozen || lane->still & (NVME_ORDER_HOLD | NVME_ORDER_FREEZE);
}

bool nvme_lane_hurries(const struct nvme_lane *lane)
{
	const struct nvme_function *function = lane->function;

	if (nvme_lane_is_home(lane))
		return function->quiescing || function->disabling || function->shutting_down ||
		       function->frozen;
	return lane->frozen || lane->still & (NVME_ORDER_SLEEP | NVME_ORDER_FREEZE);
}

/* What the disk has not begun would touch the guest's memory: it ends, and the driver tries it again. */
static void freeze(struct nvme_lane *lane)
{
	if (lane->frozen)
		return;
	lane->frozen = true;
	lane->abandoned = true;
	if (lane->channel)
		disk_channel_abandon(lane->channel);
}

void nvme_lane_freeze(void *opaque, unsigned index)
{
	struct nvme_function *function = opaque;

	if (!function->lane[index]->sleeps)
		freeze(function->lane[index]);
}

/* ---- sleep ---- */

static void wake_up(struct nvme_lane *lane)
{
	lane->sleeps = lane->frozen = lane->abandoned = false;
	__atomic_store_n(&lane->needs_heads, false, __ATOMIC_RELAXED);
	lane->failed = disk_channel_open(lane->function->device->disk, lane->loop, &lane->channel) != 0;
	lane->poller = (struct loop_poller){ .poll = nvme_poll, .park = nvme_park, .account = lane->account };
}

static void go_to_sleep(struct nvme_lane *lane)
{
	loop_poller_remove(lane->loop, &lane->poller);
	if (lane->channel)
		disk_channel_close(lane->channel);
	lane->channel = NULL;
	lane->sleeps = true;
	loop_post(lane->function->bus->loop, &lane->slept);
}

void nvme_lane_check_rest(struct nvme_lane *lane)
{
	if (nvme_lane_is_home(lane))
		nvme_check_quiet(lane->function);
	else if (lane->still & NVME_ORDER_SLEEP)
		loop_defer_for(lane->loop, &lane->rest_task, lane->account);
}

/* Not inside of a completion, because the channel goes. */
static void on_rest(struct loop_task *task)
{
	struct nvme_lane *lane = LANE_OF(task, rest_task);

	if (!lane->sleeps && lane->still & NVME_ORDER_SLEEP && lane->under_way == 0 &&
	    !lane->interrupt_task.queued)
		go_to_sleep(lane);
}

/* ---- orders ---- */

static void obey(struct nvme_lane *lane, unsigned order)
{
	/* One that it slept before it heard of asks for nothing more. */
	if (lane->sleeps && order & NVME_ORDER_SLEEP)
		return;
	if (lane->sleeps)
		wake_up(lane);
	lane->still = order;
	if (order & NVME_ORDER_FREEZE)
		freeze(lane);
	if (lane->channel)
		disk_channel_drain(lane->channel, order & NVME_ORDER_SLEEP);
	if (nvme_lane_keeps(lane)) {
		loop_poller_remove(lane->loop, &lane->poller);
		loop_defer_cancel(lane->loop, &lane->interrupt_task);
	} else {
		nvme_io_answer_kept(lane, lane);
		nvme_interrupts_go_on(lane);
		nvme_lane_looks(lane);
	}
	nvme_lane_check_rest(lane);
}

static void on_order(struct loop_message *message)
{
	struct nvme_lane *lane = LANE_OF(message, order);

	loop_pay(lane->loop, lane->account);
	obey(lane, lane->ordered);
	loop_pay(lane->loop, NULL);
	loop_post(lane->function->bus->loop, &lane->obeyed);
}

void nvme_lane_order(struct nvme_lane *lane, unsigned order)
{
	assert(!lane->ordering);
	lane->ordering = true;
	lane->ordered = order;
	loop_post(lane->loop, &lane->order);
}

/* At home: both have been heard, and the lane's queues, doorbells and answers are home's. */
static void has_come_to_rest(struct nvme_lane *lane)
{
	struct nvme_function *function = lane->function;

	nvme_lane_take_doorbells(lane, &function->home);
	for (uint64_t left = lane->cqs; left; left &= left - 1) {
		struct nvme_cq *cq = &function->cq[__builtin_ctzll(left)];

		if (cq->news && !function->frozen)
			nvme_interrupt_later(&function->home, cq);
	}
	if (!function->frozen)
		nvme_io_answer_kept(lane, &function->home);
}

static void heard(struct nvme_lane *lane)
{
	struct nvme_function *function = lane->function;

	if (!lane->awake && !lane->ordering)
		has_come_to_rest(lane);
	/* Written only then: a lane that works may read what lies beside it in one load. */
	if (lane->failed) {
		function->csts |= NVME_CSTS_FATAL;
		lane->failed = false;
	}
	nvme_lanes_steer(function);
	nvme_check_quiet(function);
}

static void on_obeyed(struct loop_message *message)
{
	struct nvme_lane *lane = LANE_OF(message, obeyed);
	struct register_bus *bus = lane->function->bus;

	loop_pay(bus->loop, bus->account);
	lane->ordering = false;
	heard(lane);
	loop_pay(bus->loop, NULL);
}

static void on_slept(struct loop_message *message)
{
	struct nvme_lane *lane = LANE_OF(message, slept);
	struct register_bus *bus = lane->function->bus;

	loop_pay(bus->loop, bus->account);
	lane->awake = false;
	heard(lane);
	loop_pay(bus->loop, NULL);
}

/* ---- doorbells ---- */

/* Its poller takes them, in the guest's turn. */
static void on_rung(struct loop_message *message)
{
	struct nvme_lane *lane = LANE_OF(message, rung);

	__atomic_store_n(&lane->rung_posted, false, __ATOMIC_RELEASE);
	if (!lane->still && !lane->sleeps)
		nvme_lane_looks(lane);
}

void nvme_lane_looks(struct nvme_lane *lane)
{
	__atomic_store_n(&lane->looks, true, __ATOMIC_RELAXED);
	loop_poller_wake(lane->loop, &lane->poller);
}

/* Either home sees this and posts a message, or the last look finds what home has left. */
void nvme_lane_arm(struct nvme_lane *lane)
{
	bool needs_heads = false;

	for (uint64_t left = lane->cqs; left; left &= left - 1)
		needs_heads |= !nvme_cq_has_room(&lane->function->cq[__builtin_ctzll(left)]);
	__atomic_store_n(&lane->needs_heads, needs_heads, __ATOMIC_SEQ_CST);
	__atomic_store_n(&lane->looks, false, __ATOMIC_SEQ_CST);
}

/* Nothing is sent behind the order to sleep. */
void nvme_lane_wake(struct nvme_lane *lane)
{
	if (lane->awake && !(lane->ordered & NVME_ORDER_SLEEP) &&
	    !__atomic_load_n(&lane->looks, __ATOMIC_SEQ_CST) &&
	    !__atomic_exchange_n(&lane->rung_posted, true, __ATOMIC_ACQ_REL))
		loop_post(lane->loop, &lane->rung);
}

void nvme_lane_ring(struct nvme_lane *lane, bool is_cq, unsigned queue, uint32_t value)
{
	struct nvme_function *function = lane->function;

	__atomic_store_n(is_cq ? &function->rung_head[queue] : &function->rung_tail[queue], value,
			 __ATOMIC_RELAXED);
	/* Pairs with the lane's exchange, and stands before what nvme_lane_arm() has set. */
	__atomic_fetch_or(is_cq ? &lane->rung_cqs : &lane->rung_sqs, 1ull << queue, __ATOMIC_SEQ_CST);
	/* Of answers that were read, a lane needs to hear when it waits for room. */
	if (!is_cq || __atomic_load_n(&lane->needs_heads, __ATOMIC_SEQ_CST))
		nvme_lane_wake(lane);
}

void nvme_lane_forget_doorbells(struct nvme_lane *lane, uint64_t sqs, uint64_t cqs)
{
	__atomic_fetch_and(&lane->rung_sqs, ~sqs, __ATOMIC_RELAXED);
	__atomic_fetch_and(&lane->rung_cqs, ~cqs, __ATOMIC_RELAXED);
}

static uint64_t take(uint64_t *bits)
{
	return __atomic_load_n(bits, __ATOMIC_SEQ_CST) ? __atomic_exchange_n(bits, 0, __ATOMIC_ACQUIRE) : 0;
}

void nvme_lane_take_doorbells(struct nvme_lane *lane, struct nvme_lane *here)
{
	struct nvme_function *function = lane->function;

	for (uint64_t left = take(&lane->rung_sqs); left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);

		nvme_queue_set_tail(here, i, __atomic_load_n(&function->rung_tail[i], __ATOMIC_RELAXED));
	}
	for (uint64_t left = take(&lane->rung_cqs); left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);

		nvme_queue_set_head(here, i, __atomic_load_n(&function->rung_head[i], __ATOMIC_RELAXED));
	}
}

/* ---- news ---- */

void nvme_lane_tell(struct nvme_lane *lane, enum nvme_news news)
{
	__atomic_fetch_or(&lane->news, news, __ATOMIC_RELEASE);
	if (!__atomic_exchange_n(&lane->news_posted, true, __ATOMIC_ACQ_REL))
		loop_post(lane->function->bus->loop, &lane->news_message);
}

static void hear(struct nvme_lane *lane, uint32_t news)
{
	struct nvme_function *function = lane->function;

	if (news & NVME_NEWS_DOORBELL) {
		uint32_t value = __atomic_load_n(&lane->refused_value, __ATOMIC_RELAXED);
		uint32_t count = __atomic_exchange_n(&lane->doorbells_refused, 0, __ATOMIC_RELAXED);

		while (count-- > 0)
			nvme_violate(function, NVME_VIOLATION_DOORBELL_VALUE, value);
		nvme_event(function, NVME_EVENT_DOORBELL_VALUE);
	}
	if (news & NVME_NEWS_MEMORY && nvme_is_ready(function))
		nvme_fail(function, NVME_VIOLATION_QUEUE_MEMORY,
			  __atomic_load_n(&lane->failed_address, __ATOMIC_RELAXED));
	if (news & NVME_NEWS_DELETED)
		function->deletions = true;
	nvme_lanes_steer(function);
	nvme_check_quiet(function);
}

static void on_news(struct loop_message *message)
{
	struct nvme_lane *lane = LANE_OF(message, news_message);
	struct register_bus *bus = lane->function->bus;

	loop_pay(bus->loop, bus->account);
	__atomic_store_n(&lane->news_posted, false, __ATOMIC_RELEASE);
	hear(lane, __atomic_exchange_n(&lane->news, 0, __ATOMIC_ACQ_REL));
	loop_pay(bus->loop, NULL);
}

/* ---- life ---- */

void nvme_lane_init(struct nvme_lane *lane, struct nvme_function *function, unsigned index)
{
	*lane = (struct nvme_lane){
		.function = function,
		.index = index,
		.sleeps = true,
		.interrupt_task.run = nvme_interrupt,
		.rest_task.run = on_rest,
		.order.run = on_order,
		.obeyed.run = on_obeyed,
		.slept.run = on_slept,
		.rung.run = on_rung,
		.news_message.run = on_news,
	};
}

int nvme_lane_equip(struct nvme_lane *lane)
{
	if (lane->requests)
		return 0;
	/* Zeroes until they are used. */
	lane->requests = calloc(NVME_REQUESTS, sizeof(*lane->requests));
	lane->kept = calloc(NVME_KEPT_MAX, sizeof(*lane->kept));
	if (!lane->requests || !lane->kept) {
		nvme_lane_finish(lane);
		return -ENOMEM;
	}
	lane->kept_room = NVME_KEPT_MAX;
	for (unsigned i = NVME_REQUESTS; i-- > 0;) {
		lane->requests[i].lane = lane;
		lane->requests[i].next = lane->free;
		lane->free = &lane->requests[i];
	}
	return 0;
}

void nvme_lane_finish(struct nvme_lane *lane)
{
	free(lane->requests);
	free(lane->kept);
	lane->requests = lane->free = NULL;
	lane->kept = NULL;
}
