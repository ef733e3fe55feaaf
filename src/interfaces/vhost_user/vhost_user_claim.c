/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Of all front ends that are connected to an endpoint, the rings of one run at a time. */
#include "core/clock.h"
#include "core/loop.h"
#include "interfaces/vhost_user/vhost_user_connection.h"
#include "interfaces/vhost_user/vhost_user_endpoint.h"
#include "interfaces/vhost_user/vhost_user_queue.h"

/* So long may a front end that went be on its way through its doorman. */
#define CLAIM_NS (NS_PER_S / 2)

void vhost_user_connection_wait(struct vhost_user_connection *connection)
{
	struct loop *control = vhost_user_connection_control(connection);

	connection->busy = connection->waits_for_claim = true;
	if (!connection->endpoint->owner->closing)
		loop_timer_start(control, &connection->timer, loop_now_ns(control) + CLAIM_NS);
}

void vhost_user_connection_end_wait(struct vhost_user_connection *connection)
{
	connection->busy = connection->waits_for_claim = false;
	loop_timer_stop(vhost_user_connection_control(connection), &connection->timer);
}

bool vhost_user_endpoint_claim(struct vhost_user_connection *connection, bool *ret_wait)
{
	struct vhost_user_endpoint *endpoint = connection->endpoint;
	struct vhost_user_connection *owner = endpoint->owner;

	*ret_wait = false;
	if (!owner || owner == connection) {
		endpoint->owner = endpoint->last_owner = connection;
		return true;
	}
	/* A VMM that was killed and started again is here before we have read that it went. */
	if (vhost_user_connection_hung_up(owner))
		vhost_user_connection_close(owner);
	/* That it went may still be with its doorman. */
	*ret_wait = owner->closing || endpoint->options.endpoint.porter;
	return false;
}

static void go_on(struct vhost_user_connection *connection)
{
	enum vhost_user_outcome outcome;

	vhost_user_connection_end_wait(connection);
	outcome = vhost_user_rings_start(connection);
	if (outcome != VHOST_USER_LATER)
		vhost_user_message_finish(connection, outcome);
	vhost_user_connection_defer(connection);
}

void vhost_user_endpoint_release(struct vhost_user_connection *connection)
{
	struct vhost_user_endpoint *endpoint = connection->endpoint;

	if (endpoint->owner != connection)
		return;
	endpoint->owner = NULL;
	for (struct vhost_user_connection *other = endpoint->connections; other; other = other->next)
		if (other->waits_for_claim && !other->closing)
			go_on(other);
}
