/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The meter of a physical disk joins the disk's cost model (disk_cost.h) and a gate (share/gate.h), which
 * knows no disks. The meter says what each request costs, learns from what the disk completes, and turns
 * reservations in requests or bytes a second into parts of the disk's time. Nodes of shares are made directly
 * at the meter's gate.
 */
#ifndef VIADUCT_ARBITER_DISK_DISK_METER_H
#define VIADUCT_ARBITER_DISK_DISK_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "arbiter/disk/disk_cost.h"
#include "arbiter/share/gate.h"

struct disk_meter;

/*
 * A meter and its gate; `cost` is copied, and corrected from there on. `known`: it is this disk's, and not
 * that of any disk. Control thread. Returns 0 or -ENOMEM.
 */
int disk_meter_create(const struct disk_cost *cost, bool known, struct disk_meter **ret_meter);
/* As gate_destroy() for the gate. NULL is allowed. */
void disk_meter_destroy(struct disk_meter *meter);
/* Belongs to the meter. */
struct gate *disk_meter_gate(const struct disk_meter *meter);

/* The cost model as it is now, corrections included. Any thread. */
void disk_meter_cost(struct disk_meter *meter, struct disk_cost *ret_cost);
/*
 * Cost carried out a second when the disk was busy last, against the model; 1: as the model says. Any
 * thread.
 */
double disk_meter_rate(struct disk_meter *meter);
/* Another model, which is this disk's. Reservations already granted stay. Control thread. */
void disk_meter_set_cost(struct disk_meter *meter, const struct disk_cost *cost);

/* ---- requests: on the worker of the port ---- */

/* Of a channel, embedded there: a port of the gate, and a copy of the cost model that needs no lock. */
struct disk_meter_port {
	struct gate_port *gate;			/* NULL: the port is not open */
	struct disk_cost cost;
};

/* Embedded in the request that passes. The caller sets kind, flush, gate.waiting.bytes and gate.enter. */
struct disk_pass {
	struct gate_pass gate;
	enum cost_kind kind;
	bool flush;				/* costs a flush besides */
};

/* `share` is a node of a meter's gate. Returns 0 or -ENOMEM. */
int disk_meter_port_open(struct disk_meter_port *port, struct gate_node *share, struct loop *loop,
			 struct gate_counters *counters);
/* As gate_port_close(). A port that is not open is allowed. */
void disk_meter_port_close(struct disk_meter_port *port);

static inline uint64_t disk_pass_cost_ns(const struct disk_pass *pass, const struct disk_cost *cost)
{
	uint64_t cost_ns = disk_cost_ns(cost, pass->kind, pass->gate.waiting.bytes);

	return pass->flush ? cost_ns + disk_cost_ns(cost, COST_FLUSH, 0) : cost_ns;
}

/* Sets the cost of the pass by the port's copy of the model. Returns what gate_enter(port->gate) takes. */
static inline struct gate_pass *disk_meter_price(const struct disk_meter_port *port, struct disk_pass *pass)
{
	pass->gate.waiting.cost_ns = disk_pass_cost_ns(pass, &port->cost);
	return &pass->gate;
}

#endif
