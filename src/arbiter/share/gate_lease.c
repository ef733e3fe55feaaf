/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * While no request has to wait there is nothing to decide: ports then hold leases, each for its part of the
 * device's bound, and let requests enter within that part without the lock. The ports of a leaf that alone
 * wants the device hold leases without bound. From the moment it gets a lease, a port counts its requests
 * inside the device itself, in port->lease.
 *
 * All leases end, under the lock, as soon as one port finds the device full or its part used up, or asks
 * for a request that must be observed (limits, latency targets), or when another leaf asks beside leases
 * without bound. A port learns that its lease has ended when it next looks at lease.held, and then
 * *settles*: it adds its own count to the gate's. Until then the port is in gate->settling, and
 * gate_lease_inside() reads its count. A request that enters or leaves in between is counted a moment
 * later. If one that leaves then makes room for a request that waits, no port would notice; so when a
 * request waits, the ports that have to settle are told by a message. Leases cost no memory barrier.
 *
 * No lease is held while something waits in the scheduler. Every request inside is counted in exactly one
 * place: in lease.inside of a port that holds a lease or has to settle, or in gate->depth and port->inside.
 */
#include <assert.h>

#include "arbiter/share/gate_private.h"

/* Is there a part for one more holder: at least one request, or a small request's cost? */
static bool one_more(const struct gate *gate)
{
	unsigned holders = gate->holder_count + 1;

	return gate->unbounded || holders <= gate->depth.parallel ||
	       gate->depth.window_ns / holders >= gate->request_ns;
}

/* All holders get the same part. */
static void divide(struct gate *gate)
{
	unsigned holders = gate->holder_count;
	uint32_t parallel = UINT32_MAX;
	uint64_t window_ns = UINT64_MAX;

	assert(!gate->holders == (holders == 0));
	if (!gate->unbounded && holders > 0) {
		parallel = gate->depth.parallel / holders;
		window_ns = gate->depth.window_ns / holders;
	}
	for (struct gate_port *port = gate->holders; port; port = port->lease.next) {
		__atomic_store_n(&port->lease.parallel, parallel, __ATOMIC_RELAXED);
		__atomic_store_n(&port->lease.window_ns, window_ns, __ATOMIC_RELAXED);
	}
}

static void unlink_port(struct gate_port **link, const struct gate_port *port)
{
	while (*link && *link != port)
		link = &(*link)->lease.next;
	assert(*link);
	*link = port->lease.next;
}

void gate_lease_revoke(struct gate *gate)
{
	struct gate_port *next;

	for (struct gate_port *port = gate->holders; port; port = next) {
		next = port->lease.next;
		assert(port->lease.held && !port->lease.settling && gate->holder_count > 0);
		gate->holder_count--;
		__atomic_store_n(&port->lease.held, false, __ATOMIC_RELAXED);
		if (__atomic_load_n(&port->lease.inside, __ATOMIC_RELAXED) == 0)
			continue;
		port->lease.settling = true;
		port->lease.next = gate->settling;
		gate->settling = port;
	}
	gate->holders = NULL;
	assert(gate->holder_count == 0);
}

static bool for_lease(const struct gate_port *port)
{
	const struct gate *gate = port->gate;

	return gate->room == GATE_ROOM_ENOUGH && gate->pace.rate == 0 &&
	       port->node->latency_target_ns == 0 && !scheduler_node_limited(port->node->node);
}

/* Whether a leaf with a lease wants the device is not known: it does. */
static void note_holders(struct gate *gate, const struct gate_port *asking, uint64_t now_ns)
{
	for (const struct gate_port *port = gate->holders; port; port = port->lease.next)
		if (port->node != asking->node)
			gate->shared_ns = now_ns;
}

void gate_lease_ask(struct gate_port *port, uint64_t now_ns)
{
	struct gate *gate = port->gate;
	bool another = gate_note_wish(gate, port->node, now_ns);

	if (!gate->holders || (!port->lease.held && for_lease(port) && !(another && gate->unbounded)))
		return;
	note_holders(gate, port, now_ns);
	gate->crowded_ns = now_ns;
	gate_lease_revoke(gate);
}

void gate_lease_settle(struct gate_port *port)
{
	struct gate *gate = port->gate;

	assert(!port->lease.held);
	if (port->lease.settling)
		unlink_port(&gate->settling, port);
	port->lease.settling = false;
	gate_count_inside(port, (int)port->lease.inside, (int64_t)port->lease.inside_ns);
	gate_lease_count(&port->lease, -(int)port->lease.inside, -(int64_t)port->lease.inside_ns);
}

/* On the port's worker; the port has settled. From now on the port counts its requests inside itself. */
static void give(struct gate_port *port)
{
	struct gate *gate = port->gate;

	assert(!port->lease.held && port->lease.inside == 0 && port->lease.inside_ns == 0);
	gate_lease_count(&port->lease, (int)port->inside, (int64_t)port->inside_ns);
	gate_count_inside(port, -(int)port->inside, -(int64_t)port->inside_ns);
	gate->busy = false;
	depth_rest(&gate->depth);
	if (!gate->holders)
		gate->unbounded = gate_is_lone(gate) && gate->wanting == port->node;
	port->lease.next = gate->holders;
	gate->holders = port;
	gate->holder_count++;
	__atomic_store_n(&port->lease.held, true, __ATOMIC_RELAXED);
	divide(gate);
}

/* Nobody has had to wait for long enough; while several share the device, also not for a narrower bound. */
static bool is_calm(const struct gate *gate, uint64_t now_ns)
{
	uint64_t trial_ns = gate_is_lone(gate) ? 0 : depth_trial_ns(&gate->depth);

	return now_ns - gate->crowded_ns >= (trial_ns > GATE_CALM_NS ? trial_ns : GATE_CALM_NS);
}

void gate_lease_consider(struct gate_port *port, uint64_t now_ns)
{
	struct gate *gate = port->gate;

	assert(!port->lease.settling);
	if (scheduler_waiting(gate->scheduler) > 0)
		gate->crowded_ns = now_ns;
	else if (is_calm(gate, now_ns) && !port->lane->away && for_lease(port) && one_more(gate))
		give(port);
}

void gate_lease_tell(struct gate *gate, const struct gate_lane *here, struct gate_lane **tell)
{
	assert(!gate->holders);
	for (struct gate_port *port = gate->settling; port; port = port->lease.next)
		if (port->lane != here)
			gate_lane_later(port->lane, tell);
}

void gate_lease_settle_lane(struct gate_lane *lane)
{
	struct gate_port *next;

	for (struct gate_port *port = lane->gate->settling; port; port = next) {
		assert(port->lease.settling);
		next = port->lease.next;
		if (port->lane == lane)
			gate_lease_settle(port);
	}
}

void gate_lease_close(struct gate_port *port)
{
	struct gate *gate = port->gate;

	assert(!port->lease.held || !port->lease.settling);
	if (port->lease.held) {
		unlink_port(&gate->holders, port);
		assert(gate->holder_count > 0);
		gate->holder_count--;
		divide(gate);
		port->lease.held = false;
	}
	gate_lease_settle(port);
}

void gate_lease_inside(const struct gate *gate, struct depth *depth)
{
	const struct gate_port *lists[] = { gate->holders, gate->settling };

	for (unsigned i = 0; i < 2; i++)
		for (const struct gate_port *port = lists[i]; port; port = port->lease.next) {
			if (port->lane->away)
				continue;
			depth->inside += __atomic_load_n(&port->lease.inside, __ATOMIC_RELAXED);
			depth->inside_ns += __atomic_load_n(&port->lease.inside_ns, __ATOMIC_RELAXED);
		}
}
