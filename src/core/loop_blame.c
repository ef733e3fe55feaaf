/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * loop->held is set by the other thread while this one stands still. Whatever takes the time next, as a rule
 * loop_settle_blame() behind the poller, task or completion that stood still, finds a gap in the loop's clock
 * during which the thread did not run, and notes it in the payer's share. A flag without such a gap came too
 * late: the gap is another's, and nobody is blamed. Callbacks are then called from a place where nothing of
 * the guest's is under way.
 *
 * A write to a peer's descriptor that takes long is work, which the loop measures by itself. While such a
 * write is under way, other work may take as long (finding pages for a large read, say): the loop becomes
 * suspicious, and submits each such write by itself. What the thread worked while it slept (the kernel does
 * in it what it has put off) is not accounted for, and seems to belong to the next gap, in which the thread
 * was perhaps only not running. So the loop becomes attentive first: for a second, it asks for its CPU time
 * before and after each sleep. And one such write may be the host's fault, which took the CPU away meanwhile:
 * there are some before they are held against a guest.
 *
 * A call that submits for several accounts, or also does what the kernel has put off for any of them (as each
 * does that takes completions, or sleeps), says nothing. It makes the loop suspicious: while it is, each call
 * submits for one account and does nothing else.
 */
#include "core/loop_blame.h"

#include <assert.h>

#include "core/loop_internal.h"

/* The shortest gap that a flag can mean: what the other thread measures begins later than the gap. */
#define WAITED_NS (15 * NS_PER_MS)
/* The same for one that is held against nobody by itself. */
#define SLOW_WAIT_NS (5 * NS_PER_MS / 2)
#define ATTENTION_NS NS_PER_S
/* Longer than anybody likes to wait between two attacks; it costs some system calls. */
#define SUSPICION_NS (600 * NS_PER_S)

void loop_blame_start(struct loop *loop, struct loop_blame *blame)
{
	assert(blame->blamed && blame->account && !blame->listed);
	/* For what happened before it was there, it is not asked. */
	if (loop->blame_ns == 0)
		blame->account->share->blame = 0;
	blame->previous = NULL;
	blame->next = loop->blames;
	if (blame->next)
		blame->next->previous = blame;
	loop->blames = blame;
	blame->listed = true;
}

void loop_blame_stop(struct loop *loop, struct loop_blame *blame)
{
	if (!blame->listed)
		return;
	if (loop->next_blame == blame)
		loop->next_blame = blame->next;
	if (blame->next)
		blame->next->previous = blame->previous;
	if (blame->previous)
		blame->previous->next = blame->next;
	else
		loop->blames = blame->next;
	blame->listed = false;
}

const unsigned *loop_blame_flag(const struct loop *loop)
{
	return &loop->held;
}

void loop_falls_asleep(struct loop *loop)
{
	loop->slept = true;
	if (loop->now_ns < loop->attentive_until_ns) {
		loop_thread_clock_begin(loop);
		loop->sleeping_write = __atomic_load_n(&loop->peer_writes, __ATOMIC_RELAXED) > 0;
	}
}

void loop_woke(struct loop *loop)
{
	bool attentive = !loop->slept;

	loop->slept = true;
	if (attentive) {
		uint64_t before_ns = loop->thread_ns;

		loop_thread_clock_begin(loop);
		if (loop->sleeping_write && loop->thread_ns - before_ns >= SLOW_WRITE_NS)
			loop_blame_nobody(loop);
	}
	loop_held_for_several(loop);
}

static void blame_payer(struct loop *loop, unsigned what, uint64_t gap_ns)
{
	loop->payer->share->blame |= what;
	loop->blame_ns = gap_ns;
	__atomic_store_n(&loop->held, LOOP_HELD_BLAME, __ATOMIC_RELAXED);
}

static void note_wait(struct loop *loop, uint64_t gap_ns, uint64_t wait_ns, bool is_long)
{
	struct slowness *waits = loop->for_several ? &loop->unclear : &loop->payer->share->waits;

	if (!loop->for_several && loop->payer == &loop->own)
		return;
	if (!is_long && !slowness_add(waits, wait_ns, loop_clock_ns(loop)))
		return;
	if (loop->for_several)
		loop_blame_nobody(loop);
	else
		blame_payer(loop, LOOP_BLAME_WAITED, gap_ns);
}

static void note_write(struct loop *loop, uint64_t gap_ns, uint64_t ran_ns)
{
	if (loop->for_several || !loop->writing)
		loop_blame_nobody(loop);
	else if (loop->payer != &loop->own &&
		 slowness_add(&loop->payer->share->writes, ran_ns, loop_clock_ns(loop)))
		blame_payer(loop, LOOP_BLAME_WROTE, gap_ns);
}

void loop_note_blame(struct loop *loop, uint64_t gap_ns, uint64_t ran_ns, bool slept)
{
	uint64_t wait_ns = gap_ns - ran_ns;
	unsigned held;

	/* One is noted already, and is told first. */
	if (loop->blame_ns > 0)
		return;
	held = __atomic_exchange_n(&loop->held, 0, __ATOMIC_RELAXED);
	if (ran_ns >= SLOW_WRITE_NS && slept)
		loop->attentive_until_ns = loop_clock_ns(loop) + ATTENTION_NS;
	if (held & LOOP_HELD_LONG && wait_ns >= WAITED_NS)
		note_wait(loop, gap_ns, wait_ns, true);
	else if (held && wait_ns >= SLOW_WAIT_NS)
		note_wait(loop, gap_ns, wait_ns, false);
	else if (ran_ns >= SLOW_WRITE_NS && !slept)
		note_write(loop, gap_ns, ran_ns);
}

void loop_held_for_several(struct loop *loop)
{
	unsigned held = __atomic_load_n(&loop->held, __ATOMIC_RELAXED);

	if (!held)
		return;
	__atomic_store_n(&loop->held, 0, __ATOMIC_RELAXED);
	/* How long it was is not known: between two looks at least. */
	if (held & LOOP_HELD_LONG || slowness_add(&loop->unclear, SLOW_WAIT_NS, loop_clock_ns(loop)))
		loop_blame_nobody(loop);
}

void loop_blame_payer(struct loop *loop)
{
	loop_charge_payer(loop, loop_clock_ns(loop));
}

void loop_blame_nobody(struct loop *loop)
{
	__atomic_store_n(&loop->held, 0, __ATOMIC_RELAXED);
	loop->suspicious_until_ns = loop_clock_ns(loop) + SUSPICION_NS;
}

bool loop_is_suspicious(struct loop *loop)
{
	if (loop->suspicious_until_ns > 0 && loop->now_ns > loop->suspicious_until_ns)
		loop->suspicious_until_ns = 0;
	return loop->suspicious_until_ns > 0;
}

static void call_blamed(struct loop *loop)
{
	uint64_t waited_ns = loop->blame_ns;

	loop->blame_ns = 0;
	for (struct loop_blame *blame = loop->blames; blame; blame = loop->next_blame) {
		unsigned what = blame->account->share->blame;

		loop->next_blame = blame->next;
		if (what)
			blame->blamed(blame, what, waited_ns);
	}
	for (struct loop_blame *blame = loop->blames; blame; blame = blame->next)
		blame->account->share->blame = 0;
}

void loop_settle_held(struct loop *loop)
{
	if (loop->blame_ns == 0)
		loop_charge_payer(loop, loop_clock_ns(loop));
	__atomic_store_n(&loop->held, 0, __ATOMIC_RELAXED);
	if (loop->blame_ns > 0)
		call_blamed(loop);
}
