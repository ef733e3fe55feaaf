/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Time is charged when the payer changes and at the beginning of each turn. A loop that serves one guest
 * therefore reads the clock no more often than one without accounts: once a turn.
 *
 * The order among guests is start-time fair queueing: a share's virtual_ns is the time it has had, and
 * before its turn a share is lifted to the least of those that found work, less LOOP_CREDIT_NS, so that
 * sleeping, or being awake with empty rings, saves no more than that up. In each turn shares are served
 * from the least upwards; the first that finds work sets the floor, and those more than a slice above it
 * wait for another turn. A share that is alone is its own floor and never waits. When no share has work all
 * begin anew, with full credit: time that no share wanted is no debt. A turn ends early when many have work,
 * to see which others have woken. A share for whose sake others are left out, and that wants little, waits
 * whenever it comes for whatever has begun: so for a while all do less at a time (loop_worked()).
 *
 * Submitting is often dearer than all that went before it. A share that prepared much submits for itself,
 * which is exact; the rest go together and are shared out. So is what is submitted by the call that also
 * sleeps: its time tells nothing, and the entries are charged with what such entries cost lately.
 */
#include "core/container.h"
#include "core/loop_account.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "core/loop_internal.h"

/* Submitted apart from this estimated cost on: the system call by itself costs a small part of it. */
#define SUBMIT_NS (LOOP_SLICE_NS / 4)
/* What submitting one entry costs, before it was measured. */
#define ENTRY_NS 1000u
/* Copying so much costs about as much as submitting an entry that copies little. */
#define ENTRY_BYTES (16ul * 1024)
/* One submission of so many is measured while there is one guest, and before sleeps. */
#define SUBMISSION_SAMPLE 16u

/* ---- guests ---- */

struct guest_share {
	struct loop_share share;	/* first: accounts point to it */
	unsigned users;			/* atomic: the guest, and accounts of the loop's */
	const struct loop *loop;
	struct guest_share *next;	/* of the guest's */
};

struct loop_guest {
	unsigned users;
	struct guest_share *shares;
};

struct loop_guest *loop_guest_create(void)
{
	struct loop_guest *guest = calloc(1, sizeof(*guest));

	return guest ? loop_guest_get(guest) : NULL;
}

struct loop_guest *loop_guest_get(struct loop_guest *guest)
{
	guest->users++;
	return guest;
}

static void share_put(struct guest_share *share)
{
	/* Release and acquire: the thread that frees it sees what the others did to it. */
	unsigned before = __atomic_fetch_sub(&share->users, 1, __ATOMIC_ACQ_REL);

	assert(before > 0);
	if (before > 1)
		return;
	assert(!share->share.pollers && share->share.awake == 0);
	free(share);
}

void loop_guest_put(struct loop_guest *guest)
{
	assert(!guest || guest->users > 0);
	if (!guest || --guest->users > 0)
		return;
	while (guest->shares) {
		struct guest_share *share = guest->shares;

		guest->shares = share->next;
		share_put(share);
	}
	free(guest);
}

static struct guest_share *guest_share(struct loop_guest *guest, const struct loop *loop)
{
	struct guest_share *share = guest->shares;

	while (share && share->loop != loop)
		share = share->next;
	if (!share) {
		share = calloc(1, sizeof(*share));
		if (!share)
			return NULL;
		share->users = 1;
		share->loop = loop;
		share->next = guest->shares;
		guest->shares = share;
	}
	return share;
}

/* ---- accounts ---- */

static void on_closed(struct loop_message *message)
{
	struct loop_account *account = container_of(message, struct loop_account, closed);

	loop_account_put(account->loop, account);
}

struct loop_account *loop_account_create(struct loop_guest *guest, struct loop *loop)
{
	struct loop_account *account = calloc(1, sizeof(*account));
	struct guest_share *share = account ? guest_share(guest, loop) : NULL;

	if (!share) {
		free(account);
		return NULL;
	}
	__atomic_add_fetch(&share->users, 1, __ATOMIC_RELAXED);
	account->loop = loop;
	account->share = &share->share;
	account->closed.run = on_closed;
	account->price = LOOP_PRICE_ONE;
	account->users = 1;
	return account;
}

void loop_account_close(struct loop_account *account)
{
	if (account)
		loop_post(account->loop, &account->closed);
}

struct loop_account *loop_account_get(struct loop_account *account)
{
	assert(account->users > 0);	/* it is alive: another name holds it */
	account->users++;
	return account;
}

static void leave_submitters(struct loop *loop, struct loop_account *account)
{
	struct loop_account **link = &loop->submitters;

	while (*link && *link != account)
		link = &(*link)->next;
	assert(!*link == (account->entries == 0));
	if (*link)
		*link = account->next;
}

void loop_account_put(struct loop *loop, struct loop_account *account)
{
	assert(account->users > 0);
	if (--account->users > 0)
		return;
	if (loop->payer == account)
		loop_pay(loop, NULL);
	leave_submitters(loop, account);
	share_put((struct guest_share *)account->share);
	free(account);
}

void loop_put_accounts(struct loop *loop)
{
	for (struct loop_watch_slot *slot = loop->watches; slot; slot = slot->next)
		loop_op_release(loop, &slot->op);
	while (loop->tasks)
		loop_defer_cancel(loop, loop->tasks);
	while (loop->messages) {
		struct loop_message *message = loop->messages;

		loop->messages = message->next;
		if (message->run == on_closed)
			on_closed(message);
	}
}

/* ---- charging ---- */

static uint64_t thread_clock_ns(const struct loop *loop)
{
	return loop->clocks ? loop->clocks->thread_ns() : clock_thread_ns();
}

void loop_thread_clock_begin(struct loop *loop)
{
	loop->thread_ns = thread_clock_ns(loop);
	loop->accounted_ns = 0;
	loop->slept = false;
}

/* What of the thread's CPU time is not yet accounted for; also what it did in calls that slept. */
uint64_t loop_gap_ran_ns(struct loop *loop, uint64_t gap_ns)
{
	uint64_t passed_ns = thread_clock_ns(loop) - loop->thread_ns;
	uint64_t left_ns = passed_ns > loop->accounted_ns ? passed_ns - loop->accounted_ns : 0;
	bool slept = loop->slept;

	loop->thread_ns += passed_ns;
	loop->accounted_ns = 0;
	loop->slept = false;
	left_ns = left_ns < gap_ns ? left_ns : gap_ns;
	if (__atomic_load_n(&loop->held, __ATOMIC_RELAXED) ||
	    (left_ns >= SLOW_WRITE_NS && __atomic_load_n(&loop->peer_writes, __ATOMIC_RELAXED) > 0))
		loop_note_blame(loop, gap_ns, left_ns, slept);
	return left_ns;
}

void loop_pay(struct loop *loop, struct loop_account *account)
{
	if (!account)
		account = &loop->own;
	if (account == loop->payer)
		return;
	loop_charge_payer(loop, loop_clock_ns(loop));
	loop->payer = account;
}

struct loop_account *loop_payer(const struct loop *loop)
{
	return loop->payer;
}

static uint64_t entries_ns(const struct loop_account *account)
{
	return account->entries * (account->entry_ns ? account->entry_ns : ENTRY_NS);
}

bool loop_slice_over(struct loop *loop)
{
	struct loop_share *share = loop->payer->share;

	loop_charge_payer(loop, loop_clock_ns(loop));
	if (share->phase != loop->phase) {
		share->phase = loop->phase;
		share->stop_ns = share->virtual_ns + LOOP_SLICE_NS;
	}
	return share->virtual_ns + entries_ns(loop->payer) >= share->stop_ns;
}

static uint64_t owed_ns(const struct loop_share *share, uint64_t now_ns)
{
	uint64_t paid_back_ns = (now_ns - share->owed_since_ns) / LOOP_BUDGET_PART;

	return share->owed_ns > paid_back_ns ? share->owed_ns - paid_back_ns : 0;
}

void loop_budget_spend(struct loop *loop, struct loop_account *account, uint64_t ns)
{
	struct loop_share *share = account->share;
	uint64_t now_ns = loop_clock_ns(loop);

	share->owed_ns = owed_ns(share, now_ns) + ns;
	share->owed_since_ns = now_ns;
}

uint64_t loop_budget_wait_ns(struct loop *loop, const struct loop_account *account)
{
	uint64_t ns = owed_ns(account->share, loop_clock_ns(loop));

	return ns > LOOP_BUDGET_NS ? (ns - LOOP_BUDGET_NS) * LOOP_BUDGET_PART : 0;
}

/* ---- submissions ---- */

void loop_count_entry(struct loop *loop)
{
	struct loop_account *account = loop->payer;

	if (account->entries++ > 0)
		return;
	account->next = loop->submitters;
	loop->submitters = account;
}

void loop_sqe_copies(struct loop *loop, size_t bytes)
{
	assert(loop->payer->entries > 0);
	loop->payer->entries += (unsigned)(bytes / ENTRY_BYTES);
}

/* Charges everybody's part of `ns` and forgets the entries. */
static void share_out(struct loop *loop, uint64_t ns)
{
	uint64_t sum_ns = 0;

	for (struct loop_account *account = loop->submitters; account; account = account->next)
		sum_ns += entries_ns(account);
	for (struct loop_account *account = loop->submitters; account; account = account->next) {
		loop_charge(loop, account, ns * entries_ns(account) / sum_ns);
		account->entries = 0;
	}
	loop->submitters = NULL;
}

static int submit(struct loop *loop, bool get_events)
{
	return get_events ? io_uring_submit_and_get_events(&loop->ring) : io_uring_submit(&loop->ring);
}

/*
 * The others' few entries cost what they cost lately; the rest is this account's, and tells what one of its
 * costs.
 */
static int submit_for(struct loop *loop, struct loop_account *account, bool get_events)
{
	uint64_t rest_ns;
	unsigned entries = account->entries;
	int result;

	loop_pay(loop, account);
	loop_charge_payer(loop, loop_clock_ns(loop));
	loop->for_several = get_events || account->next || account != loop->submitters;
	result = submit(loop, get_events);
	rest_ns = loop_take_time(loop, loop_clock_ns(loop));
	loop->for_several = false;
	account->entries = 0;
	for (struct loop_account *other = loop->submitters; other; other = other->next) {
		uint64_t ns = entries_ns(other) < rest_ns ? entries_ns(other) : rest_ns;

		loop_charge(loop, other, ns);
		rest_ns -= ns;
		other->entries = 0;
	}
	loop->submitters = NULL;
	loop_charge(loop, account, rest_ns);
	account->entry_ns =
		((account->entry_ns ? account->entry_ns : ENTRY_NS) * 3 + rest_ns / entries) / 4 + 1;
	return result;
}

int loop_submit_entries(struct loop *loop, bool get_events)
{
	struct loop_account *account = loop->submitters;
	int result;

	/* Completions are taken when the loop looks for them. */
	get_events = get_events && !loop_is_suspicious(loop);
	if (account && !account->next &&
	    (loop->submissions++ % SUBMISSION_SAMPLE == 0 || account != loop->payer || !get_events))
		return submit_for(loop, account, get_events);
	if (account && !account->next) {
		account->entries = 0;
		loop->submitters = NULL;
		return submit(loop, get_events);
	}
	loop_pay(loop, NULL);
	loop_charge_payer(loop, loop_clock_ns(loop));
	loop->for_several = true;
	result = submit(loop, get_events);
	share_out(loop, loop_take_time(loop, loop_clock_ns(loop)));
	loop->for_several = false;
	return result;
}

void loop_submit_dear(struct loop *loop)
{
	if (entries_ns(loop->payer) >= SUBMIT_NS)
		submit_for(loop, loop->payer, false);
}

void loop_charge_entries(struct loop *loop)
{
	if (loop->submitters && (loop->submissions++ % SUBMISSION_SAMPLE == 0 || loop_is_suspicious(loop)))
		submit_for(loop, loop->submitters, false);
	for (struct loop_account *account = loop->submitters; account; account = account->next) {
		loop_charge(loop, account, entries_ns(account));
		account->entries = 0;
	}
	loop->submitters = NULL;
}
