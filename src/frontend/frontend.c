/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Life and configuration space of a front end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/fd.h"
#include "frontend/vhost_master.h"

/* Of the options to SET_CONFIG: 0 = written by the driver (not restored by a migration). */
#define CONFIG_FLAGS 0

struct config_header {
	uint32_t offset, bytes, flags;
};
static_assert(sizeof(struct config_header) == 12, "vhost-user formats");

static const char *options_fault(const struct frontend_options *options)
{
	if (!options->path)
		return "no socket given";
	if (options->queues == 0 || options->queues > FRONTEND_QUEUES_MAX)
		return "number of queues out of range";
	if (options->queue_size < 2 || options->queue_size > FRONTEND_QUEUE_SIZE_MAX ||
	    !is_power_of_two(options->queue_size))
		return "queue size is not a power of two from 2 to 32768";
	return NULL;
}

/* Memory: the rings, then the caller's part, at a huge page's boundary when that leaves something. */
static int make_memory(struct frontend *frontend)
{
	const struct frontend_options *options = &frontend->options;
	size_t rings = align_up(options->queues * frontend_queue_bytes(options->queue_size), 4096);
	size_t aligned = align_up(rings, (size_t)2 << 20);
	int error;

	if (options->memory_bytes < rings)
		return vhost_fail(frontend, -ENOMEM, "the memory is too small for the rings");
	error = frontend_memory_create(&frontend->memory, options->memory_bytes, options->huge_pages);
	if (error)
		return vhost_fail(frontend, error, "no memory to share");
	frontend->rings_bytes = options->huge_pages && aligned < frontend->memory.bytes ? aligned : rings;
	return 0;
}

static void destroy(struct frontend *frontend)
{
	frontend_disconnect(frontend);
	for (unsigned i = 0; frontend->queue && i < frontend->options.queues; i++)
		frontend_queue_finish(&frontend->queue[i]);
	free(frontend->queue);
	fd_close(&frontend->inflight.fd);
	frontend_memory_destroy(&frontend->memory);
	free(frontend->path);
	free(frontend);
}

int frontend_connect(const struct frontend_options *options, struct frontend **ret_frontend,
		     const char **ret_error)
{
	struct frontend *frontend;
	int error;

	*ret_error = options_fault(options);
	if (*ret_error)
		return -EINVAL;
	*ret_error = "out of memory";
	frontend = calloc(1, sizeof(*frontend));
	if (!frontend)
		return -ENOMEM;
	frontend->options = *options;
	frontend->socket = frontend->backend_channel = frontend->inflight.fd = frontend->memory.fd = -1;
	frontend->path = strdup(options->path);
	frontend->error = "out of memory";
	error = frontend->path ? make_memory(frontend) : -ENOMEM;
	if (!error)
		error = frontend_start(frontend, false);
	if (error) {
		*ret_error = frontend->error;
		destroy(frontend);
		return error;
	}
	*ret_frontend = frontend;
	return 0;
}

void frontend_close(struct frontend *frontend)
{
	int error = 0;

	if (!frontend)
		return;
	for (unsigned i = 0; !error && frontend->socket >= 0 && i < frontend->options.queues; i++) {
		const struct vring_state stop = {i, 0};
		struct vhost_message message = {.request = GET_VRING_BASE, .bytes = sizeof(stop)};

		memcpy(message.payload, &stop, sizeof(stop));
		error = vhost_ask(frontend, &message, sizeof(stop), CLOSE_TIMEOUT_MS);
		vhost_message_close_fds(&message);
	}
	destroy(frontend);
}

uint64_t frontend_features(const struct frontend *frontend)
{
	return frontend->features;
}

/*
 * Always asks from offset 0 on: back ends in the field ignore the offset. They also refuse more bytes than
 * they have, so that only what is needed is asked for.
 */
int frontend_config(struct frontend *frontend, size_t offset, void *buffer, size_t bytes)
{
	struct vhost_message message = {.request = GET_CONFIG};
	struct config_header header = {.flags = CONFIG_FLAGS};
	int error;

	if (!checked_range(offset, bytes, CONFIG_BYTES_MAX))
		return -EINVAL;
	if (!(frontend->protocol_features & P_CONFIG))
		return -EOPNOTSUPP;
	header.bytes = (uint32_t)(offset + bytes);
	message.bytes = (uint32_t)sizeof(header) + header.bytes;
	memcpy(message.payload, &header, sizeof(header));
	error = vhost_ask(frontend, &message, message.bytes, REPLY_TIMEOUT_MS);
	if (error)
		return error;
	vhost_message_close_fds(&message);
	memcpy(buffer, message.payload + sizeof(header) + offset, bytes);
	return 0;
}

int frontend_config_write(struct frontend *frontend, size_t offset, const void *buffer, size_t bytes)
{
	uint8_t payload[sizeof(struct config_header) + CONFIG_BYTES_MAX];
	const struct config_header header = {(uint32_t)offset, (uint32_t)bytes, CONFIG_FLAGS};

	if (!checked_range(offset, bytes, CONFIG_BYTES_MAX))
		return -EINVAL;
	if (!(frontend->protocol_features & P_CONFIG))
		return -EOPNOTSUPP;
	memcpy(payload, &header, sizeof(header));
	memcpy(payload + sizeof(header), buffer, bytes);
	return vhost_tell(frontend, SET_CONFIG, payload, sizeof(header) + bytes, -1);
}

unsigned frontend_config_changes(struct frontend *frontend)
{
	const uint64_t done = 0;
	struct vhost_message message;
	unsigned changes = 0;

	while (frontend->backend_channel >= 0) {
		if (vhost_message_receive(frontend->backend_channel, &message, 0))
			break;
		vhost_message_close_fds(&message);
		changes += message.request == BACKEND_CONFIG_CHANGE;
		if (!message.need_reply)
			continue;
		message.need_reply = false;
		message.reply = true;
		message.bytes = sizeof(done);
		memcpy(message.payload, &done, sizeof(done));
		if (vhost_message_send(frontend->backend_channel, &message))
			break;
	}
	return changes;
}

void *frontend_memory(struct frontend *frontend, size_t *ret_bytes)
{
	*ret_bytes = frontend->memory.bytes - frontend->rings_bytes;
	return frontend->memory.base + frontend->rings_bytes;
}

uint64_t frontend_guest_address(const struct frontend *frontend, const void *pointer)
{
	return queue_guest_address(&frontend->queue[0], pointer);
}

struct frontend_queue *frontend_queue(struct frontend *frontend, unsigned index)
{
	assert(index < frontend->options.queues);
	return &frontend->queue[index];
}
