/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The numbers of a share, from the user's configuration to the gate: by name where they are used, by key
 * where all are treated alike (reading, printing, comparing).
 */
#ifndef VIADUCT_ARBITER_SHARE_SHARE_SETTINGS_H
#define VIADUCT_ARBITER_SHARE_SHARE_SETTINGS_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "arbiter/share/scheduler.h"

enum share_key {
	SHARE_WEIGHT,
	SHARE_MIN_IOPS,
	SHARE_MAX_IOPS,
	SHARE_MIN_BANDWIDTH,
	SHARE_MAX_BANDWIDTH,
	SHARE_BURST,
	SHARE_LATENCY_TARGET,
	SHARE_KEYS
};

/* 0: none. */
struct share_settings {
	union {
		struct {
			uint64_t weight; /* 1 … SCHEDULER_WEIGHT_MAX; 0: the sum of those below it */
			/* Requests a second; how large a reserved one is, the device says */
			uint64_t min_iops, max_iops;
			uint64_t min_bandwidth, max_bandwidth; /* bytes a second */
			/* So many milliseconds' worth of the limits may be saved up */
			uint64_t burst_ms;
			uint64_t latency_target_us; /* leaves: time inside the device */
		};
		uint64_t value[SHARE_KEYS];
	};
};

static_assert(sizeof(struct share_settings) == SHARE_KEYS * sizeof(uint64_t), "a name for each key");
static_assert(offsetof(struct share_settings, max_bandwidth) == SHARE_MAX_BANDWIDTH * sizeof(uint64_t) &&
		      offsetof(struct share_settings, latency_target_us) ==
			      SHARE_LATENCY_TARGET * sizeof(uint64_t),
	      "the names are in the order of the keys");

#define SHARE_BURST_MS_DEFAULT 10u
#define SHARE_BURST_MS_MAX     60000u
#define SHARE_LATENCY_US_MAX   60000000u
#define SHARE_SETTINGS_DEFAULT { .weight = SCHEDULER_WEIGHT_DEFAULT, .burst_ms = SHARE_BURST_MS_DEFAULT }

#endif
