/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The endpoint: its connections, which of them runs its rings, what is counted; its beginning and end. */
#include "interfaces/vhost_user/vhost_user.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/container.h"
#include "core/log.h"
#include "core/loop_account.h"
#include "interfaces/vhost_user/vhost_user_backend.h"
#include "interfaces/vhost_user/vhost_user_connection.h"
#include "interfaces/vhost_user/vhost_user_endpoint.h"
#include "interfaces/vhost_user/vhost_user_queue.h"

#define QUEUE_SIZE_DEFAULT 1024u

static_assert(VIOLATIONS - 1 <= ENDPOINT_VIOLATIONS_MAX,
	      "a status holds the count of each kind of violation");

static const struct endpoint_ops vhost_user_endpoint_ops;

uint64_t vhost_user_endpoint_features(const struct vhost_user_endpoint *endpoint)
{
	const struct vhost_user_options *options = &endpoint->options;

	return options->model->features(options->device) | (VIRTQUEUE_FEATURES & ~options->features_off) |
	       1ull << VHOST_F_LOG_ALL | 1ull << VHOST_USER_F_PROTOCOL_FEATURES;
}

uint64_t vhost_user_endpoint_accepted_features(const struct vhost_user_endpoint *endpoint)
{
	return vhost_user_endpoint_features(endpoint) | endpoint->options.model->front_end_features;
}

/* What the model does not have or cannot bear is not offered. */
uint64_t vhost_user_endpoint_protocol_features(const struct vhost_user_endpoint *endpoint)
{
	const struct vhost_user_options *options = &endpoint->options;
	uint64_t features =
		VHOST_USER_PROTOCOL_FEATURES | vhost_user_model_features(options->model->messages);

	if (options->model->config_size(options->device) == 0)
		features &= ~VHOST_USER_PROTOCOL_BIT(CONFIG);
	if (!options->model->repeatable)
		features &= ~VHOST_USER_PROTOCOL_BIT(INFLIGHT_SHMFD);
	if (options->model->stateless)
		features |= VHOST_USER_PROTOCOL_BIT(DEVICE_STATE);
	return features;
}

/* ---- life ---- */

static void endpoint_free(struct vhost_user_endpoint *endpoint)
{
	endpoint_accounts_close(&endpoint->accounts);
	loop_account_close(endpoint->control_account);
	loop_guest_put(endpoint->options.endpoint.guest);
	free((char *)endpoint->options.endpoint.name);
	free((char *)endpoint->options.endpoint.path);
	free(endpoint);
}

static bool accepted(void *context, int fd)
{
	struct vhost_user_endpoint *endpoint = context;
	struct vhost_user_connection *connection;

	if (endpoint->connection_count >= VHOST_USER_CONNECTIONS_MAX)
		return false;
	loop_pay(endpoint->options.endpoint.control, endpoint->control_account);
	connection = vhost_user_connection_create(endpoint, fd);
	if (connection && vhost_user_connection_begin(connection))
		vhost_user_connection_close(connection);
	loop_pay(endpoint->options.endpoint.control, NULL);
	return connection;
}

static unsigned peer_count(const void *context)
{
	return ((const struct vhost_user_endpoint *)context)->connection_count;
}

static const struct endpoint_socket_ops socket_ops = {
	.accepted = accepted,
	.peer_count = peer_count,
};

struct vhost_user_endpoint *vhost_user_endpoint_alloc(const struct vhost_user_options *options)
{
	struct vhost_user_endpoint *endpoint = calloc(1, sizeof(*endpoint));
	unsigned queues;

	if (!endpoint)
		return NULL;
	endpoint->base.ops = &vhost_user_endpoint_ops;
	endpoint->options = *options;
	endpoint->options.endpoint.name = strdup(options->endpoint.name);
	endpoint->options.endpoint.path = options->endpoint.path ? strdup(options->endpoint.path) : NULL;
	endpoint->options.endpoint.guest =
		options->endpoint.guest ? loop_guest_get(options->endpoint.guest) : loop_guest_create();
	endpoint->accounts.guest = endpoint->options.endpoint.guest;
	if (endpoint->options.endpoint.guest)
		endpoint->control_account =
			loop_account_create(endpoint->options.endpoint.guest, options->endpoint.control);
	if (!endpoint->control_account || !endpoint->options.endpoint.name ||
	    (options->endpoint.path && !endpoint->options.endpoint.path)) {
		endpoint_free(endpoint);
		return NULL;
	}
	log_subject_name(&endpoint->subject, "%s", options->endpoint.name);
	endpoint_socket_init(&endpoint->socket, &endpoint->options.endpoint, &socket_ops, endpoint,
			     &endpoint->subject);
	queues = options->model->queue_count(options->device);
	assert(queues > 0 && (!options->model->messages || options->model->message));
	endpoint->queue_count = queues < VHOST_USER_QUEUES_MAX ? queues : VHOST_USER_QUEUES_MAX;
	endpoint->queue_size_max = options->queue_size_max ? options->queue_size_max : QUEUE_SIZE_DEFAULT;
	assert(endpoint->queue_size_max <= VIRTQUEUE_SIZE_MAX);
	return endpoint;
}

int vhost_user_create(const struct vhost_user_options *options, struct endpoint **ret_endpoint)
{
	struct vhost_user_endpoint *endpoint = vhost_user_endpoint_alloc(options);
	int error = endpoint ? endpoint_socket_open(&endpoint->socket) : -ENOMEM;

	if (!error) {
		*ret_endpoint = &endpoint->base;
		return 0;
	}
	if (endpoint) {
		endpoint_socket_finish(&endpoint->socket);
		endpoint_free(endpoint);
	}
	return error;
}

static void destroy_when_empty(struct vhost_user_endpoint *endpoint)
{
	void (*gone)(void *context) = endpoint->gone;
	void *context = endpoint->gone_context;

	if (endpoint->connection_count > 0)
		return;
	endpoint_free(endpoint);
	if (gone)
		gone(context);
}

static void destroy(struct endpoint *base, void (*gone)(void *context), void *context)
{
	struct vhost_user_endpoint *endpoint = vhost_user_endpoint_of(base);

	assert(!endpoint->destroying);
	endpoint->destroying = true;
	endpoint->gone = gone;
	endpoint->gone_context = context;
	endpoint_socket_finish(&endpoint->socket);
	for (struct vhost_user_connection *connection = endpoint->connections; connection;
	     connection = connection->next)
		vhost_user_connection_close(connection);
	destroy_when_empty(endpoint);
}

static void set_weight(struct endpoint *base, uint32_t weight)
{
	endpoint_accounts_set_weight(&vhost_user_endpoint_of(base)->accounts, weight);
}

/* ---- the control thread's time ---- */

/* The guest pays, and owes it to its budget. The endpoint may be gone behind it; the account is not yet. */
void vhost_user_connection_advance(struct vhost_user_connection *connection)
{
	struct loop *control = vhost_user_connection_control(connection);
	struct loop_account *account = connection->endpoint->control_account;
	uint64_t before_ns;

	loop_pay(control, account);
	before_ns = counter_read(&account->used_ns);
	vhost_user_connection_do_next(connection);
	loop_pay(control, NULL);
	loop_budget_spend(control, account, counter_read(&account->used_ns) - before_ns);
}

void vhost_user_endpoint_remove(struct vhost_user_connection *connection)
{
	struct vhost_user_endpoint *endpoint = connection->endpoint;
	const struct vhost_user_options *options = &endpoint->options;

	if (endpoint->last_owner == connection) {
		endpoint->last_owner = NULL;
		if (options->model->reset && !endpoint->handed_over)
			options->model->reset(options->device);
	}
	vhost_user_endpoint_release(connection);
	free(connection);
	log_debug(&endpoint->subject, "front end gone");
	if (endpoint->destroying) {
		destroy_when_empty(endpoint);
		return;
	}
	endpoint_socket_peer_gone(&endpoint->socket);
	vhost_user_endpoint_check_suspended(endpoint);
}

/* ---- for the daemon ---- */

static void config_changed(struct endpoint *base)
{
	struct vhost_user_endpoint *endpoint = vhost_user_endpoint_of(base);

	for (struct vhost_user_connection *connection = endpoint->connections; connection;
	     connection = connection->next) {
		connection->config_missed |= !vhost_user_queues_running(connection);
		vhost_user_backend_notify(connection);
	}
}

static void move(struct endpoint *base)
{
	struct vhost_user_endpoint *endpoint = vhost_user_endpoint_of(base);

	for (struct vhost_user_connection *connection = endpoint->connections; connection;
	     connection = connection->next) {
		connection->moves = true;
		vhost_user_connection_defer(connection);
	}
}

static void add_counts(struct endpoint_status *status, const struct vhost_user_ring_counts *counts)
{
	status->kicks += counts->kicks;
	status->chains += counts->chains;
	status->calls += counts->calls;
	status->calls_suppressed += counts->suppressed;
}

static void add_connection(struct endpoint_status *status, struct vhost_user_connection *connection)
{
	for (unsigned i = 0; i < connection->queue_count; i++) {
		struct vhost_user_ring_counts counts = vhost_user_queue_counts(&connection->queues[i]);

		status->queues_running += connection->queues[i].started && !connection->queues[i].broken;
		status->queues_starting += __atomic_load_n(&connection->queues[i].starting, __ATOMIC_ACQUIRE);
		status->broken |= connection->queues[i].broken;
		add_counts(status, &counts);
	}
}

static void read_status(const struct endpoint *base, struct endpoint_status *ret_status)
{
	const struct vhost_user_endpoint *endpoint = vhost_user_endpoint_of(base);
	struct endpoint_status status = {
		.connects = endpoint->socket.connects,
		.refused_connects = endpoint->socket.refused_connects,
		.protocol_errors = endpoint->protocol_errors,
		.features = endpoint->owner ? endpoint->owner->features : 0,
	};

	for (unsigned i = VIOLATION_NONE + 1; i < VIOLATIONS; i++)
		status.violations[i - 1] =
			(struct endpoint_violations){ virtqueue_violation_text(i), endpoint->violations[i] };
	add_counts(&status, &endpoint->counts);
	status.cpu_ns = endpoint_accounts_used_ns(&endpoint->accounts) +
			counter_read(&endpoint->control_account->used_ns);
	for (struct vhost_user_connection *connection = endpoint->connections; connection;
	     connection = connection->next) {
		status.connections += !connection->closing;
		add_connection(&status, connection);
	}
	*ret_status = status;
}

static const struct endpoint_ops vhost_user_endpoint_ops = {
	.destroy = destroy,
	.status = read_status,
	.config_changed = config_changed,
	.set_weight = set_weight,
	.move = move,
	.suspend = vhost_user_suspend,
	.save = vhost_user_save,
	.resume = vhost_user_resume,
};
