/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the gate share; no other file includes this header.
 *
 *   gate.c          requests: waiting, entering, leaving; on the workers
 *   gate_port.c     gates and ports as objects
 *   gate_lease.c    entering without the lock while no request has to wait
 *   gate_lane.c     getting a request that may enter back to its own worker
 *   gate_away.c     workers that stand still: what they have inside keeps nobody out
 *   gate_shares.c   the tree of shares; on the control thread
 */
#ifndef VIADUCT_ARBITER_SHARE_GATE_PRIVATE_H
#define VIADUCT_ARBITER_SHARE_GATE_PRIVATE_H

#include <assert.h>
#include <pthread.h>

#include "arbiter/share/depth.h"
#include "arbiter/share/gate.h"
#include "arbiter/share/scheduler_bucket.h"
#include "core/loop.h"
#include "core/loop_account.h"

/* Ports get leases after no request has had to wait for this long. */
#define GATE_CALM_NS 1000000u
/* How long the device must have been fully busy before what it did says something about its speed. */
#define GATE_WINDOW_NS 10000000u
/*
 * When one leaf alone has wanted the device for so long, its requests pass as they come: there is nobody to
 * keep room for. A guest that wants nothing for so long may meet a device that is full of another's requests.
 */
#define GATE_LONE_NS 250000000u
/* A device that was fully busy for so long is known. */
#define GATE_KNOWN_NS 1000000000u
/* A level that has moved by less is not worth telling the scheduler. */
#define GATE_LEVEL_PART 0.02
/* How often it is asked whether a worker stands still, while a request waits for room. */
#define GATE_AWAY_NS 10000000u

struct gate {
	bool on;				/* atomic */
	uint64_t (*clock_ns)(void);		/* of the control thread; workers use their loops' */
	struct gate_device *device;

	pthread_mutex_t lock;			/* everything below; held for some hundred nanoseconds */
	uint64_t now_ns;			/* the latest of the workers' clocks, each read once a turn */
	struct scheduler *scheduler;
	struct depth depth;
	uint64_t request_ns;			/* what a small request costs */
	enum gate_room room;			/* what the device's owner says; also read without the lock */
	struct scheduler_bucket pace;		/* of what enters: cost in ns; no limit unless paced */
	unsigned cost_generation;		/* counts changes of the device's costs */

	struct gate_port *holders;		/* ports that hold a lease, see gate_lease.c */
	unsigned holder_count;
	/* Ports whose lease has ended, and whose own count is not added to the gate's yet */
	struct gate_port *settling;
	bool unbounded;				/* leases are for all that the device takes */
	/* When a request had to wait last, or a lease was not enough */
	uint64_t crowded_ns;
	/* The leaf that asked or entered last, and when it was another one than before; see GATE_LONE_NS */
	const struct gate_node *wanting;
	uint64_t shared_ns;
	unsigned wishing;			/* leaves with wishes */

	double level;				/* of the device's costs: see struct gate_costs */
	bool known;				/* see struct gate_bound */
	uint64_t seen_ns;			/* time of windows so far, up to GATE_KNOWN_NS */
	uint64_t busy_last_ns;			/* when a window ended */
	bool busy;				/* the device is as full as the gate lets it be */
	uint64_t busy_since_ns;			/* when the window under way began */

	struct gate_lane *lanes;
	unsigned away;				/* lanes that are */
	uint64_t away_looked_ns;
	struct gate_node *children;		/* of the root; control thread */
	bool destroyed;				/* freed with the last lane */
};

/* The ports of one worker. Made and freed on that worker. */
struct gate_lane {
	struct gate *gate;
	struct loop *loop;
	unsigned ports;
	struct gate_lane *next;
	/*
	 * Under the gate's lock: what may enter, in this order. `granted` is also looked at without the lock.
	 */
	struct gate_pass *granted, *granted_last;
	unsigned inside;			/* of its ports together */
	uint64_t inside_ns;
	struct gate_port *first_port;
	bool away;				/* the worker stood still when somebody looked */
	struct scheduler_request *aside;	/* what waits meanwhile, in no scheduler */
	uint64_t back_ns;			/* when it was here again */
	struct loop_message message;		/* tells the worker of them */
	bool posted;				/* under the lock: is on its way, or about to be */
	struct gate_lane *tell_next;
	bool closing;				/* freed when the message has come */
	/* The worker is letting requests in: a nested call leaves that to the outer one */
	bool entering;
	struct loop_timer timer;		/* until a limit lets something through */
};

/* Lets a port enter without asking. All but the links is atomic. */
struct gate_lease {
	/* The port's own count. The port's worker writes these two. */
	uint32_t inside;
	uint64_t inside_ns;
	/* Written under the gate's lock: may the port enter without asking, and its part of the bound. */
	bool held;
	uint32_t parallel;
	uint64_t window_ns;
	/* Under the gate's lock. */
	bool settling;
	struct gate_port *next;			/* in gate.holders or in gate.settling */
};

struct gate_port {
	struct gate *gate;
	struct gate_node *node;
	struct gate_counters *counters;
	struct gate_lane *lane;
	struct gate_port *lane_next;		/* under the gate's lock */
	struct gate_lease lease;
	void *owner;				/* knows the costs of: */
	unsigned cost_generation;
	/* The part of the gate's count that is this port's. Under the gate's lock. */
	unsigned inside;
	uint64_t inside_ns;
	bool draining;				/* the port's worker */
};

struct gate_node {
	struct gate *gate;
	struct gate_node *parent, *children, *next;
	struct share_settings settings;
	struct scheduler_node *node;
	uint64_t reserved_ppb;			/* its own, at level 1 */
	/* Under the gate's lock. */
	uint64_t latency_target_ns;
	unsigned ports;
	/* Of a leaf: requests that wait or are inside, but for those that its ports count themselves */
	unsigned wishes;
};

/*
 * Under the lock, on the lane's worker: time as all workers see it. It never runs backwards, although each
 * worker reads its clock when its turn begins.
 */
uint64_t gate_now(struct gate *gate, const struct gate_lane *lane);

/* Under the lock: nobody else wants the device, or has wanted it lately. */
static inline bool gate_is_lone(const struct gate *gate)
{
	return gate->depth.search.window_ns > 0 && gate->wishing < 2 &&
	       gate->now_ns - gate->shared_ns >= GATE_LONE_NS;
}

/* Under the lock: the leaf has so many wishes more. */
static inline void gate_count_wishes(struct gate_node *leaf, int requests)
{
	struct gate *gate = leaf->gate;
	bool before = leaf->wishes > 0;

	assert(requests >= 0 || leaf->wishes >= -(unsigned)requests);
	/* Until now, if one of them wishes nothing any more. */
	if (gate->wishing > 1)
		gate->shared_ns = gate->now_ns;
	leaf->wishes += (unsigned)requests;
	gate->wishing += (unsigned)(leaf->wishes > 0) - before;
}

/* Under the lock: the leaf asks, or something of it enters. True: it is another one than before. */
static inline bool gate_note_wish(struct gate *gate, const struct gate_node *leaf, uint64_t now_ns)
{
	bool another = gate->wanting && gate->wanting != leaf;

	if (another)
		gate->shared_ns = now_ns;
	gate->wanting = leaf;
	return another;
}

/* ---- gate_lease.c: under the lock; functions with a port as argument run on the port's worker ---- */

static inline void gate_lease_count(struct gate_lease *lease, int requests, int64_t cost_ns)
{
	assert(requests >= 0 || lease->inside >= -(uint32_t)requests);
	assert(cost_ns >= 0 || lease->inside_ns >= -(uint64_t)cost_ns);
	__atomic_store_n(&lease->inside, lease->inside + (uint32_t)requests, __ATOMIC_RELAXED);
	__atomic_store_n(&lease->inside_ns, lease->inside_ns + (uint64_t)cost_ns, __ATOMIC_RELAXED);
}

/* Under the lock: so much more of the port's, or less, is inside the device. */
static inline void gate_count_inside(struct gate_port *port, int requests, int64_t cost_ns)
{
	struct depth *depth = &port->gate->depth;
	struct gate_lane *lane = port->lane;

	assert(requests >= 0 || port->inside >= -(unsigned)requests);
	assert(cost_ns >= 0 || port->inside_ns >= -(uint64_t)cost_ns);
	gate_count_wishes(port->node, requests);
	port->inside += (unsigned)requests;
	port->inside_ns += (uint64_t)cost_ns;
	lane->inside += (unsigned)requests;
	lane->inside_ns += (uint64_t)cost_ns;
	depth->inside += (unsigned)requests;
	depth->inside_ns += (uint64_t)cost_ns;
	assert(depth->inside >= lane->inside && lane->inside >= port->inside);
	assert(depth->inside_ns >= lane->inside_ns && lane->inside_ns >= port->inside_ns);
}

/* Ends all leases. */
void gate_lease_revoke(struct gate *gate);
/* The port asks for a request: does that end the leases? */
void gate_lease_ask(struct gate_port *port, uint64_t now_ns);
/* The port holds no lease: adds the port's own count to the gate's. */
void gate_lease_settle(struct gate_port *port);
/* A request waits: ports of other workers that have to settle do so now, by gate_lease_settle_lane(). */
void gate_lease_tell(struct gate *gate, const struct gate_lane *here, struct gate_lane **tell);
void gate_lease_settle_lane(struct gate_lane *lane);
/* The port may get a lease now. */
void gate_lease_consider(struct gate_port *port, uint64_t now_ns);
/* The port is about to be closed. */
void gate_lease_close(struct gate_port *port);
/* Adds to *depth what is inside and still counted by the ports themselves, but for those that are away. */
void gate_lease_inside(const struct gate *gate, struct depth *depth);

/* ---- gate_lane.c ---- */

/* Worker thread. The lane of a gate on a loop; a new one when there is none. NULL: out of memory. */
struct gate_lane *gate_lane_get(struct gate *gate, struct loop *loop);
/* One port less. */
void gate_lane_put(struct gate_lane *lane);
/*
 * Under the lock: this pass may enter. `here`: the lane of the calling worker, which will see for itself;
 * another one is added to *tell.
 */
void gate_lane_grant(struct gate_pass *pass, const struct gate_lane *here, struct gate_lane **tell);
/* Under the lock: that lane's worker shall look; it is added to *tell. */
void gate_lane_later(struct gate_lane *lane, struct gate_lane **tell);
/* After the lock was released: sends the messages. */
void gate_lane_tell(struct gate_lane *tell);
/* Under the lock, on the lane's worker: takes `pass` back when it is all that was granted. */
bool gate_lane_take_only(struct gate_lane *lane, const struct gate_pass *pass);
/* Under the lock, on the lane's worker: takes `pass` back if it was granted. */
bool gate_lane_take(struct gate_lane *lane, struct gate_pass *pass);
/* Without the lock, on the lane's worker: lets in what was granted. */
void gate_lane_enter(struct gate_lane *lane);
/* Any thread, without the lock: settings have changed, something may be allowed to enter now. */
void gate_look_again(struct gate *gate);
/* Under the lock, on the lane's worker: looks again when a limit lets something through. */
void gate_lane_wake_at(struct gate_lane *lane, uint64_t ready_ns);

/* ---- gate_away.c: under the lock ---- */

/*
 * On the worker of `here`, where a request waits for room: once in a while, looks which others stand still.
 * True: one more does.
 */
bool gate_away_look(struct gate *gate, const struct gate_lane *here, uint64_t now_ns,
		    struct gate_lane **tell);
/* The lane's worker is here again, or was never away; gate_dispatch() follows, or the lane is closed. */
void gate_away_end(struct gate_lane *lane, uint64_t now_ns);
/* Takes from *depth what lanes that are away have inside. */
void gate_away_inside(const struct gate *gate, struct depth *depth);

/* ---- gate.c ---- */

/* Under the lock: grants as many as there is room for. */
void gate_dispatch(struct gate *gate, struct gate_lane *here, uint64_t now_ns, struct gate_lane **tell);

/* ---- gate_port.c ---- */

/* Frees a destroyed gate that has no lane any more. */
void gate_free(struct gate *gate);

#endif
