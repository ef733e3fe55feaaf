/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What sharing in time promises, as experiments on the simulated disk. Each gives one number and says what it
 * must be; test_scheduler.c runs them on the scheduler as it is, and on one that is told wrong things.
 */
#ifndef VIADUCT_TESTS_SCHEDULER_PROPERTIES_H
#define VIADUCT_TESTS_SCHEDULER_PROPERTIES_H

#include "simulator.h"

struct property_run {
	uint64_t seed;
	unsigned guests;
	enum sim_mutation mutation;
	const struct sim_rival *rival;
};

struct property {
	const char *name;
	double (*measure)(const struct property_run *run);
	double bound;
	bool at_most;		/* else at least */
	unsigned guests[3];	/* sizes to run it with, as many as are not 0 */
};

extern const struct property properties[];
extern const unsigned property_count;

const struct property *property_find(const char *name);
bool property_holds(const struct property *property, double measured);

#endif
