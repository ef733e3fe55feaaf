/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A request asks at its port. Under the gate's lock it is queued at its disk's leaf of the scheduler, and
 * then as many requests as the device has room for are taken from the scheduler, whoever's they are
 * (gate_dispatch()); each is let in on its own worker (gate_lane.c). A request that leaves the device makes
 * room, and the same follows.
 *
 * While nobody has to wait, ports hold leases and enter without the lock: gate_lease.c.
 */
#include "arbiter/share/gate.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "arbiter/share/gate_private.h"
#include "core/clock.h"
#include "core/container.h"

static struct gate_pass *pass_of(struct scheduler_request *request)
{
	return container_of(request, struct gate_pass, waiting);
}

/* ---- leases, without the lock ---- */

static bool lease_held(const struct gate_port *port)
{
	return __atomic_load_n(&port->lease.held, __ATOMIC_RELAXED);
}

/* Stricter than depth_room() by up to one request, or many small parts would let in many too many. */
static bool lease_room(const struct gate_lease *lease, uint64_t cost_ns)
{
	return lease->inside < __atomic_load_n(&lease->parallel, __ATOMIC_RELAXED) ||
	       lease->inside_ns + cost_ns <= __atomic_load_n(&lease->window_ns, __ATOMIC_RELAXED);
}

/* ---- under the lock ---- */

/* Before a port does anything: what it counted is counted by the gate, and it knows the costs. */
static void settle(struct gate_port *port)
{
	gate_lease_settle(port);
	if (port->cost_generation != port->gate->cost_generation) {
		port->cost = port->gate->cost;
		port->cost_generation = port->gate->cost_generation;
	}
}

uint64_t gate_now(struct gate *gate, const struct gate_lane *lane)
{
	uint64_t now_ns = loop_now_ns(lane->loop);

	if (now_ns > gate->now_ns)
		gate->now_ns = now_ns;
	return gate->now_ns;
}

/* ---- dispatching ---- */

static bool gate_room(const struct gate *gate)
{
	struct depth depth = gate->depth;

	if (!gate->on)
		return true;
	gate_lease_inside(gate, &depth);
	return depth_room(&depth);
}

void gate_dispatch(struct gate *gate, struct gate_lane *here, uint64_t now_ns, struct gate_lane **tell)
{
	uint64_t ready_ns = UINT64_MAX;

	while (scheduler_waiting(gate->scheduler) > 0) {
		struct scheduler_request *request;
		struct gate_pass *pass;

		if (!gate_room(gate)) {
			if (gate->holders) {
				/* Who leaves without the lock would not look after those that wait. */
				gate_lease_revoke(gate);
				continue;
			}
			gate_lease_tell(gate, here, tell);
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
		pass->port->inside_ns += request->cost_ns;
		depth_enter(&gate->depth, request->cost_ns);
		gate_lane_grant(pass, here, tell);
	}
	gate->busy = false;
	gate_lane_wake_at(here, ready_ns);
}

/*
 * What leaves while the device is kept full tells how fast it is; not while a latency target keeps it emptier
 * than that.
 */
static void observe(struct gate *gate, const struct gate_pass *pass, uint64_t now_ns)
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
	depth_set_rate(&gate->depth, gate->correction.rate);
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
 * The target that the request is judged by; 0: none. One that takes longer even alone in the device says
 * nothing about what is in there besides, or a guest could close the device for everybody with large
 * requests.
 */
static uint64_t target_of(const struct gate_pass *pass)
{
	uint64_t target_ns = pass->entered_ns > 0 ? pass->port->node->latency_target_ns : 0;

	return pass->waiting.cost_ns * pass->port->gate->depth.parallel_max < target_ns ? target_ns : 0;
}

/* Workers that have looked lately: what the others have not looked at yet has perhaps left as well. */
static unsigned lookers(const struct gate *gate, uint64_t now_ns)
{
	unsigned count = 0;

	for (const struct gate_lane *lane = gate->lanes; lane; lane = lane->next)
		count += lane->look.at_ns + GATE_CALM_NS > now_ns;
	return count;
}

/* A request leaves: the turn's first one begins a look, and ends the one before. */
static void look(struct gate_lane *lane, uint64_t cost_ns)
{
	struct gate *gate = lane->gate;
	uint64_t now_ns = loop_now_ns(lane->loop);

	if (lane->look.at_ns != now_ns) {
		if (lane->look.full)
			depth_look(
				&gate->depth,
				(int64_t)(lane->look.inside_ns - lane->look.left_ns * lookers(gate, now_ns)),
				now_ns);
		lane->look = (struct gate_look){
			.at_ns = now_ns,
			.full = gate->busy && !gate->settling && gate->depth.opening == DEPTH_OPEN,
			.inside_ns = gate->depth.inside_ns,
		};
	}
	lane->look.left_ns += cost_ns;
}

/* Under the lock. */
static void count_leave(const struct gate_pass *pass, uint64_t now_ns)
{
	struct gate_port *port = pass->port;
	struct depth *depth = &port->gate->depth;

	assert(port->inside > 0);
	look(port->lane, pass->waiting.cost_ns);
	port->inside--;
	port->inside_ns -= pass->waiting.cost_ns;
	depth_leave(depth, pass->waiting.cost_ns);
	observe(port->gate, pass, now_ns);
	depth_report(depth, now_ns - pass->entered_ns, target_of(pass), now_ns);
}

/* True: it is the one that may enter now, before it was out of sight. */
static bool ask(struct gate_port *port, struct gate_pass *pass)
{
	struct gate *gate = port->gate;
	struct gate_lane *tell = NULL;
	uint64_t now_ns;
	bool at_once;

	pass->account = loop_payer(port->lane->loop);
	pthread_mutex_lock(&gate->lock);
	now_ns = gate_now(gate, port->lane);
	gate_lease_ask(port, now_ns);
	settle(port);
	pass->waiting.cost_ns = pass_cost(port, pass);
	scheduler_add(port->node->node, &pass->waiting, now_ns);
	gate_dispatch(gate, port->lane, now_ns, &tell);
	gate_lease_consider(port, now_ns);
	at_once = gate_lane_take_only(port->lane, pass);
	pthread_mutex_unlock(&gate->lock);
	gate_lane_tell(tell);
	if (!at_once)
		loop_account_get(pass->account);
	return at_once;
}

/* Out of line, like leave_asking(): who has a lease shall not save registers for those who ask. */
static __attribute__((noinline)) bool enter_asking(struct gate_port *port, struct gate_pass *pass)
{
	if (ask(port, pass)) {
		pass->entered_ns = loop_now_ns(port->lane->loop);
		counter_add(&port->counters->device_ns, pass->waiting.cost_ns);
		return true;
	}
	counter_add(&port->counters->waiting, 1);
	gate_lane_enter(port->lane);
	return false;
}

bool gate_enter(struct gate_port *port, struct gate_pass *pass)
{
	pass->port = port;
	pass->uncounted = !__atomic_load_n(&port->gate->on, __ATOMIC_RELAXED);
	if (pass->uncounted)
		return true;
	pass->waiting.cost_ns = pass_cost(port, pass);
	if (lease_held(port) && lease_room(&port->lease, pass->waiting.cost_ns)) {
		pass->entered_ns = 0;
		gate_lease_count(&port->lease, 1, (int64_t)pass->waiting.cost_ns);
		counter_add(&port->counters->device_ns, pass->waiting.cost_ns);
		return true;
	}
	return enter_asking(port, pass);
}

static __attribute__((noinline)) void leave_asking(struct gate_pass *pass)
{
	struct gate_port *port = pass->port;
	struct gate *gate = port->gate;
	struct gate_lane *tell = NULL;
	uint64_t now_ns;

	pthread_mutex_lock(&gate->lock);
	now_ns = gate_now(gate, port->lane);
	settle(port);
	count_leave(pass, now_ns);
	gate_dispatch(gate, port->lane, now_ns, &tell);
	gate_lease_consider(port, now_ns);
	pthread_mutex_unlock(&gate->lock);
	gate_lane_tell(tell);
	gate_lane_enter(port->lane);
}

void gate_leave(struct gate_pass *pass)
{
	if (pass->uncounted)
		return;
	if (lease_held(pass->port))
		gate_lease_count(&pass->port->lease, -1, -(int64_t)pass->waiting.cost_ns);
	else
		leave_asking(pass);
}

/* ---- ports ---- */

int gate_port_open(struct gate_node *disk, struct loop *loop, struct gate_counters *counters,
		   struct gate_port **ret_port)
{
	struct gate *gate = disk->gate;
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
	struct gate *gate;

	if (!port)
		return;
	gate = port->gate;
	pthread_mutex_lock(&gate->lock);
	gate_lease_close(port);
	assert(port->inside == 0);
	if (port->draining)
		scheduler_drain_end(port->node->node);
	port->node->ports--;
	pthread_mutex_unlock(&gate->lock);
	gate_lane_put(port->lane);
	free(port);
}

/* ---- gates ---- */

int gate_create(const struct disk_cost *cost, struct gate **ret_gate)
{
	struct gate *gate = calloc(1, sizeof(*gate));
	int error;

	if (!gate)
		return -ENOMEM;
	error = scheduler_create(&gate->scheduler);
	if (error) {
		free(gate);
		return error;
	}
	gate->on = true;
	gate->clock_ns = clock_now_ns;
	gate->cost = *cost;
	cost_correction_init(&gate->correction, cost);
	depth_init(&gate->depth, cost->parallel, disk_cost_ns(cost, COST_READ_RANDOM, 4096));
	pthread_mutex_init(&gate->lock, NULL);
	*ret_gate = gate;
	return 0;
}

void gate_free(struct gate *gate)
{
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
	gate->destroyed = true;
	last = !gate->lanes;
	pthread_mutex_unlock(&gate->lock);
	if (last)
		gate_free(gate);
}

void gate_cost(struct gate *gate, struct disk_cost *ret_cost)
{
	pthread_mutex_lock(&gate->lock);
	*ret_cost = gate->cost;
	pthread_mutex_unlock(&gate->lock);
}

double gate_rate(struct gate *gate)
{
	double rate;

	pthread_mutex_lock(&gate->lock);
	rate = gate->correction.rate;
	pthread_mutex_unlock(&gate->lock);
	return rate;
}

void gate_set_cost(struct gate *gate, const struct disk_cost *cost)
{
	pthread_mutex_lock(&gate->lock);
	gate_lease_revoke(gate);
	gate->cost = *cost;
	gate->cost_generation++;
	cost_correction_init(&gate->correction, cost);
	depth_set(&gate->depth, cost->parallel, disk_cost_ns(cost, COST_READ_RANDOM, 4096));
	pthread_mutex_unlock(&gate->lock);
}

void gate_drain(struct gate *gate, bool drain)
{
	pthread_mutex_lock(&gate->lock);
	scheduler_ignore_limits(gate->scheduler, drain, gate->now_ns);
	pthread_mutex_unlock(&gate->lock);
	gate_look_again(gate);
}

void gate_set_on(struct gate *gate, bool on)
{
	pthread_mutex_lock(&gate->lock);
	gate_lease_revoke(gate);
	__atomic_store_n(&gate->on, on, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&gate->lock);
}
