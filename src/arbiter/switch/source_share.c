/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/switch/source_share.h"

#include <assert.h>

#include "arbiter/switch/port.h"
#include "core/clock.h"
#include "core/container.h"

/* How soon a source asks again while the switch stands still. */
#define PAUSE_NS NS_PER_MS
/* A source that does not come back, because its queue stops, keeps its place for this long. */
#define UNUSED_NS (200 * NS_PER_US)

static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* ---- waiting ---- */

static void add_paid(struct source_share *share)
{
	share->paid.frames += share->asked.frames;
	share->paid.bytes += share->asked.bytes;
	share->paid.uplink_bytes += share->asked.uplink_bytes;
}

static void resume(struct source_share *share)
{
	share->waits = SOURCE_WAITS_NOT;
	if (!share->asking)
		share->sender->resume(share->sender);
}

static void leave(struct source_share *share)
{
	if (!share->inside)
		return;
	share->inside = false;
	gate_leave(&share->pass);
}

/* The source keeps its place while it has more to send: it asks again before another is chosen. */
static void stay(struct source_share *share)
{
	loop_timer_start(share->loop, &share->timer, loop_now_ns(share->loop) + UNUSED_NS);
}

static void turn_ended(struct loop_task *task)
{
	struct source_share *share = container_of(task, struct source_share, task);

	if (share->waits == SOURCE_WAITS_TURN)
		resume(share);
}

static void entered(struct gate_pass *pass)
{
	struct source_share *share = container_of(pass, struct source_share, pass);

	share->inside = true;
	add_paid(share);
	if (!share->asking)
		stay(share);
	resume(share);
}

static void timer_expired(struct loop_timer *timer)
{
	struct source_share *share = container_of(timer, struct source_share, timer);

	if (share->waits == SOURCE_WAITS_NOT)
		leave(share);
	else
		resume(share);
}

/* ---- paying ---- */

/* Returns false when it has to wait. */
static bool ask(struct source_share *share, bool light)
{
	struct scheduler_request *request = &share->pass.waiting;

	if (share->inside)
		gate_leave_to_ask(&share->pass);
	share->inside = false;
	loop_timer_stop(share->loop, &share->timer);
	share->price.asked_bytes = light ? share->asked.bytes : share->asked.uplink_bytes;
	request->cost_ns = uplink_cost_ns(&share->price, share->price.asked_bytes);
	request->bytes = share->asked.bytes;
	request->more = (uint32_t)minus(share->asked.frames, 1);
	request->light = light;
	share->waits = SOURCE_WAITS_GATE;
	share->asking = true;
	if (gate_enter(share->gate, &share->pass)) {
		share->waits = SOURCE_WAITS_NOT;
		share->inside = true;
		add_paid(share);
	}
	share->asking = false;
	return share->waits == SOURCE_WAITS_NOT;
}

/*
 * A turn that its worker takes late is over, and another has its own: what is paid goes all the same, or a
 * worker with many guests would never send anything; but not into a card that is full.
 */
static bool may_send_paid(const struct source_share *share)
{
	return share->inside || !gate_port_shut(share->gate);
}

bool source_share_pay(struct source_share *share, const struct frame_need *need)
{
	bool light = need->uplink_bytes == 0;

	if (share->waits != SOURCE_WAITS_NOT)
		return false;
	share->asked = (struct frame_need){
		.frames = minus(need->frames, share->paid.frames),
		.bytes = minus(need->bytes, share->paid.bytes),
		.uplink_bytes = minus(need->uplink_bytes, share->paid.uplink_bytes),
	};
	if (share->asked.frames == 0 && share->asked.bytes == 0 && share->asked.uplink_bytes == 0 &&
	    (light || may_send_paid(share)))
		return true;
	return ask(share, light);
}

void source_share_yield(struct source_share *share)
{
	if (share->waits != SOURCE_WAITS_NOT)
		return;
	share->waits = SOURCE_WAITS_TURN;
	loop_defer(share->loop, &share->task);
}

void source_share_pause(struct source_share *share)
{
	if (share->waits != SOURCE_WAITS_NOT)
		return;
	leave(share);
	share->waits = SOURCE_WAITS_PAUSE;
	loop_timer_start(share->loop, &share->timer, loop_now_ns(share->loop) + PAUSE_NS);
}

void source_share_sent(struct source_share *share)
{
	share->paid = (struct frame_need){ .frames = 0 };
	if (!share->inside)
		return;
	if (share->pass.waiting.light || !gate_port_asks(share->gate))
		leave(share);
	else
		stay(share);
}

void source_share_rest(struct source_share *share)
{
	if (!share->inside || share->paid.frames > 0)
		return;
	loop_timer_stop(share->loop, &share->timer);
	leave(share);
}

/* ---- coming and going ---- */

int source_share_open(struct source_share *share, struct gate_node *node, struct loop *loop,
		      struct port_sender *sender)
{
	assert(!share->gate && sender);
	share->loop = loop;
	share->sender = sender;
	share->pass.enter = entered;
	share->task.run = turn_ended;
	share->timer.expired = timer_expired;
	return gate_port_open(node, loop, &share->counters, &share->price, &share->gate);
}

void source_share_close(struct source_share *share)
{
	if (!share->gate)
		return;
	loop_timer_stop(share->loop, &share->timer);
	loop_defer_cancel(share->loop, &share->task);
	leave(share);
	if (share->waits == SOURCE_WAITS_GATE)
		gate_cancel(&share->pass);
	gate_port_close(share->gate);
	share->gate = NULL;
}
