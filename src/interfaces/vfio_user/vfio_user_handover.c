/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takeover: the VMM's connection goes to another process with its socket, memory, interrupts and registers.
 * VMMs do not connect again, so that this is the only way in which a guest keeps its device over an upgrade.
 * What has come in of a message travels as the bytes that are here.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/guest_memory.h"
#include "core/handover.h"
#include "core/reaper.h"
#include "interfaces/vfio_user/vfio_user.h"
#include "interfaces/vfio_user/vfio_user_connection.h"

/* Other endpoints' streams begin with a number: the device may be another one by the successor's
 * configuration. */
#define FORMAT_NAME    "vfio-user"
/* 2: of memory that is reached by messages, too. */
#define FORMAT_VERSION	   2u
#define FORMAT_VERSION_MIN 1u

/* ---- suspend, resume ---- */

void vfio_user_check_suspended(struct vfio_user_endpoint *endpoint)
{
	void (*suspended)(void *context) = endpoint->suspended;

	if (!endpoint->suspending || !suspended)
		return;
	/* News of the worker come here again. */
	if (endpoint->connection && !endpoint->connection->suspended)
		return;
	endpoint->suspended = NULL;
	suspended(endpoint->suspended_context);
}

void vfio_user_suspend(struct endpoint *base, void (*suspended)(void *context), void *context)
{
	struct vfio_user_endpoint *endpoint = vfio_user_endpoint_of(base);

	assert(!endpoint->suspending && !endpoint->destroying);
	endpoint->suspending = true;
	endpoint->suspended = suspended;
	endpoint->suspended_context = context;
	endpoint_socket_suspend(&endpoint->socket);
	vfio_user_endpoint_forget_next(endpoint);
	if (!endpoint->connection)
		vfio_user_check_suspended(endpoint);
	else if (!endpoint->moves)
		vfio_user_wish(endpoint->connection, VFIO_USER_WISH_SUSPEND);
}

void vfio_user_resume(struct endpoint *base)
{
	struct vfio_user_endpoint *endpoint = vfio_user_endpoint_of(base);

	assert(endpoint->suspending);
	endpoint->suspending = endpoint->handed_over = false;
	endpoint->suspended = NULL;
	if (endpoint_socket_resume(&endpoint->socket))
		log_error(&endpoint->subject, "cannot listen any more: out of memory");
	if (endpoint->connection)
		vfio_user_endpoint_go_on(endpoint);
	if (endpoint->move_missed)
		endpoint_move(base);
}

/* ---- save ---- */

static void save_connection(struct handover *handover, const struct vfio_user_connection *connection)
{
	handover_put_fd(handover, connection->socket);
	handover_put_fd(handover, connection->door);
	handover_put_bytes(handover, connection->in + connection->in_at, connection->in_bytes);
	handover_put_u64(handover, connection->fetching);
	handover_put_u64(handover, connection->fd_count);
	for (unsigned i = 0; i < connection->fd_count; i++)
		handover_put_fd(handover, connection->fds[i]);
	handover_put_u64(handover, connection->versioned);
	handover_put_u64(handover, connection->is_master);
	handover_put_bytes(handover, connection->config.bytes, sizeof(connection->config.bytes));
	vfio_user_dma_save(&connection->dma, handover);
	vfio_user_errands_save(connection, handover);
	vfio_user_interrupts_save(&connection->interrupts, handover);
	connection->endpoint->options.model->save(connection->function, handover);
}

void vfio_user_save(struct endpoint *base, struct handover *handover)
{
	struct vfio_user_endpoint *endpoint = vfio_user_endpoint_of(base);
	unsigned violations = 0;

	assert(endpoint->suspending && !endpoint->suspended);
	endpoint->handed_over = true;
	while (endpoint->options.model->violations[violations])
		violations++;
	handover_put_string(handover, FORMAT_NAME);
	handover_put_u64(handover, FORMAT_VERSION);
	endpoint_socket_save(&endpoint->socket, handover);
	handover_put_u64(handover, counter_read(&endpoint->protocol_errors));
	handover_put_u64(handover, counter_read(&endpoint->accesses));
	handover_put_u64(handover, violations);
	for (unsigned i = 0; i < violations; i++)
		handover_put_u64(handover, counter_read(&endpoint->violations[i]));
	handover_put_u64(handover, endpoint->connection != NULL);
	if (endpoint->connection)
		save_connection(handover, endpoint->connection);
}

/* ---- restore: the stream is checked like a VMM's messages ---- */

static void restore_message(struct handover *handover, struct vfio_user_connection *connection)
{
	connection->in_bytes = handover_get_bytes(handover, connection->in, sizeof(connection->in));
	connection->fetching = handover_get_at_most(handover, VFIO_USER_MESSAGE_MAX);
	handover_fail_if(handover, connection->in_bytes + connection->fetching > sizeof(connection->in));
	connection->fd_count = (unsigned)handover_get_at_most(handover, VFIO_USER_FDS_MAX);
	for (unsigned i = 0; i < connection->fd_count; i++)
		connection->fds[i] = handover_get_fd(handover);
}

/* The function is powered on here, quiet, and goes on on its worker like one that has moved there. */
static void restore_function(struct handover *handover, struct vfio_user_connection *connection)
{
	const struct register_model_ops *model = vfio_user_model(connection);

	vfio_user_connection_refresh_memory(connection);
	if (handover->error)
		return;
	if (model->power_on(connection->endpoint->options.device, &connection->bus, &connection->function)) {
		handover->error = -ENOMEM;
		return;
	}
	connection->quiescing = connection->quiet = connection->suspended = connection->left = true;
	model->restore(connection->function, handover);
}

static void restore_connection(struct vfio_user_endpoint *endpoint, uint64_t version,
			       struct handover *handover)
{
	int socket = handover_get_fd(handover), door = handover_get_fd(handover);
	struct vfio_user_connection *connection =
		socket < 0 ? NULL : vfio_user_connection_create(endpoint, socket, door);

	handover_fail_if(handover, socket < 0);
	if (!connection) {
		reaper_close(&socket);
		reaper_close(&door);
		if (!handover->error)
			handover->error = -ENOMEM;
		return;
	}
	vfio_user_endpoint_adopt(endpoint, connection);
	restore_message(handover, connection);
	connection->versioned = handover_get_flag(handover);
	connection->is_master = handover_get_flag(handover);
	handover_get_exactly(handover, connection->config.bytes, sizeof(connection->config.bytes));
	vfio_user_dma_restore(&connection->dma, version > FORMAT_VERSION_MIN, handover);
	if (version > FORMAT_VERSION_MIN)
		vfio_user_errands_restore(connection, handover);
	vfio_user_interrupts_restore(&connection->interrupts, handover);
	restore_function(handover, connection);
}

static void restore_counts(struct vfio_user_endpoint *endpoint, struct handover *handover)
{
	uint64_t violations;

	endpoint->protocol_errors.value = handover_get_u64(handover);
	endpoint->accesses.value = handover_get_u64(handover);
	violations = handover_get_at_most(handover, ENDPOINT_VIOLATIONS_MAX);
	for (uint64_t i = 0; i < violations; i++)
		endpoint->violations[i].value = handover_get_u64(handover);
}

/* What cannot be used is freed, and the sockets stay the predecessor's. */
static void abandon(struct vfio_user_endpoint *endpoint)
{
	struct vfio_user_connection *connection = endpoint->connection;

	if (connection) {
		if (connection->function)
			vfio_user_model(connection)->power_off(connection->function);
		connection->function = NULL;
		vfio_user_connection_free(connection);
	}
	endpoint->connection = NULL;
	endpoint_socket_finish(&endpoint->socket);
	vfio_user_endpoint_free(endpoint);
}

int vfio_user_restore(const struct vfio_user_options *options, struct handover *handover,
		      struct endpoint **ret_endpoint)
{
	struct vfio_user_endpoint *endpoint = vfio_user_endpoint_alloc(options);
	char name[sizeof(FORMAT_NAME)];
	uint64_t version;
	int error;

	if (!endpoint)
		return -ENOMEM;
	endpoint->suspending = endpoint->handed_over = true;
	handover_get_string(handover, name, sizeof(name));
	handover_fail_if(handover, strcmp(name, FORMAT_NAME) != 0);
	version = handover_get_at_most(handover, FORMAT_VERSION);
	handover_fail_if(handover, version < FORMAT_VERSION_MIN);
	endpoint_socket_restore(&endpoint->socket, handover);
	restore_counts(endpoint, handover);
	if (handover_get_flag(handover))
		restore_connection(endpoint, version, handover);
	error = handover->error;
	if (error) {
		abandon(endpoint);
		return error;
	}
	if (endpoint->socket.listen_fd < 0 && options->endpoint.socket == ENDPOINT_LISTEN)
		error = endpoint_socket_open(&endpoint->socket);
	if (error) {
		abandon(endpoint);
		return error;
	}
	vfio_user_resume(&endpoint->base);
	*ret_endpoint = &endpoint->base;
	return 0;
}
