/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests of the scheduler: nodes, requests and a clock of their own. */
#ifndef VIADUCT_TESTS_UNIT_SCHEDULER_BENCH_H
#define VIADUCT_TESTS_UNIT_SCHEDULER_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "arbiter/share/scheduler.h"
#include "core/clock.h"

#define NODES	 16u
#define REQUESTS 400u
#define COST_NS	 NS_PER_MS
#define PPB	 1000000000u

static struct scheduler *scheduler;
static struct scheduler_node *nodes[NODES];
static unsigned node_count;
static struct scheduler_request requests[REQUESTS];
static unsigned request_count;
static uint64_t now_ns;

static inline int setup(void **state)
{
	node_count = request_count = 0;
	now_ns = NS_PER_S;
	return scheduler_create(&scheduler);
}

static inline struct scheduler_request *next(void)
{
	uint64_t ready_ns = 12345;

	return scheduler_next(scheduler, now_ns, &ready_ns);
}

static inline int teardown(void **state)
{
	struct scheduler_request *request;
	uint64_t ready_ns;

	while (scheduler_waiting(scheduler) > 0) {
		request = scheduler_next(scheduler, now_ns, &ready_ns);
		if (!request)
			now_ns = ready_ns;
	}
	while (node_count > 0)
		scheduler_node_destroy(nodes[--node_count]);
	scheduler_destroy(scheduler);
	return 0;
}

static inline struct scheduler_node *node(struct scheduler_node *parent, struct scheduler_settings settings)
{
	if (settings.weight == 0)
		settings.weight = SCHEDULER_WEIGHT_DEFAULT;
	assert_int_equal(scheduler_node_create(scheduler, parent, &settings, now_ns, &nodes[node_count]), 0);
	return nodes[node_count++];
}
#define NODE(parent, ...) node(parent, (struct scheduler_settings){ __VA_ARGS__ })

static inline void set(struct scheduler_node *node_to_set, struct scheduler_settings settings)
{
	if (settings.weight == 0)
		settings.weight = SCHEDULER_WEIGHT_DEFAULT;
	scheduler_node_set(node_to_set, &settings, now_ns);
}
#define SET(node, ...) set(node, (struct scheduler_settings){ __VA_ARGS__ })

static inline struct scheduler_request *put(struct scheduler_node *leaf, uint64_t cost_ns, uint64_t bytes)
{
	struct scheduler_request *request = &requests[request_count++];

	assert_true(request_count <= REQUESTS);
	*request = (struct scheduler_request){ .cost_ns = cost_ns, .bytes = bytes };
	scheduler_add(leaf, request, now_ns);
	return request;
}

static inline void fill(struct scheduler_node *leaf, unsigned count)
{
	while (count-- > 0)
		put(leaf, COST_NS, 4096);
}

/*
 * Takes `count` requests, each when the one before has had its time on the device; returns how many were the
 * leaf's.
 */
static inline unsigned serve(unsigned count, const struct scheduler_node *leaf)
{
	unsigned of_leaf = 0;

	for (unsigned i = 0; i < count; i++) {
		struct scheduler_request *request = next();

		assert_non_null(request);
		of_leaf += request->node == leaf;
		now_ns += request->cost_ns;
	}
	return of_leaf;
}

static inline void assert_ready_at(uint64_t expected_ns)
{
	uint64_t ready_ns;

	assert_null(scheduler_next(scheduler, now_ns, &ready_ns));
	assert_int_equal(ready_ns, expected_ns);
}

#endif
