/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who made a loop's thread wait.
 *
 * Time that a guest takes is charged to it, and others have their turns. Time that the thread stands still in
 * the kernel is not: a page of the guest's memory that is being taken away, or a descriptor with half a
 * million waiters, holds up everybody. It cannot be cut short, but it need not happen twice.
 *
 * The thread that looks after loops (loop_rescue.h) sees that one stands still, and whether it waits or
 * works. The loop finds out whose turn that was: the account that paid. What was submitted to the kernel for
 * several guests together tells nothing; for some minutes, each submission is of one guest only then.
 *
 * Every function is called on the loop's thread.
 */
#ifndef VIADUCT_CORE_LOOP_BLAME_H
#define VIADUCT_CORE_LOOP_BLAME_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_account;

/*
 * The thread slept in the kernel for 20 ms or so (on a busy machine somewhat longer passes unnoticed), or for
 * shorter times that are too much together (slowness.h).
 */
#define LOOP_BLAME_WAITED 1u
/* It was busy with slow writes to the guest's descriptors (slowness.h), and this is one too many. */
#define LOOP_BLAME_WROTE 2u

/* Of something that works for a guest. It must not touch the guest's memory any more once it is blamed. */
struct loop_blame {
	/* `account`'s guest made the thread wait. Between two pollers, tasks or completions. */
	void (*blamed)(struct loop_blame *blame, unsigned what, uint64_t waited_ns);
	struct loop_account *account;	    /* not NULL */
	struct loop_blame *next, *previous; /* private, like the rest */
	bool listed;
};

void loop_blame_start(struct loop *loop, struct loop_blame *blame);
/* Idempotent. */
void loop_blame_stop(struct loop *loop, struct loop_blame *blame);

/*
 * Not 0 (atomic): the thread has just stood still, and it is not known yet for whom. Whoever does much in one
 * go ends it then. Valid as long as the loop.
 */
const unsigned *loop_blame_flag(const struct loop *loop);
/* While the flag is set: up to now it was the payer, of which it hears later. */
void loop_blame_payer(struct loop *loop);
/* And this: it was one of several. */
void loop_blame_nobody(struct loop *loop);

#endif
