/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gates and ports as objects: made, changed and freed. Requests pass in gate.c. */
#include "arbiter/share/gate.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "arbiter/share/gate_private.h"
#include "core/clock.h"

/* A worker that comes late to let something in makes up for it within this time. */
#define PACE_BURST_NS (2 * NS_PER_MS)

/* ---- ports ---- */

int gate_port_open(struct gate_node *leaf, struct loop *loop, struct gate_counters *counters, void *owner,
		   struct gate_port **ret_port)
{
	struct gate *gate = leaf->gate;
	struct gate_port *port = calloc(1, sizeof(*port));

	assert(!leaf->children);
	assert(counters);
	if (!port)
		return -ENOMEM;
	port->gate = gate;
	port->node = leaf;
	port->owner = owner;
	port->counters = counters;
	port->lane = gate_lane_get(gate, loop);
	if (!port->lane) {
		free(port);
		return -ENOMEM;
	}
	pthread_mutex_lock(&gate->lock);
	assert(!gate->destroyed);
	port->lane_next = port->lane->first_port;
	port->lane->first_port = port;
	leaf->ports++;
	gate->device->ops->port_costs(gate->device, owner, NULL);
	port->cost_generation = gate->cost_generation;
	pthread_mutex_unlock(&gate->lock);
	*ret_port = port;
	return 0;
}

void gate_port_drain(struct gate_port *port, bool drain)
{
	struct gate *gate = port->gate;
	struct gate_lane *tell = NULL;

	if (port->draining == drain)
		return;
	port->draining = drain;
	pthread_mutex_lock(&gate->lock);
	if (drain) {
		uint64_t now_ns = gate_now(gate, port->lane);

		scheduler_drain_begin(port->node->node, now_ns);
		gate_dispatch(gate, port->lane, now_ns, &tell);
	} else {
		scheduler_drain_end(port->node->node);
	}
	pthread_mutex_unlock(&gate->lock);
	gate_lane_tell(tell);
	gate_lane_enter(port->lane);
}

void gate_port_close(struct gate_port *port)
{
	struct gate_port **link;
	struct gate *gate;

	if (!port)
		return;
	gate = port->gate;
	link = &port->lane->first_port;
	assert(counter_read(&port->counters->waiting) == 0);
	pthread_mutex_lock(&gate->lock);
	gate_lease_close(port);
	assert(port->inside == 0 && port->inside_ns == 0 && port->node->ports > 0);
	if (port->draining)
		scheduler_drain_end(port->node->node);
	while (*link != port)
		link = &(*link)->lane_next;
	*link = port->lane_next;
	if (--port->node->ports == 0 && gate->wanting == port->node)
		gate->wanting = NULL;
	pthread_mutex_unlock(&gate->lock);
	gate_lane_put(port->lane);
	free(port);
}

/* ---- gates ---- */

static bool is_complete(const struct gate_device_ops *ops)
{
	return ops->noun && ops->window_begin && ops->window_add && ops->window_end && ops->port_costs &&
	       ops->reservation_ppb && ops->describe_ppb;
}

static void set_bound(struct gate *gate, const struct gate_bound *bound)
{
	gate->request_ns = bound->request_ns;
	gate->known = bound->known;
	gate->seen_ns = 0;
	depth_set(&gate->depth, bound->parallel, bound->window_ns);
	if (bound->sought)
		depth_seek(&gate->depth);
}

int gate_create(struct gate_device *device, const struct gate_bound *bound, struct gate **ret_gate)
{
	struct gate *gate = calloc(1, sizeof(*gate));
	int error;

	assert(bound->parallel > 0);
	assert(is_complete(device->ops));
	if (!gate)
		return -ENOMEM;
	error = scheduler_create(&gate->scheduler);
	if (error) {
		free(gate);
		return error;
	}
	gate->on = true;
	gate->clock_ns = clock_now_ns;
	gate->device = device;
	gate->level = 1;
	depth_init(&gate->depth, bound->parallel, bound->window_ns);
	set_bound(gate, bound);
	pthread_mutex_init(&gate->lock, NULL);
	*ret_gate = gate;
	return 0;
}

void gate_free(struct gate *gate)
{
	assert(gate->destroyed && !gate->lanes && !gate->holders && !gate->settling);
	assert(!gate->children && gate->holder_count == 0);
	assert(gate->depth.inside == 0 && gate->depth.inside_ns == 0);
	scheduler_destroy(gate->scheduler);
	pthread_mutex_destroy(&gate->lock);
	free(gate);
}

void gate_destroy(struct gate *gate)
{
	bool last;

	if (!gate)
		return;
	assert(!gate->children);
	pthread_mutex_lock(&gate->lock);
	assert(!gate->destroyed);
	gate->destroyed = true;
	last = !gate->lanes;
	pthread_mutex_unlock(&gate->lock);
	if (last)
		gate_free(gate);
}

void gate_costs_changed(struct gate *gate, const struct gate_bound *bound)
{
	assert(bound->parallel > 0);
	pthread_mutex_lock(&gate->lock);
	assert(!gate->destroyed);
	gate_lease_revoke(gate);
	gate->cost_generation++;
	set_bound(gate, bound);
	pthread_mutex_unlock(&gate->lock);
}

void gate_believe(struct gate *gate, struct gate_belief *ret_belief)
{
	const struct depth *depth = &gate->depth;

	pthread_mutex_lock(&gate->lock);
	*ret_belief = (struct gate_belief){
		.known = gate->known,
		.window_ns = depth->search.window_ns > 0 ? (uint64_t)depth->search.window_ns
							 : depth->window_max_ns,
		.since_ns = gate->busy_last_ns,
	};
	pthread_mutex_unlock(&gate->lock);
}

void gate_drain(struct gate *gate, bool drain)
{
	pthread_mutex_lock(&gate->lock);
	assert(!gate->destroyed);
	scheduler_ignore_limits(gate->scheduler, drain, gate->now_ns);
	pthread_mutex_unlock(&gate->lock);
	gate_look_again(gate);
}

void gate_set_on(struct gate *gate, bool on)
{
	pthread_mutex_lock(&gate->lock);
	assert(!gate->destroyed);
	gate_lease_revoke(gate);
	__atomic_store_n(&gate->on, on, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&gate->lock);
}

void gate_set_room(struct gate *gate, enum gate_room room)
{
	enum gate_room before;

	pthread_mutex_lock(&gate->lock);
	before = gate->room;
	__atomic_store_n(&gate->room, room, __ATOMIC_RELAXED);
	gate->crowded_ns = gate->now_ns;
	if (room != GATE_ROOM_ENOUGH)
		gate_lease_revoke(gate);
	pthread_mutex_unlock(&gate->lock);
	if (room < before)
		gate_look_again(gate);
}

void gate_set_paced(struct gate *gate, bool paced)
{
	uint64_t rate = paced ? NS_PER_S : 0;

	pthread_mutex_lock(&gate->lock);
	assert(!gate->destroyed);
	gate_lease_revoke(gate);
	if (gate->pace.rate != rate)
		bucket_set(&gate->pace, rate, PACE_BURST_NS, 1, gate->now_ns);
	pthread_mutex_unlock(&gate->lock);
	gate_look_again(gate);
}

/* ---- counters ---- */

void gate_counters_add(struct gate_counters *to, const struct gate_counters *from)
{
	counter_add(&to->device_ns, counter_read(&from->device_ns));
	counter_add(&to->throttled_ns, counter_read(&from->throttled_ns));
	counter_add(&to->contended_ns, counter_read(&from->contended_ns));
	counter_add(&to->waiting, counter_read(&from->waiting));
	histogram_merge(&to->wait, &from->wait);
}
