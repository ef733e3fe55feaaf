/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of the vhost-user server. Endpoint (vhost_user.c) > connections (vhost_user_connection.c) > queues
 * (vhost_user_queues.c). Everything here is the control thread's.
 */
#ifndef VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_ENDPOINT_H
#define VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/container.h"
#include "core/log.h"
#include "core/slowness.h"
#include "interfaces/endpoint.h"
#include "interfaces/endpoint_accounts.h"
#include "interfaces/endpoint_socket.h"
#include "interfaces/vhost_user/vhost_user.h"
#include "interfaces/vhost_user/vhost_user_queue.h"

struct handover;
struct loop_account;
struct vhost_user_connection;

/* A VMM uses one connection, a live migration two; the rest is for clients that come and go. */
#define VHOST_USER_CONNECTIONS_MAX 8

struct vhost_user_endpoint {
	struct endpoint base;
	struct vhost_user_options options;	/* name, path and guest (never NULL) are ours */
	struct endpoint_accounts accounts;
	struct loop_account *control_account;	/* of the endpoint's time on the control thread */
	struct log_subject subject;
	unsigned queue_count;
	unsigned queue_size_max;

	struct endpoint_socket socket;

	struct vhost_user_connection *connections;
	unsigned connection_count;
	/* The connection whose rings run, or are being started or stopped; NULL: none. */
	struct vhost_user_connection *owner;
	/* The owner, or the one before: what the driver configured of the device is this connection's. */
	struct vhost_user_connection *last_owner;

	bool suspending, handed_over, destroying;
	void (*suspended)(void *context);
	void *suspended_context;
	void (*gone)(void *context);
	void *gone_context;

	struct slowness error_writes;	/* to err descriptors */
	uint64_t protocol_errors;
	uint64_t violations[VIOLATIONS];
	struct vhost_user_ring_counts counts;	/* of rings that ended */
};

static inline struct vhost_user_endpoint *vhost_user_endpoint_of(const struct endpoint *endpoint)
{
	return container_of((struct endpoint *)endpoint, struct vhost_user_endpoint, base);
}

static inline struct loop *vhost_user_endpoint_control(const struct vhost_user_endpoint *endpoint)
{
	return endpoint->options.endpoint.control;
}

/* An endpoint without sockets; NULL when out of memory. */
struct vhost_user_endpoint *vhost_user_endpoint_alloc(const struct vhost_user_options *options);

/* What is offered: virtio's features with the transport's own, and vhost-user's protocol features. */
uint64_t vhost_user_endpoint_features(const struct vhost_user_endpoint *endpoint);
/* These, and what a front end may acknowledge on its own account. */
uint64_t vhost_user_endpoint_accepted_features(const struct vhost_user_endpoint *endpoint);
uint64_t vhost_user_endpoint_protocol_features(const struct vhost_user_endpoint *endpoint);

/*
 * May this connection run rings? One at a time does. false and *ret_wait: the present owner is going away,
 * vhost_user_endpoint_release() goes on with the start; false and not *ret_wait: refused.
 */
bool vhost_user_endpoint_claim(struct vhost_user_connection *connection, bool *ret_wait);
void vhost_user_endpoint_release(struct vhost_user_connection *connection);
/* The connection is about to be freed. */
void vhost_user_endpoint_remove(struct vhost_user_connection *connection);

/* ---- vhost_user_handover.c ---- */

/* A connection came to rest: is the whole endpoint suspended now? */
void vhost_user_endpoint_check_suspended(struct vhost_user_endpoint *endpoint);
/* Of the endpoint's ops. */
void vhost_user_suspend(struct endpoint *base, void (*suspended)(void *context), void *context);
void vhost_user_save(struct endpoint *base, struct handover *handover);
void vhost_user_resume(struct endpoint *base);

#endif
