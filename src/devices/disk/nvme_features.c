/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Features (5.21, 5.9), and events that the driver asks to be told of (5.2). */
#include <string.h>

#include "devices/disk/nvme_private.h"

/* Get Features (5.9): which of the feature's values. */
#define SELECT(command) ((command)->cdw10 >> 8 & 7)
enum { SELECT_CURRENT, SELECT_DEFAULT, SELECT_SAVED, SELECT_ABILITIES };
#define SAVE	   (1u << 31)
#define CHANGEABLE 4u
/* Kelvin: a threshold that is never reached, which is how drivers find it (5.21.1.4). */
#define TEMPERATURE_OVER		0xffffu
#define TEMPERATURE_SELECT_UNDER(cdw11) ((cdw11) >> 20 & 3)

static struct nvme_features initial(void)
{
	struct nvme_features features = { .write_cache = 1, .temperature_over = TEMPERATURE_OVER };

	for (unsigned i = 0; i < NVME_QUEUES_MAX; i++)
		features.vector[i] = i;
	return features;
}

void nvme_features_reset(struct nvme_function *function)
{
	function->features = initial();
	function->async_count = function->event_count = 0;
	function->events_told = 0;
	function->namespace_changed = false;
}

/* ---- features ---- */

static uint32_t queues_granted(const struct nvme_function *function)
{
	uint32_t most = function->device->queues - 1;

	return most << 16 | most;
}

static bool has_io_queues(const struct nvme_function *function)
{
	for (unsigned i = 1; i < NVME_QUEUES_MAX; i++)
		if (function->sq[i].exists || function->cq[i].exists)
			return true;
	return false;
}

/* The feature's value as it is now, or where it can be changed as it was at first. */
static uint16_t value_of(const struct nvme_function *function, const struct nvme_features *features,
			 const struct nvme_command *command, uint32_t *ret_value)
{
	switch (command->cdw10 & 0xff) {
	case NVME_FEATURE_ARBITRATION:
		*ret_value = features->arbitration;
		return NVME_SUCCESS;
	case NVME_FEATURE_POWER:
		*ret_value = 0;
		return NVME_SUCCESS;
	case NVME_FEATURE_TEMPERATURE:
		*ret_value = TEMPERATURE_SELECT_UNDER(command->cdw11) ? features->temperature_under
								      : features->temperature_over;
		return NVME_SUCCESS;
	case NVME_FEATURE_ERROR_RECOVERY:
		*ret_value = features->error_recovery;
		return NVME_SUCCESS;
	case NVME_FEATURE_WRITE_CACHE:
		*ret_value = features->write_cache;
		return NVME_SUCCESS;
	case NVME_FEATURE_QUEUES:
		*ret_value = queues_granted(function);
		return NVME_SUCCESS;
	case NVME_FEATURE_COALESCING:
		*ret_value = features->coalescing;
		return NVME_SUCCESS;
	case NVME_FEATURE_VECTOR:
		if ((command->cdw11 & 0xffff) >= NVME_QUEUES_MAX)
			return NVME_INVALID_FIELD;
		*ret_value = features->vector[command->cdw11 & 0xffff];
		return NVME_SUCCESS;
	case NVME_FEATURE_ATOMICITY:
		*ret_value = features->atomicity;
		return NVME_SUCCESS;
	case NVME_FEATURE_ASYNC_EVENTS:
		*ret_value = features->async_events;
		return NVME_SUCCESS;
	default:
		return NVME_INVALID_FIELD;
	}
}

uint16_t nvme_get_features(struct nvme_function *function, const struct nvme_command *command,
			   uint32_t *ret_result)
{
	struct nvme_features at_first;
	uint16_t status;

	switch (SELECT(command)) {
	case SELECT_CURRENT:
		return value_of(function, &function->features, command, ret_result);
	case SELECT_DEFAULT:
	case SELECT_SAVED:
		at_first = initial();
		return value_of(function, &at_first, command, ret_result);
	case SELECT_ABILITIES:
		status = value_of(function, &function->features, command, ret_result);
		*ret_result = CHANGEABLE;
		return status;
	default:
		return NVME_INVALID_FIELD;
	}
}

static uint16_t set_temperature(struct nvme_features *features, uint32_t value)
{
	if (TEMPERATURE_SELECT_UNDER(value) == 0)
		features->temperature_over = value & 0xffff;
	else if (TEMPERATURE_SELECT_UNDER(value) == 1)
		features->temperature_under = value & 0xffff;
	else
		return NVME_INVALID_FIELD;
	return NVME_SUCCESS;
}

/* The driver asks before it makes queues (5.21.1.7); the answer is how many it may make. */
static uint16_t set_queues(struct nvme_function *function, uint32_t value, uint32_t *ret_result)
{
	if ((value & 0xffff) == 0xffff || value >> 16 == 0xffff)
		return NVME_INVALID_FIELD;
	if (has_io_queues(function))
		return NVME_COMMAND_SEQUENCE;
	*ret_result = queues_granted(function);
	return NVME_SUCCESS;
}

uint16_t nvme_set_features(struct nvme_function *function, const struct nvme_command *command,
			   uint32_t *ret_result)
{
	struct nvme_features *features = &function->features;
	uint32_t value = command->cdw11;

	if (command->cdw10 & SAVE)
		return NVME_FEATURE_NOT_SAVEABLE;
	switch (command->cdw10 & 0xff) {
	case NVME_FEATURE_ARBITRATION:
		features->arbitration = value;
		return NVME_SUCCESS;
	case NVME_FEATURE_POWER:
		return value & 0x1f ? NVME_INVALID_FIELD : NVME_SUCCESS;
	case NVME_FEATURE_TEMPERATURE:
		return set_temperature(features, value);
	case NVME_FEATURE_ERROR_RECOVERY:
		features->error_recovery = value & 0xffff;
		return NVME_SUCCESS;
	case NVME_FEATURE_WRITE_CACHE:
		__atomic_store_n(&features->write_cache, value & 1, __ATOMIC_RELAXED);
		return NVME_SUCCESS;
	case NVME_FEATURE_QUEUES:
		return set_queues(function, value, ret_result);
	case NVME_FEATURE_COALESCING:
		features->coalescing = value & 0xffff;
		return NVME_SUCCESS;
	case NVME_FEATURE_VECTOR:
		if ((value & 0xffff) >= NVME_QUEUES_MAX)
			return NVME_INVALID_FIELD;
		features->vector[value & 0xffff] = value & 0x1ffff;
		return NVME_SUCCESS;
	case NVME_FEATURE_ATOMICITY:
		features->atomicity = value & 1;
		return NVME_SUCCESS;
	case NVME_FEATURE_ASYNC_EVENTS:
		features->async_events = value;
		return NVME_SUCCESS;
	default:
		return NVME_INVALID_FIELD;
	}
}

/* ---- events ---- */

#define EVENT_TYPE_BIT(event) (1u << ((event)&7))

/*
 * Tells of an event: its type is not told again until the log was read (5.2). A request that waited kept no
 * room in the completion queue: in a small one there would be none for other answers.
 */
static void tell(struct nvme_function *function, uint32_t event)
{
	uint16_t command = function->async[--function->async_count];

	function->events_told |= EVENT_TYPE_BIT(event);
	function->cq[NVME_ADMIN_QUEUE].promised++;
	nvme_complete(&function->home, NVME_ADMIN_QUEUE, command, NVME_SUCCESS, event);
}

void nvme_events_tell(struct nvme_function *function)
{
	const struct nvme_cq *cq = &function->cq[NVME_ADMIN_QUEUE];
	unsigned i = 0;

	/* Later: what is at rest stays so. */
	if (function->quiescing || function->frozen)
		return;
	while (i < function->event_count && function->async_count > 0 && nvme_cq_has_room(cq)) {
		uint32_t event = function->events[i];

		if (function->events_told & EVENT_TYPE_BIT(event)) {
			i++;
			continue;
		}
		function->event_count--;
		memmove(&function->events[i], &function->events[i + 1],
			(function->event_count - i) * sizeof(function->events[0]));
		tell(function, event);
	}
}

void nvme_event(struct nvme_function *function, uint32_t event)
{
	/* What is known, or what there is no room for, would tell nothing new. */
	for (unsigned i = 0; i < function->event_count; i++)
		if (function->events[i] == event)
			return;
	if (!nvme_is_ready(function) || function->event_count == NVME_ASYNC_MAX)
		return;
	function->events[function->event_count++] = event;
	nvme_events_tell(function);
}

uint16_t nvme_event_request(struct nvme_function *function, uint16_t command)
{
	if (function->async_count == NVME_ASYNC_MAX)
		return NVME_TOO_MANY_ASYNC_EVENTS;
	function->async[function->async_count++] = command;
	function->cq[NVME_ADMIN_QUEUE].promised--;
	nvme_events_tell(function);
	return NVME_SUCCESS;
}

void nvme_event_read(struct nvme_function *function, uint8_t log)
{
	if (log == NVME_LOG_ERRORS)
		function->events_told &= ~EVENT_TYPE_BIT(NVME_EVENT_DOORBELL_VALUE);
	if (log == NVME_LOG_NAMESPACES) {
		function->events_told &= ~EVENT_TYPE_BIT(NVME_EVENT_NAMESPACE);
		function->namespace_changed = false;
	}
	nvme_events_tell(function);
}
