/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way of a command: the driver writes it into a submission queue and rings the queue's doorbell; the
 * poller fetches it, and it goes to the disk or is answered at once; the answer is written into the
 * completion queue, and one interrupt at the end of the turn tells of all answers of that queue. While a
 * burst is still being fetched, that interrupt waits for its end, as far as ANSWERS_WAIT_NS: an interrupt may
 * cost a guest as much as the whole burst costs the worker.
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
/* The pin is one interrupt for all queues. */
#define PIN_VECTOR 0u

/* ---- doorbells (3.1.24, 3.1.25) ---- */

static bool refuse(struct nvme_function *function, uint32_t value)
{
	nvme_violate(function, NVME_VIOLATION_DOORBELL_VALUE, value);
	nvme_event(function, NVME_EVENT_DOORBELL_VALUE);
	return false;
}

bool nvme_queue_set_tail(struct nvme_function *function, unsigned index, uint32_t tail)
{
	struct nvme_sq *sq = &function->sq[index];

	if (tail >= sq->entries)
		return refuse(function, tail);
	sq->tail = tail;
	return true;
}

bool nvme_queue_set_head(struct nvme_function *function, unsigned index, uint32_t head)
{
	struct nvme_cq *cq = &function->cq[index];
	uint32_t consumed = head >= cq->head ? head - cq->head : head + cq->entries - cq->head;

	if (head >= cq->entries || consumed > cq->posted)
		return refuse(function, head);
	cq->head = head;
	cq->posted -= consumed;
	if (cq->posted == 0)
		nvme_interrupts_refresh(function);
	return true;
}

static void ring_sq(struct nvme_function *function, unsigned index, uint32_t tail)
{
	const struct nvme_sq *sq = &function->sq[index];

	if (nvme_queue_set_tail(function, index, tail) && sq->ring && sq->head != sq->tail)
		loop_poller_wake(function->bus->loop, &function->poller);
}

static void ring_cq(struct nvme_function *function, unsigned index, uint32_t head)
{
	if (!nvme_queue_set_head(function, index, head))
		return;
	/* Commands may have waited for the room, and events. */
	if (index == NVME_ADMIN_QUEUE)
		nvme_events_tell(function);
	nvme_queues_wake(function);
}

void nvme_doorbell(struct nvme_function *function, uint32_t offset, uint32_t value)
{
	unsigned index = (offset - NVME_DOORBELLS) / (2 * sizeof(uint32_t));
	bool is_cq = (offset - NVME_DOORBELLS) / sizeof(uint32_t) % 2;

	if (!nvme_is_ready(function))
		return;
	if (index >= NVME_QUEUES_MAX || !(is_cq ? function->cq[index].exists : function->sq[index].exists)) {
		nvme_violate(function, NVME_VIOLATION_DOORBELL, offset);
		nvme_event(function, NVME_EVENT_DOORBELL_REGISTER);
	} else if (index != NVME_ADMIN_QUEUE && function->shadow) {
		/* What is written to it may be older than what stands in memory. */
		nvme_queues_wake(function);
	} else if (is_cq) {
		ring_cq(function, index, value & 0xffff);
	} else {
		ring_sq(function, index, value & 0xffff);
	}
}

/* ---- all queues ---- */

void nvme_queues_map(struct nvme_function *function)
{
	nvme_rings_map(function);
	nvme_shadow_map(function);
	nvme_shadow_arm(function);
	nvme_queues_wake(function);
}

void nvme_queues_forget(struct nvme_function *function)
{
	for (unsigned i = 0; i < NVME_QUEUES_MAX; i++) {
		function->sq[i] = (struct nvme_sq){ .exists = false };
		function->cq[i] = (struct nvme_cq){ .exists = false };
		nvme_remote_forget_queue(function, i);
	}
	nvme_shadow_forget(function);
	function->next_sq = function->queues_end = 0;
	function->fetched = false;
	function->waiting_since_ns = 0;
	for (unsigned i = 0; i < NVME_QUEUES_MAX; i++)
		function->bus->ops->lower(function->bus, i);
	loop_poller_remove(function->bus->loop, &function->poller);
	loop_defer_cancel(function->bus->loop, &function->interrupt_task);
}

/* ---- fetching ---- */

/* Admin commands are answered one after the other. */
static bool waits(const struct nvme_function *function, const struct nvme_sq *sq)
{
	return function->admin.is_under_way && sq == &function->sq[NVME_ADMIN_QUEUE];
}

/* May the queue's next command be fetched? */
static bool can_fetch(const struct nvme_function *function, const struct nvme_sq *sq)
{
	return sq->exists && !sq->deleting && sq->ring &&
	       sq->head != (sq->is_remote ? sq->fresh : sq->tail) &&
	       nvme_cq_has_room(&function->cq[sq->cq]) && !waits(function, sq);
}

static bool takes(const struct nvme_function *function)
{
	return nvme_is_ready(function) && !function->disabling && !function->shutting_down &&
	       !function->quiescing && !function->frozen && function->free && nvme_remote_has_room(function);
}

/* What doorbells in memory say, and commands in memory that is not at hand. */
static void look(struct nvme_function *function)
{
	nvme_shadow_look(function);
	if (function->bus->memory->remotes > 0)
		nvme_remote_look(function);
}

/* The queue whose turn it is, of those that have a command; NULL: none has. */
static struct nvme_sq *next_queue(struct nvme_function *function)
{
	for (unsigned i = 0; i < function->queues_end; i++) {
		struct nvme_sq *sq = &function->sq[(function->next_sq + i) % function->queues_end];

		if (can_fetch(function, sq)) {
			function->next_sq = (unsigned)(sq - function->sq) + 1;
			return sq;
		}
	}
	return NULL;
}

static bool has_commands(struct nvme_function *function)
{
	if (!takes(function))
		return false;
	look(function);
	for (unsigned i = 0; i < function->queues_end; i++)
		if (can_fetch(function, &function->sq[i]))
			return true;
	return false;
}

void nvme_queues_wake(struct nvme_function *function)
{
	if (has_commands(function))
		loop_poller_wake(function->bus->loop, &function->poller);
}

static void execute(struct nvme_function *function, struct nvme_sq *sq, const struct nvme_command *command)
{
	struct nvme_request *request = function->free;

	if (sq == &function->sq[NVME_ADMIN_QUEUE]) {
		nvme_admin_execute(function, command);
		return;
	}
	function->free = request->next;
	function->under_way++;
	request->sq = (uint16_t)(sq - function->sq);
	request->command = command->id;
	nvme_io_execute(function, request, command);
}

static void fetch(struct nvme_function *function, struct nvme_sq *sq)
{
	struct nvme_command command;

	nvme_ring_fetch(sq, &command);
	sq->under_way++;
	function->cq[sq->cq].promised++;
	trace_mark(TRACE_MAPPED);
	execute(function, sq, &command);
}

bool nvme_poll(struct loop_poller *poller)
{
	struct nvme_function *function = container_of(poller, struct nvme_function, poller);
	struct loop *loop = function->bus->loop;
	const unsigned *held = loop_blame_flag(loop);
	unsigned fetched = 0;
	struct nvme_sq *sq;

	if (takes(function))
		look(function);
	/* The worker has stood still: who is to blame comes first. */
	while (fetched < TURN_COMMANDS && takes(function) && !__atomic_load_n(held, __ATOMIC_RELAXED)) {
		if (fetched % TIMED_COMMANDS == 0 && fetched > 0 && loop_slice_over(loop))
			break;
		sq = next_queue(function);
		if (!sq)
			break;
		fetch(function, sq);
		fetched++;
	}
	function->fetched = fetched > 0;
	if (fetched > 0)
		loop_worked(loop, fetched < TIMED_COMMANDS);
	return fetched > 0;
}

/* Whatever comes later comes by a doorbell, or by the end of what a command waits for. */
bool nvme_park(struct loop_poller *poller)
{
	struct nvme_function *function = container_of(poller, struct nvme_function, poller);

	nvme_shadow_arm(function);
	nvme_remote_rest(function, true);
	return !has_commands(function);
}

/* ---- completing ---- */

void nvme_tell(struct nvme_function *function, struct nvme_cq *cq)
{
	cq->news = true;
	loop_defer_for(function->bus->loop, &function->interrupt_task, function->bus->account);
}

static void post(struct nvme_function *function, struct nvme_cq *cq, const struct nvme_completion *completion)
{
	nvme_ring_post(cq, completion);
	if (cq->is_remote) {
		cq->unsent++;
		nvme_remote_tell(function, cq);
	} else {
		nvme_tell(function, cq);
	}
}

void nvme_complete(struct nvme_function *function, uint16_t sq_index, uint16_t command, uint16_t status,
		   uint32_t result)
{
	struct nvme_sq *sq = &function->sq[sq_index];
	struct nvme_cq *cq = &function->cq[sq->cq];
	struct nvme_completion completion = {
		.result = result,
		.sq_head = (uint16_t)sq->head,
		.sq_id = sq_index,
		.command_id = command,
		.status = (uint16_t)(status << 1 | cq->phase),
	};

	assert(sq->exists && sq->under_way > 0 && cq->exists && cq->promised > 0);
	sq->under_way--;
	cq->promised--;
	if (cq->ring)
		post(function, cq, &completion);
	else if (nvme_is_ready(function))
		nvme_fail(function, NVME_VIOLATION_QUEUE_MEMORY, cq->address);
	if (sq->deleting)
		nvme_sq_check_deleted(function, sq_index);
	trace_mark(TRACE_COMPLETED);
}

/* ---- interrupts (7.5) ---- */

/* The pin follows what is unread, of vectors that are not masked (7.5.1). */
static bool is_due(const struct nvme_function *function, const struct nvme_cq *cq)
{
	return cq->exists && cq->interrupts && cq->posted > cq->unsent &&
	       !(function->masked >> (cq->vector % 32) & 1);
}

void nvme_interrupts_refresh(struct nvme_function *function)
{
	struct register_bus *bus = function->bus;

	if (bus->ops->has_vectors(bus))
		return;
	for (unsigned i = 0; i < function->queues_end; i++) {
		if (is_due(function, &function->cq[i])) {
			bus->ops->raise(bus, PIN_VECTOR);
			return;
		}
	}
	bus->ops->lower(bus, PIN_VECTOR);
}

void nvme_interrupts_again(struct nvme_function *function)
{
	struct register_bus *bus = function->bus;

	if (!bus->ops->has_vectors(bus)) {
		nvme_interrupts_refresh(function);
		return;
	}
	bus->ops->lower(bus, PIN_VECTOR);
	for (unsigned i = 0; i < function->queues_end; i++) {
		const struct nvme_cq *cq = &function->cq[i];

		if (cq->exists && cq->interrupts && cq->posted > cq->unsent)
			bus->ops->raise(bus, cq->vector);
	}
}

/* Of answers that are to be told of now: is there more to come at once, for which they may wait a turn? */
static bool wait_for_more(struct nvme_function *function)
{
	uint64_t now_ns = loop_now_ns(function->bus->loop);

	/* A turn in which nothing is fetched ends the wait. */
	if (!function->fetched || function->under_way == 0)
		return false;
	function->fetched = false;
	if (function->waiting_since_ns == 0)
		function->waiting_since_ns = now_ns;
	return now_ns - function->waiting_since_ns < ANSWERS_WAIT_NS;
}

void nvme_interrupt(struct loop_task *task)
{
	struct nvme_function *function = container_of(task, struct nvme_function, interrupt_task);
	struct register_bus *bus = function->bus;
	bool by_vectors = bus->ops->has_vectors(bus);

	if (wait_for_more(function)) {
		loop_defer_for(bus->loop, task, bus->account);
		return;
	}
	function->waiting_since_ns = 0;
	for (unsigned i = 0; i < function->queues_end; i++) {
		struct nvme_cq *cq = &function->cq[i];

		if (!cq->news)
			continue;
		cq->news = false;
		if (cq->exists && cq->interrupts && by_vectors)
			bus->ops->raise(bus, cq->vector);
	}
	if (!by_vectors)
		nvme_interrupts_refresh(function);
	trace_mark(TRACE_SIGNALLED);
	nvme_check_quiet(function);
}
