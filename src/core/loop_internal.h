/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What loop.c and the other files of the loop (loop_*.c) share. No other file includes this.
 */
#ifndef VIADUCT_CORE_LOOP_INTERNAL_H
#define VIADUCT_CORE_LOOP_INTERNAL_H

#include <pthread.h>

#include "core/clock.h"
#include "core/loop.h"
#include "core/loop_account.h"
#include "core/loop_blame.h"
#include "core/loop_spin.h"

/* What the thread that looks after the loop saw: it waits; it has waited for 20 ms or so. */
#define LOOP_HELD_BRIEFLY 1u
#define LOOP_HELD_LONG	  2u
/* Not told yet: a guest that is to blame. */
#define LOOP_HELD_BLAME	  4u

/* Registered files; when none is free, the plain descriptor is used. */
#define LOOP_FILES_MAX 256

/* What a loop without work waits for: programs (drivers, other threads), or a device's completion, too. */
enum loop_wait { LOOP_WAIT_PROGRAM, LOOP_WAIT_DEVICE, LOOP_WAITS };

struct loop_watch_slot {
	struct loop_op op;
	struct loop *loop;
	struct loop_watch *watch;	/* NULL: stopped, freed by the poll's last completion */
	int fd;
	unsigned events;
	bool armed, paused;
	struct loop_watch_slot *next, *previous;
};

struct loop {
	struct io_uring ring;
	bool enabled;
	bool files_registered;
	uint64_t file_slots[LOOP_FILES_MAX / 64];

	struct loop_message *messages;	/* atomic stack, newest first */
	int wake_fd;
	struct loop_watch wake_watch;
	bool stopping;			/* atomic */

	/* loop_rescue.c */
	struct loop_rescue *rescue;	/* NULL: nobody looks after it */
	pthread_t thread;		/* while it runs */
	bool running;
	int state_fd, wchan_fd;		/* what /proc says of the thread; -1: not to be had */
	bool sleeps;			/* atomic */
	unsigned peer_writes;		/* atomic: under way */

	/* loop_blame.c */
	/* Atomic: LOOP_HELD_… */
	unsigned held;
	bool writing;			/* a submission of nothing but a write to a peer's descriptor */
	bool for_several;		/* the payer is not the only one that may be to blame */
	uint64_t blame_ns;		/* not 0: a share is to be blamed for so long a wait */
	uint64_t suspicious_until_ns;	/* not 0: entries of one account at a time, until then */
	uint64_t attentive_until_ns;	/* the CPU time of sleeps is left out, until then */
	struct slowness unclear;	/* waits for several */
	struct loop_blame *blames, *next_blame;

	struct loop_watch_slot *watches;
	struct loop_timer *timers;	/* sorted by deadline */
	struct loop_task *tasks, **tasks_end;

	/* loop_account.c and loop_pollers.c */
	struct loop_account own;	/* pays for what no guest caused */
	struct loop_share own_share;
	struct loop_account *payer;	/* of the time since mark_ns */
	uint64_t mark_ns;
	uint64_t thread_ns;		/* the thread's CPU time when it was asked for last */
	uint64_t accounted_ns;		/* of it since then */
	bool slept;			/* and the thread has slept, which is not accounted for */
	bool sleeping_write;		/* a write to a peer's descriptor went into the call that sleeps */
	struct loop_account *submitters;/* with entries not yet submitted */
	unsigned submissions;
	struct loop_share *shares;	/* with pollers awake */
	struct loop_share *next_share;	/* where the walk over them stands */
	/* Of the least of those that worked: where a share that was idle begins */
	uint64_t virtual_ns;
	uint64_t most_ns;		/* the greatest that any share ever had */
	uint64_t phase;			/* slices of another phase are over */
	uint64_t brief_until_ns;	/* turns are to be short until then */

	const struct loop_clocks *clocks;	/* NULL: the real ones */
	uint64_t now_ns;		/* at the beginning of the turn, or later */
	uint64_t spin_max_ns;
	struct loop_spin spin[LOOP_WAITS];	/* by what is awaited */
	unsigned devices;		/* operations that devices are to complete */
	uint64_t completions;		/* those that devices have completed */
	uint64_t idle_since_ns;		/* 0: the last turn did something */
	enum loop_wait idle_for;
	uint64_t idle_spin_ns;
	struct loop_counters counters;
};

static inline uint64_t loop_clock_ns(const struct loop *loop)
{
	return loop->clocks ? loop->clocks->now_ns() : clock_now_ns();
}

/* For whoever looks after the loop: its thread begins or ends; it is about to sleep, or has slept. */
void loop_rescue_enter(struct loop *loop);
void loop_rescue_leave(struct loop *loop);
void loop_rescue_sleeps(struct loop *loop, bool sleeps);
void loop_rescue_forget(struct loop *loop);

/*
 * A gap in the clock: was the thread held up, and for the payer's sake? `slept`: what it ran may be from
 * before.
 */
void loop_note_blame(struct loop *loop, uint64_t gap_ns, uint64_t ran_ns, bool slept);
/* Around a call that sleeps. */
void loop_falls_asleep(struct loop *loop);
void loop_woke(struct loop *loop);
void loop_settle_held(struct loop *loop);
/* Behind a call that did for any account what the kernel had put off. */
void loop_held_for_several(struct loop *loop);
/* Was the thread held up? Then who is to blame for it is told, and may stop what it does. */
static inline void loop_settle_blame(struct loop *loop)
{
	if (__builtin_expect(__atomic_load_n(&loop->held, __ATOMIC_RELAXED), 0))
		loop_settle_held(loop);
}
/* Are entries of several accounts not to be submitted together? */
bool loop_is_suspicious(struct loop *loop);

/* Any thread: the loop looks around. */
void loop_wake(struct loop *loop);
/* Of other threads, oldest first. */
void loop_run_messages(struct loop *loop);
/* Each returns true when it found work; called once a turn. */
bool loop_run_timers(struct loop *loop);
bool loop_run_pollers(struct loop *loop);
/* As many tasks as were queued at the start. */
void loop_run_tasks(struct loop *loop);
/* The loop has nothing to do: no guest is ahead of another any more. */
void loop_forgive(struct loop *loop);
/* Returns true when every poller is asleep. */
bool loop_park_pollers(struct loop *loop);

/*
 * More than most use between two readings: the thread may not have been running, and its CPU time is asked
 * for.
 */
#define LOOP_GAP_NS (50 * NS_PER_US)
/* What of a gap the thread was running. */
uint64_t loop_gap_ran_ns(struct loop *loop, uint64_t gap_ns);
/* What it ran before is not asked about any more. */
void loop_thread_clock_begin(struct loop *loop);

/* The thread's time since it was taken last; the caller charges it to an account, or drops it. */
static inline uint64_t loop_take_time(struct loop *loop, uint64_t now_ns)
{
	uint64_t ns = now_ns - loop->mark_ns;

	/* The turn's beginning, after a payer has changed in the turn: that time is taken already. */
	if (now_ns < loop->mark_ns)
		return 0;
	loop->mark_ns = now_ns;
	if (ns >= LOOP_GAP_NS)
		return loop_gap_ran_ns(loop, ns);
	loop->accounted_ns += ns;
	return ns;
}

static inline void loop_charge(struct loop *loop, struct loop_account *account, uint64_t ns)
{
	struct loop_share *share = account->share;
	uint64_t virtual;

	counter_add(&account->used_ns, ns);
	virtual = ns * __atomic_load_n(&account->price, __ATOMIC_RELAXED) + share->virtual_part;
	share->virtual_ns += virtual / LOOP_PRICE_ONE;
	share->virtual_part = virtual % LOOP_PRICE_ONE;
	if (share->virtual_ns > loop->most_ns)
		loop->most_ns = share->virtual_ns;
}

/* Charges the payer with the time until `now_ns`. */
static inline void loop_charge_payer(struct loop *loop, uint64_t now_ns)
{
	loop_charge(loop, loop->payer, loop_take_time(loop, now_ns));
}

/* loop_pay(), for an account that pays already as a rule. */
static inline void loop_pay_on(struct loop *loop, struct loop_account *account)
{
	if (account != loop->payer)
		loop_pay(loop, account);
}

/* An operation keeps its account alive; one without is the loop's own. */
static inline void loop_op_account(struct loop_op *op, struct loop_account *account)
{
	op->account = account;
	if (account)
		loop_account_get(account);
}

static inline void loop_op_release(struct loop *loop, struct loop_op *op)
{
	if (op->account)
		loop_account_put(loop, op->account);
	op->account = NULL;
}

/* The loop goes: so do the accounts that were closed and that what it still has names. */
void loop_put_accounts(struct loop *loop);

/* The payer's next entry. */
void loop_count_entry(struct loop *loop);
/*
 * Submits what is prepared and shares its cost out; `get_events`: takes completions on the way. Returns what
 * liburing says.
 */
int loop_submit_entries(struct loop *loop, bool get_events);
/* Submits for the payer if it prepared much. */
void loop_submit_dear(struct loop *loop);
/* What is prepared is about to be submitted by a call that also sleeps: charges what that probably costs. */
void loop_charge_entries(struct loop *loop);

#endif
