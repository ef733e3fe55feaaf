/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gate of a physical device: every request passes the gate on its way to the device, and the gate decides
 * when. It joins the scheduler (scheduler.h) and the bound of what is inside the device (depth.h), and makes
 * them hold over all workers.
 *
 * The gate knows costs in nanoseconds of the device's time, and no device: the caller says what a request
 * costs, and the owner of the device implements struct gate_device. For disks that is disk_meter.h.
 *
 * Control thread: gates and the tree of shares. A node is a group, a guest, or what the guest has of the
 * device (for instance a disk); a guest is below its group or below the root, and a disk below its guest.
 * Worker threads: ports.
 */
#ifndef VIADUCT_ARBITER_SHARE_GATE_H
#define VIADUCT_ARBITER_SHARE_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arbiter/share/scheduler.h"
#include "arbiter/share/share_settings.h"
#include "core/error.h"
#include "core/stats.h"

struct gate;
struct gate_node;
struct gate_pass;
struct loop_account;
struct loop;

/* ---- the tree of shares: control thread ---- */

/*
 * Reservations of a gate's direct children together, and of a node's children: at most this part of the
 * device or node.
 */
#define GATE_RESERVABLE_PPB 900000000u

/* ---- the device: implemented by its owner ---- */

struct gate_device;

/* What a device says of its costs when a window has ended. */
struct gate_costs {
	uint64_t request_ns;		/* of a small request */
	/*
	 * All costs together are so many times what they were at the start; what was reserved is worth that
	 */
	double level;
};

/*
 * The window_ functions tell what the device completes while the gate keeps it full: from that, its owner
 * learns how fast it is. They and port_costs() are called under the gate's lock, on a worker: they return
 * soon and call no function of the gate. None may be NULL.
 */
struct gate_device_ops {
	const char *noun;		/* "disk": for sentences */
	/* A window begins: the device is full from now on. What an unfinished window counted is void. */
	void (*window_begin)(struct gate_device *device);
	/* A request left the device in this window. */
	void (*window_add)(struct gate_device *device, const struct gate_pass *pass);
	/*
	 * The window ends, wall_ns after it began; window_begin() follows. Costs may have changed by it
	 * (port_costs() follows).
	 */
	struct gate_costs (*window_end)(struct gate_device *device, uint64_t wall_ns);
	/*
	 * Costs have changed since the port was told last: the port's owner shall know the new ones.
	 * `port_owner` is that of gate_port_open(). A request that asks for admission at this moment, `pass`,
	 * gets its new cost; NULL: none does.
	 */
	void (*port_costs)(struct gate_device *device, void *port_owner, struct gate_pass *pass);
	/*
	 * The reservation as a part of the device's time, in 1e-9, rounded up; may be more than all of it.
	 * Control thread, without the lock.
	 */
	uint64_t (*reservation_ppb)(struct gate_device *device, const struct share_settings *settings);
	/*
	 * Which reservation a part of the device's time is enough for, as the end of a sentence: "min_iops up
	 * to 300, …". Control thread, without the lock.
	 */
	void (*describe_ppb)(struct gate_device *device, uint64_t ppb, char *text, size_t bytes);
};

/* Embedded in the owner's struct. Lives until gate_destroy(). */
struct gate_device {
	const struct gate_device_ops *ops;
};

/* How much may be inside the device while several share it: see depth.h. */
struct gate_bound {
	uint32_t parallel;		/* requests that may always be inside together; 1 or more */
	uint64_t window_ns;		/* as many more as cost so much together; not 0 when it is sought */
	bool sought;			/* that is a first guess, and what the device delivers tells */
	uint64_t request_ns;		/* what a small request costs */
	/*
	 * The costs are those of this device; else any reservation is granted until it has been busy for a
	 * while
	 */
	bool known;
};

/* Returns 0 or -ENOMEM. */
int gate_create(struct gate_device *device, const struct gate_bound *bound, struct gate **ret_gate);
/* No nodes are left; workers may still be receiving their last messages. NULL is allowed. */
void gate_destroy(struct gate *gate);
/*
 * The owner has other costs; port_costs() follows at each port. Reservations already granted stay. Control
 * thread.
 */
void gate_costs_changed(struct gate *gate, const struct gate_bound *bound);
/* false: requests pass as they come (for comparisons). */
void gate_set_on(struct gate *gate, bool on);
/* What the device takes, by what its owner sees. */
enum gate_room {
	GATE_ROOM_ENOUGH, /* as much as keeps it busy */
	GATE_ROOM_ONE,	  /* one request at a time: it is busy anyway, and the order is all that matters */
	GATE_ROOM_NONE,	  /* nothing: requests wait for their turn, however few are inside */
};
/* Any thread. */
void gate_set_room(struct gate *gate, enum gate_room room);
/*
 * true: no more enters a second than a second's worth of cost, of all guests together, and one request at a
 * time. Control thread.
 */
void gate_set_paced(struct gate *gate, bool paced);
/* true: the requests of all guests are waited for, and no limit holds anything back. */
void gate_drain(struct gate *gate, bool drain);

/*
 * A node below `parent` (NULL: the root). Returns 0, -ENOMEM, or with *error (may be NULL): -ENOSPC: the
 * reservation exceeds what is left of the parent's; -EINVAL: a setting contradicts another (a limit below the
 * reservation).
 */
int gate_node_create(struct gate *gate, struct gate_node *parent, const struct share_settings *settings,
		     struct gate_node **ret_node, struct error *error);
/* No children, no ports. NULL is allowed. */
void gate_node_destroy(struct gate_node *node);
/* Takes effect at once, also for what waits. Errors as above; then nothing has changed. */
int gate_node_set(struct gate_node *node, const struct share_settings *settings, struct error *error);
int gate_node_move(struct gate_node *node, struct gate_node *parent, struct error *error);
const struct share_settings *gate_node_settings(const struct gate_node *node);
/* What counts among its siblings: its own weight, or the sum of its children's. */
uint32_t gate_node_weight(const struct gate_node *node);
/*
 * Of the device's time as it is now, in 1e-9: what the children of the root have reserved together. Control
 * thread.
 */
uint64_t gate_reserved_ppb(struct gate *gate);

/* What is known of the device. Any thread. */
struct gate_belief {
	bool known;			/* its costs are its own: said by the owner, or seen */
	uint64_t window_ns;		/* so much cost inside keeps it busy */
	uint64_t since_ns;		/* when it was busy last; 0: never. Of the workers' clocks */
};

void gate_believe(struct gate *gate, struct gate_belief *ret_belief);
/* The device whose time the node has a share of. */
struct gate_device *gate_node_device(const struct gate_node *node);

/* ---- ports: one for each channel of a leaf (of a disk), on the channel's worker ---- */

struct gate_port;

/* Embedded in the request that passes. */
struct gate_pass {
	/* The caller sets waiting.cost_ns (> 0), waiting.bytes: what moves, waiting.more and waiting.light */
	struct scheduler_request waiting;
	/* Set by the caller: the device has room now. On the port's worker. */
	void (*enter)(struct gate_pass *pass);

	struct gate_port *port;			/* private from here on */
	bool inside;				/* admitted, and has not left */
	bool uncounted;
	/* Pays for what follows from the admission, whichever request made room */
	struct loop_account *account;
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

/*
 * A port of a leaf. The owner is told the costs by port_costs(), before the return and whenever they have
 * changed. Worker thread. Returns 0 or -ENOMEM.
 */
int gate_port_open(struct gate_node *leaf, struct loop *loop, struct gate_counters *counters, void *owner,
		   struct gate_port **ret_port);
/* Worker thread; nothing of the port waits or is inside. NULL is allowed. */
void gate_port_close(struct gate_port *port);
/*
 * true: the requests of the port's leaf are waited for. Until false, or until the port is closed, they wait
 * for their turn but not for the limits of the leaf and of its guest: see scheduler_drain_begin(). Worker
 * thread.
 */
void gate_port_drain(struct gate_port *port, bool drain);

/*
 * Asks for admission. True: admitted, the caller goes on. False: pass->enter() is called once, maybe before
 * the return, and goes on. Never blocks. A light pass waits for limits only, however full the device is.
 */
bool gate_enter(struct gate_port *port, struct gate_pass *pass);
/* The admitted request has left the device, whatever became of it. The pass may be used again. */
void gate_leave(struct gate_pass *pass);
/*
 * The same, but lets nothing else in: for a caller that asks anew at once, perhaps with the same pass. Its
 * next request then waits beside those of others when it is decided which one has its turn; or a port that
 * asks for one request after the other would be left out of every second decision.
 */
void gate_leave_to_ask(struct gate_pass *pass);
/* Is the gate told of each of the port's requests? Else nothing waits, and they leave at no cost. */
bool gate_port_asks(const struct gate_port *port);
/* Has the device's owner said that it takes nothing? A look without the lock: it may be another now. */
bool gate_port_shut(const struct gate_port *port);
/* One that asked for admission is given up: it has not entered, and enter() is not called any more. */
void gate_cancel(struct gate_pass *pass);

/* Adds what `from` counted, for instance of another port, to `to`. */
void gate_counters_add(struct gate_counters *to, const struct gate_counters *from);

#endif
