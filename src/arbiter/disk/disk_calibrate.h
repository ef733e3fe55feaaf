/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures a physical disk: the first coefficients of its cost model. Runs requests of its own on a loop of
 * its own, for CALIBRATE_NS in all and until the last of them is back, and returns; nothing else should use
 * the disk meanwhile. Reads only, unless a range to scribble on is given; without one, writes are supposed to
 * cost what reads do until they are observed.
 */
#ifndef VIADUCT_ARBITER_DISK_DISK_CALIBRATE_H
#define VIADUCT_ARBITER_DISK_DISK_CALIBRATE_H

#include "arbiter/disk/disk_cost.h"
#include "host/host_disk.h"

#define CALIBRATE_NS	      300000000ull
#define CALIBRATE_PATIENCE_NS 2000000000ull
/* The busy wait that a loop for it is to have. */
#define CALIBRATE_SPIN_NS     100000ull

struct calibrate_options {
	/* Inside the disk; may be overwritten, with noise. 0 bytes: nothing may. */
	uint64_t scratch_offset_bytes, scratch_bytes;
	uint64_t budget_ns;		/* 0: CALIBRATE_NS */
	/* So long after the budget, a request is given up; 0: CALIBRATE_PATIENCE_NS */
	uint64_t patience_ns;
	uint64_t (*now_ns)(void);	/* NULL: clock_now_ns; for tests */
	/* Turned by this call only, and alive until calibration_finish(); NULL: one that it makes */
	struct loop *loop;
};

/* Requests of a calibration that the device has not given back, and everything that they use. */
struct calibration;

/*
 * Any thread but workers; blocks. Returns 0, or -errno with *ret_cost = disk_cost_default: what the disk
 * answered, -ENOMEM, -EINVAL (scratch outside the disk), or -ETIMEDOUT: it did not answer. Then *ret_left
 * (else NULL) owns what it may still write to and complete: memory, its loop if it made one, and a channel of
 * the disk, which therefore may not be closed before calibration_finish().
 */
int disk_calibrate(struct host_disk *host, const struct calibrate_options *options,
		   struct disk_cost *ret_cost, struct calibration **ret_left);

/*
 * Keeps cost->parallel within bounds where a mistake hurts little. A measurement that met a busy moment finds
 * too few parallel requests, and a guest alone would wait for its own requests; a measurement that met a
 * cache finds too many, and a request of another guest would wait for all of them.
 */
void calibration_moderate(const struct host_disk *host, struct disk_cost *cost);

/*
 * On the thread that calibrated; never waits. Returns 0 when all requests have come back: everything is
 * freed. -EBUSY: not yet. NULL is allowed.
 */
int calibration_finish(struct calibration *left);

#endif
