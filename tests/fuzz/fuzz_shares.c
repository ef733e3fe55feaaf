/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Settings that change at random while requests pass the gate: groups and disks come, go, move and change,
 * the cost model changes, ports drain, workers stand still, and time goes on by steps of any size. Two
 * workers take turns in one thread, by a clock that the input drives. At the end everything that asked has
 * entered, and nothing is left inside.
 *
 * One step of the input: operation, whose (node, request), argument; settings are eight bytes more.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/disk/disk_meter.h"
#include "arbiter/share/gate.h"
#include "arbiter/share/gate_private.h"
#include "core/clock.h"
#include "core/container.h"
#include "core/loop.h"
#include "core/loop_internal.h"
#include "input_trace.h"

#define WORKERS	  2
#define NODES	  8u
#define PASSES	  64u
#define STEPS_MAX 400
#define ROUNDS	  1000

enum state { FREE, WAITING, INSIDE };

struct request {
	struct disk_pass pass;
	enum state state;
	unsigned node, worker;
};

struct node {
	struct gate_node *node;
	int parent;
	struct disk_meter_port port[WORKERS];
	struct gate_counters counters[WORKERS];
	bool draining[WORKERS];
};

struct input {
	const uint8_t *bytes;
	size_t left;
};

static struct loop *loop[WORKERS];
static bool still[WORKERS];		/* it waits in the kernel */
static struct disk_meter *meter;
static struct gate *gate;
static struct node nodes[NODES];
static struct request requests[PASSES];
static uint64_t now_ns;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t fake_now_ns(void)
{
	return now_ns;
}

static const struct loop_clocks clocks = { .now_ns = fake_now_ns, .thread_ns = fake_now_ns };

static uint8_t next(struct input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->bytes++;
}

static void turn(void)
{
	for (unsigned i = 0; i < WORKERS; i++)
		if (!still[i] && loop_turn(loop[i], 0) != 0)
			abort();
}

/* ---- what the input may do ---- */

/* Small, large and no numbers; contradictions too. */
static struct share_settings next_settings(struct input *input)
{
	struct share_settings settings = SHARE_SETTINGS_DEFAULT;

	settings.weight = next(input) % 4 ? 1u + next(input) * 39u : 0;
	settings.min_iops = (uint64_t)(next(input) / 64) << next(input) % 64;
	settings.max_iops = (uint64_t)(next(input) / 64) << next(input) % 64;
	settings.min_bandwidth = (uint64_t)(next(input) / 64) << next(input) % 64;
	settings.max_bandwidth = (uint64_t)(next(input) / 64) << next(input) % 64;
	settings.burst_ms = next(input) % 2 ? 1u << next(input) % 16 : 0;
	settings.latency_target_us = next(input) % 2 ? 1u << next(input) % 16 : 0;
	return settings;
}

static bool has_ports(const struct node *node)
{
	return node->port[0].gate || node->port[1].gate;
}

static bool has_children(unsigned index)
{
	for (unsigned i = 0; i < NODES; i++)
		if (nodes[i].node && nodes[i].parent == (int)index)
			return true;
	return false;
}

static bool has_requests(unsigned index)
{
	for (unsigned i = 0; i < PASSES; i++)
		if (requests[i].state != FREE && requests[i].node == index)
			return true;
	return false;
}

/* A parent for `index`: one before it, so that there are no circles; -1: the root. */
static int next_parent(struct input *input, unsigned index)
{
	int parent = (int)(next(input) % (index + 1)) - 1;

	return parent >= 0 && nodes[parent].node && !has_ports(&nodes[parent]) ? parent : -1;
}

static void step_create(struct input *input, unsigned index)
{
	struct share_settings settings = next_settings(input);
	struct node *node = &nodes[index];

	if (node->node)
		return;
	node->parent = next_parent(input, index);
	if (gate_node_create(gate, node->parent < 0 ? NULL : nodes[node->parent].node, &settings, &node->node,
			     NULL) != 0)
		node->node = NULL;
}

static void close_ports(unsigned index)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		disk_meter_port_close(&nodes[index].port[i]);
		nodes[index].draining[i] = false;
	}
}

static bool has_port_that_is_still(const struct node *node)
{
	return (still[0] && node->port[0].gate) || (still[1] && node->port[1].gate);
}

static void step_destroy(unsigned index)
{
	if (!nodes[index].node || has_children(index) || has_requests(index) ||
	    has_port_that_is_still(&nodes[index]))
		return;
	close_ports(index);
	gate_node_destroy(nodes[index].node);
	nodes[index].node = NULL;
}

static void step_set(struct input *input, unsigned index)
{
	struct share_settings settings = next_settings(input);

	if (nodes[index].node)
		gate_node_set(nodes[index].node, &settings, NULL);
}

static void step_move(struct input *input, unsigned index)
{
	int parent = next_parent(input, index);

	if (nodes[index].node &&
	    gate_node_move(nodes[index].node, parent < 0 ? NULL : nodes[parent].node, NULL) == 0)
		nodes[index].parent = parent;
}

static void entered(struct gate_pass *pass)
{
	struct request *request = container_of(pass, struct request, pass.gate);

	assert(request->state == WAITING);
	request->state = INSIDE;
	fuzz_trace_number((uint64_t)(request - requests));
	fuzz_trace_number(now_ns);
}

static void step_ask(struct input *input, unsigned index, struct request *request)
{
	unsigned worker = next(input) % WORKERS;
	struct node *node = &nodes[index];

	if (!node->node || has_children(index) || request->state != FREE || still[worker])
		return;
	if (!node->port[worker].gate &&
	    disk_meter_port_open(&node->port[worker], node->node, loop[worker], &node->counters[worker]) != 0)
		abort();
	memset(&request->pass, 0, sizeof(request->pass));
	request->pass.kind = (enum cost_kind)(next(input) % COST_KINDS);
	request->pass.gate.waiting.bytes = request->pass.kind == COST_FLUSH ? 0 : 512ull << next(input) % 16;
	request->pass.gate.enter = entered;
	request->state = WAITING;
	request->node = index;
	request->worker = worker;
	if (gate_enter(node->port[worker].gate, disk_meter_price(&node->port[worker], &request->pass)))
		entered(&request->pass.gate);
}

static void step_leave(struct request *request)
{
	if (request->state != INSIDE || still[request->worker])
		return;
	request->state = FREE;
	gate_leave(&request->pass.gate);
}

static void step_drain(struct input *input, unsigned index)
{
	unsigned worker = next(input) % WORKERS;
	struct node *node = &nodes[index];

	if (!node->port[worker].gate || still[worker])
		return;
	node->draining[worker] = !node->draining[worker];
	gate_port_drain(node->port[worker].gate, node->draining[worker]);
}

static void step_cost(struct input *input)
{
	struct disk_cost cost;

	disk_meter_cost(meter, &cost);
	cost.window_ns = 1000u * (1u + next(input));
	for (unsigned i = 0; i < COST_KINDS; i++)
		cost.line[i].base_ns = 1u << next(input) % 30;
	disk_meter_set_cost(meter, &cost);
}

static void step_still(unsigned worker)
{
	still[worker] = !still[worker];
	__atomic_store_n(&loop[worker]->held, still[worker] ? LOOP_HELD_LONG : 0, __ATOMIC_RELAXED);
}

static void step(struct input *input)
{
	uint8_t operation = next(input), whose = next(input);
	unsigned index = whose % NODES;

	switch (operation % 16) {
	case 0:
		step_create(input, index);
		break;
	case 1:
		step_destroy(index);
		break;
	case 2:
		step_set(input, index);
		break;
	case 3:
		step_move(input, index);
		break;
	case 4:
		step_drain(input, index);
		break;
	case 5:
		step_cost(input);
		break;
	case 6:
		gate_set_on(gate, whose % 8 != 0);
		break;
	case 7:
		now_ns += 1ull << whose % 34;
		turn();
		break;
	case 8: case 9: case 10: case 11:
		step_leave(&requests[whose % PASSES]);
		break;
	case 15:
		step_still(whose % WORKERS);
		break;
	default:
		step_ask(input, index, &requests[next(input) % PASSES]);
	}
}

/* ---- the end ---- */

static bool all_free(void)
{
	bool all = true;

	for (unsigned i = 0; i < PASSES; i++) {
		step_leave(&requests[i]);
		all &= requests[i].state == FREE;
	}
	return all;
}

static void finish(void)
{
	bool done = false;

	for (unsigned i = 0; i < WORKERS; i++)
		if (still[i])
			step_still(i);
	gate_drain(gate, true);
	for (unsigned round = 0; round < ROUNDS && !done; round++) {
		now_ns += NS_PER_MS;
		turn();
		done = all_free();
	}
	assert(done);
	for (unsigned i = NODES; i-- > 0;)
		step_destroy(i);
	assert(gate->depth.inside == 0 && gate->depth.inside_ns == 0 && !gate->settling && !gate->holders &&
	       gate->away == 0);
	assert(scheduler_waiting(gate->scheduler) == 0 && gate_reserved_ppb(gate) == 0);
	disk_meter_destroy(meter);
	for (unsigned i = 0; i < 4; i++)
		turn();
	for (unsigned i = 0; i < WORKERS; i++)
		loop_destroy(loop[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct loop_options options = { .name = "fuzz", .entries = 64, .clocks = &clocks };

	now_ns = NS_PER_S;
	for (unsigned i = 0; i < WORKERS; i++)
		if (loop_create(&options, &loop[i]) != 0)
			abort();
	if (disk_meter_create(&disk_cost_default, true, &meter) != 0)
		abort();
	gate = disk_meter_gate(meter);
	gate->clock_ns = fake_now_ns;
	memset(nodes, 0, sizeof(nodes));
	memset(requests, 0, sizeof(requests));
	for (unsigned i = 0; i < STEPS_MAX && input.left > 0; i++)
		step(&input);
	finish();
	return 0;
}
