/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takeover: an endpoint goes to another process with its sockets, so that its front ends notice nothing.
 * Suspended, all rings are drained and stopped and every message read is answered; what is left is plain
 * numbers and descriptors. A message that has come in half travels as the bytes that are here.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/fd.h"
#include "core/handover.h"
#include "interfaces/endpoint_fd.h"
#include "interfaces/vhost_user/vhost_user.h"
#include "interfaces/vhost_user/vhost_user_backend.h"
#include "interfaces/vhost_user/vhost_user_connection.h"
#include "interfaces/vhost_user/vhost_user_endpoint.h"
#include "interfaces/vhost_user/vhost_user_inflight.h"
#include "interfaces/vhost_user/vhost_user_memory.h"
#include "interfaces/vhost_user/vhost_user_queue.h"
#include "interfaces/virtio/dirty_log.h"

/*
 * 1: without messages on the back-end channel that wait for an answer. It is written while there are none, so
 * that an older version can take over, too.
 */
#define FORMAT_VERSION	     2u
#define FORMAT_VERSION_MIN   1u
#define VIOLATIONS_SAVED_MAX 256u

/* ---- suspend, resume ---- */

void vhost_user_endpoint_check_suspended(struct vhost_user_endpoint *endpoint)
{
	void (*suspended)(void *context) = endpoint->suspended;

	if (!endpoint->suspending || !suspended)
		return;
	for (struct vhost_user_connection *connection = endpoint->connections; connection;
	     connection = connection->next)
		if (!connection->suspended || connection->closing)
			return;
	endpoint->suspended = NULL;
	suspended(endpoint->suspended_context);
}

void vhost_user_suspend(struct endpoint *base, void (*suspended)(void *context), void *context)
{
	struct vhost_user_endpoint *endpoint = vhost_user_endpoint_of(base);

	assert(!endpoint->suspending && !endpoint->destroying);
	endpoint->suspending = true;
	endpoint->suspended = suspended;
	endpoint->suspended_context = context;
	endpoint_socket_suspend(&endpoint->socket);
	for (struct vhost_user_connection *connection = endpoint->connections; connection;
	     connection = connection->next) {
		vhost_user_backend_suspend(connection);
		vhost_user_connection_defer(connection);
	}
	vhost_user_endpoint_check_suspended(endpoint);
}

static void resume(struct vhost_user_connection *connection)
{
	struct loop *control = vhost_user_connection_control(connection);

	connection->suspended = false;
	if (connection->closing)
		return;
	if (!connection->introduced)
		loop_timer_start(control, &connection->timer, loop_now_ns(control) + VHOST_USER_HANDSHAKE_NS);
	vhost_user_backend_resume(connection);
	if (!connection->busy)
		vhost_user_rings_resume(connection);
	vhost_user_connection_defer(connection);
}

void vhost_user_resume(struct endpoint *base)
{
	struct vhost_user_endpoint *endpoint = vhost_user_endpoint_of(base);

	assert(endpoint->suspending);
	endpoint->suspending = endpoint->handed_over = false;
	endpoint->suspended = NULL;
	if (endpoint_socket_resume(&endpoint->socket))
		log_error(&endpoint->subject, "cannot listen any more: out of memory");
	for (struct vhost_user_connection *connection = endpoint->connections; connection;
	     connection = connection->next)
		resume(connection);
}

/* ---- save ---- */

static void save_queue(struct handover *handover, const struct vhost_user_queue *queue)
{
	handover_put_u64(handover, queue->size);
	handover_put_u64(handover, queue->address_set);
	handover_put_bytes(handover, &queue->address, sizeof(queue->address));
	handover_put_u64(handover, queue->base_set);
	handover_put_u64(handover, queue->base);
	handover_put_u64(handover, queue->kick_set);
	handover_put_u64(handover, queue->enabled);
	handover_put_u64(handover, queue->broken);
	handover_put_u64(handover, queue->resume && !queue->broken);
	handover_put_fd(handover, queue->kick_fd);
	handover_put_fd(handover, queue->call_fd);
	handover_put_fd(handover, queue->err_fd);
}

static void save_message(struct handover *handover, const struct vhost_user_connection *connection)
{
	size_t received = connection->received, header_bytes = sizeof(connection->message.header);
	size_t in_header = received < header_bytes ? received : header_bytes;

	handover_put_bytes(handover, &connection->message.header, in_header);
	handover_put_bytes(handover, connection->message.payload.bytes, received - in_header);
	handover_put_u64(handover, connection->message.fd_count);
	for (unsigned i = 0; i < connection->message.fd_count; i++)
		handover_put_fd(handover, connection->message.fds[i]);
}

static void save_memory(struct handover *handover, const struct vhost_user_connection *connection)
{
	const struct vhost_user_memory_set *set = &connection->memory.set;

	/* A region that was added twice stands here twice. */
	handover_put_u64(handover, vhost_user_memory_times_added(set));
	for (unsigned i = 0; i < set->file_count; i++) {
		for (unsigned times = 0; times < set->files[i].added; times++) {
			handover_put_bytes(handover, &set->files[i].region, sizeof(set->files[i].region));
			handover_put_fd(handover, set->files[i].fd);
		}
	}
	handover_put_fd(handover, connection->inflight ? connection->inflight->fd : -1);
	if (connection->inflight)
		handover_put_bytes(handover, &connection->inflight->description,
				   sizeof(connection->inflight->description));
	handover_put_fd(handover, connection->log ? connection->log_fd : -1);
	if (connection->log)
		handover_put_bytes(handover, &connection->log_description,
				   sizeof(connection->log_description));
}

static void save_connection(struct handover *handover, const struct vhost_user_connection *connection,
			    unsigned version)
{
	const struct vhost_user_endpoint *endpoint = connection->endpoint;

	handover_put_fd(handover, connection->socket);
	handover_put_u64(handover, endpoint->owner == connection);
	handover_put_u64(handover, endpoint->last_owner == connection);
	handover_put_u64(handover, connection->introduced);
	handover_put_u64(handover, connection->features);
	handover_put_u64(handover, connection->features_set);
	handover_put_u64(handover, connection->protocol_features);
	handover_put_u64(handover, connection->status);
	vhost_user_backend_save(connection, handover, version >= 2);
	save_message(handover, connection);
	save_memory(handover, connection);
	handover_put_u64(handover, connection->queue_count);
	for (unsigned i = 0; i < connection->queue_count; i++)
		save_queue(handover, &connection->queues[i]);
}

static unsigned version_needed(const struct vhost_user_endpoint *endpoint)
{
	for (const struct vhost_user_connection *connection = endpoint->connections; connection;
	     connection = connection->next)
		if (connection->backend.asked_count > 0)
			return FORMAT_VERSION;
	return FORMAT_VERSION_MIN;
}

void vhost_user_save(struct endpoint *base, struct handover *handover)
{
	struct vhost_user_endpoint *endpoint = vhost_user_endpoint_of(base);
	unsigned version = version_needed(endpoint);

	assert(endpoint->suspending && !endpoint->suspended);
	endpoint->handed_over = true;
	handover_put_u64(handover, version);
	endpoint_socket_save(&endpoint->socket, handover);
	handover_put_u64(handover, endpoint->protocol_errors);
	handover_put_u64(handover, VIOLATIONS);
	for (unsigned i = 0; i < VIOLATIONS; i++)
		handover_put_u64(handover, endpoint->violations[i]);
	handover_put_bytes(handover, &endpoint->counts, sizeof(endpoint->counts));
	handover_put_u64(handover, endpoint->connection_count);
	for (struct vhost_user_connection *connection = endpoint->connections; connection;
	     connection = connection->next)
		save_connection(handover, connection, version);
}

/* ---- restore: the stream is checked like a front end's messages ---- */

static int get_event(struct handover *handover)
{
	int fd = handover_get_fd(handover);

	if (fd < 0 || endpoint_fd_is_eventfd(fd))
		return fd;
	handover->error = -EBADMSG;
	fd_close(&fd);
	return -1;
}

static void restore_queue(struct handover *handover, struct vhost_user_queue *queue)
{
	queue->size = (unsigned)handover_get_at_most(handover, queue->connection->endpoint->queue_size_max);
	queue->address_set = handover_get_flag(handover);
	handover_get_exactly(handover, &queue->address, sizeof(queue->address));
	queue->base_set = handover_get_flag(handover);
	queue->base = (uint32_t)handover_get_at_most(handover, UINT32_MAX);
	queue->kick_set = handover_get_flag(handover);
	queue->enabled = handover_get_flag(handover);
	queue->broken = handover_get_flag(handover);
	queue->resume = handover_get_flag(handover);
	queue->anew = !queue->base_set && !queue->resume;
	queue->has_served = !queue->anew;
	queue->kick_fd = get_event(handover);
	queue->call_fd = get_event(handover);
	queue->err_fd = get_event(handover);
	handover_fail_if(handover,
			 queue->resume && (queue->broken || queue->size == 0 || !queue->address_set));
}

static void restore_message(struct handover *handover, struct vhost_user_connection *connection)
{
	struct vhost_user_message *message = &connection->message;
	size_t in_header = handover_get_bytes(handover, &message->header, sizeof(message->header));
	size_t in_payload =
		handover_get_bytes(handover, message->payload.bytes, sizeof(message->payload.bytes));
	unsigned fd_count = (unsigned)handover_get_at_most(handover, VHOST_USER_FDS_MAX);

	handover_fail_if(handover, in_payload > 0 && (in_header < sizeof(message->header) ||
						      message->header.size <= in_payload));
	handover_fail_if(handover, in_header == 0 && fd_count > 0);
	if (!handover->error)
		connection->received = in_header + in_payload;
	for (unsigned i = 0; i < fd_count; i++)
		message->fds[i] = handover_get_fd(handover);
	message->fd_count = fd_count;
}

/*
 * The stream is sound, but what a front end's file says has changed since it sent it (it was truncated, say).
 * That must not keep us from taking over: the connection goes, the front end may come again.
 */
static void lose(struct vhost_user_connection *connection, int *fd)
{
	if (!connection->lost)
		log_guest(&connection->endpoint->subject,
			  "front end: its files are not what they were: disconnected");
	connection->lost = true;
	fd_close(fd);
}

static void restore_regions(struct handover *handover, struct vhost_user_connection *connection)
{
	unsigned count = (unsigned)handover_get_at_most(handover, VHOST_USER_MEMORY_SLOTS);

	for (unsigned i = 0; i < count && !handover->error; i++) {
		struct vhost_user_memory_region region;
		int fd;

		handover_get_exactly(handover, &region, sizeof(region));
		fd = handover_get_fd(handover);
		handover_fail_if(handover, fd < 0);
		if (handover->error)
			fd_close(&fd);
		else if (vhost_user_memory_append(connection, &region, fd))
			lose(connection, &fd);
	}
}

static void restore_inflight(struct handover *handover, struct vhost_user_connection *connection)
{
	struct vhost_user_inflight_description description;
	int fd = handover_get_fd(handover);

	if (fd < 0)
		return;
	handover_get_exactly(handover, &description, sizeof(description));
	if (!handover->error && connection->endpoint->options.model->repeatable && description.queues > 0 &&
	    description.queue_size > 0 && description.queue_size <= VIRTQUEUE_SIZE_MAX) {
		if (vhost_user_inflight_open(fd, &description, &connection->inflight))
			lose(connection, &fd);
		return;
	}
	handover_fail_if(handover, true);
	fd_close(&fd);
}

static void restore_log(struct handover *handover, struct vhost_user_connection *connection)
{
	struct vhost_user_log *description = &connection->log_description;

	connection->log_fd = handover_get_fd(handover);
	if (connection->log_fd < 0)
		return;
	handover_get_exactly(handover, description, sizeof(*description));
	if (!handover->error && dirty_log_open(connection->log_fd, description->offset, description->bytes,
					       &connection->log))
		lose(connection, &connection->log_fd);
}

/* Returns 0 or -errno; what was built belongs to the endpoint, also after a failure. */
static int restore_connection(struct vhost_user_endpoint *endpoint, struct handover *handover,
			      uint64_t version)
{
	struct vhost_user_connection *connection;
	int socket = handover_get_fd(handover);
	bool is_owner, is_last_owner;

	if (socket < 0 || fd_set_nonblocking(socket, true) ||
	    !(connection = vhost_user_connection_create(endpoint, socket))) {
		fd_close(&socket);
		return -EBADMSG;
	}
	is_owner = handover_get_flag(handover);
	is_last_owner = handover_get_flag(handover);
	connection->introduced = handover_get_flag(handover);
	connection->features = handover_get_u64(handover);
	connection->features_set = handover_get_flag(handover);
	connection->protocol_features = handover_get_u64(handover);
	connection->status = (uint8_t)handover_get_at_most(handover, UINT8_MAX);
	vhost_user_backend_restore(connection, handover, version >= 2);
	handover_fail_if(handover, connection->features & ~vhost_user_endpoint_accepted_features(endpoint));
	handover_fail_if(handover,
			 connection->protocol_features & ~vhost_user_endpoint_protocol_features(endpoint));
	handover_fail_if(handover, (is_owner && endpoint->owner) || (is_last_owner && endpoint->last_owner));
	restore_message(handover, connection);
	restore_regions(handover, connection);
	restore_inflight(handover, connection);
	restore_log(handover, connection);
	handover_fail_if(handover, handover_get_u64(handover) != connection->queue_count);
	for (unsigned i = 0; i < connection->queue_count && !handover->error; i++) {
		restore_queue(handover, &connection->queues[i]);
		handover_fail_if(handover, connection->queues[i].resume && !is_owner);
	}
	/* What the predecessor told while no ring ran is told again. */
	connection->config_missed = connection->introduced;
	for (unsigned i = 0; i < connection->queue_count; i++)
		connection->config_missed &= !connection->queues[i].resume;
	for (unsigned i = 0; i < connection->queue_count && connection->lost; i++)
		connection->queues[i].resume = false;
	if (is_owner)
		endpoint->owner = connection;
	if (is_last_owner)
		endpoint->last_owner = connection;
	connection->suspended = true;
	return handover->error;
}

/* A predecessor may know fewer kinds of violations, or more. */
static void restore_violations(struct handover *handover, struct vhost_user_endpoint *endpoint)
{
	uint64_t count = handover_get_at_most(handover, VIOLATIONS_SAVED_MAX);

	for (uint64_t i = 0; i < count; i++) {
		uint64_t value = handover_get_u64(handover);

		if (i < VIOLATIONS)
			endpoint->violations[i] = value;
	}
}

static int restore_endpoint(struct vhost_user_endpoint *endpoint, struct handover *handover)
{
	uint64_t connections, version = handover_get_at_most(handover, FORMAT_VERSION);
	int error;

	handover_fail_if(handover, version < FORMAT_VERSION_MIN);
	endpoint_socket_restore(&endpoint->socket, handover);
	endpoint->protocol_errors = handover_get_u64(handover);
	restore_violations(handover, endpoint);
	handover_get_exactly(handover, &endpoint->counts, sizeof(endpoint->counts));
	connections = handover_get_at_most(handover, VHOST_USER_CONNECTIONS_MAX);
	error = handover->error;
	for (uint64_t i = 0; i < connections && !error; i++)
		error = restore_connection(endpoint, handover, version);
	return error;
}

/* Watches the sockets; nothing is read before vhost_user_resume(). */
static int begin_all(struct vhost_user_endpoint *endpoint)
{
	int error = 0;

	for (struct vhost_user_connection *connection = endpoint->connections; connection && !error;
	     connection = connection->next)
		error = vhost_user_connection_begin(connection);
	return error;
}

int vhost_user_restore(const struct vhost_user_options *options, struct handover *handover,
		       struct endpoint **ret_endpoint)
{
	struct vhost_user_endpoint *endpoint = vhost_user_endpoint_alloc(options);
	int error;

	if (!endpoint)
		return -ENOMEM;
	/* Until it is whole it is not ours: should it fail, the predecessor goes on with the same sockets. */
	endpoint->suspending = endpoint->handed_over = true;
	error = restore_endpoint(endpoint, handover);
	if (!error)
		error = begin_all(endpoint);
	if (!error && endpoint->socket.listen_fd < 0 && options->endpoint.socket == ENDPOINT_LISTEN)
		error = endpoint_socket_open(&endpoint->socket);
	if (error) {
		endpoint_destroy(&endpoint->base, NULL, NULL);
		return error;
	}
	vhost_user_resume(&endpoint->base);
	*ret_endpoint = &endpoint->base;
	return 0;
}
