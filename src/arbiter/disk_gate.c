/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A request asks at its port. Under the gate's lock it is queued at its disk's leaf of the scheduler, and then as many
 * requests as the device has room for are taken from the scheduler, whoever's they are (gate_dispatch()); each is let
 * in on its own worker (gate_lane.c). A request that leaves the device makes room, and the same follows.
 *
 * The lease. A port that has the gate to itself for GATE_ALONE_NS may enter without the lock: there is nobody to be
 * fair to. While it holds the lease, all it has inside is counted by itself, in port->lease. Any other port that asks
 * takes the lease away under the lock. The owner finds out when it next looks at gate->holder; until then its
 * count is read by gate_room() (gate->revoked), and then it hands its count over. A request that slips in or out between
 * is counted a moment later, but the last one out looks again: others may wait for it. Disks with limits or a latency
 * target get no lease.
 *
 * Every request inside is counted in exactly one place: in lease.inside of a port which has or had the lease and has
 * not handed it over, or in gate->depth and port->inside.
 */
#include "arbiter/disk_gate.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "arbiter/disk_gate_private.h"

static struct gate_pass *pass_of(struct scheduler_request *request)
{
	return (struct gate_pass *)((char *)request - offsetof(struct gate_pass, waiting));
}

static uint32_t inside_read(const struct gate_lease *lease)
{
	return __atomic_load_n(&lease->inside, __ATOMIC_RELAXED);
}

/* ---- the lease: its owner, without the lock ---- */

static bool lease_held(const struct gate_port *port)
{
	return __atomic_load_n(&port->gate->holder, __ATOMIC_RELAXED) == port;
}

static bool lease_room(const struct gate_lease *lease)
{
	return lease->inside < lease->parallel || lease->inside_ns < lease->window_ns;
}

static void lease_count(struct gate_lease *lease, int requests, int64_t cost_ns)
{
	__atomic_store_n(&lease->inside, lease->inside + (uint32_t)requests, __ATOMIC_RELAXED);
	__atomic_store_n(&lease->inside_ns, lease->inside_ns + (uint64_t)cost_ns, __ATOMIC_RELAXED);
}

/*
 * A request leaves. True: the lease is still ours. The last one that was inside must not miss that it was taken away,
 * because whoever did so may wait for it: pairs with gate_lease_revoke(), each stores first and then looks.
 */
static bool lease_leave(struct gate_port *port, uint64_t cost_ns)
{
	lease_count(&port->lease, -1, -(int64_t)cost_ns);
	if (port->lease.inside > 0)
		return true;
	__atomic_store_n(&port->lease.inside, 0, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&port->gate->holder, __ATOMIC_SEQ_CST) == port;
}

/* ---- the lease: under the lock ---- */

/* On the port's worker: what it counted is counted by the gate from now on. */
static void lease_hand_over(struct gate_port *port)
{
	struct disk_gate *gate = port->gate;

	gate->depth.inside += port->lease.inside;
	gate->depth.inside_ns += port->lease.inside_ns;
	port->inside += port->lease.inside;
	lease_count(&port->lease, -(int)port->lease.inside, -(int64_t)port->lease.inside_ns);
	if (gate->revoked == port)
		gate->revoked = NULL;
}

void gate_lease_revoke(struct disk_gate *gate)
{
	struct gate_port *holder = gate->holder;

	if (!holder)
		return;
	__atomic_store_n(&gate->holder, NULL, __ATOMIC_SEQ_CST);
	gate->revoked = __atomic_load_n(&holder->lease.inside, __ATOMIC_SEQ_CST) > 0 ? holder : NULL;
}

/* On the port's worker. Everything inside is its own: it counts that itself from now on. */
static void lease_give(struct gate_port *port)
{
	struct disk_gate *gate = port->gate;

	port->lease.parallel = gate->depth.parallel;
	port->lease.window_ns = gate->depth.window_ns;
	lease_count(&port->lease, (int)gate->depth.inside, (int64_t)gate->depth.inside_ns);
	gate->depth.inside = 0;
	gate->depth.inside_ns = 0;
	port->inside = 0;
	gate->busy = false;
	__atomic_store_n(&gate->holder, port, __ATOMIC_RELAXED);
}

static void consider_lease(struct gate_port *port, uint64_t now_ns)
{
	struct disk_gate *gate = port->gate;

	if (gate->last != port) {
		gate->last = port;
		gate->last_since_ns = now_ns;
		return;
	}
	if (now_ns - gate->last_since_ns >= GATE_ALONE_NS && !gate->revoked && scheduler_waiting(gate->scheduler) == 0 &&
	    gate->depth.inside == port->inside && port->lease.inside == 0 && port->node->latency_target_ns == 0 &&
	    !scheduler_node_limited(port->node->node) && disk_depth_room(&gate->depth))
		lease_give(port);
}

/* Under the lock, before a port does anything: the lease is nobody's, and its count is handed over. */
static void settle_lease(struct gate_port *port)
{
	gate_lease_revoke(port->gate);
	if (port->lease.inside > 0 || port->gate->revoked == port)
		lease_hand_over(port);
	if (port->cost_generation != port->gate->cost_generation) {
		port->cost = port->gate->cost;
		port->cost_generation = port->gate->cost_generation;
	}
}

uint64_t gate_now(struct disk_gate *gate, const struct gate_lane *lane)
{
	uint64_t now_ns = loop_now_ns(lane->loop);

	if (now_ns > gate->now_ns)
		gate->now_ns = now_ns;
	return gate->now_ns;
}

/* ---- dispatching, under the lock ---- */

static bool gate_room(const struct disk_gate *gate)
{
	struct disk_depth depth = gate->depth;

	if (!gate->on)
		return true;
	if (gate->revoked) {
		depth.inside += inside_read(&gate->revoked->lease);
		depth.inside_ns += __atomic_load_n(&gate->revoked->lease.inside_ns, __ATOMIC_RELAXED);
	}
	return disk_depth_room(&depth);
}

void gate_dispatch(struct disk_gate *gate, struct gate_lane *here, uint64_t now_ns, struct gate_lane **tell)
{
	uint64_t ready_ns = UINT64_MAX;

	while (scheduler_waiting(gate->scheduler) > 0) {
		struct scheduler_request *request;
		struct gate_pass *pass;

		if (!gate_room(gate)) {
			if (!gate->busy) {
				gate->busy = true;
				gate->busy_since_ns = now_ns;
				gate->window = (struct cost_window){ .wall_ns = 0 };
			}
			return;
		}
		request = scheduler_next(gate->scheduler, now_ns, &ready_ns);
		if (!request)
			break;
		pass = pass_of(request);
		pass->port->inside++;
		disk_depth_enter(&gate->depth, request->cost_ns);
		gate_lane_grant(pass, here, tell);
	}
	gate->busy = false;
	gate_lane_wake_at(here, ready_ns);
}

/* What leaves while the device is kept full tells how fast it is; not while a latency target keeps it emptier than that. */
static void observe(struct disk_gate *gate, const struct gate_pass *pass, uint64_t now_ns)
{
	struct cost_window *window = &gate->window;

	if (!gate->busy)
		return;
	if (gate->depth.opening < DEPTH_OPEN) {
		gate->busy_since_ns = now_ns;
		*window = (struct cost_window){ .wall_ns = 0 };
		return;
	}
	window->requests[pass->kind]++;
	window->bytes[pass->kind] += pass->waiting.bytes;
	if (pass->flush)
		window->requests[COST_FLUSH]++;
	window->wall_ns = now_ns - gate->busy_since_ns;
	if (window->wall_ns < GATE_WINDOW_NS)
		return;
	disk_cost_observe(&gate->cost, &gate->correction, window);
	disk_depth_set_rate(&gate->depth, gate->correction.rate);
	gate->cost_generation++;
	gate->busy_since_ns = now_ns;
	*window = (struct cost_window){ .wall_ns = 0 };
}

/* ---- a request ---- */

static uint64_t pass_cost(const struct gate_port *port, const struct gate_pass *pass)
{
	uint64_t cost_ns = disk_cost_ns(&port->cost, pass->kind, pass->waiting.bytes);

	return pass->flush ? cost_ns + disk_cost_ns(&port->cost, COST_FLUSH, 0) : cost_ns;
}

/*
 * The target that the request is judged by; 0: none. One that takes longer even alone in the device says nothing
 * about what is in there besides, or a guest could close the device for everybody with large requests.
 */
static uint64_t target_of(const struct gate_pass *pass)
{
	uint64_t target_ns = pass->port->node->latency_target_ns;

	return pass->waiting.cost_ns * pass->port->gate->depth.parallel_max < target_ns ? target_ns : 0;
}

/* Under the lock. */
static void count_leave(const struct gate_pass *pass, uint64_t now_ns)
{
	struct gate_port *port = pass->port;
	struct disk_depth *depth = &port->gate->depth;

	assert(port->inside > 0);
	port->inside--;
	disk_depth_leave(depth, pass->waiting.cost_ns);
	observe(port->gate, pass, now_ns);
	disk_depth_report(depth, now_ns - pass->entered_ns, target_of(pass), now_ns);
}

/* True: it is the one that may enter now, before it was out of sight. */
static bool ask(struct gate_port *port, struct gate_pass *pass)
{
	struct disk_gate *gate = port->gate;
	struct gate_lane *tell = NULL;
	uint64_t now_ns;
	bool at_once;

	pass->account = loop_payer(port->lane->loop);
	pthread_mutex_lock(&gate->lock);
	now_ns = gate_now(gate, port->lane);
	settle_lease(port);
	pass->waiting.cost_ns = pass_cost(port, pass);
	scheduler_add(port->node->node, &pass->waiting, now_ns);
	gate_dispatch(gate, port->lane, now_ns, &tell);
	consider_lease(port, now_ns);
	at_once = gate_lane_take_only(port->lane, pass);
	pthread_mutex_unlock(&gate->lock);
	gate_lane_tell(tell);
	if (!at_once)
		loop_account_get(pass->account);
	return at_once;
}

bool gate_enter(struct gate_port *port, struct gate_pass *pass)
{
	pass->port = port;
	pass->uncounted = !__atomic_load_n(&port->gate->on, __ATOMIC_RELAXED);
	if (pass->uncounted)
		return true;
	if (lease_held(port) && lease_room(&port->lease)) {
		pass->waiting.cost_ns = pass_cost(port, pass);
		pass->entered_ns = loop_now_ns(port->lane->loop);
		lease_count(&port->lease, 1, (int64_t)pass->waiting.cost_ns);
		counter_add(&port->counters->device_ns, pass->waiting.cost_ns);
		return true;
	}
	if (ask(port, pass)) {
		pass->entered_ns = loop_now_ns(port->lane->loop);
		counter_add(&port->counters->device_ns, pass->waiting.cost_ns);
		return true;
	}
	counter_add(&port->counters->waiting, 1);
	gate_lane_enter(port->lane);
	return false;
}

void gate_leave(struct gate_pass *pass)
{
	struct gate_port *port = pass->port;
	struct disk_gate *gate = port->gate;
	struct gate_lane *tell = NULL;
	uint64_t now_ns;
	bool leased;

	if (pass->uncounted)
		return;
	leased = lease_held(port);
	if (leased && lease_leave(port, pass->waiting.cost_ns))
		return;
	pthread_mutex_lock(&gate->lock);
	now_ns = gate_now(gate, port->lane);
	settle_lease(port);
	if (!leased)
		count_leave(pass, now_ns);
	gate_dispatch(gate, port->lane, now_ns, &tell);
	consider_lease(port, now_ns);
	pthread_mutex_unlock(&gate->lock);
	gate_lane_tell(tell);
	gate_lane_enter(port->lane);
}

/* ---- ports ---- */

int gate_port_open(struct gate_node *disk, struct loop *loop, struct gate_counters *counters,
		   struct gate_port **ret_port)
{
	struct disk_gate *gate = disk->gate;
	struct gate_port *port = calloc(1, sizeof(*port));

	if (!port)
		return -ENOMEM;
	port->gate = gate;
	port->node = disk;
	port->counters = counters;
	port->lane = gate_lane_get(gate, loop);
	if (!port->lane) {
		free(port);
		return -ENOMEM;
	}
	pthread_mutex_lock(&gate->lock);
	disk->ports++;
	port->cost = gate->cost;
	port->cost_generation = gate->cost_generation;
	pthread_mutex_unlock(&gate->lock);
	*ret_port = port;
	return 0;
}

void gate_port_drain(struct gate_port *port, bool drain)
{
	struct disk_gate *gate = port->gate;
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
	struct disk_gate *gate;

	if (!port)
		return;
	gate = port->gate;
	pthread_mutex_lock(&gate->lock);
	if (gate->holder == port)
		__atomic_store_n(&gate->holder, NULL, __ATOMIC_RELAXED);
	if (port->lease.inside > 0 || gate->revoked == port)
		lease_hand_over(port);
	if (gate->last == port)
		gate->last = NULL;
	assert(port->inside == 0);
	if (port->draining)
		scheduler_drain_end(port->node->node);
	port->node->ports--;
	pthread_mutex_unlock(&gate->lock);
	gate_lane_put(port->lane);
	free(port);
}

/* ---- gates ---- */

int disk_gate_create(const struct disk_cost *cost, struct disk_gate **ret_gate)
{
	struct disk_gate *gate = calloc(1, sizeof(*gate));
	int error;

	if (!gate)
		return -ENOMEM;
	error = scheduler_create(&gate->scheduler);
	if (error) {
		free(gate);
		return error;
	}
	gate->on = true;
	gate->cost = *cost;
	cost_correction_init(&gate->correction, cost);
	disk_depth_init(&gate->depth, cost->parallel, disk_cost_ns(cost, COST_READ_RANDOM, 4096));
	pthread_mutex_init(&gate->lock, NULL);
	*ret_gate = gate;
	return 0;
}

void gate_free(struct disk_gate *gate)
{
	scheduler_destroy(gate->scheduler);
	pthread_mutex_destroy(&gate->lock);
	free(gate);
}

void disk_gate_destroy(struct disk_gate *gate)
{
	bool last;

	if (!gate)
		return;
	assert(!gate->children);
	pthread_mutex_lock(&gate->lock);
	gate->destroyed = true;
	last = !gate->lanes;
	pthread_mutex_unlock(&gate->lock);
	if (last)
		gate_free(gate);
}

void disk_gate_cost(struct disk_gate *gate, struct disk_cost *ret_cost)
{
	pthread_mutex_lock(&gate->lock);
	*ret_cost = gate->cost;
	pthread_mutex_unlock(&gate->lock);
}

double disk_gate_rate(struct disk_gate *gate)
{
	double rate;

	pthread_mutex_lock(&gate->lock);
	rate = gate->correction.rate;
	pthread_mutex_unlock(&gate->lock);
	return rate;
}

void disk_gate_set_cost(struct disk_gate *gate, const struct disk_cost *cost)
{
	pthread_mutex_lock(&gate->lock);
	gate_lease_revoke(gate);
	gate->cost = *cost;
	gate->cost_generation++;
	cost_correction_init(&gate->correction, cost);
	disk_depth_set(&gate->depth, cost->parallel, disk_cost_ns(cost, COST_READ_RANDOM, 4096));
	pthread_mutex_unlock(&gate->lock);
}

void disk_gate_drain(struct disk_gate *gate, bool drain)
{
	pthread_mutex_lock(&gate->lock);
	scheduler_ignore_limits(gate->scheduler, drain, gate->now_ns);
	pthread_mutex_unlock(&gate->lock);
	gate_look_again(gate);
}

void disk_gate_set_on(struct disk_gate *gate, bool on)
{
	pthread_mutex_lock(&gate->lock);
	gate_lease_revoke(gate);
	__atomic_store_n(&gate->on, on, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&gate->lock);
}
