/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that the VMM keeps to itself (register_model.h): commands are fetched in advance, answers are
 * pushed, and an interrupt tells of those only that have arrived; lists and data go before and after the
 * disk's work. All of it lies in private copies, of which commands use NVME_COPIES_BYTES at most, and a
 * command more: then others wait, the copies are given back when nothing is under way, and it goes on.
 *
 * It is so for functions whose admin queue lies in such memory, and all that is home's: all queues are, then
 * (nvme_lane_for()). To other lanes, such memory is out of reach.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/container.h"
#include "core/iov.h"
#include "devices/disk/nvme_private.h"

/* ---- copies ---- */

void nvme_remote_charge(struct nvme_function *function, size_t bytes)
{
	/* It begins and ends inside of pages. */
	function->copied += bytes + 2 * (size_t)NVME_PAGE_BYTES;
}

void nvme_remote_rest(struct nvme_function *function, bool is_idle)
{
	if (function->copied == 0 || function->home.under_way > 0 || function->errands > 0 ||
	    function->frozen)
		return;
	/* While the driver lets us reach no memory, the copies are not at hand either. */
	if (function->memory->remotes == 0 || (!is_idle && nvme_remote_has_room(function)))
		return;
	guest_memory_empty_copies(function->memory);
	function->copied = 0;
	/* Commands that were fetched and not taken were copies, too. */
	for (unsigned i = 0; i < NVME_QUEUES_MAX; i++)
		function->sq[i].fresh = function->sq[i].head;
	nvme_queues_wake(function);
}

static void begin(struct nvme_function *function, struct register_errand *errand, bool pushes)
{
	struct register_bus *bus = function->bus;

	if (pushes)
		bus->ops->push(bus, errand);
	else
		bus->ops->fetch(bus, errand);
}

/* ---- of queues ---- */

/* The ring's entries [from, from + count), which may go past its end. */
static void begin_ring(struct nvme_function *function, struct nvme_carrier *carrier, void *ring, size_t bytes,
		       uint32_t entries, uint32_t from, uint32_t count)
{
	uint32_t first = count < entries - from ? count : entries - from;

	carrier->function = function;
	carrier->is_under_way = true;
	carrier->is_stale = false;
	carrier->entries = count;
	carrier->iov[0] = (struct iovec){ (uint8_t *)ring + from * bytes, first * bytes };
	carrier->iov[1] = (struct iovec){ ring, (count - first) * bytes };
	carrier->errand.memory = function->memory;
	carrier->errand.iov = carrier->iov;
	carrier->errand.count = count > first ? 2 : 1;
	function->errands++;
}

/* Something has ended, and nobody asks for it any more if its queue is another one, or elsewhere. */
static struct nvme_function *carried(struct nvme_carrier *carrier)
{
	carrier->is_under_way = false;
	carrier->function->errands--;
	return carrier->function;
}

static void commands_fetched(struct register_errand *errand, int error)
{
	struct nvme_carrier *carrier = container_of(errand, struct nvme_carrier, errand);
	struct nvme_function *function = carried(carrier);
	struct nvme_sq *sq = &function->sq[carrier - function->fetch];

	if (!carrier->is_stale && !error)
		sq->fresh = (sq->fresh + carrier->entries) % sq->entries;
	else if (!carrier->is_stale && error != -ECANCELED && nvme_is_ready(function))
		nvme_fail(function, NVME_VIOLATION_QUEUE_MEMORY, sq->address);
	nvme_queues_wake(function);
	nvme_remote_rest(function, false);
	nvme_check_quiet(function);
}

/* Entries between head and tail are the driver's promise: it changes them no more (4.1). */
void nvme_remote_look(struct nvme_function *function)
{
	for (unsigned i = 0; i < NVME_QUEUES_MAX; i++) {
		struct nvme_sq *sq = &function->sq[i];
		struct nvme_carrier *carrier = &function->fetch[i];

		if (!sq->exists || sq->deleting || !sq->ring || !sq->is_remote || sq->head == sq->tail ||
		    sq->fresh != sq->head || carrier->is_under_way)
			continue;
		begin_ring(function, carrier, (void *)(uintptr_t)sq->ring, sizeof(*sq->ring), sq->entries,
			   sq->head, (sq->tail + sq->entries - sq->head) % sq->entries);
		carrier->errand.done = commands_fetched;
		begin(function, &carrier->errand, false);
	}
}

static void answers_pushed(struct register_errand *errand, int error)
{
	struct nvme_carrier *carrier = container_of(errand, struct nvme_carrier, errand);
	struct nvme_function *function = carried(carrier);
	struct nvme_cq *cq = &function->cq[carrier - function->push];

	/* What was given up is pushed again when the function goes on, if it does. */
	if (error != -ECANCELED) {
		if (!carrier->is_stale) {
			cq->unsent -= carrier->entries;
			nvme_interrupt_later(&function->home, cq);
		}
		if (!carrier->is_stale && error && nvme_is_ready(function))
			nvme_fail(function, NVME_VIOLATION_QUEUE_MEMORY, cq->address);
		nvme_remote_tell(function, cq);
	}
	nvme_remote_rest(function, false);
	nvme_check_quiet(function);
}

void nvme_remote_tell(struct nvme_function *function, struct nvme_cq *cq)
{
	struct nvme_carrier *carrier = &function->push[cq - function->cq];

	if (!cq->exists || !cq->ring || cq->unsent == 0 || carrier->is_under_way || function->frozen)
		return;
	begin_ring(function, carrier, cq->ring, sizeof(*cq->ring), cq->entries,
		   (cq->tail + cq->entries - cq->unsent) % cq->entries, cq->unsent);
	carrier->errand.done = answers_pushed;
	begin(function, &carrier->errand, true);
}

void nvme_remote_forget_queue(struct nvme_function *function, unsigned queue)
{
	function->fetch[queue].is_stale = function->push[queue].is_stale = true;
}

/* Answers that the guest may not have yet move with their ring. Those on their way are counted when they
 * arrive. */
void nvme_remote_move_answers(struct nvme_function *function, struct nvme_cq *cq, struct nvme_completion *to)
{
	struct nvme_carrier *carrier = &function->push[cq - function->cq];

	uint32_t flying = carrier->is_under_way && !carrier->is_stale ? carrier->entries : 0;

	if (cq->unsent == 0 || to == cq->ring)
		return;
	for (uint32_t i = cq->unsent; i > 0 && to && cq->ring; i--) {
		uint32_t at = (cq->tail + cq->entries - i) % cq->entries;

		to[at] = cq->ring[at];
	}
	if (to)
		return;
	/* There is nowhere to push the others to. */
	if (cq->unsent > flying && nvme_is_ready(function))
		nvme_fail(function, NVME_VIOLATION_QUEUE_MEMORY, cq->address);
	cq->unsent = flying;
}

/* ---- of I/O commands ---- */

static void list_fetched(struct register_errand *errand, int error)
{
	struct nvme_request *request = container_of(errand, struct nvme_request, errand);

	request->next_step(request, error);
}

void nvme_remote_fetch_list(struct nvme_request *request,
			    void (*then)(struct nvme_request *request, int error))
{
	request->next_step = then;
	nvme_lists_errand(&request->lists, request->memory, &request->errand);
	request->errand.done = list_fetched;
	begin(request->lane->function, &request->errand, false);
}

void nvme_remote_carry(struct nvme_request *request, bool pushes, unsigned count,
		       void (*then)(struct nvme_request *request, int error))
{
	request->next_step = then;
	request->errand.memory = request->memory;
	request->errand.iov = request->iov;
	request->errand.count = count;
	request->errand.done = list_fetched;
	begin(request->lane->function, &request->errand, pushes);
}

/* ---- of admin commands, one at a time ---- */

static void admin_done(struct nvme_function *function, uint16_t status)
{
	struct nvme_admin_transfer *transfer = &function->admin;

	transfer->is_under_way = false;
	function->errands--;
	guest_memory_put(transfer->memory);
	transfer->memory = NULL;
	if (!status && transfer->reads_log)
		nvme_event_read(function, transfer->log);
	nvme_complete(&function->home, NVME_ADMIN_QUEUE, transfer->command.id,
		      status ? status | NVME_DO_NOT_RETRY : status, 0);
	nvme_queues_wake(function);
	nvme_remote_rest(function, false);
	nvme_check_quiet(function);
}

/* Given up while it is frozen: as if it had not been fetched. */
static void admin_put_back(struct nvme_function *function)
{
	struct nvme_sq *sq = &function->sq[NVME_ADMIN_QUEUE];

	function->admin.is_under_way = false;
	function->errands--;
	guest_memory_put(function->admin.memory);
	function->admin.memory = NULL;
	function->fetch[NVME_ADMIN_QUEUE].is_stale = true;
	sq->head = sq->fresh = (sq->head + sq->entries - 1) % sq->entries;
	sq->under_way--;
	function->cq[NVME_ADMIN_QUEUE].promised--;
	nvme_check_quiet(function);
}

static void admin_carried(struct register_errand *errand, int error);

/* Returns the status, or NVME_LATER. */
static uint16_t admin_carry(struct nvme_function *function)
{
	struct nvme_admin_transfer *transfer = &function->admin;
	unsigned count;
	uint16_t status = nvme_data_map(transfer->memory, &transfer->command, transfer->bytes,
					&transfer->lists, transfer->iov, &count);

	transfer->errand.done = admin_carried;
	if (status == NVME_LATER) {
		nvme_lists_errand(&transfer->lists, transfer->memory, &transfer->errand);
		begin(function, &transfer->errand, false);
	}
	if (status)
		return status;
	iov_copy_in(transfer->iov, count, 0, transfer->answer, transfer->bytes);
	if (!guest_memory_is_remote(transfer->memory, transfer->iov, count))
		return NVME_SUCCESS;
	transfer->pushes = true;
	transfer->errand.memory = transfer->memory;
	transfer->errand.iov = transfer->iov;
	transfer->errand.count = count;
	begin(function, &transfer->errand, true);
	return NVME_LATER;
}

static void admin_carried(struct register_errand *errand, int error)
{
	struct nvme_function *function = container_of(errand, struct nvme_function, admin.errand);
	uint16_t status = NVME_SUCCESS;

	if (error == -ECANCELED && function->frozen) {
		admin_put_back(function);
		return;
	}
	if (error)
		status = NVME_DATA_TRANSFER_ERROR;
	else if (!function->admin.pushes)
		status = admin_carry(function);
	if (status != NVME_LATER)
		admin_done(function, status);
}

uint16_t nvme_remote_answer(struct nvme_function *function, const struct nvme_command *command,
			    const void *from, size_t bytes, bool reads_log)
{
	struct nvme_admin_transfer *transfer = &function->admin;
	uint16_t status;

	assert(!transfer->is_under_way && bytes <= sizeof(transfer->answer));
	transfer->command = *command;
	memcpy(transfer->answer, from, bytes);
	transfer->bytes = bytes;
	transfer->lists.count = 0;
	transfer->reads_log = reads_log;
	transfer->log = (uint8_t)command->cdw10;
	transfer->pushes = false;
	transfer->memory = guest_memory_get(function->memory);
	transfer->is_under_way = true;
	function->errands++;
	status = admin_carry(function);
	if (status == NVME_LATER) {
		nvme_remote_charge(function, bytes);
		return status;
	}
	transfer->is_under_way = false;
	function->errands--;
	guest_memory_put(transfer->memory);
	transfer->memory = NULL;
	return status;
}
