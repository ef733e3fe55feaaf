/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Admin commands (5). They are answered at once, but for the deletion of a queue whose commands are under way
 * and for requests for events.
 */
#include "devices/disk/nvme_private.h"

static bool queue_id_valid(const struct nvme_function *function, unsigned id)
{
	return id > 0 && id <= function->device->queues;
}

/* There may be more than can be made: a predecessor of this process was configured otherwise. */
static bool queue_id_deletable(unsigned id)
{
	return id > 0 && id < NVME_QUEUES_MAX;
}

/* ---- queues (5.3 to 5.6) ---- */

#define QUEUE_ID(command)      ((command)->cdw10 & 0xffff)
#define QUEUE_ENTRIES(command) (((command)->cdw10 >> 16) + 1)
#define QUEUE_CONTIGUOUS       1u
#define CQ_INTERRUPTS	       2u

static uint16_t check_new_queue(const struct nvme_function *function, unsigned lane,
				const struct nvme_command *command, size_t entry_bytes)
{
	uint32_t entries = QUEUE_ENTRIES(command);

	if (entries < 2 || entries > NVME_ENTRIES_MAX)
		return NVME_INVALID_QUEUE_SIZE;
	if (!(command->cdw11 & QUEUE_CONTIGUOUS))
		return NVME_INVALID_FIELD;
	if (command->prp1 % NVME_PAGE_BYTES != 0)
		return NVME_PRP_OFFSET_INVALID;
	return nvme_ring_fits(function, lane, command->prp1, entries, entry_bytes) ? NVME_SUCCESS
										   : NVME_INVALID_FIELD;
}

static uint16_t create_cq(struct nvme_function *function, const struct nvme_command *command)
{
	unsigned id = QUEUE_ID(command), vector = command->cdw11 >> 16;
	uint16_t status;

	if (!queue_id_valid(function, id) || function->cq[id].exists)
		return NVME_INVALID_QUEUE_ID;
	status = check_new_queue(function, nvme_lane_for(function, id), command,
				 sizeof(struct nvme_completion));
	if (status)
		return status;
	if (vector >= nvme_model.vectors)
		return NVME_INVALID_VECTOR;
	/* With the pin there is one vector (7.5.1); drivers say 0. */
	function->cq[id] = (struct nvme_cq){
		.exists = true,
		.lane = nvme_lane_for(function, id),
		.interrupts = command->cdw11 & CQ_INTERRUPTS,
		.phase = true,
		.vector = (uint16_t)vector,
		.entries = QUEUE_ENTRIES(command),
		.address = command->prp1,
	};
	nvme_queues_map(function);
	return NVME_SUCCESS;
}

static uint16_t create_sq(struct nvme_function *function, const struct nvme_command *command)
{
	unsigned id = QUEUE_ID(command), cq = command->cdw11 >> 16;
	uint16_t status;

	if (!queue_id_valid(function, id) || function->sq[id].exists)
		return NVME_INVALID_QUEUE_ID;
	if (!queue_id_valid(function, cq) || !function->cq[cq].exists)
		return NVME_CQ_INVALID;
	if (NVME_CC_SQ_ENTRY(function->cc) != 6 || NVME_CC_CQ_ENTRY(function->cc) != 4)
		return NVME_INVALID_QUEUE_SIZE;
	status = check_new_queue(function, function->cq[cq].lane, command, sizeof(struct nvme_command));
	if (status)
		return status;
	function->sq[id] = (struct nvme_sq){
		.exists = true,
		.cq = (uint16_t)cq,
		.entries = QUEUE_ENTRIES(command),
		.address = command->prp1,
	};
	function->cq[cq].sq_count++;
	nvme_queues_map(function);
	return NVME_SUCCESS;
}

static uint16_t delete_cq(struct nvme_function *function, const struct nvme_command *command)
{
	unsigned id = QUEUE_ID(command);

	if (!queue_id_deletable(id) || !function->cq[id].exists)
		return NVME_INVALID_QUEUE_ID;
	if (function->cq[id].sq_count > 0)
		return NVME_INVALID_QUEUE_DELETION;
	nvme_lane_forget_doorbells(function->lane[function->cq[id].lane], 0, 1ull << id);
	function->cq[id] = (struct nvme_cq){ .exists = false };
	nvme_remote_forget_queue(function, id);
	nvme_lanes_count(function);
	nvme_interrupts_refresh(function);
	return NVME_SUCCESS;
}

void nvme_sq_check_deleted(struct nvme_function *function, unsigned index)
{
	struct nvme_sq *sq = &function->sq[index];
	uint16_t command = sq->delete_command;

	if (sq->under_way > 0)
		return;
	nvme_lane_forget_doorbells(nvme_lane_of_sq(function, index), 1ull << index, 0);
	function->cq[sq->cq].sq_count--;
	*sq = (struct nvme_sq){ .exists = false };
	function->fetch[index].is_stale = true;
	nvme_lanes_count(function);
	nvme_complete(&function->home, NVME_ADMIN_QUEUE, command, NVME_SUCCESS, 0);
}

/* What was not fetched is dropped; what is under way is waited for. */
static bool delete_sq(struct nvme_function *function, const struct nvme_command *command,
		      uint16_t *ret_status)
{
	unsigned id = QUEUE_ID(command);
	struct nvme_sq *sq = &function->sq[id % NVME_QUEUES_MAX];

	if (!queue_id_deletable(id) || !sq->exists || sq->deleting) {
		*ret_status = NVME_INVALID_QUEUE_ID;
		return true;
	}
	sq->deleting = true;
	sq->delete_command = command->id;
	nvme_sq_check_deleted(function, id);
	return false;
}

/* ---- others ---- */

static uint16_t identify(struct nvme_function *function, const struct nvme_command *command)
{
	uint8_t answer[NVME_IDENTIFY_BYTES];
	uint16_t status = nvme_identify(function, command, answer);

	return status ? status : nvme_remote_answer(function, command, answer, sizeof(answer), false);
}

static uint16_t get_log_page(struct nvme_function *function, const struct nvme_command *command)
{
	uint8_t log = (uint8_t)command->cdw10, answer[NVME_PAGE_BYTES];
	uint64_t words = ((uint64_t)(command->cdw11 & 0xffff) << 16 | command->cdw10 >> 16) + 1;
	uint64_t bytes = words * sizeof(uint32_t);
	uint64_t offset = (uint64_t)command->cdw13 << 32 | command->cdw12;
	bool keeps_event = command->cdw10 & 1u << 15;
	uint16_t status;

	if (offset % sizeof(uint32_t) != 0 || bytes > sizeof(answer))
		return NVME_INVALID_FIELD;
	status = nvme_log_page(function, log, offset, answer, bytes);
	if (!status)
		status = nvme_remote_answer(function, command, answer, bytes, !keeps_event);
	if (!status && !keeps_event)
		nvme_event_read(function, log);
	return status;
}

/* The disk cannot take back what it was given: "not aborted", which is no error (5.1). */
static uint16_t abort_command(uint32_t *ret_result)
{
	*ret_result = 1;
	return NVME_SUCCESS;
}

/* Returns false when the answer comes later. */
static bool execute(struct nvme_function *function, const struct nvme_command *command, uint16_t *ret_status,
		    uint32_t *ret_result)
{
	switch (command->opcode) {
	case NVME_ADMIN_DELETE_SQ:
		return delete_sq(function, command, ret_status);
	case NVME_ADMIN_CREATE_SQ:
		*ret_status = create_sq(function, command);
		return true;
	case NVME_ADMIN_GET_LOG_PAGE:
		*ret_status = get_log_page(function, command);
		return *ret_status != NVME_LATER;
	case NVME_ADMIN_DELETE_CQ:
		*ret_status = delete_cq(function, command);
		return true;
	case NVME_ADMIN_CREATE_CQ:
		*ret_status = create_cq(function, command);
		return true;
	case NVME_ADMIN_IDENTIFY:
		*ret_status = identify(function, command);
		return *ret_status != NVME_LATER;
	case NVME_ADMIN_ABORT:
		*ret_status = abort_command(ret_result);
		return true;
	case NVME_ADMIN_SET_FEATURES:
		*ret_status = nvme_set_features(function, command, ret_result);
		return true;
	case NVME_ADMIN_GET_FEATURES:
		*ret_status = nvme_get_features(function, command, ret_result);
		return true;
	case NVME_ADMIN_DOORBELL_BUFFER_CONFIG:
		*ret_status = nvme_shadow_configure(function, command);
		return true;
	case NVME_ADMIN_ASYNC_EVENT:
		*ret_status = nvme_event_request(function, command->id);
		return *ret_status != NVME_SUCCESS;
	default:
		*ret_status = NVME_INVALID_OPCODE;
		return true;
	}
}

static void run(struct nvme_function *function, const struct nvme_command *command)
{
	uint16_t status = NVME_SUCCESS;
	uint32_t result = 0;

	if (NVME_COMMAND_FUSED(command->flags))
		status = NVME_INVALID_FIELD;
	else if (!execute(function, command, &status, &result))
		return;
	if (status)
		status |= NVME_DO_NOT_RETRY;
	nvme_complete(&function->home, NVME_ADMIN_QUEUE, command->id, status, result);
}

/* ---- those that change queues: while no other lane looks ---- */

static bool changes_queues(const struct nvme_command *command)
{
	return command->opcode == NVME_ADMIN_CREATE_CQ || command->opcode == NVME_ADMIN_CREATE_SQ ||
	       command->opcode == NVME_ADMIN_DELETE_CQ || command->opcode == NVME_ADMIN_DELETE_SQ ||
	       command->opcode == NVME_ADMIN_DOORBELL_BUFFER_CONFIG;
}

void nvme_admin_execute(struct nvme_function *function, const struct nvme_command *command)
{
	if (!changes_queues(command)) {
		run(function, command);
		return;
	}
	function->admin_command = *command;
	function->admin_waits = true;
	nvme_lanes_steer(function);
}

void nvme_admin_go_on(struct nvme_function *function)
{
	const struct nvme_command command = function->admin_command;

	function->admin_waits = false;
	run(function, &command);
	/* Others may have waited behind it. */
	nvme_queues_wake(function);
}

/* It was fetched last. */
void nvme_admin_give_back(struct nvme_function *function)
{
	struct nvme_sq *sq = &function->sq[NVME_ADMIN_QUEUE];

	if (!function->admin_waits)
		return;
	function->admin_waits = false;
	sq->head = sq->fresh = sq->head == 0 ? sq->entries - 1 : sq->head - 1;
	function->fetch[NVME_ADMIN_QUEUE].is_stale = true;
	sq->under_way--;
	function->cq[NVME_ADMIN_QUEUE].promised--;
}
