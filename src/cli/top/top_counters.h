/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Differences and sums of counters. Pure. */
#ifndef VIADUCT_CLI_TOP_TOP_COUNTERS_H
#define VIADUCT_CLI_TOP_TOP_COUNTERS_H

#include "cli/top/top_sample.h"

/* What was counted between two samples. A counter that fell is one of another life: nothing is known. */
void top_counters_subtract(struct top_counters *delta, const struct top_counters *before,
			   const struct top_counters *now);
void top_traffic_subtract(struct top_traffic *delta, const struct top_traffic *before,
			  const struct top_traffic *now);
void top_traffic_add(struct top_traffic *sum, const struct top_traffic *delta);
void top_counters_add(struct top_counters *sum, const struct top_counters *delta);

#endif
