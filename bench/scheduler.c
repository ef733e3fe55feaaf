/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * viaduct-bench-scheduler: what one scheduling decision costs. Every request is added and taken again; the figure is the
 * time for both, the best of several rounds. Goal: at most 100 ns, and flat within a factor of two.
 */
#include <stdio.h>
#include <stdlib.h>

#include "arbiter/disk_scheduler.h"
#include "core/clock.h"

#define DECISIONS 200000u
#define ROUNDS	  9u
#define QUEUED	  4u	/* requests that each active guest has waiting */

struct row {
	const char *name;
	unsigned guests, active;
	bool nested;		/* group, guest, disk */
	bool settings;		/* a quarter of the guests has a reservation, a quarter a limit that is not reached */
};

struct bench {
	struct disk_scheduler *scheduler;
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

static struct scheduler_settings leaf_settings(const struct row *row, unsigned index)
{
	struct scheduler_settings settings = SCHEDULER_SETTINGS_DEFAULT;

	settings.weight += index % 7 * 30;
	settings.burst_ns = 10 * NS_PER_MS;
	if (row->settings && index % 4 == 1)
		settings.reserved_ppb = 800000000u / row->guests;
	if (row->settings && index % 4 == 2)
		settings.max_iops = 1000000;
	return settings;
}

static void build(struct bench *bench, const struct row *row)
{
	struct scheduler_settings plain = SCHEDULER_SETTINGS_DEFAULT;

	if (scheduler_create(&bench->scheduler))
		abort();
	bench->leaves = calloc(row->guests, sizeof(struct scheduler_node *));
	bench->inner = calloc(2ul * row->guests, sizeof(struct scheduler_node *));
	bench->requests = calloc((size_t)row->active * QUEUED, sizeof(*bench->requests));
	if (!bench->leaves || !bench->inner || !bench->requests)
		abort();
	for (unsigned i = 0; i < row->guests; i++) {
		struct scheduler_settings settings = leaf_settings(row, i);
		struct scheduler_node *parent = NULL;

		if (row->nested) {
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

static void teardown(struct bench *bench, const struct row *row)
{
	for (unsigned i = 0; i < row->active * QUEUED; i++)
		take(bench);
	for (unsigned i = 0; i < row->guests; i++)
		scheduler_node_destroy(bench->leaves[i]);
	for (unsigned i = bench->inner_count; i-- > 0;)
		scheduler_node_destroy(bench->inner[i]);
	scheduler_destroy(bench->scheduler);
	free(bench->leaves);
	free(bench->inner);
	free(bench->requests);
}

static double measure(const struct row *row)
{
	struct bench bench = { 0 };
	double best = 1e9;

	build(&bench, row);
	for (unsigned i = 0; i < row->active * QUEUED; i++)
		put(&bench, i, i % row->active * (row->guests / row->active));
	for (unsigned i = 0; i < ROUNDS; i++) {
		double ns = round_ns(&bench);

		best = ns < best ? ns : best;
	}
	teardown(&bench, row);
	return best;
}

int main(void)
{
	static const struct row rows[] = {
		{ "2 guests", 2, 2, false, false },
		{ "8 guests", 8, 8, false, false },
		{ "64 guests", 64, 64, false, false },
		{ "512 guests", 512, 512, false, false },
		{ "4096 guests", 4096, 4096, false, false },
		{ "512 guests, 500 idle", 512, 12, false, false },
		{ "512 guests in groups of 8", 512, 512, true, false },
		{ "2 guests, reservations and limits", 2, 2, false, true },
		{ "512 guests, reservations and limits", 512, 512, false, true },
		{ "512 in groups, reservations and limits", 512, 512, true, true },
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		printf("%-40s %6.1f ns\n", rows[i].name, measure(&rows[i]));
	return 0;
}
