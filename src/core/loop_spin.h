/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether waits of one kind are worth busy waits, and how long ones. Zeroed is valid; loop_spin.c. */
#ifndef VIADUCT_CORE_LOOP_SPIN_H
#define VIADUCT_CORE_LOOP_SPIN_H

#include <stdbool.h>
#include <stdint.h>

/* How far a loop has come. */
struct loop_progress {
	uint64_t now_ns;
	uint64_t completions;	/* of devices, so far */
};

struct loop_spin {
	uint64_t budget_ns;	/* how long the next one is, if there is one */
	bool in_vain;		/* a busy wait makes nothing quicker */
	unsigned doubts;	/* trials in a row that say otherwise */
	unsigned waits, round;	/* since the last trial, and from one to the next; 0: ROUND_LEAST */
	struct loop_progress since;	/* where the trial, or the time that it is compared with, began */
	double before;		/* completions a nanosecond in that time */
};

/* How long the next wait is busy before it sleeps; 0: it sleeps at once. */
uint64_t loop_spin_limit(const struct loop_spin *spin);

/* A wait has ended after gap_ns. max_ns: the longest busy wait. */
void loop_spin_note(struct loop_spin *spin, uint64_t gap_ns, uint64_t max_ns, struct loop_progress progress);

/* The longest busy wait has changed. */
void loop_spin_bound(struct loop_spin *spin, uint64_t max_ns);

#endif
