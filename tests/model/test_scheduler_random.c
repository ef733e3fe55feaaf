/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disk scheduler under everything at once: nodes come, go and move, settings change, requests come and
 * are taken while time jumps about. A naive record on the side knows what waits where and what each limit has
 * let through, and holds against it: no request is lost, doubled or overtaken by its own leaf's, no limit
 * lets through more than its burst and its rate, and nothing waits that no limit holds back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "arbiter/share/scheduler.h"
#include "core/clock.h"

#define NODES	 24
#define REQUESTS 100
#define STEPS	 60000

struct twin {
	struct scheduler_node *node;		/* NULL: not there */
	int parent;				/* -1: the root */
	double excess[2];			/* requests, bytes: how far ahead of the rate */
	uint64_t excess_ns;
};

static uint64_t seed, random_state, now_ns, order;
static unsigned taken, refused;
static struct scheduler *scheduler;
static struct twin twins[NODES];
static struct ticket {
	struct scheduler_request request;	/* first */
	int leaf;				/* -1: free */
	uint64_t order, added_ns;
} tickets[REQUESTS];

static uint64_t random_below(uint64_t limit)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (random_state >> 33) % limit;
}

static struct scheduler_settings random_settings(void)
{
	struct scheduler_settings settings = { .weight = 1 + (uint32_t)random_below(SCHEDULER_WEIGHT_MAX) };

	if (random_below(3) == 0)
		settings.reserved_ppb = (uint32_t)random_below(600000000);
	if (random_below(3) == 0)
		settings.max_iops = (random_below(10) ? 1000 : 1) + random_below(20000);
	if (random_below(3) == 0)
		settings.max_bandwidth = 1 + random_below(100000000);
	settings.burst_ns = random_below(3) * random_below(20 * NS_PER_MS);
	return settings;
}

/* ---- the record ---- */

static bool has_children(int index)
{
	for (int i = 0; i < NODES; i++)
		if (twins[i].node && twins[i].parent == index)
			return true;
	return false;
}

static struct ticket *oldest(int leaf)
{
	struct ticket *first = NULL;

	for (int i = 0; i < REQUESTS; i++)
		if (tickets[i].leaf == leaf && (!first || tickets[i].order < first->order))
			first = &tickets[i];
	return first;
}

static double rate_of(const struct scheduler_settings *settings, int kind)
{
	return kind ? (double)settings->max_bandwidth : (double)settings->max_iops;
}

/* What may be saved up. */
static double burst_of(const struct scheduler_settings *settings, int kind)
{
	return fmax(rate_of(settings, kind) * (double)settings->burst_ns / NS_PER_S, kind ? 0 : 1);
}

static double excess_now(const struct twin *twin, int kind)
{
	double rate = rate_of(scheduler_node_settings(twin->node), kind);

	return fmax(twin->excess[kind] - rate * (double)(now_ns - twin->excess_ns) / NS_PER_S, 0);
}

static bool lets_pass(const struct twin *twin, uint64_t bytes, double slack)
{
	const struct scheduler_settings *settings = scheduler_node_settings(twin->node);
	const double amount[2] = { 1, (double)bytes };

	for (int kind = 0; kind < 2; kind++)
		if (rate_of(settings, kind) > 0 &&
		    excess_now(twin, kind) + amount[kind] >
			    fmax(burst_of(settings, kind), amount[kind]) * (1 + slack) + slack)
			return false;
	return true;
}

static void note_passed(struct twin *twin, uint64_t bytes)
{
	twin->excess[0] = excess_now(twin, 0) + 1;
	twin->excess[1] = excess_now(twin, 1) + (double)bytes;
	twin->excess_ns = now_ns;
}

static bool is_below(int index, int above)
{
	while (index >= 0 && index != above)
		index = twins[index].parent;
	return index == above;
}

/* A limit on the way from the leaf holds back its first request, or another one below that limit. */
static bool held_back(int leaf)
{
	for (int at = leaf; at >= 0; at = twins[at].parent) {
		for (int i = 0; i < NODES; i++) {
			const struct ticket *first = twins[i].node && is_below(i, at) ? oldest(i) : NULL;

			if (first && !lets_pass(&twins[at], first->request.bytes, -1e-6))
				return true;
		}
	}
	return false;
}

/* ---- steps ---- */

static void step_add(void)
{
	int leaf = (int)random_below(NODES), i = 0;

	if (!twins[leaf].node || has_children(leaf))
		return;
	while (i < REQUESTS && tickets[i].leaf >= 0)
		i++;
	if (i == REQUESTS)
		return;
	tickets[i] = (struct ticket){ .leaf = leaf, .order = order++, .added_ns = now_ns };
	tickets[i].request.cost_ns = 1 + random_below(random_below(20) ? 2 * NS_PER_MS : 100 * NS_PER_S);
	tickets[i].request.bytes = random_below(4) ? 4096 : random_below(1u << 20);
	scheduler_add(twins[leaf].node, &tickets[i].request, now_ns);
}

static void step_take(void)
{
	uint64_t ready_ns = 0;
	struct ticket *ticket = (struct ticket *)scheduler_next(scheduler, now_ns, &ready_ns);

	if (!ticket) {
		refused += scheduler_waiting(scheduler) > 0;
		assert_true(ready_ns > now_ns);
		for (int i = 0; i < NODES; i++)
			assert_true(!twins[i].node || !oldest(i) || held_back(i));
		if (scheduler_waiting(scheduler) > 0 && random_below(2))
			now_ns = ready_ns;
		return;
	}
	assert_true(ticket->leaf >= 0 && ticket == oldest(ticket->leaf));
	assert_int_equal(ticket->request.waited_ns, now_ns - ticket->added_ns);
	assert_true(ticket->request.throttled_ns <= ticket->request.waited_ns);
	for (int at = ticket->leaf; at >= 0; at = twins[at].parent) {
		assert_true(lets_pass(&twins[at], ticket->request.bytes, 1e-6));
		note_passed(&twins[at], ticket->request.bytes);
	}
	ticket->leaf = -1;
	taken++;
}

static void step_create(void)
{
	int index = (int)random_below(NODES), parent = (int)random_below(NODES + 1) - 1;
	struct scheduler_settings settings = random_settings();

	if (twins[index].node || (parent >= 0 && (!twins[parent].node || oldest(parent))))
		return;
	if (scheduler_node_create(scheduler, parent < 0 ? NULL : twins[parent].node, &settings, now_ns,
				  &twins[index].node) == 0)
		twins[index] = (struct twin){ .node = twins[index].node, .parent = parent };
}

static void step_destroy(void)
{
	int index = (int)random_below(NODES);

	if (!twins[index].node || has_children(index) || oldest(index))
		return;
	scheduler_node_destroy(twins[index].node);
	twins[index].node = NULL;
}

/* A limit that was there keeps what is saved up, and forgets debts. */
static void step_set(void)
{
	struct twin *twin = &twins[random_below(NODES)];
	struct scheduler_settings settings = random_settings(), old;
	double saved[2];

	if (!twin->node)
		return;
	old = *scheduler_node_settings(twin->node);
	for (int kind = 0; kind < 2; kind++) {
		saved[kind] = fmax(burst_of(&old, kind) - excess_now(twin, kind), 0);
		if (rate_of(&old, kind) <= 0 || saved[kind] > burst_of(&settings, kind))
			saved[kind] = burst_of(&settings, kind);
		twin->excess[kind] = burst_of(&settings, kind) - saved[kind];
	}
	twin->excess_ns = now_ns;
	scheduler_node_set(twin->node, &settings, now_ns);
}

static void step_move(void)
{
	int index = (int)random_below(NODES), parent = (int)random_below(NODES + 1) - 1;

	if (!twins[index].node || parent == index || (parent >= 0 && (!twins[parent].node || oldest(parent))))
		return;
	if (scheduler_node_move(twins[index].node, parent < 0 ? NULL : twins[parent].node, now_ns) == 0)
		twins[index].parent = parent;
}

static void step(void)
{
	uint64_t kind = random_below(1000);

	now_ns += random_below(10) ? random_below(100 * NS_PER_US) : random_below(5 * NS_PER_MS);
	if (kind < 480)
		step_add();
	else if (kind < 960)
		step_take();
	else if (kind < 975)
		step_create();
	else if (kind < 980)
		step_destroy();
	else if (kind < 990)
		step_move();
	else
		step_set();
}

static void finish(void)
{
	bool left = true;

	while (scheduler_waiting(scheduler) > 0)
		step_take();
	while (left) {
		left = false;
		for (int i = 0; i < NODES; i++) {
			if (twins[i].node && !has_children(i)) {
				scheduler_node_destroy(twins[i].node);
				twins[i].node = NULL;
				left = true;
			}
		}
	}
	scheduler_destroy(scheduler);
}

static void everything_at_once(void **state)
{
	assert_int_equal(scheduler_create(&scheduler), 0);
	for (int i = 0; i < REQUESTS; i++)
		tickets[i].leaf = -1;
	for (unsigned i = 0; i < STEPS; i++)
		step();
	finish();
	print_message("%u requests taken, %u times all were held back\n", taken, refused);
	assert_true(taken > STEPS / 20 && refused > STEPS / 60);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(everything_at_once) };

	seed = random_state = argc > 1 ? strtoull(argv[1], NULL, 0) : 3;
	print_message("seed %" PRIu64 "\n", seed);
	return cmocka_run_group_tests_name("scheduler_random", tests, NULL, NULL);
}
