/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The io_uring of a loop. What it is asked passes by the filter of system calls, so the kernel is told before
 * the first operation what the daemon uses, and refuses everything else for as long as the ring lives.
 */
#ifndef VIADUCT_CORE_LOOP_RING_H
#define VIADUCT_CORE_LOOP_RING_H

#include <liburing.h>

/*
 * Makes a ring that is disabled, and restricted from the moment it is enabled: an operation that is not in
 * the table of loop_ring.c completes with -EACCES. Returns 0 or -errno; -EINVAL: the kernel has no
 * restrictions (before Linux 5.10), which is older than what else the loop needs.
 */
int loop_ring_create(struct io_uring *ring, unsigned entries);

/* On the thread that will use it. 0 or -errno. */
int loop_ring_enable(struct io_uring *ring);

/*
 * The operations of io_uring_register() that a loop needs once its ring is made, for the filter of system
 * calls: that number `index` of them, or -1 behind the last one.
 */
int loop_ring_register_op(unsigned index);

#endif
