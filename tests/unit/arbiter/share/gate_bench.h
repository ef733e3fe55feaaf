/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of the gate: two workers that turn when told, by a clock that the test moves, and guests that
 * count what they had.
 */
#ifndef VIADUCT_TESTS_UNIT_GATE_BENCH_H
#define VIADUCT_TESTS_UNIT_GATE_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "arbiter/share/gate.h"
#include "arbiter/share/gate_private.h"
#include "core/clock.h"
#include "core/container.h"
#include "core/loop.h"
#include "gate_device.h"
#include "stopped_clock.h"

#define WORKERS 2
#define PASSES	64
#define REQUEST_BYTES 1000u
#define MS	NS_PER_MS

struct speed {
	uint64_t request_ns;		/* what each request costs */
	uint32_t parallel;
	bool sought;			/* how much is inside the device is found */
};

/* A device of this speed is kept busy by `parallel` requests and a little more. */
#define STOCK_NS 200000u

static inline struct gate_bound bound_of(const struct speed *speed)
{
	return (struct gate_bound){
		.parallel = speed->sought ? 1 : speed->parallel,
		.window_ns = speed->parallel * speed->request_ns + STOCK_NS,
		.sought = speed->sought,
		.request_ns = speed->request_ns,
		.known = true,
	};
}

/* A request in 1 ms, two at a time: 0.5 ms of the device each. */
static const struct speed slow = { 500000, 2, false };

struct fixture {
	struct loop *loop[WORKERS];
	struct test_device device;
	struct gate *gate;
};

struct guest {
	struct gate_node *node;
	struct gate_port *port;
	uint64_t request_ns;		/* told by the device */
	struct gate_counters counters;
	struct gate_pass pass[PASSES];
	unsigned entered;		/* requests that did */
	unsigned inside;
	bool at_once;			/* leaves as soon as it enters */
};

static inline struct guest *guest_of(struct gate_pass *pass)
{
	return container_of((uint64_t *)pass->port->owner, struct guest, request_ns);
}

static inline void on_enter(struct gate_pass *pass)
{
	struct guest *guest = guest_of(pass);

	guest->entered++;
	guest->inside++;
	if (guest->at_once) {
		guest->inside--;
		gate_leave(pass);
	}
}

static inline void start(struct fixture *fixture, const struct speed *speed)
{
	struct loop_options options = { .name = "test", .clocks = &stopped_clocks };
	struct gate_bound bound = bound_of(speed);

	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(loop_create(&options, &fixture->loop[i]), 0);
	fixture->device = (struct test_device){
		.base = { &test_device_ops }, .request_ns = speed->request_ns, .level = 1,
	};
	assert_int_equal(gate_create(&fixture->device.base, &bound, &fixture->gate), 0);
	fixture->gate->clock_ns = stopped_clock_now;
}

static inline void turn(struct fixture *fixture)
{
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < WORKERS; i++)
			loop_turn(fixture->loop[i], 0);
}

static inline void turn_for(struct fixture *fixture, uint64_t ns)
{
	for (unsigned i = 0; i < 20; i++) {
		stopped_clock_ns += ns / 20;
		turn(fixture);
	}
}

static inline void finish(struct fixture *fixture)
{
	gate_destroy(fixture->gate);
	turn(fixture);
	for (unsigned i = 0; i < WORKERS; i++)
		loop_destroy(fixture->loop[i]);
}

static inline void join(struct fixture *fixture, struct guest *guest, unsigned worker,
			const struct share_settings *settings)
{
	static const struct share_settings usual = SHARE_SETTINGS_DEFAULT;

	*guest = (struct guest){ .node = NULL };
	assert_int_equal(
		gate_node_create(fixture->gate, NULL, settings ? settings : &usual, &guest->node, NULL), 0);
	assert_int_equal(gate_port_open(guest->node, fixture->loop[worker], &guest->counters,
					&guest->request_ns, &guest->port),
			 0);
}

static inline void part(struct guest *guest)
{
	gate_port_close(guest->port);
	gate_node_destroy(guest->node);
}

static inline bool ask(struct guest *guest, unsigned i)
{
	struct gate_pass *pass = &guest->pass[i];

	pass->waiting.cost_ns = guest->request_ns;
	pass->waiting.bytes = REQUEST_BYTES;
	pass->enter = on_enter;
	if (!gate_enter(guest->port, pass))
		return false;
	on_enter(pass);
	return true;
}

static inline void leave(struct guest *guest, unsigned i)
{
	guest->inside--;
	gate_leave(&guest->pass[i]);
}

#endif
