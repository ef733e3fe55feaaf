/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/switch/uplink_meter.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "arbiter/share/gate.h"
#include "core/clock.h"
#include "core/container.h"

/*
 * Requests that may be on their way to the card at once; each leaves as soon as its frames are there. Few, or
 * those that are let in when the card has room again would overfill it together.
 */
#define PARALLEL 4u
/* As many more as cost so much together, so that a fast card does not run dry until a worker looks again. */
#define STOCK_NS (50 * NS_PER_US)
/* What counts as a small request for the gate: a full frame. */
#define SMALL_BYTES 1514u
/* What asks together holds up others for this long at most, but is one frame at least. */
#define BATCH_NS	(250 * NS_PER_US)
#define BATCH_BYTES_MAX 65536u

struct uplink_meter {
	struct gate_device device;
	struct gate *gate;
	uint64_t bandwidth; /* atomic; the control thread writes it */
};

static struct uplink_meter *meter_of(struct gate_device *device)
{
	return container_of(device, struct uplink_meter, device);
}

uint64_t uplink_meter_bandwidth(const struct uplink_meter *meter)
{
	return __atomic_load_n(&meter->bandwidth, __ATOMIC_RELAXED);
}

static uint64_t bytes_ns(const struct uplink_meter *meter, uint64_t bytes)
{
	return bytes * NS_PER_S / uplink_meter_bandwidth(meter) + 1;
}

/* ---- what the gate asks: struct gate_device_ops ---- */

/* An uplink says itself when it is full, and its speed is known: there is nothing to learn. */
static void window_begin(struct gate_device *device)
{
}

static void window_add(struct gate_device *device, const struct gate_pass *pass)
{
}

static struct gate_costs window_end(struct gate_device *device, uint64_t wall_ns)
{
	return (struct gate_costs){ .request_ns = bytes_ns(meter_of(device), SMALL_BYTES), .level = 1 };
}

static void port_costs(struct gate_device *device, void *port_owner, struct gate_pass *pass)
{
	uint64_t bandwidth = uplink_meter_bandwidth(meter_of(device)), batch;
	struct uplink_price *price = port_owner;

	batch = bandwidth / (NS_PER_S / BATCH_NS);
	price->ns_per_byte = (NS_PER_S << 20) / bandwidth;
	price->batch_bytes = batch < BATCH_BYTES_MAX ? (uint32_t)batch : BATCH_BYTES_MAX;
	if (pass)
		pass->waiting.cost_ns = uplink_cost_ns(price, price->asked_bytes);
}

static uint64_t reservation_ppb(struct gate_device *device, const struct share_settings *settings)
{
	double part = (double)settings->min_bandwidth / (double)uplink_meter_bandwidth(meter_of(device));

	assert(settings->min_iops == 0);
	return settings->min_bandwidth > 0 ? (uint64_t)(part * 1e9) + 1 : 0;
}

static void describe_ppb(struct gate_device *device, uint64_t ppb, char *text, size_t bytes)
{
	snprintf(text, bytes, "min_bandwidth up to %lluK",
		 (unsigned long long)((double)ppb * (double)uplink_meter_bandwidth(meter_of(device)) / 1e9 /
				      1024));
}

static const struct gate_device_ops device_ops = {
	.noun = "uplink",
	.window_begin = window_begin,
	.window_add = window_add,
	.window_end = window_end,
	.port_costs = port_costs,
	.reservation_ppb = reservation_ppb,
	.describe_ppb = describe_ppb,
};

/* ---- meters ---- */

static struct gate_bound bound_of(const struct uplink_meter *meter)
{
	uint64_t request_ns = bytes_ns(meter, SMALL_BYTES);

	return (struct gate_bound){
		.parallel = PARALLEL,
		.window_ns = PARALLEL * request_ns + STOCK_NS,
		.request_ns = request_ns,
		.known = true,
	};
}

int uplink_meter_create(struct uplink_meter **ret_meter)
{
	struct uplink_meter *meter = calloc(1, sizeof(*meter));
	struct gate_bound bound;
	int error;

	if (!meter)
		return -ENOMEM;
	meter->device.ops = &device_ops;
	meter->bandwidth = UPLINK_BANDWIDTH_DEFAULT;
	bound = bound_of(meter);
	error = gate_create(&meter->device, &bound, &meter->gate);
	if (error) {
		free(meter);
		return error;
	}
	*ret_meter = meter;
	return 0;
}

void uplink_meter_destroy(struct uplink_meter *meter)
{
	if (!meter)
		return;
	gate_destroy(meter->gate);
	free(meter);
}

struct gate *uplink_meter_gate(const struct uplink_meter *meter)
{
	return meter->gate;
}

void uplink_meter_set_bandwidth(struct uplink_meter *meter, uint64_t bandwidth, bool limit)
{
	struct gate_bound bound;

	assert(bandwidth >= UPLINK_BANDWIDTH_MIN && bandwidth <= UPLINK_BANDWIDTH_MAX);
	if (bandwidth != meter->bandwidth) {
		__atomic_store_n(&meter->bandwidth, bandwidth, __ATOMIC_RELAXED);
		bound = bound_of(meter);
		gate_costs_changed(meter->gate, &bound);
	}
	gate_set_paced(meter->gate, limit);
}
