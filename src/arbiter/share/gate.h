/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gate of a physical disk: every request passes it on its way to the device, and here is decided when. It
 * joins the scheduler (scheduler.h), the cost model (disk_cost.h) and the bound of what is inside the device
 * (depth.h), and makes them hold over all workers.
 *
 * Control thread: gates and the tree of shares. A node is a group, a guest or a disk; a guest is below its
 * group or below the root; a disk is below its guest. Worker threads: ports.
 */
#ifndef VIADUCT_ARBITER_SHARE_GATE_H
#define VIADUCT_ARBITER_SHARE_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "arbiter/disk/disk_cost.h"
#include "arbiter/share/scheduler.h"
#include "core/stats.h"
#include "host/host_disk.h"

struct gate;
struct gate_node;
struct loop_account;
struct loop;

/* ---- the tree of shares: control thread ---- */

/* As users write them. 0: none. */
struct share_settings {
	uint32_t weight;			/* 1 … SCHEDULER_WEIGHT_MAX; 0: the sum of those below it */
	uint64_t min_iops, max_iops;		/* requests a second; a reserved one is 4 KiB, random */
	uint64_t min_bandwidth, max_bandwidth;	/* bytes a second */
	/* So many milliseconds' worth of the limits may be saved up */
	uint32_t burst_ms;
	uint32_t latency_target_us;		/* disks: inside the device */
};

#define SHARE_BURST_MS_DEFAULT 10u
#define SHARE_BURST_MS_MAX     60000u
#define SHARE_SETTINGS_DEFAULT { .weight = SCHEDULER_WEIGHT_DEFAULT, .burst_ms = SHARE_BURST_MS_DEFAULT }

/*
 * Reservations of a gate's direct children together, and of a node's children: at most this part of the
 * device or node.
 */
#define GATE_RESERVABLE_PPB 900000000u

/* Why a setting is refused: one sentence without a full stop, which says how much is left. */
struct gate_error {
	char text[256];
};

/* `cost` is copied. Returns 0 or -ENOMEM. */
int gate_create(const struct disk_cost *cost, struct gate **ret_gate);
/* No nodes are left; workers may still be receiving their last messages. NULL is allowed. */
void gate_destroy(struct gate *gate);
/* The cost model as it is now, corrections included. Any thread. */
void gate_cost(struct gate *gate, struct disk_cost *ret_cost);
/*
 * Cost carried out a second when the device was busy last, against the model: 1 = as calibrated. Any thread.
 */
double gate_rate(struct gate *gate);
/* Another model, for instance after another calibration. Reservations already granted stay. */
void gate_set_cost(struct gate *gate, const struct disk_cost *cost);
/* false: requests pass as they come (for comparisons). */
void gate_set_on(struct gate *gate, bool on);
/* true: everybody is waited for, and no limit holds anything back. */
void gate_drain(struct gate *gate, bool drain);

/*
 * A node below `parent` (NULL: the root). Returns 0, -ENOMEM, or with *error (may be NULL): -ENOSPC: the
 * reservation exceeds what is left of the parent's; -EINVAL: a setting contradicts another (a limit below the
 * reservation).
 */
int gate_node_create(struct gate *gate, struct gate_node *parent, const struct share_settings *settings,
		     struct gate_node **ret_node, struct gate_error *error);
/* No children, no ports. NULL is allowed. */
void gate_node_destroy(struct gate_node *node);
/* Takes effect at once, also for what waits. Errors as above; then nothing has changed. */
int gate_node_set(struct gate_node *node, const struct share_settings *settings, struct gate_error *error);
int gate_node_move(struct gate_node *node, struct gate_node *parent, struct gate_error *error);
const struct share_settings *gate_node_settings(const struct gate_node *node);
/* What counts among its siblings: its own weight, or the sum of its children's. */
uint32_t gate_node_weight(const struct gate_node *node);
/* Of the device's time, in 1e-9: what the children of the root have reserved together. */
uint64_t gate_reserved_ppb(const struct gate *gate);

/* ---- ports: one for each channel of a disk, on its worker ---- */

struct gate_port;

/* Embedded in the request that passes. */
struct gate_pass {
	struct scheduler_request waiting;	/* the caller sets waiting.bytes: what moves */
	enum cost_kind kind;			/* set by the caller */
	bool flush;				/* set by the caller: costs a flush besides */
	/* Set by the caller: the device has room now. On the port's worker. */
	void (*enter)(struct gate_pass *pass);

	struct gate_port *port;			/* private from here on */
	bool uncounted;
	struct loop_account *account;		/* who asked pays for what follows, whoever made room */
	/* When it entered; 0: with a lease, and no latency target is asked about it */
	uint64_t entered_ns;
};

/* What one port counted; one writer. Joined by disk_stats_read(). */
struct gate_counters {
	struct counter device_ns;	/* device time charged */
	struct counter throttled_ns;	/* requests waited so long for a limit, added up */
	struct counter contended_ns;	/* … and so long for others */
	struct counter waiting;		/* requests waiting now */
	struct histogram wait;		/* ns; requests that had to wait */
};

/* Worker thread. Returns 0 or -ENOMEM. */
int gate_port_open(struct gate_node *disk, struct loop *loop, struct gate_counters *counters,
		   struct gate_port **ret_port);
/* Worker thread; nothing of the port waits or is inside. NULL is allowed. */
void gate_port_close(struct gate_port *port);
/*
 * true: the disk's requests are waited for. Until false, or until the port is closed, they wait for their
 * turn but not for the disk's and the guest's own limits: see scheduler_drain_begin(). Worker thread.
 */
void gate_port_drain(struct gate_port *port, bool drain);

/*
 * Asks for admission. True: admitted, the caller goes on. False: pass->enter() is called once, maybe before
 * the return, and goes on. Never blocks.
 */
bool gate_enter(struct gate_port *port, struct gate_pass *pass);
/* The request has left the device, whatever became of it. The pass may be used again. */
void gate_leave(struct gate_pass *pass);

#endif
