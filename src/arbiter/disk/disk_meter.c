/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks. What a window counted is the gate's lock's, under which the gate calls the window functions. The
 * cost model has a lock of its own, because control threads read and set it; it is taken within the gate's
 * lock, but only when a window ends or costs have changed, and never by a request with a lease.
 */
#include "arbiter/disk/disk_meter.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/container.h"

struct disk_meter {
	struct gate_device device;
	struct gate *gate;
	struct cost_window window;	/* under the gate's lock */

	pthread_mutex_t lock;		/* of the rest */
	struct disk_cost cost;
	struct cost_correction correction;
	double before;			/* the level that other costs were set at */
};

static struct disk_meter *meter_of(struct gate_device *device)
{
	return container_of(device, struct disk_meter, device);
}

/* What depth.h and leases take for the measure of a small request. */
static uint64_t small_request_ns(const struct disk_cost *cost)
{
	return disk_cost_ns(cost, COST_READ_RANDOM, COST_SMALL_BYTES);
}

/* ---- what the gate asks: struct gate_device_ops ---- */

static void window_begin(struct gate_device *device)
{
	meter_of(device)->window = (struct cost_window){ .wall_ns = 0 };
}

static void window_add(struct gate_device *device, const struct gate_pass *gate_pass)
{
	const struct disk_pass *pass = container_of(gate_pass, const struct disk_pass, gate);
	struct cost_window *window = &meter_of(device)->window;

	assert((unsigned)pass->kind < COST_KINDS);
	window->requests[pass->kind]++;
	window->bytes[pass->kind] += pass->gate.waiting.bytes;
	if (pass->flush)
		window->requests[COST_FLUSH]++;
}

static struct gate_costs window_end(struct gate_device *device, uint64_t wall_ns)
{
	struct disk_meter *meter = meter_of(device);
	struct gate_costs costs;

	meter->window.wall_ns = wall_ns;
	pthread_mutex_lock(&meter->lock);
	disk_cost_observe(&meter->cost, &meter->correction, &meter->window);
	costs = (struct gate_costs){
		.request_ns = small_request_ns(&meter->cost),
		.level = meter->before * meter->correction.level,
	};
	pthread_mutex_unlock(&meter->lock);
	assert(costs.request_ns > 0 && costs.level > 0);
	return costs;
}

static void port_costs(struct gate_device *device, void *port_owner, struct gate_pass *gate_pass)
{
	struct disk_meter_port *port = port_owner;

	disk_meter_cost(meter_of(device), &port->cost);
	if (gate_pass)
		gate_pass->waiting.cost_ns =
			disk_pass_cost_ns(container_of(gate_pass, struct disk_pass, gate), &port->cost);
}

static uint64_t reservation_ppb(struct gate_device *device, const struct share_settings *settings)
{
	struct disk_cost cost;

	disk_meter_cost(meter_of(device), &cost);
	return disk_cost_reservation_ppb(&cost, settings->min_iops, settings->min_bandwidth);
}

static void describe_ppb(struct gate_device *device, uint64_t ppb, char *text, size_t bytes)
{
	struct disk_cost cost;

	disk_meter_cost(meter_of(device), &cost);
	snprintf(text, bytes, "min_iops up to %llu, or min_bandwidth up to %lluM",
		 (unsigned long long)((double)ppb * (double)disk_cost_iops(&cost) / 1e9),
		 (unsigned long long)((double)ppb * (double)disk_cost_bandwidth(&cost) / 1e9 / 1048576));
}

static const struct gate_device_ops device_ops = {
	.noun = "disk",
	.window_begin = window_begin,
	.window_add = window_add,
	.window_end = window_end,
	.port_costs = port_costs,
	.reservation_ppb = reservation_ppb,
	.describe_ppb = describe_ppb,
};

/* ---- meters ---- */

static struct gate_bound bound_of(const struct disk_cost *cost, bool known)
{
	assert(cost->window_ns >= 1 && cost->window_ns <= COST_WINDOW_MAX_NS);
	return (struct gate_bound){
		.parallel = 1,
		.window_ns = cost->window_ns,
		.sought = true,
		.request_ns = small_request_ns(cost),
		.known = known,
	};
}

int disk_meter_create(const struct disk_cost *cost, bool known, struct disk_meter **ret_meter)
{
	const struct gate_bound bound = bound_of(cost, known);
	struct disk_meter *meter = calloc(1, sizeof(*meter));
	int error;

	if (!meter)
		return -ENOMEM;
	meter->device.ops = &device_ops;
	meter->cost = *cost;
	meter->before = 1;
	cost_correction_init(&meter->correction, cost);
	pthread_mutex_init(&meter->lock, NULL);
	error = gate_create(&meter->device, &bound, &meter->gate);
	if (error) {
		pthread_mutex_destroy(&meter->lock);
		free(meter);
		return error;
	}
	*ret_meter = meter;
	return 0;
}

void disk_meter_destroy(struct disk_meter *meter)
{
	if (!meter)
		return;
	gate_destroy(meter->gate);
	pthread_mutex_destroy(&meter->lock);
	free(meter);
}

struct gate *disk_meter_gate(const struct disk_meter *meter)
{
	return meter->gate;
}

void disk_meter_cost(struct disk_meter *meter, struct disk_cost *ret_cost)
{
	pthread_mutex_lock(&meter->lock);
	*ret_cost = meter->cost;
	pthread_mutex_unlock(&meter->lock);
}

double disk_meter_rate(struct disk_meter *meter)
{
	double rate;

	pthread_mutex_lock(&meter->lock);
	rate = meter->correction.rate;
	pthread_mutex_unlock(&meter->lock);
	return rate;
}

void disk_meter_set_cost(struct disk_meter *meter, const struct disk_cost *cost)
{
	const struct gate_bound bound = bound_of(cost, true);

	pthread_mutex_lock(&meter->lock);
	meter->cost = *cost;
	meter->before *= meter->correction.level;
	cost_correction_init(&meter->correction, cost);
	pthread_mutex_unlock(&meter->lock);
	gate_costs_changed(meter->gate, &bound);
}

/* ---- ports ---- */

int disk_meter_port_open(struct disk_meter_port *port, struct gate_node *share, struct loop *loop,
			 struct gate_counters *counters)
{
	assert(!port->gate);
	assert(gate_node_device(share)->ops == &device_ops);
	return gate_port_open(share, loop, counters, port, &port->gate);
}

void disk_meter_port_close(struct disk_meter_port *port)
{
	gate_port_close(port->gate);
	port->gate = NULL;
}
