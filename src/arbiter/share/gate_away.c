/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Workers that stand still. One that waits in the kernel for a guest's memory takes no completions: what it
 * has inside the device counts there until it comes back, and on a device with little room nobody else would
 * get in. So, while a request waits for room, the gate looks every 10 ms which workers stand still: these are
 * *away*. What they have inside does not count, and what of theirs waits is set aside, so that none of it
 * enters before they are back. For a moment the device then holds more than it should. A message tells a
 * worker that it was away, when it can read it.
 */
#include "arbiter/share/gate_private.h"
#include "core/container.h"
#include "core/loop_rescue.h"

static bool is_of_lane(const struct scheduler_request *request, const void *lane)
{
	return container_of(request, struct gate_pass, waiting)->port->lane == lane;
}

static void begin(struct gate_lane *lane, struct gate_lane **tell)
{
	struct scheduler_request **end = &lane->aside;

	assert(!lane->aside);
	lane->away = true;
	lane->gate->away++;
	for (const struct gate_port *port = lane->first_port; port; port = port->lane_next) {
		*end = scheduler_take_out(port->node->node, is_of_lane, lane);
		while (*end)
			end = &(*end)->next;
	}
	gate_lane_later(lane, tell);
}

bool gate_away_look(struct gate *gate, const struct gate_lane *here, uint64_t now_ns, struct gate_lane **tell)
{
	unsigned before = gate->away;

	if (now_ns - gate->away_looked_ns < GATE_AWAY_NS)
		return false;
	gate->away_looked_ns = now_ns;
	for (struct gate_lane *lane = gate->lanes; lane; lane = lane->next)
		if (lane != here && !lane->away && lane->ports > 0 && loop_stands_still(lane->loop))
			begin(lane, tell);
	return gate->away > before;
}

void gate_away_end(struct gate_lane *lane, uint64_t now_ns)
{
	struct gate *gate = lane->gate;
	struct scheduler_request *next;

	if (!lane->away)
		return;
	assert(gate->away > 0);
	gate->away--;
	lane->away = false;
	lane->back_ns = now_ns;
	/* No lease is held while something waits. */
	if (lane->aside) {
		gate->crowded_ns = now_ns;
		gate_lease_revoke(gate);
	}
	for (struct scheduler_request *request = lane->aside; request; request = next) {
		next = request->next;
		scheduler_add(container_of(request, struct gate_pass, waiting)->port->node->node, request,
			      now_ns);
	}
	lane->aside = NULL;
}

void gate_away_inside(const struct gate *gate, struct depth *depth)
{
	if (gate->away == 0)
		return;
	for (const struct gate_lane *lane = gate->lanes; lane; lane = lane->next) {
		if (!lane->away)
			continue;
		depth->inside -= lane->inside;
		depth->inside_ns -= lane->inside_ns;
	}
}
