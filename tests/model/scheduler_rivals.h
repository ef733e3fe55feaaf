/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Other ways to share a disk, as small as they can be: what docs/decisions/0008 compares with. They queue at
 * the simulation's guests, know no groups and no limits, and look at every guest for each decision.
 */
#ifndef VIADUCT_TESTS_SCHEDULER_RIVALS_H
#define VIADUCT_TESTS_SCHEDULER_RIVALS_H

#include "simulator.h"

extern const struct sim_rival rivals[];
extern const unsigned rival_count;

#endif
