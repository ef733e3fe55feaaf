/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way of a command: the driver writes it into a submission queue and rings the queue's doorbell; the
 * poller of the queue's lane fetches it, and it goes to the disk or is answered at once; the answer is
 * written into the completion queue, and one interrupt at the end of the turn tells of all answers of that
 * queue. While a burst is still being fetched, that interrupt waits for its end, as far as ANSWERS_WAIT_NS:
 * an interrupt may cost a guest as much as the whole burst costs the worker.
 *
 * Doorbells are rung at home, which passes those of other lanes on. With messages, a lane tells of its queues
 * by itself; the pin is one interrupt for all queues, which are home's then.
 *
 * A command is fetched only when its completion queue has room for the answer. Queues have their turns one
 * after the other, a command at a time (4.13: round robin).
 */
#include <assert.h>

#include "core/container.h"
#include "core/loop_blame.h"
#include "core/trace.h"
#include "devices/disk/nvme_private.h"

/* Commands fetched in a turn at most, and after how many the time is asked. */
#define TURN_COMMANDS  64u
#define TIMED_COMMANDS 8u
/* So long answers wait to be told of with those of what was fetched since: some turns of a worker. */
#define ANSWERS_WAIT_NS 100000u
#define PIN_VECTOR	0u

/* ---- doorbells (3.1.24, 3.1.25) ---- */

static bool refuse(struct nvme_lane *here, uint32_t value)
{
	if (nvme_lane_is_home(here)) {
		nvme_violate(here->function, NVME_VIOLATION_DOORBELL_VALUE, value);
		nvme_event(here->function, NVME_EVENT_DOORBELL_VALUE);
		return false;
	}
	__atomic_store_n(&here->refused_value, value, __ATOMIC_RELAXED);
	__atomic_fetch_add(&here->doorbells_refused, 1, __ATOMIC_RELAXED);
	nvme_lane_tell(here, NVME_NEWS_DOORBELL);
	return false;
}

bool nvme_queue_set_tail(struct nvme_lane *here, unsigned index, uint32_t tail)
{
	struct nvme_sq *sq = &here->function->sq[index];

	if (tail >= sq->entries)
		return refuse(here, tail);
	sq->tail = tail;
	return true;
}

bool nvme_queue_set_head(struct nvme_lane *here, unsigned index, uint32_t head)
{
	struct nvme_cq *cq = &here->function->cq[index];
	uint32_t consumed = head >= cq->head ? head - cq->head : head + cq->entries - cq->head;

	if (head >= cq->entries || consumed > cq->posted)
		return refuse(here, head);
	cq->head = head;
	cq->posted -= consumed;
	if (cq->posted == 0 && nvme_lane_is_home(here))
		nvme_interrupts_refresh(here->function);
	return true;
}

static void ring_sq(struct nvme_function *function, unsigned index, uint32_t tail)
{
	const struct nvme_sq *sq = &function->sq[index];

	if (nvme_queue_set_tail(&function->home, index, tail) && sq->ring && sq->head != sq->tail)
		loop_poller_wake(function->bus->loop, &function->home.poller);
}

static void ring_cq(struct nvme_function *function, unsigned index, uint32_t head)
{
	if (!nvme_queue_set_head(&function->home, index, head))
		return;
	/* Commands may have waited for the room, and events. */
	if (index == NVME_ADMIN_QUEUE)
		nvme_events_tell(function);
	nvme_queues_wake(function);
}

/* What no queue of that size can have is refused here; the lane knows whether it fits where the queue is. */
static void pass_on(struct nvme_lane *lane, bool is_cq, unsigned index, uint32_t value)
{
	struct nvme_function *function = lane->function;

	if (value < (is_cq ? function->cq[index].entries : function->sq[index].entries))
		nvme_lane_ring(lane, is_cq, index, value);
	else
		refuse(&function->home, value);
}

static void wake(struct nvme_lane *lane)
{
	if (nvme_lane_is_home(lane))
		nvme_queues_wake_here(lane);
	else
		nvme_lane_wake(lane);
}

void nvme_doorbell(struct nvme_function *function, uint32_t offset, uint32_t value)
{
	unsigned index = (offset - NVME_DOORBELLS) / (2 * sizeof(uint32_t));
	bool is_cq = (offset - NVME_DOORBELLS) / sizeof(uint32_t) % 2;
	const struct nvme_cq *cq;

	if (!nvme_is_ready(function))
		return;
	if (index >= NVME_QUEUES_MAX || !(is_cq ? function->cq[index].exists : function->sq[index].exists)) {
		nvme_violate(function, NVME_VIOLATION_DOORBELL, offset);
		nvme_event(function, NVME_EVENT_DOORBELL_REGISTER);
		return;
	}
	cq = &function->cq[is_cq ? index : function->sq[index].cq];
	/* With doorbells in memory, what is written to it may be older than what stands there. */
	if (index != NVME_ADMIN_QUEUE && function->shadow)
		wake(function->lane[cq->lane]);
	else if (!nvme_lanes_own(function, cq))
		pass_on(function->lane[cq->lane], is_cq, index, value & 0xffff);
	else if (is_cq)
		ring_cq(function, index, value & 0xffff);
	else
		ring_sq(function, index, value & 0xffff);
}

/* ---- fetching ---- */

/* Admin commands are answered one after the other. */
static bool waits(const struct nvme_function *function, const struct nvme_sq *sq)
{
	return sq == &function->sq[NVME_ADMIN_QUEUE] &&
	       (function->admin.is_under_way || function->admin_waits);
}

/* May the queue's next command be fetched? */
static bool can_fetch(const struct nvme_function *function, const struct nvme_sq *sq)
{
	return sq->exists && !sq->deleting && sq->ring &&
	       sq->head != (sq->is_remote ? sq->fresh : sq->tail) &&
	       nvme_cq_has_room(&function->cq[sq->cq]) && !waits(function, sq);
}

static bool takes(const struct nvme_lane *lane)
{
	const struct nvme_function *function = lane->function;

	if (!lane->free || lane->kept_count > 0)
		return false;
	if (!nvme_lane_is_home(lane))
		return lane->channel && !lane->still && !lane->frozen;
	return nvme_is_ready(function) && !function->disabling && !function->shutting_down &&
	       !function->quiescing && !function->frozen && nvme_remote_has_room(function);
}

/* The first queue of these that has a command; NULL: none has. */
static struct nvme_sq *first_queue(struct nvme_function *function, uint64_t queues)
{
	for (; queues; queues &= queues - 1) {
		struct nvme_sq *sq = &function->sq[__builtin_ctzll(queues)];

		if (can_fetch(function, sq))
			return sq;
	}
	return NULL;
}

/* The queue whose turn it is, of those that have a command; NULL: none has. */
static struct nvme_sq *next_queue(struct nvme_lane *lane)
{
	uint64_t behind = lane->sqs & (~0ull << lane->next_sq);
	struct nvme_sq *sq = first_queue(lane->function, behind);

	if (!sq)
		sq = first_queue(lane->function, lane->sqs & ~behind);
	if (sq)
		lane->next_sq = (unsigned)(sq - lane->function->sq + 1) % NVME_QUEUES_MAX;
	return sq;
}

static void look(struct nvme_lane *lane)
{
	if (!nvme_lane_is_home(lane))
		nvme_lane_take_doorbells(lane, lane);
	else if (lane->function->sq[NVME_ADMIN_QUEUE].is_remote)
		nvme_remote_look(lane->function);
	nvme_shadow_look(lane);
}

static bool has_commands(struct nvme_lane *lane)
{
	if (!takes(lane))
		return false;
	look(lane);
	return first_queue(lane->function, lane->sqs);
}

void nvme_queues_wake_here(struct nvme_lane *lane)
{
	if (has_commands(lane))
		loop_poller_wake(lane->loop, &lane->poller);
}

void nvme_queues_wake(struct nvme_function *function)
{
	nvme_queues_wake_here(&function->home);
}

static void execute(struct nvme_lane *lane, struct nvme_sq *sq, const struct nvme_command *command)
{
	struct nvme_function *function = lane->function;
	struct nvme_request *request = lane->free;

	if (sq == &function->sq[NVME_ADMIN_QUEUE]) {
		nvme_admin_execute(function, command);
		return;
	}
	lane->free = request->next;
	lane->under_way++;
	request->sq = (uint16_t)(sq - function->sq);
	request->command = command->id;
	nvme_io_execute(lane, request, command);
}

static void fetch(struct nvme_lane *lane, struct nvme_sq *sq)
{
	struct nvme_command command;

	nvme_ring_fetch(sq, &command);
	sq->under_way++;
	lane->function->cq[sq->cq].promised++;
	trace_mark(TRACE_MAPPED);
	execute(lane, sq, &command);
}

bool nvme_poll(struct loop_poller *poller)
{
	struct nvme_lane *lane = container_of(poller, struct nvme_lane, poller);
	const unsigned *held = loop_blame_flag(lane->loop);
	unsigned fetched = 0;
	struct nvme_sq *sq;

	if (takes(lane))
		look(lane);
	/* The worker has stood still: who is to blame comes first. */
	while (fetched < TURN_COMMANDS && takes(lane) && !__atomic_load_n(held, __ATOMIC_RELAXED)) {
		if (fetched % TIMED_COMMANDS == 0 && fetched > 0 && loop_slice_over(lane->loop))
			break;
		sq = next_queue(lane);
		if (!sq)
			break;
		fetch(lane, sq);
		fetched++;
	}
	lane->fetched = fetched > 0;
	if (fetched > 0)
		loop_worked(lane->loop, fetched < TIMED_COMMANDS);
	return fetched > 0;
}

/* Whatever comes later comes by a doorbell, or by the end of what a command waits for. */
bool nvme_park(struct loop_poller *poller)
{
	struct nvme_lane *lane = container_of(poller, struct nvme_lane, poller);

	if (!nvme_lane_is_home(lane))
		nvme_lane_arm(lane);
	nvme_shadow_arm(lane);
	if (nvme_lane_is_home(lane))
		nvme_remote_rest(lane->function, true);
	if (!has_commands(lane))
		return true;
	if (!nvme_lane_is_home(lane))
		nvme_lane_looks(lane);
	return false;
}

/* ---- completing ---- */

/* The queue is outside of the guest's memory: the controller can go no further. */
static void fail(struct nvme_lane *here, const struct nvme_cq *cq)
{
	if (nvme_lane_is_home(here)) {
		if (nvme_is_ready(here->function))
			nvme_fail(here->function, NVME_VIOLATION_QUEUE_MEMORY, cq->address);
		return;
	}
	__atomic_store_n(&here->failed_address, cq->address, __ATOMIC_RELAXED);
	nvme_lane_tell(here, NVME_NEWS_MEMORY);
}

static void check_deleted(struct nvme_lane *here, unsigned index)
{
	if (nvme_lane_is_home(here))
		nvme_sq_check_deleted(here->function, index);
	else if (here->function->sq[index].under_way == 0)
		nvme_lane_tell(here, NVME_NEWS_DELETED);
}

/* Is there no place for the answer, because the VMM is moving the memory? Its next range may have one. */
static bool has_no_place_yet(const struct nvme_lane *here, const struct nvme_cq *cq)
{
	return !cq->ring && __atomic_load_n(&here->function->bus->memory_moves, __ATOMIC_RELAXED);
}

/* An interrupt tells of an answer when the guest has it. */
static void announce(struct nvme_lane *here, struct nvme_cq *cq)
{
	if (cq->is_remote) {
		cq->unsent++;
		nvme_remote_tell(here->function, cq);
	} else {
		nvme_interrupt_later(here, cq);
	}
}

void nvme_complete(struct nvme_lane *here, uint16_t sq_index, uint16_t command, uint16_t status,
		   uint32_t result)
{
	struct nvme_function *function = here->function;
	struct nvme_sq *sq = &function->sq[sq_index];
	struct nvme_cq *cq = &function->cq[sq->cq];
	struct nvme_completion completion = {
		.result = result,
		.sq_head = (uint16_t)sq->head,
		.sq_id = sq_index,
		.command_id = command,
		.status = (uint16_t)(status << 1 | cq->phase),
	};

	if (nvme_lane_keeps(here) || has_no_place_yet(here, cq)) {
		nvme_io_keep(here, sq_index, command, status);
		return;
	}
	assert(sq->exists && sq->under_way > 0 && cq->exists && cq->promised > 0);
	sq->under_way--;
	cq->promised--;
	if (cq->ring) {
		nvme_ring_post(cq, &completion);
		announce(here, cq);
	} else {
		fail(here, cq);
	}
	if (sq->deleting)
		check_deleted(here, sq_index);
	trace_mark(TRACE_COMPLETED);
}

/* ---- interrupts (7.5) ---- */

static bool by_vectors(const struct nvme_lane *here)
{
	const struct register_bus *bus = here->function->bus;

	return !nvme_lane_is_home(here) || bus->ops->has_vectors(bus);
}

static void tell(const struct nvme_lane *here, const struct nvme_cq *cq)
{
	struct register_bus *bus = here->function->bus;

	if (!cq->exists || !cq->interrupts)
		return;
	if (nvme_lane_is_home(here))
		bus->ops->raise(bus, cq->vector);
	else
		bus->ops->raise_from(bus, here->index, cq->vector);
}

/* The pin follows what is unread, of vectors that are not masked (7.5.1). */
static bool is_due(const struct nvme_function *function, const struct nvme_cq *cq)
{
	return cq->exists && nvme_lanes_own(function, cq) && cq->interrupts && cq->posted > cq->unsent &&
	       !(function->masked >> (cq->vector % 32) & 1);
}

void nvme_interrupts_refresh(struct nvme_function *function)
{
	struct register_bus *bus = function->bus;

	if (bus->ops->has_vectors(bus))
		return;
	for (unsigned i = 0; i < NVME_QUEUES_MAX; i++) {
		if (is_due(function, &function->cq[i])) {
			bus->ops->raise(bus, PIN_VECTOR);
			return;
		}
	}
	bus->ops->lower(bus, PIN_VECTOR);
}

/* A lane that is awake tells of its queues itself. */
void nvme_interrupts_again(struct nvme_function *function)
{
	struct register_bus *bus = function->bus;

	if (!bus->ops->has_vectors(bus)) {
		nvme_interrupts_refresh(function);
		return;
	}
	bus->ops->lower(bus, PIN_VECTOR);
	for (unsigned i = 0; i < NVME_QUEUES_MAX; i++) {
		const struct nvme_cq *cq = &function->cq[i];

		if (cq->exists && nvme_lanes_own(function, cq) && cq->posted > cq->unsent)
			tell(&function->home, cq);
	}
}

void nvme_interrupt_later(struct nvme_lane *here, struct nvme_cq *cq)
{
	cq->news = true;
	if (here->function->lane[cq->lane] == here) {
		loop_defer_for(here->loop, &here->interrupt_task, here->account);
		return;
	}
	/* Of a lane that is asleep. */
	cq->news = false;
	if (by_vectors(here))
		tell(here, cq);
	else
		nvme_interrupts_refresh(here->function);
}

void nvme_interrupts_go_on(struct nvme_lane *lane)
{
	for (uint64_t left = lane->cqs; left; left &= left - 1)
		if (lane->function->cq[__builtin_ctzll(left)].news)
			loop_defer_for(lane->loop, &lane->interrupt_task, lane->account);
}

/* Of answers that are to be told of now: is there more to come at once, for which they may wait a turn? */
static bool wait_for_more(struct nvme_lane *lane)
{
	uint64_t now_ns = loop_now_ns(lane->loop);

	/* A turn in which nothing is fetched ends the wait. */
	if (!lane->fetched || lane->under_way == 0)
		return false;
	lane->fetched = false;
	if (lane->waiting_since_ns == 0)
		lane->waiting_since_ns = now_ns;
	return now_ns - lane->waiting_since_ns < ANSWERS_WAIT_NS;
}

void nvme_interrupt(struct loop_task *task)
{
	struct nvme_lane *lane = container_of(task, struct nvme_lane, interrupt_task);
	bool vectors = by_vectors(lane);

	if (wait_for_more(lane)) {
		loop_defer_for(lane->loop, task, lane->account);
		return;
	}
	lane->waiting_since_ns = 0;
	for (uint64_t left = lane->cqs; left; left &= left - 1) {
		struct nvme_cq *cq = &lane->function->cq[__builtin_ctzll(left)];

		if (!cq->news)
			continue;
		cq->news = false;
		if (vectors)
			tell(lane, cq);
	}
	if (!vectors)
		nvme_interrupts_refresh(lane->function);
	trace_mark(TRACE_SIGNALLED);
	nvme_lane_check_rest(lane);
}
