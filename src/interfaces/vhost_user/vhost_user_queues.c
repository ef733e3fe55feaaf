/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings and the workers that run them. A command goes out by loop_post(), waits on the worker for a turn of
 * its guest as requests do, and is charged as they are: starting and stopping rings is work, too. It is run
 * beside the ring, and comes back by loop_post(). Between the two posts the queue is the worker's, and only
 * command.answer fields and `ring` are written there. Posting keeps the order, so the news of a broken ring
 * arrives before the answer to the stop that follows it.
 */
#include "interfaces/vhost_user/vhost_user_queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/container.h"
#include "core/fd.h"
#include "core/loop_account.h"
#include "core/reaper.h"
#include "core/stats.h"
#include "interfaces/vhost_user/vhost_user_backend.h"
#include "interfaces/vhost_user/vhost_user_connection.h"
#include "interfaces/vhost_user/vhost_user_endpoint.h"
#include "interfaces/vhost_user/vhost_user_error_signal.h"
#include "interfaces/vhost_user/vhost_user_inflight.h"

/* Packed rings: bit 15 of each half is the wrap counter, which starts at 1. */
#define PACKED_WRAP	     0x8000u
#define PACKED_INITIAL_BASE  (PACKED_WRAP << 16 | PACKED_WRAP)

/* A command goes before other work of its guest when it has waited for so many turns. */
#define COMMAND_TURNS_MAX 8u

/* Bits that the driver never sees. */
#define TRANSPORT_FEATURES (1ull << VHOST_F_LOG_ALL | 1ull << VHOST_USER_F_PROTOCOL_FEATURES)

bool vhost_user_queue_is_packed(const struct vhost_user_connection *connection)
{
	return connection->features >> VIRTIO_F_RING_PACKED & 1;
}

/* ---- positions ---- */

uint32_t vhost_user_position_encode(bool packed, const struct virtqueue_position *position)
{
	uint32_t base = position->available_idx;

	if (!packed)
		return base;
	base |= position->available_wrap ? PACKED_WRAP : 0;
	base |= (uint32_t)position->used_idx << 16;
	return base | (position->used_wrap ? PACKED_WRAP << 16 : 0);
}

void vhost_user_position_decode(bool packed, uint32_t base, struct virtqueue_position *ret_position)
{
	struct virtqueue_position position = { .available_idx = (uint16_t)base };

	if (packed) {
		position.available_idx = (uint16_t)(base & ~PACKED_WRAP);
		position.available_wrap = base & PACKED_WRAP;
		position.used_idx = (uint16_t)(base >> 16 & ~PACKED_WRAP);
		position.used_wrap = base >> 16 & PACKED_WRAP;
		/* DPDK's virtio-user knows the lower half only. In a ring that rests both say the same. */
		if (base >> 16 == 0) {
			position.used_idx = position.available_idx;
			position.used_wrap = position.available_wrap;
		}
	}
	*ret_position = position;
}

/* ---- life ---- */

int vhost_user_queues_create(struct vhost_user_connection *connection)
{
	unsigned count = connection->endpoint->queue_count;

	connection->queues = calloc(count, sizeof(*connection->queues));
	if (!connection->queues)
		return -ENOMEM;
	connection->queue_count = count;
	for (unsigned i = 0; i < count; i++) {
		struct vhost_user_queue *queue = &connection->queues[i];

		queue->connection = connection;
		queue->index = i;
		queue->anew = true;
		queue->kick_fd = queue->call_fd = queue->err_fd = -1;
		queue->command.fd = -1;
		log_subject_name(&queue->subject, "%s q%u", connection->endpoint->options.endpoint.name, i);
	}
	return 0;
}

void vhost_user_queues_destroy(struct vhost_user_connection *connection)
{
	for (unsigned i = 0; i < connection->queue_count; i++) {
		struct vhost_user_queue *queue = &connection->queues[i];

		assert(!queue->started && queue->command.kind == COMMAND_NONE);
		reaper_close(&queue->kick_fd);
		reaper_close(&queue->call_fd);
		reaper_close(&queue->err_fd);
		free(queue->record);
	}
	free(connection->queues);
	connection->queues = NULL;
	connection->queue_count = 0;
}

bool vhost_user_queues_running(const struct vhost_user_connection *connection)
{
	for (unsigned i = 0; i < connection->queue_count; i++)
		if (connection->queues[i].started)
			return true;
	return false;
}

bool vhost_user_queues_broken(const struct vhost_user_connection *connection)
{
	for (unsigned i = 0; i < connection->queue_count; i++)
		if (connection->queues[i].broken)
			return true;
	return false;
}

void vhost_user_queues_reset(struct vhost_user_connection *connection, bool forget_base)
{
	for (unsigned i = 0; i < connection->queue_count; i++) {
		struct vhost_user_queue *queue = &connection->queues[i];

		assert(!queue->started);
		reaper_close(&queue->kick_fd);
		queue->kick_set = queue->address_set = false;
		queue->enabled = queue->broken = queue->moves = false;
		queue->size = 0;
		if (!forget_base)
			continue;
		queue->base_set = false;
		queue->base = 0;
		queue->anew = true;
		queue->has_served = false;
	}
}

/* ---- counters ---- */

static struct vhost_user_ring_counts read_counts(const struct virtqueue *ring)
{
	const struct virtqueue_counters *counters = virtqueue_get_counters(ring);

	return (struct vhost_user_ring_counts){
		.kicks = counter_read(&counters->kicks),
		.chains = counter_read(&counters->chains),
		.calls = counter_read(&counters->calls),
		.suppressed = counter_read(&counters->suppressed),
	};
}

/*
 * While the ring is being started or stopped, its worker may make or free it at any time, and `ring` is not
 * looked at: then the last reading stands.
 */
struct vhost_user_ring_counts vhost_user_queue_counts(struct vhost_user_queue *queue)
{
	if (queue->started && queue->command.kind != COMMAND_START && queue->command.kind != COMMAND_STOP &&
	    queue->ring)
		queue->counts = read_counts(queue->ring);
	return queue->counts;
}

static void counts_end(struct vhost_user_queue *queue)
{
	struct vhost_user_ring_counts *total = &queue->connection->endpoint->counts;
	const struct vhost_user_ring_counts *last = &queue->command.counts;

	total->kicks += last->kicks;
	total->chains += last->chains;
	total->calls += last->calls;
	total->suppressed += last->suppressed;
	memset(&queue->counts, 0, sizeof(queue->counts));
}

/* ---- back on the control thread ---- */

static bool effectively_enabled(const struct vhost_user_queue *queue)
{
	const struct vhost_user_connection *connection = queue->connection;
	bool by_message = connection->features >> VHOST_USER_F_PROTOCOL_FEATURES & 1;

	return (!by_message || queue->enabled) && !vhost_user_queues_broken(connection);
}

static void broken_on_control(struct loop_message *message)
{
	struct vhost_user_queue *queue = container_of(message, struct vhost_user_queue, broken_message);

	vhost_user_queue_mark_broken(queue, queue->violation, queue->offending_value);
}

static void started(struct vhost_user_queue *queue, int result)
{
	if (result == 0) {
		queue->has_served &= !queue->anew;
		queue->anew = false;
		return;
	}
	queue->started = false;
	queue->ring = NULL;
	if (result == -EFAULT || result == -EINVAL)
		vhost_user_queue_mark_broken(queue, VIOLATION_RING_ADDRESS, queue->setup.descriptor_user);
}

static void stopped(struct vhost_user_queue *queue)
{
	queue->started = false;
	queue->ring = NULL;
	queue->base = vhost_user_position_encode(queue->setup.features >> VIRTIO_F_RING_PACKED & 1,
						 &queue->command.position);
	queue->base_set = true;
	queue->has_served |= queue->command.counts.chains > 0;
	counts_end(queue);
}

static void answer_on_control(struct loop_message *message)
{
	struct vhost_user_command *command = container_of(message, struct vhost_user_command, message);
	struct vhost_user_queue *queue = container_of(command, struct vhost_user_queue, command);
	enum vhost_user_command_kind kind = command->kind;
	int result = command->result;

	command->kind = COMMAND_NONE;
	if (kind == COMMAND_START) {
		started(queue, result);
	} else if (kind == COMMAND_STOP) {
		stopped(queue);
	} else if (kind == COMMAND_KICK) {
		reaper_close(&queue->kick_fd);
		queue->kick_fd = fd_take(&command->fd);
	} else if (kind == COMMAND_CALL) {
		reaper_close(&queue->call_fd);
		queue->call_fd = fd_take(&command->fd);
	}
	vhost_user_job_answered(queue->connection, result);
}

/* ---- on the worker ---- */

static void answer(struct vhost_user_queue *queue, int result)
{
	queue->command.result = result;
	queue->command.message.run = answer_on_control;
	loop_post(vhost_user_connection_control(queue->connection), &queue->command.message);
}

static void broken_on_worker(void *context, enum virtqueue_violation violation, uint64_t offending_value)
{
	struct vhost_user_queue *queue = context;

	queue->violation = violation;
	queue->offending_value = offending_value;
	queue->broken_message.run = broken_on_control;
	loop_post(vhost_user_connection_control(queue->connection), &queue->broken_message);
}

static bool never_parks(struct loop_poller *poller)
{
	return false;
}

/* Once, when it is the guest's turn. */
static void run_in_turn(struct vhost_user_queue *queue, bool (*poll)(struct loop_poller *poller))
{
	queue->command.poller = (struct loop_poller){
		.poll = poll,
		.park = never_parks,
		.account = queue->setup.account,
	};
	loop_poller_wake(queue->worker, &queue->command.poller);
}

/*
 * Has the guest had its slice without the command? A turn carries out one command more than that, also while
 * no other guest wants anything: one that comes meanwhile waits for the end of the turn.
 */
static bool waits_for_turn(struct vhost_user_queue *queue)
{
	struct vhost_user_command *command = &queue->command;

	if (loop_slice_over(queue->worker) && command->turns++ < COMMAND_TURNS_MAX)
		return true;
	command->turns = 0;
	loop_poller_remove(queue->worker, &command->poller);
	return false;
}

/* The ring's own code has returned by now: it may be freed. */
static bool destroy_in_turn(struct loop_poller *poller)
{
	struct vhost_user_queue *queue = container_of(poller, struct vhost_user_queue, command.poller);

	if (waits_for_turn(queue))
		return true;
	queue->command.counts = read_counts(queue->ring);
	virtqueue_destroy(queue->ring);
	answer(queue, 0);
	return true;
}

static void stopped_on_worker(void *context, const struct virtqueue_position *position)
{
	struct vhost_user_queue *queue = context;

	queue->command.position = *position;
	run_in_turn(queue, destroy_in_turn);
}

static void released_on_worker(void *context)
{
	answer(context, 0);
}

/* Answers it, or sees to it that it will be answered. */
static void run(struct vhost_user_queue *queue, struct vhost_user_command *command)
{
	int result = 0;

	switch (command->kind) {
	case COMMAND_START:
		result = virtqueue_start(&queue->setup, &queue->ring);
		__atomic_store_n(&queue->starting, false, __ATOMIC_RELEASE);
		break;
	case COMMAND_STOP:
		virtqueue_stop(queue->ring, stopped_on_worker, queue);
		return;
	case COMMAND_ENABLE:
		virtqueue_set_enabled(queue->ring, command->enabled);
		break;
	case COMMAND_KICK:
		virtqueue_set_kick_fd(queue->ring, command->fd);
		break;
	case COMMAND_CALL:
		virtqueue_set_call_fd(queue->ring, command->fd);
		break;
	case COMMAND_LOG:
		virtqueue_set_log(queue->ring, command->log, command->log_used_guest);
		break;
	case COMMAND_MEMORY:
		virtqueue_set_memory(queue->ring, command->memory, released_on_worker, queue);
		return;
	case COMMAND_NONE:
		assert(false);
	}
	answer(queue, result);
}

static bool command_in_turn(struct loop_poller *poller)
{
	struct vhost_user_queue *queue = container_of(poller, struct vhost_user_queue, command.poller);

	if (!waits_for_turn(queue))
		run(queue, &queue->command);
	return true;
}

static void command_on_worker(struct loop_message *message)
{
	run_in_turn(container_of(message, struct vhost_user_queue, command.message), command_in_turn);
}

/* ---- commands ---- */

void vhost_user_queue_post(struct vhost_user_queue *queue, enum vhost_user_command_kind kind)
{
	assert(queue->connection->busy && queue->started && queue->command.kind == COMMAND_NONE);
	if (kind == COMMAND_STOP)
		vhost_user_queue_counts(queue);
	queue->command.kind = kind;
	queue->command.message.run = command_on_worker;
	queue->connection->pending++;
	loop_post(queue->worker, &queue->command.message);
}

void vhost_user_queues_post_stop(struct vhost_user_connection *connection)
{
	for (unsigned i = 0; i < connection->queue_count; i++)
		if (connection->queues[i].started)
			vhost_user_queue_post(&connection->queues[i], COMMAND_STOP);
}

void vhost_user_queues_post_enable(struct vhost_user_connection *connection)
{
	for (unsigned i = 0; i < connection->queue_count; i++) {
		struct vhost_user_queue *queue = &connection->queues[i];

		if (!queue->started)
			continue;
		queue->command.enabled = effectively_enabled(queue);
		vhost_user_queue_post(queue, COMMAND_ENABLE);
	}
}

void vhost_user_queues_post_memory(struct vhost_user_connection *connection, struct guest_memory *memory)
{
	for (unsigned i = 0; i < connection->queue_count; i++) {
		struct vhost_user_queue *queue = &connection->queues[i];

		if (!queue->started)
			continue;
		queue->command.memory = memory;
		vhost_user_queue_post(queue, COMMAND_MEMORY);
	}
}

/* ---- dirty log ---- */

static struct dirty_log *effective_log(const struct vhost_user_connection *connection)
{
	return connection->features >> VHOST_F_LOG_ALL & 1 ? connection->log : NULL;
}

static uint64_t effective_log_used(const struct vhost_user_queue *queue)
{
	return queue->address.flags & VHOST_USER_VRING_F_LOG ? queue->address.log : ~0ull;
}

void vhost_user_queues_post_log(struct vhost_user_connection *connection)
{
	for (unsigned i = 0; i < connection->queue_count; i++) {
		struct vhost_user_queue *queue = &connection->queues[i];

		if (!queue->started)
			continue;
		queue->command.log = effective_log(connection);
		queue->command.log_used_guest = effective_log_used(queue);
		vhost_user_queue_post(queue, COMMAND_LOG);
	}
}

/* ---- start ---- */

static bool position_fits(bool packed, unsigned size, const struct virtqueue_position *position)
{
	return !packed || (position->available_idx < size && position->used_idx < size);
}

int vhost_user_queue_post_start(struct vhost_user_queue *queue)
{
	struct vhost_user_connection *connection = queue->connection;
	const struct vhost_user_options *options = &connection->endpoint->options;
	bool packed = vhost_user_queue_is_packed(connection), fits;
	struct virtqueue_setup setup = {
		.index = queue->index,
		.size = queue->size,
		.features = connection->features & ~TRANSPORT_FEATURES,
		.model = options->model,
		.device = options->device,
		.memory = connection->memory.set.guest,
		.descriptor_user = queue->address.descriptor,
		.driver_user = queue->address.available,
		.device_user = queue->address.used,
		.kick_fd = queue->kick_fd,
		.call_fd = queue->call_fd,
		.enabled = effectively_enabled(queue),
		.log = effective_log(connection),
		.log_used_guest = effective_log_used(queue),
		.subject = &queue->subject,
		.broken = broken_on_worker,
		.context = queue,
		.anew = queue->anew,
		.has_served = queue->has_served,
	};

	if (!packed && !is_power_of_two(queue->size))
		return -EINVAL;
	vhost_user_position_decode(packed, queue->base_set ? queue->base : packed ? PACKED_INITIAL_BASE : 0,
				   &setup.position);
	if (!position_fits(packed, queue->size, &setup.position))
		return -EINVAL;
	setup.inflight =
		vhost_user_inflight_region(connection->inflight, packed, queue->index, queue->size, &fits);
	setup.inflight_lost = setup.inflight ? &connection->inflight->lost : NULL;
	if (!fits)
		return -EINVAL;
	queue->worker = options->endpoint.worker(options->endpoint.worker_context, queue->index);
	setup.loop = queue->worker;
	setup.account = endpoint_accounts_get(&connection->endpoint->accounts, queue->worker);
	if (!setup.account || vhost_user_queue_prepare_waits(queue, &setup))
		return -ENOMEM;
	queue->setup = setup;
	queue->started = true;
	__atomic_store_n(&queue->starting, true, __ATOMIC_RELAXED);
	queue->violation = VIOLATION_NONE;
	vhost_user_queue_post(queue, COMMAND_START);
	return 0;
}
