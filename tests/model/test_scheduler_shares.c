/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disk scheduler against arithmetic. First the worked example that VMware published for its Storage I/O
 * Control, then random trees of groups and guests with weights, reservations, limits and demands, against a
 * naive fluid model: each node divides what it has among its children, so that all have the same multiple of
 * their weight, but none less than is reserved for it and none more than it may or wants to have.
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

#include "simulator.h"

#define TOLERANCE 0.03

static uint64_t seed;

/* ---- the worked example: 8000 requests a second, two groups of two ---- */

static const struct sim_device array_8000 = { .parallel = 8, .base_ns = { NS_PER_MS, NS_PER_MS } };

struct vm {
	uint32_t shares;
	unsigned group;
	double rate;		/* what it asks for; 0: everything */
	uint64_t max_iops;
	double expected;
};

static void expect_iops(const struct vm vms[4], bool nested)
{
	struct simulation *sim = sim_create(&array_8000, 2 * NS_PER_S, seed);
	struct scheduler_node *group[2] = { NULL, NULL };
	struct scheduler_settings settings = { .weight = vms[0].shares + vms[1].shares };

	if (nested) {
		group[0] = sim_group(sim, NULL, &settings);
		settings.weight = vms[2].shares + vms[3].shares;
		group[1] = sim_group(sim, NULL, &settings);
	}
	for (unsigned i = 0; i < 4; i++) {
		struct sim_load load = {
			.bytes = 4096, .depth = vms[i].rate > 0 ? 0 : 64, .rate = vms[i].rate, .regular = true
		};

		settings = (struct scheduler_settings){ .weight = vms[i].shares, .max_iops = vms[i].max_iops,
							.burst_ns = 10 * NS_PER_MS };
		sim_guest(sim, group[vms[i].group], &settings, &load);
	}
	sim_run(sim, 2 * NS_PER_S);
	for (unsigned i = 0; i < 4; i++) {
		double got = sim_got(sim, i, NS_PER_S, 2 * NS_PER_S).requests;

		print_message("VM%u %.1f, expected %.1f\n", i + 1, got, vms[i].expected);
		assert_true(fabs(got - vms[i].expected) <= TOLERANCE * vms[i].expected);
	}
	sim_destroy(sim);
}

static void example_all_busy(void **state)
{
	static const struct vm vms[4] = { { .shares = 1000, .group = 0, .expected = 1600 },
					  { .shares = 2500, .group = 0, .expected = 4000 },
					  { .shares = 500, .group = 1, .expected = 800 },
					  { .shares = 1000, .group = 1, .expected = 1600 } };

	expect_iops(vms, true);
	expect_iops(vms, false);
}

/*
 * What VM3 leaves goes to VM4, its neighbour in the group, and only what that may not have goes to the
 * others.
 */
static void example_redistributed_nested(void **state)
{
	static const struct vm vms[4] = {
		{ .shares = 1000, .group = 0, .expected = 1711 },
		{ .shares = 2500, .group = 0, .expected = 4279 },
		{ .shares = 500, .group = 1, .rate = 10, .expected = 10 },
		{ .shares = 1000, .group = 1, .max_iops = 2000, .expected = 2000 }
	};

	expect_iops(vms, true);
}

static void example_redistributed_flat(void **state)
{
	static const struct vm vms[4] = { { .shares = 1000, .expected = 1775.6 },
					  { .shares = 2500, .expected = 4438.9 },
					  { .shares = 500, .rate = 10, .expected = 10 },
					  { .shares = 1000, .max_iops = 2000, .expected = 1775.6 } };

	expect_iops(vms, false);
}

/* ---- random trees against the fluid model; everything in parts of the device's time ---- */

#define TREES	     40u
#define CHILDREN_MAX 5u
#define RESERVABLE   0.8
#define WARM_NS	     (250 * NS_PER_MS)

struct fluid {
	struct fluid *children;
	unsigned count;
	double weight, reserved, limit, demand;	/* demand: of leaves */
	double most, floor;			/* worked out */
	double got;
	unsigned guest;				/* leaves: its number in the simulation */
};

static void bounds(struct fluid *node)
{
	double most = node->count ? 0 : node->demand, floor = 0;

	for (unsigned i = 0; i < node->count; i++) {
		bounds(&node->children[i]);
		most += node->children[i].most;
		floor += node->children[i].floor;
	}
	node->most = fmin(most, node->limit);
	node->floor = fmin(fmax(floor, node->reserved), node->most);
}

static double portion(const struct fluid *node, double level)
{
	return fmin(fmax(node->weight * level, node->floor), node->most);
}

static void divide(struct fluid *node, double amount)
{
	double low = 0, high = 1;

	node->got = amount;
	for (unsigned round = 0; round < 60; round++) {
		double level = (low + high) / 2, sum = 0;

		for (unsigned i = 0; i < node->count; i++)
			sum += portion(&node->children[i], level);
		*(sum < amount ? &low : &high) = level;
	}
	for (unsigned i = 0; i < node->count; i++)
		divide(&node->children[i], portion(&node->children[i], high));
}

static double fraction(struct simulation *sim)
{
	return (double)sim_random(sim, 1u << 20) / (1u << 20);
}

static void grow(struct simulation *sim, struct fluid *node, struct scheduler_node *below, unsigned levels,
		 double reservable, const struct sim_load *load);

/*
 * The same in the scheduler's units. All requests below one child of the root are alike, so limits can be
 * converted.
 */
static void plant(struct simulation *sim, struct fluid *node, struct scheduler_node *below, unsigned levels,
		  const struct sim_load *load)
{
	double cost_ns = (double)sim_cost_ns(&sim->device, load), each = (double)NS_PER_S / cost_ns;
	struct scheduler_settings settings = { .burst_ns = 5 * NS_PER_MS };

	settings.weight = (uint32_t)node->weight;
	settings.reserved_ppb = (uint32_t)(node->reserved * 1e9);
	if (node->limit < 1 && sim_random(sim, 2))
		settings.max_iops = (uint64_t)(node->limit * each);
	else if (node->limit < 1)
		settings.max_bandwidth = (uint64_t)(node->limit * each * (double)load->bytes);
	if (levels > 0 && sim_random(sim, 3) > 0) {
		grow(sim, node, sim_group(sim, below, &settings), levels - 1, node->reserved * RESERVABLE,
		     load);
	} else {
		struct sim_load own = *load;

		node->demand = sim_random(sim, 3) ? 1 : 0.01 + 0.2 * fraction(sim);
		own.depth = node->demand < 1 ? 0 : 64;
		own.rate = node->demand * each;
		own.regular = true;
		node->guest = sim_guest(sim, below, &settings, &own);
	}
}

static void grow(struct simulation *sim, struct fluid *node, struct scheduler_node *below, unsigned levels,
		 double reservable, const struct sim_load *load)
{
	node->count = 2 + (unsigned)sim_random(sim, CHILDREN_MAX - 1);
	node->children = calloc(node->count, sizeof(*node->children));
	assert_non_null(node->children);
	for (unsigned i = 0; i < node->count; i++) {
		struct sim_load own = { .bytes = 4096ull << sim_random(sim, 6), .write = sim_random(sim, 2) };
		struct fluid *child = &node->children[i];

		child->weight = 50.0 * (double)(1 + sim_random(sim, 12));
		child->reserved = sim_random(sim, 2) ? reservable * fraction(sim) : 0;
		/* A reservation matters where the weight would not give as much. */
		if (child->reserved > 0 && sim_random(sim, 2))
			child->weight = 10;
		/* The daemon refuses a limit below the reservation. */
		child->limit = sim_random(sim, 3) == 0 ? child->reserved + 0.02 + 0.5 * fraction(sim) : 1;
		reservable -= child->reserved;
		plant(sim, child, below, levels, load ? load : &own);
	}
}

static double worst_error(const struct simulation *sim, const struct fluid *node, double worst)
{
	const double span_ns = NS_PER_S;
	double got, slack;

	for (unsigned i = 0; i < node->count; i++)
		worst = worst_error(sim, &node->children[i], worst);
	if (node->count > 0)
		return worst;
	got = (double)sim_got(sim, node->guest, WARM_NS, WARM_NS + NS_PER_S).device_ns;
	/* The edges of the measured second cut through up to two requests. */
	slack = 2 * (double)sim_cost_ns(&sim->device, &sim->guests[node->guest].load);
	return fmax(worst, fmax(fabs(got - node->got * span_ns) - slack, 0) / (node->got * span_ns));
}

static void uproot(struct fluid *node)
{
	for (unsigned i = 0; i < node->count; i++)
		uproot(&node->children[i]);
	free(node->children);
}

/* The largest error of a guest's share in the tree that grows from this seed. */
static double tree_error(uint64_t tree_seed, enum sim_mutation mutation)
{
	struct simulation *sim = sim_create(&sim_device_ssd, WARM_NS + NS_PER_S, tree_seed);
	struct fluid root = { .limit = 1 };
	double error;

	sim->mutation = mutation;
	grow(sim, &root, NULL, 2, RESERVABLE, NULL);
	bounds(&root);
	divide(&root, root.most);
	sim_run(sim, WARM_NS + NS_PER_S);
	error = worst_error(sim, &root, 0);
	uproot(&root);
	sim_destroy(sim);
	return error;
}

static void random_trees(void **state)
{
	double worst = 0;

	for (unsigned i = 0; i < TREES; i++) {
		double error = tree_error(seed + i, SIM_SOUND);

		if (error > TOLERANCE)
			print_message("seed %" PRIu64 ": an error of %.4f\n", seed + i, error);
		worst = fmax(worst, error);
	}
	print_message("%u trees, largest error of a guest's share %.4f\n", TREES, worst);
	assert_true(worst <= TOLERANCE);
}

/* The model would notice: of these trees, at least one comes out wrong. */
static void random_trees_of_mutants(void **state)
{
	for (enum sim_mutation mutation = SIM_SOUND + 1; mutation < SIM_MUTATIONS; mutation++) {
		double worst = 0;

		for (unsigned i = 0; i < TREES && worst <= 3 * TOLERANCE; i++)
			worst = fmax(worst, tree_error(seed + i, mutation));
		print_message("mutant %u: largest error %.4f\n", mutation, worst);
		assert_true(worst > 3 * TOLERANCE);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(example_all_busy),
		cmocka_unit_test(example_redistributed_nested),
		cmocka_unit_test(example_redistributed_flat),
		cmocka_unit_test(random_trees),
		cmocka_unit_test(random_trees_of_mutants),
	};

	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	print_message("seed %" PRIu64 "\n", seed);
	return cmocka_run_group_tests_name("scheduler_shares", tests, NULL, NULL);
}
