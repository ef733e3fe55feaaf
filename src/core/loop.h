/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event loop of one thread on one io_uring: the only place where a worker or the control thread waits.
 *
 * One turn: take completions, run messages from other threads, poll the awake pollers, run deferred
 * tasks, submit everything with one system call. When a turn did nothing, the loop spins for a bounded,
 * adaptive time (see loop_options.spin_max_ns), then parks its pollers and sleeps in the kernel.
 *
 * Except loop_post() and loop_stop(), every function is called on the loop's own thread (or before
 * loop_run() starts). Nothing on the data path allocates; watches and loops do (control path).
 */
#ifndef VIADUCT_CORE_LOOP_H
#define VIADUCT_CORE_LOOP_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/stats.h"

struct loop;
struct loop_account;	/* loop_account.h: pays for the time */

/* What charges accounts. */
struct loop_clocks {
	uint64_t (*now_ns)(void);	/* monotonic */
	uint64_t (*thread_ns)(void);	/* CPU time of the calling thread */
};

struct loop_options {
	const char *name;	/* for logs and the thread's name */
	unsigned entries;	/* submission queue size; 0 = default */
	uint64_t spin_max_ns;	/* longest busy wait before sleeping; 0 = never spin */
	const struct loop_clocks *clocks;	/* NULL: the real ones. For tests; outlives the loop */
};

struct loop_counters {
	struct counter turns;	/* iterations */
	struct counter sleeps;	/* waits in the kernel */
	struct counter spin_ns;	/* time spent spinning without finding work, before a sleep */
};

/* Returns 0 or -errno (-EPERM/-ENOSYS: the kernel refuses io_uring; -ENOMEM). */
int loop_create(const struct loop_options *options, struct loop **ret_loop);

/* The loop does not run any more. NULL is allowed. */
void loop_destroy(struct loop *loop);

/* Runs until loop_stop(); returns 0 or -errno when the ring itself fails. */
int loop_run(struct loop *loop);

/*
 * One turn; waits at most timeout_ns (0 = do not wait). For tests and for programs with a loop of their own.
 */
int loop_turn(struct loop *loop, uint64_t timeout_ns);

/*
 * Makes loop_run() return after the current turn and the messages posted before. Any thread, also from a
 * signal handler.
 */
void loop_stop(struct loop *loop);

/* Monotonic time, read once a turn: for deadlines and accounting, not for latencies. */
uint64_t loop_now_ns(struct loop *loop);

/* Any thread. */
const struct loop_counters *loop_get_counters(const struct loop *loop);

/* The busy wait's bound may change while the loop runs. */
void loop_set_spin(struct loop *loop, uint64_t spin_max_ns);

/* ---- operations: one submission, one completion ---- */

/* Embedded in the caller's struct; alive until done() was called with cqe_flags without IORING_CQE_F_MORE. */
struct loop_op {
	/* `result`: as io_uring's cqe->res: 0 or positive, or -errno. */
	void (*done)(struct loop_op *op, int result, unsigned cqe_flags);
	struct loop_account *account;	/* private: pays for done() */
};

/*
 * Returns a submission entry; the caller prepares it (io_uring_prep_*) and then names its operation with
 * loop_sqe_finish(), or sets its user data to NULL when no operation waits for it.
 * Never fails: a full queue is submitted first. It is submitted at the end of the turn.
 */
struct io_uring_sqe *loop_sqe(struct loop *loop);
void loop_sqe_finish(struct loop *loop, struct io_uring_sqe *sqe, struct loop_op *op);
/* The same for what a device completes: waiting for it is another wait than for what programs do (loop.c). */
void loop_sqe_finish_device(struct loop *loop, struct io_uring_sqe *sqe, struct loop_op *op);
/*
 * The payer's last entry moves so many bytes inside the call that submits it: it counts as several, so that
 * it is charged for more, and before.
 */
void loop_sqe_copies(struct loop *loop, size_t bytes);

/* Submits now what was prepared: after it, a descriptor that an entry names may be closed. */
void loop_submit(struct loop *loop);

/*
 * Registers a file with the ring; returns its slot (for IOSQE_FIXED_FILE) or -errno. The fd stays the
 * caller's.
 */
int loop_file_register(struct loop *loop, int fd);
void loop_file_unregister(struct loop *loop, int slot);

/* ---- watches: readiness of a descriptor ---- */

struct loop_watch {
	void (*ready)(struct loop_watch *watch, unsigned poll_events);
	struct loop_account *account;	/* NULL: the loop's own */
	struct loop_watch_slot *slot;	/* private */
};

/*
 * Calls watch->ready whenever `fd` becomes ready (edge-triggered: the callback reads until EAGAIN, or the
 * fd is an eventfd whose every write counts). Returns 0 or -ENOMEM. The fd stays the caller's.
 */
int loop_watch_start(struct loop *loop, struct loop_watch *watch, int fd, unsigned poll_events);

/* After return, ready() is not called any more, and watch and fd may go. Idempotent. */
void loop_watch_stop(struct loop *loop, struct loop_watch *watch);

/*
 * Between the two ready() is not called and readiness costs nothing; what was missed is announced after the
 * resumption. Both idempotent, and nothing on a watch that does not run.
 */
void loop_watch_pause(struct loop *loop, struct loop_watch *watch);
void loop_watch_resume(struct loop *loop, struct loop_watch *watch);

/* ---- timers ---- */

struct loop_timer {
	void (*expired)(struct loop_timer *timer);
	uint64_t deadline_ns;	/* private, like the links; 0 = not running */
	struct loop_timer *next, *previous;
};

/* (Re)starts a timer that fires once, at an absolute monotonic time. */
void loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns);
/* Idempotent; afterwards expired() is not called. */
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);

/* ---- tasks: once, at the end of this turn, before the submission ---- */

struct loop_task {
	void (*run)(struct loop_task *task);
	struct loop_account *account;	/* private, like the rest */
	struct loop_task *next;
	bool queued;
};

/*
 * Idempotent while queued. A task may defer itself again: it then runs in the next turn. The account that
 * pays now pays then.
 */
void loop_defer(struct loop *loop, struct loop_task *task);
void loop_defer_for(struct loop *loop, struct loop_task *task, struct loop_account *account);
/* Takes a queued task back. Idempotent. */
void loop_defer_cancel(struct loop *loop, struct loop_task *task);

/* ---- pollers: work that shows in memory, not through the kernel ---- */

struct loop_poller {
	/* Takes the work there is (bounded); returns true when there was some. */
	bool (*poll)(struct loop_poller *poller);
	/*
	 * The loop is about to sleep: ask for a notification, then look once more. Returns false when work
	 * was found after all: the poller stays awake.
	 */
	bool (*park)(struct loop_poller *poller);
	struct loop_account *account;	/* NULL: the loop's own */
	struct loop_poller *next, *previous;
	bool awake;
};

/*
 * From now on, poll() is called each turn until the loop parks the poller; in turns that belong to other
 * guests it is not (loop_account.h). Idempotent.
 */
void loop_poller_wake(struct loop *loop, struct loop_poller *poller);
/* Removes it; neither poll() nor park() is called any more. Idempotent. */
void loop_poller_remove(struct loop *loop, struct loop_poller *poller);

/* ---- messages: the only way from one thread to another ---- */

struct loop_message {
	void (*run)(struct loop_message *message);
	struct loop_message *next;
};

/*
 * Runs message->run(message) on the loop's thread, in order of posting. Never blocks. Any thread. The poster
 * may still be inside when the message has run: a loop outlives the threads that post to it.
 */
void loop_post(struct loop *loop, struct loop_message *message);
/*
 * Takes back a message that waits, if it does, while no thread may post it: its memory is free then. Not in a
 * message. What waits besides may run after what is posted meanwhile.
 */
void loop_unpost(struct loop *loop, struct loop_message *message);

#endif
