/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the gate share. Nobody else includes this.
 *
 *   disk_gate.c     requests: waiting, entering, leaving; on the workers
 *   gate_lane.c     getting a request that may enter back to its own worker
 *   gate_shares.c   the tree of shares; on the control thread
 */
#ifndef VIADUCT_ARBITER_DISK_GATE_PRIVATE_H
#define VIADUCT_ARBITER_DISK_GATE_PRIVATE_H

#include <pthread.h>

#include "arbiter/disk_depth.h"
#include "arbiter/disk_gate.h"
#include "core/loop.h"
#include "core/loop_account.h"

/* A port that had the gate to itself for so long gets the lease. */
#define GATE_ALONE_NS 1000000u
/* How long the device must have been fully busy before what it did says something about its speed. */
#define GATE_WINDOW_NS 10000000u

struct disk_gate {
	/*
	 * The port that may enter without asking, or NULL; atomic. Written under the lock; every other worker that
	 * comes takes it away, and its owner finds out at the next request (see disk_gate.c).
	 */
	struct gate_port *holder;
	bool on;				/* atomic */

	pthread_mutex_t lock;			/* everything below; held for some hundred nanoseconds */
	uint64_t now_ns;			/* the latest of the workers' clocks, each read once a turn */
	struct disk_scheduler *scheduler;
	struct disk_depth depth;
	struct disk_cost cost;
	struct cost_correction correction;
	unsigned cost_generation;		/* counts changes of `cost` */

	struct gate_port *revoked;		/* had the lease, and has not counted what it has inside with us yet */
	struct gate_port *last;			/* who asked last … */
	uint64_t last_since_ns;			/* … and since when nobody else did */

	bool busy;				/* the device is as full as we let it be, since: */
	uint64_t busy_since_ns;
	struct cost_window window;		/* what it has done since */

	struct gate_lane *lanes;
	struct gate_node *children;		/* of the root; control thread */
	bool destroyed;				/* freed with the last lane */
};

/* The ports of one worker. Made and freed on that worker. */
struct gate_lane {
	struct disk_gate *gate;
	struct loop *loop;
	unsigned ports;
	struct gate_lane *next;
	/* Under the gate's lock: what may enter, in this order. `granted` is also looked at without the lock. */
	struct gate_pass *granted, *granted_last;
	struct loop_message message;		/* tells the worker of them */
	bool posted;				/* under the lock: is on its way, or about to be */
	struct gate_lane *tell_next;
	bool closing;				/* freed when the message has come */
	bool entering;				/* the worker is at it: nested calls leave it to the outer one */
	struct loop_timer timer;		/* until a limit lets something through */
};

/* What a worker counts for itself; other workers read `inside` and `inside_ns`. */
struct gate_lease {
	uint32_t inside;			/* atomic */
	uint64_t inside_ns;			/* atomic */
	uint32_t parallel;			/* copies of the gate's */
	uint64_t window_ns;
};

struct gate_port {
	struct disk_gate *gate;
	struct gate_node *node;
	struct gate_counters *counters;
	struct gate_lane *lane;
	struct gate_lease lease;
	struct disk_cost cost;			/* copy of the gate's */
	unsigned cost_generation;
	unsigned inside;			/* under the gate's lock: what is counted there */
	bool draining;
};

struct gate_node {
	struct disk_gate *gate;
	struct gate_node *parent, *children, *next;
	struct share_settings settings;
	struct scheduler_node *node;
	uint64_t reserved_ppb;			/* its own */
	/* Under the gate's lock. */
	uint64_t latency_target_ns;
	unsigned ports;
};

/*
 * Under the lock, on the lane's worker: time as all workers see it. It never runs backwards, although each worker reads its
 * clock when its turn begins.
 */
uint64_t gate_now(struct disk_gate *gate, const struct gate_lane *lane);

/* ---- gate_lane.c ---- */

/* Worker thread. The lane of a gate on a loop; a new one when there is none. NULL: out of memory. */
struct gate_lane *gate_lane_get(struct disk_gate *gate, struct loop *loop);
/* One port less. */
void gate_lane_put(struct gate_lane *lane);
/*
 * Under the lock: this pass may enter. `here`: the lane of the calling worker, which will see for itself; another one
 * is added to *tell.
 */
void gate_lane_grant(struct gate_pass *pass, const struct gate_lane *here, struct gate_lane **tell);
/* After the lock was released: sends the messages. */
void gate_lane_tell(struct gate_lane *tell);
/* Under the lock, on the lane's worker: takes `pass` back when it is all that was granted. */
bool gate_lane_take_only(struct gate_lane *lane, const struct gate_pass *pass);
/* Without the lock, on the lane's worker: lets in what was granted. */
void gate_lane_enter(struct gate_lane *lane);
/* Any thread, without the lock: settings have changed, something may be allowed to enter now. */
void gate_look_again(struct disk_gate *gate);
/* Under the lock, on the lane's worker: looks again when a limit lets something through. */
void gate_lane_wake_at(struct gate_lane *lane, uint64_t ready_ns);

/* ---- disk_gate.c ---- */

/* Under the lock: grants as many as there is room for. */
void gate_dispatch(struct disk_gate *gate, struct gate_lane *here, uint64_t now_ns, struct gate_lane **tell);
/* Under the lock: the lease is nobody's. */
void gate_lease_revoke(struct disk_gate *gate);
/* Frees a destroyed gate that has no lane any more. */
void gate_free(struct disk_gate *gate);

#endif
