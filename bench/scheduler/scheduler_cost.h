/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one decision of the disk scheduler costs. Every request is added and taken again; the figure is the
 * time for both, the best of several rounds.
 */
#ifndef VIADUCT_BENCH_SCHEDULER_COST_H
#define VIADUCT_BENCH_SCHEDULER_COST_H

#include <stdbool.h>

struct scheduler_case {
	const char *name;
	unsigned guests, active;
	bool nested;	/* group, guest, disk */
	bool settings;	/* a quarter of the guests has a reservation, a quarter a limit that is not reached */
};

double scheduler_cost_ns(const struct scheduler_case *wanted);

#endif
