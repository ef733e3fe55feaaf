/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * While nobody has to wait there is nothing to decide: ports then hold leases, each for its part of the
 * device's bound, and enter within it without the lock. What a port has inside it counts itself, in
 * port->lease, from the moment it gets the lease. Whoever finds the device full, or its part used up, or is
 * not to be left unobserved (limits, latency targets), takes all leases away under the lock. Their owners
 * find out when they next look at lease.held; until then their counts are read by gate_lease_inside()
 * (gate->settling), and then they hand them over. A request that slips in or out between is counted a moment
 * later. Nobody would look after who waits for one that slips out, so the owners are told by a message when
 * somebody waits: leases cost no memory barrier.
 *
 * No lease is held while something waits in the scheduler. Every request inside is counted in exactly one
 * place: in lease.inside of a port that has or had the lease and has not handed it over, or in gate->depth
 * and port->inside.
 */
#include <assert.h>

#include "arbiter/share/gate_private.h"

/* Is there a part for one more: a request, or a small one's cost? */
static bool one_more(const struct gate *gate)
{
	unsigned holders = gate->holder_count + 1;

	return holders <= gate->depth.parallel ||
	       gate->depth.window_ns / holders >= disk_cost_ns(&gate->cost, COST_READ_RANDOM, 4096);
}

/* Everybody gets the same part. */
static void divide(struct gate *gate)
{
	for (struct gate_port *port = gate->holders; port; port = port->lease.next) {
		__atomic_store_n(&port->lease.parallel, gate->depth.parallel / gate->holder_count,
				 __ATOMIC_RELAXED);
		__atomic_store_n(&port->lease.window_ns, gate->depth.window_ns / gate->holder_count,
				 __ATOMIC_RELAXED);
	}
}

static void unlink_port(struct gate_port **link, const struct gate_port *port)
{
	while (*link && *link != port)
		link = &(*link)->lease.next;
	if (*link)
		*link = port->lease.next;
}

void gate_lease_revoke(struct gate *gate)
{
	struct gate_port *next;

	for (struct gate_port *port = gate->holders; port; port = next) {
		next = port->lease.next;
		__atomic_store_n(&port->lease.held, false, __ATOMIC_RELAXED);
		if (__atomic_load_n(&port->lease.inside, __ATOMIC_RELAXED) == 0)
			continue;
		port->lease.settling = true;
		port->lease.next = gate->settling;
		gate->settling = port;
	}
	gate->holders = NULL;
	gate->holder_count = 0;
}

static bool for_lease(const struct gate_port *port)
{
	return port->node->latency_target_ns == 0 && !scheduler_node_limited(port->node->node);
}

void gate_lease_ask(struct gate_port *port, uint64_t now_ns)
{
	struct gate *gate = port->gate;

	if (gate->holders && (port->lease.held || !for_lease(port))) {
		gate->crowded_ns = now_ns;
		gate_lease_revoke(gate);
	}
}

void gate_lease_settle(struct gate_port *port)
{
	struct gate *gate = port->gate;

	assert(!port->lease.held);
	if (port->lease.settling)
		unlink_port(&gate->settling, port);
	port->lease.settling = false;
	gate->depth.inside += port->lease.inside;
	gate->depth.inside_ns += port->lease.inside_ns;
	port->inside += port->lease.inside;
	port->inside_ns += port->lease.inside_ns;
	gate_lease_count(&port->lease, -(int)port->lease.inside, -(int64_t)port->lease.inside_ns);
}

/* On the port's worker, which has settled. What it has inside it counts itself from now on. */
static void give(struct gate_port *port)
{
	struct gate *gate = port->gate;

	gate_lease_count(&port->lease, (int)port->inside, (int64_t)port->inside_ns);
	gate->depth.inside -= port->inside;
	gate->depth.inside_ns -= port->inside_ns;
	port->inside = 0;
	port->inside_ns = 0;
	gate->busy = false;
	port->lease.next = gate->holders;
	gate->holders = port;
	gate->holder_count++;
	__atomic_store_n(&port->lease.held, true, __ATOMIC_RELAXED);
	divide(gate);
}

void gate_lease_consider(struct gate_port *port, uint64_t now_ns)
{
	struct gate *gate = port->gate;

	assert(!port->lease.settling);
	if (scheduler_waiting(gate->scheduler) > 0)
		gate->crowded_ns = now_ns;
	else if (now_ns - gate->crowded_ns >= GATE_CALM_NS && for_lease(port) && one_more(gate))
		give(port);
}

void gate_lease_tell(struct gate *gate, const struct gate_lane *here, struct gate_lane **tell)
{
	for (struct gate_port *port = gate->settling; port; port = port->lease.next)
		if (port->lane != here)
			gate_lane_later(port->lane, tell);
}

void gate_lease_settle_lane(struct gate_lane *lane)
{
	struct gate_port *next;

	for (struct gate_port *port = lane->gate->settling; port; port = next) {
		next = port->lease.next;
		if (port->lane == lane)
			gate_lease_settle(port);
	}
}

void gate_lease_close(struct gate_port *port)
{
	struct gate *gate = port->gate;

	if (port->lease.held) {
		unlink_port(&gate->holders, port);
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
			depth->inside += __atomic_load_n(&port->lease.inside, __ATOMIC_RELAXED);
			depth->inside_ns += __atomic_load_n(&port->lease.inside_ns, __ATOMIC_RELAXED);
		}
}
