/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is polled when: the walk over the guests that have pollers awake. loop_account.c has the theory. */
#include <assert.h>
#include <stddef.h>

#include "core/loop_account.h"
#include "core/loop_internal.h"

/*
 * Pollers get so much of a turn while there are several guests. A share that is left out has had the least by
 * then and comes first in the next turn. So does one that wakes meanwhile, and it is noticed this soon.
 */
#define TURN_NS (2ull * LOOP_SLICE_NS)
/* A guest that wants little and has come is likely to come again within this time. */
#define BRIEF_NS (200 * NS_PER_US)

static struct loop_share *share_of(struct loop *loop, const struct loop_poller *poller)
{
	return poller->account ? poller->account->share : &loop->own_share;
}

static void lift(const struct loop *loop, struct loop_share *share)
{
	if (share->virtual_ns + LOOP_CREDIT_NS < loop->virtual_ns)
		share->virtual_ns = loop->virtual_ns - LOOP_CREDIT_NS;
}

void loop_forgive(struct loop *loop)
{
	loop->virtual_ns = loop->most_ns + LOOP_CREDIT_NS;
	for (struct loop_share *share = loop->shares; share; share = share->next)
		lift(loop, share);
}

static void link_share(struct loop *loop, struct loop_share *share)
{
	lift(loop, share);
	share->previous = NULL;
	share->next = loop->shares;
	if (share->next)
		share->next->previous = share;
	loop->shares = share;
}

static void unlink_share(struct loop *loop, struct loop_share *share)
{
	assert(share->previous ? share->previous->next == share : loop->shares == share);
	if (loop->next_share == share)
		loop->next_share = share->next;
	if (share->next)
		share->next->previous = share->previous;
	if (share->previous)
		share->previous->next = share->next;
	else
		loop->shares = share->next;
}

void loop_poller_wake(struct loop *loop, struct loop_poller *poller)
{
	struct loop_share *share = share_of(loop, poller);

	if (poller->awake)
		return;
	if (share->awake++ == 0)
		link_share(loop, share);
	poller->awake = true;
	poller->previous = NULL;
	poller->next = share->pollers;
	if (poller->next)
		poller->next->previous = poller;
	share->pollers = poller;
}

void loop_poller_remove(struct loop *loop, struct loop_poller *poller)
{
	struct loop_share *share = share_of(loop, poller);

	if (!poller->awake)
		return;
	assert(poller->previous ? poller->previous->next == poller : share->pollers == poller);
	if (share->next_poller == poller)
		share->next_poller = poller->next;
	if (poller->next)
		poller->next->previous = poller->previous;
	if (poller->previous)
		poller->previous->next = poller->next;
	else
		share->pollers = poller->next;
	poller->next = poller->previous = NULL;
	poller->awake = false;
	if (--share->awake == 0)
		unlink_share(loop, share);
}

/* The list is nearly in order: one turn has changed it. */
static void sort_shares(struct loop *loop)
{
	struct loop_share *share = loop->shares->next;

	while (share) {
		struct loop_share *next = share->next, *before = share->previous;

		if (before->virtual_ns > share->virtual_ns) {
			before->next = next;
			if (next)
				next->previous = before;
			while (before && before->virtual_ns > share->virtual_ns)
				before = before->previous;
			share->previous = before;
			share->next = before ? before->next : loop->shares;
			share->next->previous = share;
			if (before)
				before->next = share;
			else
				loop->shares = share;
		}
		share = next;
	}
}

/* Each awake poller once, beginning where the last turn ended, until the slice is over. */
static bool run_share(struct loop *loop, struct loop_share *share, bool crowded)
{
	bool worked = false, found;

	for (unsigned left = share->awake; left > 0 && share->pollers; left--) {
		struct loop_poller *poller = share->next_poller ? share->next_poller : share->pollers;

		share->next_poller = poller->next;
		loop_pay_on(loop, poller->account);
		found = poller->poll(poller);
		loop_settle_blame(loop);
		if (!found)
			continue;
		worked = true;
		if (crowded && loop_slice_over(loop))
			break;
	}
	return worked;
}

bool loop_run_pollers(struct loop *loop)
{
	bool worked = false, little = false, crowded = loop->shares && loop->shares->next;
	uint64_t floor_ns = 0, since_ns = loop->mark_ns;

	loop->phase++;
	if (crowded)
		sort_shares(loop);
	for (struct loop_share *share = loop->shares; share; share = loop->next_share) {
		uint64_t begin_ns;

		/* The floor has risen since the last turn. What is lifted stays in order. */
		lift(loop, share);
		begin_ns = share->virtual_ns;
		loop->next_share = share->next;
		if (worked && begin_ns > floor_ns + LOOP_SLICE_NS) {
			if (little)
				loop->brief_until_ns = loop->mark_ns + BRIEF_NS;
			break;
		}
		if (run_share(loop, share, crowded)) {
			if (!worked)
				floor_ns = begin_ns;
			little |= share->little >= LOOP_LITTLE_TURNS;
			worked = true;
			if (crowded)
				loop_submit_dear(loop);
			if (crowded && loop->mark_ns - since_ns >= TURN_NS)
				break;
		}
	}
	loop->next_share = NULL;
	if (worked && floor_ns > loop->virtual_ns)
		loop->virtual_ns = floor_ns;
	loop->phase++;
	return worked;
}

bool loop_park_pollers(struct loop *loop)
{
	bool all = true;

	for (struct loop_share *share = loop->shares; share; share = loop->next_share) {
		loop->next_share = share->next;
		share->next_poller = share->pollers;
		for (struct loop_poller *poller = share->pollers; poller; poller = share->next_poller) {
			share->next_poller = poller->next;
			loop_pay_on(loop, poller->account);
			if (poller->park(poller))
				loop_poller_remove(loop, poller);
			else
				all = false;
		}
	}
	return all;
}

void loop_worked(struct loop *loop, bool little)
{
	struct loop_share *share = loop->payer->share;

	share->little = little ? share->little + 1 : 0;
}

bool loop_wants_brief_turns(struct loop *loop)
{
	return loop->mark_ns < loop->brief_until_ns;
}
