/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lanes. The worker that finds room in the device may not be the one that the next request belongs to: the
 * request then goes on the list of its own worker's lane, and a message tells that worker. A request that is
 * let in may be complete at once (a disk in memory), which makes room again: nested calls only add to the
 * list, and the outermost one empties it.
 */
#include <assert.h>
#include <stdlib.h>

#include "arbiter/share/gate_private.h"
#include "core/container.h"

static struct gate_pass *pass_next(const struct gate_pass *pass)
{
	struct scheduler_request *next = pass->waiting.next;

	return next ? container_of(next, struct gate_pass, waiting) : NULL;
}

void gate_lane_later(struct gate_lane *lane, struct gate_lane **tell)
{
	if (lane->posted)
		return;
	assert(!lane->closing);
	lane->posted = true;
	lane->tell_next = *tell;
	*tell = lane;
}

void gate_lane_tell(struct gate_lane *tell)
{
	/* A lane whose message is on its way is not freed before it has come. */
	while (tell) {
		struct gate_lane *lane = tell;

		assert(lane->posted);
		tell = lane->tell_next;
		loop_post(lane->loop, &lane->message);
	}
}

void gate_lane_grant(struct gate_pass *pass, const struct gate_lane *here, struct gate_lane **tell)
{
	struct gate_lane *lane = pass->port->lane;

	assert(!lane->closing && !lane->granted == !lane->granted_last);
	pass->waiting.next = NULL;
	if (lane->granted_last)
		lane->granted_last->waiting.next = &pass->waiting;
	else
		__atomic_store_n(&lane->granted, pass, __ATOMIC_RELAXED);
	lane->granted_last = pass;
	if (lane != here)
		gate_lane_later(lane, tell);
}

bool gate_lane_take_only(struct gate_lane *lane, const struct gate_pass *pass)
{
	if (lane->granted != pass || lane->granted_last != pass)
		return false;
	__atomic_store_n(&lane->granted, NULL, __ATOMIC_RELAXED);
	lane->granted_last = NULL;
	return true;
}

bool gate_lane_take(struct gate_lane *lane, struct gate_pass *pass)
{
	struct gate_pass *before = NULL, *granted = lane->granted;

	while (granted && granted != pass) {
		before = granted;
		granted = pass_next(granted);
	}
	if (!granted)
		return false;
	if (before)
		before->waiting.next = pass->waiting.next;
	else
		__atomic_store_n(&lane->granted, pass_next(pass), __ATOMIC_RELAXED);
	if (lane->granted_last == pass)
		lane->granted_last = before;
	return true;
}

static struct gate_pass *take_granted(struct gate_lane *lane)
{
	struct gate_pass *granted;

	/* Relaxed: a grant from another thread is followed by a message. */
	if (!__atomic_load_n(&lane->granted, __ATOMIC_RELAXED))
		return NULL;
	pthread_mutex_lock(&lane->gate->lock);
	granted = lane->granted;
	assert(granted && lane->granted_last);
	__atomic_store_n(&lane->granted, NULL, __ATOMIC_RELAXED);
	lane->granted_last = NULL;
	pthread_mutex_unlock(&lane->gate->lock);
	return granted;
}

static void enter(struct gate_pass *pass)
{
	struct gate_counters *counters = pass->port->counters;
	uint64_t waited_ns = pass->waiting.waited_ns, throttled_ns = pass->waiting.throttled_ns;

	assert(counter_read(&counters->waiting) > 0);
	counter_add(&counters->waiting, (uint64_t)-1);
	counter_add(&counters->device_ns, pass->waiting.light ? 0 : pass->waiting.cost_ns);
	if (waited_ns > 0) {
		assert(throttled_ns <= waited_ns);
		counter_add(&counters->throttled_ns, throttled_ns);
		counter_add(&counters->contended_ns, waited_ns - throttled_ns);
		histogram_add(&counters->wait, waited_ns);
	}
	assert(!pass->inside);
	pass->inside = true;
	pass->entered_ns = loop_now_ns(pass->port->lane->loop);
	pass->enter(pass);
}

void gate_lane_enter(struct gate_lane *lane)
{
	struct loop_account *payer = loop_payer(lane->loop);
	struct loop_account *account;
	struct gate_pass *pass, *next;

	if (lane->entering)
		return;
	lane->entering = true;
	while ((pass = take_granted(lane))) {
		for (; pass; pass = next) {
			next = pass_next(pass);
			account = pass->account;
			loop_pay(lane->loop, account);
			enter(pass);
			loop_account_put(lane->loop, account);
		}
	}
	loop_pay(lane->loop, payer);
	lane->entering = false;
}

static void look_again(struct gate_lane *lane)
{
	struct gate *gate = lane->gate;
	struct gate_lane *tell = NULL;
	uint64_t now_ns;

	pthread_mutex_lock(&gate->lock);
	now_ns = gate_now(gate, lane);
	gate_away_end(lane, now_ns);
	gate_lease_settle_lane(lane);
	gate_dispatch(gate, lane, now_ns, &tell);
	pthread_mutex_unlock(&gate->lock);
	gate_lane_tell(tell);
	gate_lane_enter(lane);
}

static void timer_expired(struct loop_timer *timer)
{
	look_again(container_of(timer, struct gate_lane, timer));
}

void gate_lane_wake_at(struct gate_lane *lane, uint64_t ready_ns)
{
	if (ready_ns == UINT64_MAX)
		loop_timer_stop(lane->loop, &lane->timer);
	else
		loop_timer_start(lane->loop, &lane->timer, ready_ns);
}

/* ---- coming and going ---- */

static void lane_free(struct gate_lane *lane)
{
	struct gate *gate = lane->gate;
	struct gate_lane **link = &gate->lanes;
	bool last;

	assert(!lane->entering);
	pthread_mutex_lock(&gate->lock);
	assert(lane->closing && !lane->posted && lane->ports == 0 && !lane->granted);
	while (*link && *link != lane)
		link = &(*link)->next;
	assert(*link);
	*link = lane->next;
	last = gate->destroyed && !gate->lanes;
	pthread_mutex_unlock(&gate->lock);
	free(lane);
	if (last)
		gate_free(gate);
}

static void message_came(struct loop_message *message)
{
	struct gate_lane *lane = container_of(message, struct gate_lane, message);
	bool closing;

	pthread_mutex_lock(&lane->gate->lock);
	assert(lane->posted);
	assert(!lane->closing || lane->ports == 0);
	lane->posted = false;
	closing = lane->closing;
	pthread_mutex_unlock(&lane->gate->lock);
	if (closing)
		lane_free(lane);
	else
		look_again(lane);
}

/* Under the lock. Not one that is about to be freed. */
static struct gate_lane *find_lane(struct gate *gate, const struct loop *loop)
{
	struct gate_lane *lane = gate->lanes;

	while (lane && (lane->loop != loop || lane->closing))
		lane = lane->next;
	return lane;
}

struct gate_lane *gate_lane_get(struct gate *gate, struct loop *loop)
{
	struct gate_lane *made = calloc(1, sizeof(*made)), *lane;

	if (!made)
		return NULL;
	*made = (struct gate_lane){
		.gate = gate, .loop = loop, .message.run = message_came, .timer.expired = timer_expired,
	};
	pthread_mutex_lock(&gate->lock);
	lane = find_lane(gate, loop);
	if (!lane) {
		lane = made;
		made = NULL;
		lane->next = gate->lanes;
		gate->lanes = lane;
	}
	lane->ports++;
	pthread_mutex_unlock(&gate->lock);
	free(made);
	return lane;
}

/* Some worker must look after what a limit holds back. */
static void tell_another(struct gate *gate, const struct gate_lane *leaving, struct gate_lane **tell)
{
	if (scheduler_waiting(gate->scheduler) == 0)
		return;
	for (struct gate_lane *lane = gate->lanes; lane; lane = lane->next) {
		if (lane == leaving || lane->ports == 0)
			continue;
		gate_lane_later(lane, tell);
		return;
	}
}

void gate_lane_put(struct gate_lane *lane)
{
	struct gate *gate = lane->gate;
	struct gate_lane *tell = NULL;
	bool gone;

	pthread_mutex_lock(&gate->lock);
	assert(lane->ports > 0);
	if (--lane->ports > 0) {
		pthread_mutex_unlock(&gate->lock);
		return;
	}
	assert(!lane->granted && !lane->closing && !lane->first_port && !lane->aside);
	gate_away_end(lane, gate->now_ns);
	loop_timer_stop(lane->loop, &lane->timer);
	tell_another(gate, lane, &tell);
	lane->closing = true;
	gone = !lane->posted;
	pthread_mutex_unlock(&gate->lock);
	gate_lane_tell(tell);
	if (gone)
		lane_free(lane);
}

void gate_look_again(struct gate *gate)
{
	struct gate_lane *tell = NULL;

	pthread_mutex_lock(&gate->lock);
	tell_another(gate, NULL, &tell);
	pthread_mutex_unlock(&gate->lock);
	gate_lane_tell(tell);
}
