/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler_cost.h"

#include <stdlib.h>

#include "arbiter/share/scheduler.h"
#include "core/clock.h"

/* Rounds of a fraction of a millisecond: the best of many is one that nothing interrupted. */
#define DECISIONS 4000u
#define ROUNDS	  400u
#define QUEUED	  4u	/* requests that each active guest has waiting */

struct bench {
	struct scheduler *scheduler;
	struct scheduler_node **leaves, **inner;
	unsigned inner_count;
	struct scheduler_request *requests;
	uint64_t now_ns;
};

static struct scheduler_node *make_node(struct bench *bench, struct scheduler_node *parent,
					const struct scheduler_settings *settings)
{
	struct scheduler_node *node;

	if (scheduler_node_create(bench->scheduler, parent, settings, 0, &node))
		abort();
	return node;
}

static struct scheduler_settings leaf_settings(const struct scheduler_case *wanted, unsigned index)
{
	struct scheduler_settings settings = SCHEDULER_SETTINGS_DEFAULT;

	settings.weight += index % 7 * 30;
	settings.burst_ns = 10 * NS_PER_MS;
	if (wanted->settings && index % 4 == 1)
		settings.reserved_ppb = 800000000u / wanted->guests;
	if (wanted->settings && index % 4 == 2)
		settings.max_iops = 1000000;
	return settings;
}

static void build(struct bench *bench, const struct scheduler_case *wanted)
{
	struct scheduler_settings plain = SCHEDULER_SETTINGS_DEFAULT;

	if (scheduler_create(&bench->scheduler))
		abort();
	bench->leaves = calloc(wanted->guests, sizeof(struct scheduler_node *));
	bench->inner = calloc(2ul * wanted->guests, sizeof(struct scheduler_node *));
	bench->requests = calloc((size_t)wanted->active * QUEUED, sizeof(*bench->requests));
	if (!bench->leaves || !bench->inner || !bench->requests)
		abort();
	for (unsigned i = 0; i < wanted->guests; i++) {
		struct scheduler_settings settings = leaf_settings(wanted, i);
		struct scheduler_node *parent = NULL;

		if (wanted->nested) {
			if (i % 8 == 0)
				bench->inner[bench->inner_count++] = make_node(bench, NULL, &plain);
			parent = bench->inner[bench->inner_count - 1];
		}
		bench->leaves[i] = make_node(bench, parent, &settings);
	}
}

static void put(struct bench *bench, unsigned index, unsigned guest)
{
	bench->requests[index].cost_ns = index % 5 == 0 ? 80000 : 10000;
	bench->requests[index].bytes = 4096;
	scheduler_add(bench->leaves[guest], &bench->requests[index], bench->now_ns);
}

static struct scheduler_request *take(struct bench *bench)
{
	uint64_t ready_ns;
	struct scheduler_request *request;

	while (!(request = scheduler_next(bench->scheduler, bench->now_ns, &ready_ns)))
		bench->now_ns = ready_ns;
	bench->now_ns += request->cost_ns;
	return request;
}

static double round_ns(struct bench *bench)
{
	uint64_t start_ns = clock_now_ns();

	for (unsigned i = 0; i < DECISIONS; i++) {
		struct scheduler_request *request = take(bench);

		scheduler_add(request->node, request, bench->now_ns);
	}
	return (double)(clock_now_ns() - start_ns) / DECISIONS;
}

static void teardown(struct bench *bench, const struct scheduler_case *wanted)
{
	for (unsigned i = 0; i < wanted->active * QUEUED; i++)
		take(bench);
	for (unsigned i = 0; i < wanted->guests; i++)
		scheduler_node_destroy(bench->leaves[i]);
	for (unsigned i = bench->inner_count; i-- > 0;)
		scheduler_node_destroy(bench->inner[i]);
	scheduler_destroy(bench->scheduler);
	free(bench->leaves);
	free(bench->inner);
	free(bench->requests);
}

double scheduler_cost_ns(const struct scheduler_case *wanted)
{
	struct bench bench = { 0 };
	double best = 1e9;

	build(&bench, wanted);
	for (unsigned i = 0; i < wanted->active * QUEUED; i++)
		put(&bench, i, i % wanted->active * (wanted->guests / wanted->active));
	for (unsigned i = 0; i < ROUNDS; i++) {
		double ns = round_ns(&bench);

		best = ns < best ? ns : best;
	}
	teardown(&bench, wanted);
	return best;
}
