/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which account pays for a loop's time, and which guest has the next turn at it.
 *
 * A share stands for one guest on one loop, an account for one of its devices there. Pollers, watches and
 * tasks name an account, and an operation belongs to the account that was paying when it was prepared, so
 * that whatever follows from a guest's doing is charged to it: each change of the payer reads the clock once,
 * and a submission to the kernel is shared out by its entries.
 *
 * While several guests have pollers awake, the one that has had the least goes first, and none gets more than
 * LOOP_SLICE_NS ahead of the least of those that found work. All guests count the same, whatever the number
 * of their devices, queues and kicks, unless an account says that its time counts for more or less. Of its
 * share a guest saves up LOOP_CREDIT_NS at most; one alone takes all it wants.
 */
#ifndef VIADUCT_CORE_LOOP_ACCOUNT_H
#define VIADUCT_CORE_LOOP_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/loop.h"
#include "core/slowness.h"
#include "core/stats.h"

struct loop_guest;

/* About 64 small requests to a disk that answers at once: long enough to batch, short enough to wait for. */
#define LOOP_SLICE_NS 25000u
/*
 * What a guest that wants less than its share saves up. Without it, one request that happened to cost much
 * (an interrupt, a wake-up of a halted CPU) is paid back in rounds of everybody's slices, and is waited for
 * by the next ones.
 */
#define LOOP_CREDIT_NS 100000u

#define LOOP_LITTLE_TURNS 8u
#define LOOP_PRICE_ONE	  65536u

/* One guest on one loop. All fields are the loop's. */
struct loop_share {
	/* Time had; lifted to the others', less the credit, when it was idle */
	uint64_t virtual_ns;
	uint32_t virtual_part;		/* of a nanosecond more, in 1 / LOOP_PRICE_ONE */
	uint64_t stop_ns;		/* value of virtual_ns at which the slice is over */
	uint64_t phase;			/* of the loop, for which stop_ns was set */
	struct loop_poller *pollers;	/* awake ones */
	struct loop_poller *next_poller;/* whose turn it is */
	unsigned awake;			/* how many */
	unsigned little;		/* times in a row that it wanted little */
	unsigned blame;			/* loop_blame.h: what for */
	struct slowness writes;		/* to its peers' descriptors */
	struct slowness waits;		/* for its memory */
	uint64_t owed_ns, owed_since_ns;	/* of the guest's budget, at that moment */
	struct loop_share *next, *previous;	/* of those with pollers awake */
};

/* One device on one loop. Counted: its owner names it, and so do operations and tasks until they have run. */
struct loop_account {
	struct loop *loop;
	struct loop_share *share;
	struct counter used_ns;		/* any thread may read it */
	/* Atomic: so much of the share, in 1 / LOOP_PRICE_ONE, does a nanosecond take */
	uint32_t price;
	struct loop_message closed;
	/* the loop's */
	unsigned users;
	uint64_t entry_ns;		/* what submitting one entry has cost lately; 0: unknown */
	unsigned entries;		/* prepared and not yet submitted */
	struct loop_account *next;	/* of those with such entries */
};

#define LOOP_WEIGHT_DEFAULT 100u

/*
 * Work that this account pays for counts LOOP_WEIGHT_DEFAULT / weight of its time against the guest's share:
 * with three times the weight, a guest that has only such work gets three times another's time. Any thread.
 */
static inline void loop_account_set_weight(struct loop_account *account, uint32_t weight)
{
	uint32_t price = weight > 0 ? LOOP_PRICE_ONE * LOOP_WEIGHT_DEFAULT / weight : LOOP_PRICE_ONE;

	__atomic_store_n(&account->price, price > 0 ? price : 1, __ATOMIC_RELAXED);
}

/* One guest, over all loops. Control thread. Counted, also by its accounts; put accepts NULL. */
struct loop_guest *loop_guest_create(void);
struct loop_guest *loop_guest_get(struct loop_guest *guest);
void loop_guest_put(struct loop_guest *guest);

/* Control thread. NULL when out of memory. */
struct loop_account *loop_account_create(struct loop_guest *guest, struct loop *loop);
/*
 * Its owner names it no more, nor does any watch or poller; the loop frees it when the last operation and
 * task have run. The thread that created it; accepts NULL. The loop is still there, or runs no more.
 */
void loop_account_close(struct loop_account *account);

/*
 * The loop's thread, like all below. From now on `account` pays (NULL: the loop itself), until another is
 * named.
 */
void loop_pay(struct loop *loop, struct loop_account *account);
/* The account that pays now: for work that goes on later, and is to be paid by the same. */
struct loop_account *loop_payer(const struct loop *loop);

/*
 * Has the payer had its slice, which begins when this is asked first? For work of which there may be much: it
 * asks between the pieces (one reading of the clock) and does the rest in the next turn.
 */
bool loop_slice_over(struct loop *loop);

/*
 * On a loop that does little and must be there at once (the control thread's), a guest gets this part of the
 * time, and may be so far ahead of it. An honest guest needs some milliseconds when it starts.
 */
#define LOOP_BUDGET_PART 4u
#define LOOP_BUDGET_NS	 100000000u

/* The account's guest has had so much of its budget. */
void loop_budget_spend(struct loop *loop, struct loop_account *account, uint64_t ns);
/* So long has it to wait until it is within its budget again; 0: it is. */
uint64_t loop_budget_wait_ns(struct loop *loop, const struct loop_account *account);

/*
 * A poller that did work tells whether there was little of it: no more than it would do in a brief turn. A
 * guest of which that was said LOOP_LITTLE_TURNS times in a row, and that has had less than others, waits
 * whenever it comes for what another has begun: for a while those that want more are to do little at a time.
 */
void loop_worked(struct loop *loop, bool little);
bool loop_wants_brief_turns(struct loop *loop);

/* For what is to be paid for later: the account outlives it. Returns the account. */
struct loop_account *loop_account_get(struct loop_account *account);
void loop_account_put(struct loop *loop, struct loop_account *account);

#endif
