/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests that made a worker wait. The pages of a guest's memory are its VMM's, and so is the time that the
 * kernel takes to find one: while a hole is punched into the file, seconds. Everybody who is served by that
 * worker waits with it, once: the guest then goes, with all its queues and what it has in flight, to a spare
 * worker, which has less of the CPU than others and serves nobody else.
 *
 * It comes back when it starts its queues anew, some time after the last wait: 10 s, and twice as long each
 * time. There are QUARANTINE_WORKERS; more guests than that share them, and wait for each other. Control
 * thread.
 */
#ifndef VIADUCT_DAEMON_DEVICE_QUARANTINE_H
#define VIADUCT_DAEMON_DEVICE_QUARANTINE_H

#include <stdbool.h>
#include <stdint.h>

struct device;
struct worker;

#define QUARANTINE_WORKERS 4u
#define QUARANTINE_ENTRIES 256u
#define QUARANTINE_NICE	   10

/* Of the device's guest: it made a worker wait for so long. */
void quarantine_guest(struct device *device, uint64_t waited_ns);
/* The worker that serves all queues of the device; NULL: any. Asked for each queue that starts. */
struct worker *quarantine_worker(struct device *device);

#endif
