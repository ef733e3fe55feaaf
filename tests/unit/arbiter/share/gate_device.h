/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests of the gate: a device that is no disk. Each request costs the same. */
#ifndef VIADUCT_TESTS_UNIT_GATE_DEVICE_H
#define VIADUCT_TESTS_UNIT_GATE_DEVICE_H

#include <stdio.h>

#include "arbiter/share/gate.h"
#include "core/clock.h"
#include "core/container.h"

struct test_device {
	struct gate_device base;
	uint64_t request_ns;		/* what a request costs; a test may change it */
	double level;			/* the answer of window_end() */
	unsigned begun, ended;		/* windows */
	unsigned added;			/* requests in the window under way, or in the last one */
	uint64_t wall_ns;		/* of the last window */
	unsigned told;			/* ports of their costs */
};

static inline struct test_device *test_device_of(struct gate_device *base)
{
	return container_of(base, struct test_device, base);
}

static inline void test_window_begin(struct gate_device *base)
{
	struct test_device *device = test_device_of(base);

	device->begun++;
	device->added = 0;
}

static inline void test_window_add(struct gate_device *base, const struct gate_pass *pass)
{
	test_device_of(base)->added += pass->waiting.cost_ns > 0;
}

static inline struct gate_costs test_window_end(struct gate_device *base, uint64_t wall_ns)
{
	struct test_device *device = test_device_of(base);

	device->ended++;
	device->wall_ns = wall_ns;
	return (struct gate_costs){ .request_ns = device->request_ns, .level = device->level };
}

/* The owner of a port is where it keeps the cost of its requests. */
static inline void test_port_costs(struct gate_device *base, void *port_owner, struct gate_pass *pass)
{
	struct test_device *device = test_device_of(base);
	uint64_t *request_ns = port_owner;

	device->told++;
	*request_ns = device->request_ns;
	if (pass)
		pass->waiting.cost_ns = device->request_ns;
}

static inline uint64_t test_reservation_ppb(struct gate_device *base, const struct share_settings *settings)
{
	return settings->min_iops * test_device_of(base)->request_ns;
}

static inline void test_describe_ppb(struct gate_device *base, uint64_t ppb, char *text, size_t bytes)
{
	snprintf(text, bytes, "min_iops up to %llu",
		 (unsigned long long)(ppb / test_device_of(base)->request_ns));
}

static const struct gate_device_ops test_device_ops = {
	.noun = "radio",
	.window_begin = test_window_begin,
	.window_add = test_window_add,
	.window_end = test_window_end,
	.port_costs = test_port_costs,
	.reservation_ppb = test_reservation_ppb,
	.describe_ppb = test_describe_ppb,
};

#endif
