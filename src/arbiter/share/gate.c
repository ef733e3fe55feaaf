/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A request asks at its port. Under the gate's lock it is queued at the port's leaf of the scheduler, and
 * then as many requests as the device has room for are taken from the scheduler, those of all ports alike
 * (gate_dispatch()); each is let in on its own worker (gate_lane.c). A request that leaves the device makes
 * room, and the same follows.
 *
 * While no request has to wait, ports hold leases and enter without the lock: gate_lease.c. While one leaf
 * alone wants the device, there is always room.
 */
#include "arbiter/share/gate.h"

#include <assert.h>
#include <math.h>

#include "arbiter/share/gate_private.h"
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

/*
 * Before a port does anything under the lock: its own count is added to the gate's, and its owner knows the
 * costs as they are now. `pass` asks for admission; NULL: none does.
 */
static void catch_up(struct gate_port *port, struct gate_pass *pass)
{
	struct gate *gate = port->gate;

	gate_lease_settle(port);
	assert(gate->depth.inside >= port->inside && gate->depth.inside_ns >= port->inside_ns);
	if (port->cost_generation == gate->cost_generation)
		return;
	gate->device->ops->port_costs(gate->device, port->owner, pass);
	port->cost_generation = gate->cost_generation;
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
	gate_away_inside(gate, &depth);
	if (gate->room == GATE_ROOM_NONE)
		return false;
	/* Where the pace decides how much enters, the order is all that matters, too. */
	if (gate->room == GATE_ROOM_ONE || gate->pace.rate > 0)
		return depth.inside == 0;
	return gate_is_lone(gate) || depth_room(&depth);
}

/* How long the pace holds all back. A request that is let in may leave it in debt. */
static uint64_t pace_wait_ns(struct gate *gate, uint64_t now_ns)
{
	return gate->on ? bucket_wait_ns(&gate->pace, 1, now_ns) : 0;
}

static void window_begin(struct gate *gate, uint64_t now_ns)
{
	assert(gate->busy && now_ns >= gate->busy_since_ns);
	gate->busy_since_ns = now_ns;
	gate->device->ops->window_begin(gate->device);
}

/* The device is full: what follows when it has room again? */
static void wait_for_room(struct gate *gate, struct gate_lane *here, uint64_t now_ns, uint64_t ready_ns,
			  struct gate_lane **tell)
{
	uint64_t look_ns = gate->room == GATE_ROOM_NONE ? UINT64_MAX : gate->away_looked_ns + GATE_AWAY_NS;

	gate_lease_tell(gate, here, tell);
	if (!gate->busy) {
		gate->busy = true;
		window_begin(gate, now_ns);
	}
	/* Others wait for a request that leaves, or for a worker to be seen standing still. */
	if (scheduler_light_waiting(gate->scheduler) == 0)
		ready_ns = UINT64_MAX;
	gate_lane_wake_at(here, look_ns < ready_ns ? look_ns : ready_ns);
}

static void admit(struct gate *gate, struct gate_pass *pass, struct gate_lane *here, struct gate_lane **tell)
{
	assert(pass->port->gate == gate);
	assert(!pass->inside);
	if (!pass->waiting.light) {
		gate_note_wish(gate, pass->port->node, gate->now_ns);
		bucket_take(&gate->pace, pass->waiting.cost_ns);
		gate_count_inside(pass->port, 1, (int64_t)pass->waiting.cost_ns);
		gate_count_wishes(pass->port->node, -1);
		depth_entered(&gate->depth, gate->depth.inside_ns, gate->now_ns);
	}
	gate_lane_grant(pass, here, tell);
}

void gate_dispatch(struct gate *gate, struct gate_lane *here, uint64_t now_ns, struct gate_lane **tell)
{
	struct scheduler *scheduler = gate->scheduler;
	uint64_t ready_ns = UINT64_MAX;

	assert(here->gate == gate);
	while (scheduler_waiting(scheduler) > 0) {
		struct scheduler_request *request = NULL;
		uint64_t pace_ns = pace_wait_ns(gate, now_ns);
		bool room = gate_room(gate);

		if (!room && gate->holders) {
			/* A request that leaves without the lock would let in none that waits. */
			gate_lease_revoke(gate);
			continue;
		}
		if (room && pace_ns == 0)
			request = scheduler_next(scheduler, now_ns, &ready_ns);
		else if (scheduler_light_waiting(scheduler) > 0)
			request = scheduler_next_light(scheduler, now_ns, &ready_ns);
		if (request) {
			admit(gate, pass_of(request), here, tell);
			continue;
		}
		if (!room && gate_away_look(gate, here, now_ns, tell))
			continue;
		if (!room) {
			wait_for_room(gate, here, now_ns, ready_ns, tell);
			return;
		}
		if (pace_ns > 0 && now_ns + pace_ns < ready_ns)
			ready_ns = now_ns + pace_ns;
		break;
	}
	/* What still waits, waits for a limit. */
	assert(scheduler_waiting(scheduler) == 0 || !gate->holders);
	gate->busy = false;
	gate_lane_wake_at(here, ready_ns);
}

static void learn(struct gate *gate, uint64_t wall_ns, uint64_t now_ns)
{
	struct gate_costs costs = gate->device->ops->window_end(gate->device, wall_ns);

	gate->request_ns = costs.request_ns;
	gate->cost_generation++;
	gate->busy_last_ns = now_ns;
	gate->seen_ns += wall_ns;
	gate->known |= gate->seen_ns >= GATE_KNOWN_NS;
	if (fabs(costs.level / gate->level - 1) < GATE_LEVEL_PART)
		return;
	depth_scale(&gate->depth, costs.level / gate->level);
	scheduler_set_level(gate->scheduler, costs.level);
	gate->level = costs.level;
}

/*
 * What leaves while the device is kept full tells how fast it is; not while a latency target keeps it emptier
 * than that.
 */
static void observe(struct gate *gate, const struct gate_pass *pass, uint64_t now_ns)
{
	const struct gate_device_ops *ops = gate->device->ops;

	if (!gate->busy)
		return;
	if (gate->depth.opening < DEPTH_OPEN) {
		window_begin(gate, now_ns);
		return;
	}
	assert(now_ns >= gate->busy_since_ns);
	ops->window_add(gate->device, pass);
	if (now_ns - gate->busy_since_ns < GATE_WINDOW_NS)
		return;
	learn(gate, now_ns - gate->busy_since_ns, now_ns);
	window_begin(gate, now_ns);
}

/* ---- a request ---- */

/*
 * The target that the request is judged by; 0: none. A request that takes longer than its target even alone
 * in the device says nothing about what is in there besides; or a guest could close the device for all others
 * with large requests. Nor does one whose worker stood still meanwhile.
 */
static uint64_t target_of(const struct gate_pass *pass)
{
	const struct gate *gate = pass->port->gate;
	bool seen = pass->entered_ns > pass->port->lane->back_ns && !gate_is_lone(gate);
	uint64_t target_ns = seen ? pass->port->node->latency_target_ns : 0;
	/* What is inside together takes about as long as one of them alone. */
	double alone_ns = (double)gate->depth.window_max_ns / (double)gate->request_ns *
			  (double)pass->waiting.cost_ns;

	return alone_ns < (double)target_ns ? target_ns : 0;
}

/* Under the lock. */
static void count_leave(const struct gate_pass *pass, uint64_t now_ns)
{
	struct gate_port *port = pass->port;
	struct gate *gate = port->gate;
	struct depth *depth = &gate->depth;

	assert(now_ns >= pass->entered_ns);
	gate_count_inside(port, -1, -(int64_t)pass->waiting.cost_ns);
	observe(gate, pass, now_ns);
	depth_report(depth, now_ns - pass->entered_ns, target_of(pass), now_ns);
	if (gate_is_lone(gate) || gate->settling || gate->away > 0)
		depth_rest(depth);
	else
		depth_left(depth, pass->waiting.cost_ns, depth->inside_ns, gate->busy, now_ns);
}

/* True: the request may enter at once, alone; it was never out of the caller's sight. */
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
	catch_up(port, pass);
	if (!pass->waiting.light)
		gate_count_wishes(port->node, 1);
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

/* Out of line, like leave_asking(): a port with a lease shall not save registers for those that ask. */
static __attribute__((noinline)) bool enter_asking(struct gate_port *port, struct gate_pass *pass)
{
	assert(pass->enter);
	if (ask(port, pass)) {
		pass->inside = true;
		pass->entered_ns = loop_now_ns(port->lane->loop);
		counter_add(&port->counters->device_ns, pass->waiting.light ? 0 : pass->waiting.cost_ns);
		return true;
	}
	counter_add(&port->counters->waiting, 1);
	gate_lane_enter(port->lane);
	return false;
}

/* True: no limit may hold the port's light passes back. */
static bool is_free(struct gate_port *port)
{
	struct gate *gate = port->gate;
	bool unlimited;

	/* A port with a lease has no limits. */
	if (lease_held(port))
		return true;
	pthread_mutex_lock(&gate->lock);
	unlimited = !scheduler_node_limited(port->node->node);
	if (unlimited) {
		catch_up(port, NULL);
		gate_lease_consider(port, gate_now(gate, port->lane));
	}
	pthread_mutex_unlock(&gate->lock);
	return unlimited;
}

bool gate_enter(struct gate_port *port, struct gate_pass *pass)
{
	assert(pass->waiting.cost_ns > 0);
	pass->port = port;
	pass->inside = true;
	pass->uncounted = pass->waiting.light || !__atomic_load_n(&port->gate->on, __ATOMIC_RELAXED);
	if (pass->uncounted && (!pass->waiting.light || is_free(port)))
		return true;
	if (!pass->waiting.light && lease_held(port) && lease_room(&port->lease, pass->waiting.cost_ns)) {
		pass->entered_ns = 0;
		gate_lease_count(&port->lease, 1, (int64_t)pass->waiting.cost_ns);
		counter_add(&port->counters->device_ns, pass->waiting.cost_ns);
		return true;
	}
	pass->inside = false;
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
	catch_up(port, NULL);
	count_leave(pass, now_ns);
	gate_dispatch(gate, port->lane, now_ns, &tell);
	gate_lease_consider(port, now_ns);
	pthread_mutex_unlock(&gate->lock);
	gate_lane_tell(tell);
	gate_lane_enter(port->lane);
}

void gate_leave(struct gate_pass *pass)
{
	assert(pass->inside);
	pass->inside = false;
	if (pass->uncounted)
		return;
	if (lease_held(pass->port))
		gate_lease_count(&pass->port->lease, -1, -(int64_t)pass->waiting.cost_ns);
	else
		leave_asking(pass);
}

void gate_leave_to_ask(struct gate_pass *pass)
{
	struct gate_port *port = pass->port;

	if (pass->uncounted || lease_held(port)) {
		gate_leave(pass);
		return;
	}
	assert(pass->inside);
	pass->inside = false;
	pthread_mutex_lock(&port->gate->lock);
	catch_up(port, NULL);
	count_leave(pass, gate_now(port->gate, port->lane));
	pthread_mutex_unlock(&port->gate->lock);
}

bool gate_port_asks(const struct gate_port *port)
{
	return !lease_held(port);
}

bool gate_port_shut(const struct gate_port *port)
{
	return __atomic_load_n(&port->gate->room, __ATOMIC_RELAXED) == GATE_ROOM_NONE;
}

void gate_cancel(struct gate_pass *pass)
{
	struct gate_port *port = pass->port;
	struct gate *gate = port->gate;
	struct gate_lane *tell = NULL;
	uint64_t now_ns;

	assert(!pass->inside && counter_read(&port->counters->waiting) > 0);
	pthread_mutex_lock(&gate->lock);
	now_ns = gate_now(gate, port->lane);
	gate_away_end(port->lane, now_ns);
	catch_up(port, NULL);
	if (!gate_lane_take(port->lane, pass)) {
		scheduler_cancel(&pass->waiting);
		if (!pass->waiting.light)
			gate_count_wishes(port->node, -1);
	} else if (!pass->waiting.light) {
		gate_count_inside(port, -1, -(int64_t)pass->waiting.cost_ns);
	}
	gate_dispatch(gate, port->lane, now_ns, &tell);
	pthread_mutex_unlock(&gate->lock);
	counter_add(&port->counters->waiting, (uint64_t)-1);
	loop_account_put(port->lane->loop, pass->account);
	gate_lane_tell(tell);
	gate_lane_enter(port->lane);
}
