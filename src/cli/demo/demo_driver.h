/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver of ours on a virtual disk, on a thread of its own: it keeps the disk busy with random reads. A
 * stock kernel under software emulation cannot flood a disk; this can.
 */
#ifndef VIADUCT_CLI_DEMO_DEMO_DRIVER_H
#define VIADUCT_CLI_DEMO_DEMO_DRIVER_H

#include <stdint.h>

#include "core/stats.h"

struct demo_driver;

struct demo_driver_options {
	const char *socket, *guest, *token;	/* guest and token: for the pattern (demo_scan.h) */
	unsigned depth;				/* requests in flight, at most 512 */
	uint32_t block_bytes;			/* of each */
};

/* Of the disk, so many blocks are used. */
#define DEMO_DRIVER_BLOCKS 2048u

/* Connects, and fills its part of the disk with the guest's pattern. 0, or -errno and *ret_error (static). */
int demo_driver_open(const struct demo_driver_options *options, struct demo_driver **ret_driver,
		     const char **ret_error);
/* Stops it. NULL is allowed. */
void demo_driver_close(struct demo_driver *driver);

/* Latencies are counted anew. 0 or -errno. */
int demo_driver_start(struct demo_driver *driver);
/* Waits for what is in flight. 0, or -errno of what ended it before. */
int demo_driver_stop(struct demo_driver *driver);

/* Since the opening, the filling left out; these also while it runs. */
uint64_t demo_driver_done(const struct demo_driver *driver);
/* Of these, what was answered with an error or with data that is not the guest's. */
uint64_t demo_driver_failed(const struct demo_driver *driver);
/* Since the last start. */
const struct histogram *demo_driver_latency(const struct demo_driver *driver);

#endif
