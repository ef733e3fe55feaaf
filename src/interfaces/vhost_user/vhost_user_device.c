/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages about the device as a whole: features, configuration space, status, reset. */
#include <errno.h>
#include <string.h>

#include "core/checked.h"
#include "core/loop.h"
#include "interfaces/vhost_user/vhost_user_connection.h"
#include "interfaces/vhost_user/vhost_user_endpoint.h"
#include "interfaces/vhost_user/vhost_user_handlers.h"
#include "interfaces/vhost_user/vhost_user_queue.h"

#define STATUS_NEEDS_RESET 0x40u	/* virtio 1.2, 2.1 */

static enum vhost_user_outcome reply_u64(struct vhost_user_connection *connection, uint64_t value)
{
	connection->reply.u64 = value;
	connection->reply_size = sizeof(value);
	return VHOST_USER_DONE;
}

static void introduce(struct vhost_user_connection *connection)
{
	if (connection->introduced)
		return;
	connection->introduced = true;
	loop_timer_stop(vhost_user_connection_control(connection), &connection->timer);
	endpoint_socket_introduced(&connection->endpoint->socket);
}

static void on_changed(struct vhost_user_connection *connection)
{
	vhost_user_message_finish(connection, VHOST_USER_DONE);
}

/* ---- features ---- */

enum vhost_user_outcome vhost_user_get_features(struct vhost_user_connection *connection,
						struct vhost_user_message *message)
{
	return reply_u64(connection, vhost_user_endpoint_features(connection->endpoint));
}

/* Migration switches LOG_ALL while rings run; nothing else may change then. */
enum vhost_user_outcome vhost_user_set_features(struct vhost_user_connection *connection,
						struct vhost_user_message *message)
{
	uint64_t features = message->payload.u64, changed = features ^ connection->features;
	uint64_t unknown = features & ~vhost_user_endpoint_accepted_features(connection->endpoint);

	if (unknown)
		return vhost_user_refuse(connection, "features that were not offered", unknown);
	if (vhost_user_queues_running(connection) && (changed & ~(1ull << VHOST_F_LOG_ALL)))
		return vhost_user_refuse(connection, "not while rings run", changed);
	connection->features = features;
	connection->features_set = true;
	introduce(connection);
	if (!changed)
		return VHOST_USER_DONE;
	vhost_user_job_begin(connection, on_changed);
	vhost_user_queues_post_log(connection);
	vhost_user_job_end_posting(connection);
	return VHOST_USER_LATER;
}

enum vhost_user_outcome vhost_user_get_protocol_features(struct vhost_user_connection *connection,
							 struct vhost_user_message *message)
{
	return reply_u64(connection, vhost_user_endpoint_protocol_features(connection->endpoint));
}

enum vhost_user_outcome vhost_user_set_protocol_features(struct vhost_user_connection *connection,
							 struct vhost_user_message *message)
{
	uint64_t unknown =
		message->payload.u64 & ~vhost_user_endpoint_protocol_features(connection->endpoint);

	if (unknown)
		return vhost_user_refuse(connection, "protocol features that were not offered", unknown);
	connection->protocol_features = message->payload.u64;
	return VHOST_USER_DONE;
}

enum vhost_user_outcome vhost_user_set_owner(struct vhost_user_connection *connection,
					     struct vhost_user_message *message)
{
	introduce(connection);
	return VHOST_USER_DONE;
}

/* Deprecated; front ends disagree on what it means, and the specification recommends to ignore it. */
enum vhost_user_outcome vhost_user_reset_owner(struct vhost_user_connection *connection,
					       struct vhost_user_message *message)
{
	return VHOST_USER_DONE;
}

enum vhost_user_outcome vhost_user_get_queue_num(struct vhost_user_connection *connection,
						 struct vhost_user_message *message)
{
	return reply_u64(connection, connection->queue_count);
}

/* ---- configuration space ---- */

/*
 * Bytes beyond the device's own are zero: a front end may ask for what it knows of a later specification, and
 * for all 256. An error is an empty reply.
 */
enum vhost_user_outcome vhost_user_get_config(struct vhost_user_connection *connection,
					      struct vhost_user_message *message)
{
	const struct vhost_user_options *options = &connection->endpoint->options;
	const struct vhost_user_config *request = &message->payload.config;
	size_t config_size = options->model->config_size(options->device), readable = 0;
	unsigned sent = message->header.size - VHOST_USER_CONFIG_HEADER;

	if (request->size == 0 || !checked_range(request->offset, request->size, VIRTIO_CONFIG_BYTES_MAX) ||
	    (sent != 0 && sent != request->size)) {
		vhost_user_complain(connection, "bad range", (uint64_t)request->offset << 32 | request->size);
		connection->reply_size = 0;
		return VHOST_USER_DONE;
	}
	connection->reply.config.offset = request->offset;
	connection->reply.config.size = request->size;
	connection->reply.config.flags = request->flags;
	if (request->offset < config_size)
		readable = config_size - request->offset;
	if (readable > request->size)
		readable = request->size;
	if (readable > 0)
		options->model->config_read(options->device, request->offset,
					    connection->reply.config.bytes, readable);
	connection->reply_size = VHOST_USER_CONFIG_HEADER + request->size;
	return VHOST_USER_DONE;
}

enum vhost_user_outcome vhost_user_set_config(struct vhost_user_connection *connection,
					      struct vhost_user_message *message)
{
	struct vhost_user_endpoint *endpoint = connection->endpoint;
	const struct virtio_model_ops *model = endpoint->options.model;
	const struct vhost_user_config *request = &message->payload.config;

	if (message->header.size != VHOST_USER_CONFIG_HEADER + request->size) {
		vhost_user_complain(connection, "sizes disagree", request->size);
		return VHOST_USER_VIOLATION;
	}
	if (request->flags != VHOST_USER_CONFIG_WRITABLE && request->flags != VHOST_USER_CONFIG_MIGRATION)
		return vhost_user_refuse(connection, "unknown flags", request->flags);
	if (request->size == 0 || !checked_range(request->offset, request->size, VIRTIO_CONFIG_BYTES_MAX))
		return vhost_user_refuse(connection, "bad range",
					 (uint64_t)request->offset << 32 | request->size);
	if (endpoint->owner && endpoint->owner != connection)
		return vhost_user_refuse(connection, "the rings of another front end run", request->offset);
	/* As on a bus, the write goes nowhere: some front ends end when one of their driver's fails. */
	if (!checked_range(request->offset, request->size, model->config_size(endpoint->options.device)) ||
	    !model->config_write || model->config_write(endpoint->options.device, connection->features,
							request->offset, request->bytes, request->size))
		vhost_user_complain(connection, "write to a read-only field ignored", request->offset);
	return VHOST_USER_DONE;
}

/* ---- status and reset ---- */

enum vhost_user_outcome vhost_user_get_status(struct vhost_user_connection *connection,
					      struct vhost_user_message *message)
{
	return reply_u64(connection, connection->status |
					     (vhost_user_queues_broken(connection) ? STATUS_NEEDS_RESET : 0));
}

/*
 * Memory, negotiated features, the record of requests and the channels belong to the front end, which does
 * not send them again; what the driver set up goes.
 */
static void finish_reset(struct vhost_user_connection *connection, bool forget_base)
{
	struct vhost_user_endpoint *endpoint = connection->endpoint;
	const struct virtio_model_ops *model = endpoint->options.model;

	vhost_user_queues_reset(connection, forget_base);
	vhost_user_endpoint_release(connection);
	connection->status = 0;
	connection->enable_news = false;
	if (model->reset && (forget_base || !model->outlives_status) &&
	    (!endpoint->last_owner || endpoint->last_owner == connection))
		model->reset(endpoint->options.device);
	vhost_user_message_finish(connection, VHOST_USER_DONE);
}

static void on_reset_device(struct vhost_user_connection *connection)
{
	finish_reset(connection, true);
}

/*
 * QEMU also says status 0 when it only stops the device (migration, pause), before it asks where the rings
 * stand: GET_VRING_BASE must still know.
 */
static void on_status_zero(struct vhost_user_connection *connection)
{
	finish_reset(connection, false);
}

static enum vhost_user_outcome reset(struct vhost_user_connection *connection,
				     void (*finished)(struct vhost_user_connection *connection))
{
	vhost_user_job_begin(connection, finished);
	vhost_user_queues_post_stop(connection);
	vhost_user_job_end_posting(connection);
	return VHOST_USER_LATER;
}

enum vhost_user_outcome vhost_user_reset_device(struct vhost_user_connection *connection,
						struct vhost_user_message *message)
{
	return reset(connection, on_reset_device);
}

enum vhost_user_outcome vhost_user_set_status(struct vhost_user_connection *connection,
					      struct vhost_user_message *message)
{
	uint64_t status = message->payload.u64;

	if (status > UINT8_MAX)
		return vhost_user_refuse(connection, "status out of range", status);
	if (status == 0)
		return reset(connection, on_status_zero);
	connection->status = (uint8_t)status;
	return VHOST_USER_DONE;
}
