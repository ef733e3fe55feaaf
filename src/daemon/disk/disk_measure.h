/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread that measures physical disks, one after the other. It and its loop are made at the start,
 * because the sandbox allows no new rings, and a reload may bring a disk that is to be measured.
 */
#ifndef VIADUCT_DAEMON_DISK_DISK_MEASURE_H
#define VIADUCT_DAEMON_DISK_DISK_MEASURE_H

#include <stdbool.h>

struct disk_cost;
struct disk_measurer;
struct host_disk;

/* A measurement whose disk did not answer. */
struct measurement;

/* Control thread. 0 or -errno. */
int disk_measurer_create(struct disk_measurer **ret_measurer);
/* NULL is allowed. A disk that hangs is still waited for, by the thread alone. */
void disk_measurer_destroy(struct disk_measurer *measurer);

/*
 * Control thread; waits for the measurement. Returns 0 with *ret_cost, or -errno; -ETIMEDOUT: the disk hangs,
 * and *ret_hung is what measurement_let_go() takes.
 */
int disk_measure(struct disk_measurer *measurer, struct host_disk *host, struct disk_cost *ret_cost,
		 struct measurement **ret_hung);

/* True: the disk is free to be closed. False: the thread closes it, whenever it comes back to life. */
bool measurement_let_go(struct measurement *hung);

#endif
