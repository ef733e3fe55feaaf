/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages about rings. A ring starts when its kick descriptor (or "no descriptor") has come and everything
 * else is known by then or follows later; GET_VRING_BASE stops it.
 */
#include <errno.h>
#include <string.h>

#include "core/checked.h"
#include "core/guest_memory.h"
#include "core/reaper.h"
#include "interfaces/endpoint_fd.h"
#include "interfaces/vhost_user/vhost_user_connection.h"
#include "interfaces/vhost_user/vhost_user_endpoint.h"
#include "interfaces/vhost_user/vhost_user_handlers.h"
#include "interfaces/vhost_user/vhost_user_queue.h"

/* NULL, with a complaint, when there is no such queue. The index is compared before it is narrowed. */
static struct vhost_user_queue *queue_find(struct vhost_user_connection *connection, uint64_t index)
{
	if (index < connection->queue_count)
		return &connection->queues[index];
	vhost_user_complain(connection, "no such queue", index);
	return NULL;
}

/* ---- start ---- */

static bool in_memory(const struct vhost_user_queue *queue)
{
	const struct guest_memory *memory = queue->connection->memory.set.guest;

	return guest_memory_holds_user(memory, queue->address.descriptor, 1) &&
	       guest_memory_holds_user(memory, queue->address.available, 1) &&
	       guest_memory_holds_user(memory, queue->address.used, 1);
}

static bool can_start(const struct vhost_user_queue *queue)
{
	return !queue->started && !queue->broken && queue->kick_set && queue->address_set &&
	       queue->size > 0 && in_memory(queue);
}

static bool any_can_start(const struct vhost_user_connection *connection)
{
	for (unsigned i = 0; i < connection->queue_count; i++)
		if (can_start(&connection->queues[i]))
			return true;
	return false;
}

static void forget_kick(struct vhost_user_queue *queue)
{
	reaper_close(&queue->kick_fd);
	queue->kick_set = false;
}

static void on_started(struct vhost_user_connection *connection)
{
	int error = connection->job_error;

	if (!vhost_user_queues_running(connection)) {
		vhost_user_endpoint_release(connection);
	} else if (connection->config_missed) {
		connection->config_missed = false;
		vhost_user_backend_notify(connection);
	}
	for (unsigned i = 0; i < connection->queue_count; i++)
		if (connection->queues[i].kick_set && !connection->queues[i].started && error)
			forget_kick(&connection->queues[i]);
	if (error)
		vhost_user_complain(connection, "ring does not start", (uint64_t)-error);
	vhost_user_message_finish(connection, error ? VHOST_USER_REFUSED : VHOST_USER_DONE);
}

enum vhost_user_outcome vhost_user_rings_refuse(struct vhost_user_connection *connection)
{
	for (unsigned i = 0; i < connection->queue_count; i++)
		forget_kick(&connection->queues[i]);
	return vhost_user_refuse(connection, "the rings of another front end run", 0);
}

enum vhost_user_outcome vhost_user_rings_start(struct vhost_user_connection *connection)
{
	bool wait;

	if (!any_can_start(connection))
		return VHOST_USER_DONE;
	if (!vhost_user_endpoint_claim(connection, &wait)) {
		if (!wait)
			return vhost_user_rings_refuse(connection);
		/* vhost_user_endpoint_release() brings us back here. */
		vhost_user_connection_wait(connection);
		return VHOST_USER_LATER;
	}
	vhost_user_job_begin(connection, on_started);
	for (unsigned i = 0; i < connection->queue_count; i++) {
		struct vhost_user_queue *queue = &connection->queues[i];

		if (!can_start(queue))
			continue;
		if (vhost_user_queue_post_start(queue)) {
			forget_kick(queue);
			connection->job_error = -EINVAL;
		}
	}
	vhost_user_job_end_posting(connection);
	return VHOST_USER_LATER;
}

/* ---- resumption ---- */

static void on_resumed(struct vhost_user_connection *connection)
{
	if (connection->job_error)
		log_warning(&connection->endpoint->subject, "a ring does not go on: %s",
			    strerror(-connection->job_error));
	if (!vhost_user_queues_running(connection))
		vhost_user_endpoint_release(connection);
}

void vhost_user_rings_resume(struct vhost_user_connection *connection)
{
	vhost_user_job_begin(connection, on_resumed);
	for (unsigned i = 0; i < connection->queue_count; i++) {
		struct vhost_user_queue *queue = &connection->queues[i];

		/* One that broke begins anew, when it does. */
		if (!queue->resume || queue->broken)
			queue->moves = false;
		if (!queue->resume)
			continue;
		queue->resume = false;
		/* It may have broken while it drained. */
		if (!queue->broken && vhost_user_queue_post_start(queue))
			vhost_user_queue_mark_broken(queue, VIOLATION_RING_ADDRESS,
						     queue->address.descriptor);
	}
	vhost_user_job_end_posting(connection);
}

/* ---- size, addresses, position ---- */

enum vhost_user_outcome vhost_user_set_vring_num(struct vhost_user_connection *connection,
						 struct vhost_user_message *message)
{
	struct vhost_user_queue *queue = queue_find(connection, message->payload.state.index);
	uint32_t size = message->payload.state.number;

	if (!queue)
		return VHOST_USER_REFUSED;
	if (queue->started)
		return vhost_user_refuse(connection, "the ring runs", queue->index);
	if (size == 0 || size > connection->endpoint->queue_size_max)
		return vhost_user_refuse(connection, "queue size out of range", size);
	if (!vhost_user_queue_is_packed(connection) && !is_power_of_two(size))
		return vhost_user_refuse(connection, "queue size is no power of two", size);
	queue->size = size;
	return vhost_user_rings_start(connection);
}

/* Do the ring's three parts lie in memory to their ends? Unknown (true) while size or memory are. */
static bool address_fits(const struct vhost_user_queue *queue, const struct vhost_user_vring_address *address)
{
	const struct vhost_user_connection *connection = queue->connection;
	const struct guest_memory *memory = connection->memory.set.guest;
	uint64_t size = queue->size;
	bool packed = vhost_user_queue_is_packed(connection);

	if (size == 0 || memory->count == 0 || !connection->features_set)
		return true;
	return guest_memory_holds_user(memory, address->descriptor, 16 * size) &&
	       guest_memory_holds_user(memory, address->available, packed ? 4 : 4 + 2 * size) &&
	       guest_memory_holds_user(memory, address->used, packed ? 4 : 4 + 8 * size);
}

static void on_logged(struct vhost_user_connection *connection)
{
	vhost_user_message_finish(connection, VHOST_USER_DONE);
}

static enum vhost_user_outcome set_log_of(struct vhost_user_connection *connection,
					  struct vhost_user_queue *queue,
					  const struct vhost_user_vring_address *address)
{
	queue->address.flags = address->flags;
	queue->address.log = address->log;
	vhost_user_job_begin(connection, on_logged);
	vhost_user_queues_post_log(connection);
	vhost_user_job_end_posting(connection);
	return VHOST_USER_LATER;
}

/*
 * A running ring keeps its addresses: only logging of its used part is switched (migration starts or ends).
 */
enum vhost_user_outcome vhost_user_set_vring_addr(struct vhost_user_connection *connection,
						  struct vhost_user_message *message)
{
	const struct vhost_user_vring_address *address = &message->payload.address;
	struct vhost_user_queue *queue = queue_find(connection, address->index);

	if (!queue)
		return VHOST_USER_REFUSED;
	if (address->flags & ~VHOST_USER_VRING_F_LOG)
		return vhost_user_refuse(connection, "unknown flags", address->flags);
	if (queue->started) {
		if (address->descriptor != queue->address.descriptor ||
		    address->used != queue->address.used || address->available != queue->address.available)
			return vhost_user_refuse(connection, "the ring runs elsewhere", address->descriptor);
		return set_log_of(connection, queue, address);
	}
	if (!address_fits(queue, address))
		return vhost_user_refuse(connection, "ring outside memory", address->descriptor);
	queue->address = *address;
	queue->address_set = true;
	return vhost_user_rings_start(connection);
}

enum vhost_user_outcome vhost_user_set_vring_base(struct vhost_user_connection *connection,
						  struct vhost_user_message *message)
{
	struct vhost_user_queue *queue = queue_find(connection, message->payload.state.index);
	uint32_t base = message->payload.state.number;

	if (!queue)
		return VHOST_USER_REFUSED;
	if (queue->started)
		return vhost_user_refuse(connection, "the ring runs", queue->index);
	if (!vhost_user_queue_is_packed(connection) && base > UINT16_MAX)
		return vhost_user_refuse(connection, "base out of range", base);
	queue->anew = queue->anew || !queue->base_set || queue->base != base;
	queue->base = base;
	queue->base_set = true;
	return VHOST_USER_DONE;
}

/* ---- stop ---- */

static void answer_base(struct vhost_user_connection *connection, struct vhost_user_queue *queue)
{
	struct virtqueue_position initial = { .available_wrap = true, .used_wrap = true };
	bool packed = vhost_user_queue_is_packed(connection);

	forget_kick(queue);
	if (queue->broken) {
		queue->broken = false;
		connection->enable_news = true;
	}
	connection->reply.state.index = queue->index;
	connection->reply.state.number =
		queue->base_set ? queue->base : vhost_user_position_encode(packed, &initial);
	connection->reply_size = sizeof(connection->reply.state);
}

static void on_base(struct vhost_user_connection *connection)
{
	if (!vhost_user_queues_running(connection))
		vhost_user_endpoint_release(connection);
	answer_base(connection, connection->job_queue);
	vhost_user_message_finish(connection, VHOST_USER_DONE);
}

enum vhost_user_outcome vhost_user_get_vring_base(struct vhost_user_connection *connection,
						  struct vhost_user_message *message)
{
	struct vhost_user_queue *queue = queue_find(connection, message->payload.state.index);

	if (!queue)
		return VHOST_USER_REFUSED;
	if (!queue->started) {
		answer_base(connection, queue);
		return VHOST_USER_DONE;
	}
	connection->job_queue = queue;
	vhost_user_job_begin(connection, on_base);
	vhost_user_queue_post(queue, COMMAND_STOP);
	return VHOST_USER_LATER;
}

/* ---- descriptors ---- */

/*
 * Takes the descriptor that the flag announces. VIOLATION: flag and descriptors disagree, or it is no
 * eventfd; REFUSED: no such queue. *ret_fd is then untouched; after DONE it is the caller's, -1 for "none".
 */
static enum vhost_user_outcome take_event(struct vhost_user_connection *connection,
					  struct vhost_user_message *message,
					  struct vhost_user_queue **ret_queue, int *ret_fd)
{
	uint64_t value = message->payload.u64;
	bool without = value & VHOST_USER_VRING_NOFD;
	struct vhost_user_queue *queue;

	if (value & ~(VHOST_USER_VRING_INDEX_MASK | VHOST_USER_VRING_NOFD))
		return vhost_user_refuse(connection, "unknown flags", value);
	queue = queue_find(connection, value & VHOST_USER_VRING_INDEX_MASK);
	if (!queue)
		return VHOST_USER_REFUSED;
	if (without == (message->fd_count > 0)) {
		vhost_user_complain(connection, "descriptor and its flag disagree", value);
		return VHOST_USER_VIOLATION;
	}
	if (!without && !endpoint_fd_is_eventfd(message->fds[0])) {
		vhost_user_complain(connection, "not an eventfd", value);
		return VHOST_USER_VIOLATION;
	}
	*ret_queue = queue;
	*ret_fd = vhost_user_message_take_fd(message, 0);
	return VHOST_USER_DONE;
}

static void on_exchanged(struct vhost_user_connection *connection)
{
	vhost_user_message_finish(connection, VHOST_USER_DONE);
}

/* The worker changes over; then the old descriptor is closed. */
static enum vhost_user_outcome exchange(struct vhost_user_queue *queue, enum vhost_user_command_kind kind,
					int fd)
{
	queue->command.fd = fd;
	vhost_user_job_begin(queue->connection, on_exchanged);
	vhost_user_queue_post(queue, kind);
	return VHOST_USER_LATER;
}

enum vhost_user_outcome vhost_user_set_vring_kick(struct vhost_user_connection *connection,
						  struct vhost_user_message *message)
{
	struct vhost_user_queue *queue;
	int fd;
	enum vhost_user_outcome outcome = take_event(connection, message, &queue, &fd);

	if (outcome != VHOST_USER_DONE)
		return outcome;
	if (queue->started)
		return exchange(queue, COMMAND_KICK, fd);
	reaper_close(&queue->kick_fd);
	queue->kick_fd = fd;
	queue->kick_set = true;
	return vhost_user_rings_start(connection);
}

enum vhost_user_outcome vhost_user_set_vring_call(struct vhost_user_connection *connection,
						  struct vhost_user_message *message)
{
	struct vhost_user_queue *queue;
	int fd;
	enum vhost_user_outcome outcome = take_event(connection, message, &queue, &fd);

	if (outcome != VHOST_USER_DONE)
		return outcome;
	if (queue->started)
		return exchange(queue, COMMAND_CALL, fd);
	reaper_close(&queue->call_fd);
	queue->call_fd = fd;
	return VHOST_USER_DONE;
}

enum vhost_user_outcome vhost_user_set_vring_err(struct vhost_user_connection *connection,
						 struct vhost_user_message *message)
{
	struct vhost_user_queue *queue;
	int fd;
	enum vhost_user_outcome outcome = take_event(connection, message, &queue, &fd);

	if (outcome != VHOST_USER_DONE)
		return outcome;
	reaper_close(&queue->err_fd);
	queue->err_fd = fd;
	return VHOST_USER_DONE;
}

/* ---- enable ---- */

static void on_enabled(struct vhost_user_connection *connection)
{
	vhost_user_message_finish(connection, VHOST_USER_DONE);
}

enum vhost_user_outcome vhost_user_set_vring_enable(struct vhost_user_connection *connection,
						    struct vhost_user_message *message)
{
	struct vhost_user_queue *queue = queue_find(connection, message->payload.state.index);
	uint32_t enable = message->payload.state.number;

	if (!queue)
		return VHOST_USER_REFUSED;
	if (enable > 1)
		return vhost_user_refuse(connection, "neither 0 nor 1", enable);
	queue->enabled = enable;
	if (!queue->started)
		return VHOST_USER_DONE;
	vhost_user_job_begin(connection, on_enabled);
	vhost_user_queues_post_enable(connection);
	vhost_user_job_end_posting(connection);
	return VHOST_USER_LATER;
}
