/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ends waits into which a peer has led a loop's thread.
 *
 * A write to a descriptor of a peer's cannot be kept from waiting: whether it may is a flag that the peer can
 * switch while the kernel is between looking at it and acting on it (an eventfd whose counter is full). So a
 * thread of its own looks every 2.5 ms whether a loop that has such a write under way still turns. One that
 * has stood still for two looks is sent a signal, SIGUSR1: the wait ends, and the write with -EINTR, which no
 * honest peer's ever does. While all loops sleep, so does the thread.
 */
#ifndef VIADUCT_CORE_LOOP_RESCUE_H
#define VIADUCT_CORE_LOOP_RESCUE_H

#include <signal.h>
#include <stdbool.h>

struct loop;
struct loop_rescue;

/* The threads of loops must not block it. */
#define LOOP_RESCUE_SIGNAL SIGUSR1

/* Starts the thread and installs the signal's handler. Returns 0 or -errno. */
int loop_rescue_start(struct loop_rescue **ret_rescue);
/* After all of its loops were destroyed. NULL is allowed. */
void loop_rescue_stop(struct loop_rescue *rescue);

/* Looks after a loop from now on, while loop_run() runs it. Before that. Returns 0 or -ENOMEM. */
int loop_rescue_add(struct loop_rescue *rescue, struct loop *loop);

/*
 * Has the loop's thread been waiting in the kernel for 20 ms or so, other than for work? Any thread, while
 * the loop lives; the answer is some milliseconds old.
 */
bool loop_stands_still(const struct loop *loop);

/*
 * Around what may write to a peer's descriptor: before its entry is asked for, when the entry is finished,
 * and after its last result.
 */
void loop_peer_write_begin(struct loop *loop);
void loop_peer_write_prepared(struct loop *loop);
void loop_peer_write_end(struct loop *loop);

#endif
