/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The meter of an uplink joins what is known of its speed and a gate (share/gate.h), which knows no cards. A
 * frame costs the time that its bytes take on the wire; what a card cuts into segments costs what the
 * segments do. Nodes of shares are made directly at the meter's gate.
 */
#ifndef VIADUCT_ARBITER_SWITCH_UPLINK_METER_H
#define VIADUCT_ARBITER_SWITCH_UPLINK_METER_H

#include <stdbool.h>
#include <stdint.h>

struct gate;
struct gate_node;
struct uplink_meter;

/* Bytes a second of an uplink that does not say: 10 Gbit/s. */
#define UPLINK_BANDWIDTH_DEFAULT 1250000000u
#define UPLINK_BANDWIDTH_MIN	 1000u
#define UPLINK_BANDWIDTH_MAX	 (1ull << 40)

/* With UPLINK_BANDWIDTH_DEFAULT. Control thread. Returns 0 or -ENOMEM. */
int uplink_meter_create(struct uplink_meter **ret_meter);
/* As gate_destroy() for the gate. NULL is allowed. */
void uplink_meter_destroy(struct uplink_meter *meter);
/* Belongs to the meter. */
struct gate *uplink_meter_gate(const struct uplink_meter *meter);

/*
 * What the uplink carries, in bytes a second; `limit`: and more than that is not given to it. Reservations
 * already granted stay. Control thread.
 */
void uplink_meter_set_bandwidth(struct uplink_meter *meter, uint64_t bandwidth, bool limit);
uint64_t uplink_meter_bandwidth(const struct uplink_meter *meter);

/* What a port of the gate knows of prices: a copy without a lock, which gate_port_open() gets as owner. */
struct uplink_price {
	uint64_t ns_per_byte; /* in 2^-20 */
	/* Frames that ask together have this many bytes at most: little beside what others wait for */
	uint32_t batch_bytes;
	/* Of the request that asks now, to be priced anew when prices change */
	uint64_t asked_bytes;
};

static inline uint64_t uplink_cost_ns(const struct uplink_price *price, uint64_t bytes)
{
	return (bytes * price->ns_per_byte >> 20) + 1;
}

#endif
