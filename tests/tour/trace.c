/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"

#define DEPTH_MAX 64u

static void *stack[DEPTH_MAX];
static unsigned depth;
static bool tracing;

void __cyg_profile_func_enter(void *function, void *caller) UNTRACED;
void __cyg_profile_func_exit(void *function, void *caller) UNTRACED;

static UNTRACED void print_stack(const char *what)
{
	if (!tracing || depth == 0)
		return;
	printf("%s", what);
	for (unsigned i = 0; i < depth; i++)
		printf(" %p", stack[i]);
	printf("\n");
}

void __cyg_profile_func_enter(void *function, void *caller)
{
	if (depth == DEPTH_MAX)
		abort();
	stack[depth++] = function;
	print_stack("enter");
}

void __cyg_profile_func_exit(void *function, void *caller)
{
	depth--;
}

/* ---- what the stages hand to the loop ---- */

void __real_loop_poller_wake(struct loop *on, struct loop_poller *poller);
void __real_loop_sqe_finish(struct loop *on, struct io_uring_sqe *sqe, struct loop_op *op);
void __real_loop_sqe_finish_device(struct loop *on, struct io_uring_sqe *sqe, struct loop_op *op);
void __real_loop_defer_for(struct loop *on, struct loop_task *task, struct loop_account *account);
void __wrap_loop_poller_wake(struct loop *on, struct loop_poller *poller) UNTRACED;
void __wrap_loop_sqe_finish(struct loop *on, struct io_uring_sqe *sqe, struct loop_op *op) UNTRACED;
void __wrap_loop_sqe_finish_device(struct loop *on, struct io_uring_sqe *sqe, struct loop_op *op) UNTRACED;
void __wrap_loop_defer_for(struct loop *on, struct loop_task *task, struct loop_account *account) UNTRACED;

void __wrap_loop_poller_wake(struct loop *on, struct loop_poller *poller)
{
	print_stack("hand");
	__real_loop_poller_wake(on, poller);
}

void __wrap_loop_sqe_finish(struct loop *on, struct io_uring_sqe *sqe, struct loop_op *op)
{
	print_stack("hand");
	__real_loop_sqe_finish(on, sqe, op);
}

void __wrap_loop_sqe_finish_device(struct loop *on, struct io_uring_sqe *sqe, struct loop_op *op)
{
	print_stack("hand");
	__real_loop_sqe_finish_device(on, sqe, op);
}

void __wrap_loop_defer_for(struct loop *on, struct loop_task *task, struct loop_account *account)
{
	print_stack("hand");
	__real_loop_defer_for(on, task, account);
}

/* ---- for the programs ---- */

void trace_set(bool on)
{
	tracing = on;
}

void trace_check(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s\n", what);
	exit(1);
}

void trace_broken(void *context, enum virtqueue_violation violation, uint64_t value)
{
	trace_check(false, virtqueue_violation_text(violation));
}

void trace_settle(struct loop *loop)
{
	for (int i = 0; i < 10; i++)
		trace_check(loop_turn(loop, NS_PER_MS) == 0, "the loop failed");
}
