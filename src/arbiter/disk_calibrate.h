/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures a physical disk: the first coefficients of its cost model. Runs requests of its own on a loop of its
 * own, at most CALIBRATE_NS in all, and returns; nothing else should use the disk meanwhile. Reads only, unless a range
 * to scribble on is given; without one, writes are supposed to cost what reads do until they are observed.
 */
#ifndef VIADUCT_ARBITER_DISK_CALIBRATE_H
#define VIADUCT_ARBITER_DISK_CALIBRATE_H

#include "arbiter/disk_cost.h"
#include "host/host_disk.h"

#define CALIBRATE_NS 300000000ull

struct calibrate_options {
	uint64_t scratch_offset_bytes, scratch_bytes;	/* may be overwritten; 0 bytes: nothing may */
	uint64_t budget_ns;				/* 0: CALIBRATE_NS */
};

/* Any thread that has no loop running. Returns 0, or -errno of the disk with *ret_cost = disk_cost_default. */
int disk_calibrate(struct host_disk *host, const struct calibrate_options *options, struct disk_cost *ret_cost);

#endif
