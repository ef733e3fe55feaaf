/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a virtual disk counts: for the daemon, which shows it. Models of disks need none of it. */
#ifndef VIADUCT_ARBITER_DISK_DISK_STATS_H
#define VIADUCT_ARBITER_DISK_DISK_STATS_H

#include "arbiter/disk/disk.h"
#include "arbiter/share/gate.h"
#include "core/stats.h"

/* Counters of one disk on one worker; see disk_stats_read(). */
struct disk_stats {
	struct counter operations[DISK_OPS];
	struct counter bytes[DISK_OPS];
	struct counter errors;		/* of the physical disk */
	struct counter refused;		/* outside the disk, read-only, misaligned */
	struct counter in_flight;
	struct histogram latency[DISK_OPS];	/* submit to done, ns */
	struct gate_counters gate;
};

/* Joins the counters of all channels, also closed ones, into *ret_stats. Any thread. */
void disk_stats_read(struct disk *disk, struct disk_stats *ret_stats);

#endif
